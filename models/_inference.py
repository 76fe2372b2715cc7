"""A trained network in use: pixels to latents and back. torch is imported when a function here runs."""

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
from harness.learned.tensors import filled, normalised, one_thread, restored
from harness.models.entropy.model import EntropyModel

if TYPE_CHECKING:
    from harness.models._autoencoder import Coder

NETWORK, LAW = "network.", "law."
"""What the names of a checkpoint's arrays begin with."""
STRIP_PIXELS = 2**20
"""Networks see images of more pixels in strips of about this size."""
STRIP_OVERLAP = 8
"""Rows of latents that a strip sees above and below itself."""


class Model(NamedTuple):
    """Trained weights, ready to use."""

    card: Card
    coder: Coder
    entropy_model: EntropyModel


def built(networks: Callable[[Shape], Networks], card: Card, path: Path, device: str) -> Model:
    """Return the model whose weights are at a path.

    Raises:
        DataError: the weights are absent or damaged.
    """
    import torch

    from harness.models._autoencoder import Coder

    arrays = load(card, path)
    if not isinstance(card.shape, Shape):
        raise DataError(f"the card of {path} is not that of a network of {card.architecture}.")
    with torch.device("meta"):
        coder = Coder(card.shape, networks(card.shape))
    try:
        tensors, entropy_model = parts_of(arrays)
        coder.load_state_dict(tensors, assign=True)
        coder.place_signs()
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"the weights {path} are not those of the network that their card names: {reason}") from error
    return Model(card, coder.eval().to(device), entropy_model)


def parts_of(arrays: Mapping[str, NDArray[Any]]) -> tuple[dict[str, Any], EntropyModel]:
    """Return a checkpoint's network, as torch tensors by name, and its entropy model."""
    import torch

    entropy_model = EntropyModel.from_arrays(
        {name[len(LAW) :]: array for name, array in arrays.items() if name.startswith(LAW)}
    )
    tensors = {
        name[len(NETWORK) :]: torch.from_numpy(array) for name, array in arrays.items() if name.startswith(NETWORK)
    }
    return tensors, entropy_model


def packed(coder: Coder, entropy_model: EntropyModel) -> dict[str, NDArray[Any]]:
    """Return the arrays of a checkpoint, as `built` reads them."""
    arrays = {NETWORK + name: tensor.cpu().numpy() for name, tensor in coder.state_dict().items()}
    return arrays | {LAW + name: array for name, array in entropy_model.arrays().items()}


def planes_of(kind: str, colours: int) -> int:
    """Return how many network images one image of a kind (of `FORMATS`) is: a gray network takes colour by planes."""
    return 3 if kind == "rgb8" and colours == 1 else 1


def analysed(coder: Coder, image: Image, device: str) -> NDArray[np.float32]:
    """Return the latents of an image, float32 (planes, channels, height, width), in trained steps."""
    import torch

    values, _, _ = normalised(image)
    colours = coder.shape.image_channels
    if values.shape[2] < colours:
        values = np.repeat(values, colours, axis=2)
    planes = values.transpose(2, 0, 1).reshape(-1, colours, *values.shape[:2])
    with one_thread():
        whole = filled(torch.from_numpy(np.ascontiguousarray(planes)).to(device), coder.shape.factor)
        made = in_strips(coder.latents, whole, coder.shape.factor, 1)
        latents: NDArray[np.float32] = made.cpu().numpy()
    return latents


def synthesised(coder: Coder, latents: NDArray[np.float32], stream: Stream, device: str) -> Image:
    """Return the image of latents, as a stream describes it: rounded and clipped to its kind's samples."""
    import torch

    with one_thread():
        tensor = torch.from_numpy(latents).to(device)
        made = in_strips(coder.images, tensor, 1, coder.shape.factor)[..., : stream.height, : stream.width]
    return restored(made.cpu().numpy(), stream)


def in_strips(network: Callable[[Any], Any], whole: Any, unit: int, growth: int) -> Any:
    """Return what a network makes of a tensor, by strips of rows where it is large.

    Args:
        network: from (planes, channels, height, width) to the same; each row of latents of its result depends
            on few rows around.
        whole: its input.
        unit: input rows for one row of latents.
        growth: pixels, each way, for one element of the input.
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
