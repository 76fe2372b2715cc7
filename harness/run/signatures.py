"""Which codec a file is for, by its first bytes."""

from __future__ import annotations

from harness.errors import UsageError
from harness.learned.bitstream import MAGICS

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
"""(offset, bytes, codec name): how a file says which codec decodes it; the first that fits."""


def codec_of(data: bytes) -> str:
    """Return the name of the codec that a file is for, by its first bytes.

    Raises:
        UsageError: no signature that is known here.
    """
    for offset, signature, name in SIGNATURES:
        if data[offset : offset + len(signature)] == signature:
            return name
    raise UsageError(
        f"the file begins with {data[:8].hex(' ')}, which no codec here is known by. Name it with --codec."
    )
