"""Make the default training set from its originals: `python scripts/make_training_set.py FOLDER`.

The lossless originals come from `harness data fetch clic2025-validation`, which checks their sha256. The other
originals come from GitHub by the hash of their content (a git blob). training_set.csv lists crops of 512x512 pixels,
which are written as JPEG of quality 94, 4:4:4. Existing files are kept.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import PIL.Image

from harness.config import schema
from harness.data import datasets
from harness.system.paths import cache_folder

TABLE = Path(__file__).with_name("training_set.csv")
ORIGINALS = "clic2025-validation"
BLOBS = "https://api.github.com/repos/{repository}/git/blobs/{blob}"
SIZE = 512
"""Height and width of a crop, in pixels."""
_SOURCE = re.compile(r"(?P<repository>\S+) +(?:https?://\S+ +)?(?P<path>.+?)(?: blob (?P<blob>[0-9a-f]{40}))?$")
_REGION = re.compile(r"crop y=(\d+) x=(\d+)$")
_SCALE = re.compile(r"(?:1/)?([\d.]+)(?: Lanczos)?$")


@dataclass(frozen=True)
class Crop:
    """One row of the table."""

    file: str
    repository: str
    path: str
    blob: str | None
    """The original's git hash; None if the data set has the original."""
    shrink: float
    """The factor by which the original is reduced before the crop is cut."""
    top: int
    left: int


def crops(table: Path = TABLE) -> Iterator[Crop]:
    """Yield the rows of the table."""
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield crop_of(row)


def crop_of(row: Mapping[str, str]) -> Crop:
    """Parse a row of the table.

    Raises:
        ValueError: the row cannot be read.
    """
    source, region, scale = (
        pattern.match(row[key]) for pattern, key in ((_SOURCE, "source"), (_REGION, "region"), (_SCALE, "scale"))
    )
    if source is None or region is None or scale is None:
        raise ValueError(f"{TABLE.name}: the row of {row['file']} cannot be read: {row}")
    top, left = (int(number) for number in region.groups())
    return Crop(row["file"], source["repository"], source["path"], source["blob"], float(scale[1]), top, left)


def git_hash(data: bytes) -> str:
    """Return the hash that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def fetch_blob(crop: Crop, cache: Path, address: str = BLOBS) -> bytes:
    """Return an original by its git hash, from the cache or from GitHub.

    Raises:
        ValueError: the download has another hash.
    """
    import requests

    kept = cache / f"{crop.blob}{Path(crop.path).suffix}"
    if not kept.is_file():
        url = address.format(repository=crop.repository, blob=crop.blob)
        answer = requests.get(url, headers={"Accept": "application/vnd.github.raw+json"}, timeout=120)
        answer.raise_for_status()
        if git_hash(answer.content) != crop.blob:
            raise ValueError(f"{url} gave another file than {crop.path} with the hash {crop.blob}")
        cache.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(answer.content)
    return kept.read_bytes()


def cut(original: bytes, crop: Crop) -> bytes:
    """Return a crop of an original as a JPEG file."""
    with PIL.Image.open(io.BytesIO(original)) as picture:
        whole = picture.convert("RGB")
    if crop.shrink != 1:
        size = (round(whole.width / crop.shrink), round(whole.height / crop.shrink))
        whole = whole.resize(size, PIL.Image.Resampling.LANCZOS)
    piece = whole.crop((crop.left, crop.top, crop.left + SIZE, crop.top + SIZE))
    file = io.BytesIO()
    piece.save(file, "JPEG", quality=94, subsampling="4:4:4", optimize=True, progressive=True)
    return file.getvalue()


def make(folder: Path) -> int:
    """Make the training set in a folder; return the number of new crops."""
    originals = {path.name: path for path in datasets.fetch(ORIGINALS, schema.load().data_set(ORIGINALS))}
    (folder / "originals").mkdir(parents=True, exist_ok=True)
    for name, path in originals.items():
        shutil.copyfile(path, folder / "originals" / name)
    shutil.copyfile(TABLE, folder / "pack_index.csv")
    (folder / "crops").mkdir(exist_ok=True)
    fetched, made = cache_folder() / "originals", 0
    for crop in crops():
        path = folder / "crops" / crop.file
        if not path.is_file():
            data = fetch_blob(crop, fetched) if crop.blob else originals[Path(crop.path).name].read_bytes()
            path.write_bytes(cut(data, crop))
            made += 1
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    print(f"{make(parser.parse_args().folder)} crops made")
