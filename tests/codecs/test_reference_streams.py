"""Files that codecs once wrote still decode to the same pixels (tests/codecs/streams, made by make.py there)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from harness.config.registry import get_codec
from harness.run.one_file import codec_of
from tests.codecs.streams.make import CONTENT, FOLDER, SIDES
from tests.support.codec_cases import build_or_skip
from tests.support.images import make_image, psnr

ENTRIES: dict[str, dict[str, Any]] = json.loads((FOLDER / "streams.json").read_text())
TOLERANCE_DB = 0.05


@pytest.mark.parametrize("name", ENTRIES)
def test_a_stored_stream_decodes_to_what_it_did(name: str) -> None:
    entry = ENTRIES[name]
    codec = build_or_skip(entry["codec"])
    image = make_image(CONTENT, SIDES, entry["format"])
    decoded = codec.decode((FOLDER / name).read_bytes())
    assert decoded.dtype == image.dtype
    if codec.lossless:
        assert hashlib.sha256(decoded.tobytes()).hexdigest() == entry["pixels_sha256"]
    else:
        assert psnr(image, decoded) == pytest.approx(entry["psnr"], abs=TOLERANCE_DB)


@pytest.mark.parametrize("name", ENTRIES)
def test_a_file_says_which_codec_decodes_it(name: str) -> None:
    data = (FOLDER / name).read_bytes()
    own = build_or_skip(ENTRIES[name]["codec"])
    found = get_codec(codec_of(data))
    assert psnr(own.decode(data), found.decode(data)) > 40  # a jpegli file is a JPEG: another decoder, other rounding


def test_every_stored_stream_is_small_and_in_the_table() -> None:
    files = {path.name: path.stat().st_size for path in FOLDER.glob("*.bin")}
    assert set(files) == set(ENTRIES)
    assert max(files.values()) < 8192
