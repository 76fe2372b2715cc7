"""JPEG XL (ISO/IEC 18181) by libjxl, through imagecodecs: lossy (VarDCT) and lossless (modular)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import imagecodecs

from harness.codecs._common import as_image, check_claimed_size, geometric, undamaged
from harness.codecs._jxl_header import read_size
from harness.interface import FORMATS, Codec, Image, Setting


class Jxl(Codec):
    """Settings: libjxl's distance, 25 to 0.01, in units of a just visible difference.

    `effort` is 1 to 9. A uint16 image is stored with as many bits as its largest sample needs, because the distance is
    relative to the range. The bytes do not depend on `threads`.
    """

    name: ClassVar[str] = "jxl"
    formats: ClassVar[tuple[str, ...]] = FORMATS

    def __init__(self, effort: int = 7, threads: int = 1) -> None:
        self._effort, self._threads = _checked(effort, threads)

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return distances in factors of 1.025."""
        return geometric(25, 0.01, 1.025)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a JPEG XL codestream."""
        return bytes(
            imagecodecs.jpegxl_encode(
                image,
                effort=self._effort,
                distance=float(setting),
                lossless=False,
                bitspersample=_bits(image),
                numthreads=self._threads,
            )
        )

    def decode(self, data: bytes) -> Image:
        """Return the image in a JPEG XL file."""
        return _decode(data, self._threads)

    def provenance(self) -> Mapping[str, Any]:
        """Return the versions of imagecodecs and libjxl, and the effort."""
        return {**_versions(), "effort": self._effort, "lossless": False}


class JxlLossless(Codec):
    """One setting, which has no effect. `effort` is 1 to 9."""

    name: ClassVar[str] = "jxl-lossless"
    formats: ClassVar[tuple[str, ...]] = FORMATS
    lossless: ClassVar[bool] = True

    def __init__(self, effort: int = 7, threads: int = 1) -> None:
        self._effort, self._threads = _checked(effort, threads)

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return the one setting: distance 0."""
        return (0,)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a JPEG XL file."""
        return bytes(imagecodecs.jpegxl_encode(image, effort=self._effort, lossless=True, numthreads=self._threads))

    def decode(self, data: bytes) -> Image:
        """Return the image in a JPEG XL file."""
        return _decode(data, self._threads)

    def provenance(self) -> Mapping[str, Any]:
        """Return the versions of imagecodecs and libjxl, and the effort."""
        return {**_versions(), "effort": self._effort, "lossless": True}


def _checked(effort: int, threads: int) -> tuple[int, int]:
    if effort not in range(1, 10) or threads < 1:
        raise ValueError(f"effort is 1 to 9, not {effort!r}, and threads at least 1, not {threads!r}")
    return effort, threads


def _bits(image: Image) -> int | None:
    """Return the bits per sample to store: None for uint8; at least 9 for uint16, so that it decodes to uint16."""
    return max(9, int(image.max()).bit_length()) if image.dtype.itemsize == 2 else None


def _decode(data: bytes, threads: int) -> Image:
    with undamaged("JPEG XL"):
        size = read_size(data)
        check_claimed_size(size.height, size.width, "JPEG XL")
        return as_image(imagecodecs.jpegxl_decode(data, numthreads=threads), "JPEG XL")


def _versions() -> dict[str, str]:
    return {"imagecodecs": imagecodecs.__version__, "library": imagecodecs.jpegxl_version()}
