"""Records made up by rule, for tests of what reads records: no codec runs, every number can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.records.manifest import Manifest

RAW_BYTES = 768 * 512 * 3
RATIOS = (4.0, 8.0, 12.0, 16.0)


def image_names(count: int) -> list[str]:
    return [f"kodim{index + 1:02d}" for index in range(count)]


def record(image: str, codec: str, ratio: float, **changes: Any) -> dict[str, Any]:
    """One `reached` record of the ratio protocol whose file has just the target size; `changes` replace columns."""
    size = int(RAW_BYTES // ratio)
    row = {
        "image": image,
        "codec": codec,
        "protocol": "ratio",
        "target_ratio": ratio,
        "status": "reached",
        "setting": 50.0,
        "size_bytes": size,
        "raw_bytes": RAW_BYTES,
        "psnr": 40.0,
        "psnr_y": 41.0,
        "ssim": 0.98,
        "ms_ssim": 0.99,
        "psnr_at_budget": 40.0,
        "reason": "",
        "file_sha256": "0" * 64,
        "pixels_sha256": "1" * 64,
        **changes,
    }
    row["ratio"] = RAW_BYTES / row["size_bytes"]
    row["bpp"] = row["size_bytes"] * 8 / (768 * 512)
    return row


def problem(image: str, codec: str, ratio: float, status: str, reason: str) -> dict[str, Any]:
    """One record without a file."""
    numbers = ("setting", "size_bytes", "ratio", "bpp", "psnr", "psnr_y", "ssim", "ms_ssim", "psnr_at_budget")
    row = record(image, codec, ratio, status=status, reason=reason, file_sha256="")
    return {**row, **dict.fromkeys(numbers, np.nan)}


def control(image: str, codec: str, ratio: float) -> dict[str, Any]:
    """One record of the lossless control: exact."""
    row = record(image, codec, ratio, protocol="control", status="measured", psnr=np.inf, psnr_y=np.inf)
    return {**row, "ssim": 1.0, "ms_ssim": 1.0, "target_ratio": np.nan, "psnr_at_budget": np.nan}


def sweep(image: str, codec: str, setting: float, bpp: float, psnr: float) -> dict[str, Any]:
    """One record of the sweep protocol."""
    size = round(bpp * 768 * 512 / 8)
    row = record(image, codec, 4.0, protocol="sweep", status="measured", setting=setting, size_bytes=size)
    ms_ssim = 1 - 10 ** (-(psnr - 20) / 10)
    return {**row, "target_ratio": np.nan, "psnr": psnr, "ms_ssim": ms_ssim, "psnr_at_budget": np.nan}


def realistic(codecs: Sequence[str], images: int, seed: int = 7) -> pd.DataFrame:
    """Records of both protocols that look like Kodak's: each codec a bit better than the one before it."""
    rng = np.random.default_rng(seed)
    ease = rng.normal(0, 2.2, images)
    rows = []
    for place, codec in enumerate(codecs):
        noise = rng.normal(0, 0.25, images)
        for index, image in enumerate(image_names(images)):
            base = 20 + 0.3 * place + ease[index] + noise[index]
            for ratio in RATIOS:
                rows.append(_at_ratio(image, codec, ratio, base, float(rng.uniform(0.9, 1))))
            for setting in range(5, 100, 10):
                bpp = 0.12 * 2 ** (setting / 18) * 2 ** (-ease[index] / 8)
                rows.append(sweep(image, codec, setting, bpp, base + 9 + 3.7 * np.log2(bpp * 4 + 1)))
    return pd.DataFrame(rows)


def _at_ratio(image: str, codec: str, ratio: float, base: float, used: float) -> dict[str, Any]:
    bpp = 24 / ratio * used
    psnr = base + 9 + 3.7 * np.log2(bpp * 4 + 1)
    ms_ssim = 1 - 10 ** (-(psnr - 20) / 10)
    changes = {"psnr": psnr, "psnr_y": psnr + 1, "ms_ssim": ms_ssim, "ssim": 1 - 3 * (1 - ms_ssim)}
    at_budget = psnr + 6 * np.log2(1 / used) * 0.7
    row = record(image, codec, ratio, **changes, psnr_at_budget=at_budget)
    size = int(RAW_BYTES / ratio * used)
    return {
        **row,
        "size_bytes": size,
        "ratio": RAW_BYTES / size,
        "bpp": bpp,
        "ssimulacra2": 20 + 1.5 * (psnr - 20),
        "encode_seconds": 0.002 * 1.9 ** (len(codec) % 9),
        "decode_seconds": 0.001 * 1.4 ** (len(codec) % 7),
    }


def manifest(codecs: Sequence[str], images: int, **changes: Any) -> Manifest:
    """A manifest with what a bench writes."""
    facts = {
        "suite": "kodak",
        "command": "harness bench --suite kodak --ratios 4,8,12,16",
        "started": "2025-03-01T12:00:00Z",
        "seconds": 321.5,
        "ratios": list(RATIOS),
        "protocol": "both",
        "codecs": [
            {"id": codec, "provenance": {"library": f"lib{codec} 1.2"}, "lossless": False, "leak": "none"}
            for codec in codecs
        ],
        "images": [
            {
                "name": name,
                "width": 768,
                "height": 512,
                "channels": 3,
                "sample_bits": 8,
                "notes": [],
                "sha256": "2" * 64,
            }
            for name in image_names(images)
        ],
        "versions": {"python": "3.11.9", "pillow": "13.0.0"},
        "machine": {"cpu": "a CPU", "cores": 2},
        "encodes": {"count": 4000, "per_target": 2.4},
        "lossless_control": {"valid": True, "records": 120},
        "shares": {"codec": 0.7, "metrics": 0.25, "other": 0.05},
        "metric_versions": {"psnr": "1", "ms_ssim": "1"},
        **changes,
    }
    return Manifest.model_validate(facts)


CODECS_20 = (
    *("jpeg-pillow", "jpeg-420", "jpeg-444", "jpegli-444", "webp", "jpegxr", "htj2k", "jpeg2000"),
    *("avif-420", "avif-444", "avif-444-psnr", "heic-420", "jpegxl-e3", "jpegxl-e7", "av1-444", "hevc-444"),
    *("vvc-444", "baseline", "resnet", "cheng2020-anchor"),
)
