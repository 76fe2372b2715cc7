"""CompressAI's models (Begaint et al., 2020) with their published weights, trained for mean squared error.

The autoregressive ones (mbt2018, cheng2020) take seconds to minutes per image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from harness.codecs._compressai.codec import CompressAiCodec
from harness.codecs._compressai.weights import Published, networks

AUTOREGRESSIVE_SECONDS = 36.0
"""Seconds per megapixel of an autoregressive model: about 14 s to encode or decode a Kodak image (768 x 512)."""


def _published(stem: str, rates: tuple[float, ...], widths: dict[tuple[int, ...], tuple[str, ...]]) -> list[Published]:
    """Return published checkpoints by quality.

    Args:
        stem: the common start of their file names.
        rates: published bits per pixel, mean over Kodak, to four decimals, from the data set `published-compressai`
            (8bit-decoded/kodak/compressai-NAME_mse_ans_cuda.json).
        widths: arguments of the network's constructor -> the starts of the sha256 of their files, in order.
    """
    both = [(start, width) for width, starts in widths.items() for start in starts]
    return [
        Published(f"{stem}-{quality}", start, width, rate)
        for quality, ((start, width), rate) in enumerate(zip(both, rates, strict=True), 1)
    ]


class Factorized(CompressAiCodec):
    """Balle et al., "Variational image compression with a scale hyperprior", ICLR 2018: without the hyperprior."""

    name: ClassVar[str] = "bmshj2018-factorized"
    published: ClassVar[Sequence[Published]] = _published(
        "bmshj2018-factorized-prior",
        (0.1226, 0.1885, 0.2878, 0.4404, 0.6481, 0.967, 1.3512, 1.8333),
        {
            (128, 192): ("446d5c7f", "87279a02", "5c6f152b", "1ed4405a", "866ba797"),
            (192, 320): ("9b02ea3a", "6dfd6734", "5232faa3"),
        },
    )

    @staticmethod
    def network(*widths: int) -> Any:
        """Return a fresh network."""
        return networks().FactorizedPrior(*widths)


class Hyperprior(CompressAiCodec):
    """The same paper, with the hyperprior."""

    name: ClassVar[str] = "bmshj2018-hyperprior"
    published: ClassVar[Sequence[Published]] = _published(
        "bmshj2018-hyperprior",
        (0.1313, 0.2089, 0.3199, 0.4784, 0.6687, 0.9388, 1.2592, 1.6602),
        {
            (128, 192): ("7eb97409", "93677231", "6d87be32", "de1b779c", "f8b614e1"),
            (192, 320): ("1ab9c41e", "3804dcbd", "a583f0cf"),
        },
    )

    @staticmethod
    def network(*widths: int) -> Any:
        """Return a fresh network."""
        return networks().ScaleHyperprior(*widths)


class MeanHyperprior(CompressAiCodec):
    """Minnen et al., "Joint autoregressive and hierarchical priors", NeurIPS 2018: without the context model."""

    name: ClassVar[str] = "mbt2018-mean"
    published: ClassVar[Sequence[Published]] = _published(
        "mbt2018-mean",
        (0.1239, 0.198, 0.3072, 0.4606, 0.6617, 0.9144, 1.2342, 1.6191),
        {
            (128, 192): ("e522738d", "e54a039d", "723404a8", "6dba02a3"),
            (192, 320): ("d504e8eb", "a19628ab", "d5d441d1", "8089ae3e"),
        },
    )

    @staticmethod
    def network(*widths: int) -> Any:
        """Return a fresh network."""
        return networks().MeanScaleHyperprior(*widths)


class Autoregressive(CompressAiCodec):
    """The same paper, with the context model."""

    name: ClassVar[str] = "mbt2018"
    seconds_per_megapixel: ClassVar[float] = AUTOREGRESSIVE_SECONDS
    published: ClassVar[Sequence[Published]] = _published(
        "mbt2018",
        (0.1105, 0.187, 0.2877, 0.4323, 0.6388, 0.8853, 1.2004, 1.5873),
        {
            (192, 192): ("3f36cd77", "43b70cdd", "22901978", "456e2af9"),
            (192, 320): ("b4a046dd", "7052e5ea", "8ba2bf82", "dd0097aa"),
        },
    )

    @staticmethod
    def network(*widths: int) -> Any:
        """Return a fresh network."""
        return networks().JointAutoregressiveHierarchicalPriors(*widths)


class Cheng2020Anchor(CompressAiCodec):
    """Cheng et al., "Learned image compression with discretized Gaussian mixtures", CVPR 2020: single Gaussians."""

    name: ClassVar[str] = "cheng2020-anchor"
    seconds_per_megapixel: ClassVar[float] = AUTOREGRESSIVE_SECONDS
    published: ClassVar[Sequence[Published]] = _published(
        "cheng2020-anchor",
        (0.1196, 0.1838, 0.271, 0.4174, 0.5945, 0.8057),
        {(128,): ("dad2ebff", "a29008eb", "e49be189"), (192,): ("98b0b468", "23852949", "4c052b1a")},
    )

    @staticmethod
    def network(*widths: int) -> Any:
        """Return a fresh network."""
        return networks().Cheng2020Anchor(*widths)


class Cheng2020Attention(CompressAiCodec):
    """The same, with attention."""

    name: ClassVar[str] = "cheng2020-attn"
    seconds_per_megapixel: ClassVar[float] = AUTOREGRESSIVE_SECONDS
    published: ClassVar[Sequence[Published]] = _published(
        "cheng2020_attn-mse",
        (0.1156, 0.1745, 0.269, 0.427, 0.5953, 0.8059),
        {(128,): ("465f2b64", "e0805385", "2d07bbdf"), (192,): ("f7b0ccf2", "26c8920e", "730501f2")},
    )

    @staticmethod
    def network(*widths: int) -> Any:
        """Return a fresh network."""
        return networks().Cheng2020Attention(*widths)
