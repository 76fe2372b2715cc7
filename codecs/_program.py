"""Run a program that encodes or decodes: its temporary files, and its errors."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import CodecError, MissingDependencyError

_TAIL_CHARACTERS = 300


def find_program(name: str, install: str) -> str:
    """Return the path of a program.

    Raises:
        MissingDependencyError: it is not on the PATH; the message says `install`.
    """
    path = shutil.which(name)
    if path is None:
        raise MissingDependencyError(f"the program {name} is not on the PATH. Install: {install}.")
    return path


def run(arguments: Sequence[str]) -> str:
    """Run a program, without a shell, and return its output.

    Raises:
        CodecError: it cannot be started or its exit status is not 0; the message has the end of its output.
    """
    try:
        done = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
    except OSError as error:
        raise CodecError(f"{arguments[0]} cannot be started: {error}.") from error
    text = done.stdout.decode(errors="replace").strip()
    if done.returncode:
        raise CodecError(f"{Path(arguments[0]).name} ended with status {done.returncode}: {text[-_TAIL_CHARACTERS:]}")
    return text


def convert(arguments: Sequence[str], data: bytes, suffixes: tuple[str, str], words: Mapping[str, str]) -> bytes:
    """Run a program that turns one file into another, and return the bytes of the new file.

    Args:
        arguments: the command line. {input} and {output} are replaced by the paths of the two files, and each key of
            `words` in braces by its value.
        data: the content of the input file.
        suffixes: the suffixes of the input and of the output file.
        words: further replacements.

    Raises:
        CodecError: the program failed or wrote no output file.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = (Path(folder) / f"{name}{end}" for name, end in zip(("in", "out"), suffixes, strict=True))
        source.write_bytes(data)
        filled = {
            "{input}": str(source),
            "{output}": str(target),
            **{f"{{{key}}}": text for key, text in words.items()},
        }
        run([_replaced(argument, filled) for argument in arguments])
        if not target.is_file():
            raise CodecError(f"{Path(arguments[0]).name} ended without an error but wrote no output file.")
        return target.read_bytes()


def _replaced(argument: str, words: Mapping[str, str]) -> str:
    for word, text in words.items():
        argument = argument.replace(word, text)
    return argument
