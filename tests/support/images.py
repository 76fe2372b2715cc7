"""Images for tests: odd sizes, odd content, and one real photograph, in each format of the interface."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from harness.interface import Image

SEED = 20240517
SIDES = {"1x1": (1, 1), "1x9": (1, 9), "9x1": (9, 1), "17x33": (17, 33), "65x63": (65, 63)}
"""Name -> (height, width)."""


def _noise(height: int, width: int) -> NDArray[np.float64]:
    return np.random.default_rng(SEED).random((height, width, 3))


def _gradient(height: int, width: int) -> NDArray[np.float64]:
    rows, columns = np.mgrid[0:height, 0:width]
    down, across = rows / height, columns / width
    return np.stack([down, across, (down + across) / 2], axis=2)


@cache
def packaged_photograph(name: str = "chelsea.png") -> Image:
    """One of scikit-image's photographs, as uint8 (height, width, 3); the package itself is not imported."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None and spec.submodule_search_locations is not None
    with PIL.Image.open(Path(spec.submodule_search_locations[0]) / "data" / name) as picture:
        image: Image = np.array(picture.convert("RGB"))
    image.setflags(write=False)
    return image


def _photograph(height: int, width: int) -> NDArray[np.float64]:
    return packaged_photograph()[90 : 90 + height, 130 : 130 + width] / 255


CONTENT: Mapping[str, Callable[[int, int], NDArray[np.float64]]] = {
    "flat": lambda height, width: np.full((height, width, 3), 0.4),
    "noise": _noise,
    "gradient": _gradient,
    "photograph": _photograph,
}
"""Name -> a function from (height, width) to samples in 0..1, (height, width, 3)."""


def make_image(content: str, sides: tuple[int, int], kind: str, bits: int = 16) -> Image:
    """Return an image that refuses to be written to; `bits` is the depth of a gray16 image's samples."""
    samples = CONTENT[content](*sides)
    if kind == "rgb8":
        image: Image = np.rint(samples * 255).astype(np.uint8)
    elif kind == "gray8":
        image = np.rint(samples.mean(axis=2, keepdims=True) * 255).astype(np.uint8)
    else:
        image = np.rint(samples.mean(axis=2, keepdims=True) * (2**bits - 1)).astype(np.uint16)
    image.setflags(write=False)
    return image


ODD_IMAGES = {
    **{name: ("noise", sides) for name, sides in SIDES.items()},
    **{content: (content, (32, 48)) for content in ("flat", "gradient", "photograph")},
}
"""Name -> (content, sides): what every codec must take."""


def psnr(reference: Image, decoded: Image, peak: int | None = None) -> float:
    """PSNR in dB over all samples, by hand; the peak of the dtype unless another is given."""
    error = float(np.mean((reference.astype(np.float64) - decoded.astype(np.float64)) ** 2))
    top = peak if peak is not None else float(np.iinfo(reference.dtype).max)
    return float("inf") if error == 0 else 10 * float(np.log10(top * top / error))
