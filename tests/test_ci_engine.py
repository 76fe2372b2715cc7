"""What .ci/engine says where no engine, or no base for the image, can be had."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
ENGINE_WITHOUT_BASE = '[ "$1" = version ]'


def ci_engine(folder: Path, **programs: str) -> str:
    """Run .ci/engine where only some programs are, these made from lines of shell; return what it says on its skip."""
    path = folder / "programs"
    path.mkdir()
    for name in ("bash", "mktemp", "rm", "id", "mkdir", "env", "grep", "tail"):
        (path / name).symlink_to(str(shutil.which(name)))
    for name, line in programs.items():
        (path / name).write_text(f"#!{shutil.which('bash')}\n{line}\n", encoding="utf-8")
        (path / name).chmod(0o755)
    ended = subprocess.run(
        [str(ROOT / ".ci" / "engine"), "false"],
        env={"PATH": str(path), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "SKIPPED: false" in ended.stdout
    return ended.stdout


@needs_bash
def test_without_an_engine_ci_says_so_and_goes_on(tmp_path: Path) -> None:
    assert "no Docker engine: none answers" in ci_engine(tmp_path)


@needs_bash
def test_without_a_mirror_in_the_sources_of_apt_ci_says_so_and_goes_on(tmp_path: Path) -> None:
    programs = {"docker": ENGINE_WITHOUT_BASE, "debootstrap": "false", "apt-get": ":"}
    assert "apt's sources on this machine name no mirror of Debian" in ci_engine(tmp_path, **programs)


@needs_bash
def test_the_stand_in_base_comes_from_the_mirror_that_apt_uses(tmp_path: Path) -> None:
    sources = "echo http://mirror.example/debian-security/; echo http://mirror.example/debian/"
    programs = {"docker": ENGINE_WITHOUT_BASE, "debootstrap": "echo asked $5; false", "apt-get": sources}
    assert "no stand-in base: asked http://mirror.example/debian/" in ci_engine(tmp_path, **programs)
