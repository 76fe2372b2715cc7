"""The codec new-codec: samples divided by a step, rounded, and deflated. Replace encode and decode with your own."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from harness import MAX_PIXELS, Codec, Image, Setting
from harness.errors import BadStreamError

_HEADER = struct.Struct("<4sIIB")
_MAGIC = b"NEW1"


class NewCodec(Codec):
    """What it is, and which library does the work."""

    name: ClassVar[str] = "new-codec"
    formats: ClassVar[tuple[str, ...]] = ("rgb8",)

    @property
    def ladder(self) -> Sequence[Setting]:
        """Steps, smallest files first."""
        return tuple(range(96, 0, -1))

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return the whole file, with everything that decode needs: its bytes are counted."""
        height, width, _ = image.shape
        rounded = np.rint(image / setting).astype(np.uint8)
        differences = np.diff(rounded, axis=1, prepend=np.uint8(0))
        return _HEADER.pack(_MAGIC, height, width, int(setting)) + zlib.compress(differences.tobytes(), 9)

    def decode(self, data: bytes) -> Image:
        """Return the image; damaged bytes raise BadStreamError before any large allocation."""
        if len(data) < _HEADER.size:
            raise BadStreamError(f"the file ends after {len(data)} bytes.")
        magic, height, width, step = _HEADER.unpack_from(data)
        if magic != _MAGIC or not 0 < height * width <= MAX_PIXELS or step == 0:
            raise BadStreamError("this is not a file of new-codec.")
        size = height * width * 3
        try:
            samples = zlib.decompressobj().decompress(data[_HEADER.size :], size)
        except zlib.error as error:
            raise BadStreamError(f"the file is damaged: {error}.") from error
        if len(samples) != size:
            raise BadStreamError(f"the file holds {len(samples)} samples of {size}.")
        rounded = np.cumsum(np.frombuffer(samples, np.uint8).reshape(height, width, 3), axis=1, dtype=np.uint8)
        image: Image = np.minimum(rounded.astype(np.uint16) * step, 255).astype(np.uint8)
        return image

    def provenance(self) -> Mapping[str, Any]:
        """Return everything that decides the bytes: versions and parameters."""
        return {"zlib": zlib.ZLIB_RUNTIME_VERSION, "level": 9}
