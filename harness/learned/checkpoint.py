"""Trained weights on disk: <id>.safetensors, and beside it the model card <id>.json.

The id is the start of the sha256 of the weights file, so a card and its weights cannot be mixed up. Only `load` reads
the weights; everything else reads cards alone.
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
from pydantic import Field, ValidationError

from harness.data import contamination
from harness.errors import DataError
from harness.learned.shape import Shape, Widths
from harness.system.files import write_bytes, write_text
from harness.system.strict import StrictModel, explain

ID_DIGITS = 16
"""Hexadecimal digits of a weights id: 64 bits."""
_VERSION_LINE = f"version={contamination.VERSION}"

_NARROW = {"float32": "float16", "int64": "int16"}
_WIDE = {narrow: wide for wide, narrow in _NARROW.items()}

Arrays = Mapping[str, NDArray[Any]]


class Card(StrictModel):
    """A model card. A codec reads the first block alone; the rest is for people."""

    sha256: str
    architecture: str
    recipe_name: str
    ratio: float
    """The target: raw bytes / file bytes of all validation images together."""
    shape: Shape | Widths

    recipe: Mapping[str, Any]
    data: Sequence[Mapping[str, Any]]
    """Training sources: name, licence, and attribution where one is required."""
    validation: Sequence[str]
    """Names of the validation images."""
    fingerprints: Annotated[str, Field(pattern=r"^[0-9a-f]+\.fingerprints$")]
    """The file beside the card with the perceptual fingerprints of all training and validation images (see
    harness/data/contamination.py): gzipped, one line with their version, then one fingerprint per line. Cards of one
    training set share it."""
    seed: int
    steps: int
    """Optimiser steps of all phases."""
    hours: float
    hardware: str
    software: Mapping[str, str]
    curve: Sequence[Mapping[str, float]]
    """Validations: step, PSNR in dB at the target ratio, ratio at step 1, lambda."""
    validated: Mapping[str, float]
    """Ratio of real files and PSNR in dB of the finished weights, at step 1, on whole validation images."""
    results: Mapping[str, Any] = {}
    """Results on test sets: name of the suite -> table."""

    @property
    def id(self) -> str:
        """Return the weights id, as files hold it."""
        return self.sha256[:ID_DIGITS]


def shipped_folder() -> Path:
    """Return the folder of the weights that come with the program."""
    return Path(str(files("harness.models") / "weights"))


def cards(folders: Sequence[Path], wanted: Mapping[str, Any] | None = None) -> Iterator[tuple[Card, Path]]:
    """Yield every card and the path of its weights, folder by folder, in the order of their names.

    Args:
        folders: where cards are looked for; other JSON files there are skipped.
        wanted: key -> value that a card must have; other cards are skipped.

    Raises:
        DataError: a wanted card cannot be read.
    """
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            said = _said(path)
            if "sha256" in said and all(said.get(key) == value for key, value in (wanted or {}).items()):
                yield read_card(path), path.with_suffix(".safetensors")


def _said(path: Path) -> Mapping[str, Any]:
    """Return the object in a JSON file, or an empty one if the file holds none."""
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
        reason = explain(error, "") if isinstance(error, ValidationError) else f"{error.strerror}."
        raise DataError(
            f"the card {path} of trained weights cannot be read: {reason} It is damaged, or newer than this program."
        ) from error


def save(arrays: Arrays, folder: Path, card: Mapping[str, Any], fingerprints: Sequence[str]) -> Path:
    """Write weights, their card and their fingerprints; return the path of the weights.

    Args:
        arrays: network and entropy model, as numpy arrays.
        folder: where to write them; it is created if it does not exist.
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
    """Return an array in 16 bits if these hold each of its values exactly, else the array itself."""
    with np.errstate(over="ignore"):
        narrow = array.astype(_NARROW.get(array.dtype.name, array.dtype))
    return narrow if np.array_equal(narrow, array) else array


def write_card(card: Card, path: Path) -> None:
    """Write a card, whole or not at all."""
    write_text(path, json.dumps(card.model_dump(mode="json"), indent=1) + "\n")


def write_fingerprints(fingerprints: Sequence[str], folder: Path) -> str:
    """Write fingerprints to a file that is named by its content; return the name."""
    lines = "".join(f"{one}\n" for one in (_VERSION_LINE, *sorted(set(fingerprints)))).encode()
    name = f"{hashlib.sha256(lines).hexdigest()[:ID_DIGITS]}.fingerprints"
    write_bytes(folder / name, gzip.compress(lines, mtime=0))
    return name


def fingerprints(card: Card, path: Path) -> list[str] | None:
    """Return the fingerprints beside weights at a path, or None if they are of another version.

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
    """Return the arrays of a weights file; its hash is checked, and 16-bit arrays become float32 or int64 again.

    Raises:
        DataError: the file is absent or is not the one that its card names.
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
