"""Several runs as one report, and the index of a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.analysis.merge import NamedRun, merge
from harness.analysis.ratio_table import ratio_rows
from harness.analysis.run import prepare
from harness.analysis.tables import tabulate
from harness.errors import UsageError
from harness.records.manifest import LosslessControl, Manifest, write
from harness.report.index import index_text, write_index
from harness.report.markdown import report_text
from harness.report.words import control_verdict
from tests.support.synthetic import image_names, manifest, realistic


def run_of(name: str, codecs: list[str], images: int = 4, seed: int = 7, **about: Any) -> NamedRun:
    return NamedRun(name, realistic(codecs, images, seed), manifest(codecs, images, **about))


def test_runs_of_different_codecs_become_one_table() -> None:
    merged = merge([run_of("a", ["one"]), run_of("b", ["two", "three"])])
    table = ratio_rows(prepare(merged.records, merged.manifest))
    assert set(table["codec"]) == {"one", "two", "three"}
    assert (table["n"] == 4).all()
    assert [entry.id for entry in merged.manifest.codecs] == ["one", "two", "three"]


def test_a_result_that_two_runs_have_alike_is_kept_once() -> None:
    merged = merge([run_of("a", ["one"]), run_of("b", ["one"])])
    assert len(merged.records) == len(run_of("a", ["one"]).records)
    assert set(merged.records["codec"]) == {"one"}


def test_a_metric_that_only_one_of_two_runs_has_is_kept() -> None:
    first, second = run_of("a", ["one"]), run_of("b", ["one"])
    lacking = NamedRun("a", first.records.drop(columns="ssimulacra2").assign(ssim=np.nan), first.manifest)
    for runs in ([lacking, second], [second, lacking]):
        kept = merge(runs).records
        pd.testing.assert_frame_equal(kept[second.records.columns], second.records)


def test_a_codec_with_different_results_is_kept_as_two() -> None:
    merged = merge([run_of("a", ["one"]), run_of("b", ["one"], seed=8)])
    assert set(merged.records["codec"]) == {"one (a)", "one (b)"}
    assert len(merged.records) == 2 * len(run_of("a", ["one"]).records)
    assert [entry.id for entry in merged.manifest.codecs] == ["one (a)", "one (b)"]


def test_images_of_one_name_and_other_pixels_are_refused() -> None:
    other = run_of("b", ["two"])
    pixels = tuple(image.model_copy(update={"sha256": "9" * 64}) for image in other.manifest.images)
    about = other.manifest.model_copy(update={"images": pixels})
    with pytest.raises(UsageError, match="'kodim01' has other pixels in b than in a"):
        merge([run_of("a", ["one"]), NamedRun("b", other.records, about)])


def test_the_lossless_control_of_all_runs_must_hold() -> None:
    bad = {"valid": False, "records": 3, "wrong": ["png on x"]}
    merged = merge([run_of("a", ["one"]), run_of("b", ["two"], lossless_control=bad)])
    assert merged.manifest.lossless_control == LosslessControl(valid=False, records=123, wrong=("png on x",))


def test_a_run_without_a_lossless_control_spoils_no_other() -> None:
    untested = run_of("a", ["one"], lossless_control={"valid": False, "records": 0, "wrong": []})
    control = merge([untested, run_of("b", ["two"])]).manifest.lossless_control
    assert control is not None
    assert control.valid
    assert "was not run" in control_verdict(merge([untested]).manifest)


def test_what_differs_between_the_runs_is_told() -> None:
    versions = {"python": "3.11.9", "pillow": "12.0.0"}
    merged = merge([run_of("a", ["one"]), run_of("b", ["two"], versions=versions)])
    assert list(merged.manifest.differences) == ["versions, pillow: 13.0.0 in a; 12.0.0 in b"]
    run = prepare(merged.records, merged.manifest)
    assert "12.0.0 in b" in report_text(run, tabulate(run), [], "figures")


def that_says(name: str, **facts: Any) -> NamedRun:
    run = run_of(name, ["one"])
    return NamedRun(name, run.records, Manifest.model_validate({**run.manifest.facts(), **facts}))


def with_codec(name: str, **provenance: object) -> NamedRun:
    return that_says(name, codecs=[{"id": "one", "provenance": provenance}])


def test_a_codec_that_works_otherwise_in_another_run_is_told_and_one_that_only_one_run_has_is_not() -> None:
    runs = [with_codec("a", effort=7, library="x"), with_codec("b", effort=3, library="x")]
    assert list(merge(runs).manifest.differences) == ["codec one, effort: 7 in a; 3 in b"]
    assert not merge([runs[0], run_of("c", ["two"])]).manifest.differences


@pytest.mark.parametrize(
    ("key", "value", "other"),
    [("command", "harness bench", "harness bench --jobs 1"), ("seed", 0, 1), ("jobs", 2, 1), ("device", "cpu", "cuda")],
)
def test_what_was_asked_otherwise_is_told(key: str, value: object, other: object) -> None:
    merged = merge([that_says("a", **{key: value}), that_says("b", **{key: other})])
    assert list(merged.manifest.differences) == [f"{key}: {value} in a; {other} in b"]
    assert merged.manifest.runs["b"][key] == other


def test_the_index_lists_runs_newest_first_with_links(tmp_path: Path) -> None:
    for name in ("20250101T000000Z-kodak", "20260101T000000Z-<b>"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "manifest.json", manifest(["one"], 2))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    text = write_index(tmp_path).read_text(encoding="utf-8")
    assert text.index("20260101") < text.index("20250101")
    assert 'href="20250101T000000Z-kodak/report.html"' in text
    assert "<b>" not in text
    assert "broken" not in text


def test_an_empty_results_folder_has_an_index_that_says_so(tmp_path: Path) -> None:
    assert "no run here yet" in write_index(tmp_path).read_text(encoding="utf-8")
    assert index_text({}) == (tmp_path / "index.html").read_text(encoding="utf-8")


def test_merging_one_run_changes_no_record() -> None:
    run = run_of("a", ["one", "two"])
    pd.testing.assert_frame_equal(merge([run]).records, run.records)
    assert set(merge([run]).records["image"]) == set(image_names(4))
