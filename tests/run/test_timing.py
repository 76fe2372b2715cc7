"""The timing pass: what it measures, and on which machines it refuses to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.config.schema import load
from harness.data.images import read_image
from harness.errors import UsageError
from harness.plan.planner import make_plan
from harness.plan.request import Request, resolve
from harness.records.store import Store
from harness.run import timing
from harness.run.assignment import Assignment
from harness.run.measure import run_task
from harness.system import perf
from harness.system.perf import can_count, count
from harness.system.provenance import describe_machine
from tests.support.bench_runs import crops, tiny_config
from tests.support.command import call, complaint

COPIER = """
[codecs.copier]
encode = ["cp", "{input}", "{output}"]
decode = ["cp", "{input}", "{output}"]
image = "ppm"
"""
PICKY = """
from harness.codecs.raw import Raw
from harness.errors import UnsupportedImageError

class Picky(Raw):
    name = "picky"
    starts_program = True

    def encode(self, image, setting):
        if min(image.shape[:2]) < 32:
            raise UnsupportedImageError("too small")
        return super().encode(image, setting)
"""
SPIN = "import sys\nfor line in sys.stdin:\n    sum(range(int(line)))\n    print(flush=True)"


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Codec -> the columns of its times, of one record each."""
    folder = tmp_path_factory.mktemp("timed")
    config = tiny_config(folder)
    config.write_text(config.read_text() + COPIER)
    images = crops(folder / "images", 1)
    codecs = ("jpeg-444", "copier")
    request = Request(load(config), "tiny", codecs=codecs, images=images, protocol="sweep", device="cpu")
    subjects = []
    for task in make_plan(resolve(request)).tasks:
        record = run_task(Assignment(task)).records[0]
        assert record.setting is not None, record.reason
        subjects.append(timing.Subject(record, record.setting, task, read_image(task.image.path)))
    found = timing.time_subjects(subjects, 5, 3.25)
    return {record.codec: dict(record.extra) for record in found}


@pytest.mark.parametrize("direction", ["encode", "decode"])
@pytest.mark.parametrize("codec", ["jpeg-444", "copier"])
def test_a_call_is_timed_with_its_spread_its_first_and_its_memory(
    codec: str, direction: str, timed: dict[str, dict[str, Any]]
) -> None:
    columns = timed[codec]
    seconds = columns[f"{direction}_seconds"]
    assert 0 < seconds < 5
    assert columns[f"{direction}_mp_s"] == pytest.approx(48 * 64 / 1e6 / seconds, rel=0.02)
    assert columns[f"{direction}_seconds_iqr"] >= 0
    assert columns[f"{direction}_seconds_first"] > 0
    assert 10 < columns[f"{direction}_peak_rss_mb"] < 2000
    assert (columns["timing_repeats"], columns["timing_threads"], columns["timing_busy_percent"]) == (5, 1, 3.2)
    assert columns["timing_machine"] == describe_machine()["cpu"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", columns["timing_date"])
    assert "timing_reason" not in columns


def test_the_start_up_time_of_a_program_has_its_own_column_and_only_for_a_codec_that_starts_one(
    timed: dict[str, dict[str, Any]],
) -> None:
    assert "encode_seconds_start_up" not in timed["jpeg-444"]
    for direction in ("encode", "decode"):
        assert 0 < timed["copier"][f"{direction}_seconds_start_up"] < 5


def test_a_busy_machine_is_refused_or_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "busy_percent", lambda: 60.0)
    with pytest.raises(UsageError, match=r"the machine is 60 % busy; .*at most 15 %.*--allow-busy"):
        timing.require_idle(allow_busy=False)
    assert timing.require_idle(allow_busy=True) == 60.0
    monkeypatch.setattr(timing, "busy_percent", lambda: 5.0)
    assert timing.require_idle(allow_busy=False) == 5.0


def test_fewer_than_five_repeats_are_refused() -> None:
    assert "--repeats" in complaint(call("time", "--repeats", "4"))


def test_a_cluster_is_refused_because_times_are_taken_on_this_machine(tmp_path: Path) -> None:
    request = Request(load(), scheduler="tcp://127.0.0.1:9", results=tmp_path / "results")
    with pytest.raises(UsageError, match="times are taken on this machine"):
        timing.time_run(request, timing.REPEATS, allow_busy=True)
    assert not (tmp_path / "results").exists()


@pytest.fixture
def spinner() -> Iterator[subprocess.Popen[str]]:
    """A process that reads a number from each line and sums as many integers."""
    with subprocess.Popen(
        [sys.executable, "-c", SPIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def spin(process: subprocess.Popen[str], numbers: int) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{numbers}\n")
    process.stdin.flush()
    process.stdout.readline()


@pytest.mark.parametrize("event", ["instructions:u", "task-clock"])
def test_perf_counts_what_one_call_takes(event: str, spinner: subprocess.Popen[str]) -> None:
    if not can_count(event):
        pytest.skip(f"perf is not here, or this machine does not count {event}")
    spin(spinner, 1)
    little = count(spinner.pid, lambda: spin(spinner, 1_000_000), event)
    much = count(spinner.pid, lambda: spin(spinner, 10_000_000), event)
    assert little is not None and much is not None
    assert much > 3 * little


STUBBORN = """#!{python}
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
orders, answers = (int(number) for number in sys.argv[-1].removeprefix("fd:").split(","))
while os.read(orders, 100):
    os.write(answers, b"ack\\n")
time.sleep(600)
"""
"""A stand-in for perf that answers and never ends."""


def test_a_perf_process_that_hangs_is_killed_and_its_count_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "perf"
    path.write_text(STUBBORN.replace("{python}", sys.executable))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(perf, "_PATIENCE_SECONDS", 0.2)
    calls: list[int] = []
    assert count(os.getpid(), lambda: calls.append(1)) is None
    assert calls == [1]
    assert not [child for child in psutil.Process().children() if str(path) in child.cmdline()]


def test_a_codec_that_fails_on_a_corner_keeps_its_times(tmp_path: Path) -> None:
    (tmp_path / "picky.py").write_text(PICKY)
    images = crops(tmp_path / "images", 2)
    loaded = load(tiny_config(tmp_path), [tmp_path / "picky.py"])
    with Store(tmp_path / "store.sqlite") as store:
        request = Request(loaded, "tiny", (1.0001,), codecs=("picky",), images=images, device="cpu")
        plan = make_plan(resolve(request))
        for task in plan.tasks:
            outcome = run_task(Assignment(task))
            assert {record.status for record in outcome.records} == {"measured"}, outcome.records
            store.save("", "", outcome.records, ())
        found = list(timing.time_subjects(timing._subjects(plan, store), 5, 0.0))
    assert len(found) == 2
    for record in found:
        assert record.extra["encode_seconds"] > 0
        assert "too small" in str(record.extra["timing_reason_start_up"])
        assert "timing_reason" not in record.extra


def test_an_event_that_is_not_counted_is_unknown_and_not_zero(spinner: subprocess.Popen[str]) -> None:
    if not can_count("task-clock"):
        pytest.skip("perf is not here")
    spin(spinner, 1)
    assert count(spinner.pid, lambda: spin(spinner, 1000), "no-such-event") is None
