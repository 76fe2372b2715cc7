"""`harness compare` and `harness report` on real runs: what changed, what is a regression, several runs as one."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from harness.records.manifest import write
from tests.support.command import call, complaint, run
from tests.support.images import packaged_photograph
from tests.support.synthetic import image_names, manifest, realistic, sweep

BEFORE = 'subsampling = "4:4:4"\noptimize = true\nprogressive = true\n'
AFTER = 'subsampling = "4:4:4"\noptimize = false\nprogressive = false\n'
"""The same pictures in larger files: a regression of some percent."""


def bench(folder: Path, probe: str, images: Path, codecs: str = "probe,png") -> Path:
    """Run a bench with a codec `probe` and return the run's folder."""
    (folder / "mine.toml").write_text(f'[codecs.probe]\ncodec = "jpeg"\n{probe}')
    options = ("--images", images, "--codecs", codecs, "--ratios", "4,6,8,12", "--jobs", "1")
    ended = run("--config", folder / "mine.toml", "bench", *options, "--results", folder / "results")
    assert ended.status == 0, ended.err
    return sorted((folder / "results").glob("*/manifest.json"))[-1].parent


def crop(folder: Path, top: int) -> Path:
    import PIL.Image

    folder.mkdir()
    PIL.Image.fromarray(packaged_photograph()[top : top + 96, 130:258]).save(folder / "crop.png")
    return folder


def stored(folder: Path, records: pd.DataFrame) -> Path:
    """Write made-up records as a run's folder."""
    folder.mkdir(parents=True)
    records.to_csv(folder / "records.csv", index=False)
    about = manifest(sorted(set(records["codec"])), records["image"].nunique())
    write(folder / "manifest.json", about)
    return folder


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("before")
    return bench(folder, BEFORE, crop(folder / "images", 60))


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("after")
    return bench(folder, AFTER, crop(folder / "images", 60))


def test_a_run_against_itself_is_no_regression(before: Path) -> None:
    ended = call("compare", before, before, "--fail-above", "0%")
    assert (ended.status, ended.err) == (0, "")
    assert "nothing is worse by more than 0 %" in ended.out


def test_a_codec_that_got_worse_ends_with_status_1(before: Path, after: Path) -> None:
    ended = call("compare", before, after, "--fail-above", "1%")
    assert ended.status == 1
    assert "worse: probe, ratio protocol: BD-rate +" in ended.out


def test_the_other_way_round_it_is_better(before: Path, after: Path) -> None:
    assert call("compare", after, before, "--fail-above", "1%").status == 0


def test_below_the_limit_it_passes(before: Path, after: Path) -> None:
    assert call("compare", before, after, "--fail-above", "90%").status == 0


def test_a_codec_that_lost_20_db_at_every_ratio_ends_with_status_1(tmp_path: Path) -> None:
    records = realistic(["one", "two"], 4)
    records = records[records["protocol"] == "ratio"]
    lost = records.assign(psnr=records["psnr"] - 20 * (records["codec"] == "one"))
    ended = call("compare", stored(tmp_path / "a", records), stored(tmp_path / "b", lost), "--fail-above", "1%")
    assert ended.status == 1
    assert "worse: one, ratio protocol: 4 of the 4 images without a BD-rate" in ended.out
    assert "4 refused" in ended.out


def test_a_codec_that_the_limit_cannot_be_held_against_ends_with_status_2(tmp_path: Path) -> None:
    def of_three(psnr: float) -> list[dict[str, object]]:
        return [sweep(image, "two", at, at, psnr + 5 * at) for image in image_names(4) for at in (1, 2, 3)]

    a, b = (
        stored(tmp_path / name, pd.concat([realistic(["one"], 4), pd.DataFrame(of_three(psnr))]))
        for name, psnr in (("a", 30.0), ("b", 29.0))
    )
    told = complaint(call("compare", a, b, "--fail-above", "1%"))
    assert "two (kodim01: 4 non-dominated points per curve are needed, found 3 and 3)" in told


def test_codecs_and_images_that_only_one_run_has_are_named(tmp_path: Path) -> None:
    a, b = stored(tmp_path / "a", realistic(["one", "two"], 12)), stored(tmp_path / "b", realistic(["one"], 8))
    ended = call("compare", a, b, "--fail-above", "1%")
    assert ended.status == 0
    assert "only run A has the codec two\n" in ended.out
    assert "only run A has the images kodim09, kodim10, kodim11 and 1 more\n" in ended.out
    assert "only run B has the codec two\n" in call("compare", b, a).out
    assert "only run" not in call("compare", a, a).out


def test_without_a_limit_the_changes_are_only_told(before: Path, after: Path, tmp_path: Path) -> None:
    ended = call("compare", before, after, "--csv", tmp_path / "changes.csv")
    assert ended.status == 0
    table = pd.read_csv(tmp_path / "changes.csv")
    probe = table[(table["codec"] == "probe") & table["target"].isna()]
    assert probe["bd_rate"].item() > 1
    assert f"{probe['bd_rate'].item():+.2f}" in ended.out
    png = table[table["codec"] == "png"]
    assert (png["identical"] == png["n"]).all()


def test_a_limit_without_a_unit_is_refused(before: Path) -> None:
    assert "a limit is a number with % or dB" in complaint(call("compare", before, before, "--fail-above", "1"))


def test_runs_of_other_pixels_are_refused(before: Path, tmp_path: Path) -> None:
    other = bench(tmp_path, BEFORE, crop(tmp_path / "images", 90), codecs="png")
    assert "has other pixels" in complaint(call("compare", before, other))


def test_of_a_results_folder_the_newest_run_is_taken(before: Path, after: Path, tmp_path: Path) -> None:
    # A merged report lies beside the runs and is none of them: it began at no time.
    assert call("report", before, before, "--output", before.parent / "zzz-merged").status == 0
    told = call("compare", before.parent, after, "--csv", tmp_path / "by-results.csv").out
    assert told == call("compare", before, after, "--csv", tmp_path / "by-run.csv").out
    assert (tmp_path / "by-results.csv").read_bytes() == (tmp_path / "by-run.csv").read_bytes()


def test_a_folder_that_is_no_run_is_refused(before: Path, tmp_path: Path) -> None:
    assert "records.csv cannot be read" in complaint(call("compare", before, tmp_path))


@pytest.mark.parametrize(
    "arguments",
    [("compare", "--csv", "absent/x.csv"), ("report", "--output", "a file/below")],
    ids=["compare", "report"],
)
def test_what_cannot_be_written_is_said_in_one_line(
    arguments: tuple[str, str, str], before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").touch()
    command, option, target = arguments
    assert target.split("/")[0] in complaint(call(command, before, before, option, target))


def test_several_runs_become_one_report(before: Path, after: Path, tmp_path: Path) -> None:
    both = tmp_path / "both runs"
    ended = call("report", before, after, "--output", both)
    assert ended.status == 0, ended.err
    assert f"The report is '{both / 'report.html'}'\n" in ended.out
    codecs = set(pd.read_csv(both / "records.csv")["codec"])
    assert codecs == {f"probe ({before.name})", f"probe ({after.name})", "png"}
    assert (both / "report.html").is_file()


def test_a_report_takes_no_measured_runs_place(before: Path, after: Path) -> None:
    records = (after / "records.csv").read_bytes()
    for runs in ([before, after], [before]):
        assert "holds a run that was measured" in complaint(call("report", *runs, "--output", after))
    assert (after / "records.csv").read_bytes() == records
    about = (before / "manifest.json").read_bytes()
    assert call("report", before, "--output", before).status == 0
    assert (before / "manifest.json").read_bytes() == about


def test_a_merged_report_is_where_the_runs_are_unless_said(before: Path) -> None:
    ended = call("report", before, before)
    folder = Path(ended.out.split("The report is ")[1].strip()).parent
    assert folder.parent == before.parent
    assert folder.name.startswith("merged-")


def test_runs_whose_folders_have_one_name_are_told_apart(tmp_path: Path) -> None:
    runs = [stored(tmp_path / day / "run", realistic(["one"], 4, seed)) for seed, day in enumerate(("mon", "tue"))]
    assert call("report", *runs, "--output", tmp_path / "both").status == 0
    merged = pd.read_csv(tmp_path / "both" / "records.csv")
    assert set(merged["codec"]) == {"one (mon/run)", "one (tue/run)"}
    assert len(merged) == 2 * len(realistic(["one"], 4))
    about = json.loads((runs[1] / "manifest.json").read_text())
    (runs[1] / "manifest.json").write_text(json.dumps({**about, "device": "cuda"}))
    assert "device: None in mon/run; cuda in tue/run" in call("compare", *runs).out


def test_an_index_lists_the_runs_of_a_results_folder(before: Path) -> None:
    text = (before.parent / "index.html").read_text()
    assert f'href="{before.name}/report.html"' in text
