"""The whole network around an analysis and a synthesis. Imports torch: import this only when used."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from harness.errors import ConfigError
from harness.learned.shape import Networks, Shape
from harness.learned.tensors import mirrored
from harness.models._blocks import start_kaiming
from harness.models._lapped_transform import kernels, mirror_signs


class Coder(nn.Module):
    """Image to latents in quantisation steps, and back.

    Images are (images, channels, height, width) in 0..1; latents (images, latent channels, height / factor,
    width / factor), where a quantisation step of 1 is the trained one.
    """

    def __init__(self, shape: Shape, networks: Networks) -> None:
        super().__init__()
        self.shape = shape
        self.analysis, self.synthesis = networks
        self.gain = nn.Parameter(torch.zeros(shape.latent_channels))
        """Natural logarithm of the factor from the network's latents to steps."""
        self.centre = nn.Parameter(torch.zeros(shape.latent_channels))
        """The value, in steps, that becomes the integer 0."""
        self.place_signs()

    def place_signs(self) -> None:
        """Set what mirrored latents are multiplied by; it follows from the shape alone."""
        shape = self.shape
        lapped = shape.start == "lapped"
        signs = mirror_signs(shape.image_channels) if lapped else np.ones((2, shape.latent_channels), np.float32)
        self.register_buffer("signs", torch.tensor(signs, device="cpu"), persistent=False)

    def latents(self, images: Tensor) -> Tensor:
        """Return the latents of images whose height and width are multiples of the factor."""
        edge = self.shape.margin * self.shape.factor
        if edge:
            images = outwards(images, edge, None)
        made = self.analysis(images.contiguous(memory_format=torch.channels_last) - self._grey)
        inner = _cropped(made, self.shape.margin)
        return inner * torch.exp(self.gain)[:, None, None] - self.centre[:, None, None]

    def images(self, latents: Tensor) -> Tensor:
        """Return the images of latents; nothing is clipped or rounded."""
        scaled = (latents + self.centre[:, None, None]) * torch.exp(-self.gain)[:, None, None]
        if self.shape.margin:
            scaled = outwards(scaled, self.shape.margin, self.get_buffer("signs"))
        made = self.synthesis(scaled.contiguous(memory_format=torch.channels_last)) + self._grey
        made = torch.sigmoid(made) if self.shape.final == "sigmoid" else made
        return _cropped(made, self.shape.margin * self.shape.factor)

    @property
    def _grey(self) -> float:
        """What is subtracted from images before a network without a final sigmoid, and added after it."""
        return 0.0 if self.shape.final == "sigmoid" else 0.5


def _cropped(array: Tensor, edge: int) -> Tensor:
    return array[..., edge:-edge, edge:-edge] if edge else array


def outwards(array: Tensor, edge: int, signs: Tensor | None) -> Tensor:
    """Return an array (..., channels, height, width) mirrored outwards by `edge` on all four sides.

    Args:
        array: what is continued.
        edge: by how many rows and columns.
        signs: (2, channels): factors of vertically and of horizontally mirrored copies; None for 1.
    """
    for axis in (0, 1):
        dimension = axis - 2
        index, flipped = mirrored(array.shape[dimension], edge, edge)
        array = array.index_select(array.ndim + dimension, torch.from_numpy(index).to(array.device))
        if signs is not None:
            factor = 1 + (signs[axis][:, None] - 1) * torch.from_numpy(flipped).to(signs)
            array = array * factor.unsqueeze(-1 if axis == 0 else -2)
    return array


class Beside(nn.Module):
    """A linear path and a network beside it: linear(x) + scale x network(x), one scale a channel, 0 at first.

    So training starts from the linear path alone (ReZero: Bachlechner et al., UAI 2021).
    """

    def __init__(self, linear: nn.Module, network: nn.Module, channels: int) -> None:
        super().__init__()
        self.linear, self.network = linear, network
        self.scale = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum, (images, channels, height, width)."""
        made: Tensor = self.linear(x) + self.scale[:, None, None] * self.network(x)
        return made


def begun(made: Networks, shape: Shape) -> Networks:
    """Return random first weights in networks of blocks, and where the shape asks for it, the lapped transform beside.

    Raises:
        ConfigError: the shape does not fit the lapped transform.
    """
    start_kaiming(made.analysis)
    start_kaiming(made.synthesis)
    if shape.start != "lapped":
        return made
    colours = shape.image_channels
    widths = [colours * 4**stage for stage in range(shape.stages + 1)]
    widths[-1] = shape.latent_channels
    down = [nn.Conv2d(outer, inner, 5, 2, 2) for outer, inner in pairwise(widths)]
    up = [nn.ConvTranspose2d(inner, outer, 5, 2, 2, 1) for outer, inner in pairwise(widths)][::-1]
    path = Networks(nn.Sequential(*down), nn.Sequential(*up))
    start_lapped(path)
    return Networks(
        Beside(path.analysis, made.analysis, shape.latent_channels), Beside(path.synthesis, made.synthesis, colours)
    )


def start_lapped(networks: Networks) -> None:
    """Give three stages of convolutions the weights of the lapped transform, in place; what is left over starts small.

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
