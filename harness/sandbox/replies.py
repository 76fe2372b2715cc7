"""What a codec process replies: one model per call, validated once, by the process that does not trust the codec.

The child (child.py) sends what the codec said, as JSON and plain bytes. Plugin code may say anything, and may write to
the pipe itself, so nothing in a reply is used before its model took it.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, PlainValidator, PositiveInt, ValidationError
from pydantic_core import PydanticCustomError

from harness.errors import ConformanceError
from harness.interface import Image
from harness.system.strict import explain

MAX_LADDER = 65_536
"""No ladder has more settings."""
MAX_INTEGER = 2**53
"""No setting is a larger integer: a double, as the store keeps settings, holds all integers up to it."""
_MAX_AXES = 8


def _stored_exactly(value: object) -> int | float:
    """Return a setting, a number that the record store keeps as it is."""
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > MAX_INTEGER:
            raise PydanticCustomError("setting", "an integer should be at most 2^53")
        return value
    if not isinstance(value, float) or not math.isfinite(value):
        raise PydanticCustomError("setting", "input should be a finite number")
    return value


_Setting: TypeAlias = Annotated[int | float, PlainValidator(_stored_exactly)]
_Quantity: TypeAlias = Annotated[float, Field(ge=0)]


class Reply(BaseModel):
    """Every reply: no text stands for a number, and every number is finite."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)
    title: ClassVar[str]
    """What it is, in an error message."""


AnyReply = TypeVar("AnyReply", bound=Reply)


class Failure(Reply):
    """The reply to a call that failed."""

    title: ClassVar[str] = "error"
    error: str
    """The name of a class of harness/errors.py."""
    message: str


class Description(Reply):
    """What a codec says of itself."""

    title: ClassVar[str] = "description"
    formats: Annotated[tuple[str, ...], Field(strict=False)]
    ladder: Annotated[tuple[_Setting, ...], Field(strict=False, min_length=1, max_length=MAX_LADDER)]
    lossless: bool
    budget: bool
    """It has its own rate control (`BudgetCodec`)."""
    learned: bool
    threaded: bool
    """Its constructor takes the keyword `threads`."""
    missing: str | None
    """Why a learned codec cannot run: its weights are not here, and what to do. None when it can."""
    provenance: dict[str, JsonValue]
    seconds_per_megapixel: _Quantity = 0.0
    """How long one encode or decode of a slow codec takes; 0 for any other."""
    program: bool = False
    """Each of its calls starts a program."""
    out_of_reach: dict[str, str] = {}
    """Image formats that a learned codec's weights cannot bring to its ratio -> the reason."""


class Fingerprints(Reply):
    """Whether a learned codec knows its training images; their fingerprints are the payload."""

    title: ClassVar[str] = "training fingerprints"
    known: bool


class EstimateReply(Reply):
    """A learned codec's own estimate of one file."""

    title: ClassVar[str] = "estimate"
    bits: float | None


class PredictedSizes(Reply):
    """About how many bytes a learned codec's file has at each setting; None where it cannot say."""

    title: ClassVar[str] = "prediction"
    sizes: Annotated[list[Annotated[float, Field(gt=0)]], Field(max_length=MAX_LADDER)] | None


class Timed(Reply):
    """How long each of several equal calls took, and the most memory that the process held."""

    title: ClassVar[str] = "reply"
    seconds: Annotated[tuple[_Quantity, ...], Field(strict=False, min_length=1)]
    """The first call, then the others."""
    peak_rss_mb: _Quantity
    peak_cuda_mb: _Quantity


class ChosenFile(Timed):
    """The setting that a rate control chose; the file is the payload."""

    title: ClassVar[str] = "rate control's choice"
    setting: _Setting


class ImageShape(Reply):
    """How the plain bytes of an image are read."""

    dtype: Literal["uint8", "uint16"]
    shape: Annotated[tuple[PositiveInt, ...], Field(strict=False, min_length=1, max_length=_MAX_AXES)]

    @classmethod
    def of(cls, image: Image) -> ImageShape:
        """Return the shape of an image."""
        return cls.model_validate({"dtype": image.dtype.name, "shape": image.shape})

    def image(self, payload: bytes) -> Image:
        """Return the image that a payload holds; it cannot be written to.

        Raises:
            ConformanceError: the payload is longer or shorter.
        """
        size = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        if size != len(payload):
            raise ConformanceError(f"decode returned {self} in {len(payload)} bytes; expected {size} bytes.")
        return np.frombuffer(payload, self.dtype).reshape(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


class Decoded(Timed):
    """The shape of a decoded image; its samples are the payload."""

    title: ClassVar[str] = "decoded image"
    image: ImageShape


def read(model: type[AnyReply], reply: Any) -> AnyReply:
    """Return a reply as its model.

    Raises:
        ConformanceError: the codec said something else than the interface allows, or wrote to the pipe itself.
    """
    try:
        return model.model_validate(reply)
    except ValidationError as error:
        raise ConformanceError(f"its {model.title} is malformed: {explain(error, '')}") from error
