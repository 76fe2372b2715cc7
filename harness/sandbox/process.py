"""Call codecs in processes that can be killed: one that hangs, dies or eats memory costs its own result alone.

A `CodecProcess` is a child of this process. It is killed, with all that it started, when a call exceeds the
limits, and started anew for the next call.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from harness.config.registry import CodecSpec
from harness.config.schema import Limits
from harness.data import contamination
from harness.errors import ConformanceError
from harness.interface import Encoded, Image, Setting, image_format, raw_bytes
from harness.sandbox.channel import Channel
from harness.sandbox.child import image_of
from harness.sandbox.replies import ladder_of, number, sizes_of

_MAX_FINGERPRINT_BYTES = 256 << 20


@dataclass(frozen=True)
class Description:
    """What a codec says of itself."""

    formats: tuple[str, ...]
    ladder: tuple[Setting, ...]
    lossless: bool
    budget: bool
    """It has a rate control of its own (`BudgetCodec`)."""
    learned: bool
    threaded: bool
    """Its constructor takes the keyword `threads`."""
    missing: str | None
    provenance: Mapping[str, Any]
    seconds_per_megapixel: float = 0.0
    """What a slow codec says of its own speed."""
    program: bool = False
    """Each of its calls starts a program."""
    out_of_reach: Mapping[str, str] = field(default_factory=dict)
    """Kinds of image that a learned codec's weights cannot bring to its ratio -> the reason."""


_DESCRIPTION = TypeAdapter(Description)


@dataclass(frozen=True)
class Timed:
    """How long each of several equal calls took."""

    seconds: tuple[float, ...]
    """The first call, then the others."""
    peak_rss_mb: float
    peak_cuda_mb: float


@dataclass
class CodecProcess:
    """One child process that builds codecs and calls them."""

    limits: Limits
    threads: int = 1
    """How many threads the libraries below it may start (OpenMP, BLAS)."""
    seconds: float = 0.0
    """The time that codecs spent in encode and decode, as the child measured it."""
    peak_rss_mb: float = 0.0
    """The most memory that the child held until its last answer, in MB."""
    _channel: Channel = field(init=False)

    def __post_init__(self) -> None:
        self._channel = Channel(self.limits, self.threads)

    def describe(self, spec: CodecSpec) -> Description:
        """Return what a codec says of itself.

        Raises:
            HarnessError: it cannot be built.
        """
        answer, _ = self._call(spec, {"call": "describe"}, b"", 0)
        with _read():
            return _DESCRIPTION.validate_python({**answer, "ladder": ladder_of(answer["ladder"])})

    def training_fingerprints(self, spec: CodecSpec) -> tuple[str, ...] | None:
        """Return the fingerprints of what a learned codec was trained on; None when nobody knows.

        Raises:
            HarnessError: the codec failed, or these are no fingerprints.
        """
        answer, data = self._call(spec, {"call": "fingerprints"}, b"", _MAX_FINGERPRINT_BYTES)
        with _read():
            return contamination.checked(data.decode().split("\n") if data else ()) if answer["known"] else None

    def estimated_bits(self, spec: CodecSpec, image: Image, setting: Setting) -> float | None:
        """Return a learned codec's own estimate of a file, in bits."""
        request = {"call": "estimate", "setting": setting, **_shape(image)}
        answer, _ = self._call(spec, request, _bytes_of(image), 0)
        with _read():
            return None if answer["bits"] is None else number(answer["bits"], "its estimate is")

    def predicted_sizes(self, spec: CodecSpec, image: Image, count: int) -> list[float] | None:
        """Return about how many bytes a learned codec's file has at each of its `count` settings, if it can say."""
        answer, _ = self._call(spec, {"call": "predict", **_shape(image)}, _bytes_of(image), 0)
        with _read():
            return None if answer["sizes"] is None else sizes_of(answer["sizes"], count)

    def encode(self, spec: CodecSpec, image: Image, setting: Setting) -> bytes:
        """Return the codec's file for an image at a setting.

        Raises:
            CodecError: the codec failed, broke a law or exceeded a limit.
        """
        return self._call(
            spec, {"call": "encode", "setting": setting, **_shape(image)}, _bytes_of(image), _file_bound(image)
        )[1]

    def encode_to_budget(self, spec: CodecSpec, image: Image, max_bytes: int) -> Encoded:
        """Return the file of a codec's own rate control.

        Raises:
            CodecError: the codec failed, broke a law (the file is too large) or exceeded a limit.
        """
        request = {"call": "encode_to_budget", "max_bytes": max_bytes, **_shape(image)}
        answer, data = self._call(spec, request, _bytes_of(image), _file_bound(image))
        if len(data) > max_bytes:
            raise ConformanceError(f"its rate control returned {len(data)} bytes where {max_bytes} were allowed.")
        with _read():
            return Encoded(data, number(answer["setting"], "its rate control chose the setting"))

    def decode(self, spec: CodecSpec, data: bytes, like: Image) -> Image:
        """Return the decoded image, which has the dtype and shape of `like`.

        Raises:
            CodecError: the codec failed, returned another shape or dtype, or exceeded a limit.
        """
        answer, payload = self._call(spec, {"call": "decode"}, data, like.nbytes)
        with _read():
            found = answer["image"]
            if found != _shape(like)["image"]:
                raise ConformanceError(
                    f"decode returned {_in_words(found)}, expected {_in_words(_shape(like)['image'])}."
                )
            return image_of(found, payload)

    def decode_any(self, spec: CodecSpec, data: bytes, max_bytes: int) -> Image:
        """Return the decoded image, of whatever size up to `max_bytes` of samples."""
        answer, payload = self._call(spec, {"call": "decode"}, data, max_bytes)
        with _read():
            image = image_of(answer["image"], payload)
            image_format(image)
            return image

    def time_encode(self, spec: CodecSpec, image: Image, setting: Setting, repeats: int) -> tuple[bytes, Timed]:
        """Encode once, then `repeats` times; return the file and the times."""
        request = {"call": "encode", "setting": setting, "repeats": repeats, **_shape(image)}
        answer, data = self._call(spec, request, _bytes_of(image), _file_bound(image))
        return data, _timed(answer)

    def time_decode(self, spec: CodecSpec, data: bytes, like: Image, repeats: int) -> Timed:
        """Decode once, then `repeats` times; return the times."""
        answer, _ = self._call(spec, {"call": "decode", "repeats": repeats}, data, like.nbytes)
        return _timed(answer)

    @property
    def pid(self) -> int | None:
        """The child's process id; None before the first call."""
        return self._channel.pid

    def close(self) -> None:
        """End the child and remove its folder."""
        self._channel.kill()

    def _call(
        self, spec: CodecSpec, request: Mapping[str, Any], payload: bytes | memoryview, max_bytes: int
    ) -> tuple[dict[str, Any], bytes]:
        answer, data = self._channel.call({**request, "spec": asdict(spec)}, payload, max_bytes)
        with _read():
            self.seconds += float(answer.get("seconds", 0))
            self.peak_rss_mb = float(answer.get("peak_rss_mb", self.peak_rss_mb))
        return answer, data


@contextlib.contextmanager
def _read() -> Iterator[None]:
    """Turn what goes wrong inside, where an answer is read, into the fault of the codec that wrote it."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise ConformanceError(
            "it answered otherwise than was asked: it wrote to a channel that is not its own."
        ) from error


def _shape(image: Image) -> dict[str, Any]:
    return {"image": {"dtype": image.dtype.name, "shape": list(image.shape)}}


def _bytes_of(image: Image) -> memoryview:
    return np.ascontiguousarray(image).data.cast("B")


def _timed(answer: Mapping[str, Any]) -> Timed:
    with _read():
        return Timed(tuple(answer["each"]), answer["peak_rss_mb"], answer["peak_cuda_mb"])


def _in_words(shape: Mapping[str, Any]) -> str:
    return f"{shape['dtype']} {tuple(shape['shape'])}"


def _file_bound(image: Image) -> int:
    """No honest file is larger: four times the raw bytes and a megabyte of headers."""
    return 4 * raw_bytes(image) + (1 << 20)


@dataclass
class CodecProcesses:
    """The child processes of one worker: encoders apart from decoders, others' codecs apart from ours."""

    limits: Limits
    most: int = 6
    """How many are kept alive; the one that was idle longest is ended first."""
    _alive: OrderedDict[tuple[str, str], CodecProcess] = field(default_factory=OrderedDict, init=False)

    def encoder(self, spec: CodecSpec) -> CodecProcess:
        """Return the process that encodes for a codec."""
        return self._get("encode", spec)

    def decoder(self, spec: CodecSpec) -> CodecProcess:
        """Return the process that decodes for a codec: never the one that encodes."""
        return self._get("decode", spec)

    def close(self) -> None:
        """End all of them."""
        while self._alive:
            self._alive.popitem()[1].close()

    def _get(self, role: str, spec: CodecSpec) -> CodecProcess:
        key = (role, "built-in" if spec.origin == "built-in" else spec.target)
        process = self._alive.pop(key, None) or CodecProcess(self.limits)
        self._alive[key] = process
        while len(self._alive) > self.most:
            self._alive.popitem(last=False)[1].close()
        return process


class _Own(threading.local):
    """Each thread's own child processes: a worker of somebody's cluster may have several threads."""

    def __init__(self) -> None:
        self.processes: dict[Limits, CodecProcesses] = {}


_OWN = _Own()


def codec_processes(limits: Limits) -> CodecProcesses:
    """Return the child processes of this worker's thread that are held to some limits; they end with the worker."""
    if limits not in _OWN.processes:
        _OWN.processes[limits] = CodecProcesses(limits)
        atexit.register(_OWN.processes[limits].close)
    return _OWN.processes[limits]
