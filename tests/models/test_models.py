"""The architectures, and what their codecs do with any image."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from safetensors.numpy import load_file

from harness.config.registry import CodecSpec, build, find
from harness.data import contamination
from harness.errors import BadStreamError, ConfigError, DataError, UnsupportedImageError
from harness.interface import Image, LearnedCodec
from harness.learned.bitstream import MOST_PIXELS, Stream
from harness.learned.shape import Shape
from harness.models.entropy.model import EntropyModel
from harness.models.network_codec import NetworkCodec
from tests.support import other_process as child
from tests.support.images import make_image, packaged_photograph, psnr
from tests.support.tiny_model import ARCHITECTURES, tiny_shape, tiny_weights

# The study's published parameter counts, gray, for 64, 32, 21 and 16 latent channels.
PUBLISHED = {
    "baseline": (2_872_257, 2_462_625, 2_321_814, 2_257_809),
    "resnet": (22_922_241, 22_566_721, 22_448_768, 22_395_873),
    "residual": (24_210_561, 23_947_201, 23_869_442, 23_836_257),
    "attention": (24_384_289, 24_120_161, 24_042_230, 24_009_025),
}
COUNTS = [
    (name, Shape(latent_channels=latents), count)
    for name, counts in PUBLISHED.items()
    for latents, count in zip((64, 32, 21, 16), counts, strict=True)
] + [
    ("resnet", Shape(base_channels=32), 5_648_033),
    ("residual", Shape(base_channels=32), 5_992_673),
    ("attention", Shape(base_channels=48), 13_529_761),
]
KINDS = ("rgb8", "gray8", "gray16")
SIZES = ((1, 1), (1, 9), (17, 33), (40, 64))


def parameter_count(architecture: str, shape: Shape) -> int:
    return sum(one.numel() for part in ARCHITECTURES[architecture].networks(shape) for one in part.parameters())


@pytest.mark.parametrize(("architecture", "shape", "count"), COUNTS)
def test_the_networks_have_the_study_s_number_of_parameters(architecture: str, shape: Shape, count: int) -> None:
    assert parameter_count(architecture, shape) == count


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_colour_network_differs_in_its_first_and_last_layer_alone(architecture: str) -> None:
    gray, colour = (Shape(image_channels=channels, base_channels=8) for channels in (1, 3))
    side = 5 if architecture == "baseline" else 7
    assert parameter_count(architecture, colour) - parameter_count(architecture, gray) == 2 * 2 * 8 * side * side + 2


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_latents_are_smaller_by_the_factor_and_images_come_back_at_their_size(architecture: str) -> None:
    import torch

    made = ARCHITECTURES[architecture].networks(Shape(base_channels=8, latent_channels=5))
    latents = made.analysis.eval()(torch.zeros(2, 1, 48, 32))
    assert latents.shape == (2, 5, 3, 2)
    assert made.synthesis.eval()(latents).shape == (2, 1, 48, 32)


def test_resnet_s_latents_are_never_negative() -> None:
    import torch

    analysis = ARCHITECTURES["resnet"].networks(Shape(base_channels=8)).analysis.eval()
    assert analysis(torch.rand(1, 1, 64, 64)).min() >= 0


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (24, 40)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_lapped_start_is_exact_before_any_training(
    architecture: str, colours: Literal[1, 3], size: tuple[int, int]
) -> None:
    import torch

    from harness.models._autoencoder import Autoencoder

    shape = tiny_shape(colours, lapped=True)
    autoencoder = Autoencoder(shape, ARCHITECTURES[architecture].networks(shape)).eval()
    images = torch.rand(1, colours, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert (autoencoder.images(autoencoder.latents(images)) - images).abs().max() < 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_lapped_start_says_which_channels_it_needs(architecture: str) -> None:
    shape = tiny_shape(3, lapped=True).model_copy(update={"latent_channels": 100})
    with pytest.raises(ConfigError, match=r"exactly 192 latent channels, found .*100"):
        ARCHITECTURES[architecture].networks(shape)


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "baseline"])
def test_beside_a_lapped_start_the_network_learns_from_the_first_step(architecture: str) -> None:
    import torch

    from harness.models._autoencoder import Autoencoder

    shape = tiny_shape(3, lapped=True)
    autoencoder = Autoencoder(shape, ARCHITECTURES[architecture].networks(shape))
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    torch.autograd.backward((autoencoder.images(torch.round(autoencoder.latents(images))) - images).square().sum())
    assert autoencoder.synthesis.scale.grad.abs().max() > 0


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny weights: every architecture for colour at 16x, a good coder at 8x, a gray one at 4x."""
    folder = tmp_path_factory.mktemp("weights")
    for architecture in ARCHITECTURES:
        tiny_weights(folder, architecture, tiny_shape(3))
    tiny_weights(folder, "baseline", tiny_shape(3, lapped=True), ratio=8)
    tiny_weights(folder, "baseline", tiny_shape(1, lapped=True), ratio=4)
    return folder


def spec(folder: Path, architecture: str, ratio: float = 16) -> CodecSpec:
    return find(architecture, {"weights": str(folder), "ratio": ratio})


def codec(folder: Path, architecture: str = "baseline", ratio: float = 16) -> NetworkCodec:
    return ARCHITECTURES[architecture](weights=str(folder), ratio=ratio)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_another_process_decodes_any_size_and_kind(
    architecture: str, kind: str, size: tuple[int, int], weights: Path, other_process: Callable[..., Any]
) -> None:
    image = make_image("noise", size, kind)
    one = codec(weights, architecture)
    data = one.encode(image, 0)
    decoded = other_process(child.decode, spec(weights, architecture), data)
    assert (decoded.shape, decoded.dtype) == (image.shape, image.dtype)
    assert np.array_equal(decoded, one.decode(data))


@pytest.mark.parametrize(("ratio", "kind"), [(8, "rgb8"), (8, "gray8"), (4, "gray8"), (4, "gray16"), (4, "rgb8")])
def test_fine_steps_come_close_to_the_image(ratio: float, kind: str, weights: Path) -> None:
    image = make_image("photograph", (61, 83), kind)
    one = codec(weights, ratio=ratio)
    assert psnr(image, one.decode(one.encode(image, one.ladder[-1]))) > 52


@pytest.mark.parametrize("ratio", [4, 8, 16])
def test_the_ladder_goes_from_small_files_to_large_ones(ratio: float, weights: Path) -> None:
    image = make_image("photograph", (64, 80), "rgb8")
    one = codec(weights, ratio=ratio)
    sizes = [len(one.encode(image, one.ladder[place])) for place in range(0, len(one.ladder), 40)]
    assert sizes == sorted(sizes)
    assert 0 in one.ladder


@pytest.mark.parametrize("k", [-40, 0, 40])
def test_a_file_is_within_two_percent_of_the_model_s_own_estimate(k: int, weights: Path) -> None:
    image = packaged_photograph()
    one = codec(weights, ratio=8)
    assert len(one.encode(image, k)) * 8 == pytest.approx(one.estimated_bits(image, k), rel=0.02)


@pytest.mark.parametrize("recipe", ["rate", "context"])
@pytest.mark.parametrize("ratio", [4, 16])
def test_sizes_are_predicted_for_every_setting_and_come_near(ratio: float, recipe: str) -> None:
    one = build(find("baseline", {"ratio": ratio, "recipe": recipe}))
    assert isinstance(one, LearnedCodec)
    image = packaged_photograph()
    predicted = one.predicted_sizes(image)
    assert predicted is not None
    assert len(predicted) == len(one.ladder)
    assert predicted == sorted(predicted)
    places = [one.ladder.index(k) for k in (-10, 20, 50)]
    sizes = [len(one.encode(image, one.ladder[place])) for place in places]
    assert [predicted[place] for place in places] == pytest.approx(sizes, rel=0.1)


def test_one_analysis_serves_a_search_and_gives_the_same_bytes_as_none(weights: Path) -> None:
    image = make_image("photograph", (64, 80), "rgb8")
    searching = codec(weights, ratio=8)
    for setting in (30, 20, 25):
        assert searching.encode(image, setting) == codec(weights, ratio=8).encode(image, setting)


def test_an_image_of_other_shape_with_the_same_samples_is_another_image(weights: Path) -> None:
    image = make_image("noise", (16, 24), "gray8")
    turned: Image = image.reshape(24, 16, 1)
    one = codec(weights)
    one.encode(image, 4)
    assert one.encode(turned, 0) == codec(weights).encode(turned, 0)


def test_any_ratio_s_codec_decodes_a_file_by_the_weights_that_it_names(weights: Path) -> None:
    image = make_image("photograph", (32, 48), "rgb8")
    data = codec(weights, ratio=8).encode(image, 0)
    assert np.array_equal(codec(weights, ratio=16).decode(data), codec(weights, ratio=8).decode(data))


def test_a_file_of_other_weights_is_refused_by_their_id(weights: Path, tmp_path: Path) -> None:
    path = tiny_weights(tmp_path, "baseline", tiny_shape(3), seed=7)
    data = codec(tmp_path).encode(make_image("noise", (16, 16), "rgb8"), 0)
    with pytest.raises(BadStreamError, match=path.stem):
        codec(weights).decode(data)


def test_a_file_of_another_architecture_is_refused(weights: Path) -> None:
    data = codec(weights, "resnet").encode(make_image("noise", (16, 16), "rgb8"), 0)
    with pytest.raises(BadStreamError, match="learned codec baseline"):
        codec(weights).decode(data)


@pytest.mark.parametrize("size", [(1, MOST_PIXELS + 1), (4096, 4097), (1, 500_000), (500_000, 1)])
def test_an_image_that_needs_too_much_memory_is_refused(size: tuple[int, int], weights: Path) -> None:
    image: Image = np.zeros((*size, 1), np.uint8)
    with pytest.raises(UnsupportedImageError, match=f"{MOST_PIXELS} pixels are accepted, and 20971520 with sides"):
        codec(weights).encode(image, 0)


@pytest.mark.parametrize("size", [(1, 500_000), (500_000, 1), (4096, 4097), (1, 0)])
def test_a_file_that_asks_for_too_much_memory_is_refused(size: tuple[int, int]) -> None:
    height, width = size
    data = Stream("baseline", "gray8", 16 * "0", height, width, 0, 0, 255, 0, b"").to_bytes()
    with pytest.raises(BadStreamError, match=f"asks for {width} x {height} pixels"):
        Stream.from_bytes(data, "baseline")


@pytest.mark.parametrize("k", [-(2**15), -161, 257, 2**15 - 1])
def test_a_file_of_a_setting_beyond_the_ladder_is_refused(k: int, weights: Path) -> None:
    data = codec(weights).encode(make_image("noise", (16, 16), "rgb8"), 0)
    with pytest.raises(BadStreamError, match=f"setting {k}; settings are -160 to 256"):
        codec(weights).decode(replace(Stream.from_bytes(data, "baseline"), k=k).to_bytes())


@pytest.mark.parametrize("kind", ["rgb8", "gray8"])
def test_a_file_of_samples_beyond_its_kind_is_refused(kind: str, weights: Path) -> None:
    data = codec(weights).encode(make_image("noise", (16, 16), kind), 0)
    with pytest.raises(BadStreamError, match=f"samples of up to 65535; {kind} ends at 255"):
        codec(weights).decode(replace(Stream.from_bytes(data, "baseline"), high=65_535).to_bytes())


@pytest.mark.parametrize("size", [(4096, 4096), (1, 400_000), (65_536, 256)])
def test_a_file_of_the_greatest_sizes_is_read(size: tuple[int, int]) -> None:
    data = Stream("baseline", "gray8", 16 * "0", *size, 0, 0, 255, 0, b"").to_bytes()
    assert (Stream.from_bytes(data, "baseline").height, Stream.from_bytes(data, "baseline").width) == size


@pytest.mark.parametrize("architecture", ["baseline", "residual"])
def test_a_large_image_is_coded_in_strips_without_a_seam(architecture: str, tmp_path: Path) -> None:
    shape = tiny_shape(1, lapped=True) if architecture == "baseline" else tiny_shape(1)
    tiny_weights(tmp_path, architecture, shape)
    image: Image = np.tile(make_image("photograph", (96, 128), "gray8"), (48, 6, 1)).astype(np.uint8)
    one = codec(tmp_path, architecture)
    decoded = one.decode(one.encode(image, -64)).astype(int)
    rows = np.abs(decoded - image).mean((1, 2))
    assert rows.max() < (1.0 if architecture == "baseline" else 255)
    middle = slice(96, -96)
    assert rows[middle].reshape(-1, 96).std(0).max() < 0.05


def test_without_weights_the_codec_says_how_to_train_them(tmp_path: Path) -> None:
    one = codec(tmp_path, "attention", 5)
    reason = one.missing()
    assert reason is not None
    assert "harness train --models attention --ratios 5" in reason
    assert str(tmp_path) in reason
    assert one.training_fingerprints() is None
    assert one.provenance()["weights"] is None
    with pytest.raises(DataError, match="no weights of attention"):
        one.encode(make_image("flat", (8, 8), "rgb8"), 0)


@pytest.mark.parametrize("sample", [0, 700, 65_535])
def test_a_flat_image_of_16_bits_comes_back_within_one_level(sample: int, tmp_path: Path) -> None:
    tiny_weights(tmp_path, "baseline", tiny_shape(1))
    image = np.full((16, 24, 1), sample, np.uint16)
    assert np.abs(codec(tmp_path).decode(codec(tmp_path).encode(image, 0)).astype(int) - sample).max() <= 1


def test_an_entropy_model_of_unknown_families_is_refused(tmp_path: Path) -> None:
    arrays = load_file(tiny_weights(tmp_path, "baseline", tiny_shape(3)))
    entropy_model = {name.removeprefix("law."): array for name, array in arrays.items() if name.startswith("law.")}
    with pytest.raises(ValueError, match="family of distributions beyond"):
        EntropyModel.from_arrays({**entropy_model, "families": entropy_model["families"] + 2})


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = tiny_weights(tmp_path, "baseline", tiny_shape(3))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DataError, match="sha256"):
        codec(tmp_path).encode(make_image("flat", (8, 8), "rgb8"), 0)


STRAY = {
    "notes.json": '{"bought": "milk"}',
    "list.json": "[1, 2]",
    "0000000000000000.json": '{"sha256": "cut sh',
    "1111111111111111.json": '{"sha256": "11", "architecture": "baseline", "recipe_name": "rate", "ratio": 5.0}',
}


def test_what_else_lies_beside_weights_costs_them_nothing(tmp_path: Path) -> None:
    tiny_weights(tmp_path, "baseline", tiny_shape(3))
    for name, text in STRAY.items():
        (tmp_path / name).write_text(text)
    image = make_image("noise", (16, 16), "rgb8")
    assert codec(tmp_path).decode(codec(tmp_path).encode(image, 0)).shape == image.shape
    assert codec(tmp_path).missing() is None


def test_a_card_that_is_wanted_and_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tiny_weights(tmp_path, "baseline", tiny_shape(3)).with_suffix(".json")
    data = codec(tmp_path).encode(make_image("flat", (8, 8), "rgb8"), 0)
    path.write_text(path.read_text().replace('"seed"', '"seat"'))
    with pytest.raises(DataError, match=f"card .*{path.name} of trained weights cannot be read"):
        codec(tmp_path).encode(make_image("flat", (8, 8), "rgb8"), 0)
    with pytest.raises(DataError, match=f"card .*{path.name} of trained weights cannot be read"):
        codec(tmp_path).decode(data)


def test_of_two_weights_for_one_ratio_the_first_by_name_encodes(tmp_path: Path) -> None:
    paths = [tiny_weights(tmp_path, "baseline", tiny_shape(3), seed=seed) for seed in (1, 2, 3)]
    assert codec(tmp_path).provenance()["weights"][:16] == min(path.stem for path in paths)


def test_fingerprints_of_another_version_say_nothing(tmp_path: Path) -> None:
    tiles = ["0123456789abcdef" + "00000000000000"]
    path = tiny_weights(tmp_path, "baseline", tiny_shape(3), tiles=tiles)
    assert codec(tmp_path).training_fingerprints() == tiles
    (beside,) = path.parent.glob("*.fingerprints")
    first, *rest = gzip.decompress(beside.read_bytes()).splitlines(keepends=True)
    assert first.decode() == f"version={contamination.VERSION}\n"
    for other in (b"version=1\n", b""):
        beside.write_bytes(gzip.compress(b"".join([other, *rest])))
        assert codec(tmp_path).training_fingerprints() is None


def test_provenance_names_the_weights_by_their_sha256(weights: Path) -> None:
    named = codec(weights, ratio=8).provenance()
    assert len(named["weights"]) == 64
    assert (weights / f"{named['weights'][:16]}.safetensors").is_file()


def test_building_a_codec_and_asking_for_its_weights_imports_no_torch(weights: Path) -> None:
    program = (
        "import sys; from harness.models.resnet import ResNet; "
        f"one = ResNet(weights={str(weights)!r}); one.provenance(); one.training_fingerprints(); one.ladder; "
        "assert one.missing() is None; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
