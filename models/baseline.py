"""The study's plain network: 5x5 convolutions of stride 2, without residual blocks.

`activation = "gdn"` selects divisive normalisation (Balle et al., ICLR 2017). `start = "lapped"` initialises the
weights with an orthonormal lapped transform, which is a good transform before any training.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from harness.learned.shape import Networks, Shape
from harness.models.network_codec import NetworkCodec

if TYPE_CHECKING:
    from torch import nn


class Baseline(NetworkCodec):
    """Convolutions down, transposed convolutions up."""

    name: ClassVar[str] = "baseline"

    @staticmethod
    def networks(shape: Shape) -> Networks:
        """Return fresh networks."""
        from torch import nn

        from harness.models._autoencoder import initialise_lapped
        from harness.models._blocks import initialise_kaiming

        widths = [shape.image_channels, *shape.widths[:-1], shape.latent_channels]
        plain = shape.activation == "study"
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for stage, (outer, inner) in enumerate(pairwise(widths)):
            last, first = stage == shape.stages - 1, stage == 0
            down.append(nn.Conv2d(outer, inner, 5, 2, 2, bias=last or not plain))
            down.extend([] if last else _between(inner, plain, decoder=False))
            back: nn.Module = nn.ConvTranspose2d(inner, outer, 5, 2, 2, 1, bias=first or not plain)
            up[:0] = [back, *([] if first else _between(outer, plain, decoder=True))]
        made = Networks(nn.Sequential(*down), nn.Sequential(*up))
        if shape.start == "lapped":
            initialise_lapped(made)
        else:
            initialise_kaiming(made.analysis, 0.2)
            initialise_kaiming(made.synthesis)
        return made


def _between(channels: int, plain: bool, decoder: bool) -> list[nn.Module]:
    """Return the layers between two convolutions: the study's BN and (leaky) ReLU, or GDN."""
    from torch import nn

    from harness.models._blocks import Gdn

    if not plain:
        return [Gdn(channels, inverse=decoder)]
    return [nn.BatchNorm2d(channels), nn.ReLU() if decoder else nn.LeakyReLU(0.2)]
