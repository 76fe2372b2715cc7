"""Call codecs in processes that can be killed: one that hangs, dies or eats memory costs only its own result.

A `CodecProcess` is a child of this process. It is killed, with every process that it started, when a call exceeds the
limits; the next call starts it again.
"""

from __future__ import annotations

import atexit
import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from harness.config.registry import CodecSpec
from harness.config.schema import Limits
from harness.data import contamination
from harness.errors import ConformanceError
from harness.interface import Encoded, Image, Setting, image_format, raw_bytes
from harness.sandbox.channel import Call, Channel
from harness.sandbox.replies import (
    MAX_LADDER,
    AnyReply,
    ChosenFile,
    Decoded,
    Description,
    EstimateReply,
    Fingerprints,
    ImageShape,
    PredictedSizes,
    Timed,
)

_MAX_FINGERPRINT_BYTES = 256 << 20


@dataclass
class CodecProcess:
    """One child process that builds codecs and calls them."""

    limits: Limits
    threads: int = 1
    """How many threads its libraries may start (OpenMP, BLAS)."""
    seconds: float = 0.0
    """How long codecs spent in encode and decode, as the child measured it."""
    peak_rss_mb: float = 0.0
    """The most memory that the child held up to its last reply, in MB."""
    _channel: Channel = field(init=False)

    def __post_init__(self) -> None:
        self._channel = Channel(self.limits, self.threads)

    def describe(self, spec: CodecSpec) -> Description:
        """Return what a codec says of itself.

        Raises:
            HarnessError: it cannot be built.
        """
        return self._call(spec, Call("describe", Description, {"most": MAX_LADDER + 1}))[0]

    def training_fingerprints(self, spec: CodecSpec) -> tuple[str, ...] | None:
        """Return the fingerprints of what a learned codec was trained on; None when nobody knows.

        Raises:
            HarnessError: the codec failed, or these are no fingerprints.
        """
        reply, data = self._call(spec, Call("fingerprints", Fingerprints, {}, max_bytes=_MAX_FINGERPRINT_BYTES))
        if not reply.known:
            return None
        return contamination.checked(data.decode(errors="replace").split("\n") if data else ())

    def estimated_bits(self, spec: CodecSpec, image: Image, setting: Setting) -> float | None:
        """Return a learned codec's own estimate of a file, in bits."""
        return self._call(spec, _call_on(image, "estimate", EstimateReply, setting=setting))[0].bits

    def predicted_sizes(self, spec: CodecSpec, image: Image, count: int) -> list[float] | None:
        """Return about how many bytes a learned codec's file has at each of its `count` settings, if it can say."""
        sizes = self._call(spec, _call_on(image, "predict", PredictedSizes, most=count + 1))[0].sizes
        if sizes is not None and len(sizes) != count:
            raise ConformanceError(f"it predicted {len(sizes)} sizes for the {count} settings of its ladder.")
        return sizes

    def encode(self, spec: CodecSpec, image: Image, setting: Setting) -> bytes:
        """Return the codec's file for an image at a setting.

        Raises:
            CodecError: the codec failed, broke the interface or exceeded a limit.
        """
        return self.time_encode(spec, image, setting, repeats=0)[0]

    def encode_to_budget(self, spec: CodecSpec, image: Image, max_bytes: int) -> Encoded:
        """Return the file of a codec's own rate control.

        Raises:
            CodecError: the codec failed, broke the interface (the file is too large) or exceeded a limit.
        """
        reply, data = self._call(spec, _call_on(image, "encode_to_budget", ChosenFile, max_bytes=max_bytes))
        if len(data) > max_bytes:
            raise ConformanceError(f"its rate control returned {len(data)} bytes where {max_bytes} were allowed.")
        return Encoded(_file(data), reply.setting)

    def decode(self, spec: CodecSpec, data: bytes, like: Image) -> Image:
        """Return the decoded image, which has the dtype and shape of `like`.

        Raises:
            CodecError: the codec failed, returned another shape or dtype, or exceeded a limit.
        """
        reply, payload = self._call(spec, Call("decode", Decoded, {}, data, like.nbytes))
        if reply.image != ImageShape.of(like):
            raise ConformanceError(f"decode returned {reply.image}, expected {ImageShape.of(like)}.")
        return reply.image.image(payload)

    def decode_any(self, spec: CodecSpec, data: bytes, max_bytes: int) -> Image:
        """Return the decoded image, of any size up to `max_bytes` of samples."""
        reply, payload = self._call(spec, Call("decode", Decoded, {}, data, max_bytes))
        image = reply.image.image(payload)
        image_format(image)
        return image

    def time_encode(self, spec: CodecSpec, image: Image, setting: Setting, repeats: int) -> tuple[bytes, Timed]:
        """Encode once, then `repeats` times; return the file and the times."""
        reply, data = self._call(spec, _call_on(image, "encode", Timed, setting=setting, repeats=repeats))
        return _file(data), reply

    def time_decode(self, spec: CodecSpec, data: bytes, like: Image, repeats: int) -> Timed:
        """Decode once, then `repeats` times; return the times."""
        return self._call(spec, Call("decode", Decoded, {"repeats": repeats}, data, like.nbytes))[0]

    @property
    def pid(self) -> int | None:
        """The child's process id; None before the first call."""
        return self._channel.pid

    def close(self) -> None:
        """End the child and remove its folder."""
        self._channel.kill()

    def _call(self, spec: CodecSpec, call: Call[AnyReply]) -> tuple[AnyReply, bytes]:
        """Make a call of one codec, and count the time that it took."""
        reply, data = self._channel.call(replace(call, arguments={**call.arguments, "spec": asdict(spec)}))
        if isinstance(reply, Timed):
            self.seconds += sum(reply.seconds)
            self.peak_rss_mb = reply.peak_rss_mb
        return reply, data


def _file(data: bytes) -> bytes:
    if not data:
        raise ConformanceError("encode returned no bytes at all.")
    return data


def _call_on(image: Image, name: str, reply: type[AnyReply], **arguments: float) -> Call[AnyReply]:
    """Return a call that gets an image. No honest file is larger than four times its raw bytes plus a megabyte."""
    shape = ImageShape.of(image).model_dump()
    pixels = np.ascontiguousarray(image).data.cast("B")
    return Call(name, reply, {**arguments, "image": shape}, pixels, 4 * raw_bytes(image) + (1 << 20))


@dataclass
class CodecProcesses:
    """The child processes of one worker: decoders never share one with encoders, nor plugins with built-in codecs."""

    limits: Limits
    most: int = 6
    """How many are kept alive; the one that has been idle longest ends first."""
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
    """Return this thread's child processes under these limits; they end with the worker."""
    if limits not in _OWN.processes:
        _OWN.processes[limits] = CodecProcesses(limits)
        atexit.register(_OWN.processes[limits].close)
    return _OWN.processes[limits]
