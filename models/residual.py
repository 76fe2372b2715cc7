"""The study's network of pre-activation residual blocks (He et al., ECCV 2016); its latents have both signs."""

from __future__ import annotations

from typing import ClassVar

from harness.learned.shape import Networks, Shape
from harness.models.network_codec import NetworkCodec


class Residual(NetworkCodec):
    """Each stage has two blocks, the first of which halves height and width; the synthesis doubles bilinearly."""

    name: ClassVar[str] = "residual"

    @staticmethod
    def networks(shape: Shape) -> Networks:
        """Return fresh networks."""
        from harness.models._autoencoder import staged_networks
        from harness.models._blocks import doubled, pre_activation

        return staged_networks(
            shape,
            down=lambda outer, inner: [pre_activation(outer, inner, 2), pre_activation(inner, inner)],
            up=lambda inner, outer: [
                *doubled(inner, outer, normalised=True),
                pre_activation(outer, outer),
                pre_activation(outer, outer),
            ],
        )
