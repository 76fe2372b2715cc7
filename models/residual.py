"""The study's network of pre-activation residual blocks (He et al., ECCV 2016); its latents have both signs."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from harness.learned.shape import Networks, Shape
from harness.models._codec import NetworkCodec


class Residual(NetworkCodec):
    """Each stage is two blocks, the first of which halves; bilinear doubling on the way back."""

    name: ClassVar[str] = "residual"

    @staticmethod
    def networks(shape: Shape) -> Networks:
        """Return fresh networks."""
        from torch import nn

        from harness.models._autoencoder import begun
        from harness.models._blocks import doubled, pre_activation, stem

        widths = [*shape.widths, shape.latent_channels]
        down: list[nn.Module] = [stem(shape.image_channels, widths[0])]
        up: list[nn.Module] = [nn.Conv2d(widths[0], shape.image_channels, 7, padding=3)]
        for outer, inner in pairwise(widths):
            down += [pre_activation(outer, inner, 2), pre_activation(inner, inner)]
            up[:0] = [
                *doubled(inner, outer, normalised=True),
                pre_activation(outer, outer),
                pre_activation(outer, outer),
            ]
        return begun(Networks(nn.Sequential(*down), nn.Sequential(*up)), shape)
