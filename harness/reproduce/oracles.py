"""Check our arithmetic against published values of others, without running a codec.

`harness.reproduce.verify` runs these checks and those of the whole pipeline.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from harness.analysis.bd_rate import Curve, bd_rate
from harness.config.schema import Config
from harness.errors import DataError, HarnessError
from harness.interface import Image
from harness.metrics import table
from harness.reproduce.published import read_curve
from harness.reproduce.spec import CurveRecipe

State = Literal["pass", "fail", "not possible here"]

BD_EXAMPLE = (
    Curve((9487.76, 4593.60, 2486.44, 1358.24), (40.037, 38.615, 36.845, 34.851)),
    Curve((9787.80, 4469.00, 2451.52, 1356.24), (40.121, 38.651, 36.970, 34.987)),
)
"""Anchor and test (kbit/s, dB) of the example in the README of the package bjontegaard 1.3."""
BD_EXAMPLE_PERCENT = {"cubic": -4.4205, "pchip": -4.4175, "akima": -4.4253}
"""The results of that package."""
BD_MINNEN_PERCENT = {"cubic": -15.73, "pchip": -15.53, "akima": -15.53}
"""Minnen 2018 against Balle 2018's hyperprior on Kodak, by bjontegaard from Google's tables (paper: -15.8)."""
_GOOGLE = "kodak/PSNR_sRGB_RGB"
_HYPERPRIOR, _MINNEN = (
    CurveRecipe(label=label, source="Google", data="published-google", file=f"{_GOOGLE}/{file}.txt")
    for label, file in (("Balle 2018", "balle-2018-iclr-opt-mse"), ("Minnen 2018", "minnen-2018-neurips-opt-mse"))
)

SSIMULACRA2 = {
    "astronaut": {10: 6.279, 30: 57.162, 90: 85.791},
    "chelsea": {5: -44.890, 20: 41.302, 50: 68.009, 80: 80.660, 95: 90.612},
}
"""Results of libjxl's program: photograph of scikit-image -> JPEG quality -> points.

JPEG by Pillow, 4:2:0; astronaut is resized to 768x512, bicubic.
"""
SSIMULACRA2_TOLERANCE, SSIMULACRA2_TOLERANCE_HIGH = 0.06, 0.3
"""Points; the larger one above 85, where the float32 rounding of that program matters."""


@dataclass(frozen=True)
class Check:
    """The result of one check, in one line."""

    name: str
    state: State
    detail: str


def judged(name: str, held: bool, detail: str) -> Check:
    """Return the result of a check that passed or failed."""
    return Check(name, "pass" if held else "fail", detail)


def run_oracles(config: Config) -> Iterator[Check]:
    """Yield the checks of BD-rate and of the metrics."""
    yield _bd_rate("BD-rate, bjontegaard's example", *BD_EXAMPLE, BD_EXAMPLE_PERCENT, 0.0001)
    yield _minnen(config)
    yield _psnr()
    yield _constant_ssim()
    yield from (_ssimulacra2(photograph) for photograph in SSIMULACRA2)


def _bd_rate(name: str, anchor: Curve, test: Curve, expected: dict[str, float], tolerance: float) -> Check:
    found = bd_rate(anchor, test).by_method
    digits = round(-math.log10(tolerance))
    told = ", ".join(f"{method} {found[method]:+.{digits}f} % ({expected[method]:+g})" for method in expected)
    return judged(name, all(abs(found[each] - expected[each]) <= tolerance for each in expected), told)


def _minnen(config: Config) -> Check:
    name = "BD-rate, Minnen 2018 against Balle 2018"
    try:
        curves = [read_curve(config, each, "psnr") for each in (_HYPERPRIOR, _MINNEN)]
    except DataError as error:
        return Check(name, "not possible here", str(error))
    anchor, test = (Curve(curve.bpp, curve.values) for curve in curves)
    return _bd_rate(name, anchor, test, BD_MINNEN_PERCENT, 0.01)


def _psnr() -> Check:
    """Check PSNR worked by hand: every sample off by 3 gives a mean squared error of 9; green weighs 0.587 in luma."""
    black = np.zeros((8, 8, 3), np.uint8)
    off, green = black + np.uint8(3), black.copy()
    green[..., 1] = 10
    found = table.measure(black, off, 255, ["psnr"])["psnr"], table.measure(black, green, 255, ["psnr_y"])["psnr_y"]
    by_hand = 20 * math.log10(255 / 3), 20 * math.log10(255 / 5.87)
    told = ", ".join(f"{value:.6f} dB ({hand:.6f})" for value, hand in zip(found, by_hand, strict=True))
    close = [value is not None and abs(value - hand) < 1e-5 for value, hand in zip(found, by_hand, strict=True)]
    return judged("PSNR and PSNR-Y, worked by hand", all(close), told)


def _constant_ssim() -> Check:
    """Check SSIM of flat pictures: only the luminance term is not 1: (2ab + C1) / (a^2 + b^2 + C1), Wang et al. 2004.

    MS-SSIM raises it to the weight of its last scale, 0.1333 (Wang et al. 2003).
    """
    a, b, constant = 100, 110, (0.01 * 255) ** 2
    luminance = (2 * a * b + constant) / (a * a + b * b + constant)
    first, second = (np.full((192, 176, 3), level, np.uint8) for level in (a, b))
    found = table.measure(first, second, 255, ["ssim", "ms_ssim"])
    by_hand = {"ssim": luminance, "ms_ssim": luminance**0.1333}
    told = ", ".join(f"{name} {found[name]:.7f} ({hand:.7f})" for name, hand in by_hand.items())
    # Implementations agree to 0.1 % of 1 - value.
    close = [abs((found[name] or 0) - hand) <= 0.001 * (1 - hand) for name, hand in by_hand.items()]
    return judged("SSIM and MS-SSIM of flat pictures, worked by hand", all(close), told)


def _ssimulacra2(photograph: str) -> Check:
    name = f"SSIMULACRA2 of {photograph} after JPEG, as libjxl's program"
    try:
        reference = _photograph(photograph)
        found = {
            quality: table.measure(reference, _through_jpeg(reference, quality), 255, ["ssimulacra2"])["ssimulacra2"]
            for quality in SSIMULACRA2[photograph]
        }
    except HarnessError as error:
        return Check(name, "not possible here", str(error))
    told, held = [], True
    for quality, expected in SSIMULACRA2[photograph].items():
        tolerance = SSIMULACRA2_TOLERANCE_HIGH if expected > 85 else SSIMULACRA2_TOLERANCE
        value = found[quality]
        held = held and value is not None and abs(value - expected) <= tolerance
        told.append(f"q{quality} {value:.3f} ({expected:.3f})")
    return judged(name, held, ", ".join(told))


def _photograph(name: str) -> Image:
    """Return a photograph of scikit-image in the form that the reference values were made from.

    Raises:
        DataError: scikit-image is not installed.
    """
    import PIL.Image

    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise DataError(f"the photograph {name!r} comes with scikit-image, which is not installed.")
    with PIL.Image.open(Path(spec.origin).parent / "data" / f"{name}.png") as picture:
        chosen = picture.convert("RGB")
    if name == "astronaut":
        chosen = chosen.resize((768, 512), PIL.Image.Resampling.BICUBIC)
    return np.array(chosen)


def _through_jpeg(image: Image, quality: int) -> Image:
    import PIL.Image

    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    with PIL.Image.open(file) as picture:
        return np.array(picture)
