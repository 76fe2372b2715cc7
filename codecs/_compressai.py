"""What CompressAI's networks share as codecs: published weights found and checked, any step, complete files.

CompressAI's own entropy coders write the strings; its truncated strings decode to noise without an error, so they
stand behind a header with sizes and CRCs. The networks run on the CPU, on one thread, on both sides.
"""

from __future__ import annotations

import struct
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from harness.codecs._compressai_weights import DATA_SET, ROOT, Published, folders, published_sha256, read_weights
from harness.errors import BadStreamError, DataError, UnsupportedImageError
from harness.folders import weights_folder
from harness.interface import FORMATS, Image, LearnedCodec, Setting, image_format
from harness.stream import STEPS_PER_OCTAVE, VERSION, Stream, check_size
from harness.tensors import filled, normalised, one_thread, restored

if TYPE_CHECKING:
    from harness.codecs._compressai_network import SteppedNetwork

MULTIPLE = 64
"""Images are continued, by mirroring, to multiples of this many pixels each way."""
MOST_PIXELS = 2**22
"""Pixels (height x width) of the greatest image: one layer of 192 channels at half its size is then 0.8 GB."""
_COARSEST, _FINEST = 128, -96
_SHAPE, _LENGTH = struct.Struct("<HH"), struct.Struct("<I")


class _Strings(NamedTuple):
    """What a file holds behind its header."""

    shape: tuple[int, int]
    """Rows and columns of the hyper-latents, or of the latents without any."""
    strings: list[bytes]


class CompressAiCodec(LearnedCodec):
    """A network of CompressAI with published weights (mean squared error); abstract only in which network."""

    formats: ClassVar[tuple[str, ...]] = FORMATS
    published: ClassVar[Sequence[Published]]
    """By quality, from 1 on."""

    def __init__(self, ratio: float | None = None, quality: int | None = None, weights: str | None = None) -> None:
        """Choose weights.

        Args:
            ratio: the target, raw bytes / file bytes; absent: only settings are asked for, which every quality serves.
            quality: which published checkpoint encodes, from 1 on; absent: the highest.
            weights: a folder that is looked into first.
        """
        quality = len(self.published) if quality is None else quality
        if not 1 <= quality <= len(self.published):
            raise ValueError(f"quality is {quality}; {self.name} has 1 to {len(self.published)}")
        self._ratio, self._quality = ratio, quality
        self._folders = [*([Path(weights)] if weights else []), *folders()]
        self._loaded: dict[str, SteppedNetwork] = {}

    @staticmethod
    @abstractmethod
    def network(*widths: int) -> Any:
        """Return a fresh network of CompressAI."""

    @property
    def checkpoint(self) -> Published:
        """The published checkpoint that encodes."""
        return self.published[self._quality - 1]

    @property
    def ladder(self) -> Sequence[Setting]:
        """Exponents k of the steps 2^(k / 32); 0 is as published."""
        return range(_COARSEST, _FINEST - 1, -1)

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return the file: header, the shape of the hyper-latents, and every string behind its length."""
        network, tensor = self._at(int(setting), image)
        _, low, high = normalised(image)
        with one_thread():
            made = network.compress(tensor)
        payload = _SHAPE.pack(*made.shape) + b"".join(_LENGTH.pack(len(one)) + one for one in made.strings)
        height, width, _ = image.shape
        kind = image_format(image)
        weights_id = network.sha256[:16]
        return Stream(self.name, kind, weights_id, height, width, int(setting), low, high, made.crc, payload).to_bytes()

    def decode(self, data: bytes) -> Image:
        """Return the image, by the published weights that the file names."""
        stream = Stream.from_bytes(data, self.name)
        if stream.height * stream.width > MOST_PIXELS or stream.k not in self.ladder:
            raise BadStreamError(
                f"the file asks for {stream.width} x {stream.height} pixels at setting {stream.k}; at most "
                f"{MOST_PIXELS} pixels are taken, and settings of {_FINEST} to {_COARSEST}."
            )
        found = _strings(stream.payload)
        network = self._network(self._named(stream.weights_id))
        cells = (-(-stream.height // MULTIPLE), -(-stream.width // MULTIPLE))
        if found.shape != tuple(cell * network.rows_a_cell for cell in cells) or len(found.strings) != network.strings:
            raise BadStreamError(
                f"the file holds {len(found.strings)} strings of shape {found.shape}, which is not what "
                f"{stream.width} x {stream.height} pixels ask for."
            )
        with one_thread():
            network.set_step(_step(stream.k))
            made = network.decompress(found.strings, found.shape)
        if made.crc != stream.latents_crc:
            raise BadStreamError("the latents are not those that were encoded: the file, or its weights, are damaged.")
        return restored(made.image[..., : stream.height, : stream.width].numpy(), stream)

    def estimated_bits(self, image: Image, setting: Setting) -> float:
        """Return the information in latents and hyper-latents under the network's own laws, in bits.

        For the autoregressive ones it is rough: CompressAI's estimate rounds their context otherwise than its coder.
        """
        network, tensor = self._at(int(setting), image)
        with one_thread():
            return network.bits(tensor)

    def missing(self) -> str | None:
        """Return None when published weights reach the ratio and are here, else what to do."""
        bpp = self.checkpoint.bpp
        if self._ratio is not None and self._ratio < 24 / bpp:
            higher = self._quality < len(self.published)
            advice = "Ask for a higher quality." if higher else "No higher quality is published."
            return (
                f"the published weights of {self.name} at quality {self._quality} end at {bpp:.2f} bits per pixel "
                f"of 24 ({24 / bpp:.1f}x), above {self._ratio:g}x. {advice}"
            )
        try:
            self._path(self.checkpoint)
        except DataError as error:
            return str(error)
        return None

    def training_fingerprints(self) -> Sequence[str] | None:
        """Return None: nobody published what they were trained on."""
        return None

    def provenance(self) -> Mapping[str, Any]:
        """Return the published file's name and sha256, and what else decides the bytes."""
        made = {"stream": VERSION, "quality": self._quality, "published": self.checkpoint.file}
        made |= {name: version(name) for name in ("torch", "compressai")}
        try:
            path = self._path(self.checkpoint)
        except DataError:
            return {**made, "weights": None}
        return {**made, "weights": published_sha256(path)}

    def _path(self, wanted: Published) -> Path:
        """Return the converted weights, or the published file that is still to be converted.

        Raises:
            DataError: neither is here.
        """
        for name in (wanted.converted, wanted.file):
            for folder in self._folders:
                if (folder / name).is_file():
                    return folder / name
        raise DataError(
            f"the published weights {wanted.file} of {self.name} are in none of "
            f"{', '.join(str(folder) for folder in self._folders)}. "
            f"Run `harness data fetch {DATA_SET}`, or download {ROOT}/{wanted.file} into one of them."
        )

    def _named(self, weights_id: str) -> Published:
        """Return the checkpoint that a file names.

        Raises:
            BadStreamError: it is none of these, or it is not here.
        """
        for one in self.published:
            if weights_id.startswith(one.sha256_start):
                try:
                    self._path(one)
                except DataError as error:
                    raise BadStreamError(f"the file was made with weights that are not here: {error}") from error
                return one
        raise BadStreamError(f"the file was made with the weights {weights_id}: no published ones of {self.name}.")

    def _network(self, wanted: Published) -> SteppedNetwork:
        """Return the network with its weights, read once an instance."""
        if wanted.file not in self._loaded:
            from harness.codecs._compressai_network import SteppedNetwork

            weights = read_weights(self._path(wanted), wanted, weights_folder())
            self._loaded[wanted.file] = SteppedNetwork(self.network(*wanted.widths), weights)
        return self._loaded[wanted.file]

    def _at(self, k: int, image: Image) -> tuple[SteppedNetwork, Any]:
        """Return the network at a step, and the image as it takes it: (1, 3, height, width) in whole multiples."""
        import torch

        height, width, channels = image.shape
        check_size(height, width)
        if height * width > MOST_PIXELS:
            raise UnsupportedImageError(f"{self.name} takes at most {MOST_PIXELS} pixels, found {width} x {height}.")
        network = self._network(self.checkpoint)
        with one_thread():
            network.set_step(_step(k))
        planes = np.repeat(normalised(image)[0], 3 // channels, axis=2).transpose(2, 0, 1)
        return network, filled(torch.from_numpy(np.ascontiguousarray(planes))[None], MULTIPLE)


def _step(k: int) -> float:
    return float(2.0 ** (k / STEPS_PER_OCTAVE))


def _strings(payload: bytes) -> _Strings:
    """Return what stands in a payload.

    Raises:
        BadStreamError: the lengths do not add up.
    """
    strings: list[bytes] = []
    place = _SHAPE.size
    while place + _LENGTH.size <= len(payload):
        (length,) = _LENGTH.unpack_from(payload, place)
        place += _LENGTH.size
        strings.append(payload[place : place + length])
        place += length
    if place != len(payload):
        raise BadStreamError("the file's strings are damaged: their lengths do not add up.")
    height, width = _SHAPE.unpack_from(payload)
    return _Strings((height, width), strings)
