"""Codecs that cannot say what they are, each in one way."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, ClassVar, cast

import numpy as np

from harness import Codec, Image, Setting
from harness.errors import MissingDependencyError


class _Described(Codec):
    formats: ClassVar[tuple[str, ...]] = ("rgb8",)

    @property
    def ladder(self) -> Sequence[Setting]:
        return cast("Sequence[Setting]", self.settings())

    @abstractmethod
    def settings(self) -> Any:
        """Return the ladder, or what is none."""

    def encode(self, image: Image, setting: Setting) -> bytes:
        return b"x"

    def decode(self, data: bytes) -> Image:
        return np.zeros((1, 1, 3), np.uint8)

    def provenance(self) -> Mapping[str, Any]:
        return {}


class Endless(_Described):
    name = "endless-ladder"

    def settings(self) -> Any:
        return count()


class Empty(_Described):
    name = "empty-ladder"

    def settings(self) -> Any:
        return ()


class Words(_Described):
    name = "ladder-of-words"

    def settings(self) -> Any:
        return ("low", "high")


class NoNumbers(_Described):
    name = "ladder-of-nan"

    def settings(self) -> Any:
        return (1.0, float("nan"))


class NoJson(_Described):
    name = "provenance-not-json"

    def settings(self) -> Any:
        return (1,)

    def provenance(self) -> Mapping[str, Any]:
        return {"library": object()}


class NoMapping(_Described):
    name = "provenance-no-mapping"

    def settings(self) -> Any:
        return (1,)

    def provenance(self) -> Mapping[str, Any]:
        return cast("Mapping[str, Any]", 7)


class NotBuilt(_Described):
    name = "constructor-raises"

    def __init__(self) -> None:
        raise ValueError("not today")

    def settings(self) -> Any:
        return (1,)


class Unfinished(_Described):
    name = "unfinished"


class NoFormats(_Described):
    name = "no-formats"
    formats: ClassVar[tuple[str, ...]] = ()

    def settings(self) -> Any:
        return (1,)


class NoCodec:
    name = "no-codec"


class NeedsLibrary(_Described):
    name = "needs-library"

    def __init__(self) -> None:
        raise MissingDependencyError("it needs the library nobodyhas. Install: pip install nobodyhas.")

    def settings(self) -> Any:
        return (1,)
