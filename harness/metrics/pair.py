"""Two images of one size, and the work that several metrics share.

SSIM follows Wang, Bovik, Sheikh, Simoncelli 2004; MS-SSIM follows Wang, Simoncelli, Bovik 2003. Window, constants,
weights and the pooling of odd sides are as in pytorch-msssim, the reference for both.

The moments are those of the sum s = x + y and the difference d = x - y, not of x and y. That leaves four planes to
filter instead of five, and nothing cancels when x and y are close, so 1 - SSIM keeps its digits in float32.
With var(s) + var(d) = 2 (var(x) + var(y)), and the same for squared means,

    contrast  = 1 - var(d)    / (var(x) + var(y) + C2)
    luminance = 1 - mean(d)^2 / (mean(x)^2 + mean(y)^2 + C1)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.config.radar import RadarScale
from harness.interface import Image

if TYPE_CHECKING:
    import torch

WINDOW_SIDE = 11
"""Taps of the Gaussian window; its standard deviation is 1.5 pixels (Wang 2004, section III.C)."""
MS_SSIM_SMALLEST_SIDE = 161
"""The rule of pytorch-msssim: more than (11 - 1) x 2^4 pixels."""

_TAPS = np.exp(-((np.arange(WINDOW_SIDE) - WINDOW_SIDE // 2) ** 2) / (2 * 1.5**2))
_WINDOW = _TAPS / _TAPS.sum()
_K1, _K2 = 0.01, 0.03
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Finest scale first (Wang 2003, section 3.2)."""
_STRIP_ROWS = 64
"""Rows that a CPU filters at a time: the planes of a strip stay in its cache, which halves the time."""


@dataclass(frozen=True)
class Scale:
    """The terms of one scale of the pyramid: float64 tensors, one value per channel."""

    ssim: torch.Tensor
    contrast: torch.Tensor
    """The contrast-structure term: SSIM without its luminance term."""


@dataclass(frozen=True)
class Planes:
    """Reference plus and minus decoded: float32 holds both exactly, since samples have at most 16 bits."""

    total: NDArray[np.float32]
    difference: NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """A reference image and its decoded version; each shared step runs once, when a metric first needs it."""

    reference: Image
    decoded: Image
    peak: int
    """The largest possible sample: 2^sample_bits - 1."""
    device: str = "cpu"
    """Where torch computes: "cpu" or "cuda"."""
    radar: RadarScale | None = None
    """What a sample of a radar image stands for; None where that is not declared."""

    @cached_property
    def planes(self) -> Planes:
        """Sum and difference of the two images, (height, width, channels) each."""
        total, difference = self.reference.astype(np.float32), self.decoded.astype(np.float32)
        np.subtract(total, difference, out=difference)  # now the difference
        total *= 2
        total -= difference
        return Planes(total, difference)

    @cached_property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Reference and decoded as (1, channels, height, width), float32 on a CPU and float64 on a GPU."""
        import torch

        pair = (torch.from_numpy(image.astype(np.float32)) for image in (self.reference, self.decoded))
        first, second = (image.permute(2, 0, 1)[None].to(self.device, self.dtype) for image in pair)
        return first.contiguous(), second.contiguous()

    @property
    def dtype(self) -> torch.dtype:
        """float32 on a CPU; float64 on a GPU, where float32 may silently mean TF32."""
        import torch

        return torch.float32 if self.device == "cpu" else torch.float64

    @cached_property
    def _flat(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum and difference as tensors of (height, width x channels)."""
        import torch

        planes = (plane.reshape(len(plane), -1) for plane in (self.planes.total, self.planes.difference))
        total, difference = (torch.from_numpy(plane).to(self.device, self.dtype) for plane in planes)
        return total, difference

    @cached_property
    def _finest(self) -> Scale:
        import torch

        with torch.inference_mode():
            return _scale(*self._flat, self.reference.shape[2], self.peak)

    @cached_property
    def ssim(self) -> float:
        """SSIM, mean over the channels."""
        return float(self._finest.ssim.mean())

    @cached_property
    def ms_ssim(self) -> float:
        """MS-SSIM, mean over the channels; a negative term counts as 0."""
        import torch

        channels = self.reference.shape[2]
        (total, difference), scales = self._flat, [self._finest]
        with torch.inference_mode():
            while len(scales) < len(_SCALE_WEIGHTS):
                total, difference = _halved(total, channels), _halved(difference, channels)
                scales.append(_scale(total, difference, channels, self.peak))
            terms = torch.stack([*(scale.contrast for scale in scales[:-1]), scales[-1].ssim])
            weights = terms.new_tensor(_SCALE_WEIGHTS)
            return float((terms.clamp_min(0) ** weights[:, None]).prod(dim=0).mean())


def _halved(plane: torch.Tensor, channels: int) -> torch.Tensor:
    """Return means of 2x2 pixels of a (height, width x channels) plane; an odd side gets zeros in front."""
    from torch.nn.functional import pad

    height, width = plane.shape[0], plane.shape[1] // channels
    if width % 2 or height % 2:
        plane = pad(plane, (width % 2 * channels, 0, height % 2, 0))
    rows = (plane[0::2] + plane[1::2]).view(-1, (width + 1) // 2, 2, channels)
    return ((rows[:, :, 0] + rows[:, :, 1]) / 4).flatten(1)


def _scale(total: torch.Tensor, difference: torch.Tensor, channels: int, peak: int) -> Scale:
    """Return SSIM and its contrast term, from x + y and x - y of shape (height, width x channels)."""
    import torch

    windows = len(total) - WINDOW_SIDE + 1
    rows = _STRIP_ROWS if total.device.type == "cpu" else windows
    overlap = WINDOW_SIDE - 1
    offset = total.mean().round()
    strips = [
        _losses(total[top : top + rows + overlap], difference[top : top + rows + overlap], offset, channels, peak)
        for top in range(0, windows, rows)
    ]
    loss = torch.stack(strips).sum(0) / (windows * (total.shape[1] // channels - overlap))
    return Scale(ssim=1 - loss[0], contrast=1 - loss[1])


def _losses(
    total: torch.Tensor, difference: torch.Tensor, offset: torch.Tensor, channels: int, peak: int
) -> torch.Tensor:
    """Return the sums over all windows of 1 - SSIM and of 1 - contrast, (2, channels) in float64."""
    import torch

    moments = total.new_empty((4, *total.shape))
    torch.sub(total, offset, out=moments[0])
    moments[1] = difference
    torch.mul(moments[:2], moments[:2], out=moments[2:])
    planes = _filtered_down(moments)
    by_column = planes.view(4, planes.shape[1], -1, channels).permute(0, 2, 3, 1)
    mean_total, mean_difference, square_total, square_difference = _filtered_down(by_column.flatten(2))
    variance_total = torch.addcmul(square_total, mean_total, mean_total, value=-1)
    bias = mean_difference * mean_difference
    variance_difference = square_difference - bias
    energy = (mean_total + offset).square_().add_(bias)
    contrast = variance_difference / (variance_total.add_(variance_difference).div_(2).add_((_K2 * peak) ** 2))
    luminance = bias.div_(energy.div_(2).add_((_K1 * peak) ** 2))
    whole = torch.addcmul(contrast + luminance, contrast, luminance, value=-1)
    return torch.stack([loss.sum(0).view(channels, -1).sum(1, dtype=torch.float64) for loss in (whole, contrast)])


def _filtered_down(planes: torch.Tensor) -> torch.Tensor:
    """Return (count, height, anything) filtered along the height, without borders where the window does not fit.

    The last axis becomes the channels of a depthwise convolution, channels last: CPU kernels vectorise over this
    layout, which is 30 times faster than a convolution plane by plane.
    """
    import torch

    columns = planes.shape[2]
    kernel = planes.new_tensor(_WINDOW).view(1, 1, -1, 1).expand(columns, 1, -1, 1)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    image = planes.transpose(1, 2)[..., None].contiguous(memory_format=torch.channels_last)
    return torch.nn.functional.conv2d(image, kernel, groups=columns)[..., 0].transpose(1, 2)
