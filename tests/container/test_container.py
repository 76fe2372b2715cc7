"""The container's files and commands, as far as they go without a Docker engine; test_container_*.py have one."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest

from harness.container import run as running
from harness.container.build import BuildRequest, build_arguments
from harness.container.connection import refusal
from harness.errors import UsageError
from harness.system.container import where_on_host
from harness.system.provenance import revision
from tests.support.command import call, complaint, environment, run

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
NOBODY = 65534
CONSTANTS = {"INSTALL", "PYC_INVALIDATION_MODE"}
"""Arguments of the Dockerfile that no build fills in."""


def test_the_base_image_is_pinned_by_tag_and_digest() -> None:
    assert re.search(r"^ARG BASE_IMAGE=nvidia/cuda:[\w.-]+@sha256:[0-9a-f]{64}$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("extension", ["# syntax", "--mount", "<<", "--chmod", "--link"])
def test_the_dockerfile_needs_no_extension_that_some_builder_lacks(extension: str) -> None:
    assert extension not in DOCKERFILE


def test_every_value_that_a_build_fills_in_is_an_argument_of_the_dockerfile() -> None:
    declared = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    assert set(build_arguments(BuildRequest(ROOT, base="base", extras=True))) == declared - CONSTANTS


def pins(name: str) -> dict[str, str]:
    """Return package -> version of a lock file."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))


def test_the_lock_with_extras_adds_to_the_lock_and_changes_nothing_in_it() -> None:
    ours, extra = pins("requirements.lock"), pins("requirements-extras.lock")
    assert {"imageio-ffmpeg", "pillow-heif", "pyjpegli"} <= set(extra) - set(ours)
    assert {name: extra[name] for name in extra if name in ours} == {name: ours[name] for name in extra if name in ours}


@pytest.mark.parametrize("command", [("build", str(ROOT)), ("run", "codec", "list"), ("check",)])
@pytest.mark.parametrize("engine", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:9"])
def test_no_engine_is_one_line_that_says_where_it_was_looked_for(
    command: tuple[str, ...], engine: str, tmp_path: Path
) -> None:
    ended = run("container", *command, cwd=tmp_path, DOCKER_HOST=engine, HARNESS_CACHE=str(tmp_path))
    assert f"no Docker engine answers at {engine}" in complaint(ended)


@pytest.fixture
def closed_socket() -> Iterator[Path]:
    """A socket that listens and that only root may open; its path is short and absolute, as docker-py needs it."""
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        path = Path(folder) / "docker.sock"
        server.bind(str(path))
        server.listen()
        path.chmod(0)
        yield path


AS_NOBODY = f"""
import os
import docker, requests
from harness.container.connection import connected
from harness.errors import ContainerError
if os.getuid() == 0:
    os.setuid({NOBODY})
try:
    with connected():
        print("connected")
except ContainerError as error:
    print(error)
"""
"""All is imported as root: nobody may not be allowed to read where it is installed."""


def test_no_permission_says_which_group_to_join(closed_socket: Path) -> None:
    variables = environment(DOCKER_HOST=f"unix://{closed_socket}")
    message = subprocess.check_output([sys.executable, "-c", AS_NOBODY], env=variables, cwd=ROOT, text=True)
    assert message.startswith(f"no permission to use the Docker engine at unix://{closed_socket}")
    assert "usermod -aG docker" in message


@pytest.mark.parametrize(
    ("explanation", "advice"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", "docker system prune"),
        ('could not select device driver "" with capabilities: [[gpu]]', "nvidia-container-toolkit"),
        ("nvidia-container-cli: initialization error: nvml error: driver not loaded", "nvidia-smi"),
        ("something new", "the engine refused: something new"),
    ],
)
def test_a_refusal_of_the_engine_says_what_to_do_and_what_the_engine_said(explanation: str, advice: str) -> None:
    message = refusal(explanation)
    assert advice in message
    assert explanation in message


@pytest.mark.parametrize("lacking", ["Dockerfile", "requirements.lock"])
def test_building_elsewhere_than_in_a_checkout_names_what_is_not_there(lacking: str, tmp_path: Path) -> None:
    for name in {"Dockerfile", "requirements.lock"} - {lacking}:
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=f"holds no {lacking}"):
        build_arguments(BuildRequest(tmp_path))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git checkout with what a build looks at."""
    for name in ("Dockerfile", "requirements.lock"):
        (tmp_path / name).write_text(name)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "A commit")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_a_build_knows_its_commit_its_lock_and_the_time_of_the_commit(repository: Path) -> None:
    arguments = build_arguments(BuildRequest(repository))
    assert arguments["REVISION"] == git(repository, "rev-parse", "--short=12", "HEAD")
    assert arguments["SOURCE_DATE_EPOCH"] == git(repository, "log", "-1", "--format=%ct")
    assert len(arguments["LOCK_SHA256"]) == 64
    assert arguments["SOURCE"] == "unknown"
    assert "BASE_IMAGE" not in arguments


def test_a_change_that_is_not_committed_marks_the_revision(repository: Path) -> None:
    (repository / "Dockerfile").write_text("changed")
    assert str(revision(repository)).endswith("+changes")


def test_the_address_of_the_source_is_told_without_its_password(repository: Path) -> None:
    git(repository, "remote", "add", "origin", "https://someone:secret@example.org/a/harness.git")
    assert build_arguments(BuildRequest(repository))["SOURCE"] == "https://example.org/a/harness.git"


def test_two_plugins_of_one_name_are_refused_before_anything_starts(tmp_path: Path) -> None:
    plugins = [tmp_path / folder / "mine.py" for folder in ("one", "two")]
    for plugin in plugins:
        plugin.parent.mkdir()
        plugin.touch()
    named = [part for plugin in plugins for part in ("--plugin", plugin)]
    ended = run("container", "run", *named, "codec", "list", cwd=tmp_path, HARNESS_CACHE=str(tmp_path / "cache"))
    assert "two plugins are called mine.py" in complaint(ended)


@pytest.mark.parametrize("option", ["--memory", "--shm"])
@pytest.mark.parametrize("size", ["much", "16 g", "-1g", "0"])
def test_a_limit_that_is_no_size_is_refused(option: str, size: str) -> None:
    assert f"{size!r} is not a size" in complaint(call("container", "run", option, size, "codec", "list"))


def test_a_run_in_a_container_says_where_the_host_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_HOST_RESULTS", "/home/me/results")
    assert where_on_host(Path("/results/a-run")) == "On the host: /home/me/results/a-run"


class StubContainer:
    """A bench that says on one stream where its report is, and on the other how far it is."""

    def attach(self, **_: object) -> list[tuple[bytes | None, bytes | None]]:
        return [(b"The report is /results/a/report.md\n", None), (None, b"3/4 records\n")]

    def wait(self) -> dict[str, int]:
        return {"StatusCode": 0}

    def start(self) -> None: ...

    def remove(self, **_: object) -> None: ...


class StubEngine:
    """As much of an engine as a run asks for; remembers what it was told to make."""

    def __init__(self) -> None:
        self.images = self.containers = self
        self.asked: dict[str, Any] = {}

    def get(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(id="sha256:0", attrs={})

    def info(self) -> dict[str, int]:
        return {"MemTotal": 2**30}

    def create(self, **asked: Any) -> StubContainer:
        self.asked = asked
        return StubContainer()


@pytest.mark.parametrize("aside", [True, False])
def test_only_a_run_whose_results_stay_says_where_they_are(
    aside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    engine = StubEngine()
    told: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(running, "connected", lambda: nullcontext(engine))
    job = running.Job(("bench",), tmp_path / "results", gpus="none", aside=aside)
    status = running.run(job, lambda *streams: told.append(streams), print)
    assert status == 0
    out, error = map(b"".join, zip(*told, strict=True))
    assert out == (b"" if aside else b"The report is /results/a/report.md\n")
    assert error == b"3/4 records\n"
    assert ("HARNESS_HOST_RESULTS" in engine.asked["environment"]) is not aside


def test_a_run_outside_a_container_says_nothing_of_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_HOST_RESULTS", raising=False)
    monkeypatch.delenv("HARNESS_IMAGE", raising=False)
    assert where_on_host(tmp_path) == ""
