"""Trained weights on disk: <id>.safetensors, and beside it <id>.json, the card that says where they come from.

The id is the start of the sha256 of the weights' file, so a card cannot stand beside other weights unnoticed.
Reading a card is light; only `load` reads tensors.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.data import contamination
from harness.errors import DataError
from harness.learned.shape import Shape, Widths
from harness.system.files import write_bytes, write_text

ID_DIGITS = 16
"""Hexadecimal digits of a weights id: 64 bits."""
_VERSION_LINE = f"version={contamination.VERSION}"

_NARROW = {"float32": "float16", "int64": "int16"}
_WIDE = {narrow: wide for wide, narrow in _NARROW.items()}

Arrays = Mapping[str, NDArray[Any]]


class Card(BaseModel):
    """What stands beside weights. Free-form parts are for readers; the codec uses the first block alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    architecture: str
    recipe_name: str
    ratio: float
    """The target: raw bytes / file bytes of all validation images together."""
    shape: Shape | Widths

    recipe: Mapping[str, Any]
    data: Sequence[Mapping[str, Any]]
    """Training sources: name, licence, attribution where one is due."""
    validation: Sequence[str]
    """Names of the images that were kept aside."""
    fingerprints: Annotated[str, Field(pattern=r"^[0-9a-f]+\.fingerprints$")]
    """The file beside the card that holds the perceptual fingerprints of all training and validation images (see
    harness/data/contamination.py), gzipped: a line with their version, then one a line. Cards of one training set
    share it."""
    seed: int
    steps: int
    """Optimiser steps, all phases."""
    hours: float
    hardware: str
    software: Mapping[str, str]
    curve: Sequence[Mapping[str, float]]
    """Validations: step, PSNR in dB at the target ratio, ratio at step 1, lambda."""
    validated: Mapping[str, float]
    """The finished file's ratio of real bytes at step 1, and PSNR in dB there, on whole validation images."""
    results: Mapping[str, Any] = {}
    """What it reached on test sets, once measured: name of the set -> table."""

    @property
    def id(self) -> str:
        """Return the weights id, as streams hold it."""
        return self.sha256[:ID_DIGITS]


def shipped_folder() -> Path:
    """Return the folder of the weights that come with the program."""
    return Path(str(files("harness.models") / "weights"))


def cards(folders: Sequence[Path], wanted: Mapping[str, Any] | None = None) -> Iterator[tuple[Card, Path]]:
    """Yield every card and the path of its weights, folder by folder, in the order of their names.

    Args:
        folders: where cards may lie; other JSON files there are passed over.
        wanted: what a card must say, by key; others are not read.

    Raises:
        DataError: a card that is wanted cannot be read.
    """
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            said = _said(path)
            if "sha256" in said and all(said.get(key) == value for key, value in (wanted or {}).items()):
                yield read_card(path), path.with_suffix(".safetensors")


def _said(path: Path) -> Mapping[str, Any]:
    """Return the object in a JSON file; an empty one where there is none."""
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def read_card(path: Path) -> Card:
    """Return a card.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return Card.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
        raise DataError(
            f"the card {path} of trained weights cannot be read: {reason}. It is damaged, or newer than this program."
        ) from error


def save(arrays: Arrays, folder: Path, card: Mapping[str, Any], fingerprints: Sequence[str]) -> Path:
    """Write weights, their card and their fingerprints; returns the weights' path.

    Args:
        arrays: network and entropy model, as numpy arrays.
        folder: where to; it is made.
        card: a `Card` without `sha256` and `fingerprints`.
        fingerprints: of all images that training saw.
    """
    from safetensors.numpy import save as pack

    data = pack({name: np.ascontiguousarray(_narrowed(array)) for name, array in sorted(arrays.items())})
    sha256 = hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    whole = Card(sha256=sha256, fingerprints=write_fingerprints(fingerprints, folder), **card)
    path = folder / f"{whole.id}.safetensors"
    write_bytes(path, data)
    write_card(whole, path.with_suffix(".json"))
    return path


def _narrowed(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array in 16 bits where those hold each of its values exactly."""
    with np.errstate(over="ignore"):
        narrow = array.astype(_NARROW.get(array.dtype.name, array.dtype))
    return narrow if np.array_equal(narrow, array) else array


def write_card(card: Card, path: Path) -> None:
    """Write a card, whole or not at all."""
    write_text(path, json.dumps(card.model_dump(mode="json"), indent=1) + "\n")


def write_fingerprints(fingerprints: Sequence[str], folder: Path) -> str:
    """Write fingerprints into a folder, named by their content; return the file's name."""
    lines = "".join(f"{one}\n" for one in (_VERSION_LINE, *sorted(set(fingerprints)))).encode()
    name = f"{hashlib.sha256(lines).hexdigest()[:ID_DIGITS]}.fingerprints"
    write_bytes(folder / name, gzip.compress(lines, mtime=0))
    return name


def fingerprints(card: Card, path: Path) -> list[str] | None:
    """Return the fingerprints that stand beside weights at a path; None where another version of them stands there.

    Raises:
        DataError: they are absent or damaged.
    """
    beside = path.with_name(card.fingerprints)
    if not beside.is_file():
        raise DataError(f"the fingerprints {beside} of training images are absent. Fetch or train the weights again.")
    try:
        version, *tiles = gzip.decompress(beside.read_bytes()).decode().split() or [""]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"the fingerprints {beside} of training images are damaged: {error}.") from error
    return tiles if version == _VERSION_LINE else None


def load(card: Card, path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a weights file, its hash checked; what was kept in 16 bits is float32 or int64 again.

    Raises:
        DataError: the file is absent or is not what its card says.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as unpack

    if not path.is_file():
        raise DataError(f"the weights {path} are absent, though their card is there. Fetch or train them again.")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != card.sha256:
        raise DataError(f"the weights {path} are damaged: their sha256 is not what their card says. Delete both files.")
    try:
        arrays = unpack(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"the weights {path} are damaged: {error}. Delete them and their card.") from error
    return {name: array.astype(_WIDE.get(array.dtype.name, array.dtype), copy=False) for name, array in arrays.items()}
