"""The study's network of post-activation residual blocks (He et al., CVPR 2016); its latents are never negative."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from harness.learned.shape import Networks, Shape
from harness.models._codec import NetworkCodec

if TYPE_CHECKING:
    from torch import nn


class ResNet(NetworkCodec):
    """Each stage is one block at its size and one that halves (or doubles) it."""

    name: ClassVar[str] = "resnet"

    @staticmethod
    def networks(shape: Shape) -> Networks:
        """Return fresh networks."""
        from torch import nn

        from harness.models._autoencoder import begun
        from harness.models._blocks import stem

        widths = [*shape.widths, shape.latent_channels]
        down: list[nn.Module] = [stem(shape.image_channels, widths[0])]
        up: list[nn.Module] = [nn.Conv2d(widths[0], shape.image_channels, 7, padding=3)]
        for outer, inner in pairwise(widths):
            down += [_block(outer, outer), _block(outer, inner, 2)]
            up[:0] = [_grow(inner, outer), _block(outer, outer)]
        return begun(Networks(nn.Sequential(*down), nn.Sequential(*up)), shape)


def _block(before: int, after: int, stride: int = 1) -> nn.Module:
    """Return conv-BN-ReLU-conv-BN plus the input (projected where the shape changes), then ReLU."""
    from torch import nn

    from harness.models._blocks import Projection, Sum, relu_pair

    main = nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False),
        *relu_pair(after),
        nn.Conv2d(after, after, 3, 1, 1, bias=False),
        nn.BatchNorm2d(after),
    )
    if before == after and stride == 1:
        return Sum(main, nn.Identity(), nn.ReLU())
    skip = nn.Sequential(Projection(before, after, stride), nn.BatchNorm2d(after))
    return Sum(main, skip, nn.ReLU())


def _grow(before: int, after: int) -> nn.Module:
    """Return the block that doubles: its skip fills one pixel in four."""
    from torch import nn

    from harness.models._blocks import Spread, Sum, relu_pair

    main = nn.Sequential(
        nn.ConvTranspose2d(before, after, 3, 2, 1, 1, bias=False),
        *relu_pair(after),
        nn.Conv2d(after, after, 3, 1, 1, bias=False),
        nn.BatchNorm2d(after),
    )
    return Sum(main, nn.Sequential(Spread(before, after), nn.BatchNorm2d(after)), nn.ReLU())
