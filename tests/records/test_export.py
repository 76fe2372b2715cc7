"""Every record of a store as one table, in CSV or Parquet, also while a run writes to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.errors import StoreError, UsageError
from harness.records import export as exporting
from harness.records import record, store
from harness.records.export import export
from harness.records.record import CSV_COLUMNS, Record
from harness.records.store import Store
from tests.support import store_process
from tests.support.command import call, complaint

BASE = Record("f0", "a.png", "webp", "ratio", 4.0, "reached", setting=71, size_bytes=98_000, psnr=36.5)
KEPT = [
    replace(BASE, extra={"ssimulacra2": 71.25}),
    replace(BASE, fingerprint="f1", psnr=math.inf, reason='a "quoted", comma', extra={"leak": "clean"}),
    Record("f2", "NA", "123", "ratio", 4.0, "failed", reason="it fell", extra={"encodes": 3, "ssimulacra2": None}),
]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    with Store(tmp_path / "store.sqlite") as kept:
        kept.save("pixels", "codec", KEPT, ())
    return tmp_path


def read(path: Path) -> pd.DataFrame:
    texts = dict.fromkeys(("image", "codec", "reason", "leak"), "string")
    frame = (
        pd.read_parquet(path)
        if path.suffix == ".parquet"
        else pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
    )
    return frame.sort_values("codec", ignore_index=True)


@pytest.mark.parametrize("rows", [1, 2, 20_000])
@pytest.mark.parametrize("name", ["records.csv", "records.parquet"])
def test_every_record_comes_back_from_the_table(
    name: str, rows: int, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_ROWS", rows)
    assert export(results, results / name) == 3
    frame = read(results / name)
    assert list(frame.columns[: len(CSV_COLUMNS)]) == CSV_COLUMNS
    assert set(frame.columns[len(CSV_COLUMNS) :]) == {"fingerprint", "ssimulacra2", "leak", "encodes"}
    assert sorted(frame["fingerprint"]) == ["f0", "f1", "f2"]
    assert frame["image"].tolist() == ["NA", "a.png", "a.png"]
    assert frame["codec"].tolist() == ["123", "webp", "webp"]
    assert sorted(frame["psnr"].dropna()) == [36.5, math.inf]
    assert frame["ssimulacra2"].dropna().tolist() == [71.25]
    assert frame["leak"].dropna().tolist() == ["clean"]
    assert 'a "quoted", comma' in frame["reason"].dropna().tolist()
    assert not list(results.glob("*.part"))


@pytest.mark.parametrize("name", ["records.csv", "records.parquet"])
def test_an_empty_store_is_a_table_without_rows(name: str, tmp_path: Path) -> None:
    Store(tmp_path / "store.sqlite").__exit__()
    assert export(tmp_path, tmp_path / name) == 0
    assert list(read(tmp_path / name).columns) == [*CSV_COLUMNS, "fingerprint"]


def test_a_table_is_whole_while_another_process_writes(
    tmp_path: Path, other_processes: Callable[..., list[Any]]
) -> None:
    path = tmp_path / "store.sqlite"
    Store(path).__exit__()
    arguments = [("write", str(path), 150), ("export", str(path), 150)]
    written, seen = other_processes(store_process.work, arguments)
    assert written == 150
    assert seen == "whole"


def test_a_run_stores_on_while_a_table_is_written_under_a_rollback_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "on_network", lambda _: True)
    monkeypatch.setattr(store, "_BUSY_SECONDS", 0.1)
    monkeypatch.setattr(exporting, "_ROWS", 1)
    with Store(tmp_path / "store.sqlite") as run:
        run.save("pixels", "codec", KEPT, ())
        stored = 0

        def to_frame(part: list[Record]) -> pd.DataFrame:
            nonlocal stored
            further = replace(BASE, fingerprint=f"g{stored}", extra={"later": 1})
            run.save("pixels", "codec", [further, *(replace(record, psnr=0.0) for record in KEPT)], ())
            stored += 1
            return record.to_frame(part)

        monkeypatch.setattr(exporting, "to_frame", to_frame)
        assert export(tmp_path, tmp_path / "all.csv") == 3
    frame = read(tmp_path / "all.csv")
    assert stored == 4
    assert "later" not in frame
    assert sorted(frame["fingerprint"]) == ["f0", "f1", "f2"]
    assert sorted(frame["psnr"].dropna()) == [36.5, math.inf]


def test_the_command_says_where_the_table_is(results: Path) -> None:
    ended = call("export", results / "all.parquet", "--results", results)
    assert (ended.status, ended.out) == (0, f"{results / 'all.parquet'}: 3 records\n")


def test_what_cannot_be_exported_is_refused_in_one_line(results: Path, tmp_path: Path) -> None:
    assert "ends in '.xls'; name a table that ends in .csv or .parquet" in complaint(
        call("export", results / "all.xls", "--results", results)
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds no store\.sqlite"):
        export(tmp_path / "empty", tmp_path / "a.csv")
    with pytest.raises(UsageError, match=r"a\.csv cannot be written: "):
        export(results, tmp_path / "absent" / "a.csv")
    (results / "store.sqlite").write_bytes(b"no database" * 500)
    with pytest.raises(StoreError, match="damaged"):
        export(results, tmp_path / "a.csv")
