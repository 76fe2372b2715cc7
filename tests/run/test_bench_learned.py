"""Learned codecs in a bench: images that were trained on, weights of unknown training, and training on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from harness.config.schema import load
from harness.data.contamination import fingerprint
from harness.plan.plan import Plan
from harness.plan.planner import make_plan, plan_of
from harness.plan.request import Request, ResolvedRequest, resolve
from harness.records.record import Record
from harness.run.assignment import Assignment
from harness.run.measure import run_task
from harness.run.record_builder import why_smaller
from tests.support.bench_runs import PLUGINS, BenchRun, crops, tiny_config, write
from tests.support.command import PROGRAM, Ended, call, environment, run
from tests.support.images import packaged_photograph
from tests.support.tiny_model import tiny_shape, tiny_training, tiny_weights

LEARNED = tiny_training("learned", steps=24, validate_every=4, batch=2)
HYPERPRIOR = """
[codecs.tiny-hyperprior]
codec = "bmshj2018-hyperprior"
recipe = "tiny-compressai"

[recipes.tiny-compressai]
loss = "rate"
rate_gradient = "noise"
steps = 24
entropy_steps = 6
validate_every = 6
batch = 2
crop = 64
validation_images = 1
learning_rate = 1e-3
first_step = { 16 = 12 }

[recipes.tiny-compressai.shapes.bmshj2018-hyperprior]
N = 8
M = 96
"""
STEPS = 24 + 24 + 24
KILLED_AFTER = (10, 40)
"""Steps after which the training is killed."""


def asked(folder: Path, *more: str | Path) -> list[str | Path]:
    """The arguments of a bench whose results are below a folder."""
    (config := folder / "learned.toml").write_text(LEARNED)
    return ["--config", config, "bench", "--suite", "learned", "--results", folder / "results", "--jobs", "1", *more]


def newest(folder: Path) -> BenchRun:
    runs = sorted((folder / "results").glob("*/manifest.json"), key=lambda path: path.stat().st_mtime)
    return BenchRun(Ended(0, "", ""), runs[-1].parent)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two images, and weights of `baseline` that were trained on the second, cropped and mirrored."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "images").mkdir()
    known = packaged_photograph("coffee.png")[60:260, 80:340]
    write(folder / "images" / "another.png", packaged_photograph("chelsea.png")[40:168, 90:282])
    write(folder / "images" / "known.png", known)
    tiles = fingerprint(np.ascontiguousarray(known[:, ::-1]), 255)
    tiny_weights(folder / "weights", "baseline", tiny_shape(3, lapped=True), ratio=8, tiles=tiles)
    return folder


def measured(desk: Path, *more: str | Path, status: int = 0) -> BenchRun:
    request = asked(desk, "--images", desk / "images", "--ratios", "8", *more)
    ended = run(*request, HARNESS_WEIGHTS=str(desk / "weights"), HARNESS_CACHE=str(desk / "cache"))
    assert ended.status == status, ended.err
    return newest(desk)


@pytest.mark.slow
def test_an_image_that_was_trained_on_is_refused_and_marked_everywhere_if_measured_on_request(desk: Path) -> None:
    codecs = ("--codecs", "baseline,jpeg-444")
    refused = measured(desk, *codecs)
    status = refused.frame[refused.frame["codec"] == "baseline"].set_index("image")["status"]
    assert status["known.png"] == "leaked"
    assert status["another.png"] in ("reached", "capped")
    assert "--allow-leaks" in " ".join(refused.frame["reason"])

    allowed = measured(desk, *codecs, "--allow-leaks")
    rows = allowed.frame[allowed.frame["codec"] == "baseline"].set_index("image")
    assert set(rows["status"]) <= {"reached", "capped"}
    assert rows["leak"].to_dict() == {"another.png": "clean", "known.png": "leaked"}
    report = (allowed.folder / "report.md").read_text()
    assert unmarked(report, "baseline") == []
    assert "baseline (leaked)" in report
    assert "leaked" in (allowed.folder / "report.html").read_text()


def learned_request(desk: Path) -> ResolvedRequest:
    (path := desk / "learned.toml").write_text(LEARNED)
    codecs = ("baseline", "jpeg-444")
    images = desk / "images"
    return resolve(Request(load(path), "learned", (8.0,), codecs=codecs, images=images, device="cpu", allow_leaks=True))


def learned_plan(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setenv("HARNESS_WEIGHTS", str(desk / "weights"))
    monkeypatch.setenv("HARNESS_CACHE", str(desk / "cache"))
    return make_plan(learned_request(desk))


@pytest.mark.slow
def test_another_verdict_on_an_image_is_another_record(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = learned_plan(desk, monkeypatch)
    refreshed = tuple(replace(codec, fingerprints=() if codec.learned else None) for codec in plan.codecs)
    again = plan_of(learned_request(desk), plan.images, refreshed)
    assert [task.facts.get("leak") for task in plan.tasks] == ["clean", None, "leaked", None]
    assert [task.facts.get("leak") for task in again.tasks] == ["unknown", None, "unknown", None]
    same = [one == other for one, other in zip(plan.fingerprints, again.fingerprints, strict=True)]
    assert same == [False, True, False, True]


def unmarked(report: str, codec: str) -> list[str]:
    """Return the table lines that have a number and the codec's name without a mark."""
    rows = [line for line in report.splitlines() if line.startswith("|") and any(sign.isdigit() for sign in line)]
    return [line for line in rows if any(cell.strip() == codec for cell in line.split("|"))]


@pytest.mark.slow
def test_weights_of_unknown_training_never_print_as_clean(desk: Path) -> None:
    plugin = PLUGINS / "of_unknown_training.py"
    done = measured(desk, "--plugin", plugin, "--codecs", "stranger,jpeg-444", "--limit", "1")
    assert set(done.frame[done.frame["codec"] == "stranger"]["leak"]) == {"unknown"}
    report = (done.folder / "report.md").read_text()
    assert unmarked(report, "stranger") == []
    assert "stranger (contamination unknown)" in report
    assert "clean" not in [cell.strip() for line in report.splitlines() for cell in line.split("|")]


@pytest.mark.slow
def test_a_codec_without_sound_fingerprints_costs_its_own_records_alone(desk: Path) -> None:
    reasons = {
        "short-fingerprints": "its training fingerprints hold 'not hexadecimal', of 15 characters",
        "number-fingerprints": "TypeError",
        "raising-fingerprints": "RuntimeError: boom",
    }
    plugin = PLUGINS / "bad_fingerprints.py"
    codecs = ",".join(["jpeg-444", *reasons])
    done = measured(desk, "--plugin", plugin, "--codecs", codecs, "--limit", "1", status=1)
    rows = done.frame.set_index("codec")
    assert rows.loc["jpeg-444", "status"] == "reached"
    assert set(rows.loc[list(reasons), "status"]) == {"failed"}
    assert [codec for codec, reason in reasons.items() if reason not in str(rows.loc[codec, "reason"])] == []


@pytest.mark.slow
@pytest.mark.parametrize("found", ["absent", "damaged"])
def test_weights_without_their_fingerprints_cost_their_own_records_alone(
    found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    write(tmp_path / "images" / "one.png", packaged_photograph()[:64, :64])
    tiny_weights(tmp_path / "weights", "baseline", tiny_shape(3, lapped=True), ratio=8)
    (fingerprints,) = (tmp_path / "weights").glob("*.fingerprints")
    fingerprints.write_bytes(b"no gzip")
    if found == "absent":
        fingerprints.unlink()
    plan = learned_plan(tmp_path, monkeypatch)
    assert [task.codec.id for task in plan.tasks] == ["jpeg-444"]
    (placeholder,) = plan.placeholders
    assert (placeholder.codec, placeholder.status) == ("baseline", "failed")
    assert found in placeholder.reason


@pytest.mark.slow
@pytest.mark.parametrize("without", ["--no-train", "no training images"])
def test_what_cannot_be_trained_is_missing_and_says_what_to_do(without: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write(tmp_path / "images" / "one.png", packaged_photograph()[:64, :64])
    more = ("--no-train",) if without == "--no-train" else ()
    request = asked(tmp_path, "--images", tmp_path / "images", "--codecs", "tiny-baseline", "--ratios", "16", *more)
    ended = run(*request, HARNESS_WEIGHTS=str(tmp_path / "weights"), HARNESS_DATA=str(tmp_path) if more else "")
    assert ended.status == (0 if more else 1), ended.err
    (row,) = newest(tmp_path).frame.to_dict("records")
    assert row["status"] == "missing"
    assert "harness train --models" in row["reason"]
    assert "$HARNESS_DATA/train" in row["reason"]


@pytest.mark.slow
def test_a_bench_trains_a_network_of_compressai(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "images").mkdir()
    for name in ("astronaut", "chelsea", "coffee"):
        write(tmp_path / "train" / f"{name}.png", packaged_photograph(f"{name}.png")[60:188, 80:240])
    write(tmp_path / "images" / "test.png", packaged_photograph("motorcycle_left.png")[60:188, 80:240])
    request = asked(tmp_path, "--images", tmp_path / "images", "--codecs", "tiny-hyperprior", "--ratios", "16")
    (tmp_path / "learned.toml").write_text(LEARNED + HYPERPRIOR)
    ended = run(*request, timeout=500, HARNESS_WEIGHTS=str(tmp_path / "weights"), HARNESS_DATA=str(tmp_path))
    assert ended.status == 0, ended.err
    assert "no weights of bmshj2018-hyperprior-tiny-compressai-16x: training them takes about" in ended.err
    (row,) = newest(tmp_path).frame.to_dict("records")
    assert row["status"] in ("reached", "capped"), row["reason"]
    assert 0 < row["size_bytes"] <= row["budget_bytes"]


@pytest.mark.slow
def test_a_bench_without_weights_trains_is_killed_twice_and_finishes(tmp_path: Path) -> None:
    for name in ("astronaut", "chelsea", "coffee"):
        path = tmp_path / "train" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        PIL.Image.fromarray(packaged_photograph(f"{name}.png")[60:188, 80:240]).save(path)
    (tmp_path / "images").mkdir()
    write(tmp_path / "images" / "test.png", packaged_photograph("motorcycle_left.png")[60:188, 80:240])
    request = asked(tmp_path, "--images", tmp_path / "images", "--codecs", "tiny-baseline,jpeg-444", "--ratios", "16")
    variables = {"HARNESS_WEIGHTS": str(tmp_path / "weights"), "HARNESS_DATA": str(tmp_path)}
    curve = tmp_path / "weights" / "training" / "baseline-tiny-16x" / "curve.csv"
    for step in KILLED_AFTER:
        killed_after(step, curve, [PROGRAM, *map(str, request)], environment(**variables))
        assert not list((tmp_path / "weights").glob("*.json"))
    ended = run(
        *request, timeout=500, HARNESS_WEIGHTS=variables["HARNESS_WEIGHTS"], HARNESS_DATA=variables["HARNESS_DATA"]
    )
    assert ended.status == 0, ended.err
    assert "no weights of baseline-tiny-16x: training them takes about" in ended.err
    assert "--no-train leaves it out" in ended.err
    assert [int(line.split(",")[0]) for line in curve.read_text().splitlines()[1:]] == list(range(1, STEPS + 1))
    frame = newest(tmp_path).frame
    assert dict(zip(frame["codec"], frame["status"], strict=True))["tiny-baseline"] == "reached"
    (card,) = (tmp_path / "weights").glob("*.json")
    assert card.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def killed_after(step: int, curve: Path, command: list[str], variables: Mapping[str, str]) -> None:
    """Start a command and kill it as soon as a training curve has more steps."""
    deadline = time.monotonic() + 300
    with subprocess.Popen(
        command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        while not (curve.is_file() and len(curve.read_text().splitlines()) > step) and time.monotonic() < deadline:
            assert process.poll() is None, "the bench ended before it could be killed"
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def test_a_file_far_below_the_target_size_says_why() -> None:
    record = Record("key", "image", "codec", "ratio", 8, "reached", setting=4, size_bytes=900)
    told = {"budget_bytes": 1000, "next_setting": 3.0, "next_size_bytes": 1010}
    assert why_smaller(record, told) == "it uses 90.0 % of the target size: the next setting, 3, makes 1010 bytes."
    assert why_smaller(record, {"budget_bytes": 1000}).endswith("its own rate control leaves the rest.")
    assert why_smaller(record, {"budget_bytes": 920}) == ""


def test_a_codec_that_cannot_estimate_its_file_keeps_its_record(tmp_path: Path) -> None:
    sound = (PLUGINS / "of_unknown_training.py").read_text().replace('"stranger"', '"shy"')
    sound = sound.replace("class Stranger", "class Shy")
    sound = sound.replace("{Path(__file__).with_name('sound.py')}", str(PLUGINS / "sound.py"))
    sound = sound.replace('"""It cannot say."""', 'raise ArithmeticError("no estimate")')
    (tmp_path / "shy.py").write_text(sound)
    config = load(tiny_config(tmp_path), [tmp_path / "shy.py"])
    images = crops(tmp_path / "images", 1)
    request = Request(config, "tiny", (3.0,), codecs=("shy",), images=images, device="cpu")
    (task,) = make_plan(resolve(request)).tasks
    (record,) = run_task(Assignment(task)).records
    assert record.status == "reached", record.reason
    assert "no estimate" in record.extra["estimate_reason"]
    assert "estimated_bytes" not in record.extra


@pytest.mark.parametrize(
    ("ratio", "more", "state"),
    [
        ("8", (), "would be trained"),
        ("8", ("--no-train",), "missing"),
        ("5000", (), "missing"),
        ("64", (), "would be trained"),
        ("1.9", (), "missing"),
    ],
)
def test_a_dry_run_says_what_a_run_would_train(
    ratio: str, more: tuple[str, ...], state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text(LEARNED)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path / "weights"))
    asked = ("--suite", "learned", "--images", crops(tmp_path / "train", 1), "--results", tmp_path / "results")
    chosen = ("--codecs", "tiny-baseline", "--ratios", ratio, "--dry-run")
    said = call("--config", tmp_path / "mine.toml", "bench", *asked, *chosen, *more)
    assert f"{state}: tiny-baseline: " in said.out, said.err
    assert ("targets are from 2x to 64x" in said.out) == (ratio in ("5000", "1.9"))
