"""The shape of a network: plain data that recipes and model cards hold, without torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from pydantic import Field

from harness.system.strict import StrictModel


class Shape(StrictModel):
    """The free parameters of an architecture; the defaults are the study's, for gray images at 16x."""

    image_channels: Literal[1, 3] = 1
    base_channels: Annotated[int, Field(ge=4, le=1024)] = 64
    """Channels after the first layer; each later stage but the last has twice as many."""
    latent_channels: Annotated[int, Field(ge=1, le=4096)] = 16
    stages: Annotated[int, Field(ge=2, le=5)] = 4
    """How many times height and width are halved."""
    activation: Literal["study", "gdn"] = "study"
    """study: batch normalisation and (leaky) ReLU; gdn (baseline only): divisive normalisation instead of both."""
    final: Literal["sigmoid", "none"] = "sigmoid"
    """The activation after the last layer."""
    start: Literal["kaiming", "lapped"] = "kaiming"
    """The first weights. kaiming: random; lapped: an orthonormal lapped transform of 8x8 blocks, in the baseline as
    weights of its own layers, in the others as a linear bypass of the network."""
    margin: Annotated[int, Field(ge=0, le=4)] = 0
    """Reflection padding of images and latents before the networks, in latents; it is cropped away behind them."""

    @property
    def factor(self) -> int:
        """Return the number of pixels per latent, in height and in width."""
        return int(2**self.stages)

    @property
    def widths(self) -> list[int]:
        """Return the channels after each stage but the last."""
        return [self.base_channels * 2**stage for stage in range(self.stages)]


class Widths(StrictModel):
    """The free parameters of a network of CompressAI, named as in its papers."""

    N: Annotated[int, Field(ge=4, le=1024)]
    """Channels of the inner layers."""
    M: Annotated[int | None, Field(ge=4, le=1024)] = None
    """Channels of the latents; absent if a network has N of them, too."""

    @property
    def image_channels(self) -> int:
        """Return the number of channels of the images that the networks take."""
        return 3

    @property
    def given(self) -> tuple[int, ...]:
        """Return the numbers in the order of the networks' constructors."""
        return (self.N,) if self.M is None else (self.N, self.M)


AnyShape: TypeAlias = Shape | Widths


class Networks(NamedTuple):
    """An analysis transform (image to latents) and a synthesis transform (latents to image): two torch modules."""

    analysis: Any
    synthesis: Any
