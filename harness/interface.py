"""The one interface that every codec has: classical, learned, or a plugin.

Every codec must meet these rules; the contract tests and `harness codec check` test them:

- `decode` needs the bytes alone: a new instance in another process decodes them.
- The decoded image has the shape and dtype of the encoded one.
- The same image and setting give the same bytes.
- `encode` does not change its input.
- Any size from 1x1 works; where the format has a limit, `encode` raises `UnsupportedImageError`.
- `decode` turns damaged or foreign bytes into an image or a `BadStreamError`, in bounded time and memory.
- Constructing a codec loads nothing heavy and starts no program.

A codec does not time, score or search for a rate: the harness does, the same way for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from harness.errors import UnsupportedImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Image: TypeAlias = "NDArray[np.uint8] | NDArray[np.uint16]"
"""C-contiguous uint8 (height, width, 3) sRGB, uint8 (height, width, 1) or uint16 (height, width, 1)."""

Setting: TypeAlias = int | float
"""The one number that controls a codec: a quality, a distance, a quantisation step, ..."""

FORMATS = ("rgb8", "gray8", "gray16")
"""The image formats: a codec names those that it takes."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma, full range (ITU-R BT.601-7, section 2.5.1)."""

MAX_PIXELS = 2**28
"""The most pixels (height x width) that an image may have: 268 megapixels."""


def image_format(image: Image) -> str:
    """Return which of `FORMATS` an image is.

    Raises:
        UnsupportedImageError: it is none of them.
    """
    kinds = {("uint8", 3): "rgb8", ("uint8", 1): "gray8", ("uint16", 1): "gray16"}
    kind = kinds.get((image.dtype.name, image.shape[2])) if image.ndim == 3 else None
    if kind is None or 0 in image.shape:
        raise UnsupportedImageError(
            f"found an image of dtype {image.dtype} and shape {image.shape}; "
            "expected uint8 (height, width, 3), uint8 (height, width, 1) or uint16 (height, width, 1)."
        )
    return kind


def raw_bytes(image: Image) -> int:
    """Return height x width x channels x bytes per sample: the numerator of every ratio."""
    return image.nbytes


class Codec(ABC):
    """Makes a file from an image, and an image from that file's bytes alone.

    Do not derive from a subclass: its variants are keywords of its constructor (benchmarks.toml names them).
    """

    name: ClassVar[str]
    """The registered name, such as "jpeg"; the id of a variant, such as "jpeg-444", comes from benchmarks.toml."""

    formats: ClassVar[tuple[str, ...]]
    """Which of `FORMATS` the codec takes."""

    lossless: ClassVar[bool] = False
    """True when every decode is exact: the codec then takes part in the lossless control."""

    seconds_per_megapixel: ClassVar[float] = 0.0
    """About how long one encode or decode takes on one processor, where that is over ten seconds per megapixel, so that
    a run can say so in advance; 0 for any other codec."""

    starts_program: ClassVar[bool] = False
    """True when every call starts a program: `harness time` then shows the time of that start as well."""

    @property
    @abstractmethod
    def ladder(self) -> Sequence[Setting]:
        """Every setting, smallest files first; never empty."""

    @abstractmethod
    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return the whole file, headers included.

        Raises:
            UnsupportedImageError: the format cannot hold this image.
        """

    @abstractmethod
    def decode(self, data: bytes) -> Image:
        """Return the image in a file that `encode` made.

        Raises:
            BadStreamError: the bytes are not an intact file of this codec.
        """

    @abstractmethod
    def provenance(self) -> Mapping[str, Any]:
        """Return everything that decides the bytes, as JSON types: versions, parameters, sha256 of weights."""


@dataclass(frozen=True)
class Encoded:
    """A file, and the setting that makes it again."""

    data: bytes
    setting: Setting


class BudgetCodec(Codec):
    """A codec with its own rate control: it can aim at a number of bytes."""

    @abstractmethod
    def encode_to_budget(self, image: Image, max_bytes: int) -> Encoded:
        """Return the best file of at most `max_bytes`; `encode` with its setting gives the same bytes.

        Raises:
            BudgetError: no file fits.
        """


class LearnedCodec(Codec):
    """A codec with trained weights; each instance is for one target ratio.

    Its constructor takes the keyword `ratio`: the target (raw bytes / file bytes) whose checkpoint encodes.
    The stream names the weights, so an instance for any ratio decodes it.
    """

    @abstractmethod
    def missing(self) -> str | None:
        """Return None when the weights for its ratio are here; otherwise say what is missing and what to do."""

    def out_of_reach(self) -> Mapping[str, str]:
        """Return the image formats that its weights cannot bring to its ratio, each with the reason; by default none.

        A pixel has 3, 1 or 2 raw bytes, depending on the format, so weights that are limited to some bits per pixel
        reach other ratios on gray images than on colour images.
        """
        return {}

    @abstractmethod
    def training_fingerprints(self) -> Sequence[str] | None:
        """Return perceptual fingerprints of the images it was trained on; None when nobody knows.

        Each describes one tile, as `harness.data.contamination.fingerprint` makes it, in 30 lower-case hexadecimal
        digits: 16 of its signs, 6 of the number of its image (a different one for each image), 4 of its row and 4 of
        its column, both in steps of 4 pixels. Return None where they are of another version than
        `harness.data.contamination.VERSION`.
        """

    def predicted_sizes(self, image: Image) -> Sequence[float] | None:
        """Return about how many bytes the file has at each setting of the ladder; None, as by default, if unknown.

        Implement it if it is much faster than one encode: the search for a ratio starts from it and needs fewer
        encodes. Nothing else depends on it.
        """
        return None

    @abstractmethod
    def estimated_bits(self, image: Image, setting: Setting) -> float | None:
        """Return the bits that its entropy model estimates for an image, without headers; None if unknown."""
