"""Every error that harness raises on purpose.

    HarnessError
    +-- UsageError                  the request cannot be met as it stands: exit status 2
    |   +-- ConfigError             benchmarks.toml, or the user's file that extends it, is wrong
    |   +-- UnknownNameError        no codec, suite, data set, ... has that name
    |   +-- ImageError              an image file cannot be read, or is of a kind that harness does not take
    |   +-- DataError               a data set is absent, incomplete, or does not match its hashes
    |   +-- StoreError              the record store is damaged, too new, or cannot be written
    |   +-- MissingDependencyError  a library or program is not installed
    |   +-- ContainerError          the Docker engine, the image or a GPU runtime is missing, or refused
    +-- CodecError                  a codec failed on one image: it costs only that record
        +-- UnsupportedImageError   the format cannot hold this image
        +-- BadStreamError          the bytes are not an intact file of this codec
        +-- BudgetError             no file of this codec fits into the target size
        +-- ConformanceError        the codec breaks the interface (interface.py)
        +-- LimitError              the codec exceeded its time, memory or disk limit, or its process died

A message says what was asked, what was found, and what to do. The command line prints it as one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarnessError(Exception):
    """Base of every error that harness raises on purpose."""


class UsageError(HarnessError):
    """The request cannot be met as it stands."""


class ConfigError(UsageError):
    """A configuration file is wrong; the message names file, key, found and expected."""


class UnknownNameError(UsageError):
    """No codec, suite, data set, ... has the name that was asked for."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"no {kind} is called {name!r}.{hint} Known: {', '.join(names) or 'none'}.")


class ImageError(UsageError):
    """An image file cannot be read, or is of a kind that harness does not take."""


class DataError(UsageError):
    """A data set is absent, incomplete, or does not match its hashes."""


class StoreError(UsageError):
    """The record store is damaged, too new, or cannot be written."""


class MissingDependencyError(UsageError):
    """A library or program is not installed; the message says how to install it."""


class ContainerError(UsageError):
    """The Docker engine, the image or a GPU runtime is missing, or refused; the message says what to do."""


class CodecError(HarnessError):
    """A codec failed on one image; the run goes on without that record."""


class UnsupportedImageError(CodecError):
    """The format cannot hold this image (its size, its samples)."""


class BadStreamError(CodecError):
    """The bytes are not an intact file of this codec."""


class BudgetError(CodecError):
    """No file of this codec fits into the target size."""


class ConformanceError(CodecError):
    """The codec breaks the interface (interface.py): what it returned, or said of itself, is not allowed there."""


class LimitError(CodecError):
    """The codec exceeded its time, memory or disk limit, or its process died."""
