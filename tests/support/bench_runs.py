"""Runs of `harness bench` on tiny images, for tests of the whole way from command line to report."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image as Pillow

from harness.interface import Image
from harness.records.record import CSV_COLUMNS, read_frame
from tests.support.command import Ended, run
from tests.support.images import packaged_photograph

PLUGINS = Path(__file__).with_name("plugins")
PSNR_ALONE = """
[suites.tiny]
description = "PSNR alone, tight limits"
data = "demo"
metrics = ["psnr"]
limits = { seconds = 5, memory_mb = 700, disk_mb = 32 }
"""
"""A configuration whose suite loads little."""


@dataclass(frozen=True)
class BenchRun:
    """How a run ended, and the folder that it wrote."""

    ended: Ended
    folder: Path

    @property
    def frame(self) -> pd.DataFrame:
        return read_frame(self.folder)

    @property
    def manifest(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        return loaded


def crops(folder: Path, count: int = 2, sides: tuple[int, int] = (48, 64)) -> Path:
    """Write so many crops of a photograph as PNG files; return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        top, left = 60 + 20 * number, 130 + 12 * number
        write(folder / f"crop{number:02}.png", packaged_photograph()[top : top + sides[0], left : left + sides[1]])
    return folder


def write(path: Path, image: Image) -> None:
    Pillow.fromarray(image if image.shape[2] == 3 else image[:, :, 0]).save(path)


def tiny_config(folder: Path) -> Path:
    path = folder / "tiny.toml"
    path.write_text(PSNR_ALONE)
    return path


def bench(results: Path, *arguments: str | Path, config: Path | None = None) -> BenchRun:
    """Run `harness bench` and return the newest run below `results`."""
    chosen = ("--config", config) if config else ()
    suite = ("--suite", "tiny") if config else ()
    ended = run(*chosen, "bench", *suite, "--results", results, *arguments)
    runs = sorted(results.glob("*/manifest.json"), key=lambda path: path.stat().st_mtime)
    assert runs, ended.err
    return BenchRun(ended, runs[-1].parent)


def facts(frame: pd.DataFrame, codecs: Iterable[str] | None = None) -> pd.DataFrame:
    """Return what every run must agree on: the designed columns, of some codecs, in one order."""
    kept = frame if codecs is None else frame[frame["codec"].isin(list(codecs))]
    ordered = kept.sort_values(["image", "codec", "protocol", "target_ratio"], ignore_index=True)
    return ordered[CSV_COLUMNS]


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Check that two tables hold the same records; a column of whole numbers may be float where one is absent."""
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
