"""Atomic writing: no half files, no collisions of two writers, nothing left after an error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.system.files import write_bytes, write_text, written_aside

WRITER = """
import sys
from pathlib import Path
from harness.system.files import write_text
for _ in range(300):
    write_text(Path(sys.argv[1]), sys.argv[2] * 100_000)
"""


def test_two_writers_of_one_file_never_fail_and_never_show_half_of_it(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_text(path, "a" * 100_000)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), letter]) for letter in "ab"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        seen.add(path.read_text())
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen <= {"a" * 100_000, "b" * 100_000}
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    write_bytes(path, b"old")

    def write_half() -> None:
        with written_aside(path) as aside:
            aside.write_bytes(b"half of the n")
            raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_replaced_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_bytes(tmp_path / "taken", b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
