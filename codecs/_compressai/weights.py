"""CompressAI's published weights: find, check, convert and read them.

A published file is a pickle. It is read once, as tensors alone, and kept as safetensors.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from harness.data.datasets import MIRROR_VARIABLE
from harness.errors import DataError
from harness.system.files import written_aside
from harness.system.paths import cache_folder, weights_folder

if TYPE_CHECKING:
    from torch import Tensor

ROOT = "https://compressai.s3.amazonaws.com/models/v1"
DATA_SET = "compressai-weights"
"""The data set of benchmarks.toml with the published weights."""


@dataclass(frozen=True)
class Published:
    """One published checkpoint."""

    stem: str
    """The name of its file, without hash and suffix."""
    sha256_start: str
    """The first 8 hexadecimal digits of its sha256, which are part of the file name."""
    widths: tuple[int, ...]
    """The arguments of the network's constructor: channels, and latent channels if they differ."""
    bpp: float
    """Published mean bits per pixel on Kodak (of 24 bits per pixel): the rate that this checkpoint was trained for."""

    @property
    def file(self) -> str:
        """Return the name of the published file."""
        return f"{self.stem}-{self.sha256_start}.pth.tar"

    @property
    def converted(self) -> str:
        """Return the name of the file after its conversion to safetensors."""
        return f"{self.stem}-{self.sha256_start}.safetensors"


@dataclass(frozen=True)
class PublishedTensors:
    """The tensors of a published file."""

    sha256: str
    """The sha256 of the published file."""
    tensors: Mapping[str, Tensor]


def networks() -> Any:
    """Return CompressAI's module of networks; its import takes seconds and warns of deprecated parts of torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from compressai import models
    return models


def folders() -> list[Path]:
    """Return the folders where published weights are looked for, in order."""
    data = os.environ.get(MIRROR_VARIABLE)
    return [weights_folder(), *([Path(data) / "weights"] if data else []), cache_folder() / "data" / DATA_SET]


def find_published(wanted: Published, places: Sequence[Path], name: str) -> Path:
    """Return the path of converted weights, or of the published file if it is not converted yet.

    Args:
        wanted: the published checkpoint.
        places: the folders to look into, in order.
        name: the codec that needs the weights.

    Raises:
        DataError: neither file is in any of the folders.
    """
    for file in (wanted.converted, wanted.file):
        for folder in places:
            if (folder / file).is_file():
                return folder / file
    raise DataError(
        f"the published weights {wanted.file} of {name} are in none of {', '.join(str(folder) for folder in places)}. "
        f"Run `harness data fetch {DATA_SET}`, or download {ROOT}/{wanted.file} into one of them."
    )


def published_sha256(path: Path) -> str:
    """Return the sha256 of a published file, given its own path or the path of its conversion.

    Raises:
        DataError: the converted file does not name it.
    """
    if path.suffix != ".safetensors":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return metadata_of(path)["published_sha256"]


def metadata_of(path: Path) -> Mapping[str, str]:
    """Return the metadata of a converted file: published_sha256 and tensors_sha256.

    Raises:
        DataError: the file cannot be read or has no such metadata.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as opened:
            found: Mapping[str, str] = opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}. Remove it.") from error
    if not {"published_sha256", "tensors_sha256"} <= set(found):
        raise DataError(f"{path} does not say what it was converted from. Remove it; harness will convert it again.")
    return found


def read_weights(path: Path, published: Published, folder: Path) -> PublishedTensors:
    """Return the tensors of a published file; convert it into a folder if that has not been done yet.

    Raises:
        DataError: a file is damaged, or the folder cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix != ".safetensors":
        path = _converted(path, published, folder)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}. Remove it.") from error
    if _sha256_of(tensors) != metadata_of(path)["tensors_sha256"]:
        raise DataError(f"{path} is damaged: its tensors differ from the converted ones. Remove it.")
    return PublishedTensors(published_sha256(path), tensors)


def _sha256_of(tensors: Mapping[str, Tensor]) -> str:
    made = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        made.update(name.encode())
        made.update(tensor.numpy().tobytes())
    return made.hexdigest()


def _converted(path: Path, published: Published, folder: Path) -> Path:
    """Convert a published file to safetensors; its hash is checked and no pickled code runs."""
    sha256 = published_sha256(path)
    if not sha256.startswith(published.sha256_start):
        raise DataError(
            f"{path} is damaged: its sha256 does not begin with {published.sha256_start}. Download it again."
        )
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    networks()
    from compressai.zoo.pretrained import load_pretrained

    try:
        state = load_pretrained(torch.load(path, map_location="cpu", weights_only=True))
    except UnpicklingError as error:
        raise DataError(f"{path} holds more than tensors, so it is not a weights file of CompressAI.") from error
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    target = folder / published.converted
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_aside(target) as aside:
            save_file(tensors, aside, {"published_sha256": sha256, "tensors_sha256": _sha256_of(tensors)})
    except (SafetensorError, OSError) as error:
        raise DataError(f"the weights of {path} cannot be written into {folder}: {error}") from error
    return target
