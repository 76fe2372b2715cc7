"""The study's pre-activation network with attention (CBAM) behind every block."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from harness.learned.shape import Networks, Shape
from harness.models._codec import NetworkCodec


class Attention(NetworkCodec):
    """As `residual`, with channel and spatial attention after each block."""

    name: ClassVar[str] = "attention"

    @staticmethod
    def networks(shape: Shape) -> Networks:
        """Return fresh networks."""
        from torch import nn

        from harness.models._autoencoder import begun
        from harness.models._blocks import attended, doubled, pre_activation, stem

        widths = [*shape.widths, shape.latent_channels]
        down: list[nn.Module] = [stem(shape.image_channels, widths[0])]
        up: list[nn.Module] = [nn.Conv2d(widths[0], shape.image_channels, 7, padding=3)]
        for outer, inner in pairwise(widths):
            down += [
                attended(pre_activation(outer, inner, 2), inner),
                attended(pre_activation(inner, inner), inner),
            ]
            up[:0] = [
                *doubled(inner, outer, normalised=False),
                attended(pre_activation(outer, outer), outer),
                attended(pre_activation(outer, outer), outer),
            ]
        return begun(Networks(nn.Sequential(*down), nn.Sequential(*up)), shape)
