"""The main job from end to end: `harness bench` in a process of its own, on tiny images."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.codecs import jpeg
from harness.config.code_digest import source_of
from harness.config.registry import BUILT_IN, ENTRY_POINT_GROUP
from harness.config.schema import load
from harness.data.images import pixels_sha256, read_image
from harness.plan.planner import make_plan
from harness.plan.request import Request, resolve
from harness.records.record import CSV_COLUMNS
from harness.run.assignment import Assignment
from harness.run.measure import run_task
from harness.run.scoring import answers, scores_key
from tests.support.bench_runs import PLUGINS, BenchRun, assert_same, bench, crops, facts, tiny_config, write
from tests.support.command import PROGRAM, call, complaint, environment, run
from tests.support.images import make_image

CODECS = "jpeg-444,webp,png,raw"
SOUND = ("--plugin", PLUGINS / "sound.py")
BAD = ("--plugin", PLUGINS / "bad_calls.py")
DESCRIPTIONS = ("--plugin", PLUGINS / "bad_descriptions.py")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crops(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_config(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, images: Path) -> BenchRun:
    """A run with all default metrics and every file kept."""
    results = tmp_path_factory.mktemp("base") / "results"
    return bench(results, "--images", images, "--codecs", CODECS, "--ratios", "4,8", "--keep-files", "--jobs", "2")


def test_a_run_ends_well_and_says_where_its_report_is(base: BenchRun) -> None:
    assert base.ended.status == 0, base.ended.err
    assert f"The report is {base.folder / 'report.html'}" in base.ended.out
    assert "Traceback" not in base.ended.err
    assert "Warning" not in base.ended.err


def test_a_runs_folder_holds_report_records_manifest_and_figures(base: BenchRun) -> None:
    names = {path.name for path in base.folder.iterdir()}
    assert {"report.md", "report.html", "records.csv", "manifest.json", "figures", "files"} <= names
    assert {path.suffix for path in (base.folder / "figures").iterdir()} == {".png", ".svg"}
    assert not list(base.folder.rglob("*.part*"))
    assert re.fullmatch(r"\d{8}T\d{6}Z-images\d+", base.folder.name)


def test_records_csv_begins_with_the_documented_columns_and_has_a_row_per_record(base: BenchRun) -> None:
    header = (base.folder / "records.csv").read_text().splitlines()[0].split(",")
    assert header[: len(CSV_COLUMNS)] == CSV_COLUMNS
    assert "ssimulacra2" in header
    counts = base.frame.groupby(["codec", "protocol"]).size().to_dict()
    assert counts == {("jpeg-444", "ratio"): 4, ("webp", "ratio"): 4, ("png", "control"): 2, ("raw", "control"): 2}


def test_every_file_of_the_ratio_protocol_fits_its_target_size(base: BenchRun) -> None:
    rows = base.frame[base.frame["protocol"] == "ratio"]
    assert set(rows["status"]) <= {"reached", "capped"}
    assert (rows["raw_bytes"] == 48 * 64 * 3).all()
    assert (rows["size_bytes"] <= np.floor(rows["raw_bytes"] / rows["target_ratio"])).all()
    assert np.allclose(rows["ratio"], rows["raw_bytes"] / rows["size_bytes"])
    assert np.allclose(rows["bpp"], 8 * rows["size_bytes"] / (48 * 64))
    reached = rows[rows["status"] == "reached"]
    assert (reached["next_size_bytes"] > reached["budget_bytes"]).all()
    assert (reached["psnr_at_budget"] >= reached["psnr"] - 1).all()


@pytest.mark.parametrize("words", [("report",), ("compare", "--fail-above", "1%")], ids=["report", "gate"])
def test_truncated_records_are_detected_by_the_count_in_the_manifest(
    words: tuple[str, ...], base: BenchRun, tmp_path: Path
) -> None:
    short = shutil.copytree(base.folder, tmp_path / "short")
    lines = (short / "records.csv").read_text().splitlines(keepends=True)
    (short / "records.csv").write_text("".join(lines[:4]))
    ended = call(*words, *([base.folder] if "compare" in words else []), short)
    assert ended.status == 2
    assert "has 3 records where manifest.json counts 12" in ended.err


def test_controls_are_exact_and_the_lossless_control_passes(base: BenchRun) -> None:
    controls = base.frame[base.frame["protocol"] == "control"]
    assert (controls["status"] == "measured").all()
    assert np.isinf(controls["psnr"]).all()
    assert base.manifest["lossless_control"] == {"records": 4, "valid": True, "wrong": [], "not_run": []}


def test_ms_ssim_does_not_apply_below_161_pixels(base: BenchRun) -> None:
    assert base.frame["ms_ssim"].isna().all()
    assert base.frame["ssim"].notna().all()


def test_the_manifest_holds_the_request_the_environment_and_the_result(base: BenchRun) -> None:
    manifest = base.manifest
    assert manifest["state"] == "done"
    assert manifest["command"].startswith("harness bench --results")
    assert (manifest["ratios"], manifest["protocol"], manifest["jobs"]) == ([4.0, 8.0], "ratio", 2)
    assert (manifest["threads_per_codec"], manifest["seed"]) == (1, 0)
    assert [codec["id"] for codec in manifest["codecs"]] == CODECS.split(",")
    assert [image["name"] for image in manifest["images"]] == ["crop00.png", "crop01.png"]
    assert (manifest["measured_now"], manifest["reused"]) == (12, 0)
    assert 1 <= manifest["encodes"]["per_target"] <= 8
    assert {"codec", "metrics", "other"} <= set(manifest["shares"])
    assert manifest["versions"]["pillow"]


def test_every_kept_file_has_its_digest_and_decodes_to_the_recorded_pixels(base: BenchRun, tmp_path: Path) -> None:
    rows = base.frame
    for digest, size in zip(rows["file_sha256"], rows["size_bytes"], strict=True):
        data = (base.folder / "files" / f"{digest}.bin").read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (digest, size)
    for row in rows.groupby("codec").first().itertuples():
        file = base.folder / "files" / f"{row.file_sha256}.bin"
        ended = call("decode", file, tmp_path / f"{row.Index}.png")
        assert ended.status == 0, ended.err
        assert pixels_sha256(read_image(tmp_path / f"{row.Index}.png").pixels) == row.pixels_sha256


def test_a_metric_added_later_is_computed_from_kept_files_without_encoding(
    tmp_path: Path, images: Path, config: Path
) -> None:
    asked = ("--images", images, "--codecs", "jpeg-444,webp,png", "--ratios", "4,8", "--jobs", "1")
    first = bench(tmp_path, *asked, "--keep-files", config=config)
    later = bench(tmp_path, *asked, "--metrics", "psnr,psnr_y", config=config)
    assert first.manifest["encodes"]["count"] > 0
    assert (later.manifest["measured_now"], later.manifest["encodes"]["count"]) == (10, 0)
    assert first.frame["psnr_y"].isna().all()
    assert later.frame["psnr_y"].notna().all()
    assert list(later.frame["file_sha256"]) == list(first.frame["file_sha256"])


def test_a_kept_file_that_was_damaged_is_made_again(tmp_path: Path, images: Path, config: Path) -> None:
    asked = ("--images", images, "--codecs", "jpeg-444", "--ratios", "4", "--limit", "1", "--jobs", "1")
    first = bench(tmp_path, *asked, "--keep-files", config=config)
    digest = str(first.frame["file_sha256"].iloc[0])
    (first.folder / "files" / f"{digest}.bin").write_bytes(b"damaged")
    later = bench(tmp_path, *asked, "--metrics", "psnr,psnr_y", config=config)
    assert later.manifest["encodes"]["count"] == 1
    assert later.frame["file_sha256"].tolist() == [digest]


def test_the_same_command_again_measures_nothing(base: BenchRun, images: Path) -> None:
    again = bench(
        base.folder.parent, "--images", images, "--codecs", CODECS, "--ratios", "4,8", "--keep-files", "--jobs", "2"
    )
    assert (again.ended.status, again.folder) == (0, base.folder)
    assert "record/s" not in again.ended.err
    assert again.manifest["measured_now"] == 12
    assert_same(again.frame, base.frame)


def test_a_new_description_or_anchor_updates_the_run_that_measured_the_plan(
    tmp_path: Path, images: Path, config: Path
) -> None:
    asked = ("--images", images, "--codecs", "jpeg-444,webp", "--ratios", "4", "--limit", "1", "--jobs", "1")
    first = bench(tmp_path / "results", *asked, config=config)
    named = tmp_path / "named.toml"
    named.write_text(config.read_text().replace("PSNR alone, tight limits", "anew") + 'anchor = "webp"\n')
    again = bench(tmp_path / "results", *asked, config=named)
    assert (again.folder, again.manifest["measured_now"]) == (first.folder, 2)
    assert (again.manifest["anchor"], again.manifest["description"]) == ("webp", "anew")
    measured = {name: first.manifest[name] for name in ("started", "command", "seconds", "encodes", "machine")}
    assert measured.items() <= again.manifest.items()


def test_another_ratio_reuses_what_is_there(base: BenchRun, images: Path) -> None:
    more = bench(base.folder.parent, "--images", images, "--codecs", "jpeg-444,webp", "--ratios", "4,6,8")
    assert more.folder != base.folder
    assert (more.manifest["measured_now"], more.manifest["reused"]) == (4, 8)
    kept = more.frame[more.frame["target_ratio"] != 6]
    assert_same(facts(kept), facts(base.frame, ["jpeg-444", "webp"]))


def test_keep_files_also_keeps_files_that_were_measured_without_it(tmp_path: Path, images: Path, config: Path) -> None:
    asked = ("--images", images, "--codecs", "jpeg-444", "--ratios", "6", "--jobs", "1")
    without = bench(tmp_path, *asked, config=config)
    assert not (without.folder / "files").exists()
    kept = bench(tmp_path, *asked, "--keep-files", config=config)
    assert kept.folder == without.folder
    assert {path.stem for path in (kept.folder / "files").iterdir()} == set(kept.frame["file_sha256"])
    assert_same(facts(kept.frame), facts(without.frame))


def test_sweep_and_both_measure_fixed_settings(tmp_path: Path, images: Path, config: Path) -> None:
    asked = ("--images", images, "--codecs", "jpeg-444,jpeg-444-flat,png", "--ratios", "8", "--limit", "1")
    done = bench(tmp_path, *asked, "--protocol", "both", config=config)
    assert done.ended.status == 0, done.ended.err
    sweep = done.frame[done.frame["protocol"] == "sweep"]
    assert (sweep["status"] == "measured").all()
    assert sweep[sweep["codec"] == "jpeg-444"]["setting"].tolist() == list(range(5, 100, 5))
    assert len(sweep[sweep["codec"] == "jpeg-444-flat"]) == 16
    assert set(done.frame["image"]) == {"crop00.png"}
    assert set(done.frame["protocol"]) == {"ratio", "sweep", "control"}


BAD_CODECS = (
    "raises,segfaults,exits-at-once,hangs-in-c,allocates,fills-disk,keeps-state,not-bytes,wrong-shape,"
    "writes-everywhere,lies-about-loss,prints,leaves-processes"
)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory, images: Path, config: Path) -> tuple[BenchRun, BenchRun]:
    """A run of sound codecs, and one of the same among many that misbehave."""
    good = ("--images", images, *SOUND, "--ratios", "3,6", "--jobs", "2")
    alone = bench(tmp_path_factory.mktemp("alone"), *good, "--codecs", "bits,webp,png", config=config)
    codecs = f"bits,{BAD_CODECS},webp,png"
    return alone, bench(tmp_path_factory.mktemp("among"), *good, *BAD, "--codecs", codecs, config=config)


def test_bad_codecs_cost_their_own_records_and_no_others(spoiled: tuple[BenchRun, BenchRun]) -> None:
    alone, among = spoiled
    assert (alone.ended.status, among.ended.status) == (0, 1)
    assert_same(facts(among.frame, ["bits", "webp", "png"]), facts(alone.frame))


def test_every_bad_codecs_records_are_there_with_their_reason(spoiled: tuple[BenchRun, BenchRun]) -> None:
    frame = spoiled[1].frame
    bad = frame[frame["codec"].isin(BAD_CODECS.split(",")) & ~frame["codec"].isin(["prints", "leaves-processes"])]
    assert (bad["status"] == "failed").all()
    assert (bad["reason"].str.len() > 5).all()
    assert set(bad["codec"]) == set(BAD_CODECS.split(",")) - {"prints", "leaves-processes"}
    harmless = frame[frame["codec"].isin(["prints", "leaves-processes"])]
    assert set(harmless["status"]) <= {"reached", "capped"}


def test_a_codec_that_claims_to_be_lossless_and_is_not_makes_the_lossless_control_invalid(
    spoiled: tuple[BenchRun, BenchRun],
) -> None:
    lossless_control = spoiled[1].manifest["lossless_control"]
    assert lossless_control["valid"] is False
    assert any(
        "lies-about-loss on crop00.png: lossless control: the pixels" in line for line in lossless_control["wrong"]
    )
    assert "lossless control" in (spoiled[1].folder / "report.md").read_text().lower()


def test_codecs_that_fail_to_describe_themselves_cost_their_own_records_alone(
    tmp_path: Path, images: Path, config: Path
) -> None:
    codecs = "jpeg-444,endless-ladder,constructor-raises,provenance-not-json,needs-library"
    asked = ("--images", images, "--ratios", "6", "--limit", "1", "--codecs", codecs)
    done = bench(tmp_path, *asked, *DESCRIPTIONS, config=config)
    assert done.ended.status == 1
    status = dict(zip(done.frame["codec"], done.frame["status"], strict=True))
    assert status.pop("jpeg-444") in ("reached", "capped")
    assert status.pop("needs-library") == "missing"
    assert set(status.values()) == {"failed"}
    reasons = dict(zip(done.frame["codec"], done.frame["reason"], strict=True))
    assert "at most 65536 items" in reasons["endless-ladder"]
    assert "pip install nobodyhas" in reasons["needs-library"]


ODD_ANSWERS = {
    "surrogate-in-error": "ValueError: caf\\udce9 is no name",
    "ladder-of-huge": "ladder.1: an integer should be at most 2^53; found 1000000000000000000000000000000.",
    "nan-in-provenance": "its description is malformed: provenance.version",
    "budget-none": "its rate control's choice is malformed: setting: input should be a finite number; found None.",
    "budget-nan": "setting: input should be a finite number; found nan.",
    "budget-large": "setting: an integer should be at most 2^53; found 1000",
    "budget-largest": "setting: an integer should be at most 2^53; found 1000",
    "missing-mapping": "missing: input should be a valid string; found {'weights': 'none'}.",
    "surrogate-in-missing": "no weights in caf\\udce9.",
    "out-of-reach-number": "out_of_reach.rgb8: input should be a valid string; found 5.",
    "predicts-one-size": "it predicted 1 sizes for the 2 settings of its ladder.",
    "predicts-nan": "sizes.0: input should be a finite number; found nan.",
    "predicts-less-than-nothing": "sizes.0: input should be greater than 0; found -1.0.",
    "forged-empty": "its description is malformed: formats is missing.",
    "forged-deep": "in the middle of a call",
}
"""Plugin -> how the reason of its record begins, or what it holds."""


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, images: Path, config: Path) -> BenchRun:
    """A run of a sound codec among many whose answers are of odd types."""
    codecs = ",".join(["jpeg-444", "surrogate-in-provenance", "estimate-nan", *ODD_ANSWERS])
    asked = ("--images", images, "--ratios", "6", "--limit", "1", "--codecs", codecs, "--jobs", "1")
    return bench(tmp_path_factory.mktemp("odd"), *asked, "--plugin", PLUGINS / "odd_answers.py", config=config)


@pytest.mark.parametrize("codec", ODD_ANSWERS)
def test_an_answer_of_an_odd_type_costs_the_codecs_own_record(codec: str, odd: BenchRun) -> None:
    row = odd.frame.set_index("codec").loc[codec]
    assert row["status"] == ("missing" if codec == "surrogate-in-missing" else "failed")
    assert ODD_ANSWERS[codec] in row["reason"]


def test_a_run_learns_the_bias_of_a_codecs_predictions(tmp_path: Path, images: Path, config: Path) -> None:
    asked = ("--images", images, "--ratios", "6", "--codecs", "predicts-half", "--jobs", "1")
    done = bench(tmp_path, *asked, "--plugin", PLUGINS / "predicts_half.py", config=config)
    encodes = done.frame[done.frame["protocol"] == "ratio"]["encodes"].tolist()
    assert encodes[0] > 2
    assert len(encodes) > 1
    assert set(encodes[1:]) == {2}


@pytest.mark.parametrize("codec", ["jpeg-444", "surrogate-in-provenance", "estimate-nan"])
def test_codecs_beside_odd_answers_are_measured(codec: str, odd: BenchRun) -> None:
    assert odd.ended.status == 1, odd.ended.err
    assert odd.frame.set_index("codec").loc[codec, "status"] in ("reached", "capped", "unreachable")


@pytest.mark.parametrize(("named", "status"), [(("--codecs", "webp,needs-library"), 1), ((), 0)], ids=["named", "not"])
def test_a_missing_codec_ends_a_run_with_status_1_only_if_it_was_named(
    named: tuple[str, ...], status: int, tmp_path: Path, images: Path
) -> None:
    suite = tiny_config(tmp_path)
    suite.write_text(f'{suite.read_text()}codecs = ["webp", "needs-library"]\n')
    asked = ("--images", images, "--ratios", "6", "--limit", "1", "--jobs", "1")
    done = bench(tmp_path / "results", *asked, *named, *DESCRIPTIONS, config=suite)
    assert done.ended.status == status, done.ended.err
    assert set(done.frame["status"]) == {"reached", "missing"}


def test_a_codec_that_is_not_deterministic_is_found_when_it_encodes_again(
    tmp_path: Path, images: Path, config: Path
) -> None:
    asked = ("--images", images, "--limit", "1", "--codecs", "random", "--jobs", "1")
    bench(tmp_path, *asked, *BAD, "--ratios", "3", config=config)
    again = bench(tmp_path, *asked, *BAD, "--ratios", "3", "--keep-files", config=config)
    assert "it is not deterministic" in " ".join(again.frame["reason"])


def test_16_bit_gray_images_are_measured_and_codecs_that_cannot_take_them_say_so(tmp_path: Path, config: Path) -> None:
    folder = tmp_path / "gray"
    folder.mkdir()
    write(folder / "deep.png", make_image("photograph", (48, 64), "gray16"))
    asked = ("--images", folder, "--codecs", "jpeg2000,jpeg-444,jpegls", "--ratios", "4")
    done = bench(tmp_path / "results", *asked, config=config)
    assert done.ended.status == 0, done.ended.err
    rows = done.frame.set_index("codec")
    assert rows.loc["jpeg2000", "status"] == "reached"
    assert rows.loc["jpeg2000", "raw_bytes"] == 48 * 64 * 2
    assert rows.loc["jpeg-444", "status"] == "unsupported"
    assert rows.loc["jpeg-444", "reason"] == "it takes rgb8, gray8; this image is gray16."
    assert rows.loc["jpegls", "psnr"] == np.inf


def test_psnr_is_interpolated_at_the_target_size_for_a_codec_with_its_own_rate_control_too(
    tmp_path: Path, images: Path, config: Path
) -> None:
    done = bench(tmp_path, "--images", images, "--codecs", "jpeg2000", "--ratios", "6,8", config=config)
    rows = done.frame[done.frame["status"] == "reached"]
    assert len(rows) == 4
    assert (rows["size_bytes"] <= rows["budget_bytes"]).all()
    assert (rows["next_size_bytes"] > rows["budget_bytes"]).all()
    short = rows[rows["size_bytes"] < rows["budget_bytes"]]
    assert len(short)
    assert (short["psnr_at_budget"] > short["psnr"]).all()


LAZY = """
from pathlib import Path
from harness.errors import MissingDependencyError
from harness.codecs.png import Png

class Lazy(Png):
    name = "lazy"

    def encode(self, image, setting):
        if not Path(__file__).with_name("lazylib").exists():
            raise MissingDependencyError("it needs lazylib. Install: pip install lazylib.")
        return super().encode(image, setting)
"""


def test_a_missing_codec_is_measured_once_its_library_is_installed(tmp_path: Path, images: Path, config: Path) -> None:
    (tmp_path / "lazy.py").write_text(LAZY)
    asked = ("--images", images, "--limit", "1", "--plugin", tmp_path / "lazy.py", "--codecs", "lazy", "--ratios", "4")
    first = bench(tmp_path / "results", *asked, config=config)
    assert first.frame["status"].tolist() == ["missing"]
    (tmp_path / "lazylib").touch()
    again = bench(tmp_path / "results", *asked, config=config)
    assert again.frame["status"].tolist() == ["measured"]


def test_the_code_of_a_codec_is_part_of_its_records_fingerprint(tmp_path: Path) -> None:
    (file := tmp_path / "lazy.py").write_text(LAZY)
    first, own = (source_of(target, ENTRY_POINT_GROUP) for target in (f"{file}:Lazy", BUILT_IN["jpeg"]))
    file.write_text(f"{LAZY}\n")
    assert source_of(f"{file}:Lazy", ENTRY_POINT_GROUP) not in (first, own)
    assert hashlib.sha256(Path(jpeg.__file__).read_bytes()).hexdigest().startswith(own)
    assert own


def test_the_stated_sample_bits_decide_the_score_even_of_a_known_file(tmp_path: Path) -> None:
    write(tmp_path / "deep.png", make_image("photograph", (24, 32), "gray16", bits=10))
    request = Request(load(), images=tmp_path, codecs=("jpeg2000",), ratios=(8.0,), device="cpu")
    task = make_plan(resolve(request)).tasks[0]
    first = run_task(Assignment(task))
    ten = replace(task, image=replace(task.image, sample_bits=10))
    fresh, reusing = run_task(Assignment(ten)), run_task(Assignment(ten, known_encodes=first.encodes))
    assert fresh.records[0].psnr == reusing.records[0].psnr
    assert first.records[0].psnr is not None
    assert fresh.records[0].psnr is not None
    assert first.records[0].psnr - fresh.records[0].psnr == pytest.approx(20 * np.log10(65535 / 1023))


def test_scores_of_a_gpu_and_of_the_cpu_are_not_interchangeable(tmp_path: Path, config: Path) -> None:
    names = ("psnr", "ssim")
    cpu, gpu = (scores_key(names, (), 8, None, device) for device in ("cpu", "cuda"))
    assert cpu == scores_key(names, (), 8, None)
    assert answers(cpu, scores_key(("psnr",), (), 8, None))
    assert answers(gpu, gpu)
    assert not answers(cpu, gpu)
    assert not answers(gpu, cpu)
    images = crops(tmp_path / "images", 1)
    asked = resolve(Request(load(config), "tiny", codecs=("jpeg-444",), images=images, device="cpu"))
    plans = [make_plan(replace(asked, device=device)) for device in ("cpu", "cuda")]
    assert not set(plans[0].fingerprints) & set(plans[1].fingerprints)


def test_a_full_disk_ends_in_one_line_and_the_same_command_resumes(tmp_path: Path, images: Path, config: Path) -> None:
    asked = ["--images", str(images), "--codecs", "jpeg-444", "--ratios", "4,8", "--jobs", "1"]
    line = shlex.join(
        [PROGRAM, "--config", str(config), "bench", "--suite", "tiny", "--results", str(tmp_path), *asked]
    )
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 60; {line}"],  # no file above 60 KB: the store fits, the report does not
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Free some space and run the same command again." in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    again = bench(tmp_path, *asked, config=config)
    assert again.ended.status == 0, again.ended.err
    assert "record/s" not in again.ended.err
    assert (again.manifest["state"], len(again.frame)) == ("done", 4)
    assert (again.folder / "report.html").is_file()


def test_an_image_of_fewer_bytes_than_the_ratio_is_measured_and_no_ratio_is_reached(
    tmp_path: Path, config: Path
) -> None:
    (tmp_path / "images").mkdir()
    write(tmp_path / "images" / "point.png", make_image("photograph", (1, 1), "gray8"))
    asked = ("--images", tmp_path / "images", "--codecs", "jpeg-444", "--ratios", "4,16", "--jobs", "1")
    measured = bench(tmp_path / "results", *asked, config=config)
    assert measured.ended.status == 0, measured.ended.err
    assert set(measured.frame["status"]) == {"unreachable"}
    assert set(measured.frame["budget_bytes"]) == {0}
    assert (measured.folder / "report.md").is_file()


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path, images: Path, config: Path) -> None:
    asked = ("--images", images, "--codecs", "jpeg-444,png", "--ratios", "4,8", "--results", tmp_path / "results")
    ended = run("--config", config, "bench", "--suite", "tiny", *asked, "--dry-run")
    assert ended.status == 0, ended.err
    assert "2 images x 2 codecs: jpeg-444, png" in ended.out
    assert "6 records to measure, 0 in the store already" in ended.out
    assert "minutes" in ended.out
    assert not (tmp_path / "results").exists()


WRONG = {
    "no such folder": (("--images", "absent"), "the folder of images absent does not exist"),
    "an empty folder": (("--images", "empty"), "holds no image"),
    "a damaged image": (("--images", "damaged"), "bad.png is not an image that can be read"),
    "an unknown codec": (("--codecs", "jpg-444"), "no codec is called 'jpg-444'. Did you mean 'jpeg-444'?"),
    "an unknown metric": (("--metrics", "pnsr"), "no metric is called 'pnsr'. Did you mean 'psnr'?"),
    "an unknown suite": (("--suite", "kodac"), "no suite is called 'kodac'. Did you mean 'kodak'?"),
    "a ratio of 1": (("--ratios", "4,1"), "a ratio is raw bytes / file bytes, above 1 and below 1000000"),
    "results in a file": (("--results", "taken/results"), "taken/results cannot be written"),
    "no such plugin": (("--plugin", "absent.py"), "absent.py cannot be read: No such file"),
    "a plugin without a codec": (("--plugin", "empty.py"), "empty.py defines no codec"),
    "a plugin that is no Python": (("--plugin", "wrong.py"), "wrong.py is not Python"),
    "no GPU": (("--device", "cuda"), "no NVIDIA GPU and driver were found"),
}


@pytest.mark.parametrize(("arguments", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_request_is_refused_with_status_2_before_any_work(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "bad.png").write_bytes(b"no picture")
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "wrong.py").write_text("class")
    assert words in complaint(call("bench", *arguments))
    assert not list(tmp_path.glob("results/*Z-*"))


def test_an_image_whose_name_is_no_utf8_is_named_and_refused(tmp_path: Path) -> None:
    write(tmp_path / os.fsdecode(b"caf\xe9.png"), make_image("photograph", (24, 32), "rgb8"))
    refused = complaint(call("bench", "--images", tmp_path, "--codecs", "jpeg-444", "--results", tmp_path / "results"))
    assert r"caf\xe9.png is not UTF-8" in refused
    assert "Rename the file" in refused


SCRIPT = """
import json, sys
import harness

if __name__ == "__main__":
    frame = harness.bench(images=sys.argv[1], codecs=["jpeg-444", "png"], ratios=[6], jobs=1, results=sys.argv[2])
    print(json.dumps(frame["status"].tolist()))
"""


def test_a_script_runs_a_bench_through_the_python_api(tmp_path: Path, images: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script, images, tmp_path / "results"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["reached", "measured", "reached", "measured"]
    run_folder = next((tmp_path / "results").glob("*/manifest.json")).parent
    assert harness.read_records(run_folder)["codec"].tolist() == ["jpeg-444", "png"] * 2


def test_a_codec_is_loaded_by_its_id() -> None:
    codec = harness.load_codec("jpeg-444")
    image = make_image("photograph", (24, 32), "rgb8")
    assert codec.decode(codec.encode(image, 90)).shape == image.shape


def test_a_report_is_made_again_from_the_records(base: BenchRun) -> None:
    made = []
    for _ in range(2):
        assert call("report", base.folder).status == 0
        made.append((base.folder / "report.md").read_text())
        (base.folder / "report.md").unlink()
    assert made[0] == made[1]
    assert "jpeg-444" in made[0]


def test_a_slow_codec_is_announced_before_the_run_with_an_estimate(tmp_path: Path, images: Path, config: Path) -> None:
    text = (PLUGINS / "sound.py").read_text()
    plugin = tmp_path / "unhurried.py"
    plugin.write_text(re.sub(r"(\n    name\b.*\n)", r"\1    seconds_per_megapixel = 60.0\n", text, count=1))
    options = ("--images", images, "--plugin", plugin, "--codecs", "bits,raw", "--ratios", "2", "--jobs", "1")
    first = bench(tmp_path / "results", *options, config=config).ended
    # 2 images of 48 x 64 pixels, 7 calls each, 60 s per megapixel
    assert "bits is slow: about 60 s per megapixel to encode or to decode, about 0.04 minutes" in first.err
    assert "raw is slow" not in first.err
    assert "is slow" not in bench(tmp_path / "results", *options, config=config).ended.err


def test_any_number_of_workers_finds_the_same_files(tmp_path: Path, config: Path) -> None:
    many = crops(tmp_path / "many", 9)
    asked = ("--images", many, "--plugin", PLUGINS / "dips.py", "--codecs", "dips,jpeg-444,png", "--ratios", "4,8,12")
    one, three = (bench(tmp_path / jobs, *asked, "--jobs", jobs, config=config) for jobs in ("1", "3"))
    assert (one.frame["codec"] == "dips").sum() == 27
    assert_same(facts(one.frame), facts(three.frame))
