"""The study's pre-activation network with attention (CBAM) behind every block."""

from __future__ import annotations

from typing import ClassVar

from harness.learned.shape import Networks, Shape
from harness.models.network_codec import NetworkCodec


class Attention(NetworkCodec):
    """Like `residual`, with channel and spatial attention behind each block."""

    name: ClassVar[str] = "attention"

    @staticmethod
    def networks(shape: Shape) -> Networks:
        """Return fresh networks."""
        from harness.models._autoencoder import staged_networks
        from harness.models._blocks import attended, doubled, pre_activation

        return staged_networks(
            shape,
            down=lambda outer, inner: [
                attended(pre_activation(outer, inner, 2), inner),
                attended(pre_activation(inner, inner), inner),
            ],
            up=lambda inner, outer: [
                *doubled(inner, outer, normalised=False),
                attended(pre_activation(outer, outer), outer),
                attended(pre_activation(outer, outer), outer),
            ],
        )
