"""The files of one codec on one image: each setting is encoded once at most."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import ConformanceError
from harness.interface import Encoded, Image, Setting
from harness.plan.tasks import Task
from harness.records.artifacts import read_kept
from harness.records.record import Encode
from harness.sandbox.process import CodecProcess, CodecProcesses


@dataclass
class EncodeCache:
    """Calls one codec on one image, and keeps the files that it made and what is known of them."""

    task: Task
    image: Image
    processes: CodecProcesses
    encodes: dict[Setting, Encode]
    """What is known of the file at each setting, from this run or an earlier one."""
    earlier_files: tuple[Path, ...] = ()
    """The folders of bitstreams that earlier runs have kept."""
    encode_count: int = 0
    """How often the codec encoded."""
    codec_seconds: float = 0.0
    """The time spent in the codec."""
    _files: dict[Setting, bytes] = field(default_factory=dict)

    def size_at(self, setting: Setting) -> int:
        """Return how many bytes the file at a setting has; encode it if it is not here."""
        return len(self.file_at(setting))

    def file_at(self, setting: Setting) -> bytes:
        """Return the file at a setting: from this run, from the kept files of an earlier one, or encoded now."""
        known = self.encodes.get(setting)
        if known and setting not in self._files and (kept := read_kept(self.earlier_files, known.file_sha256)):
            self._files[setting] = kept
        if setting not in self._files:
            encoder = self.processes.encoder(self.task.codec)
            self.encode_count += 1
            with self._timed(encoder):
                data = encoder.encode(self.task.codec, self.image, setting)
            self._add(setting, data)
        return self._files[setting]

    def encode_to_size(self, target_size: int) -> Encoded:
        """Return the file, and its setting, that the codec's own rate control makes for a target size in bytes.

        Raises:
            BudgetError: no file of the codec fits.
        """
        encoder = self.processes.encoder(self.task.codec)
        self.encode_count += 1
        with self._timed(encoder):
            encoded = encoder.encode_to_budget(self.task.codec, self.image, target_size)
        self._add(encoded.setting, encoded.data)
        return encoded

    def decode_at(self, setting: Setting) -> Image:
        """Return what another process decodes from the file at a setting."""
        data = self.file_at(setting)
        decoder = self.processes.decoder(self.task.codec)
        with self._timed(decoder):
            return decoder.decode(self.task.codec, data, self.image)

    def predicted_sizes(self) -> list[float]:
        """Return the bytes that a learned codec predicts at every setting; an empty list where it predicts none."""
        if not self.task.description.learned:
            return []
        encoder = self.processes.encoder(self.task.codec)
        with self._timed(encoder):
            return encoder.predicted_sizes(self.task.codec, self.image, len(self.task.description.ladder)) or []

    def estimated_bits(self, setting: Setting) -> float | None:
        """Return a learned codec's own estimate of its file at a setting, in bits; None where it makes none."""
        encoder = self.processes.encoder(self.task.codec)
        return encoder.estimated_bits(self.task.codec, self.image, setting)

    def _add(self, setting: Setting, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        known = self.encodes.get(setting)
        if known and known.file_sha256 != digest:
            raise ConformanceError(f"it is not deterministic: at setting {setting:g} it made two different files.")
        self._files[setting] = data
        self.encodes[setting] = known or Encode(setting, len(data), digest)

    @contextlib.contextmanager
    def _timed(self, process: CodecProcess) -> Iterator[None]:
        """Count the codec's time in what runs inside, whether it fails or not."""
        before = process.seconds
        try:
            yield
        finally:
            self.codec_seconds += process.seconds - before
