"""Time of the metrics on one thread, beside three libraries, in one run: `python benchmarks/metrics.py`.

Every contender runs once untimed, then all take turns, so that a busy machine slows them alike; the median counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import frame_analytics
import numpy as np
import pytorch_msssim
import torch
from numpy.typing import NDArray
from skimage import data, metrics, transform
from tabulate import tabulate

from harness.interface import Image
from harness.metrics.table import DEFAULT_METRICS, METRICS, measure

Contender = Callable[[], object]
OURS = "harness: psnr, ssim, ms_ssim together"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    frame_analytics.set_compile_enabled(False)
    reference, decoded = photographs(options.height, options.width)
    seconds = time_in_turns(contenders(reference, decoded), options.repeats)
    megapixels = options.height * options.width / 1e6
    rows = [
        (name, 1e3 * median(times), 1e3 * min(times), 1e3 * median(times) / megapixels, ratio(times, seconds[OURS]))
        for name, times in seconds.items()
    ]
    print(f"{options.width}x{options.height} RGB, 8 bits, one thread, {options.repeats} turns")
    head = ["contender", "median ms", "least ms", "ms / megapixel", "x harness"]
    print(tabulate(rows, head, floatfmt=".1f", tablefmt="github"))


def ratio(times: list[float], ours: list[float]) -> float:
    """Return the median over turns of a contender's time divided by ours in the same turn."""
    return median(theirs / mine for theirs, mine in zip(times, ours, strict=True))


def photographs(height: int, width: int) -> tuple[Image, Image]:
    """Return a photograph and itself with noise, uint8 (height, width, 3)."""
    resize: Callable[..., NDArray[np.float64]] = transform.resize
    reference = np.round(255 * resize(data.astronaut(), (height, width), order=3)).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 4, reference.shape)
    decoded: NDArray[np.float64] = np.clip(np.round(reference + noise), 0, 255)
    return reference, decoded.astype(np.uint8)


def contenders(reference: Image, decoded: Image) -> dict[str, Contender]:
    """Return name -> one call that computes, from arrays to numbers."""

    def tensors(dtype: torch.dtype) -> list[torch.Tensor]:
        return [torch.from_numpy(image).permute(2, 0, 1)[None].to(dtype) for image in (reference, decoded)]

    def published(dtype: torch.dtype) -> list[float]:
        return [float(f(*tensors(dtype), data_range=255)) for f in (pytorch_msssim.ssim, pytorch_msssim.ms_ssim)]

    def analytics(names: tuple[str, ...]) -> list[float]:
        pair = [image.contiguous() for image in tensors(torch.uint8)]
        return [float(getattr(frame_analytics, name)(*pair, data_range=255.0)) for name in names]

    def scikit_image() -> list[Any]:
        window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        return [
            metrics.peak_signal_noise_ratio(reference, decoded, data_range=255),
            metrics.structural_similarity(reference, decoded, data_range=255, channel_axis=2, **window),
        ]

    single = {f"harness: {name}": partial(METRICS[name], reference, decoded, 255) for name in DEFAULT_METRICS}
    return {
        OURS: partial(measure, reference, decoded, 255, ("psnr", "ssim", "ms_ssim")),
        "harness: all defaults together": partial(measure, reference, decoded, 255),
        **single,
        "pytorch-msssim, float64: ssim, ms_ssim": partial(published, torch.float64),
        "pytorch-msssim, float32: ssim, ms_ssim": partial(published, torch.float32),
        "frame-analytics: psnr, ssim, ms_ssim": partial(analytics, ("psnr", "ssim", "ms_ssim")),
        "frame-analytics: ssimulacra2": partial(analytics, ("ssimulacra2",)),
        "scikit-image: psnr, ssim": scikit_image,
    }


def time_in_turns(named: dict[str, Contender], repeats: int) -> dict[str, list[float]]:
    """Return each contender's seconds, one a turn."""
    seconds: dict[str, list[float]] = {name: [] for name in named}
    for turn in range(repeats + 1):
        for name, call in named.items():
            start = time.perf_counter()
            call()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
