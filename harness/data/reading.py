"""The rules of reading an image file: its samples are taken exactly, changed with a note, or refused.

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

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import ImageError
from harness.interface import MAX_PIXELS, Image

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_TIFF_BITS_PER_SAMPLE = 258
_TRANSPARENT = "the image {path} has transparent pixels; flatten it onto a background first."
_TAKEN = "harness takes 8-bit RGB, 8-bit gray and 16-bit gray"
_OTHER_KINDS = {
    "CMYK": ("CMYK colours", "convert it to RGB"),
    "LAB": ("Lab colours", "convert it to RGB"),
    "F": ("32-bit float samples", _TAKEN),
    "I": ("32-bit integer samples", _TAKEN),
}
"""Pillow's mode of a kind that harness refuses -> what such a file has, and what to do."""

_LOSSY = {"JPEG": "already lossy", "MPO": "already lossy", "WEBP": "perhaps already lossy"}


def strict_samples(picture: Picture, data: bytes, path: Path) -> tuple[Image, tuple[str, ...]]:
    """Return the samples of an opened file, (height, width, channels), and notes on what was changed or found.

    Raises:
        ImageError: the file is of a kind that harness does not take.
        OSError, SyntaxError: it is damaged.
    """
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"the image {path} has {width}x{height} pixels; the most is {MAX_PIXELS}.")
    if (frames := getattr(picture, "n_frames", 1)) > 1:
        raise ImageError(f"the image {path} has {frames} frames; save the one that you mean.")
    if (depth := _lost_depth(picture, data)) is not None:
        raise ImageError(f"the image {path} has {depth}; harness takes 8-bit RGB and 16-bit gray.")
    lossy = "JPEG" if picture.info.get("compression") == "jpeg" else picture.format  # a TIFF can hold a JPEG
    notes = [_LOSSY[lossy]] if lossy in _LOSSY else []
    if picture.format == "PNG":
        _check_every_chunk(data)
    picture.load()
    picture = _upright(picture, notes)
    return _samples(picture, path, notes), tuple(notes)


def _lost_depth(picture: Picture, data: bytes) -> str | None:
    """Return the kind of samples that Pillow would silently scale to 8 bits; None where it keeps them."""
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
    """Check the CRC of every chunk of a PNG, including the last: reading the pixels alone misses a cut-off end.

    Raises:
        OSError, SyntaxError: a chunk is damaged or missing.
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
    """Return the (height, width, channels) samples of an upright picture."""
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
    """Drop an alpha channel in which every pixel is opaque; refuse any other alpha channel."""
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
