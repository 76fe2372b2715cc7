"""Digests of images, asked of a real registry on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command import PROGRAM, run
from tests.support.containers import ROOT

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of an empty registry on this machine."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed: apt-get install docker-registry")
    address = "127.0.0.1:5117"
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": address},
    }
    (tmp_path / "registry.json").write_text(json.dumps(settings), encoding="utf-8")
    with subprocess.Popen([program, "serve", str(tmp_path / "registry.json")], stderr=subprocess.DEVNULL) as process:
        yield address
        process.terminate()


def pushed(engine: DockerClient, image: str, name: str) -> str:
    """Push an image to a registry that may still be starting; return its digest."""
    engine.images.get(image).tag(name, "1")
    for _ in range(20):
        if "error" not in engine.images.push(name, "1"):
            break
        time.sleep(0.5)
    (digest,) = engine.images.get(f"{name}:1").attrs["RepoDigests"]
    return str(digest)


def test_a_run_knows_the_digest_of_an_image_that_came_from_a_registry(
    engine: DockerClient, registry: str, tmp_path: Path
) -> None:
    source = os.environ.get("BASE_IMAGE")
    if not source:
        pytest.skip("BASE_IMAGE names no image to push")
    (tmp_path / "Dockerfile").write_text(f'FROM {source}\nENTRYPOINT ["printenv"]\n', encoding="utf-8")
    engine.images.build(path=str(tmp_path), tag="harness:printenv", rm=True)
    digest = pushed(engine, "harness:printenv", f"{registry}/printenv")
    command = ("--image", "harness:printenv", "--gpus", "none", "HARNESS_IMAGE_DIGEST")
    said = run("container", "run", *command, cwd=tmp_path, HARNESS_CACHE=str(tmp_path / "cache"))
    assert said.out.strip() == digest, said.err


def test_a_pin_moves_to_the_digest_that_its_tag_has_and_other_digests_are_refused(
    engine: DockerClient, registry: str, tmp_path: Path
) -> None:
    name = f"{registry}/base"
    source = os.environ.get("BASE_IMAGE")
    if not source:
        pytest.skip("BASE_IMAGE names no image to push")
    pushed(engine, source, name)
    dockerfile = tmp_path / "Dockerfile"
    wrong = f"ARG BASE_IMAGE={name}:1@sha256:{'0' * 64}\nFROM $BASE_IMAGE\n"
    dockerfile.write_text(wrong, encoding="utf-8")
    from docker.errors import APIError, BuildError

    with pytest.raises((APIError, BuildError), match=r"not found|unknown"):
        engine.images.build(path=str(tmp_path), rm=True)
    moved = subprocess.run(
        [str(Path(PROGRAM).with_name("python")), str(ROOT / "scripts" / "pins.py"), str(dockerfile)],
        capture_output=True,
        text=True,
        check=True,
    )
    digest = re.search(r"is now (sha256:[0-9a-f]{64})", moved.stdout)
    assert digest, moved.stdout
    assert f"{name}:1@{digest[1]}" in dockerfile.read_text(encoding="utf-8")
    built, _ = engine.images.build(path=str(tmp_path), rm=True)
    assert built.id == engine.images.get(source).id
