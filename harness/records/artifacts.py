"""Files of a run besides its records: bitstreams (`--keep-files`), and decoded pictures as PNG for the viewer.

Bitstreams are named by their sha256, pictures by the sha256 of their pixels.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.images import pixels_sha256, to_file
from harness.errors import UsageError
from harness.interface import Image
from harness.records.manifest import Manifest
from harness.system.files import write_bytes

if TYPE_CHECKING:
    import pandas as pd

PICTURES_FOLDER = "pictures"
"""The folder of pictures, in the folder of a run."""
FILES_FOLDER = "files"
"""The folder of bitstreams, in the folder of a run."""
PICTURED = 2
"""The number of images, the first of a run, whose pictures are kept."""

MAX_BYTES = 25_000_000
"""The most bytes of picture data in the page [default]."""

Source = Path | bytes
"""A lossless image file: its path, or its bytes."""


@dataclass(frozen=True)
class Pictures:
    """Pictures for the viewer."""

    originals: Mapping[str, Source]
    """Image -> the original picture."""
    decoded: Mapping[tuple[str, str, float], Source]
    """(image, codec, target ratio) -> the decoded picture."""
    max_bytes: int = MAX_BYTES


def keep_picture(image: Image, folder: Path) -> None:
    """Write a picture unless it exists, or this machine (a worker of a cluster) does not see the run's folder."""
    path = folder / f"{pixels_sha256(image)}.png"
    if folder.parent.is_dir() and not path.exists():
        folder.mkdir(exist_ok=True)
        to_file(image, path)


def kept_pictures(run: Path, records: pd.DataFrame, manifest: Manifest) -> Pictures | None:
    """Return the pictures of a run's folder, for the viewer; None where there are none."""
    paths = {path.stem: path for path in (run / PICTURES_FOLDER).glob("*.png")}
    originals = {image.name: paths[image.sha256] for image in manifest.images if image.sha256 in paths}
    shown = records[(records["protocol"] == "ratio") & records["image"].isin(list(originals))]
    columns = (shown[name].tolist() for name in ("image", "codec", "target_ratio", "pixels_sha256"))
    decoded = {
        (str(image), str(codec), float(ratio)): paths[digest]
        for image, codec, ratio, digest in zip(*columns, strict=True)
        if digest in paths
    }
    return Pictures(originals, decoded) if decoded else None


def kept_file(folder: Path, file_sha256: str) -> Path:
    """Return the path of a kept bitstream."""
    return folder / f"{file_sha256}.bin"


def keep_file(folder: Path, file_sha256: str, data: bytes) -> None:
    """Write a bitstream into a folder, atomically.

    Raises:
        UsageError: it cannot be written.
    """
    path = kept_file(folder, file_sha256)
    try:
        folder.mkdir(exist_ok=True)
        write_bytes(path, data)
    except OSError as error:
        raise UsageError(f"the file {path} cannot be kept: {error.strerror}.") from error


def read_kept(folders: Iterable[Path], file_sha256: str) -> bytes | None:
    """Return a bitstream that is intact in one of the folders; None where there is none."""
    for folder in folders:
        with contextlib.suppress(OSError):
            data = kept_file(folder, file_sha256).read_bytes()
            if hashlib.sha256(data).hexdigest() == file_sha256:
                return data
    return None
