"""Untrained tiny networks saved as weights: real codecs that cost milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from harness.learned.checkpoint import save
from harness.learned.shape import Shape
from harness.models.attention import Attention
from harness.models.baseline import Baseline
from harness.models.network_codec import NetworkCodec
from harness.models.residual import Residual
from harness.models.resnet import ResNet

ARCHITECTURES: dict[str, type[NetworkCodec]] = {
    "baseline": Baseline,
    "resnet": ResNet,
    "residual": Residual,
    "attention": Attention,
}

_TRAINED = """
[suites.{suite}]
description = "PSNR alone"
data = "demo"
metrics = ["psnr"]

[codecs.tiny-baseline]
codec = "baseline"
recipe = "tiny"

[recipes.tiny]
loss = "rate"
steps = {steps}
entropy_steps = {steps}
validate_every = {validate_every}
batch = {batch}
crop = 64
validation_images = 1
schedule = "cosine"
first_step = {{ 16 = 12 }}

[recipes.tiny.shapes.baseline]
image_channels = 3
base_channels = 24
latent_channels = 192
stages = 3
activation = "gdn"
final = "none"
start = "lapped"
margin = 1
"""


def tiny_training(suite: str, steps: int, validate_every: int, batch: int) -> str:
    """A configuration: a suite of PSNR alone, and `tiny-baseline`, trained for so many steps in each phase."""
    return _TRAINED.format(suite=suite, steps=steps, validate_every=validate_every, batch=batch)


def tiny_shape(colours: Literal[1, 3], lapped: bool = False) -> Shape:
    """A shape of few channels; `lapped`: a baseline that is a good coder without training."""
    if lapped:
        return Shape(
            image_channels=colours,
            base_channels=8 * colours,
            latent_channels=64 * colours,
            stages=3,
            activation="gdn",
            final="none",
            start="lapped",
            margin=1,
        )
    return Shape(image_channels=colours, base_channels=8, latent_channels=6, stages=2, final="none")


def tiny_weights(
    folder: Path, architecture: str, shape: Shape, ratio: float = 16, seed: int = 0, *, tiles: Sequence[str] = ()
) -> Path:
    """Write weights of an untrained network, with a step of 8 gray levels where it is lapped.

    `tiles`: the fingerprints of what it is said to be trained on.
    """
    import math

    import torch

    from harness.models._autoencoder import Autoencoder
    from harness.models._inference import packed
    from harness.models.entropy.training import ContextModel

    torch.manual_seed(seed)
    autoencoder = Autoencoder(shape, ARCHITECTURES[architecture].networks(shape))
    autoencoder.gain.data.fill_(math.log(255 / 8) if shape.start == "lapped" else 2.0)
    context = ContextModel(shape.latent_channels, levels=2)
    context.means.data.normal_(0, 0.02)
    card: dict[str, Any] = {
        "architecture": architecture,
        "recipe_name": "rate",
        "ratio": ratio,
        "shape": shape,
        "recipe": {},
        "data": [],
        "validation": [],
        "seed": seed,
        "steps": 0,
        "hours": 0.0,
        "hardware": "none",
        "software": {},
        "curve": [],
        "validated": {},
    }
    return save(packed(autoencoder, context.entropy_model()), folder, card, tiles)
