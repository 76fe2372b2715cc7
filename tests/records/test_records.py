"""The store: whole tasks or nothing, whatever happens to disk, file or process; and records.csv."""

from __future__ import annotations

import math
import os
import resource
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import StoreError
from harness.records.record import CSV_COLUMNS, Encode, Record, Status, read_frame, to_frame
from harness.records.store import Store
from tests.support import store_process

DESIGNED_COLUMNS = (
    "image, codec, protocol, target_ratio, status, setting, size_bytes, raw_bytes, ratio, bpp, psnr, psnr_y, ssim, "
    "ms_ssim, psnr_at_budget, reason, file_sha256, pixels_sha256"
)


def full(key: str = "f1", **changes: Any) -> Record:
    """A record in which every column says something."""
    record = Record(
        fingerprint=key,
        image="kodim01.png",
        codec="jpeg-444",
        protocol="ratio",
        target_ratio=12.0,
        status="reached",
        setting=71,
        size_bytes=98_000,
        raw_bytes=1_179_648,
        ratio=12.037,
        bpp=1.99,
        psnr=36.5,
        psnr_y=37.25,
        ssim=0.95,
        ms_ssim=0.987,
        psnr_at_budget=36.51,
        reason="",
        file_sha256="1e" * 32,
        pixels_sha256="12" * 32,
        extra={"ssimulacra2": 71.25, "encodes": 3, "next_setting": None},
    )
    return replace(record, **changes)


def blank(key: str, status: str = "failed", reason: str = "it fell, twice") -> Record:
    return Record(key, "a,b.png", "webp", "ratio", 4.0, status, reason=reason)


ENCODES = (
    Encode(71.0, 98_000, "1e" * 32, "12" * 32, '{"psnr": "1"}', {"psnr": 36.5, "ms_ssim": None}),
    Encode(72.0, 99_000, "2e" * 32),
    Encode(0.015, 1_000_000, "3e" * 32, "13" * 32, '{"psnr": "1"}', {"psnr": math.inf}),
)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
numbers = st.none() | st.floats(allow_nan=False)
records = st.builds(
    Record,
    fingerprint=st.text("0123456789abcdef", min_size=8, max_size=8),
    image=texts,
    codec=texts,
    protocol=st.sampled_from(["ratio", "sweep", "control"]),
    target_ratio=numbers,
    status=st.sampled_from(list(Status)),
    setting=numbers,
    size_bytes=st.none() | st.integers(0, 2**50),
    psnr=numbers,
    reason=texts,
    extra=st.dictionaries(st.sampled_from(["ssimulacra2", "encodes"]), numbers),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results" / "store.sqlite"


@settings(max_examples=40)
@given(kept=st.lists(records, max_size=8, unique_by=lambda record: record.fingerprint))
def test_records_come_back_as_they_were_in_the_order_asked_for(kept: list[Record]) -> None:
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        store.save("pixels", "codec", kept, ())
        wanted = [record.fingerprint for record in reversed(kept)]
        assert list(store.records([*wanted, "absent"])) == list(reversed(kept))


def test_encodes_come_back_by_image_and_codec(path: Path) -> None:
    with Store(path) as store:
        store.save("pixels", "codec", (), ENCODES)
        assert set(map(str, store.encodes("pixels", "codec"))) == set(map(str, ENCODES))
        assert store.encodes("pixels", "other") == store.encodes("other", "codec") == ()


def test_what_is_stored_is_there_when_the_store_is_opened_again(path: Path) -> None:
    with Store(path) as store:
        store.save("pixels", "codec", [full()], ENCODES)
    with Store(path) as store:
        assert list(store.records(["f1"])) == [full()]
        assert len(store.encodes("pixels", "codec")) == len(ENCODES)


def test_a_record_that_is_measured_again_replaces_the_old_one(path: Path) -> None:
    with Store(path) as store:
        store.save("pixels", "codec", [blank("f1")], ())
        store.save("pixels", "codec", [full()], ())
        assert list(store.records(["f1"])) == [full()]


@pytest.mark.parametrize("status", Status)
def test_a_record_that_is_neither_failed_nor_refused_nor_missing_need_not_be_measured_again(
    path: Path, status: str
) -> None:
    with Store(path) as store:
        store.save("pixels", "codec", [blank("f1", status)], ())
        assert store.finished(["f1", "f2"]) == (set() if status in ("failed", "leaked", "missing") else {"f1"})


def test_many_fingerprints_can_be_asked_for_at_once(path: Path) -> None:
    keys = [f"{number:06}" for number in range(3000)]
    with Store(path) as store:
        store.save("pixels", "codec", [blank(key, "capped") for key in keys], ())
        assert store.finished(keys) == set(keys)
        assert [record.fingerprint for record in store.records(reversed(keys))] == keys[::-1]


def test_a_task_is_stored_whole_or_not_at_all(path: Path) -> None:
    unstorable = replace(ENCODES[0], file_sha256=[])  # type: ignore[arg-type]
    with Store(path) as store:
        with pytest.raises(StoreError):
            store.save("pixels", "codec", [full()], [ENCODES[1], unstorable])
        assert list(store.records(["f1"])) == []
        assert store.encodes("pixels", "codec") == ()
        store.save("pixels", "codec", [full()], ENCODES)
        assert list(store.records(["f1"])) == [full()]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"this is no database, whatever its name says" * 50, "file is not a database. It is damaged, or no store"),
        (b"SQLite format 3\0" + b"\xff" * 8192, "It is damaged, or no store: move it away"),
    ],
)
def test_a_damaged_file_is_named_and_left_alone(path: Path, data: bytes, words: str) -> None:
    path.parent.mkdir()
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"store\.sqlite cannot be used") as refusal, Store(path) as store:
        list(store.records(["f1"]))
    assert words in str(refusal.value)
    assert path.read_bytes() == data


def test_a_store_with_overwritten_pages_is_refused_or_says_what_it_says(path: Path) -> None:
    kept = [full(f"{number:05}") for number in range(400)]
    with Store(path) as store:
        store.save("pixels", "codec", kept, ENCODES)
    sound = path.read_bytes()
    rng = np.random.default_rng(11)
    refused = 0
    for place in rng.integers(0, len(sound) - 600, 25):
        path.write_bytes(sound[:place] + rng.bytes(600) + sound[place + 600 :])
        try:
            with Store(path) as store:
                found = list(store.records(record.fingerprint for record in kept))
                assert len(found) <= len(kept)
        except StoreError as refusal:
            refused += 1
            assert "store.sqlite cannot be used" in str(refusal)
    assert refused > 0


def test_a_store_of_a_newer_harness_is_refused_and_left_alone(path: Path) -> None:
    Store(path).__exit__()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"has version 99, this harness writes version 3\. Move it away"):
        Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("version", "index"),
    [
        (1, ()),
        (2, ["CREATE INDEX finished ON records (fingerprint) WHERE status NOT IN ('failed', 'leaked')"]),
    ],
)
def test_a_store_of_an_older_harness_is_brought_up_to_date_and_keeps_all_it_holds(
    version: int, index: Sequence[str], path: Path
) -> None:
    with Store(path) as store:
        store.save("pixels", "codec", [full(), blank("f2")], ENCODES)
    with sqlite3.connect(path) as database:
        database.execute("DROP INDEX finished")
        for statement in index:
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    with Store(path) as store:
        assert store.finished(["f1", "f2", "f3"]) == {"f1"}
        assert list(store.records(["f1", "f2"])) == [full(), blank("f2")]
        assert len(store.encodes("pixels", "codec")) == len(ENCODES)
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (3,)
    database.close()


def test_a_database_of_something_else_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE holidays (day)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="has version 0"):
        Store(path)
    assert path.read_bytes() == before


def test_a_results_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("not a folder")
    with pytest.raises(StoreError, match=r"the results folder .*results cannot be written: File exists"):
        Store(tmp_path / "results" / "store.sqlite")


@pytest.fixture
def as_anybody() -> Iterator[None]:
    """Root may write everywhere: be nobody for a while."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    yield
    os.seteuid(me)


def test_a_folder_that_cannot_be_written_is_named(as_anybody: None) -> None:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "results"
        folder.mkdir(mode=0o555)
        with pytest.raises(
            StoreError, match=r"store\.sqlite cannot be used: unable to open .* Make it writable, or name"
        ):
            Store(folder / "store.sqlite")


def fill(store: Store) -> int:
    """Save tasks until the disk is full; return how many were saved."""
    for number in range(100_000):
        try:
            store.save(f"pixels{number}", "codec", [full(f"{number:08}", reason="x" * 2000)], ENCODES)
        except StoreError as error:
            assert "Free some space and run the same command again" in str(error)
            return number
    raise AssertionError("the disk never was full")


@pytest.fixture
def small_disk(path: Path) -> Iterator[Callable[[int], None]]:
    """A function that bounds every file that this process writes to so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_ends_with_advice_and_keeps_whole_tasks(path: Path, small_disk: Callable[[int], None]) -> None:
    with Store(path) as store:
        small_disk(1 << 20)
        saved = fill(store)
        small_disk(resource.RLIM_INFINITY)
        keys = [f"{number:08}" for number in range(saved + 1)]
        assert [record.fingerprint for record in store.records(keys)] == keys[:-1]
        assert store.encodes(f"pixels{saved}", "codec") == ()
        store.save(f"pixels{saved}", "codec", [full(keys[-1])], ENCODES)
    with Store(path) as store:
        assert store.finished(keys) == set(keys)


def test_processes_that_open_a_new_store_at_once_all_get_it(
    path: Path, other_processes: Callable[..., list[Any]]
) -> None:
    assert other_processes(store_process.save_many, [(str(path), name, 40) for name in "abcd"]) == [40] * 4
    with Store(path) as store:
        keys = [f"{name}{number}" for name in "abcd" for number in range(40)]
        assert store.finished(keys) == set(keys)


def test_a_reader_sees_whole_tasks_while_another_process_writes(
    path: Path, other_processes: Callable[..., list[Any]]
) -> None:
    Store(path).__exit__()
    written, seen = other_processes(store_process.work, [("write", str(path), 150), ("read", str(path), 150)])
    assert written == 150
    assert seen == "whole"


def test_the_table_has_the_designed_columns_in_order_then_what_metrics_add() -> None:
    frame = to_frame([blank("f0"), full()])
    assert list(frame.columns) == [*DESIGNED_COLUMNS.split(", "), "ssimulacra2", "encodes", "next_setting"]
    assert ", ".join(CSV_COLUMNS) == DESIGNED_COLUMNS
    assert [field.name for field in fields(Record) if field.name not in ("fingerprint", "extra")] == CSV_COLUMNS


def test_the_table_of_no_records_has_the_columns_all_the_same() -> None:
    assert list(to_frame([]).columns) == CSV_COLUMNS


def test_records_csv_comes_back_with_infinite_and_empty_values(tmp_path: Path) -> None:
    kept = [
        full(psnr=math.inf, psnr_at_budget=None, image="NA", reason='a "quoted", comma\nand line'),
        blank("f2"),
        full("f3", codec="123", image="null", target_ratio=None),
    ]
    frame = to_frame(kept)
    frame.to_csv(tmp_path / "records.csv", index=False)
    found = read_frame(tmp_path)
    assert found["psnr"].tolist()[0] == math.inf
    assert found["psnr"].isna().tolist() == [False, True, False]
    assert found["image"].tolist() == ["NA", "a,b.png", "null"]
    assert found["codec"].tolist() == ["jpeg-444", "webp", "123"]
    assert found["reason"].tolist() == ['a "quoted", comma\nand line', "it fell, twice", ""]
    assert found["file_sha256"].tolist()[0] == "1e" * 32
    assert found["pixels_sha256"].tolist()[0] == "12" * 32
    assert found["size_bytes"].tolist()[0] == 98_000
    again = tmp_path / "again.csv"
    found.to_csv(again, index=False)
    pd.testing.assert_frame_equal(read_frame(again), found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("", "cannot be read as records"),
        ("image,codec\na,b\n", "it lacks the columns protocol, target_ratio"),
        ("a\n1,2,3\n4,5\n6,7,8,9\n", "records.csv"),
    ],
)
def test_what_is_no_table_of_records_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "records.csv").write_text(text)
    with pytest.raises(StoreError, match=r"records\.csv") as refusal:
        read_frame(tmp_path)
    assert words in str(refusal.value)


def test_a_table_made_in_parts_is_the_table_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [replace(full(), fingerprint=str(at), psnr_y=None if at < 4 else 40.5) for at in range(7)]
    whole = to_frame(kept)
    monkeypatch.setattr("harness.records.record._FRAME_ROWS", 2)
    pd.testing.assert_frame_equal(to_frame(kept), whole)
