"""Codecs that misbehave in `encode` or `decode`, each in one way; all else is as in sound.py."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness import BudgetCodec, Codec, Encoded, Image, Setting
from harness.errors import UsageError

_where = spec_from_file_location("sound_for_bad_calls", Path(__file__).with_name("sound.py"))
assert _where is not None and _where.loader is not None
_module = module_from_spec(_where)
_where.loader.exec_module(_module)
_sound: Codec = _module.Bits()


class _Sound(Codec):
    """Everything except the one step in which a class below misbehaves."""

    formats: ClassVar[tuple[str, ...]] = ("rgb8", "gray8")

    @property
    def ladder(self) -> Sequence[Setting]:
        return _sound.ladder

    def provenance(self) -> Mapping[str, Any]:
        return {"class": type(self).__name__}


class _Encoding(_Sound):
    """Misbehaves when it encodes."""

    @abstractmethod
    def misbehave(self, image: Image) -> Any:
        """Return what encode returns, None for what is right."""

    def encode(self, image: Image, setting: Setting) -> bytes:
        made: bytes | None = self.misbehave(image)
        return _sound.encode(image, setting) if made is None else made

    def decode(self, data: bytes) -> Image:
        return _sound.decode(data)


class _Decoding(_Sound):
    """Misbehaves when it decodes."""

    @abstractmethod
    def misbehave(self, image: Image) -> Any:
        """Return what decode returns."""

    def encode(self, image: Image, setting: Setting) -> bytes:
        return _sound.encode(image, setting)

    def decode(self, data: bytes) -> Image:
        image: Image = self.misbehave(_sound.decode(data))
        return image


class Raises(_Encoding):
    name = "raises"

    def misbehave(self, image: Image) -> Any:
        raise RuntimeError("boom " * 5000)


class RaisesOurs(_Encoding):
    name = "raises-usage-error"

    def misbehave(self, image: Image) -> Any:
        raise UsageError("what was asked for is wrong")


class Interrupts(_Encoding):
    name = "raises-keyboard-interrupt"

    def misbehave(self, image: Image) -> Any:
        raise KeyboardInterrupt


class NotBytes(_Encoding):
    name = "not-bytes"

    def misbehave(self, image: Image) -> Any:
        return bytearray(b"nearly")


class NoBytes(_Encoding):
    name = "no-bytes"

    def misbehave(self, image: Image) -> Any:
        return b""


class Huge(_Encoding):
    name = "huge"

    def misbehave(self, image: Image) -> Any:
        return bytes(100 << 20)


class WritesInput(_Encoding):
    name = "writes-input"

    def misbehave(self, image: Image) -> Any:
        image[:] = 0


class ForcesInput(_Encoding):
    name = "forces-input"

    def misbehave(self, image: Image) -> Any:
        ctypes.memset(image.ctypes.data, 0, image.nbytes)


class Prints(_Encoding):
    name = "prints"

    def misbehave(self, image: Image) -> Any:
        for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
            stream.write("loud " * 1_000_000)
            stream.flush()
            os.write(descriptor, b"louder " * 1_000_000)


class Reads(_Encoding):
    name = "reads-input"

    def misbehave(self, image: Image) -> Any:
        sys.stdin.read()


class Segfaults(_Encoding):
    name = "segfaults"

    def misbehave(self, image: Image) -> Any:
        ctypes.string_at(0)


class Aborts(_Encoding):
    name = "aborts"

    def misbehave(self, image: Image) -> Any:
        os.abort()


class ExitsAtOnce(_Encoding):
    name = "exits-at-once"

    def misbehave(self, image: Image) -> Any:
        os._exit(0)


class Exits(_Encoding):
    name = "exits"

    def misbehave(self, image: Image) -> Any:
        sys.exit(3)


class Forks(_Encoding):
    name = "forks"

    def misbehave(self, image: Image) -> Any:
        os.fork()


class ForksInC(_Encoding):
    name = "forks-in-c"

    def misbehave(self, image: Image) -> Any:
        ctypes.CDLL(None).fork()


class LeavesProcesses(_Encoding):
    name = "leaves-processes"

    def misbehave(self, image: Image) -> Any:
        subprocess.Popen(["sleep", "1000"])
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1000)
            os._exit(0)


class HangsAsleep(_Encoding):
    name = "hangs-asleep"

    def misbehave(self, image: Image) -> Any:
        time.sleep(1000)


class HangsInC(_Encoding):
    name = "hangs-in-c"

    def misbehave(self, image: Image) -> Any:
        ctypes.PyDLL(None).sleep(1000)  # PyDLL keeps Python's lock: no other thread of the process runs


class HangsBusy(_Encoding):
    name = "hangs-busy"

    def misbehave(self, image: Image) -> Any:
        while True:
            pass


class HangsDeaf(_Encoding):
    name = "hangs-deaf"

    def misbehave(self, image: Image) -> Any:
        import signal

        for number in range(1, signal.NSIG):
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                ctypes.CDLL(None).signal(number, signal.SIG_IGN)
        subprocess.run(["sleep", "1000"], check=True, start_new_session=True)


class Allocates(_Encoding):
    name = "allocates"

    def misbehave(self, image: Image) -> Any:
        return bytes(np.empty(100 << 30, np.uint8)[:1])


class Fills(_Encoding):
    name = "fills-memory"

    def misbehave(self, image: Image) -> Any:
        held = [np.ones(16 << 20, np.uint8) for _ in range(6400)]
        return bytes(len(held))


class FillsShared(_Encoding):
    name = "fills-shared-memory"

    def misbehave(self, image: Image) -> Any:
        held = []
        for _ in range(100):
            held.append(mmap.mmap(-1, 64 << 20))
            held[-1].write(b"x" * (64 << 20))
            time.sleep(0.02)
        time.sleep(10)


class FillsDisk(_Encoding):
    name = "fills-disk"

    def misbehave(self, image: Image) -> Any:
        with Path("large").open("wb") as file:
            for _ in range(1000):
                file.write(bytes(1 << 20))


class FillsDiskSlowly(_Encoding):
    name = "fills-disk-with-many-files"

    def misbehave(self, image: Image) -> Any:
        for number in range(100_000):
            Path(str(number % 50)).mkdir(exist_ok=True)
            (Path(str(number % 50)) / str(number)).write_bytes(bytes(1 << 18))
            time.sleep(0.002)


class WritesEverywhere(_Encoding):
    name = "writes-everywhere"

    def misbehave(self, image: Image) -> Any:
        for descriptor in range(256):
            try:
                os.write(descriptor, b"\x00\x00\x00\x07garbage")
            except OSError:
                continue


class ClosesEverything(_Encoding):
    name = "closes-everything"

    def misbehave(self, image: Image) -> Any:
        os.closerange(0, 256)


class KeepsState(_Encoding):
    name = "keeps-state"

    def misbehave(self, image: Image) -> Any:
        self._image = image.copy()
        return b"it is in my memory"

    def decode(self, data: bytes) -> Image:
        return self._image


class KeepsAFile(_Encoding):
    name = "keeps-a-file"

    def misbehave(self, image: Image) -> Any:
        np.save("image.npy", image)
        return b"it is in the folder"

    def decode(self, data: bytes) -> Image:
        image: Image = np.load("image.npy")
        return image


class Random(_Encoding):
    name = "random"

    def misbehave(self, image: Image) -> Any:
        return _sound.encode(image, 4) + os.urandom(4)

    def decode(self, data: bytes) -> Image:
        return _sound.decode(data[:-4])


class WrongShape(_Decoding):
    name = "wrong-shape"

    def misbehave(self, image: Image) -> Any:
        return image[:-1]


class Flat(_Decoding):
    name = "flat-shape"

    def misbehave(self, image: Image) -> Any:
        return image.reshape(-1)


class WrongDtype(_Decoding):
    name = "wrong-dtype"

    def misbehave(self, image: Image) -> Any:
        return image.astype(np.uint16)


class FloatImage(_Decoding):
    name = "float-image"

    def misbehave(self, image: Image) -> Any:
        return image / 255


class NoImage(_Decoding):
    name = "no-image"

    def misbehave(self, image: Image) -> Any:
        return None


class HugeImage(_Decoding):
    name = "huge-image"

    def misbehave(self, image: Image) -> Any:
        return np.zeros((10_000, 10_000, 3), np.uint8)


class DiesDecoding(_Decoding):
    name = "dies-decoding"

    def misbehave(self, image: Image) -> Any:
        os.abort()


class OverBudget(BudgetCodec):
    name = "over-budget"
    formats: ClassVar[tuple[str, ...]] = ("rgb8",)

    @property
    def ladder(self) -> Sequence[Setting]:
        return _sound.ladder

    def encode(self, image: Image, setting: Setting) -> bytes:
        return _sound.encode(image, setting)

    def decode(self, data: bytes) -> Image:
        return _sound.decode(data)

    def encode_to_budget(self, image: Image, max_bytes: int) -> Encoded:
        return Encoded(bytes(max_bytes + 1), 4)

    def provenance(self) -> Mapping[str, Any]:
        return {}


class LiesAboutLoss(_Sound):
    name = "lies-about-loss"
    lossless: ClassVar[bool] = True

    def encode(self, image: Image, setting: Setting) -> bytes:
        return _sound.encode(image, 4)

    def decode(self, data: bytes) -> Image:
        return _sound.decode(data)
