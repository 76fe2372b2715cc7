"""An existing cluster: a real scheduler and real workers, one of which is killed in the middle of a run."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.config.schema import load
from harness.errors import UsageError
from harness.plan.fingerprints import metrics_key
from harness.plan.planner import make_plan
from harness.plan.request import Request, device_for, resolve
from harness.plan.tasks import Task
from harness.run import cluster as existing
from harness.run.assignment import Assignment
from harness.run.measure import run_task
from tests.support.bench_runs import PLUGINS, BenchRun, assert_same, bench, crops, facts, tiny_config
from tests.support.clusters import PATIENCE_SECONDS, Cluster
from tests.support.command import call
from tests.support.running import Running, start_bench

IMAGES = 6
RATIOS = "2,3,4,6"
RECORDS = IMAGES * 2 * 4


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crops(tmp_path_factory.mktemp("images"), IMAGES, (32, 40))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_config(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def asked(images: Path) -> list[str]:
    plugin = str(PLUGINS / "slow.py")
    return ["--images", str(images), "--plugin", plugin, "--codecs", "slow,slower", "--ratios", RATIOS]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (folder := tmp_path / "cluster").mkdir()
    found = Cluster(folder)
    yield found
    found.end()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, asked: list[str], config: Path) -> BenchRun:
    """The same on this machine, without a cluster."""
    return bench(tmp_path_factory.mktemp("alone"), *asked, "--jobs", "2", config=config)


@pytest.fixture
def start(asked: list[str], config: Path) -> Iterator[Callable[..., Running]]:
    """A function that starts a run with further options; runs that a failed test leaves behind are killed."""
    begun: list[Running] = []

    def begin(results: Path, *options: str) -> Running:
        begun.append(start_bench(results, *asked, *options, config=config))
        return begun[-1]

    yield begin
    for running in begun:
        running.kill()


@pytest.fixture
def again(asked: list[str], config: Path) -> Callable[..., BenchRun]:
    """A function that runs the same command on this machine, to its end."""
    return lambda results, *options: bench(results, *asked, *options, config=config)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_costs_no_record_and_duplicates_none(
    cluster: Cluster,
    start: Callable[..., Running],
    again: Callable[..., BenchRun],
    tmp_path: Path,
    alone: BenchRun,
) -> None:
    cluster.start_scheduler()
    doomed = cluster.start_worker()
    cluster.start_worker()
    results = tmp_path / "results"
    running = start(results, "--scheduler", cluster.address)
    running.wait_for_records(RECORDS // 4)
    os.kill(doomed.pid, signal.SIGKILL)
    at_the_kill = running.stored()
    _, errors = running.process.communicate(timeout=PATIENCE_SECONDS)
    assert running.process.returncode == 0, errors
    assert 0 < at_the_kill < RECORDS
    assert f"{RECORDS}/{RECORDS}" in errors  # the bar counts what comes from the cluster
    reported = again(results)  # nothing is left to do
    assert reported.manifest["measured_now"] == RECORDS
    assert not reported.frame.duplicated(["image", "codec", "protocol", "target_ratio"]).any()
    assert len(reported.frame) == running.stored() == RECORDS
    assert_same(facts(reported.frame), facts(alone.frame))


@pytest.mark.slow
def test_images_are_shipped_to_a_worker_that_comes_late(
    cluster: Cluster,
    start: Callable[..., Running],
    again: Callable[..., BenchRun],
    tmp_path: Path,
    alone: BenchRun,
) -> None:
    cluster.start_scheduler()
    results = tmp_path / "results"
    process = start(results, "--scheduler", cluster.address, "--ship-images", "--limit", "2").process
    assert process.stderr is not None
    said = next(line for line in process.stderr if "workers yet" in line)
    advice = f"To start one: dask worker {cluster.address} --nthreads 1"
    assert f"{cluster.address} has no workers yet: waiting. {advice}" in said
    cluster.start_worker()
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors
    found = again(results, "--limit", "2").frame
    assert_same(facts(found), facts(alone.frame[alone.frame["image"].isin(found["image"])]))


@pytest.mark.slow
def test_a_gpu_task_goes_to_a_worker_that_offers_a_gpu_or_reports_that_none_does(
    cluster: Cluster, start: Callable[..., Running], images: Path, tmp_path: Path
) -> None:
    cluster.start_scheduler()
    cluster.start_worker()
    options = ("--limit", "1", "--scheduler", cluster.address, "--device", "cuda")
    refusal = start(tmp_path / "refused", *options).process
    _, errors = refusal.communicate(timeout=PATIENCE_SECONDS)
    assert refusal.returncode == 2, errors
    assert "none of the 1 workers offers one" in errors.splitlines()[-1]
    assert '--resources "GPU=1"' in errors.splitlines()[-1]
    with existing.connected(cluster.address) as client:
        with_gpu = cluster.start_worker("--resources", "GPU=1")
        client.wait_for_workers(2)
        task = replace(a_task(images), device="cuda")
        needs = existing.resources_for(task, client)
        assert needs == {"GPU": 1}
        where = [client.submit(os.getpid, pure=False, resources=needs) for _ in range(4)]
        assert {future.result(timeout=PATIENCE_SECONDS) for future in where} == {with_gpu.pid}


def a_task(images: Path, **changes: Any) -> Task:
    request = Request(load(), images=images, codecs=("jpeg-444",), ratios=(8.0,), limit=1, device="cpu")
    return replace(make_plan(resolve(request)).tasks[0], metric_names=("psnr",), **changes)


def test_a_task_sent_with_its_image_needs_no_file_and_does_not_send_the_image_back(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(existing, "_here", lambda: "here")
    task = a_task(images)
    elsewhere = replace(task, image=replace(task.image, path=Path("absent.png")))
    data = task.image.path.read_bytes()
    sent = Assignment(elsewhere, image_data=data)
    outcome = existing.run_there(sent, metrics_key(task.metric_names))
    assert outcome.records == run_task(Assignment(task)).records
    assert data not in pickle.dumps(outcome)


def test_a_worker_with_other_libraries_measures_nothing(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(existing, "_here", lambda: "tcp://there")
    task = a_task(images)
    key = metrics_key(task.metric_names)
    other = replace(task, description=task.description.model_copy(update={"provenance": {"pillow": "0.1"}}))
    failed = existing.run_there(Assignment(other), key).records[0]
    assert (failed.status, failed.size_bytes) == ("failed", None)
    assert failed.reason.startswith("on the worker tcp://there: its 'jpeg-444' is {")
    assert "the plan's is {'pillow': '0.1'}" in failed.reason
    assert "its metrics are" in existing.run_there(Assignment(task), key + " ").records[0].reason


def test_a_scheduler_that_is_not_there_is_named(images: Path, tmp_path: Path) -> None:
    asked = ("--images", images, "--codecs", "jpeg-444", "--results", tmp_path, "--scheduler", "nonsense://here")
    assert "the scheduler nonsense://here cannot be used" in call("bench", *asked).err.splitlines()[-1]


def test_on_a_cluster_a_gpu_is_used_only_where_it_is_asked_for() -> None:
    assert device_for("auto", "tcp://there:8786") == "cpu"
    assert device_for("cuda", "tcp://there:8786") == "cuda"
    with pytest.raises(UsageError, match="no NVIDIA GPU"):
        device_for("cuda")
