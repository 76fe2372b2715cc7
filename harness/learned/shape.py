"""What a network looks like: plain data, so that recipes and checkpoints can hold it without torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    """The free numbers of an architecture; the defaults are the study's for gray at 16x (ORIGIN of the models)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_channels: Literal[1, 3] = 1
    base_channels: Annotated[int, Field(ge=4, le=1024)] = 64
    """Channels after the first layer; each later stage but the last has twice as many."""
    latent_channels: Annotated[int, Field(ge=1, le=4096)] = 16
    stages: Annotated[int, Field(ge=2, le=5)] = 4
    """How often height and width are halved."""
    activation: Literal["study", "gdn"] = "study"
    """Batch normalisation and (leaky) ReLU; or, baseline only, divisive normalisation (GDN) without either."""
    final: Literal["sigmoid", "none"] = "sigmoid"
    """What follows the last layer."""
    start: Literal["kaiming", "lapped"] = "kaiming"
    """First weights: random; or an orthonormal lapped transform of 8x8 blocks, as weights of the baseline's own layers
    or, in the others, as a linear path beside the network."""
    margin: Annotated[int, Field(ge=0, le=4)] = 0
    """Latents that image and latents are mirrored outwards by before the networks, and cropped after."""

    @property
    def factor(self) -> int:
        """Return how many pixels, each way, one latent stands for."""
        return int(2**self.stages)

    @property
    def widths(self) -> list[int]:
        """Return the channels after each stage but the last."""
        return [self.base_channels * 2**stage for stage in range(self.stages)]


class Widths(BaseModel):
    """The free numbers of a network of CompressAI, as its papers call them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    N: Annotated[int, Field(ge=4, le=1024)]
    """Channels of the inner layers."""
    M: Annotated[int | None, Field(ge=4, le=1024)] = None
    """Channels of the latents; absent where a network has N of them."""

    @property
    def image_channels(self) -> int:
        """Return the channels of the images that the networks take."""
        return 3

    @property
    def given(self) -> tuple[int, ...]:
        """Return the numbers in the order of the networks' constructors."""
        return (self.N,) if self.M is None else (self.N, self.M)


AnyShape: TypeAlias = Shape | Widths


class Networks(NamedTuple):
    """An analysis (image to latents) and a synthesis (latents to image): two torch modules."""

    analysis: Any
    synthesis: Any
