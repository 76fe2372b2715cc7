"""Published rate-distortion points, read from the files that their authors published.

The points are means over a test set at one setting of a codec: comparable with our sweep, not with the ratio protocol.
The files are data sets of benchmarks.toml, so each is checked by its hash.

Two known errors: CompressAI's `8bit-decoded/*/*_ms-ssim_*` are copies of the models trained for squared error, and are
not read. The PSNR of CompressAI's VTM, HM and AV1 points leaves out the YCbCr round trip; they are drawn, not checked.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analysis.bootstrap import similarity_db
from harness.config.schema import Config
from harness.data import datasets
from harness.errors import DataError
from harness.reproduce.spec import CurveRecipe

_JSON_NAMES = {"psnr": ("psnr-rgb", "psnr"), "ms_ssim": ("ms-ssim-rgb", "ms-ssim")}


@dataclass(frozen=True)
class PublishedCurve:
    """The published points of one codec, smallest rate first."""

    label: str
    source: str
    bpp: tuple[float, ...]
    """Mean bits per pixel."""
    values: tuple[float, ...]
    """Mean PSNR in dB; MS-SSIM in dB of the mean, because the files have means."""

    def at(self, bpp: float) -> float | None:
        """Return the value at a rate, by pchip over log(bits per pixel); None outside the curve's range."""
        return read_off(self.bpp, self.values, bpp)


def read_off(bpp: tuple[float, ...], values: tuple[float, ...], at: float) -> float | None:
    """Return the value of a curve at a rate, by pchip over log(rate); None outside its range."""
    from scipy.interpolate import PchipInterpolator

    rates, places = np.unique(np.asarray(bpp), return_index=True)
    if len(rates) < 2 or not rates[0] <= at <= rates[-1]:
        return None
    joined = PchipInterpolator(np.log(rates), np.asarray(values)[places])
    return float(joined(np.log(at)))


def read_curve(config: Config, curve: CurveRecipe, metric: str) -> PublishedCurve:
    """Return a published curve of "psnr" or "ms_ssim".

    Raises:
        DataError: its file is absent or damaged, or does not contain the curve.
    """
    path = datasets.file_of(curve.data, config.data_set(curve.data), curve.file)
    readers = {".json": _from_json, ".txt": _from_text, ".tsv": _from_table}
    try:
        points = readers[path.suffix](path, curve.key, metric)
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} has no curve {curve.key!r} of {metric}: {error}.") from error
    if points.ndim != 2 or len(points) < max(curve.points, default=1):
        raise DataError(f"{path} has {len(points)} points of {metric}; asked for: {curve.points or 'at least one'}.")
    if curve.points:
        points = points[np.array(curve.points) - 1]
    values = points[:, 1].tolist()
    if metric == "ms_ssim":
        values = similarity_db(values).tolist()
    return PublishedCurve(curve.label, curve.source, tuple(points[:, 0].tolist()), tuple(values))


def _from_json(path: Path, key: str, metric: str) -> NDArray[np.float64]:
    """Read CompressAI's format ("results" -> lists), or a plain one with lists "bpp" and "psnr", (points, 2)."""
    found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for part in key.split(".") if key else ():
        found = found[part]
    found = found.get("results", found)
    name = next((name for name in _JSON_NAMES[metric] if name in found), _JSON_NAMES[metric][0])
    return np.column_stack([found["bpp"], found[name]]).astype(np.float64)


def _from_text(path: Path, key: str, metric: str) -> NDArray[np.float64]:
    """Read Google's format: comments, then lines "bits per pixel, value"; the folder names the metric, (points, 2)."""
    folder = {"psnr": "PSNR_sRGB_RGB", "ms_ssim": "MS-SSIM_sRGB_RGB"}[metric]
    if path.parent.name != folder:
        raise ValueError(f"it is in the folder {path.parent.name}, expected {folder}")
    return np.loadtxt(path, delimiter=",", ndmin=2)


def _from_table(path: Path, key: str, metric: str) -> NDArray[np.float64]:
    """Read Cool-Chic's format: one line per image and lambda; return means over images, by lambda, (points, 2)."""
    if metric != "psnr":
        raise KeyError(metric)
    groups: dict[float, list[tuple[float, float]]] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            groups.setdefault(float(row["lmbda"]), []).append((float(row["rate_bpp"]), float(row["psnr_db"])))
    return np.array([np.mean(groups[weight], axis=0) for weight in sorted(groups, reverse=True)])
