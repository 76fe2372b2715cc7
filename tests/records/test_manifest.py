"""The manifest of a run: it is read as it was written; a foreign or damaged one stops its own report alone."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import StoreError
from harness.records import manifest
from harness.records.manifest import CodecEntry, Manifest
from tests.support.command import call
from tests.support.synthetic import image_names, record
from tests.support.synthetic import manifest as made_up

FOREIGN = {
    "of another program": '{"images": 5}',
    "cut off": "{",
    "a list": "[1, 2]",
    "of another version": '{"version": 2, "suite": "kodak"}',
    "with a wrong field": '{"version": 1, "images": 5}',
    "with an unknown field": '{"version": 1, "manifest_version": 3}',
    "no text": "\ud800",
    "deep": "[" * 100_000,
}
foreign = pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
REFERENCES = sorted((Path(__file__).parents[2] / "results").glob("reference-*"))


def stored(folder: Path) -> Path:
    """A run's folder with made-up records."""
    folder.mkdir(parents=True)
    rows = [record(image, codec, 4.0) for image in image_names(2) for codec in ("one", "two")]
    pd.DataFrame(rows).to_csv(folder / "records.csv", index=False)
    manifest.write(folder / manifest.NAME, made_up(["one", "two"], 2))
    return folder


def with_a_foreign_one_beside(results: Path, text: str) -> Path:
    """A run's folder, in whose results folder another folder has a manifest that is none of ours."""
    (results / "alien").mkdir(parents=True)
    (results / "alien" / manifest.NAME).write_bytes(text.encode(errors="surrogatepass"))
    (results / "alien" / "records.csv").write_text("a,b\n1,2\n")
    return stored(results / "mine")


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    about = made_up(["one"], 3, anchor=None, limits={"seconds": 300, "memory_mb": 8192.5})
    manifest.write(tmp_path / "manifest.json", about)
    assert manifest.read(tmp_path / "manifest.json") == about


def test_what_was_never_set_is_left_out_of_the_file_and_the_version_comes_first(tmp_path: Path) -> None:
    manifest.write(tmp_path / "manifest.json", Manifest(suite="sar", codecs=(CodecEntry(id="x", reason=None),)))
    written = json.loads((tmp_path / "manifest.json").read_text())
    assert list(written) == ["version", "suite", "codecs"]
    assert written["codecs"] == [{"id": "x", "reason": None}]


@pytest.mark.parametrize("folder", REFERENCES, ids=lambda folder: folder.name)
def test_the_manifests_of_the_reference_runs_are_read_whole(folder: Path) -> None:
    path = folder / manifest.NAME
    assert manifest.read(path).facts() == json.loads(path.read_text())


def test_there_are_reference_runs() -> None:
    assert len(REFERENCES) == 2


@foreign
def test_a_manifest_that_is_none_of_ours_is_a_store_error_in_one_line(text: str, tmp_path: Path) -> None:
    run = stored(tmp_path / "run")
    (run / manifest.NAME).write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(StoreError, match=r"manifest\.json"):
        manifest.read(run / manifest.NAME)
    ended = call("report", run)
    assert ended.status == 2
    assert ended.err.startswith("harness: ")
    assert len(ended.err.splitlines()) == 1


@foreign
def test_where_folders_are_searched_a_foreign_manifest_is_passed_over_with_one_line(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = with_a_foreign_one_beside(tmp_path / "results", text)
    with caplog.at_level(logging.WARNING, "harness"):
        assert [folder for folder, _ in manifest.search(tmp_path / "results")] == [run]
        assert [folder for folder, _ in manifest.search(tmp_path / "results")] == [run]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("passed over: ")
    assert str(tmp_path / "results" / "alien" / "manifest.json") in caplog.messages[0]
    assert "\n" not in caplog.messages[0]


@pytest.mark.parametrize("text", ['{"images": 5}', "{"])
def test_a_foreign_manifest_beside_a_run_stops_neither_report_nor_merge_nor_comparison(
    text: str, tmp_path: Path
) -> None:
    run = with_a_foreign_one_beside(tmp_path / "results", text)
    other = stored(tmp_path / "results" / "other")
    for command in (("report", run), ("report", run, other), ("report", tmp_path / "results"), ("compare", run, other)):
        ended = call(*command)
        assert ended.status == 0, ended.err
    assert "alien" not in (tmp_path / "results" / "index.html").read_text()
