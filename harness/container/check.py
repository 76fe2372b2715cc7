"""Check that a container repeats its results, and that they equal those of this machine outside of it.

A small fixed bench runs twice in fresh containers and once here; files and decoded pictures are compared by sha256.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from harness.config.schema import Config
from harness.container.connection import IMAGE, connected
from harness.container.run import Job, run
from harness.errors import ContainerError

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

SUITE, LIMIT, RATIO = "demo", 1, 8.0
"""What runs: one photograph, one ratio, every codec unless some are named."""
_KEY = ["image", "codec", "protocol", "target_ratio"]


@dataclass(frozen=True)
class Checking:
    """What to compare."""

    config: Config
    config_path: Path | None = None
    """The file of `config`, to mount into the container; None for the packaged one."""
    codecs: tuple[str, ...] = ()
    image: str = IMAGE
    gpus: str = "auto"


@dataclass(frozen=True)
class Agreement:
    """How many records of one codec agree, among those with a file in both runs."""

    codec: str
    compared: int
    files_again: int
    pixels_again: int
    files_outside: int
    pixels_outside: int
    largest_difference: int
    """Between samples that were decoded in the container and outside, each from its own file; in gray levels."""

    @property
    def repeats(self) -> bool:
        """Whether two fresh containers gave the same files and pixels."""
        return self.files_again == self.pixels_again == self.compared


def check(checking: Checking, say: Callable[[str], None], write: Callable[[bytes, bytes], None]) -> list[Agreement]:
    """Run the bench three times and compare; progress goes to `say` and `write`.

    Raises:
        ContainerError: the engine or the image is missing, or a run ended early.
    """
    from harness.plan.request import Request
    from harness.run.bench import bench

    with connected() as client:
        client.images.get(checking.image)
    with TemporaryDirectory(prefix="harness-check-") as scratch:
        folders = [Path(scratch) / name for name in ("first", "second", "outside")]
        for folder in folders[:2]:
            say(f"in a container, the {folder.name} time")
            _run(checking, folder, _command(checking.codecs), write)
        say("outside")
        request = Request(
            checking.config, SUITE, (RATIO,), codecs=checking.codecs, limit=LIMIT, results=folders[2], keep_files=True
        )
        bench(request)
        first, second, outside = (_records(folder) for folder in folders)
        return [
            _agreement(
                codec, _paired(first, second, codec), _paired(first, outside, codec), DecodedAgain(checking, folders)
            )
            for codec in dict.fromkeys(first["codec"])
        ]


def _command(codecs: tuple[str, ...]) -> tuple[str, ...]:
    chosen = ("--codecs", ",".join(codecs)) if codecs else ()
    return ("bench", "--suite", SUITE, "--limit", str(LIMIT), "--ratios", f"{RATIO:g}", "--keep-files", *chosen)


def _run(checking: Checking, results: Path, command: tuple[str, ...], write: Callable[[bytes, bytes], None]) -> None:
    job = Job(command, results, checking.image, checking.gpus, config=checking.config_path, aside=True)
    status = run(job, write, lambda _: None)
    if status not in (0, 1):
        raise ContainerError(f"`harness {' '.join(command)}` ended with status {status} in the container.")


def _records(results: Path) -> pd.DataFrame:
    from harness.records.record import read_frame

    return read_frame(next(results.glob("*/records.csv")).parent)


def _paired(one: pd.DataFrame, other: pd.DataFrame, codec: str) -> pd.DataFrame:
    """Return the records of a codec that have a file in both runs, joined."""
    both = one[one["codec"] == codec].merge(other, on=_KEY, suffixes=("", "_other"))
    return both.dropna(subset=["file_sha256", "file_sha256_other"])


def _equal(pairs: pd.DataFrame, column: str) -> int:
    return int((pairs[column] == pairs[f"{column}_other"]).sum())


@dataclass(frozen=True)
class DecodedAgain:
    """Decodes kept files again, in a container and outside, to find how far two pictures differ."""

    checking: Checking
    folders: list[Path]

    def largest_difference(self, codec: str, inside_sha256: str, outside_sha256: str) -> int:
        """Return the largest difference of two samples, in gray levels."""
        from harness.data.images import read_image
        from harness.run.one_file import decode_file

        inside, outside = (
            next(folder.glob(f"*/files/{sha256}.bin"))
            for folder, sha256 in ((self.folders[0], inside_sha256), (self.folders[2], outside_sha256))
        )
        name = f"{inside_sha256}.png"
        place = f"/results/{inside.relative_to(self.folders[0])}"
        command = ("decode", place, f"/results/{name}", "--codec", codec)
        _run(self.checking, self.folders[0], command, lambda _out, _error: None)
        decode_file(self.checking.config, outside, self.folders[2] / name, codec)
        one, other = (read_image(folder / name, name, None).pixels.astype(int) for folder in self.folders[::2])
        return int(np.abs(one - other).max())


def _agreement(codec: str, again: pd.DataFrame, outside: pd.DataFrame, pictures: DecodedAgain) -> Agreement:
    apart = outside[outside["pixels_sha256"] != outside["pixels_sha256_other"]]
    differences = [
        pictures.largest_difference(codec, row["file_sha256"], row["file_sha256_other"])
        for row in apart.to_dict("records")
    ]
    return Agreement(
        codec,
        len(again),
        _equal(again, "file_sha256"),
        _equal(again, "pixels_sha256"),
        _equal(outside, "file_sha256"),
        _equal(outside, "pixels_sha256"),
        max(differences, default=0),
    )


def table(agreements: list[Agreement]) -> Table:
    """Return the agreements as a table for people."""
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="")
    for name in ("codec", "files again", "pixels again", "files outside", "pixels outside", "largest difference"):
        shown.add_column(name, overflow="fold")
    for one in agreements:
        counts = (one.files_again, one.pixels_again, one.files_outside, one.pixels_outside)
        shares = [f"{count} of {one.compared}" if one.compared else "-" for count in counts]
        shown.add_row(one.codec, *shares, str(one.largest_difference) if one.compared else "-")
    return shown
