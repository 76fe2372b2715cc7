"""Any codec on one file: how a result is checked by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.config.registry import CodecSpec
from harness.config.schema import Config
from harness.data.datasets import ImageSource
from harness.data.images import read_image, to_file
from harness.errors import CodecError, UsageError
from harness.interface import MAX_PIXELS, Image, image_format
from harness.plan.tasks import DEFAULT_LIMITS, Goal, Task
from harness.records.record import Record
from harness.run.measure import TaskRun
from harness.run.signatures import codec_of
from harness.sandbox.process import CodecProcesses
from harness.sandbox.replies import Description

_MAX_RAW_BYTES = 3 * MAX_PIXELS


@contextmanager
def _processes() -> Iterator[CodecProcesses]:
    processes = CodecProcesses(DEFAULT_LIMITS)
    try:
        yield processes
    finally:
        processes.close()


def describe(spec: CodecSpec) -> Description:
    """Return what a codec says of itself, asked in a process of its own."""
    with _processes() as processes:
        return processes.encoder(spec).describe(spec)


def encode_file(spec: CodecSpec, source: Path, target: Path, ratio: float | None, setting: float | None) -> Record:
    """Write one image's file, to a ratio (raw bytes / file bytes) or at a setting; return its record.

    A lossless codec needs neither.

    Raises:
        UsageError: the image cannot be read, the codec lacks something, the file cannot be written or is the image.
        CodecError: the codec failed, or no file of it fits.
    """
    _check_apart(source, target)
    image = read_image(source)
    with _processes() as processes:
        spec = spec if ratio is None or not processes.encoder(spec).describe(spec).learned else spec.at_ratio(ratio)
        description = processes.encoder(spec).describe(spec)
        if reason := description.out_of_reach.get(image_format(image.pixels)) or description.missing:
            raise UsageError(f"the codec {spec.id!r} cannot run: {reason}")
        goal = _goal(spec, description, ratio, setting)
        task = Task(ImageSource(image.name, source), "", spec, "", description, (goal,), ("psnr",))
        run = TaskRun(task, processes)
        record = run.record(goal, image)
        if record.setting is None or record.status in ("failed", "unsupported", "missing"):
            raise CodecError(f"{spec.id!r} made no file of {source}: {record.reason}")
        if record.size_bytes > record.extra.get("budget_bytes", math.inf):
            raise CodecError(
                f"no file of {spec.id!r} has a ratio of {ratio:g}; its smallest reaches {record.ratio:.3f}."
            )
        _write(target, run.file_at(record.setting, image))
    return record


def _goal(spec: CodecSpec, description: Description, ratio: float | None, setting: float | None) -> Goal:
    """Return what is asked of a codec: a ratio, or a file at a setting that it has."""
    if ratio is not None:
        return Goal("", "ratio", ratio, None)
    if setting is None and not description.lossless:
        raise UsageError(f"the codec {spec.id!r} is lossy: encode needs one of --ratio and --setting.")
    chosen = description.ladder[0] if setting is None else setting
    if not min(description.ladder) <= chosen <= max(description.ladder):
        span = f"{min(description.ladder):g} to {max(description.ladder):g}"
        raise UsageError(f"the setting {chosen:g} is outside the ladder of {spec.id!r}: {span}.")
    return Goal("", "sweep", None, chosen)


def decode_file(config: Config, source: Path, target: Path, codec_id: str | None) -> Image:
    """Decode a file into an image file and return the pixels.

    Raises:
        UsageError: the file cannot be read, its codec is not known, the image cannot be written or is the file.
        CodecError: the bytes are damaged, or decoding exceeded its limits.
    """
    _check_apart(source, target)
    try:
        data = source.read_bytes()
    except OSError as error:
        raise UsageError(f"the file {source} cannot be read: {error.strerror}.") from error
    spec = config.codec_spec(codec_id or codec_of(data))
    with _processes() as processes:
        pixels = processes.decoder(spec).decode_any(spec, data, _MAX_RAW_BYTES)
    to_file(pixels, target)
    return pixels


def _check_apart(source: Path, target: Path) -> None:
    """Refuse to write over the file that is read, by whichever of its names."""
    if source.exists() and target.exists() and source.samefile(target):
        raise UsageError(f"{target} is the very file that is read, {source}; name another one to write.")


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"the file {path} cannot be written: {error.strerror}.") from error
