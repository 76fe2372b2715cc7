"""The arrays of a network in a weights file, and back. torch is imported only when a function here runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from harness.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor, nn

NETWORK = "network."
"""The prefix of the names of a network's arrays. It is part of stored files: changing it breaks every weights file."""


def arrays_of(network: nn.Module) -> dict[str, NDArray[Any]]:
    """Return copies of a network's weights, under the names that a weights file has for them."""
    return {NETWORK + name: tensor.cpu().numpy().copy() for name, tensor in network.state_dict().items()}


def state_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Return a network's weights as tensors, for `load_state_dict`; other arrays are skipped."""
    import torch

    return {
        name.removeprefix(NETWORK): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith(NETWORK)
    }


@contextmanager
def matching_weights(path: Path) -> Iterator[None]:
    """Turn the errors of loading weights into a network into one of ours.

    Raises:
        DataError: the weights at a path do not fit the network.
    """
    try:
        yield
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"the weights {path} do not fit the network that their card names: {reason}") from error
