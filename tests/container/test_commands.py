"""`harness container run` and `check` on a real Docker engine."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command import PROGRAM, complaint, environment, run
from tests.support.containers import IMAGE, QUICK, in_container, only_run

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

STOPS_WITHIN_SECONDS = 20


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


PLUGIN = """
import os
from harness.codecs.raw import Raw

class Mine(Raw):
    name = "mine"

    def provenance(self):
        return {"own_file": "read-only" if os.statvfs(__file__).f_flag & os.ST_RDONLY else "writable"}
"""
"""A codec that tells how its own file is mounted."""


def test_a_plugin_is_seen_inside_read_only_beside_a_data_folder(image: str, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "data").mkdir()
    named = ("--plugin", plugin, "--mount", tmp_path / "data", "--gpus", "none")
    said = in_container(*named, "codec", "show", "mine", cwd=tmp_path, HARNESS_DATA=str(tmp_path / "data"))
    assert "plugin file" in said.out, said.err
    assert '"own_file": "read-only"' in said.out


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
    assert "no image 'nosuch:image'. Build it with `make image`" in complaint(said)


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
    assert "On the host" not in said.err
    assert all(line.count("1 of 1") == 4 for line in lines[1:]), said.out


ELSEWHERE = """
import os
import numpy as np
from harness.codecs.raw import Raw

class Elsewhere(Raw):
    name = "elsewhere"
    lossless = False

    def decode(self, data):
        return (super().decode(data) // 16 * 16 + 3 * ("HARNESS_IMAGE" in os.environ)).astype(np.uint8)
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
