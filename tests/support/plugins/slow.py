"""Two sound codecs that are slow, so that a test can catch a run in the middle."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, ClassVar

from harness import Codec, Image, Setting

_where = spec_from_file_location("sound_for_slow", Path(__file__).with_name("sound.py"))
assert _where is not None and _where.loader is not None
_module = module_from_spec(_where)
_where.loader.exec_module(_module)
_sound: Codec = _module.Bits()


class Slow(Codec):
    """Encodes in a tenth of a second."""

    name: ClassVar[str] = "slow"
    formats: ClassVar[tuple[str, ...]] = ("rgb8", "gray8")

    @property
    def ladder(self) -> Sequence[Setting]:
        return _sound.ladder

    def encode(self, image: Image, setting: Setting) -> bytes:
        time.sleep(0.1)
        return _sound.encode(image, setting)

    def decode(self, data: bytes) -> Image:
        return _sound.decode(data)

    def provenance(self) -> Mapping[str, Any]:
        return {"format": 1}


class Slower(Codec):
    """Decodes in a tenth of a second."""

    name: ClassVar[str] = "slower"
    formats: ClassVar[tuple[str, ...]] = ("rgb8", "gray8")

    @property
    def ladder(self) -> Sequence[Setting]:
        return _sound.ladder

    def encode(self, image: Image, setting: Setting) -> bytes:
        return _sound.encode(image, setting)

    def decode(self, data: bytes) -> Image:
        time.sleep(0.1)
        return _sound.decode(data)

    def provenance(self) -> Mapping[str, Any]:
        return {"format": 1}
