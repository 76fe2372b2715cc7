"""CompressAI's published weights: where they are, whether they are the right ones, and the tensors in them.

A published file is a pickle. It is read once, as tensors alone, and kept as safetensors from then on.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from harness.errors import DataError
from harness.system.files import written_aside
from harness.system.paths import cache_folder, weights_folder

if TYPE_CHECKING:
    from torch import Tensor

ROOT = "https://compressai.s3.amazonaws.com/models/v1"
DATA_SET = "compressai-weights"
"""The data set of benchmarks.toml that holds what `harness data fetch` downloads."""


@dataclass(frozen=True)
class Published:
    """One published checkpoint."""

    stem: str
    """Its file's name, without hash and suffix."""
    sha256_start: str
    """The first 8 hexadecimal digits of its sha256, which are part of its name."""
    widths: tuple[int, ...]
    """What the network's constructor takes: channels, and latent channels where they differ."""
    bpp: float
    """Published bits per pixel, mean over Kodak (24 bits per pixel): what this checkpoint is made for."""

    @property
    def file(self) -> str:
        """Return the name of the published file."""
        return f"{self.stem}-{self.sha256_start}.pth.tar"

    @property
    def converted(self) -> str:
        """Return the name of the same tensors without pickle."""
        return f"{self.stem}-{self.sha256_start}.safetensors"


@dataclass(frozen=True)
class Weights:
    """The tensors of a published file."""

    sha256: str
    """Of the published file."""
    tensors: Mapping[str, Tensor]


def networks() -> Any:
    """Return CompressAI's module of networks; importing it takes seconds, and warns of what torch deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from compressai import models
    return models


def folders() -> list[Path]:
    """Return where published weights are looked for, in order."""
    data = os.environ.get("HARNESS_DATA")
    return [weights_folder(), *([Path(data) / "weights"] if data else []), cache_folder() / "data" / DATA_SET]


def published_sha256(path: Path) -> str:
    """Return the sha256 of the published file: of a path, or of that which a path was converted from.

    Raises:
        DataError: a converted file does not say it.
    """
    if path.suffix != ".safetensors":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return metadata_of(path)["published_sha256"]


def metadata_of(path: Path) -> Mapping[str, str]:
    """Return what a converted file says of itself: published_sha256 and tensors_sha256.

    Raises:
        DataError: it does not.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as opened:
            found: Mapping[str, str] = opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}. Remove it.") from error
    if not {"published_sha256", "tensors_sha256"} <= set(found):
        raise DataError(f"{path} does not say what it was converted from. Remove it; harness converts it anew.")
    return found


def read_weights(path: Path, published: Published, folder: Path) -> Weights:
    """Return the tensors of a published file, which is converted into a folder when it is first read.

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
        raise DataError(f"{path} is damaged: its tensors are not those that were converted. Remove it.")
    return Weights(published_sha256(path), tensors)


def _sha256_of(tensors: Mapping[str, Tensor]) -> str:
    made = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        made.update(name.encode())
        made.update(tensor.numpy().tobytes())
    return made.hexdigest()


def _converted(path: Path, published: Published, folder: Path) -> Path:
    """Write safetensors of a published file: its hash is checked and no pickled code is run."""
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
        raise DataError(f"{path} holds more than tensors: these are not weights of CompressAI.") from error
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    target = folder / published.converted
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_aside(target) as aside:
            save_file(tensors, aside, {"published_sha256": sha256, "tensors_sha256": _sha256_of(tensors)})
    except (SafetensorError, OSError) as error:
        raise DataError(f"the weights of {path} cannot be written into {folder}: {error}") from error
    return target
