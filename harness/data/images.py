"""Images of a test set: find them, read them (reading.py has the rules), write them."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data.reading import strict_samples
from harness.errors import ImageError
from harness.interface import MAX_PIXELS, Image
from harness.system.files import written_aside

SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".jpg", ".jpeg", ".webp")
"""The file name endings of images in a folder."""


@dataclass(frozen=True)
class TestImage:
    """One image of a test set, as every codec gets it."""

    __test__ = False  # not a test class: pytest would take it for one

    name: str
    pixels: Image
    sample_bits: int
    """How many bits of each sample carry the image; the metrics' peak is 2^sample_bits - 1."""
    notes: tuple[str, ...]
    """What the reader changed or found that affects the result."""

    @property
    def peak(self) -> int:
        """The largest value that a sample can have."""
        return int(2**self.sample_bits - 1)

    @property
    def fingerprint(self) -> str:
        """The sha256 of format, size and samples."""
        return pixels_sha256(self.pixels)


def pixels_sha256(image: Image) -> str:
    """Return the sha256 of "dtype height width channels" and the samples in little-endian order."""
    height, width, channels = image.shape
    digest = hashlib.sha256(f"{image.dtype.name} {height} {width} {channels}\n".encode())
    digest.update(np.ascontiguousarray(image.astype(image.dtype.newbyteorder("<"), copy=False)).data)
    return digest.hexdigest()


def is_image(file: str) -> bool:
    """Return whether the name of a file ends like that of an image."""
    return file.lower().endswith(SUFFIXES)


def find_images(folder: Path) -> list[Path]:
    """Return the image files of a folder and those below it, by name.

    Raises:
        ImageError: the folder does not exist, is a file or holds no image, or a name is not UTF-8.
    """
    if folder.is_file():
        raise ImageError(f"{folder} is a file; name its folder.")
    if not folder.is_dir():
        raise ImageError(f"the folder of images {folder} does not exist.")
    paths = sorted(path for path in folder.rglob("*") if is_image(path.name) and path.is_file())
    if not paths:
        raise ImageError(f"the folder {folder} holds no image; looked for files ending in {', '.join(SUFFIXES)}.")
    for name in map(os.fsencode, paths):
        if (text := name.decode(errors="backslashreplace")).encode() != name:
            raise ImageError(f"the file name {text} is not UTF-8, which records need. Rename the file.")
    return paths


def read_image(
    path: Path, name: str | None = None, sample_bits: int | None = None, data: bytes | None = None
) -> TestImage:
    """Read one image file by the rules of reading.py; `data` is its content, where the caller has it already.

    Raises:
        ImageError: the file cannot be read, or is of a kind that harness does not take.
    """
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        data = path.read_bytes() if data is None else data
    except OSError as error:
        raise ImageError(f"the image {path} cannot be read: {error.strerror}.") from error
    Pillow.MAX_IMAGE_PIXELS = MAX_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Pillow.open(io.BytesIO(data)) as picture:
                pixels, notes = strict_samples(picture, data, path)
        except ImageError:
            raise
        except UnidentifiedImageError as error:
            raise ImageError(f"{path} is not an image that can be read, or its first bytes are damaged.") from error
        except Pillow.DecompressionBombError as error:
            raise ImageError(f"the image {path} has more than {MAX_PIXELS} pixels.") from error
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise ImageError(f"the image {path} is damaged or not an image: {error}.") from error
    return TestImage(name or path.name, pixels, _checked_bits(pixels, sample_bits, path), notes)


def _checked_bits(pixels: Image, sample_bits: int | None, path: Path) -> int:
    bits = sample_bits or 8 * pixels.dtype.itemsize
    if pixels.dtype == np.uint8 and bits != 8:
        raise ImageError(f"the image {path} has 8-bit samples; sample_bits = {bits} is impossible.")
    if int(pixels.max()) >= 2**bits:
        raise ImageError(f"the image {path} holds {int(pixels.max())}, more than sample_bits = {bits} allows.")
    return bits


def to_file(image: Image, path: Path) -> None:
    """Write an image losslessly and atomically, in the format that the file's ending names.

    Raises:
        ImageError: the ending is unknown, or its format would lose something.
    """
    from PIL import Image as Pillow

    exact: Sequence[str] = (".png", ".tif", ".tiff") if image.dtype == np.uint16 else (*SUFFIXES[:4], ".ppm", ".pgm")
    if path.suffix.lower() not in exact:
        raise ImageError(f"{path} must end in one of {', '.join(exact)}, which keep every sample of this image.")
    samples = image if image.shape[2] == 3 else image[:, :, 0]
    try:
        with written_aside(path) as aside:
            Pillow.fromarray(samples).save(aside, Pillow.registered_extensions()[path.suffix.lower()])
    except OSError as error:
        raise ImageError(f"the image {path} cannot be written: {error.strerror or error}.") from error
