"""Helpers of the codecs that use Pillow: write a file, read one safely, name the versions."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import PIL.Image
from PIL import features
from PIL.ImageFile import ImageFile

from harness.codecs._common import as_image, check_claimed_size, plane, undamaged
from harness.interface import Image


def write(image: Image, format_name: str, options: Mapping[str, Any]) -> bytes:
    """Return an image as a file in one of Pillow's formats; `options` are keywords of Pillow's writer."""
    file = io.BytesIO()
    PIL.Image.fromarray(plane(image)).save(file, format_name, **options)
    return file.getvalue()


def read(data: bytes, reader: type[ImageFile], kind: str) -> Image:
    """Read the image in a file with one of Pillow's readers.

    The class of the reader is called directly, because Image.open refuses images above 179 megapixels and warns above
    half of that. The limit here is `MAX_PIXELS`, checked before the pixels are allocated.

    Raises:
        BadStreamError: the bytes are not an intact file of that format, or its image is too large.
    """
    with warnings.catch_warnings(), undamaged(kind):
        warnings.simplefilter("ignore")
        picture = reader(io.BytesIO(data))
        check_claimed_size(picture.height, picture.width, kind)
        picture.load()
        return as_image(np.array(picture), kind)


def versions(*libraries: str) -> dict[str, str | None]:
    """Return the versions of Pillow and of libraries that it was built with, by their names in PIL.features."""
    return {"pillow": PIL.__version__, **{name: features.version(name) for name in libraries}}
