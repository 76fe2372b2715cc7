"""The codec around CompressAI's networks: weights, quantisation steps, files, training.

CompressAI's own entropy coders write the strings. Truncated strings decode to noise without an error, so a header with
sizes and CRCs precedes them. Encoder and decoder run the networks on the CPU, on one thread.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.codecs._compressai.stream import MULTIPLE, payload_of, strings_of
from harness.codecs._compressai.weights import Published, find_published, folders, published_sha256, read_weights
from harness.errors import BadStreamError, ConfigError, DataError
from harness.interface import FORMATS, Image, Setting, image_format
from harness.learned.bitstream import STEPS_PER_OCTAVE, VERSION, SizeLimit, Stream, require_size
from harness.learned.checkpoint import load, shipped_folder
from harness.learned.shape import AnyShape, Widths
from harness.learned.tensors import normalised, one_thread, restored
from harness.learned.weights import Choices, TrainableCodec, Weights, WeightsRepository
from harness.system.paths import weights_folder

if TYPE_CHECKING:
    from harness.codecs._compressai.network import SteppedNetwork
    from harness.learned.trainable import Trainable

MOST_PIXELS = 2**22
"""The most pixels (height x width) of an image: a layer of 192 channels at half that size then needs 0.8 GB."""
_LIMIT = SizeLimit(MOST_PIXELS, MULTIPLE, margin=0)
_COARSEST, _FINEST = 128, -96
TRAINED_BY = "compressai"
"""The recipe for these networks in benchmarks.toml."""
_EVERY_BITS = {"rgb8": 24, "gray8": 8, "gray16": 16}
"""Bits per pixel before compression."""


class CompressAiCodec(TrainableCodec):
    """A network of CompressAI, with published weights (mean squared error) or with weights of `harness train`.

    Only `network` and `published` are abstract.
    """

    formats: ClassVar[tuple[str, ...]] = FORMATS
    published: ClassVar[Sequence[Published]]
    """The published checkpoints, by quality from 1 on."""

    def __init__(
        self,
        ratio: float | None = None,
        quality: int | None = None,
        weights: str | None = None,
        recipe: str | None = None,
    ) -> None:
        """Choose weights.

        Args:
            ratio: the target, raw bytes / file bytes [default: 16 with a recipe, else none: every setting is possible].
            quality: the published checkpoint that encodes, from 1 on [default: the highest].
            weights: a folder to look into first.
            recipe: the recipe whose weights encode [default: published weights encode].
        """
        if recipe is not None and quality is not None:
            raise ValueError(
                f"quality = {quality} names published weights, recipe = {recipe!r} trained ones: give one of the two"
            )
        quality = len(self.published) if quality is None else quality
        if not 1 <= quality <= len(self.published):
            raise ValueError(f"quality is {quality}; {self.name} has 1 to {len(self.published)}")
        self._ratio, self._quality = ratio, quality
        own = [Path(weights)] if weights else []
        self._folders = [*own, *folders()]
        self._recipe, trained_in = recipe, [*own, weights_folder(), shipped_folder()]
        codec_id = f"{self.name}-{'rate' if recipe == TRAINED_BY else recipe}"
        self._repository = WeightsRepository(self.name, recipe or TRAINED_BY, float(ratio or 16), codec_id, trained_in)
        self._loaded: dict[str, SteppedNetwork] = {}

    @staticmethod
    @abstractmethod
    def network(*widths: int) -> Any:
        """Return a fresh network of CompressAI."""

    @classmethod
    def trainable(cls, shape: AnyShape, choices: Choices) -> Trainable:
        """Return a fresh network and its entropy model, ready to be trained."""
        from harness.codecs._compressai.training import TrainableNetwork

        asked = len(cls.published[0].widths)
        if not isinstance(shape, Widths) or len(shape.given) != asked:
            raise ConfigError(f"the recipe's shape of {cls.name} must give {'N alone' if asked == 1 else 'N and M'}.")
        if choices.loss != "rate" or choices.rate_gradient != "noise":
            raise ConfigError(
                f"{cls.name} is trained with loss = 'rate' and rate_gradient = 'noise', as in CompressAI; "
                f"the recipe says {choices.loss!r} and {choices.rate_gradient!r}."
            )
        return TrainableNetwork(cls.network(*shape.given), shape)

    @property
    def checkpoint(self) -> Published:
        """Return the published checkpoint that encodes."""
        return self.published[self._quality - 1]

    @property
    def ladder(self) -> Sequence[Setting]:
        """Return the exponents k of the quantisation steps 2^(k / 32), in trained steps."""
        return range(_COARSEST, _FINEST - 1, -1)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return the file: header, shape of the hyper-latents, and the length and bytes of each string."""
        network, tensor = self._at(int(setting), image)
        _, low, high = normalised(image)
        with one_thread():
            made = network.compress(tensor)
        payload = payload_of(made.shape, made.strings)
        height, width, _ = image.shape
        kind = image_format(image)
        weights_id = network.sha256[:16]
        return Stream(self.name, kind, weights_id, height, width, int(setting), low, high, made.crc, payload).to_bytes()

    def decode(self, data: bytes) -> Image:
        """Return the image, by the weights that the file names."""
        stream = Stream.from_bytes(data, self.name)
        if not _LIMIT.holds(stream.height, stream.width) or stream.k not in self.ladder:
            raise BadStreamError(
                f"the file asks for {stream.width} x {stream.height} pixels at setting {stream.k}; {_LIMIT}; "
                f"settings are {_FINEST} to {_COARSEST}."
            )
        found = strings_of(stream.payload)
        network = self._named(stream.weights_id)
        cells = (-(-stream.height // MULTIPLE), -(-stream.width // MULTIPLE))
        if found.shape != tuple(cell * network.rows_a_cell for cell in cells) or len(found.strings) != network.strings:
            raise BadStreamError(
                f"the file holds {len(found.strings)} strings of shape {found.shape}, which does not fit "
                f"{stream.width} x {stream.height} pixels."
            )
        with one_thread():
            network.set_step(_step(stream.k))
            made = network.decompress(found.strings, found.shape)
        if made.crc != stream.latents_crc:
            raise BadStreamError("the latents are not those that were encoded: the file, or its weights, are damaged.")
        return restored(made.image[..., : stream.height, : stream.width].numpy(), stream)

    def estimated_bits(self, image: Image, setting: Setting) -> float:
        """Return the information in latents and hyper-latents under the network's own entropy models, in bits.

        It is rough for autoregressive networks, whose context CompressAI's estimate does not round as its coder does.
        """
        network, tensor = self._at(int(setting), image)
        with one_thread():
            return network.bits(tensor)

    def missing(self) -> str | None:
        """Return None if its weights are here, else what to do."""
        if self._recipe is not None:
            return self._repository.missing()
        try:
            find_published(self.checkpoint, self._folders, self.name)
        except DataError as error:
            return str(error)
        return None

    def training_fingerprints(self) -> Sequence[str] | None:
        """Return the fingerprints of the training images; None for published weights, whose images are not known."""
        return None if self._recipe is None else self._repository.fingerprints()

    def out_of_reach(self) -> Mapping[str, str]:
        """Return image format -> reason, for the formats on which the published weights cannot reach the ratio."""
        bpp, ratio = self.checkpoint.bpp, self._ratio
        if self._recipe is not None or ratio is None:
            return {}
        higher = self._quality < len(self.published)
        advice = "Ask for a higher quality." if higher else "No higher quality is published."
        return {
            kind: f"the published weights of {self.name} at quality {self._quality} end at {bpp:.2f} bits per pixel "
            f"of {bits} ({bits / bpp:.1f}x), above {ratio:g}x. {advice}"
            for kind, bits in _EVERY_BITS.items()
            if ratio < bits / bpp
        }

    def provenance(self) -> Mapping[str, Any]:
        """Return the weights' name and sha256, and everything else that decides the bytes."""
        libraries = {name: version(name) for name in ("torch", "compressai")}
        if self._recipe is not None:
            asked = {"stream": VERSION, "recipe": self._recipe, "ratio": self._repository.ratio}
            return {**asked, **libraries, **self._repository.provenance()}
        made = {"stream": VERSION, "quality": self._quality, "published": self.checkpoint.file, **libraries}
        try:
            path = find_published(self.checkpoint, self._folders, self.name)
        except DataError:
            return {**made, "weights": None}
        return {**made, "weights": published_sha256(path)}

    def _named(self, weights_id: str) -> SteppedNetwork:
        """Return the network with the weights that a file names.

        Raises:
            BadStreamError: the weights are not here.
        """
        for one in self.published:
            if weights_id.startswith(one.sha256_start):
                try:
                    find_published(one, self._folders, self.name)
                except DataError as error:
                    raise BadStreamError(f"the file was made with weights that are not here: {error}") from error
                return self._published_network(one)
        try:
            return self._trained_network(self._repository.named(weights_id))
        except BadStreamError as error:
            raise BadStreamError(
                f"the file names weights that are no published ones of {self.name}: {error}"
            ) from error

    def _trained_network(self, weights: Weights) -> SteppedNetwork:
        """Return the network with weights of `harness train`, which are read once per instance."""
        card, path = weights
        if card.id not in self._loaded:
            from harness.codecs._compressai.network import trained_network

            if not isinstance(card.shape, Widths) or len(card.shape.given) != len(self.published[0].widths):
                raise DataError(f"the card of {path} does not have the shape of {self.name}.")
            network = self.network(*card.shape.given)
            self._loaded[card.id] = trained_network(network, load(card, path), card.sha256, path)
        return self._loaded[card.id]

    def _published_network(self, wanted: Published) -> SteppedNetwork:
        """Return the network with published weights, which are read once per instance."""
        if wanted.file not in self._loaded:
            from harness.codecs._compressai.network import SteppedNetwork

            weights = read_weights(find_published(wanted, self._folders, self.name), wanted, weights_folder())
            network = self.network(*wanted.widths)
            network.load_state_dict(weights.tensors)
            self._loaded[wanted.file] = SteppedNetwork(network, weights.sha256)
        return self._loaded[wanted.file]

    def _at(self, k: int, image: Image) -> tuple[SteppedNetwork, Any]:
        """Return the network at a step, and the image as its input."""
        from harness.codecs._compressai.network import input_of

        height, width, _ = image.shape
        require_size(height, width, _LIMIT)
        published = self._recipe is None
        network = (
            self._published_network(self.checkpoint) if published else self._trained_network(self._repository.found())
        )
        with one_thread():
            network.set_step(_step(k))
        return network, input_of(image)


def _step(k: int) -> float:
    return float(2.0 ** (k / STEPS_PER_OCTAVE))
