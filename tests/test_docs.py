"""Every command that the documentation shows is run; every link leads somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.images import packaged_photograph

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_FENCE = re.compile(r"```bash\n(.*?)```", re.DOTALL)
_TOML = re.compile(r"```toml\n(\[(?:codecs|suites)\..*?)```", re.DOTALL)
_FILE = re.compile(r"`(\w+\.(?:py|toml))`[^`]*:\n\n```(?:python|toml)\n(.*?)```", re.DOTALL)
"""A file that a page tells its reader to write: its name in the line before, its text."""
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
_ELSEWHERE = (
    "docker",
    "make",
    "git",
    "cd",
    "export",
    "apptainer",
    "podman",
    "srun",
    "sbatch",
    "dask",
    "nvidia",
    "apt",
    "sudo",
    "pip",
)
"""Commands that tests of their own run (tests/test_container*.py, .ci/run), or that need another machine."""


def blocks() -> Iterator[tuple[Path, str]]:
    """Yield (page, the command lines of one bash block)."""
    for page in PAGES:
        for block in _FENCE.findall(page.read_text(encoding="utf-8")):
            yield page, block.replace("\\\n", " ")


def lines_of(page: Path) -> list[str]:
    """Return every command line of a page, in order."""
    found = [line.strip() for where, block in blocks() if where == page for line in block.splitlines()]
    return [line for line in found if line and not line.startswith("#")]


def runnable(page: Path) -> list[str]:
    """Return the command lines of a page that run anywhere."""
    return [line for line in lines_of(page) if not any(part.split()[0] in _ELSEWHERE for part in line.split("&&"))]


def shortened(words: list[str]) -> list[str]:
    """Return a bench on one image with few codecs, so that it is run in seconds; others as they are."""
    if "reproduce" in words and "--list" not in words:
        words = [*words, "--limit", "1", "--jobs", "1"]
    if "bench" in words or "time" in words:
        words = [*words, "--limit", "1", "--jobs", "1"]
        words += [] if "--codecs" in words else ["--codecs", "jpeg-444,webp,png"]
        words += ["--allow-busy"] if "time" in words else []
    return words


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with what the pages speak of: a photograph, and the codecs of their toml blocks."""
    import PIL.Image

    PIL.Image.fromarray(packaged_photograph()[:96, :128]).save(tmp_path / "photo.png")
    (tmp_path / "photos").mkdir()
    shutil.copy(tmp_path / "photo.png", tmp_path / "photos")
    PIL.Image.fromarray(packaged_photograph("coffee.png")[:96, :128]).save(tmp_path / "photos" / "coffee.png")
    tables = [table for page in PAGES for table in _TOML.findall(page.read_text(encoding="utf-8"))]
    (tmp_path / "mine.toml").write_text("\n".join(dict.fromkeys(tables)))
    for page in PAGES:
        for name, text in _FILE.findall(page.read_text(encoding="utf-8")):
            if not (tmp_path / name).exists():
                (tmp_path / name).write_text(text)
    return tmp_path


_TESTED_ELSEWHERE = {
    "harness verify": "it takes minutes (tests/reproduce/test_verify.py)",
    "harness container": "it needs a Docker engine (tests/container/test_commands.py)",
    "harness data fetch": "downloading is tested against a server on this machine (tests/data/test_datasets.py)",
    "harness train": "it trains (tests/training/test_training.py)",
    "python scripts/": "it needs training data (tests/training/test_packaged_set.py and test_card_results.py)",
}
"""How a command begins -> why it is not run here, and which tests run it."""


def why_not(line: str) -> str | None:
    """Return why a command cannot be run on this machine, if it cannot."""
    if "kodak" in line and "HARNESS_DATA" not in os.environ:
        return "HARNESS_DATA is not set: Kodak is not here"
    if "my-jpeg" in line and shutil.which("cjpeg") is None:
        return "the program cjpeg is not on the PATH"
    if "--dry-run" in line:
        return None
    return next((reason for start, reason in _TESTED_ELSEWHERE.items() if line.startswith(start)), None)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page: Path, desk: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    skipped = []
    for line in runnable(page):
        if reason := why_not(line):
            skipped.append(f"{line}: {reason}")
            continue
        words = shortened(shlex.split(line, comments=True))
        own = {**os.environ, "PATH": path, "HARNESS_WEIGHTS": str(desk / "weights")}
        done = subprocess.run(words, cwd=desk, env=own, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    if skipped and len(skipped) == len(runnable(page)):
        pytest.skip("; ".join(skipped))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    broken = [link for link in _LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert not broken


def shown() -> Iterator[tuple[str, str]]:
    """Yield (page, command) of every harness command that a page shows."""
    for page in PAGES:
        for line in lines_of(page):
            for part in re.split(r"\s(?:&&|\|\|?|;)\s", line):
                if part.startswith("harness "):
                    yield page.name, part


@pytest.mark.parametrize(("page", "line"), dict.fromkeys(shown()))
def test_pages_show_only_commands_and_options_that_exist(page: str, line: str) -> None:
    import click

    from harness.cli.program import harness

    command: click.Command = harness
    words, context = shlex.split(line, comments=True)[1:], None
    while True:
        try:
            context = command.make_context(command.name, list(words), parent=context)
        except click.NoSuchOption as error:
            pytest.fail(f"{page}: {line}: {error.format_message()}")
        except click.exceptions.Exit:  # --help and --version
            return
        except click.BadParameter as error:
            assert "does not exist" in error.format_message(), f"{page}: {line}: {error.format_message()}"
            return
        if not isinstance(command, click.Group):
            return
        _, found, words = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None, f"{page}: {line}"
        command = found


@pytest.mark.parametrize("file", ["README.md", "Makefile"])
def test_it_is_said_how_to_have_the_command_on_the_path(file: str) -> None:
    assert ". .venv/bin/activate" in (ROOT / file).read_text(encoding="utf-8")


def test_the_readme_names_every_page() -> None:
    more = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## More\n")[2]
    linked = {link for link in _LINK.findall(more) if link.startswith("docs/") and link.count("/") == 1}
    assert linked == {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
