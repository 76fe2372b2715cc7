"""Atomic writing of files: a reader sees the old content or the new one, never half of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, and rename it to `path` at the end.

    The temporary name belongs to this call alone, so several processes may write one file at once: the last one wins.
    After an error `path` is as it was, and the temporary file is gone.

    Example:
        >>> with written_aside(Path("table.csv")) as aside:
        ...     frame.to_csv(aside)
    """
    aside = path.with_name(f".{os.getpid()}-{secrets.token_hex(6)}.part")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    with written_aside(path) as aside:
        aside.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    write_bytes(path, text.encode())
