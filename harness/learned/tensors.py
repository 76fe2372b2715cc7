"""Images to tensors and back: samples to 0..1 and rounded again, reflection padding, one thread.

torch is imported only when a function here needs it.
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
    """Return an image in 0..1, and the two samples that undo it.

    8-bit samples are divided by 255. 16-bit samples are stretched: the least becomes 0, the greatest 1.

    Returns:
        float32 (height, width, channels) in 0..1, the sample that became 0, the sample that became 1.
    """
    low, high = (0, 255) if pixels.dtype == np.uint8 else (int(pixels.min()), int(pixels.max()))
    if low == high:  # a flat image
        low, high = (low, low + 1) if low < 65_535 else (low - 1, low)
    return (pixels.astype(np.float32) - np.float32(low)) / np.float32(high - low), low, high


def restored(values: NDArray[np.float32], stream: Stream) -> Image:
    """Return the output of a network as an image: rounded and clipped to the samples of its format.

    Args:
        values: (planes, channels, height, width), in 0..1; a gray image is the mean over channels.
        stream: the file, which gives size, format and range of the samples.
    """
    values = values.reshape(-1, stream.height, stream.width).transpose(1, 2, 0)
    if stream.kind != "rgb8":
        values = values.mean(axis=2, keepdims=True)
    samples = np.rint(values * np.float32(stream.high - stream.low) + np.float32(stream.low))
    dtype = np.uint16 if stream.kind == "gray16" else np.uint8
    image: Image = np.ascontiguousarray(samples.clip(stream.low, stream.high).astype(dtype))
    return image


def reflection_indices(size: int, before: int, after: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the indices that pad 0..size-1 by reflection; samples at the edges are repeated.

    Args:
        size: the number of samples, at least 1.
        before: the number of indices before index 0.
        after: the number of indices after the last one.

    Returns:
        The indices, and which of them are in a reflected copy.
    """
    place = np.arange(-before, size + after)
    phase = place % (2 * size)
    return np.where(phase < size, phase, 2 * size - 1 - phase), place // size % 2 == 1


def padded_to_multiple(image: Tensor, factor: int) -> Tensor:
    """Return an image with reflection padding on the right and at the bottom, to multiples of `factor`."""
    import torch

    for axis in (-2, -1):
        size = image.shape[axis]
        index, _ = reflection_indices(size, 0, -size % factor)
        image = image.index_select(image.ndim + axis, torch.from_numpy(index).to(image.device))
    return image


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread, so that sums have a fixed order; on a GPU, disable TF32, whose products have 10 bits."""
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
