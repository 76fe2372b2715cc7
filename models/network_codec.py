"""The codec around an architecture: choose weights, turn pixels into latents into bytes, and back.

A plugin derives from `NetworkCodec` and defines its networks; everything else is here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadStreamError, ConfigError
from harness.interface import FORMATS, Image, Setting, image_format
from harness.learned.bitstream import STEPS_PER_OCTAVE, VERSION, Stream, latents_crc, require_size
from harness.learned.checkpoint import shipped_folder
from harness.learned.shape import AnyShape, Networks, Shape
from harness.learned.tensors import normalised
from harness.learned.weights import Choices, TrainableCodec, Weights, WeightsRepository
from harness.models._inference import Model, analysed, built, planes_of, synthesised
from harness.models.entropy.size_estimate import predicted_bytes
from harness.system.paths import weights_folder

if TYPE_CHECKING:
    from harness.learned.trainable import Trainable

_COARSEST, _FINEST = 256, -160
"""The ends of the ladder."""

_Key = tuple[tuple[int, ...], str, bytes]


class _Analysed(NamedTuple):
    """The latents of the last image, so that a search over settings runs the network once."""

    image: _Key
    """Shape, dtype and samples."""
    k: int | None
    """The setting of the last call for this image; None: none yet."""
    latents: NDArray[np.float32]
    bits: dict[int, float]
    """Setting -> the entropy model's estimate of the payload, in bits."""


class NetworkCodec(TrainableCodec):
    """An analysis transform, a synthesis transform and an entropy model; only `networks` is abstract."""

    formats: ClassVar[tuple[str, ...]] = FORMATS

    def __init__(
        self, ratio: float = 16, recipe: str = "rate", weights: str | None = None, device: str = "cpu"
    ) -> None:
        """Choose weights.

        Args:
            ratio: the target (raw bytes / file bytes) whose weights encode.
            recipe: the name of the recipe that trained them.
            weights: a folder to look into first.
            device: where the networks run, "cpu" or "cuda". Range coding always runs on the CPU, in integers.
        """
        if device not in ("cpu", "cuda"):
            raise ValueError(f"device is {device!r}; it must be 'cpu' or 'cuda'")
        self._ratio, self._recipe, self._device = float(ratio), recipe, device
        own = [Path(weights)] if weights else []
        trained_as = self.name if recipe == "rate" else f"{self.name}-{recipe}"
        self._repository = WeightsRepository(
            self.name, recipe, self._ratio, trained_as, [*own, weights_folder(), shipped_folder()]
        )
        self._models: dict[str, Model] = {}
        self._analysed: _Analysed | None = None

    @staticmethod
    @abstractmethod
    def networks(shape: Shape) -> Networks:
        """Return fresh networks of this architecture."""

    @classmethod
    def trainable(cls, shape: AnyShape, choices: Choices) -> Trainable:
        """Return fresh networks with the entropy model of their latents, ready to be trained."""
        from harness.models._autoencoder import Autoencoder
        from harness.models._trainable import TrainableAutoencoder
        from harness.models.entropy.training import ContextModel

        if not isinstance(shape, Shape):
            raise ConfigError(f"the recipe's shape of {cls.name} has the keys of a network of CompressAI (N, M).")
        context = ContextModel(shape.latent_channels, choices.levels, choices.entropy_width)
        return TrainableAutoencoder(Autoencoder(shape, cls.networks(shape)), context, choices)

    @property
    def ladder(self) -> Sequence[int]:
        """Return the exponents k of the quantisation steps 2^(k / 32), in trained steps."""
        return range(_COARSEST, _FINEST - 1, -1)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return the file."""
        return self._encoded(image, int(setting)).to_bytes()

    def estimated_bits(self, image: Image, setting: Setting) -> float:
        """Return the information in the latents under the entropy model: an estimate of the payload, in bits."""
        k, cached = int(setting), self._analysed
        if cached is None or cached.image != _key(image) or k not in cached.bits:
            self._encoded(image, k)
            cached = self._analysed
        assert cached is not None  # noqa: S101 - encoding has set it
        return cached.bits[k]

    def predicted_sizes(self, image: Image) -> list[float]:
        """Return about how many bytes the file has at each setting; the network runs once and nothing is coded."""
        return predicted_bytes(self._analyse(self._model(self._repository.found()), image, None).latents, self.ladder)

    def decode(self, data: bytes) -> Image:
        """Return the image, by the weights that the file names."""
        stream = Stream.from_bytes(data, self.name)
        if stream.k not in self.ladder:
            raise BadStreamError(f"the file has setting {stream.k}; settings are {_FINEST} to {_COARSEST}.")
        model = self._model(self._repository.named(stream.weights_id))
        planes = planes_of(stream.kind, model.autoencoder.shape.image_channels)
        factor = model.autoencoder.shape.factor
        grid = (-(-stream.height // factor), -(-stream.width // factor))
        latents = model.entropy_model.decode(
            stream.payload, (planes, len(model.entropy_model.families), *grid), stream.k
        )
        if latents_crc(latents) != stream.latents_crc:
            raise BadStreamError("the latents are not those that were encoded: the file, or its weights, are damaged.")
        steps = latents.astype(np.float32) * np.float32(2.0 ** (stream.k / STEPS_PER_OCTAVE))
        return synthesised(model.autoencoder, steps, stream, self._device)

    def missing(self) -> str | None:
        """Return None if the weights for its ratio are here, else what to do."""
        return self._repository.missing()

    def training_fingerprints(self) -> Sequence[str] | None:
        """Return the fingerprints of the training images; None without weights or if they are of another version."""
        return self._repository.fingerprints()

    def provenance(self) -> Mapping[str, Any]:
        """Return the weights' sha256 and how they were trained, and everything else that decides the bytes."""
        made = {"stream": VERSION, "recipe": self._recipe, "ratio": self._ratio, "device": self._device}
        made |= {name: version(name) for name in ("torch", "constriction")}
        return {**made, **self._repository.provenance()}

    def _model(self, weights: Weights) -> Model:
        """Return network and entropy model; weights are read once per instance."""
        weights_id = weights.card.id
        if weights_id not in self._models:
            self._models[weights_id] = built(type(self).networks, *weights, self._device)
        return self._models[weights_id]

    def _encoded(self, image: Image, k: int) -> Stream:
        kind = image_format(image)
        height, width, _ = image.shape
        require_size(height, width)
        model = self._model(self._repository.found())
        _, low, high = normalised(image)
        analysis = self._analyse(model, image, k)
        encoding = model.entropy_model.encode(analysis.latents * np.float32(2.0 ** (-k / STEPS_PER_OCTAVE)), k)
        analysis.bits[k] = encoding.estimated_bits
        crc = latents_crc(encoding.latents)
        return Stream(self.name, kind, model.card.id, height, width, k, low, high, crc, encoding.data)

    def _analyse(self, model: Model, image: Image, k: int | None) -> _Analysed:
        """Return latents (planes, channels, height, width), cached for other settings of the same image.

        The same setting again runs the network again, so that repeated encodes can be timed.
        """
        cached, key = self._analysed, _key(image)
        if cached is not None and cached.image == key and cached.k != k:
            self._analysed = cached._replace(k=k)
        else:
            self._analysed = _Analysed(key, k, analysed(model.autoencoder, image, self._device), {})
        return self._analysed


def _key(image: Image) -> _Key:
    return image.shape, image.dtype.str, image.tobytes()
