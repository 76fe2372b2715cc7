"""Run any codec on one file, to check a result by hand."""

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
from harness.learned.bitstream import MAGICS
from harness.plan.targets import RatioTarget, SweepTarget
from harness.plan.tasks import DEFAULT_LIMITS, Task
from harness.records.record import Record
from harness.run.assignment import Assignment
from harness.run.measure import begin
from harness.sandbox.process import CodecProcesses
from harness.sandbox.replies import Description

_MAX_RAW_BYTES = 3 * MAX_PIXELS
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"HRAW", "raw"),
    (0, b"\xff\xd8\xff\xe8", "jpegls"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (8, b"WEBP", "webp"),
    (4, b"ftypavif", "avif"),
    (4, b"ftypheic", "heic"),
    (4, b"ftypheix", "heic"),
    (0, b"HFF", "ffmpeg"),
    (0, b"\x00\x00\x00\x0cjP  \r\n", "jpeg2000"),
    (0, b"\xff\x4f\xff\x51", "jpeg2000"),
    (0, b"\xff\x0a", "jxl"),
    (0, b"\x00\x00\x00\x0cJXL ", "jxl"),
    (0, b"II\xbc", "jpegxr"),
    (0, b"\x89PNG", "png"),
    (0, b"qoif", "qoi"),
    *((0, magic, name) for name, magic in MAGICS.items()),
)
"""(offset, bytes, codec name): the bytes at that offset say which codec decodes the file; the first match counts."""


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
    """Encode one image into a file, to a ratio (raw bytes / file bytes) or at a setting; return its record.

    A lossless codec needs neither.

    Raises:
        UsageError: the image cannot be read, the codec lacks something, the file cannot be written or is the image.
        CodecError: the codec failed, or none of its files fits.
    """
    _check_different(source, target)
    image = read_image(source)
    with _processes() as processes:
        spec = spec if ratio is None or not processes.encoder(spec).describe(spec).learned else spec.at_ratio(ratio)
        description = processes.encoder(spec).describe(spec)
        if reason := description.out_of_reach.get(image_format(image.pixels)) or description.missing:
            raise UsageError(f"the codec {spec.id!r} cannot run: {reason}")
        asked = _target(spec, description, ratio, setting)
        task = Task(ImageSource(image.name, source), "", spec, "", description, (asked,), ("psnr",))
        measuring = begin(Assignment(task), image, processes)
        record = measuring.record(asked)
        if record.setting is None or record.status in ("failed", "unsupported", "missing"):
            raise CodecError(f"{spec.id!r} made no file of {source}: {record.reason}")
        if record.size_bytes > record.extra.get("budget_bytes", math.inf):
            raise CodecError(
                f"no file of {spec.id!r} has a ratio of {ratio:g}; its smallest reaches {record.ratio:.3f}."
            )
        data = measuring.cache.file_at(record.setting)
    try:
        target.write_bytes(data)
    except OSError as error:
        raise UsageError(f"the file {target} cannot be written: {error.strerror}.") from error
    return record


def _target(
    spec: CodecSpec, description: Description, ratio: float | None, setting: float | None
) -> RatioTarget | SweepTarget:
    """Return what is asked of a codec: a ratio, or a file at a setting on its ladder."""
    if ratio is not None:
        return RatioTarget(ratio)
    if setting is None and not description.lossless:
        raise UsageError(f"the codec {spec.id!r} is lossy: encode needs one of --ratio and --setting.")
    chosen = description.ladder[0] if setting is None else setting
    if not min(description.ladder) <= chosen <= max(description.ladder):
        span = f"{min(description.ladder):g} to {max(description.ladder):g}"
        raise UsageError(f"the setting {chosen:g} is outside the ladder of {spec.id!r}: {span}.")
    return SweepTarget(chosen)


def decode_file(config: Config, source: Path, target: Path, codec_id: str | None) -> Image:
    """Decode a file into an image file and return the pixels.

    Raises:
        UsageError: the file cannot be read, its codec is not known, the image cannot be written or is the file.
        CodecError: the bytes are damaged, or decoding exceeded its limits.
    """
    _check_different(source, target)
    try:
        data = source.read_bytes()
    except OSError as error:
        raise UsageError(f"the file {source} cannot be read: {error.strerror}.") from error
    spec = config.codec_spec(codec_id or codec_of(data))
    with _processes() as processes:
        pixels = processes.decoder(spec).decode_any(spec, data, _MAX_RAW_BYTES)
    to_file(pixels, target)
    return pixels


def codec_of(data: bytes) -> str:
    """Return the name of the codec that decodes a file, by its first bytes.

    Raises:
        UsageError: no codec here is known by them.
    """
    for offset, signature, name in SIGNATURES:
        if data[offset : offset + len(signature)] == signature:
            return name
    raise UsageError(
        f"the file begins with {data[:8].hex(' ')}, which no codec here is known by. Name it with --codec."
    )


def _check_different(source: Path, target: Path) -> None:
    """Refuse to write over the file that is read, whatever it is called."""
    if source.exists() and target.exists() and source.samefile(target):
        raise UsageError(f"{target} is the very file that is read, {source}; name another one to write.")
