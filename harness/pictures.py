"""Decoded pictures of a run's first images, kept as PNG beside the records for the report's viewer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.images import pixels_sha256, to_file
from harness.interface import Image

if TYPE_CHECKING:
    import pandas as pd

    from harness.report.viewer import Pictures

FOLDER = "pictures"
"""The folder of pictures, beside report.html; each is named by the sha256 of its pixels."""
PICTURED = 2
"""Of so many images, the first of a run, pictures are kept."""


def keep(image: Image, folder: Path) -> None:
    """Write a picture unless it is there, or the run's folder is not seen from here (a worker of a cluster)."""
    path = folder / f"{pixels_sha256(image)}.png"
    if folder.parent.is_dir() and not path.exists():
        folder.mkdir(exist_ok=True)
        partial = path.with_name(f".{os.getpid()}-{path.name}")  # of its own: other workers keep the same original
        to_file(image, partial)
        partial.rename(path)


def kept(run: Path, records: pd.DataFrame, manifest: Mapping[str, Any]) -> Pictures | None:
    """Return the pictures that lie beside a run's records, for the viewer; None where there are none."""
    from harness.report.viewer import Pictures

    paths = {path.stem: path for path in (run / FOLDER).glob("*.png")}
    originals = {
        image["name"]: paths[image["sha256"]] for image in manifest.get("images", ()) if image["sha256"] in paths
    }
    shown = records[(records["protocol"] == "ratio") & records["image"].isin(list(originals))]
    columns = (shown[name].tolist() for name in ("image", "codec", "target_ratio", "pixels_sha256"))
    decoded = {
        (str(image), str(codec), float(ratio)): paths[digest]
        for image, codec, ratio, digest in zip(*columns, strict=True)
        if digest in paths
    }
    return Pictures(originals, decoded) if decoded else None
