"""Helpers of the classical codecs: ladders, limits of file formats, and reading damaged files."""

from __future__ import annotations

import importlib
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadStreamError, MissingDependencyError, UnsupportedImageError
from harness.interface import MAX_PIXELS, Image, image_format

LIBRARY_ERRORS = (
    *(OSError, EOFError, RuntimeError, ValueError, SyntaxError, LookupError, TypeError, ArithmeticError),
    *(struct.error, zlib.error),
)
"""What image libraries raise on damaged bytes; their own error types derive from these."""


def geometric(first: float, last: float, factor: float) -> tuple[float, ...]:
    """Return a ladder from `first` to exactly `last` in factors of about `factor`, rounded to 5 digits."""
    steps = max(1, round(abs(math.log(last / first)) / abs(math.log(factor))))
    return tuple(float(f"{first * (last / first) ** (k / steps):.5g}") for k in range(steps + 1))


def optional(package: str, extra: str) -> ModuleType:
    """Import a package that one of harness's extras installs.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingDependencyError(
            f"this codec needs the package {package}, which is not installed. "
            f"In a checkout of harness: pip install -e '.[{extra}]'."
        ) from error


def require_sides(image: Image, largest: int, kind: str) -> None:
    """Check that no side of an image is longer than the file format allows.

    Raises:
        UnsupportedImageError: a side is longer than `largest`, in pixels.
    """
    height, width, _ = image.shape
    if max(height, width) > largest:
        raise UnsupportedImageError(f"{kind} takes sides of up to {largest} pixels; this image is {width}x{height}.")


def check_claimed_size(height: int, width: int, kind: str) -> None:
    """Check the size that a file claims, before memory of that size is allocated.

    Raises:
        BadStreamError: it is empty, or has more than `MAX_PIXELS` pixels.
    """
    if not 0 < height * width <= MAX_PIXELS:
        raise BadStreamError(f"this {kind} file claims {width}x{height} pixels; harness reads 1 to {MAX_PIXELS}.")


def plane(image: Image) -> NDArray[Any]:
    """Return an image in the shape that libraries expect: gray as (height, width), RGB unchanged."""
    return image[:, :, 0] if image.shape[2] == 1 else image


def as_image(decoded: NDArray[Any], kind: str) -> Image:
    """Return the output of a library's decoder as an `Image`.

    Raises:
        BadStreamError: no codec here writes images of its shape or dtype.
    """
    image = np.ascontiguousarray(decoded[:, :, np.newaxis] if decoded.ndim == 2 else decoded)
    try:
        image_format(image)
    except UnsupportedImageError as error:
        raise BadStreamError(f"this {kind} file was not written by harness: {error}") from error
    return image


@contextmanager
def undamaged(kind: str) -> Iterator[None]:
    """Turn an error that a library raises while it reads a file into one of ours.

    Raises:
        BadStreamError: the library failed; its error is the cause.
    """
    try:
        yield
    except LIBRARY_ERRORS as error:
        reason = f"{type(error).__name__}: {error}"
        raise BadStreamError(f"these bytes are not an intact {kind} file ({reason}).") from error
