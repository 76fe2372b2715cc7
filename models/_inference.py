"""Run a trained network: pixels to latents and back. torch is imported only when a function here runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.interface import Image
from harness.learned.bitstream import Stream
from harness.learned.checkpoint import Card, load
from harness.learned.shape import Networks, Shape
from harness.learned.state import arrays_of, matching_weights, state_of
from harness.learned.tensors import normalised, one_thread, padded_to_multiple, restored
from harness.models.entropy.model import EntropyModel

if TYPE_CHECKING:
    from harness.models._autoencoder import Autoencoder

ENTROPY_MODEL = "law."
"""The prefix of the names of the entropy model's arrays. It is part of stored files: changing it breaks every one."""
STRIP_PIXELS = 2**20
"""Networks process larger images in strips of about this many pixels."""
STRIP_OVERLAP = 8
"""Rows of latents that strips overlap by, above and below."""


class Model(NamedTuple):
    """Trained weights, ready to use."""

    card: Card
    autoencoder: Autoencoder
    entropy_model: EntropyModel


def built(networks: Callable[[Shape], Networks], card: Card, path: Path, device: str) -> Model:
    """Return the model with the weights at a path.

    Raises:
        DataError: the weights are absent or damaged, or do not fit the networks.
    """
    import torch

    from harness.models._autoencoder import Autoencoder

    arrays = load(card, path)
    if not isinstance(card.shape, Shape):
        raise DataError(f"the card of {path} does not have the shape of {card.architecture}.")
    with torch.device("meta"):
        autoencoder = Autoencoder(card.shape, networks(card.shape))
    with matching_weights(path):
        entropy_model = entropy_model_of(arrays)
        autoencoder.load_state_dict(state_of(arrays), assign=True)
        autoencoder.register_signs()
    return Model(card, autoencoder.eval().to(device), entropy_model)


def entropy_model_of(arrays: Mapping[str, NDArray[Any]]) -> EntropyModel:
    """Return the entropy model in the arrays of a weights file.

    Raises:
        KeyError: an array is absent.
        ValueError: the arrays are no entropy model.
    """
    return EntropyModel.from_arrays(
        {name.removeprefix(ENTROPY_MODEL): array for name, array in arrays.items() if name.startswith(ENTROPY_MODEL)}
    )


def packed(autoencoder: Autoencoder, entropy_model: EntropyModel) -> dict[str, NDArray[Any]]:
    """Return the arrays of a weights file, as `built` reads them."""
    return arrays_of(autoencoder) | {ENTROPY_MODEL + name: array for name, array in entropy_model.arrays().items()}


def planes_of(kind: str, colours: int) -> int:
    """Return the number of planes of an image of a format for a network: a gray network takes RGB as 3 planes."""
    return 3 if kind == "rgb8" and colours == 1 else 1


def analysed(autoencoder: Autoencoder, image: Image, device: str) -> NDArray[np.float32]:
    """Return the latents of an image, float32 (planes, channels, height, width), in trained steps."""
    import torch

    values, _, _ = normalised(image)
    colours = autoencoder.shape.image_channels
    if values.shape[2] < colours:
        values = np.repeat(values, colours, axis=2)
    planes = values.transpose(2, 0, 1).reshape(-1, colours, *values.shape[:2])
    with one_thread():
        whole = padded_to_multiple(torch.from_numpy(np.ascontiguousarray(planes)).to(device), autoencoder.shape.factor)
        made = in_strips(autoencoder.latents, whole, autoencoder.shape.factor, 1)
        latents: NDArray[np.float32] = made.cpu().numpy()
    return latents


def synthesised(autoencoder: Autoencoder, latents: NDArray[np.float32], stream: Stream, device: str) -> Image:
    """Return the image of latents, rounded and clipped to the samples of the stream's format."""
    import torch

    with one_thread():
        tensor = torch.from_numpy(latents).to(device)
        made = in_strips(autoencoder.images, tensor, 1, autoencoder.shape.factor)[..., : stream.height, : stream.width]
    return restored(made.cpu().numpy(), stream)


def in_strips(network: Callable[[Any], Any], whole: Any, unit: int, growth: int) -> Any:
    """Return a network's output for a tensor; process a large tensor in strips of rows.

    Args:
        network: maps (planes, channels, height, width) to the same layout; a row of its output depends on few rows
            around it.
        whole: its input.
        unit: input rows per row of latents.
        growth: pixels per element of the input, in height and in width.
    """
    import torch

    height, width = whole.shape[-2:]
    rows = max(2 * STRIP_OVERLAP, STRIP_PIXELS // (width * unit * growth * growth)) * unit
    if height <= rows + 2 * STRIP_OVERLAP * unit:
        return network(whole)
    parts = []
    for first in range(0, height, rows):
        top = max(0, first - STRIP_OVERLAP * unit)
        last = min(first + rows, height)
        made = network(whole[..., top : last + STRIP_OVERLAP * unit, :])
        scale = made.shape[-2] / (min(last + STRIP_OVERLAP * unit, height) - top)
        parts.append(made[..., round((first - top) * scale) : round((last - top) * scale), :])
    return torch.cat(parts, -2)
