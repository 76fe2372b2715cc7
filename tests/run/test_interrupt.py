"""Runs that are interrupted or killed: finished records are kept, the rest is done later, no process survives."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import psutil
import pytest

from harness import read_records
from tests.support.bench_runs import PLUGINS, BenchRun, assert_same, bench, crops, facts, tiny_config
from tests.support.running import PATIENCE_SECONDS, Running, count_records, start_bench

pytestmark = pytest.mark.slow

IMAGES = 8
RATIOS = "2,3,4,6"
TARGETS_PER_TASK = 4
RECORDS = IMAGES * 2 * TARGETS_PER_TASK
KILLS_OF_MAIN = 14
KILLS_OF_WORKERS = 6
SEED = 20240611
Again: TypeAlias = Callable[[Path], BenchRun]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crops(tmp_path_factory.mktemp("images"), IMAGES, (32, 40))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_config(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def asked(images: Path) -> list[str]:
    plugin = str(PLUGINS / "slow.py")
    return ["--images", str(images), "--plugin", plugin, "--codecs", "slow,slower", "--ratios", RATIOS, "--jobs", "2"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, asked: list[str], config: Path) -> pd.DataFrame:
    """The records of a run that nothing interrupts."""
    done = bench(tmp_path_factory.mktemp("whole"), *asked, config=config)
    assert done.ended.status == 0, done.ended.err
    assert len(done.frame) == RECORDS
    return facts(done.frame)


@pytest.fixture
def start(asked: list[str], config: Path) -> Iterator[Callable[[Path], Running]]:
    """A function that starts a run; runs that a failed test leaves behind are killed."""
    begun: list[Running] = []

    def begin(results: Path) -> Running:
        begun.append(start_bench(results, *asked, config=config))
        return begun[-1]

    yield begin
    for running in begun:
        running.kill()


@pytest.fixture
def again(asked: list[str], config: Path) -> Again:
    """A function that runs the same command again, to its end."""

    def finish(results: Path) -> BenchRun:
        done = bench(results, *asked, config=config)
        assert done.ended.status == 0, done.ended.err
        return done

    return finish


def assert_whole_tasks(results: Path) -> None:
    """Check that the store is sound and holds all records of an image and codec, or none, and their files."""
    with closing(sqlite3.connect(results / "store.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if not database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'records'").fetchone()[0]:
            return
        counts = database.execute("SELECT count(*) FROM records GROUP BY image, codec").fetchall()
        assert {count for (count,) in counts} <= {TARGETS_PER_TASK}
        files = {digest for (digest,) in database.execute("SELECT file_sha256 FROM records")}
        known = {digest for (digest,) in database.execute("SELECT file_sha256 FROM encodes")}
        assert files <= known


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_soon_says_how_to_resume_and_keeps_finished_records(
    number: signal.Signals, tmp_path: Path, start: Callable[[Path], Running], again: Again, expected: pd.DataFrame
) -> None:
    running = start(tmp_path)
    running.wait_for_records(2 * TARGETS_PER_TASK)
    assert running.process.poll() is None
    stopped = time.monotonic()
    if number == signal.SIGINT:
        os.killpg(running.process.pid, number)  # a terminal sends it to every process of the group
    else:
        running.process.send_signal(number)
    _, errors = running.process.communicate(timeout=60)
    seconds = time.monotonic() - stopped
    assert running.process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == (
        "harness: interrupted: what is done is kept. Run the same command again to go on."
    )
    running.assert_nothing_is_left()
    assert list(running.scratch.iterdir()) == []
    assert_whole_tasks(tmp_path)
    kept = count_records(tmp_path)
    assert 2 * TARGETS_PER_TASK <= kept < RECORDS
    done = again(tmp_path)
    assert done.manifest["reused"] == kept
    assert_same(facts(done.frame), expected)
    assert seconds < 2 * max(1.0, psutil.getloadavg()[0] / (psutil.cpu_count() or 1)), seconds


@pytest.mark.parametrize("stopped", [False, True], ids=["to its end", "stopped"])
def test_processes_that_a_codec_leaves_running_end_with_the_run(
    stopped: bool, tmp_path: Path, images: Path, config: Path
) -> None:
    plugins = [f"--plugin={PLUGINS / name}" for name in ("slow.py", "bad_calls.py")]
    asked = ["--images", str(images), *plugins, "--codecs", "leaves-processes,slow", "--ratios", "3,6", "--jobs", "2"]
    running = start_bench(tmp_path / "results", *asked, config=config)
    try:
        running.wait_for_records(4)
        if stopped:
            os.killpg(running.process.pid, signal.SIGINT)
        _, errors = running.process.communicate(timeout=PATIENCE_SECONDS)
        assert running.process.returncode == (130 if stopped else 0), errors
        running.assert_nothing_is_left()
    finally:
        running.kill()


STAGES = {"importing": (1, 0.3), "a worker starting": (3, 0.0), "workers starting": (3, 1.0), "measuring": (5, 0.1)}
"""Name -> how many processes there are by then, and how many seconds later the run is stopped."""


@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupt_at_any_stage_prints_one_line(
    stage: str, tmp_path: Path, start: Callable[[Path], Running]
) -> None:
    processes, seconds = STAGES[stage]
    running = start(tmp_path)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(running.processes()) < processes and running.process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(seconds)
    os.killpg(running.process.pid, signal.SIGINT)
    _, errors = running.process.communicate(timeout=60)
    running.assert_nothing_is_left()
    assert list(running.scratch.iterdir()) == []
    assert running.process.returncode in (130, -signal.SIGINT), errors
    said = [line for line in errors.splitlines() if line and "record/s" not in line]
    if running.process.returncode == 130:
        assert said == ["harness: interrupted: what is done is kept. Run the same command again to go on."]


def test_a_run_killed_at_random_moments_loses_at_most_the_tasks_in_progress(
    tmp_path: Path, start: Callable[[Path], Running], again: Again, expected: pd.DataFrame
) -> None:
    rng = np.random.default_rng(SEED)
    stores = [tmp_path / "0"]
    for kill in range(KILLS_OF_MAIN):
        if count_records(stores[-1]) > 0.8 * RECORDS:
            stores.append(tmp_path / str(len(stores)))
        running = start(stores[-1])
        before = running.stored()
        if kill % 3:  # in the middle of measuring; the others hit the start: imports, plan, cluster
            running.wait_for_records(before + TARGETS_PER_TASK)
        time.sleep(float(rng.uniform(0, 0.8)) if kill % 3 else float(rng.uniform(0, 4)))
        running.process.kill()
        running.process.communicate(timeout=60)
        running.assert_nothing_is_left()
        assert running.stored() >= before
        if (stores[-1] / "store.sqlite").exists():
            assert_whole_tasks(stores[-1])
    for results in stores:
        assert_same(facts(again(results).frame), expected)


def test_killed_workers_cost_nothing_but_time(
    tmp_path: Path, start: Callable[[Path], Running], expected: pd.DataFrame
) -> None:
    rng = np.random.default_rng(SEED)
    running = start(tmp_path)
    for kill in range(KILLS_OF_WORKERS):
        running.wait_for_records((kill + 1) * TARGETS_PER_TASK)
        time.sleep(float(rng.uniform(0, 0.3)))
        workers = running.workers()
        if workers:
            workers[int(rng.integers(len(workers)))].kill()
    _, errors = running.process.communicate(timeout=PATIENCE_SECONDS)
    assert running.process.returncode == 0, errors
    running.assert_nothing_is_left()
    assert list(running.scratch.iterdir()) == []
    assert_same(facts(read_records(next(tmp_path.glob("*/records.csv")).parent)), expected)
