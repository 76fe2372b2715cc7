"""Statistics: intervals against scipy and by simulation; BD-rate against its package and published tables."""

from __future__ import annotations

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.analysis.bd_rate import (
    METHODS,
    MIN_OVERLAP,
    MIN_POINTS,
    Curve,
    bd_quality,
    bd_quality_over_images,
    bd_rate,
    bd_rate_over_images,
)
from harness.analysis.bootstrap import (
    MIN_IMAGES_FOR_INTERVAL,
    bootstrap_mean,
    paired_difference,
    rank_stability,
    similarity_db,
)
from harness.errors import UsageError

# The example of the bjontegaard package's README (HEVC test sequence; kbit/s and dB).
EXAMPLE_ANCHOR = Curve((9487.76, 4593.60, 2486.44, 1358.24), (40.037, 38.615, 36.845, 34.851))
EXAMPLE_TEST = Curve((9787.80, 4469.00, 2451.52, 1356.24), (40.121, 38.651, 36.970, 34.987))


def skewed(count: int, seed: int) -> NDArray[np.float64]:
    """Return values with a long right tail, of mean 2."""
    return np.random.default_rng(seed).gamma(2.0, 1.0, count)


# --- intervals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [10, 24, 200])
def test_an_interval_is_that_of_scipys_bca_bootstrap(count: int) -> None:
    values = skewed(count, count)
    scipy_stats: Any = importlib.import_module("scipy.stats")
    found = scipy_stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    mine = bootstrap_mean(values, seed=2, resamples=20_000)
    assert mine.method == "BCa"
    assert mine.low is not None
    assert mine.high is not None
    width = found.high - found.low
    assert mine.low == pytest.approx(found.low, abs=0.03 * width)
    assert mine.high == pytest.approx(found.high, abs=0.03 * width)
    assert mine.mean == pytest.approx(values.mean())


def test_nineteen_in_twenty_intervals_hold_the_true_mean() -> None:
    intervals = [bootstrap_mean(skewed(24, seed), seed=0) for seed in range(600)]
    held = np.mean([i.low is not None and i.high is not None and i.low <= 2 <= i.high for i in intervals])
    assert 0.91 <= held <= 0.97


def test_the_same_seed_gives_the_same_interval_and_another_seed_a_near_one() -> None:
    values = skewed(24, 5)
    first = bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) == first
    other = bootstrap_mean(values, seed=2)
    assert other != first
    assert other.low == pytest.approx(first.low, abs=0.05)


@pytest.mark.parametrize("count", range(1, MIN_IMAGES_FOR_INTERVAL))
def test_fewer_than_ten_images_have_a_mean_and_no_interval(count: int) -> None:
    found = bootstrap_mean(skewed(count, 1), seed=0)
    assert (found.low, found.high, found.method, found.n) == (None, None, "none", count)


def test_equal_values_fall_back_to_percentiles_and_say_so() -> None:
    found = bootstrap_mean([0.1] * 12, seed=0)
    assert found.method == "percentile"
    assert [found.low, found.high] == pytest.approx([0.1, 0.1], abs=1e-15)


@given(st.lists(st.floats(-1e6, 1e6), min_size=10, max_size=40), st.floats(-100, 100), st.floats(0.01, 100))
@settings(max_examples=50, deadline=None)
def test_an_interval_moves_and_stretches_with_its_values(values: list[float], shift: float, scale: float) -> None:
    plain = bootstrap_mean(values, seed=3, resamples=500)
    moved = bootstrap_mean(scale * np.array(values) + shift, seed=3, resamples=500)
    tolerance = 1e-6 * scale * (1 + max(abs(value) for value in values)) + 1e-9 * abs(shift)
    if plain.method != moved.method:
        return  # a spread that the shift rounds away
    for end, there in ((plain.low, moved.low), (plain.high, moved.high)):
        assert end is not None
        assert there == pytest.approx(scale * end + shift, abs=tolerance)


@given(st.lists(st.floats(-1e3, 1e3), min_size=10, max_size=60))
@settings(max_examples=50, deadline=None)
def test_an_interval_lies_within_its_values(values: list[float]) -> None:
    found = bootstrap_mean(values, seed=0, resamples=500)
    assert found.low is not None
    assert found.high is not None
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_a_wider_confidence_gives_a_wider_interval() -> None:
    values = skewed(30, 1)
    narrow, wide = (bootstrap_mean(values, 0, confidence) for confidence in (0.5, 0.99))
    assert wide.low is not None
    assert narrow.low is not None
    assert wide.low < narrow.low


@pytest.mark.parametrize("values", [[], [1.0, math.inf], [math.nan] * 20], ids=["none", "infinite", "nan"])
def test_values_that_have_no_mean_are_refused(values: list[float]) -> None:
    with pytest.raises(UsageError, match="finite values"):
        bootstrap_mean(values, seed=0)


def test_twenty_thousand_images_take_bounded_memory() -> None:
    found = bootstrap_mean(skewed(20_000, 1), seed=0)
    assert found.resamples == 1000
    assert found.low == pytest.approx(2, abs=0.05)


# --- paired differences ------------------------------------------------------------------------------------------


def test_a_small_steady_difference_is_significant_though_the_images_vary_much_more() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(35, 5, 24)
    found = paired_difference(hard + rng.normal(0.3, 0.1, 24), hard, seed=0)
    assert found.significant
    assert found.in_words("dB").startswith("higher by 0.325 dB (95 % interval 0.2")
    assert found.in_words("dB").endswith(", n = 24)")


def test_no_difference_is_called_not_significant_in_words() -> None:
    rng = np.random.default_rng(1)
    found = paired_difference(rng.normal(35, 1, 24), rng.normal(35, 1, 24), seed=0)
    assert not found.significant
    assert found.in_words("dB").startswith("not significant: mean difference")


def test_few_images_are_said_to_have_no_interval() -> None:
    found = paired_difference([3.0, 4.0], [1.0, 1.0], seed=0)
    assert not found.significant
    assert found.in_words() == "mean difference +2.5, no interval (n = 2, at least 10 are needed)"


def test_wins_losses_and_ties_are_counted_per_image() -> None:
    found = paired_difference([1.0, 2.0, 3.0, 4.0], [0.0, 2.0, 5.0, 3.0], seed=0)
    assert (found.wins, found.losses, found.ties, found.n) == (2, 1, 1, 4)


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=10, max_size=30))
@settings(max_examples=30, deadline=None)
def test_swapping_the_codecs_mirrors_wins_and_mean(pairs: list[tuple[float, float]]) -> None:
    a, b = zip(*pairs, strict=True)
    forth, back = paired_difference(a, b, 0), paired_difference(b, a, 0)
    assert (forth.wins, forth.losses, forth.ties) == (back.losses, back.wins, back.ties)
    assert forth.mean == pytest.approx(-back.mean, abs=1e-12)


def test_pairs_of_different_length_are_refused() -> None:
    with pytest.raises(UsageError, match="same images"):
        paired_difference([1.0, 2.0], [1.0], seed=0)


# --- ranks -------------------------------------------------------------------------------------------------------


def test_a_clear_order_of_codecs_is_certain() -> None:
    table = np.random.default_rng(0).normal(0, 0.1, (24, 3)) + np.array([30.0, 32.0, 31.0])
    assert rank_stability(table, seed=0).probability.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_two_codecs_that_differ_by_chance_alone_change_places() -> None:
    table = np.random.default_rng(2).normal(30, 1, (24, 2))
    probability = rank_stability(table, seed=0).probability
    assert 0.05 < probability[0, 0] < 0.95


def test_equal_codecs_share_their_ranks() -> None:
    values = np.random.default_rng(3).normal(30, 1, 24)
    probability = rank_stability(np.stack([values, values, values - 5], axis=1), seed=0).probability
    assert probability.tolist() == [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]


@given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_every_codec_has_a_rank_and_every_rank_a_codec(images: int, codecs: int, seed: int) -> None:
    table = np.random.default_rng(seed).integers(0, 3, (images, codecs))
    probability = rank_stability(table, seed, resamples=200).probability
    assert probability.sum(axis=0) == pytest.approx(np.ones(codecs))
    assert probability.sum(axis=1) == pytest.approx(np.ones(codecs))


# --- decibels ----------------------------------------------------------------------------------------------------


def test_identical_images_are_infinitely_many_db_apart_from_any_loss() -> None:
    assert similarity_db(1.0) == math.inf


# --- BD-rate -----------------------------------------------------------------------------------------------------

PUBLISHED = {"cubic": -4.4205, "pchip": -4.4175, "akima": -4.4253}


@pytest.mark.parametrize("method", METHODS)
def test_bd_rate_of_the_packages_own_example(method: str) -> None:
    assert bd_rate(EXAMPLE_ANCHOR, EXAMPLE_TEST).by_method[method] == pytest.approx(PUBLISHED[method], abs=1e-4)


def oracle(name: str, anchor: Curve, test: Curve, method: str) -> float:
    """Return the bjontegaard package's value."""
    package: Any = importlib.import_module("bjontegaard")
    points = (*(np.array(axis) for curve in (anchor, test) for axis in (curve.rates, curve.qualities)),)
    return float(getattr(package, name)(*points, method=method, require_matching_points=False, min_overlap=0))


def random_curve(seed: int, count: int = 7) -> Curve:
    """Return a rising, saturating curve with uneven steps."""
    rng = np.random.default_rng(seed)
    rates = np.cumsum(rng.uniform(0.05, 0.6, count)) + 0.05
    return Curve.of(rates, 30 + 6 * np.log2(rates * rng.uniform(0.8, 1.3)) + np.cumsum(rng.uniform(0, 0.3, count)))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("method", METHODS)
def test_bd_rate_and_bd_psnr_are_those_of_the_bjontegaard_package(seed: int, method: str) -> None:
    anchor, test = random_curve(seed), random_curve(seed + 100, 9)
    assert bd_rate(anchor, test).by_method[method] == pytest.approx(oracle("bd_rate", anchor, test, method), rel=1e-6)
    mine = bd_quality(anchor, test).by_method[method]
    assert mine == pytest.approx(oracle("bd_psnr", anchor, test, method), rel=1e-6)


def published(name: str) -> Curve:
    """Read one of the published Kodak tables (bits per pixel, PSNR over RGB in dB)."""
    folder = os.environ.get("HARNESS_DATA")
    path = Path(folder or "") / "published" / name
    if not folder or not path.is_file():
        pytest.skip(f"published/{name} is not under HARNESS_DATA ({folder or 'not set'})")
    if path.suffix == ".txt":
        return Curve.of(*np.loadtxt(path, delimiter=",").T)
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    return Curve.of(results["bpp"], results.get("psnr-rgb") or results["psnr"])


TABLES = {
    "Google": (
        "tensorflow-compression/kodak/PSNR_sRGB_RGB/balle-2018-iclr-opt-mse.txt",
        "tensorflow-compression/kodak/PSNR_sRGB_RGB/minnen-2018-neurips-opt-mse.txt",
    ),
    "CompressAI": ("compressai/kodak/paper-bmshj2018-hyperprior.json", "compressai/kodak/paper-mbt2018.json"),
}


@pytest.mark.parametrize("tables", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize(("method", "expected"), [("cubic", -15.73), ("pchip", -15.53), ("akima", -15.53)])
def test_minnen_2018_needs_that_much_less_than_the_hyperprior(
    tables: tuple[str, str], method: str, expected: float
) -> None:
    anchor, test = (published(name) for name in tables)
    assert bd_rate(anchor, test).by_method[method] == pytest.approx(expected, abs=0.005)


factors = st.floats(0.2, 5)
seeds = st.integers(0, 10_000)


@given(seeds, factors)
@settings(max_examples=60, deadline=None)
def test_a_curve_with_f_times_the_rate_has_a_bd_rate_of_f_minus_1(seed: int, factor: float) -> None:
    curve = random_curve(seed)
    test = Curve.of(factor * np.array(curve.rates), curve.qualities)
    for value in bd_rate(curve, test).by_method.values():
        assert value == pytest.approx(100 * (factor - 1), abs=1e-7)


@given(seeds, st.floats(-2, 2))
@settings(max_examples=60, deadline=None)
def test_a_curve_some_db_higher_has_a_bd_psnr_of_as_many_db(seed: int, shift: float) -> None:
    curve = random_curve(seed)
    test = Curve.of(curve.rates, np.array(curve.qualities) + shift)
    for value in bd_quality(curve, test).by_method.values():
        assert value == pytest.approx(shift, abs=1e-9)


@given(seeds, seeds)
@settings(max_examples=60, deadline=None)
def test_swapping_the_curves_inverts_the_delta(first: int, second: int) -> None:
    a, b = random_curve(first), random_curve(second)
    forth, back = bd_rate(a, b), bd_rate(b, a)
    assert forth.by_method.keys() == back.by_method.keys()
    for method, value in forth.by_method.items():
        assert (1 + value / 100) * (1 + back.by_method[method] / 100) == pytest.approx(1)
    vertical, returned = bd_quality(a, b), bd_quality(b, a)
    for method, value in vertical.by_method.items():
        assert value == pytest.approx(-returned.by_method[method], abs=1e-9)


@given(seeds, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_points_does_not_matter(seed: int, random: Any) -> None:
    anchor, test = random_curve(seed), random_curve(seed + 1)
    points = list(zip(test.rates, test.qualities, strict=True))
    random.shuffle(points)
    assert bd_rate(anchor, Curve.of(*np.array(points).T)) == bd_rate(anchor, test)


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_a_curve_is_no_distance_from_itself(seed: int) -> None:
    curve = random_curve(seed)
    assert set(bd_rate(curve, curve).by_method.values()) == {0.0}
    assert bd_rate(curve, curve).overlap == 1


def test_a_dominated_point_is_left_out_and_reported() -> None:
    rates, qualities = EXAMPLE_TEST.rates, EXAMPLE_TEST.qualities
    worse = Curve((*rates, 3000.0), (*qualities, 36.0))
    found = bd_rate(EXAMPLE_ANCHOR, worse)
    assert found.by_method == bd_rate(EXAMPLE_ANCHOR, EXAMPLE_TEST).by_method
    assert found.notes == ("test: the point at rate 3000 and quality 36 is left out: 2451.52 already gives 36.97",)
    assert found.points == (4, 4)


def test_a_lossless_point_is_left_out_and_reported() -> None:
    lossless = Curve((*EXAMPLE_TEST.rates, 50_000.0), (*EXAMPLE_TEST.qualities, math.inf))
    found = bd_rate(EXAMPLE_ANCHOR, lossless)
    assert found.value == bd_rate(EXAMPLE_ANCHOR, EXAMPLE_TEST).value
    assert "not finite" in found.notes[0]


def test_too_few_points_that_are_not_dominated_are_refused_with_the_reason() -> None:
    short = Curve((1.0, 2.0, 3.0, 4.0), (30.0, 33.0, 32.0, 35.0))
    found = bd_rate(short, EXAMPLE_TEST)
    assert found.value is None
    assert found.refused == f"{MIN_POINTS} non-dominated points per curve are needed, found 3 and 4"
    assert len(found.notes) == 1


@pytest.mark.parametrize("method", [bd_rate, bd_quality])
def test_curves_that_hardly_overlap_are_refused_with_the_share(method: Any) -> None:
    low, high = Curve((0.1, 0.2, 0.3, 0.4), (20, 22, 24, 26)), Curve((0.39, 0.8, 1.6, 2.4), (25.8, 30, 35, 38))
    found = method(low, high)
    assert found.value is None
    assert 0 < found.overlap < MIN_OVERLAP
    assert f"{100 * MIN_OVERLAP:.0f} % are needed" in found.refused


def test_curves_without_a_common_quality_are_refused() -> None:
    low, high = Curve((0.1, 0.2, 0.3, 0.4), (20, 22, 24, 26)), Curve((0.1, 0.2, 0.3, 0.4), (30, 32, 34, 36))
    assert bd_rate(low, high).overlap == 0
    assert bd_rate(low, high).refused is not None


@pytest.mark.parametrize("rates", [(0.0, 1.0), (-1.0, 1.0), (1.0,), (math.inf, 1.0)], ids=str)
def test_a_curve_that_is_none_is_refused(rates: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="as many rates as qualities"):
        Curve(rates, (30.0, 31.0))


def image_curves(count: int, factor: float) -> dict[str, tuple[Curve, Curve]]:
    """Return curves of images whose test needs about `factor` times the anchor's rate."""
    rng = np.random.default_rng(7)
    return {
        f"image-{index:02d}": (
            curve := random_curve(index),
            Curve.of(np.array(curve.rates) * factor * rng.uniform(0.95, 1.05), curve.qualities),
        )
        for index in range(count)
    }


def test_bd_rates_are_averaged_over_images_with_an_interval() -> None:
    curves = image_curves(24, 0.9)
    found = bd_rate_over_images(curves, seed=0)
    each = [bd_rate(*pair).value for pair in curves.values()]
    assert found.interval is not None
    ratios = [1 + value / 100 for value in each if value is not None]
    assert found.interval.mean == pytest.approx(100 * (np.prod(ratios) ** (1 / 24) - 1))
    assert found.interval.low is not None
    assert found.interval.high is not None
    assert -13 < found.interval.low < -10 < found.interval.high < -7
    assert set(found.by_method) == set(METHODS)
    assert found.overlap == 1


def test_a_tie_in_bytes_is_a_tie_whichever_codec_is_the_anchor() -> None:
    curves = {
        f"image-{index:02d}": (curve := random_curve(index), Curve.of(np.array(curve.rates) * factor, curve.qualities))
        for index, factor in enumerate([2.2, 1 / 2.2] * 12)
    }
    forth = bd_rate_over_images(curves, seed=0).interval
    back = bd_rate_over_images({image: pair[::-1] for image, pair in curves.items()}, seed=0).interval
    for found in (forth, back):
        assert found is not None
        assert found.mean == pytest.approx(0, abs=1e-6)
        assert found.low is not None
        assert found.high is not None
        assert found.low < 0 < found.high


def test_an_image_whose_delta_is_refused_is_named_and_in_no_mean() -> None:
    curves = image_curves(12, 1.1)
    curves["short"] = (EXAMPLE_ANCHOR, Curve((1.0, 2.0), (30.0, 31.0)))
    for found in (bd_rate_over_images(curves, seed=0), bd_quality_over_images(curves, seed=0)):
        assert found.interval is not None
        assert found.interval.n == 12
        assert set(found.refused) == {"short"}
        assert found.notes == ("short: refused, 4 non-dominated points per curve are needed, found 4 and 2",)


def test_nothing_but_refusals_gives_no_mean() -> None:
    found = bd_rate_over_images({"short": (EXAMPLE_ANCHOR, Curve((1.0,), (30.0,)))}, seed=0)
    assert found.interval is None
    assert found.overlap is None


def test_importing_loads_neither_scipy_nor_pandas() -> None:
    code = "import sys, harness.analysis.bd_rate; sys.exit(bool({'scipy', 'pandas', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
