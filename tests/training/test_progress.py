"""The progress bar of a training: rich's in a terminal, a widget in a notebook, each with its steps."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from tests.support.bench_runs import crops, write
from tests.support.command import PROGRAM, environment, run
from tests.support.images import packaged_photograph
from tests.support.tiny_model import tiny_training
from tests.test_notebook import WIDGET

RECIPE = tiny_training("tiny", steps=6, validate_every=6, batch=1)
STATES = "application/vnd.jupyter.widget-state+json"
STEPS = 6 + 6 + 6
ROWS, COLUMNS = 40, 120
CELL = """
import harness

records = harness.bench(
    "tiny", ratios=(16,), codecs=("tiny-baseline",), images="images", jobs=1, results="results", config="tiny.toml"
)
assert list(records["status"]) != ["missing"]
"""

pytestmark = [
    pytest.mark.slow,
    # The kernel's client and its event loop warn of themselves when they end.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with a recipe of few steps, images to train on, and another image."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    (tmp_path / "images").mkdir()
    write(tmp_path / "images" / "coffee.png", packaged_photograph("coffee.png")[100:148, 100:164])
    crops(tmp_path / "train", 3, (96, 112))
    return tmp_path


def train(desk: Path, *more: str) -> list[str]:
    asked = ["train", "--models", "tiny-baseline", "--ratios", "16", "--data", "train", "--weights", "weights"]
    return ["--config", str(desk / "tiny.toml"), *asked, "--accelerator", "cpu", *more]


def told(terminal: int) -> str:
    """Return what a terminal was told until its program ended, without colours and movements of the cursor."""
    parts = []
    with contextlib.suppress(OSError):  # how Linux says that nobody has the terminal open any more
        while part := os.read(terminal, 1 << 16):
            parts.append(part)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(parts).decode())


def test_a_terminal_shows_a_bar_with_steps_loss_and_score(desk: Path) -> None:
    ours, programs = pty.openpty()
    fcntl.ioctl(programs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    variables = environment(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(ROWS))
    with subprocess.Popen(
        [PROGRAM, *train(desk)], cwd=desk, env=variables, stdin=programs, stdout=programs, stderr=programs
    ) as process:
        os.close(programs)
        text = told(ours)
    os.close(ours)
    assert process.returncode == 0, text
    assert f" {STEPS}/{STEPS} " in text
    assert any(f" {step}/{STEPS} " in text for step in range(1, STEPS))
    assert re.search(r"━ .*loss: \d.* score: \d", text)
    assert "Warning" not in text


def test_a_log_file_holds_no_half_drawn_bar(desk: Path) -> None:
    ended = run(*train(desk), cwd=desk)
    assert ended.status == 0, ended.err
    assert "\x1b" not in ended.out + ended.err
    assert ended.out.count(f"/{STEPS} ") <= 1


def test_a_notebook_shows_the_bar_of_a_training_as_a_widget(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    for name, value in {"HARNESS_DATA": desk, "HARNESS_WEIGHTS": desk / "weights"}.items():
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(desk)}}).execute()
    (cell,) = notebook.cells
    assert [output for output in cell.outputs if WIDGET in output.get("data", {})]
    states = [model["state"] for model in notebook.metadata["widgets"][STATES]["state"].values()]
    bars = [(state["value"], state["max"]) for state in states if state["_model_name"] == "FloatProgressModel"]
    assert (STEPS, STEPS) in bars
