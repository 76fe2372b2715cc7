"""Bitstreams that runs have kept beside their records (`--keep-files`), each named by its sha256."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from harness.errors import UsageError

FOLDER = "files"
"""The folder of bitstreams, below that of a run."""


def kept_file(folder: Path, file_sha256: str) -> Path:
    """Return where a bitstream is kept."""
    return folder / f"{file_sha256}.bin"


def keep_file(folder: Path, file_sha256: str, data: bytes) -> None:
    """Keep a bitstream in a folder, whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    path = kept_file(folder, file_sha256)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        folder.mkdir(exist_ok=True)
        partial.write_bytes(data)
        partial.rename(path)
    except OSError as error:
        raise UsageError(f"the file {path} cannot be kept: {error.strerror}.") from error


def read_kept(folders: Iterable[Path], file_sha256: str) -> bytes | None:
    """Return a bitstream that one of the folders holds unharmed; None where there is none."""
    for folder in folders:
        with contextlib.suppress(OSError):
            data = kept_file(folder, file_sha256).read_bytes()
            if hashlib.sha256(data).hexdigest() == file_sha256:
                return data
    return None
