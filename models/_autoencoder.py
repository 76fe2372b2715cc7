"""The autoencoder: analysis and synthesis transform, padding, first weights. Imports torch: import only when used."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from harness.errors import ConfigError
from harness.learned.shape import Networks, Shape
from harness.learned.tensors import reflection_indices
from harness.models._blocks import initialise_kaiming, stem
from harness.models._lapped_transform import kernels, reflection_signs

Stage = Callable[[int, int], list[nn.Module]]
"""Makes the layers of one stage: (input channels, output channels) -> layers."""


class Autoencoder(nn.Module):
    """Images to latents in quantisation steps (analysis transform), and back (synthesis transform).

    Images are (images, channels, height, width) in 0..1; latents (images, latent channels, height / factor,
    width / factor) in trained quantisation steps.
    """

    def __init__(self, shape: Shape, networks: Networks) -> None:
        super().__init__()
        self.shape = shape
        self.analysis, self.synthesis = networks
        self.gain = nn.Parameter(torch.zeros(shape.latent_channels))
        """Natural logarithm of the factor from the analysis transform's output to steps."""
        self.centre = nn.Parameter(torch.zeros(shape.latent_channels))
        """The value, in steps, that is quantised to 0."""
        self.register_signs()

    def register_signs(self) -> None:
        """Set the signs of reflected latents, which follow from the shape alone."""
        shape = self.shape
        lapped = shape.start == "lapped"
        signs = reflection_signs(shape.image_channels) if lapped else np.ones((2, shape.latent_channels), np.float32)
        self.register_buffer("signs", torch.tensor(signs, device="cpu"), persistent=False)

    def latents(self, images: Tensor) -> Tensor:
        """Return the latents of images whose height and width are multiples of the factor."""
        edge = self.shape.margin * self.shape.factor
        if edge:
            images = reflection_padded(images, edge, None)
        made = self.analysis(images.contiguous(memory_format=torch.channels_last) - self._grey)
        inner = _cropped(made, self.shape.margin)
        return inner * torch.exp(self.gain)[:, None, None] - self.centre[:, None, None]

    def images(self, latents: Tensor) -> Tensor:
        """Return the images of latents; nothing is clipped or rounded."""
        scaled = (latents + self.centre[:, None, None]) * torch.exp(-self.gain)[:, None, None]
        if self.shape.margin:
            scaled = reflection_padded(scaled, self.shape.margin, self.get_buffer("signs"))
        made = self.synthesis(scaled.contiguous(memory_format=torch.channels_last)) + self._grey
        made = torch.sigmoid(made) if self.shape.final == "sigmoid" else made
        return _cropped(made, self.shape.margin * self.shape.factor)

    @property
    def _grey(self) -> float:
        """The gray that is subtracted from images before the networks and added after; 0 with a final sigmoid."""
        return 0.0 if self.shape.final == "sigmoid" else 0.5


def _cropped(array: Tensor, edge: int) -> Tensor:
    return array[..., edge:-edge, edge:-edge] if edge else array


def reflection_padded(array: Tensor, edge: int, signs: Tensor | None) -> Tensor:
    """Return an array (..., channels, height, width) with reflection padding on all four sides.

    Args:
        array: the array to pad.
        edge: rows and columns to add on each side.
        signs: (2, channels): factors of vertically and horizontally reflected copies; None: all 1.
    """
    for axis in (0, 1):
        dimension = axis - 2
        index, flipped = reflection_indices(array.shape[dimension], edge, edge)
        array = array.index_select(array.ndim + dimension, torch.from_numpy(index).to(array.device))
        if signs is not None:
            factor = 1 + (signs[axis][:, None] - 1) * torch.from_numpy(flipped).to(signs)
            array = array * factor.unsqueeze(-1 if axis == 0 else -2)
    return array


class LinearBypass(nn.Module):
    """A network with a linear bypass: linear(x) + scale x network(x), one scale per channel.

    The scales are 0 at first, so training starts from the bypass alone (ReZero: Bachlechner et al., UAI 2021).
    """

    def __init__(self, linear: nn.Module, network: nn.Module, channels: int) -> None:
        super().__init__()
        self.linear, self.network = linear, network
        self.scale = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum, (images, channels, height, width)."""
        made: Tensor = self.linear(x) + self.scale[:, None, None] * self.network(x)
        return made


def staged_networks(shape: Shape, down: Stage, up: Stage) -> Networks:
    """Return initialised networks of stages between a stem at full size and a 7x7 convolution to the image.

    Args:
        shape: the number of stages and their channels.
        down: makes a stage of the analysis transform, which halves height and width.
        up: makes a stage of the synthesis transform, which doubles them.

    Raises:
        ConfigError: the shape does not fit the lapped transform.
    """
    widths = [*shape.widths, shape.latent_channels]
    analysis: list[nn.Module] = [stem(shape.image_channels, widths[0])]
    synthesis: list[nn.Module] = [nn.Conv2d(widths[0], shape.image_channels, 7, padding=3)]
    for outer, inner in pairwise(widths):
        analysis += down(outer, inner)
        synthesis[:0] = up(inner, outer)
    return initialised(Networks(nn.Sequential(*analysis), nn.Sequential(*synthesis)), shape)


def initialised(made: Networks, shape: Shape) -> Networks:
    """Give networks random first weights; if the shape asks for it, add the lapped transform as a linear bypass.

    Raises:
        ConfigError: the shape does not fit the lapped transform.
    """
    initialise_kaiming(made.analysis)
    initialise_kaiming(made.synthesis)
    if shape.start != "lapped":
        return made
    colours = shape.image_channels
    widths = [colours * 4**stage for stage in range(shape.stages + 1)]
    widths[-1] = shape.latent_channels
    down = [nn.Conv2d(outer, inner, 5, 2, 2) for outer, inner in pairwise(widths)]
    up = [nn.ConvTranspose2d(inner, outer, 5, 2, 2, 1) for outer, inner in pairwise(widths)][::-1]
    path = Networks(nn.Sequential(*down), nn.Sequential(*up))
    initialise_lapped(path)
    return Networks(
        LinearBypass(path.analysis, made.analysis, shape.latent_channels),
        LinearBypass(path.synthesis, made.synthesis, colours),
    )


def initialise_lapped(networks: Networks) -> None:
    """Give three stages of convolutions the weights of the lapped transform, in place; further channels start small.

    Raises:
        ConfigError: the networks have too few channels, or not three stages.
    """
    down = [layer for layer in networks.analysis if isinstance(layer, nn.Conv2d)]
    up = [layer for layer in networks.synthesis if isinstance(layer, nn.ConvTranspose2d)][::-1]
    wanted = kernels(down[0].in_channels)
    least = [kernel.shape[0] for kernel in wanted]
    found = [layer.out_channels for layer in down]
    if len(found) != 3 or found[2] != least[2] or found[0] < least[0] or found[1] < least[1]:
        raise ConfigError(
            f"a lapped start needs 3 stages with at least {least[0]} and {least[1]} channels and exactly "
            f"{least[2]} latent channels, found {found}."
        )
    for kernel, *layers in zip(wanted, down, up, strict=True):
        outputs, inputs = kernel.shape[:2]
        for layer in layers:
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.get_parameter("bias"))
            with torch.no_grad():
                layer.weight[:, inputs:] = 0
                layer.weight[:outputs, :inputs] = torch.from_numpy(kernel)
