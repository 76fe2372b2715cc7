"""What the four architectures share as codecs: which weights, pixels to latents to bytes, and back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadStreamError, DataError
from harness.folders import weights_folder
from harness.interface import FORMATS, Image, LearnedCodec, Setting, image_format
from harness.models._checkpoint import Card, cards, fingerprints, shipped_folder
from harness.models._law import Encoding
from harness.models._model import Model, analysed, built, planes_of, synthesised
from harness.models._shape import Networks, Shape
from harness.stream import STEPS_PER_OCTAVE, VERSION, Stream, check_size, latents_crc
from harness.tensors import normalised

_COARSEST, _FINEST = 256, -160


class _Analysed(NamedTuple):
    """The latents of the last image, so that a search for a setting analyses it once."""

    image: tuple[tuple[int, ...], str, bytes]
    """Shape, dtype and samples."""
    k: int
    latents: NDArray[np.float32]


class NetworkCodec(LearnedCodec):
    """An analysis, a synthesis and a law; abstract only in what the networks are."""

    formats: ClassVar[tuple[str, ...]] = FORMATS

    def __init__(
        self, ratio: float = 16, recipe: str = "rate", weights: str | None = None, device: str = "cpu"
    ) -> None:
        """Choose weights.

        Args:
            ratio: the target (raw bytes / file bytes) whose weights encode.
            recipe: the name of the recipe that they were trained by.
            weights: a folder that is looked into first.
            device: where the networks run: "cpu" or "cuda". Range coding and its laws are integers on the CPU.
        """
        if device not in ("cpu", "cuda"):
            raise ValueError(f"device is {device!r}; it must be 'cpu' or 'cuda'")
        self._ratio, self._recipe, self._device = float(ratio), recipe, device
        own = [Path(weights)] if weights else []
        self._folders = [*own, weights_folder(), shipped_folder()]
        self._models: dict[str, Model] = {}
        self._analysed: _Analysed | None = None

    @staticmethod
    @abstractmethod
    def networks(shape: Shape) -> Networks:
        """Return fresh networks of this architecture."""

    @property
    def ladder(self) -> Sequence[Setting]:
        """Exponents k of the steps 2^(k / 32), in trained steps."""
        return range(_COARSEST, _FINEST - 1, -1)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return the file."""
        return self._encoded(image, int(setting))[0].to_bytes()

    def estimated_bits(self, image: Image, setting: Setting) -> float:
        """Return the model's own estimate of the payload, in bits: the information in the latents."""
        return self._encoded(image, int(setting))[1].estimated_bits

    def decode(self, data: bytes) -> Image:
        """Return the image, by the weights that the file names."""
        stream = Stream.from_bytes(data, self.name)
        model = self._model(self._named(stream.weights_id))
        planes = planes_of(stream.kind, model.card.shape.image_channels)
        factor = model.card.shape.factor
        grid = (-(-stream.height // factor), -(-stream.width // factor))
        latents = model.law.decode(stream.payload, (planes, len(model.law.families), *grid), stream.k)
        if latents_crc(latents) != stream.latents_crc:
            raise BadStreamError("the latents are not those that were encoded: the file, or its weights, are damaged.")
        steps = latents.astype(np.float32) * np.float32(2.0 ** (stream.k / STEPS_PER_OCTAVE))
        return synthesised(model.coder, steps, stream, self._device)

    def missing(self) -> str | None:
        """Return None when the weights for its ratio are here, else what to do."""
        try:
            self._card()
        except DataError as error:
            return str(error)
        return None

    def training_fingerprints(self) -> Sequence[str] | None:
        """Return the fingerprints that stand beside its weights; None without weights, or of another version."""
        if self.missing() is not None:
            return None
        card = self._card()
        return fingerprints(card, self._path(card))

    def provenance(self) -> Mapping[str, Any]:
        """Return the weights' sha256 and how they were trained, and what else decides the bytes."""
        made = {"stream": VERSION, "recipe": self._recipe, "ratio": self._ratio, "device": self._device}
        made |= {name: version(name) for name in ("torch", "constriction")}
        if self.missing() is not None:
            return {**made, "weights": None}
        card = self._card()
        return {**made, "weights": card.sha256, "steps": card.steps, "hardware": card.hardware}

    def _card(self) -> Card:
        """Return the card of the weights for its recipe and ratio.

        Raises:
            DataError: there are none.
        """
        for card, _ in cards(self._folders):
            if (card.architecture, card.recipe_name, card.ratio) == (self.name, self._recipe, self._ratio):
                return card
        trained_as = self.name if self._recipe == "rate" else f"{self.name}-{self._recipe}"
        raise DataError(
            f"no weights of {self.name} (recipe {self._recipe}) for {self._ratio:g}x in "
            f"{', '.join(str(folder) for folder in self._folders)}. "
            f"Train them: harness train --models {trained_as} --ratios {self._ratio:g}, with training images below "
            "$HARNESS_DATA/train or named by --data."
        )

    def _named(self, weights_id: str) -> Card:
        """Return the card of the weights that a file names.

        Raises:
            BadStreamError: they are not here.
        """
        known = {card.id: card for card, _ in cards(self._folders) if card.architecture == self.name}
        if weights_id not in known:
            raise BadStreamError(
                f"the file was made with the weights {weights_id}, which are not among those of {self.name} here: "
                f"{', '.join(sorted(known)) or 'none'}. Put {weights_id}.safetensors and its card beside them."
            )
        return known[weights_id]

    def _model(self, card: Card) -> Model:
        """Return network and law, read once an instance."""
        if card.id not in self._models:
            self._models[card.id] = built(type(self).networks, card, self._path(card), self._device)
        return self._models[card.id]

    def _path(self, card: Card) -> Path:
        return next(path for found, path in cards(self._folders) if found.id == card.id)

    def _encoded(self, image: Image, k: int) -> tuple[Stream, Encoding]:
        kind = image_format(image)
        height, width, _ = image.shape
        check_size(height, width)
        model = self._model(self._card())
        _, low, high = normalised(image)
        latents = self._latents(model, image, k)
        encoding = model.law.encode(latents * np.float32(2.0 ** (-k / STEPS_PER_OCTAVE)), k)
        crc = latents_crc(encoding.latents)
        return Stream(self.name, kind, model.card.id, height, width, k, low, high, crc, encoding.data), encoding

    def _latents(self, model: Model, image: Image, k: int) -> NDArray[np.float32]:
        """Return latents (planes, channels, height, width); kept for other settings of the same image.

        The same setting again runs the network again: that is how an encode is timed.
        """
        held, key = self._analysed, (image.shape, image.dtype.str, image.tobytes())
        if held is not None and held.image == key and held.k != k:
            latents = held.latents
        else:
            latents = analysed(model.coder, image, self._device)
        self._analysed = _Analysed(key, k, latents)
        return latents
