"""What the tests of the store run in other processes."""

from __future__ import annotations

import time
from pathlib import Path

from harness.records.export import export
from harness.records.record import Encode, Record
from harness.records.store import Store


def save_many(path: str, name: str, count: int) -> int:
    """Open the store and save so many tasks of one record and one encode; return how many."""
    with Store(Path(path)) as store:
        for number in range(count):
            key = f"{name}{number}"
            record = Record(key, "image", "codec", "ratio", 4.0, "capped")
            store.save(key, "codec", [record], [Encode(1.0, 10, "0" * 64)])
    return count


def work(role: str, path: str, count: int) -> int | str:
    """Write, or watch, or export what another process writes."""
    if role == "write":
        return save_many(path, "", count)
    return _watch(path, count) if role == "read" else _export(Path(path).parent, count)


def _export(results: Path, count: int) -> str:
    """Export until all records are there; say "whole" when no table ever had fewer than the one before."""
    deadline = time.monotonic() + 60
    before = 0
    while time.monotonic() < deadline:
        rows = export(results, results / "all.csv")
        if rows < before or len((results / "all.csv").read_text().splitlines()) != rows + 1:
            return f"{rows} rows after {before}"
        if rows == count:
            return "whole"
        before = rows
    return f"only {before} records in time"


def _watch(path: str, count: int) -> str:
    """Read until all tasks are there; say "whole" when no task was ever seen by half."""
    deadline = time.monotonic() + 60
    keys = [str(number) for number in range(count)]
    with Store(Path(path)) as store:
        while time.monotonic() < deadline:
            done = store.finished(keys)
            if any(not store.encodes(key, "codec") for key in done):
                return "a record without its encode"
            if len(done) == count:
                return "whole"
    return f"only {len(done)} tasks in time"
