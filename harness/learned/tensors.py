"""Images as networks see them, and back: samples to 0..1, continued to whole multiples, rounded, on one thread.

torch is imported when a function here needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.interface import Image
from harness.learned.bitstream import Stream

if TYPE_CHECKING:
    from torch import Tensor


def normalised(pixels: Image) -> tuple[NDArray[np.float32], int, int]:
    """Return an image as the networks see it, and the two values that undo it.

    8-bit samples are divided by 255. 16-bit ones fill 0..1 from the image's least to its greatest value.

    Returns:
        float32 (height, width, channels) in 0..1, the value that became 0, the value that became 1.
    """
    low, high = (0, 255) if pixels.dtype == np.uint8 else (int(pixels.min()), int(pixels.max()))
    if low == high:  # a flat image
        low, high = (low, low + 1) if low < 65_535 else (low - 1, low)
    return (pixels.astype(np.float32) - np.float32(low)) / np.float32(high - low), low, high


def restored(values: NDArray[np.float32], stream: Stream) -> Image:
    """Return what a network made as the image that a stream describes: rounded and clipped to its kind's samples.

    Args:
        values: (planes, channels, height, width) of the stream's size, in 0..1; gray images are means over channels.
        stream: what the file says.
    """
    values = values.reshape(-1, stream.height, stream.width).transpose(1, 2, 0)
    if stream.kind != "rgb8":
        values = values.mean(axis=2, keepdims=True)
    samples = np.rint(values * np.float32(stream.high - stream.low) + np.float32(stream.low))
    dtype = np.uint16 if stream.kind == "gray16" else np.uint8
    image: Image = np.ascontiguousarray(samples.clip(stream.low, stream.high).astype(dtype))
    return image


def mirrored(size: int, before: int, after: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the indices that continue 0..size-1 by mirroring at its two edges, edge samples repeated.

    Args:
        size: how many samples there are, at least 1.
        before: how many indices come before index 0.
        after: how many come after the last.

    Returns:
        The indices, and which of them lie in a mirrored copy.
    """
    place = np.arange(-before, size + after)
    phase = place % (2 * size)
    return np.where(phase < size, phase, 2 * size - 1 - phase), place // size % 2 == 1


def filled(image: Tensor, factor: int) -> Tensor:
    """Return an image continued by mirroring, to the right and downwards, to multiples of `factor`."""
    import torch

    for axis in (-2, -1):
        size = image.shape[axis]
        index, _ = mirrored(size, 0, -size % factor)
        image = image.index_select(image.ndim + axis, torch.from_numpy(index).to(image.device))
    return image


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread, so that sums are always taken in one order; on a GPU without TF32's 10-bit products."""
    import torch

    cudnn = torch.backends.cudnn
    before = torch.get_num_threads(), cudnn.allow_tf32
    torch.set_num_threads(1)
    cudnn.allow_tf32 = False
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before[0])
        cudnn.allow_tf32 = before[1]
