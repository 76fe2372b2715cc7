"""JPEG and WebP on Kodak land on CompressAI's published points (Pillow 7.1.2; means over 24 images at one setting).

Source: InterDigitalInc/CompressAI, results/image/kodak/jpeg.json and webp.json; quality 5 to 95 in steps of 5.
Pillow 13 writes JPEG about 0.12 dB better than Pillow 7.1.2 at quality 50 to 90.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from harness.config.registry import build
from harness.interface import Image
from tests.support.codec_cases import specs
from tests.support.images import psnr

pytestmark = pytest.mark.slow

PUBLISHED = {
    ("jpeg-420-pillow", 5): (0.2212, 23.780),
    ("jpeg-420-pillow", 50): (0.9060, 32.059),
    ("jpeg-420-pillow", 75): (1.3688, 34.394),
    ("jpeg-420-pillow", 90): (2.3502, 37.912),
    ("jpeg-420-pillow", 95): (3.4013, 40.557),
    ("webp", 5): (0.2344, 28.328),
    ("webp", 50): (0.7218, 33.238),
    ("webp", 75): (0.9984, 35.104),
    ("webp", 90): (2.0104, 39.557),
    ("webp", 95): (2.9285, 41.759),
}
"""(codec id, quality) -> (bits per pixel, PSNR over RGB in dB)."""
TOLERANCE_DB = {"jpeg-420-pillow": 0.15, "webp": 0.01}


@cache
def kodak(folder: Path) -> list[Image]:
    images = []
    for path in sorted(folder.glob("kodim*.png")):
        with PIL.Image.open(path) as picture:
            images.append(np.array(picture.convert("RGB")))
    return images


@pytest.mark.parametrize(("codec_id", "quality"), PUBLISHED)
def test_the_mean_over_kodak_is_the_published_one(codec_id: str, quality: int, harness_data: Path) -> None:
    codec = build(specs()[codec_id])
    images = kodak(harness_data / "kodak")
    assert len(images) == 24
    rates, qualities = [], []
    for image in images:
        data = codec.encode(image, quality)
        rates.append(8 * len(data) / (image.shape[0] * image.shape[1]))
        qualities.append(psnr(image, codec.decode(data)))
    bpp, decibels = PUBLISHED[codec_id, quality]
    assert np.mean(rates) == pytest.approx(bpp, rel=0.01)
    assert np.mean(qualities) == pytest.approx(decibels, abs=TOLERANCE_DB[codec_id])
