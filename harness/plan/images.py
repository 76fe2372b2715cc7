"""Read the images of a run, once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from harness.data.activity import activity
from harness.data.datasets import ImageSource
from harness.data.images import read_image
from harness.errors import ImageError
from harness.interface import image_format
from harness.plan.plan import PlannedImage

_REASONS = 10
"""How many unusable images are named with their reason."""


def planned_images(sources: Sequence[ImageSource]) -> tuple[PlannedImage, ...]:
    """Read images, and leave out those with the same pixels as another one.

    Raises:
        ImageError: some cannot be used; the message names the first ones and says why.
    """
    planned, refused = [], []
    for source in sources:
        try:
            planned.append(_planned_image(source))
        except ImageError as error:
            refused.append(str(error))
    if refused:
        more = [f"{left} more cannot be taken."] if (left := len(refused) - _REASONS) > 0 else []
        raise ImageError(" ".join([*refused[:_REASONS], *more]))
    return _without_copies(planned)


def _planned_image(source: ImageSource) -> PlannedImage:
    image = read_image(source.path, source.name, source.sample_bits)
    height, width, channels = image.pixels.shape
    return PlannedImage(
        source=source,
        pixels=image.fingerprint,
        height=height,
        width=width,
        channels=channels,
        sample_bits=image.sample_bits,
        kind=image_format(image.pixels),
        notes=image.notes,
        activity=activity(image.pixels),
    )


def _without_copies(images: Iterable[PlannedImage]) -> tuple[PlannedImage, ...]:
    """Return the images of different pixels, and warn of copies: counted twice, they make intervals too narrow."""
    first: dict[str, PlannedImage] = {}
    copies = []
    for image in images:
        if first.setdefault(image.pixels, image) is not image:
            copies.append(f"{image.source.name} (as {first[image.pixels].source.name})")
    if copies:
        logging.getLogger("harness").warning(
            "left out, because their pixels equal another image's: %s", ", ".join(copies)
        )
    return tuple(first.values())
