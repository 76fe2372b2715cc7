"""Kernels in 16 bits, and networks of few channels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.learned.checkpoint import cards, load, save, shipped_folder
from harness.training.crops import TrainingImage
from tests.support.images import make_image
from tests.support.tiny_model import ARCHITECTURES, tiny_shape, tiny_weights

STEP = """
import torch
from harness.models._autoencoder import Autoencoder
from tests.support.tiny_model import ARCHITECTURES
from harness.learned.shape import Shape
torch.set_num_threads(1)
shape = Shape(
    image_channels=3, base_channels={base}, latent_channels=192, stages=3, final="none", start="lapped", margin=1
)
autoencoder = Autoencoder(shape, ARCHITECTURES["{architecture}"].networks(shape))
images = torch.rand(2, 3, 64, 64)
for _ in range(3):
    torch.autograd.backward((autoencoder.images(autoencoder.latents(images)) - images).square().mean())
print("done")
"""


@pytest.mark.parametrize("base", [8, 12])
@pytest.mark.parametrize("architecture", ["resnet", "residual", "attention"])
def test_networks_of_few_channels_can_be_trained(architecture: str, base: int) -> None:
    program = STEP.format(architecture=architecture, base=base)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


def test_what_16_bits_hold_exactly_is_kept_in_16_bits(tmp_path: Path) -> None:
    path = tiny_weights(tmp_path, "baseline", tiny_shape(3))
    (card, _) = next(cards([tmp_path]))
    said = card.model_dump(exclude={"sha256", "fingerprints"})
    arrays: dict[str, Any] = {
        "kernel": np.array([0.5, -2.0], np.float32),
        "odd": np.array([0.1], np.float32),
        "large": np.array([1e6], np.float32),
        "law": np.array([-32768, 32767], np.int64),
        "base": np.array([32768], np.int64),
    }
    kept = save(arrays, tmp_path / "kept", said, ["0" * 30])
    dtypes = {line.split('"')[0] for line in kept.read_bytes()[8:700].decode("latin-1").split('"dtype":"')[1:]}
    assert dtypes == {"F16", "F32", "I16", "I64"}
    again = load(next(cards([kept.parent]))[0], kept)
    assert {name: array.dtype.name for name, array in again.items()} == {
        name: array.dtype.name for name, array in arrays.items()
    }
    assert all(np.array_equal(again[name], array) for name, array in arrays.items())
    assert path.is_file()


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_kernels_are_rounded_to_16_bits_where_those_hold_them(scale: float) -> None:
    import torch

    from harness.learned.weights import Choices
    from harness.training.export import psnr_at_one, round_to_fp16

    trainable = ARCHITECTURES["baseline"].trainable(tiny_shape(3, lapped=True), Choices("rate", "noise", 2))
    image = make_image("photograph", (64, 80), "rgb8")
    trainable.prepare(torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 255), 4)
    first, *others = (one for one in trainable.groups().networks if one.ndim == 4)
    with torch.no_grad():
        first.mul_(scale)
    whole = first.clone()
    images = [TrainingImage("one", "one", image, True, 8)]
    before = psnr_at_one(trainable.frozen(), images)
    round_to_fp16(trainable, images)
    assert torch.equal(first, first.half().float() if scale == 1 else whole)
    assert all(torch.equal(kernel, kernel.half().float()) for kernel in others)
    assert psnr_at_one(trainable.frozen(), images) == pytest.approx(before, abs=0.05)


def test_of_many_kernels_those_stay_whole_whose_rounding_costs() -> None:
    from harness.training.export import round_kernels_to_fp16

    kernels = [np.full((2, 2), 1 + 1e-5, np.float32) for _ in range(9)]

    def psnr() -> float:
        return 40.0 if kernels[3][0, 0] > 1 else 39.0

    round_kernels_to_fp16(kernels, psnr, 0.05)
    assert [float(kernel[0, 0]) == 1 for kernel in kernels] == [number != 3 for number in range(9)]


def test_shipped_weights_stay_within_60_megabytes() -> None:
    assert sum(path.stat().st_size for path in shipped_folder().iterdir()) < 60e6
