"""What the codecs that go through Pillow share: writing a file, reading one with care, versions."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import PIL.Image
from PIL import features
from PIL.ImageFile import ImageFile

from harness.codecs._common import as_image, check_size, plane, undamaged
from harness.interface import Image


def write(image: Image, format_name: str, options: Mapping[str, Any]) -> bytes:
    """Return a file in one of Pillow's formats; `options` are the keywords of Pillow's writer."""
    file = io.BytesIO()
    PIL.Image.fromarray(plane(image)).save(file, format_name, **options)
    return file.getvalue()


def read(data: bytes, reader: type[ImageFile], kind: str) -> Image:
    """Return the image in a file, read by one of Pillow's readers and no other.

    The reader's class is called directly: Image.open would refuse images above its own limit of 179 megapixels,
    and warn from half of it on. The limit here is `MAX_PIXELS`, checked before the pixels are allocated.

    Raises:
        BadStreamError: the bytes are not a whole file of that format, or it is too large.
    """
    with warnings.catch_warnings(), undamaged(kind):
        warnings.simplefilter("ignore")
        picture = reader(io.BytesIO(data))
        check_size(picture.height, picture.width, kind)
        picture.load()
        return as_image(np.array(picture), kind)


def versions(*libraries: str) -> dict[str, str | None]:
    """Return Pillow's version and those of the libraries it was built with, as PIL.features names them."""
    return {"pillow": PIL.__version__, **{name: features.version(name) for name in libraries}}
