"""Codecs whose replies do not have the types of the interface, each in one way."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np

from harness import BudgetCodec, Codec, Encoded, Image, LearnedCodec, Setting

SURROGATE = "caf\udce9"


class _Plain(Codec):
    """Everything except the one odd reply."""

    formats: ClassVar[tuple[str, ...]] = ("rgb8",)

    @property
    def ladder(self) -> Sequence[Setting]:
        return (1, 2)

    def encode(self, image: Image, setting: Setting) -> bytes:
        return bytes([*image.shape[:2], int(setting)])

    def decode(self, data: bytes) -> Image:
        return np.zeros((data[0], data[1], 3), np.uint8)

    def provenance(self) -> Mapping[str, Any]:
        return {}


class ErrorText(_Plain):
    name = "surrogate-in-error"

    def encode(self, image: Image, setting: Setting) -> bytes:
        raise ValueError(f"{SURROGATE} is no name")


class HugeSetting(_Plain):
    name = "ladder-of-huge"

    @property
    def ladder(self) -> Sequence[Setting]:
        return (1, 10**30)


class ProvenanceText(_Plain):
    name = "surrogate-in-provenance"

    def provenance(self) -> Mapping[str, Any]:
        return {"library": SURROGATE}


class ProvenanceNan(_Plain):
    name = "nan-in-provenance"

    def provenance(self) -> Mapping[str, Any]:
        return {"version": float("nan")}


class _Budget(_Plain, BudgetCodec):
    """Returns an odd setting from its rate control."""

    chosen: ClassVar[Any]

    def encode_to_budget(self, image: Image, max_bytes: int) -> Encoded:
        return Encoded(self.encode(image, 1), cast("Setting", self.chosen))


class NoSetting(_Budget):
    name = "budget-none"
    chosen: ClassVar[Any] = None


class NanSetting(_Budget):
    name = "budget-nan"
    chosen: ClassVar[Any] = float("nan")


class LargeSetting(_Budget):
    name = "budget-large"
    chosen: ClassVar[Any] = 10**30


class LargestSetting(_Budget):
    name = "budget-largest"
    chosen: ClassVar[Any] = 10**400


class _Learned(_Plain, LearnedCodec):
    """Says odd things about its weights."""

    def __init__(self, ratio: float = 16) -> None:
        pass

    def missing(self) -> str | None:
        return None

    def training_fingerprints(self) -> Sequence[str] | None:
        return None

    def estimated_bits(self, image: Image, setting: Setting) -> float | None:
        return None


class MissingMapping(_Learned):
    name = "missing-mapping"

    def missing(self) -> str | None:
        return cast("str", {"weights": "none"})


class MissingText(_Learned):
    name = "surrogate-in-missing"

    def missing(self) -> str | None:
        return f"no weights in {SURROGATE}."


class NoReason(_Learned):
    name = "out-of-reach-number"

    def out_of_reach(self) -> Mapping[str, str]:
        return cast("Mapping[str, str]", {"rgb8": 5})


class NanEstimate(_Learned):
    name = "estimate-nan"

    def estimated_bits(self, image: Image, setting: Setting) -> float | None:
        return float("nan")


class FewPredictions(_Learned):
    name = "predicts-one-size"

    def predicted_sizes(self, image: Image) -> Sequence[float] | None:
        return [1000.0]


class NanPredictions(_Learned):
    name = "predicts-nan"

    def predicted_sizes(self, image: Image) -> Sequence[float] | None:
        return [float("nan")] * len(self.ladder)


class NegativePredictions(_Learned):
    name = "predicts-less-than-nothing"

    def predicted_sizes(self, image: Image) -> Sequence[float] | None:
        return [-1.0] * len(self.ladder)


class _Forges(_Plain):
    """Writes the reply to its first call to the pipe itself, and ends."""

    header: ClassVar[bytes]

    def __init__(self) -> None:
        for message in (self.header, b""):
            os.write(int(sys.argv[1]), len(message).to_bytes(4, "big") + message)
        os._exit(0)


class ForgesNothing(_Forges):
    name = "forged-empty"
    header: ClassVar[bytes] = b'{"id": 1, "size": 0}'


class ForgesDepth(_Forges):
    name = "forged-deep"
    header: ClassVar[bytes] = b"[" * 100_000
