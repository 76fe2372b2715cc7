"""Read images strictly: what a file holds is taken exactly, said beside it, or refused.

| found in a file                        | what happens                                        |
|----------------------------------------|-----------------------------------------------------|
| 8-bit RGB or gray, 16-bit gray         | taken as it is                                      |
| palette, 1 bit                         | expanded to RGB, to 8-bit gray; noted               |
| alpha, every pixel opaque              | dropped; noted                                      |
| alpha, some pixel not opaque           | refused                                             |
| CMYK, 16-bit RGB, float, 32-bit, Lab   | refused                                             |
| PPM samples whose maximum is not 255   | refused                                             |
| several frames or pages                | refused                                             |
| EXIF orientation                       | applied, then all metadata dropped; noted           |
| an ICC profile other than sRGB         | converted to sRGB (relative colorimetric); noted    |
| a JPEG (or another lossy file)         | taken, noted as "already lossy"                     |
| truncated, damaged, too large          | refused                                             |
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import ImageError
from harness.interface import MAX_PIXELS, Image
from harness.system.files import written_aside

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".jpg", ".jpeg", ".webp")
"""The files that a folder of images is searched for."""

_TIFF_BITS_PER_SAMPLE = 258
_TRANSPARENT = "the image {path} has transparent pixels; flatten it onto a background first."
_TAKEN = "8-bit RGB, 8-bit gray and 16-bit gray are taken"
_OTHER_KINDS = {
    "CMYK": ("CMYK colours", "convert it to RGB"),
    "LAB": ("Lab colours", "convert it to RGB"),
    "F": ("32-bit float samples", _TAKEN),
    "I": ("32-bit integer samples", _TAKEN),
}
"""Pillow's name for a kind of image that is refused -> what such a file has, and what to do."""

_LOSSY = {"JPEG": "already lossy", "MPO": "already lossy", "WEBP": "perhaps already lossy"}


@dataclass(frozen=True)
class TestImage:
    """One image of a test set, as every codec gets it."""

    __test__ = False  # no test class, whatever pytest makes of the name

    name: str
    pixels: Image
    sample_bits: int
    """How many bits of each sample carry the image; the metrics' peak is 2^sample_bits - 1."""
    notes: tuple[str, ...]
    """What was done or found on reading that bears on the result."""

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
    """Tell whether a file is an image by its name."""
    return file.lower().endswith(SUFFIXES)


def find_images(folder: Path) -> list[Path]:
    """Return the image files of a folder and those below it, by name.

    Raises:
        ImageError: the folder does not exist, is a file or holds no image, or a name is no text in UTF-8.
    """
    if folder.is_file():
        raise ImageError(f"{folder} is a file; name the folder of images that it is in.")
    if not folder.is_dir():
        raise ImageError(f"the folder of images {folder} does not exist.")
    paths = sorted(path for path in folder.rglob("*") if is_image(path.name) and path.is_file())
    if not paths:
        raise ImageError(f"the folder {folder} holds no image; looked for {', '.join(SUFFIXES)}.")
    for name in map(os.fsencode, paths):
        if (text := name.decode(errors="backslashreplace")).encode() != name:
            raise ImageError(f"the file name {text} is no text in UTF-8, as records keep it. Rename the file.")
    return paths


def read_image(
    path: Path, name: str | None = None, sample_bits: int | None = None, data: bytes | None = None
) -> TestImage:
    """Read one image file by the rules above; `data` is what it holds, where that is known already.

    Raises:
        ImageError: the file cannot be read or is of a kind that is not taken.
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
                pixels, notes = _take(picture, data, path)
        except ImageError:
            raise
        except UnidentifiedImageError as error:
            raise ImageError(f"{path} is no image that can be read, or its first bytes are damaged.") from error
        except Pillow.DecompressionBombError as error:
            raise ImageError(f"the image {path} has more than {MAX_PIXELS} pixels.") from error
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise ImageError(f"the image {path} is damaged or no image: {error}.") from error
    return TestImage(name or path.name, pixels, _checked_bits(pixels, sample_bits, path), notes)


def _checked_bits(pixels: Image, sample_bits: int | None, path: Path) -> int:
    bits = sample_bits or 8 * pixels.dtype.itemsize
    if pixels.dtype == np.uint8 and bits != 8:
        raise ImageError(f"the image {path} has 8-bit samples; sample_bits = {bits} cannot be.")
    if int(pixels.max()) >= 2**bits:
        raise ImageError(f"the image {path} holds {int(pixels.max())}, more than sample_bits = {bits} allows.")
    return bits


def _take(picture: Picture, data: bytes, path: Path) -> tuple[Image, tuple[str, ...]]:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"the image {path} has {width}x{height} pixels; at most {MAX_PIXELS} are taken.")
    if (frames := getattr(picture, "n_frames", 1)) > 1:
        raise ImageError(f"the image {path} has {frames} frames; save the one that is meant.")
    if (depth := _lost_depth(picture, data)) is not None:
        raise ImageError(f"the image {path} has {depth}; 8-bit RGB and 16-bit gray are taken.")
    lossy = "JPEG" if picture.info.get("compression") == "jpeg" else picture.format  # a TIFF can hold a JPEG
    notes = [_LOSSY[lossy]] if lossy in _LOSSY else []
    if picture.format == "PNG":
        _check_every_chunk(data)
    picture.load()
    picture = _upright(picture, notes)
    return _samples(picture, path, notes), tuple(notes)


def _lost_depth(picture: Picture, data: bytes) -> str | None:
    """Return what samples a file has where Pillow would silently scale them to 8 bits; None where it keeps them."""
    if picture.format == "PNG" and data[24] == 16 and data[25] != 0:  # PNG standard, 11.2.1 IHDR
        return "16-bit colour samples"
    if picture.format == "TIFF" and picture.mode in ("L", "LA", "RGB", "RGBA", "RGBX", "CMYK"):
        bits = max(getattr(picture, "tag_v2", {}).get(_TIFF_BITS_PER_SAMPLE, (8,)))
        return f"{bits}-bit samples" if bits > 8 else None
    if picture.format == "PPM" and picture.mode in ("L", "RGB"):
        decoder = getattr(picture, "tile", [(None, None, None, None)])[0][3]
        most = decoder[1] if isinstance(decoder, tuple) else 255
        return f"samples from 0 to {most}" if most != 255 else None
    return None


def _check_every_chunk(data: bytes) -> None:
    """Check the CRC of every chunk of a PNG, to its last: reading the pixels alone would not notice its end missing.

    Raises:
        OSError, SyntaxError: a chunk is damaged or absent.
    """
    from PIL import Image as Pillow

    with Pillow.open(io.BytesIO(data)) as picture:
        picture.verify()


def _upright(picture: Picture, notes: list[str]) -> Picture:
    from PIL import ImageOps

    orientation = picture.getexif().get(0x0112, 1)
    if orientation in range(2, 9):
        notes.append(f"EXIF orientation {orientation} applied")
        return ImageOps.exif_transpose(picture)
    return picture


def _samples(picture: Picture, path: Path, notes: list[str]) -> Image:
    """Return (height, width, channels) samples of a picture whose frame and orientation are settled."""
    if picture.mode in ("I;16", "I;16B", "I;16L"):
        samples = np.ascontiguousarray(picture, dtype=np.uint16)[:, :, None]
        if (transparent := picture.info.get("transparency")) is not None and (samples == transparent).any():
            raise ImageError(_TRANSPARENT.format(path=path))
        return samples
    picture = _without_alpha(picture, path, notes)
    if picture.mode == "P":
        notes.append("palette expanded to RGB")
        picture = _convert(picture, "RGB")
    if picture.mode == "1":
        notes.append("1 bit expanded to 8-bit gray")
        picture = picture.convert("L")
    if picture.mode not in ("RGB", "L"):
        kind, advice = _OTHER_KINDS.get(picture.mode, (f"samples of Pillow's mode {picture.mode}", _TAKEN))
        raise ImageError(f"the image {path} has {kind}; {advice}.")
    picture = _to_srgb(picture, path, notes)
    return np.ascontiguousarray(picture, dtype=np.uint8).reshape(picture.height, picture.width, -1)


def _convert(picture: Picture, mode: str) -> Picture:
    converted = picture.convert(mode)
    converted.info = dict(picture.info)
    return converted


def _without_alpha(picture: Picture, path: Path, notes: list[str]) -> Picture:
    """Drop an alpha channel in which every pixel is opaque; refuse any other."""
    has_alpha = picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info
    if not has_alpha:
        return picture
    gray = picture.mode in ("L", "LA", "La", "1")
    with_alpha = _convert(picture, "LA" if gray else "RGBA")
    lowest, _ = with_alpha.getchannel("A").getextrema()
    if lowest != 255:
        raise ImageError(_TRANSPARENT.format(path=path))
    notes.append("opaque alpha dropped" + (", palette expanded to RGB" if picture.mode in ("P", "PA") else ""))
    opaque = _convert(with_alpha, "L" if gray else "RGB")
    opaque.info.pop("transparency", None)
    return opaque


def _to_srgb(picture: Picture, path: Path, notes: list[str]) -> Picture:
    from PIL import ImageCms

    profile_bytes = picture.info.get("icc_profile")
    if not profile_bytes:
        return picture
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_bytes))
        description = ImageCms.getProfileDescription(profile).strip()
        if "srgb" in description.lower() or picture.mode == "L":
            return picture
        notes.append(f"converted from {description} to sRGB")
        converted = ImageCms.profileToProfile(
            picture, profile, ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
    except ImageCms.PyCMSError as error:
        raise ImageError(f"the image {path} has an ICC profile that cannot be used: {error}.") from error
    return converted or picture


def to_file(image: Image, path: Path) -> None:
    """Write an image losslessly and atomically, in the format that the file's ending names.

    Raises:
        ImageError: the ending is not known, or its format would lose something.
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
