"""The scale network: integers that agree with the trained network, and arrays that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from harness.models.entropy.model import EntropyModel
from harness.models.entropy.scale_network import LARGEST_WEIGHT, MOST_OCTAVES, ScaleNet, log_magnitudes, multiplied
from harness.models.entropy.scale_network_training import TrainedScaleNet
from harness.models.entropy.training import ContextModel

EDGES = (0, 2, 5, 9)


def random_net(seed: int = 0, width: int = 7, edges: tuple[int, ...] = EDGES) -> TrainedScaleNet:
    """Return a network with random weights in all layers."""
    torch.manual_seed(seed)
    net = TrainedScaleNet(edges, width)
    for parameter in net.parameters():
        parameter.data.normal_(0, 0.3)
    return net


def random_latents(channels: int = 9, size: tuple[int, int] = (11, 6), power: int = 1) -> NDArray[np.int64]:
    """Return latents that are mostly small; a higher power makes some of them large."""
    latents: NDArray[np.int64] = np.rint(np.random.default_rng(3).laplace(0, 2, (channels, *size)) ** power).astype(int)
    return latents


def powers_of(net: ScaleNet, latents: NDArray[np.int64], edges: tuple[int, ...] = EDGES) -> NDArray[np.int64]:
    """Return the powers of every group but the first, as an entropy model asks for them."""
    logarithms = np.pad(log_magnitudes(latents), ((0, 0), (1, 1), (1, 1)))
    return np.concatenate([net.powers(group, logarithms[: edges[group]]) for group in range(1, len(edges) - 1)])


def test_logarithms_are_exact_at_powers_of_two_and_straight_between() -> None:
    latents = np.array([0, 1, -3, 7, 2, -5, 2**19 - 1])
    assert log_magnitudes(latents).tolist() == [0, 256, 512, 768, 384, 640, 19 * 256]


@pytest.mark.parametrize("power", [-64, -33, -1, 0, 1, 31, 32, 64])
def test_a_scale_is_multiplied_by_a_power_of_two(power: int) -> None:
    scales = np.array([300, 4096, 10**6])
    found = multiplied(scales, np.full(3, power))
    assert found == pytest.approx(scales * 2.0 ** (power / 32), abs=1, rel=1e-6)


def test_integers_agree_with_what_was_trained() -> None:
    net, latents = random_net(), random_latents(power=3)
    with torch.no_grad():
        trained = net(torch.from_numpy(latents[None]).float())[0].numpy()
    assert np.abs(trained).max() == MOST_OCTAVES  # the limit is met, too
    assert (trained[: EDGES[1]] == 0).all()
    found = powers_of(net.frozen(), latents) / 32
    assert np.abs(found - trained[EDGES[1] :]).max() < 1 / 32


def test_integers_become_what_is_trained_on() -> None:
    net = random_net().frozen()
    again = TrainedScaleNet(EDGES, 7)
    again.load(net)
    assert np.array_equal(powers_of(again.frozen(), random_latents(power=3)), powers_of(net, random_latents(power=3)))


def test_an_entropy_model_with_a_network_decodes_what_it_encodes_and_costs_its_estimate() -> None:
    latents = torch.from_numpy(random_latents(24, (40, 28))).float()[None]
    context = ContextModel(24, levels=2, width=6)
    assert context.net is not None
    for parameter in context.net.parameters():
        parameter.data.normal_(0, 0.1)
    entropy_model = EntropyModel.from_arrays(context.entropy_model().arrays())
    plain = ContextModel(24, levels=2).entropy_model()
    for k in (-32, 0, 40):
        coded = entropy_model.encode(latents.numpy() * np.float32(2 ** (-k / 32)), k)
        assert np.array_equal(entropy_model.decode(coded.data, (1, 24, 40, 28), k), coded.latents)
        assert len(coded.data) * 8 == pytest.approx(coded.estimated_bits, rel=0.02)
        assert coded.data != plain.encode(latents.numpy() * np.float32(2 ** (-k / 32)), k).data
        with torch.no_grad():
            trained = context.bits(torch.from_numpy(coded.latents).float(), 2 ** (k / 32)).sum().item()
        assert coded.estimated_bits == pytest.approx(trained, rel=0.02)


def test_before_training_a_network_changes_nothing() -> None:
    latents = random_latents(24, (16, 16))[None].astype(np.float32)
    with_net, plain = ContextModel(24, levels=2, width=6), ContextModel(24, levels=2)
    assert with_net.entropy_model().encode(latents, 0).data == plain.entropy_model().encode(latents, 0).data


def test_an_entropy_model_of_one_group_has_no_network() -> None:
    entropy_model = ContextModel(24, levels=0, width=6).entropy_model()
    assert EntropyModel.from_arrays(entropy_model.arrays()).net is None


def changed(name: str, value: Any) -> dict[str, Any]:
    """Return a network's arrays with one in another's place."""
    return {**random_net().frozen().arrays(), name: np.asarray(value)}


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        (
            "net.1.first.bias",
            np.zeros(600, np.int32),
            "scale network has 600 hidden channels; it must have 1 to 512",
        ),
        ("net.1.first.bias", np.zeros(0, np.int32), "scale network has 0 hidden channels"),
        ("net.2.third.weights", np.zeros((4, 7, 2), np.int32), r"net.2.third. has the shape \(4, 7, 2\)"),
        ("net.2.second.bias", np.zeros((7, 1), np.int32), r"net.2.second. has the shape"),
        ("net.1.second.weights", np.full((7, 7, 1), LARGEST_WEIGHT + 1), "holds a value that is too large"),
        ("net.1.third.bias", np.full(3, -(2**62)), "holds a value that is too large"),
        ("net.1.third.bias", np.full(3, -(2**63)), "holds a value that is too large"),
    ],
)
def test_arrays_that_cannot_be_a_network_are_refused(name: str, value: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        ScaleNet.from_arrays(changed(name, value), EDGES)


def test_an_absent_layer_is_refused() -> None:
    arrays = random_net().frozen().arrays()
    del arrays["net.2.second.weights"]
    with pytest.raises(KeyError):
        ScaleNet.from_arrays(arrays, EDGES)
