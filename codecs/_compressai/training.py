"""CompressAI's networks in training. Imports torch: import this only when used.

Losses are CompressAI's: bits from likelihoods under uniform noise, and the auxiliary loss of the entropy bottleneck's
quantiles. Latents are in quantisation steps of files at the target ratio.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.codecs._compressai.network import (
    GAIN,
    SteppedNetwork,
    information,
    input_of,
    rescale_bottleneck,
    slopes_of,
)
from harness.codecs._compressai.stream import MULTIPLE, payload_of
from harness.interface import Image
from harness.learned.bitstream import HEADER_BYTES
from harness.learned.shape import Widths
from harness.learned.state import arrays_of, state_of
from harness.learned.tensors import one_thread
from harness.learned.trainable import Frozen, Groups, Quantised, Trainable

_MOST_STEPS = 1024.0
"""The tables of an entropy bottleneck go up to this size at most; larger latents can still be coded."""
_LEAST_SPREAD = 0.1
"""The smallest standard deviation of a channel that an entropy model is initialised with, in steps."""
_FRESH_SPREAD = 18.0
"""The initial standard deviation of CompressAI's entropy bottleneck: a logistic distribution of scale 10."""


class TrainableNetwork(Trainable):
    """A network of CompressAI; everything but the analysis and synthesis transform is the entropy model."""

    def __init__(self, network: Any, widths: Widths) -> None:
        super().__init__()
        self.widths = widths
        self.analysis, self.synthesis = network.g_a, network.g_s
        network.g_a, network.g_s = nn.Identity(), nn.Identity()
        self.entropy_model = network
        self.hyper = getattr(network, "h_a", None) is not None
        self.gain: Tensor
        self.register_buffer(GAIN, torch.zeros(()))

    @property
    def shape(self) -> Widths:
        """Return N and M."""
        return self.widths

    @property
    def factor(self) -> int:
        """Return 64, the pixels per hyper-latent in height and in width."""
        return MULTIPLE

    def freeze_statistics(self, frozen: bool) -> None:
        """Do nothing: these networks keep no statistics of their input."""

    def latents(self, images: Tensor) -> Tensor:
        """Return the latents of images."""
        made: Tensor = self.analysis(images.contiguous()) * torch.exp(self.gain)
        return made

    def images(self, latents: Tensor) -> Tensor:
        """Return the images of latents."""
        made: Tensor = self.synthesis(latents * torch.exp(-self.gain))
        return made

    def with_noise(self, latents: Tensor, seed: int) -> Quantised:
        """Return latents with uniform noise, and their bits including hyper-latents."""
        devices = [latents.device] if latents.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            made = self.entropy_model.train()(latents)
        return Quantised(made["x_hat"], information(made))

    def entropy_bits(self, latents: Tensor, seed: int) -> Tensor:
        """Return the bits of latents with uniform noise."""
        return self.with_noise(latents, seed).bits

    def auxiliary_loss(self) -> Tensor:
        """Return CompressAI's loss of the entropy bottleneck's quantiles."""
        loss: Tensor = self.entropy_model.aux_loss()
        return loss

    @torch.no_grad()
    def quantised(self, latents: Tensor, step: float) -> Quantised:
        """Return latents quantised at a step."""
        stepped = SteppedNetwork(copy.deepcopy(self.entropy_model), "")
        stepped.set_step(step, tables=False)
        made = stepped.network(latents)
        return Quantised(made["x_hat"], information(made))

    @torch.no_grad()
    def prepare(self, images: Tensor, step: float) -> None:
        """Set the gain so that step 1 is the first step, and initialise the entropy model by each channel's spread."""
        self.gain.fill_(math.log(64 / step / max(self.analysis(images).std().item(), 1e-6)))
        latents = self.latents(images)
        spreads = latents.std((0, 2, 3)).clamp_min(_LEAST_SPREAD)
        if not self.hyper:
            factors = (spreads / _FRESH_SPREAD)[:, None, None]
            bottleneck = self.entropy_model.entropy_bottleneck
            rescale_bottleneck(bottleneck, slopes_of(bottleneck).double() / factors, bottleneck.quantiles * factors)
            return
        bias = self._last_layer.get_parameter("bias")
        both = torch.cat([spreads, latents.mean((0, 2, 3))])
        bias.copy_(both if len(bias) == len(both) else latents.square().mean((0, 2, 3)).sqrt())

    @torch.no_grad()
    def rescale(self, octaves: float) -> None:
        """Make the step 2^octaves the new step 1."""
        factor = 2.0**octaves
        self.gain.sub_(octaves * math.log(2))
        if not self.hyper:
            bottleneck = self.entropy_model.entropy_bottleneck
            rescale_bottleneck(bottleneck, slopes_of(bottleneck).double() * factor, bottleneck.quantiles / factor)
            return
        self.entropy_model.h_a[0].weight.mul_(factor)
        if hasattr(self.entropy_model, "context_prediction"):
            self.entropy_model.context_prediction.weight.mul_(factor)
        for parameter in self._last_layer.parameters():
            parameter.div_(factor)

    @property
    def _last_layer(self) -> nn.Module:
        """Return the convolution that predicts scales, then means if the network has any."""
        network = getattr(self.entropy_model, "entropy_parameters", self.entropy_model.h_s)
        return next(layer for layer in reversed(network) if isinstance(layer, nn.Conv2d))

    def groups(self) -> Groups:
        """Return all parameters; the quantiles are auxiliary."""
        quantiles = self.entropy_model.entropy_bottleneck.quantiles
        entropy_model = [one for one in self.entropy_model.parameters() if one is not quantiles]
        return Groups([*self.analysis.parameters(), *self.synthesis.parameters()], entropy_model, [quantiles])

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Load the weights of another training."""
        whole = self._whole()
        whole.load_state_dict(state_of(arrays))
        self.analysis, self.synthesis = whole.g_a, whole.g_s
        whole.g_a, whole.g_s = nn.Identity(), nn.Identity()
        self.entropy_model = whole
        self.gain.fill_(arrays[GAIN].item())

    def _whole(self) -> Any:
        """Return a copy of the whole network, as CompressAI constructs it."""
        whole: Any = copy.deepcopy(self.entropy_model)
        whole.g_a, whole.g_s = copy.deepcopy(self.analysis), copy.deepcopy(self.synthesis)
        return whole

    def frozen(self) -> Frozen:
        """Return the network with exact quantiles, and the tables that follow from them."""
        network = self._whole()
        network.entropy_bottleneck._update_quantiles(search_radius=_MOST_STEPS)
        arrays = arrays_of(network)
        gain = self.gain.item()
        stepped = SteppedNetwork(network, "", gain)
        with one_thread():
            stepped.set_step(1.0)
        return _FrozenNetwork(stepped, {**arrays, GAIN: np.array([gain], np.float32)})


class _FrozenNetwork(Frozen):
    def __init__(self, network: SteppedNetwork, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.network, self._arrays = network, arrays

    def file_bytes(self, image: Image) -> int:
        with one_thread():
            made = self.network.compress(input_of(image))
        return HEADER_BYTES + len(payload_of(made.shape, made.strings))

    def decoded(self, image: Image) -> NDArray[np.float32]:
        height, width, _ = image.shape
        with one_thread():
            made = self.network.compress(input_of(image))
            values = self.network.decompress(made.strings, made.shape).image[0, :, :height, :width]
        decoded: NDArray[np.float32] = values.numpy().transpose(1, 2, 0)
        return decoded

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return self._arrays
