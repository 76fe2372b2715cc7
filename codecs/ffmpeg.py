"""Intra pictures of video codecs (VVC, AV1, HEVC) by the ffmpeg program in imageio-ffmpeg (an extra).

A file is a small header (the size, and a CRC-32 of the rest), then the raw bitstream of one picture in 10-bit
BT.709 full range. The picture is padded to multiples of 8 pixels.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from harness.codecs._common import as_image, check_claimed_size, optional, require_sides
from harness.codecs._program import convert
from harness.errors import BadStreamError, CodecError, UnsupportedImageError
from harness.interface import Codec, Image, Setting

_HEADER = struct.Struct("<3sBHHI")
"""Magic, encoder, height, width, CRC-32 (IEEE 802.3)."""
_MAGIC = b"HFF"
_SMALLEST_SIDE = 64
_SCALE = "sws_flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"


@dataclass(frozen=True)
class _Encoder:
    """How ffmpeg encodes with one library; {setting}, {preset} and {threads} are replaced by their values."""

    library: str
    stream: str
    """ffmpeg's name of the raw bitstream."""
    arguments: tuple[str, ...]
    psnr_tuning: tuple[str, ...]
    chroma: tuple[str, ...]
    preset: str
    ladder: Sequence[int]
    """Quantisers, coarse to fine."""


_X265 = "keyint=1:info=0:log-level=none:pools={threads}:frame-threads=1:qp={setting}"
_STILL = ("-usage", "allintra", "-still-picture", "1")
_ENCODERS = {
    "vvc": _Encoder(
        library="libvvenc",
        stream="vvc",
        arguments=("-qp", "{setting}", "-preset", "{preset}", "-period", "1", "-threads", "{threads}"),
        psnr_tuning=("-qpa", "0"),
        chroma=("4:2:0",),
        preset="faster",
        ladder=range(63, 1, -1),  # VVenC fails at 1 and 0
    ),
    "av1": _Encoder(
        library="libaom-av1",
        stream="obu",
        arguments=("-crf", "{setting}", "-b:v", "0", *_STILL, "-cpu-used", "{preset}", "-threads", "{threads}"),
        psnr_tuning=("-tune", "psnr"),
        chroma=("4:4:4", "4:2:0"),
        preset="6",
        ladder=range(63, -1, -1),
    ),
    "hevc": _Encoder(
        library="libx265",
        stream="hevc",
        arguments=("-preset", "{preset}", "-x265-params", _X265),
        psnr_tuning=("-tune", "psnr"),
        chroma=("4:4:4", "4:2:0"),
        preset="slow",
        ladder=range(51, -1, -1),
    ),
}


class Ffmpeg(Codec):
    """Settings: the encoder's quantiser, largest first. `tune = "psnr"` turns perceptual tuning off."""

    name: ClassVar[str] = "ffmpeg"
    formats: ClassVar[tuple[str, ...]] = ("rgb8",)
    starts_program: ClassVar[bool] = True

    def __init__(
        self,
        encoder: Literal["vvc", "av1", "hevc"] = "hevc",
        subsampling: Literal["4:4:4", "4:2:0"] = "4:2:0",
        preset: str | None = None,
        tune: Literal["default", "psnr"] = "default",
        threads: int = 1,
    ) -> None:
        if encoder not in _ENCODERS or subsampling not in _ENCODERS[encoder].chroma:
            raise ValueError(f"encoder and subsampling must be one of {_choices()}")
        if tune not in ("default", "psnr") or threads < 1:
            raise ValueError('tune is "default" or "psnr", and threads at least 1')
        self._package = optional("imageio_ffmpeg", "ffmpeg")
        self._encoder = _ENCODERS[encoder]
        self._options: Mapping[str, Any] = {
            "encoder": encoder,
            "subsampling": subsampling,
            "preset": preset or self._encoder.preset,
            "tune": tune,
            "threads": threads,
        }

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return the quantisers."""
        return self._encoder.ladder

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return header and bitstream.

        Raises:
            UnsupportedImageError: ffmpeg failed. Its buffer for VVC holds one byte per pixel, and noise needs more.
        """
        require_sides(image, 16384, "HEVC")
        padded = _pad(image)
        frame = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{padded.shape[1]}x{padded.shape[0]}")
        pixels = "yuv444p10le" if self._options["subsampling"] == "4:4:4" else "yuv420p10le"
        command = [
            *(*self._program(), *frame, "-i", "{input}", "-frames:v", "1", "-pix_fmt", pixels),
            *("-vf", f"scale=out_color_matrix=bt709:out_range=pc:{_SCALE}", "-color_range", "pc"),
            *("-colorspace", "bt709", "-c:v", self._encoder.library, *self._encoder.arguments),
            *(self._encoder.psnr_tuning if self._options["tune"] == "psnr" else ()),
            *("-f", self._encoder.stream, "{output}"),
        ]
        words = {"setting": str(setting), **{key: str(self._options[key]) for key in ("preset", "threads")}}
        try:
            body = convert(command, padded.tobytes(), (".rgb", ".bin"), words)
        except CodecError as error:
            raise UnsupportedImageError(f"{self._encoder.library} cannot encode this at {setting}: {error}") from error
        number = list(_ENCODERS).index(self._options["encoder"])
        return _HEADER.pack(_MAGIC, number, *image.shape[:2], zlib.crc32(body)) + body

    def decode(self, data: bytes) -> Image:
        """Return the image behind header and bitstream."""
        height, width, stream = _read_header(data)
        # One thread: with more, ffmpeg's VVC decoder sometimes returns a picture before its last rows are done.
        command = [
            *(*self._program(), "-threads", "1", "-f", stream, "-i", "{input}", "-frames:v", "1"),
            *("-vf", f"scale=in_color_matrix=bt709:in_range=pc:{_SCALE}", "-pix_fmt", "rgb24"),
            *("-f", "rawvideo", "{output}"),
        ]
        try:
            samples = np.frombuffer(convert(command, data[_HEADER.size :], (".bin", ".rgb"), {}), np.uint8)
            padded = samples.reshape(_padded(height), _padded(width), 3)
        except (CodecError, ValueError) as error:
            raise BadStreamError(f"ffmpeg finds no picture of {width}x{height} pixels in the file: {error}") from error
        return as_image(padded[:height, :width].copy(), "ffmpeg")

    def provenance(self) -> Mapping[str, Any]:
        """Return the versions of imageio-ffmpeg and its ffmpeg, and the options."""
        versions = {"imageio_ffmpeg": self._package.__version__, "ffmpeg": self._package.get_ffmpeg_version()}
        return {**versions, **self._options}

    def _program(self) -> tuple[str, ...]:
        return (self._package.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-loglevel", "error")


def _choices() -> str:
    return ", ".join(f"{name} {chroma}" for name, encoder in _ENCODERS.items() for chroma in encoder.chroma)


def _padded(side: int) -> int:
    return max(_SMALLEST_SIDE, -(-side // 8) * 8)


def _pad(image: Image) -> Image:
    """Return the image with its last row and column repeated up to the padded size."""
    height, width, _ = image.shape
    margins = ((0, _padded(height) - height), (0, _padded(width) - width), (0, 0))
    return np.pad(image.astype(np.uint8, copy=False), margins, mode="edge")


def _read_header(data: bytes) -> tuple[int, int, str]:
    """Return height, width and ffmpeg's name of the bitstream.

    Raises:
        BadStreamError: the header is wrong, or the bitstream is damaged.
    """
    if len(data) < _HEADER.size:
        raise BadStreamError(f"the file has {len(data)} bytes, fewer than its header.")
    magic, number, height, width, crc = _HEADER.unpack_from(data)
    if magic != _MAGIC or number >= len(_ENCODERS) or zlib.crc32(data[_HEADER.size :]) != crc:
        raise BadStreamError("the file was not written by this codec, or is damaged: its magic or CRC-32 is wrong.")
    check_claimed_size(height, width, "ffmpeg")
    return height, width, list(_ENCODERS.values())[number].stream
