"""Fuzz one decoder of ours, guided by coverage: `python -m tests.support.fuzz_atheris TARGET -runs=20000`.

Options after the target are libFuzzer's. It ends with status 0 when no input upset the decoder; else the input is
written to a file, crash-..., in the current folder.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["harness", "tomllib", "json"]):
    from tests.support.fuzzing import TARGETS

import logging
from pathlib import Path
from tempfile import TemporaryDirectory


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    logging.disable()
    target = TARGETS[sys.argv[1]]
    with TemporaryDirectory() as corpus:
        (Path(corpus) / "sound").write_bytes(target.sound())
        atheris.Setup([sys.argv[0], corpus, "-rss_limit_mb=4096", *sys.argv[2:]], target.run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
