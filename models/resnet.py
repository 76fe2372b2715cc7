"""The study's network of post-activation residual blocks (He et al., CVPR 2016); its latents are never negative."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from harness.learned.shape import Networks, Shape
from harness.models.network_codec import NetworkCodec

if TYPE_CHECKING:
    from torch import nn


class ResNet(NetworkCodec):
    """Each stage has one block that keeps height and width, and one that halves (or doubles) them."""

    name: ClassVar[str] = "resnet"

    @staticmethod
    def networks(shape: Shape) -> Networks:
        """Return fresh networks."""
        from harness.models._autoencoder import staged_networks

        return staged_networks(
            shape,
            down=lambda outer, inner: [_block(outer, outer), _block(outer, inner, 2)],
            up=lambda inner, outer: [_doubling_block(inner, outer), _block(outer, outer)],
        )


def _block(before: int, after: int, stride: int = 1) -> nn.Module:
    """Return conv-BN-ReLU-conv-BN plus the input (projected if the shape changes), then ReLU."""
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


def _doubling_block(before: int, after: int) -> nn.Module:
    """Return the block that doubles height and width; its skip connection fills one pixel in four."""
    from torch import nn

    from harness.models._blocks import Spread, Sum, relu_pair

    main = nn.Sequential(
        nn.ConvTranspose2d(before, after, 3, 2, 1, 1, bias=False),
        *relu_pair(after),
        nn.Conv2d(after, after, 3, 1, 1, bias=False),
        nn.BatchNorm2d(after),
    )
    return Sum(main, nn.Sequential(Spread(before, after), nn.BatchNorm2d(after)), nn.ReLU())
