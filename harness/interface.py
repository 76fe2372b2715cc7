"""The one interface that every codec has: classical, learned, or a plugin.

Laws (the contract tests and `harness codec check` hold every codec to them):

- `decode` needs the bytes alone: a new instance in another process decodes them.
- The decoded image has the shape and dtype of the encoded one.
- The same image and setting give the same bytes.
- The input is left as it was.
- Any size from 1x1 works; a format's own limit is an `UnsupportedImageError`.
- Damaged or foreign bytes end in an image or in `BadStreamError`, in bounded time and memory.
- Constructing a codec loads nothing heavy and starts no program.

A codec does not time, score or aim at a rate: the harness does, the same way for all.
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
"""The one number that a codec is told: a quality, a distance, a quantisation step, ..."""

FORMATS = ("rgb8", "gray8", "gray16")
"""The kinds of image there are, as a codec names those it takes."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma, full range (ITU-R BT.601-7, section 2.5.1)."""

MAX_PIXELS = 2**28
"""No image of more pixels (height x width) is read, encoded or decoded: 268 megapixels."""


def image_format(image: Image) -> str:
    """Return which of `FORMATS` an image is.

    Raises:
        UnsupportedImageError: it is none of them.
    """
    kinds = {("uint8", 3): "rgb8", ("uint8", 1): "gray8", ("uint16", 1): "gray16"}
    kind = kinds.get((image.dtype.name, image.shape[2])) if image.ndim == 3 else None
    if kind is None or 0 in image.shape:
        raise UnsupportedImageError(
            f"an image of dtype {image.dtype} and shape {image.shape} was given; "
            "taken are uint8 (height, width, 3), uint8 (height, width, 1) and uint16 (height, width, 1)."
        )
    return kind


def raw_bytes(image: Image) -> int:
    """Return height x width x channels x bytes per sample: the numerator of every ratio."""
    return image.nbytes


class Codec(ABC):
    """A way to make a file from an image, and an image from that file's bytes alone.

    A subclass is final; its variants are keywords of its constructor (benchmarks.toml names them).
    """

    name: ClassVar[str]
    """The registered name, such as "jpeg"; a variant's id, such as "jpeg-444", is the harness's."""

    formats: ClassVar[tuple[str, ...]]
    """Which of `FORMATS` it takes."""

    lossless: ClassVar[bool] = False
    """True for a codec whose every decode is exact: it rides along in the lossless control."""

    seconds_per_megapixel: ClassVar[float] = 0.0
    """About how long one encode, or one decode, takes on one processor, for a codec so slow (over ten seconds a
    megapixel) that a run should say so beforehand; 0 for any other."""

    starts_program: ClassVar[bool] = False
    """True for a codec whose every call starts a program: the timing pass shows what that start takes apart."""

    @property
    @abstractmethod
    def ladder(self) -> Sequence[Setting]:
        """Its settings in one parameter, smallest files first; never empty."""

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
            BadStreamError: the bytes are no intact file of this codec.
        """

    @abstractmethod
    def provenance(self) -> Mapping[str, Any]:
        """Return what decides the bytes, as JSON types: versions, effective parameters, sha256 of weights."""


@dataclass(frozen=True)
class Encoded:
    """A file, and the setting that makes it again."""

    data: bytes
    setting: Setting


class BudgetCodec(Codec):
    """A codec whose own rate control can fill a number of bytes."""

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
        """Return None when the weights for its ratio are here, else what is missing and what to do."""

    def out_of_reach(self) -> Mapping[str, str]:
        """Return which of `FORMATS` its weights cannot bring to its ratio, each with the reason; here none.

        A ratio is one of raw bytes, of which a pixel has 3, 1 or 2: weights that end at some bits a pixel reach other
        ratios on gray images than on colour ones.
        """
        return {}

    @abstractmethod
    def training_fingerprints(self) -> Sequence[str] | None:
        """Return perceptual fingerprints of the images it was trained on; None when nobody knows.

        Each is a tile as `harness.data.contamination.fingerprint` makes it, 30 lower-case hexadecimal digits: 16 of its
        signs, 6 of the number of its image (another for each image), 4 of its row, 4 of its column, both in steps of 4
        pixels.
        They are those of this `harness.data.contamination.VERSION`: where another version made them, return None.
        """

    def predicted_sizes(self, image: Image) -> Sequence[float] | None:
        """Return about how many bytes the file has at each setting of the ladder; None, as here, if it cannot say.

        Worth it where it takes far less time than one encode: a search for a ratio starts from it, and nothing but
        how many encodes it takes depends on it.
        """
        return None

    @abstractmethod
    def estimated_bits(self, image: Image, setting: Setting) -> float | None:
        """Return how many bits its own model gives the image at a setting, headers left out; None if it cannot say."""
