"""What the tests in a Docker engine share: the image, built once, and how harness is run in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.container.build import BuildRequest, build_arguments
from harness.container.connection import connected
from harness.errors import ContainerError
from tests.support.command import Ended, run

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

ROOT = Path(__file__).parents[2]
IMAGE = "harness:test"
QUICK = ("bench", "--limit", "1", "--ratios", "8", "--codecs", "jpeg-444,webp,png")


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerClient]:
    """A client of the engine; the tests are skipped, with the reason, where there is none."""
    try:
        with connected() as client:
            yield client
    except ContainerError as error:
        pytest.skip(f"no Docker engine, so nothing of the container is tested: {error}")


@pytest.fixture(scope="session")
def made_from() -> dict[str, str]:
    """What the image is made from, taken before it is built."""
    return build_arguments(BuildRequest(ROOT))


@pytest.fixture(scope="session")
def image(engine: DockerClient, made_from: dict[str, str]) -> str:
    """The image, built from this checkout on the base that BASE_IMAGE names."""
    base = os.environ.get("BASE_IMAGE", "")
    ended = run("container", "build", ROOT, "--image", IMAGE, "--base", base, timeout=840)
    assert ended.status == 0, ended.err
    return IMAGE


@pytest.fixture
def start(engine: DockerClient, image: str) -> Iterator[Callable[..., Container]]:
    """A function that runs a command in a container to its end, as `docker run` does; it is removed afterwards."""
    made: list[Container] = []

    def run_to_end(*command: str, **settings: Any) -> Container:
        made.append(engine.containers.create(image, list(command), **settings))
        made[-1].start()
        made[-1].wait(timeout=600)
        return made[-1]

    yield run_to_end
    for container in made:
        container.remove(force=True, v=True)


def ended(container: Container) -> Ended:
    container.reload()
    out, err = (container.logs(stdout=name == "out", stderr=name == "err").decode() for name in ("out", "err"))
    return Ended(container.attrs["State"]["ExitCode"], out, err)


def in_container(*command: str | Path, cwd: Path, **variables: str) -> Ended:
    variables = {"HARNESS_CACHE": str(cwd / "cache"), **variables}
    return run("container", "run", "--image", IMAGE, *command, cwd=cwd, timeout=600, **variables)


def only_run(results: Path) -> Path:
    (manifest,) = results.glob("*/manifest.json")
    return manifest.parent
