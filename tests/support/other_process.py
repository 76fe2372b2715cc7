"""What the tests run in another process: decoding with a codec that is built there, from the bytes alone."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass

from harness.config.registry import CodecSpec, build
from harness.errors import BadStreamError
from harness.interface import Image


@dataclass(frozen=True)
class Ending:
    """How the decoding of damaged bytes ended."""

    kind: str
    """"image", "BadStreamError", or any other error with its text."""
    seconds: float


def decode(spec: CodecSpec, data: bytes) -> Image:
    return build(spec).decode(data)


def endings(spec: CodecSpec, streams: Sequence[bytes]) -> list[Ending]:
    """Decode each stream with one new codec and tell how that ended."""
    codec = build(spec)
    found = []
    for data in streams:
        start = time.perf_counter()
        try:
            codec.decode(data)
            kind = "image"
        except BadStreamError:
            kind = "BadStreamError"
        except Exception as error:
            kind = f"{type(error).__name__}: {error}"
        found.append(Ending(kind, time.perf_counter() - start))
    return found


def peak_memory_bytes() -> int:
    """Return the most memory that this process has ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
