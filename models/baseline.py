"""The study's plain network: stride-2 convolutions of 5x5, no blocks.

With `activation = "gdn"` its normalisation is divisive (as in Balle et al., ICLR 2017), and with
`start = "lapped"` its first weights are an orthonormal lapped transform, so that training starts from a good coder.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from harness.learned.shape import Networks, Shape
from harness.models._codec import NetworkCodec

if TYPE_CHECKING:
    from torch import nn


class Baseline(NetworkCodec):
    """Convolutions down, transposed convolutions up."""

    name: ClassVar[str] = "baseline"

    @staticmethod
    def networks(shape: Shape) -> Networks:
        """Return fresh networks."""
        from torch import nn

        from harness.models._autoencoder import start_lapped
        from harness.models._blocks import start_kaiming

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
            start_lapped(made)
        else:
            start_kaiming(made.analysis, 0.2)
            start_kaiming(made.synthesis)
        return made


def _between(channels: int, plain: bool, decoder: bool) -> list[nn.Module]:
    """Return what stands between two layers: the study's BN and (leaky) ReLU, or GDN."""
    from torch import nn

    from harness.models._blocks import Gdn

    if not plain:
        return [Gdn(channels, inverse=decoder)]
    return [nn.BatchNorm2d(channels), nn.ReLU() if decoder else nn.LeakyReLU(0.2)]
