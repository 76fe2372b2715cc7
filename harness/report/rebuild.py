"""Make the report of a run again, one report of several runs, or the comparison of two runs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import StoreError, UsageError
from harness.records import artifacts, manifest
from harness.records.manifest import Manifest
from harness.records.record import read_frame
from harness.report import write_report
from harness.report.index import write_index
from harness.system.files import written_aside

if TYPE_CHECKING:
    import pandas as pd

    from harness.analysis.merge import NamedRun


@dataclass(frozen=True)
class Compared:
    """How run B differs from run A."""

    table: pd.DataFrame
    """Columns as `harness.analysis.compare.COLUMNS`."""
    absent: list[str]
    """The codecs and images that only one of the two runs has, in words."""
    differences: list[str]
    """The differences between the runs in software, machine, codecs and options, in words."""


def report(runs: Sequence[Path], output: Path | None = None) -> Path:
    """Write the report of one run again, or one report of several, and the index of the results folder.

    Args:
        runs: folders of runs, or their records.csv; a results folder stands for its newest run.
        output: the folder for the report of several runs; None: a folder beside the first run, named by their names.

    Returns:
        The report's folder; for one run, its own.

    Raises:
        StoreError: a run's records or manifest cannot be read.
        UsageError: two runs have different pixels for an image of one name, or `output` is another run's folder.
    """
    from harness.analysis.merge import merge

    folders = [_folder(run) for run in runs]
    named = _named(folders)
    if len(named) == 1 and (output is None or output.resolve() == folders[0]):
        folder, run = folders[0], named[0]
        write_report(folder, run.records, run.manifest, artifacts.kept_pictures(folder, run.records, run.manifest))
    else:
        names = "\n".join(run.name for run in named)
        digest = hashlib.sha256(names.encode()).hexdigest()[:8]
        folder = output or folders[0].parent / f"merged-{digest}"
        _check_output(folder)
        folder.mkdir(parents=True, exist_ok=True)
        merged = merge(named)
        with written_aside(folder / "records.csv") as aside:
            merged.records.to_csv(aside, index=False)
        manifest.write(folder / manifest.NAME, merged.manifest)
        write_report(folder, read_frame(folder), merged.manifest)
    write_index(folders[0].parent)
    return folder


def compare(first: Path, second: Path) -> Compared:
    """Return how a second run differs from a first one, over the images that both measured.

    Raises:
        StoreError: a run's records or manifest cannot be read.
        UsageError: the runs have different pixels for an image of one name.
    """
    from harness.analysis.compare import absent
    from harness.analysis.compare import compare as table_of
    from harness.analysis.merge import merge

    runs = _named([_folder(first), _folder(second)])
    records = runs[0].records, runs[1].records
    return Compared(table_of(*records), absent(*records), list(merge(runs).manifest.differences))


def _check_output(folder: Path) -> None:
    """Raise a UsageError where a folder holds a measured run, which a merged report would overwrite."""
    about = folder / manifest.NAME
    if about.is_file() and manifest.read(about).plan is not None:
        raise UsageError(
            f"{folder} holds a run that was measured, and this report would overwrite it. Name another with --output."
        )


def _folder(run: Path) -> Path:
    """Return the folder of a run, given itself, its records.csv, or a results folder (the newest run)."""
    if not run.is_dir():
        return run.resolve().parent
    if (run / "records.csv").is_file():
        return run.resolve()
    ended = [
        (found.started or "", folder) for folder, found in manifest.search(run) if (folder / "records.csv").is_file()
    ]
    return max(ended)[1].resolve() if ended else run.resolve()


def _named(folders: Sequence[Path]) -> list[NamedRun]:
    """Read runs; each is named by its folder, with as many parent folders as make the names differ."""
    from harness.analysis.merge import NamedRun

    for depth in range(1, 1 + max(len(folder.parts) for folder in folders)):
        names = {folder: "/".join(folder.parts[-depth:]) for folder in folders}
        if len(set(names.values())) == len(names):
            break
    return [NamedRun(names[folder], *_read(folder)) for folder in folders]


def _read(folder: Path) -> tuple[pd.DataFrame, Manifest]:
    """Return a run's records and manifest.

    Raises:
        StoreError: one cannot be read, or the number of records is not that of the manifest.
    """
    records, about = read_frame(folder), manifest.read(folder / manifest.NAME)
    if about.records not in (None, len(records)):
        raise StoreError(
            f"{folder / 'records.csv'} has {len(records)} records where manifest.json counts {about.records}: it "
            "was cut off or changed. Run the same `harness bench` again: it writes the file anew from the store."
        )
    return records, about
