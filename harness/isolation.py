"""Call codecs in processes that can be killed: one that hangs, dies or eats memory costs its own result alone.

A `CodecProcess` is a child of this process. It is killed, with all that it started, when a call exceeds the
limits, and started anew for the next call. Messages are JSON and plain bytes, bounded before they are read.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from harness import errors
from harness.child import image_of
from harness.config import Limits
from harness.errors import CodecError, HarnessError, LawError, LimitError
from harness.interface import Encoded, Image, Setting, image_format, raw_bytes
from harness.registry import CodecSpec

_MAX_HEADER_BYTES = 8 << 20
_MAX_FINGERPRINT_BYTES = 256 << 20
_TICK_SECONDS = 0.25
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _connection: Connection | None = field(default=None, init=False)
    _folder: tempfile.TemporaryDirectory[str] | None = field(default=None, init=False)
    _calls: int = field(default=0, init=False)

    def describe(self, spec: CodecSpec) -> Description:
        """Return what a codec says of itself.

        Raises:
            HarnessError: it cannot be built.
        """
        answer, _ = self._call(spec, {"call": "describe"}, b"", 0)
        return Description(
            formats=tuple(answer["formats"]),
            ladder=tuple(answer["ladder"]),
            lossless=answer["lossless"],
            budget=answer["budget"],
            learned=answer["learned"],
            threaded=answer["threaded"],
            missing=answer["missing"],
            provenance=answer["provenance"],
        )

    def training_fingerprints(self, spec: CodecSpec) -> tuple[str, ...] | None:
        """Return the fingerprints of what a learned codec was trained on; None when nobody knows."""
        answer, data = self._call(spec, {"call": "fingerprints"}, b"", _MAX_FINGERPRINT_BYTES)
        return tuple(data.decode().split()) if answer["known"] else None

    def estimated_bits(self, spec: CodecSpec, image: Image, setting: Setting) -> float | None:
        """Return a learned codec's own estimate of a file, in bits."""
        request = {"call": "estimate", "setting": setting, **_shape(image)}
        bits: float | None = self._call(spec, request, _bytes_of(image), 0)[0]["bits"]
        return bits

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
            raise LawError(f"its rate control returned {len(data)} bytes where {max_bytes} were allowed.")
        return Encoded(data, answer["setting"])

    def decode(self, spec: CodecSpec, data: bytes, like: Image) -> Image:
        """Return the decoded image, which has the dtype and shape of `like`.

        Raises:
            CodecError: the codec failed, returned another shape or dtype, or exceeded a limit.
        """
        answer, payload = self._call(spec, {"call": "decode"}, data, like.nbytes)
        found = answer["image"]
        if found != _shape(like)["image"]:
            raise LawError(f"decode returned {_in_words(found)}, expected {_in_words(_shape(like)['image'])}.")
        return image_of(found, payload)

    def decode_any(self, spec: CodecSpec, data: bytes, max_bytes: int) -> Image:
        """Return the decoded image, of whatever size up to `max_bytes` of samples."""
        answer, payload = self._call(spec, {"call": "decode"}, data, max_bytes)
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

    def close(self) -> None:
        """End the child and remove its folder."""
        self._kill()

    def _call(
        self, spec: CodecSpec, request: Mapping[str, Any], payload: bytes | memoryview, max_bytes: int
    ) -> tuple[dict[str, Any], bytes]:
        connection = self._started()
        self._calls += 1
        header = {**request, "spec": asdict(spec), "id": self._calls}
        with self._watched() as watch:
            try:
                connection.send_bytes(json.dumps(header).encode())
                connection.send_bytes(payload)
                answer = json.loads(connection.recv_bytes(_MAX_HEADER_BYTES))
                data = connection.recv_bytes(max_bytes)
            except (EOFError, OSError, ValueError) as error:
                raise self._death(watch, max_bytes) from error
        if not isinstance(answer, dict) or (answer.get("id"), answer.get("size")) != (self._calls, len(data)):
            self._kill()
            raise LawError("it answered a call that was not made: it wrote to a channel that is not its own.")
        self.seconds += float(answer.get("seconds", 0))
        if "error" in answer:
            raise _error(answer)
        return answer, data

    def _started(self) -> Connection:
        """Return the connection to a running child."""
        if self._connection is not None and self._child is not None and self._child.poll() is None:
            return self._connection
        self._kill()
        self._folder = tempfile.TemporaryDirectory(prefix="harness-", ignore_cleanup_errors=True)
        ours, theirs = socket.socketpair()
        settings = {
            "parent": os.getpid(),
            "memory_mb": self.limits.memory_mb,
            "disk_mb": self.limits.disk_mb,
        }
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "harness.child", str(theirs.fileno()), json.dumps(settings)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self._folder.name,
                env={**os.environ, "TMPDIR": self._folder.name, **dict.fromkeys(_THREADS, str(self.threads))},
                start_new_session=True,
            )
        self._connection = Connection(ours.detach())
        return self._connection

    @contextlib.contextmanager
    def _watched(self) -> Iterator[_Watch]:
        """Kill the child from a thread beside when the call that runs inside exceeds a limit."""
        assert self._child is not None and self._folder is not None  # noqa: S101 - _started came before
        watch = _Watch(self._child.pid, Path(self._folder.name), self.limits)
        thread = threading.Thread(target=watch.run, daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            watch.over.set()
            thread.join()

    def _death(self, watch: _Watch, max_bytes: int) -> CodecError:
        """Return why a call ended without an answer, with the child gone for certain."""
        child = self._child
        assert child is not None  # noqa: S101 - a call was under way
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=1)
        status = child.returncode
        self._kill()
        if watch.reason:
            return LimitError(watch.reason)
        if status is None:
            return LawError(f"it returned more than the {max_bytes} bytes that can be right, or closed its channel.")
        if status < 0:
            return LimitError(f"its process was killed by {signal.Signals(-status).name}.")
        return LimitError(f"its process ended with exit status {status} in the middle of a call.")

    def _kill(self) -> None:
        if self._child is not None and self._folder is not None:
            kill_tree(self._child.pid)
            _kill_strays(self._folder.name)
            self._child.wait()
        if self._connection is not None:
            self._connection.close()
        if self._folder is not None:
            self._folder.cleanup()
        self._child = self._connection = self._folder = None


@dataclass
class _Watch:
    """Holds one call to its limits of time, memory (of the child and all it started) and disk."""

    pid: int
    folder: Path
    limits: Limits
    reason: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Look every tick until the call is over; kill the child when a limit is exceeded."""
        deadline = time.monotonic() + self.limits.seconds
        while not self.over.wait(min(_TICK_SECONDS, max(0.0, deadline - time.monotonic()))):
            self.reason = self._excess(deadline)
            if self.reason:
                kill_tree(self.pid)
                return

    def _excess(self, deadline: float) -> str:
        if time.monotonic() >= deadline:
            return f"it took longer than its limit of {self.limits.seconds:g} s."
        if (used := _memory_bytes(self.pid)) > self.limits.memory_mb << 20:
            return f"it used {used >> 20} MB of memory; its limit is {self.limits.memory_mb} MB."
        if (used := _disk_bytes(self.folder)) > self.limits.disk_mb << 20:
            return f"it wrote {used >> 20} MB of files; its limit is {self.limits.disk_mb} MB."
        return ""


def _memory_bytes(pid: int) -> int:
    total = 0
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def _disk_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder, however they come and go meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - there may be a million
    return total


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def kill_tree(pid: int) -> None:
    """Kill a process, all that it started, and its process group."""
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            process.kill()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _kill_strays(folder: str) -> None:
    """Kill what a child started and what then left its tree and group: it is known by the child's own TMPDIR."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("TMPDIR") == folder:
                process.kill()


def _error(answer: Mapping[str, Any]) -> HarnessError:
    """Return the error that an answer names, as one of ours; anything else is the codec's."""
    kind = getattr(errors, str(answer["error"]), CodecError)
    if not (isinstance(kind, type) and issubclass(kind, HarnessError)) or kind is errors.UnknownNameError:
        kind = CodecError
    return kind(str(answer.get("message", "")))


def _shape(image: Image) -> dict[str, Any]:
    return {"image": {"dtype": image.dtype.name, "shape": list(image.shape)}}


def _bytes_of(image: Image) -> memoryview:
    return np.ascontiguousarray(image).data.cast("B")


def _timed(answer: Mapping[str, Any]) -> Timed:
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
