"""A codec defined by two command lines in benchmarks.toml, without code or a shell.

[codecs.my-jpeg]
encode = ["cjpeg", "-quality", "{setting}", "-outfile", "{output}", "{input}"]
decode = ["djpeg", "-outfile", "{output}", "{input}"]
image = "ppm"                    # the format of the image for both programs: png or ppm (gray: pgm)
file = ".jpg"                    # the suffix of the compressed file
takes = ["rgb8", "gray8"]
ladder = {first = 5, last = 100, step = 1}
install = "apt install libjpeg-turbo-progs"
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image as Pillow

from harness.codecs._common import as_image, check_claimed_size, plane, undamaged
from harness.codecs._program import convert, find_program
from harness.errors import BadStreamError, CodecError
from harness.interface import FORMATS, Codec, Image, Setting

_ENDINGS = {"png": ".png", "ppm": ".ppm"}


class Command(Codec):
    """Calls one program to encode and one to decode; {setting} is replaced by the setting."""

    name: ClassVar[str] = "command"
    formats: ClassVar[tuple[str, ...]] = FORMATS
    starts_program: ClassVar[bool] = True

    def __init__(
        self,
        *,
        encode: Sequence[str],
        decode: Sequence[str],
        ladder: Sequence[Setting] | Mapping[str, Setting] = (0,),
        image: str = "png",
        file: str = ".bin",
        takes: Sequence[str] = ("rgb8",),
        install: str = "the package that has it",
    ) -> None:
        """Check the command lines.

        Raises:
            ValueError: a command line lacks {input} or {output}, or a keyword has a wrong value.
            MissingDependencyError: a program is not on the PATH.
        """
        for words in (encode, decode):
            for place in ("{input}", "{output}"):
                if isinstance(words, str) or not any(place in word for word in words):
                    raise ValueError(f"a command line is a list of words that contains {place}, found {words!r}")
        if image not in _ENDINGS or not set(takes) <= set(FORMATS) or not takes:
            raise ValueError(f"image is one of {', '.join(_ENDINGS)}, and takes is a list of {', '.join(FORMATS)}")
        self._programs = {words[0]: find_program(words[0], install) for words in (encode, decode)}
        self._encode, self._decode = list(encode), list(decode)
        self._ladder = _settings(ladder)
        self._image, self._file = image, file
        self.formats = tuple(takes)  # type: ignore[misc]  # they depend on the command line here, not on the class

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return the settings that benchmarks.toml lists."""
        return self._ladder

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return the file that the program wrote."""
        buffer = io.BytesIO()
        Pillow.fromarray(plane(image)).save(buffer, self._image)
        words = {"setting": f"{setting:g}"}
        return convert(self._encode, buffer.getvalue(), (_ENDINGS[self._image], self._file), words)

    def decode(self, data: bytes) -> Image:
        """Return the image in the file that the program wrote."""
        try:
            decoded = convert(self._decode, data, (self._file, _ENDINGS[self._image]), {})
        except CodecError as error:
            raise BadStreamError(str(error)) from error
        with undamaged(self._image), Pillow.open(io.BytesIO(decoded), formats=[self._image.upper()]) as picture:
            check_claimed_size(picture.height, picture.width, self._image)
            samples = np.array(picture)
        return as_image(samples.astype(np.uint16) if samples.dtype == np.int32 else samples, self._image)

    def provenance(self) -> Mapping[str, Any]:
        """Return the command lines, and the sha256 of each program."""
        programs = {name: hashlib.sha256(Path(path).read_bytes()).hexdigest() for name, path in self._programs.items()}
        return {"encode": self._encode, "decode": self._decode, "programs": programs}


def _settings(ladder: Sequence[Setting] | Mapping[str, Setting]) -> tuple[Setting, ...]:
    """Return the settings of a list, or from `first` to `last` by `step`."""
    if not isinstance(ladder, Mapping):
        return tuple(ladder)
    if set(ladder) != {"first", "last", "step"} or ladder["step"] == 0:
        raise ValueError(
            f"a ladder is a list of settings, or a table of first, last and step (not 0), found {dict(ladder)}"
        )
    first, last, step = ladder["first"], ladder["last"], ladder["step"]
    return tuple(first + step * index for index in range(int((last - first) / step) + 1))
