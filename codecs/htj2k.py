"""High-throughput JPEG 2000 (ITU-T T.814): OpenJPH encodes (through imagecodecs), OpenJPEG decodes (through Pillow).

The decoder in imagecodecs is wrong for lossy files: samples above 255 wrap to 0, which costs up to 15 dB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import imagecodecs
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from harness.codecs import _pillow
from harness.codecs._common import geometric, plane
from harness.interface import FORMATS, Codec, Image, Setting


class Htj2k(Codec):
    """Settings: the quantisation step of the 9/7 transform, as a share of the sample range, 0.5 to 0.00002."""

    name: ClassVar[str] = "htj2k"
    formats: ClassVar[tuple[str, ...]] = FORMATS

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return steps in factors of 1.03."""
        return geometric(0.5, 0.00002, 1.03)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return an HTJ2K codestream."""
        return bytes(imagecodecs.htj2k_encode(plane(image), level=float(setting), reversible=False))

    def decode(self, data: bytes) -> Image:
        """Return the image in an HTJ2K codestream."""
        return _pillow.read(data, Jpeg2KImageFile, "HTJ2K")

    def provenance(self) -> Mapping[str, Any]:
        """Return the versions of imagecodecs and OpenJPH, Pillow and OpenJPEG."""
        encoder = {"imagecodecs": imagecodecs.__version__, "encoder": imagecodecs.htj2k_version()}
        return {**encoder, **_pillow.versions("jpg_2000")}
