"""Write the stored streams beside this file: python -m tests.codecs.streams.make [codec id ...].

Run it by hand, once for a codec, with the library that should be remembered. What a codec's streams decode to must
never change, so an entry of streams.json is only ever added.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from harness.config.registry import build
from tests.support.codec_cases import specs
from tests.support.images import make_image, psnr

FOLDER = Path(__file__).parent
CONTENT, SIDES = "photograph", (33, 47)
STORED = (
    *("jpeg-444", "jpeg-420", "jpeg-444-flat", "webp", "avif-444", "avif-420", "jpeg2000", "jxl", "jpegxr", "htj2k"),
    *("png", "webp-lossless", "jxl-lossless", "jpegls", "qoi", "raw", "jpegli-420", "heic-444", "hevc-444"),
    *("av1-444", "vvc-420"),
)


def main(codec_ids: list[str]) -> None:
    """Write a stream a codec and format, at two thirds of the ladder, and note what it decodes to.

    The sha256 of the pixels is binding for lossless codecs. Decoders of the others may round one way on one processor
    and another way on the next: theirs must keep its PSNR (dB, against the image).
    """
    table = FOLDER / "streams.json"
    entries = json.loads(table.read_text()) if table.is_file() else {}
    for codec_id in codec_ids or STORED:
        codec = build(specs()[codec_id])
        setting = codec.ladder[2 * len(codec.ladder) // 3]
        for kind in codec.formats:
            image = make_image(CONTENT, SIDES, kind)
            data = codec.encode(image, setting)
            name = f"{codec_id}-{kind}.bin"
            (FOLDER / name).write_bytes(data)
            decoded = codec.decode(data)
            entries[name] = {
                "codec": codec_id,
                "format": kind,
                "setting": setting,
                "pixels_sha256": hashlib.sha256(decoded.tobytes()).hexdigest(),
                "psnr": None if codec.lossless else round(psnr(image, decoded), 3),
                "provenance": dict(codec.provenance()),
            }
    table.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
