"""One child process and the pipe to it: messages are JSON and plain bytes, bounded before they are read."""

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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic

from pydantic_core import from_json

from harness import errors
from harness.config.schema import Limits
from harness.errors import CodecError, ConformanceError, HarnessError, LimitError
from harness.sandbox.limits import Watch, kill_strays, kill_tree
from harness.sandbox.replies import AnyReply, Failure, read
from harness.system.memory import KEEP_MEMORY

_MAX_HEADER_BYTES = 8 << 20
_MAX_MESSAGE = 4000
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Call(Generic[AnyReply]):
    """One call of a codec: what is asked, and what the reply must be."""

    name: str
    reply: type[AnyReply]
    arguments: Mapping[str, Any]
    payload: bytes | memoryview = b""
    max_bytes: int = 0
    """The largest payload that is taken back."""


@dataclass
class Channel:
    """A child that runs harness/sandbox/child.py: started by the first call, and again after it was killed."""

    limits: Limits
    threads: int = 1
    """How many threads its libraries may start (OpenMP, BLAS)."""
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _connection: Connection | None = field(default=None, init=False)
    _folder: tempfile.TemporaryDirectory[str] | None = field(default=None, init=False)
    _calls: int = field(default=0, init=False)

    def call(self, call: Call[AnyReply]) -> tuple[AnyReply, bytes]:
        """Make a call; return the reply and its payload.

        Raises:
            HarnessError: the error that the child names.
            LimitError: the call exceeded a limit, or the child died.
            ConformanceError: the reply is malformed, or answers another call.
        """
        connection = self._started()
        self._calls += 1
        header = {**call.arguments, "call": call.name, "id": self._calls}
        with self._watched() as watch:
            try:
                connection.send_bytes(json.dumps(header).encode())
                connection.send_bytes(call.payload)
                reply = from_json(connection.recv_bytes(_MAX_HEADER_BYTES))
                data = connection.recv_bytes(call.max_bytes)
            except (EOFError, OSError, ValueError) as error:
                raise self._death(watch, call.max_bytes) from error
        if not isinstance(reply, dict) or (reply.get("id"), reply.get("size")) != (self._calls, len(data)):
            self.kill()
            raise ConformanceError("it answered a call that was not made: plugin code must not write to the pipe.")
        if "error" in reply:
            raise _error(read(Failure, reply))
        return read(call.reply, reply), data

    @property
    def pid(self) -> int | None:
        """The child's process id; None before the first call."""
        return self._child.pid if self._child else None

    def _started(self) -> Connection:
        """Return the connection to a running child."""
        if self._connection is not None and self._child is not None and self._child.poll() is None:
            return self._connection
        self.kill()
        self._folder = tempfile.TemporaryDirectory(prefix="harness-", ignore_cleanup_errors=True)
        ours, theirs = socket.socketpair()
        settings = {
            "parent": os.getpid(),
            "memory_mb": self.limits.memory_mb,
            "disk_mb": self.limits.disk_mb,
        }
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "harness.sandbox.child", str(theirs.fileno()), json.dumps(settings)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self._folder.name,
                env={
                    **os.environ,
                    **KEEP_MEMORY,
                    **dict.fromkeys(_THREADS, str(self.threads)),
                    "TMPDIR": self._folder.name,
                },
                start_new_session=True,
            )
        self._connection = Connection(ours.detach())
        return self._connection

    @contextlib.contextmanager
    def _watched(self) -> Iterator[Watch]:
        """Watch the call inside from another thread, which kills the child when it exceeds a limit."""
        assert self._child is not None and self._folder is not None  # noqa: S101 - `call` started it
        watch = Watch(self._child.pid, Path(self._folder.name), self.limits)
        thread = threading.Thread(target=watch.run, daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            watch.over.set()
            thread.join()

    def _death(self, watch: Watch, max_bytes: int) -> CodecError:
        """End the child for certain, and return why a call ended without a reply."""
        child = self._child
        assert child is not None  # noqa: S101 - a call was under way
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=1)
        status = child.returncode
        self.kill()
        if watch.reason:
            return LimitError(watch.reason)
        if status is None:
            return ConformanceError(
                f"it returned more than the {max_bytes} bytes that can be right, or closed its pipe."
            )
        if status < 0:
            return LimitError(f"its process was killed by {signal.Signals(-status).name}.")
        return LimitError(f"its process ended with exit status {status} in the middle of a call.")

    def kill(self) -> None:
        """End the child and every process that it started, and remove its folder."""
        if self._child is not None and self._folder is not None:
            kill_tree(self._child.pid)
            kill_strays(self._folder.name)
            self._child.wait()
        if self._connection is not None:
            self._connection.close()
        if self._folder is not None:
            self._folder.cleanup()
        self._child = self._connection = self._folder = None


def _error(failure: Failure) -> HarnessError:
    """Return the error that a reply names; a class that is not in errors.py counts as the codec's own error."""
    kind = getattr(errors, failure.error, CodecError)
    if not (isinstance(kind, type) and issubclass(kind, HarnessError)) or kind is errors.UnknownNameError:
        kind = CodecError
    return kind(failure.message[:_MAX_MESSAGE])
