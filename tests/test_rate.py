"""The rate search finds what a full search of the ladder finds, in few encodes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import load_codec
from harness.data.activity import activity
from harness.data.images import read_image
from harness.interface import Codec, Image
from harness.rate import Choice, Search, SizeCurve, target_bytes
from tests.support.images import packaged_photograph, psnr

RATIOS = (4, 8, 12, 16)
DENSE = tuple(float(ratio) for ratio in np.geomspace(3, 60, 60))
"""Ratios between and around those of the headline, to see more of each ladder."""


@dataclass(frozen=True)
class Searched:
    """What a search answered, and the indices that it asked for, in order."""

    choice: Choice
    asked: list[int]


def searched(sizes: Sequence[int], budget: int, hint: dict[int, float] | None = None) -> Searched:
    asked: list[int] = []

    def size_of(index: int) -> int:
        asked.append(index)
        return sizes[index]

    return Searched(Search(len(sizes), size_of, {}, [SizeCurve(hint)] if hint else []).choose(budget), asked)


def exhaustive(sizes: Sequence[int], budget: int) -> int | None:
    """Return the largest size within a budget, by looking at every setting."""
    return max((size for size in sizes if size <= budget), default=None)


rising = st.lists(st.integers(1, 10**7), min_size=1, max_size=400, unique=True).map(sorted)
budgets = st.integers(0, 10**7 + 1)
hints = st.dictionaries(st.integers(0, 399), st.floats(0, 1e9), max_size=6)


@given(sizes=rising, budget=budgets, hint=hints)
def test_on_rising_sizes_it_finds_what_a_full_search_finds(
    sizes: list[int], budget: int, hint: dict[int, float]
) -> None:
    found = searched(sizes, budget, {index: size for index, size in hint.items() if index < len(sizes)})
    fitting = [index for index, size in enumerate(sizes) if size <= budget]
    if not fitting:
        assert found.choice == Choice("unreachable", 0, None)
    elif len(fitting) == len(sizes):
        assert found.choice == Choice("capped", len(sizes) - 1, None)
    else:
        assert found.choice == Choice("reached", fitting[-1], fitting[-1] + 1)


@given(sizes=rising, wanted=st.lists(budgets, min_size=1, max_size=6))
def test_every_size_is_asked_for_once_however_many_budgets_there_are(sizes: list[int], wanted: list[int]) -> None:
    asked: list[int] = []

    def size_of(index: int) -> int:
        asked.append(index)
        return sizes[index]

    search = Search(len(sizes), size_of)
    for budget in wanted:
        search.choose(budget)
    assert len(asked) == len(set(asked))
    assert search.sizes == {index: sizes[index] for index in asked}


@given(sizes=rising, budget=budgets)
def test_what_is_known_already_is_not_asked_for(sizes: list[int], budget: int) -> None:
    first = searched(sizes, budget)
    known = {index: sizes[index] for index in first.asked}

    def size_of(index: int) -> int:
        raise AssertionError(index)

    assert Search(len(sizes), size_of, known).choose(budget) == first.choice


@given(sizes=rising, budget=budgets, hint=hints)
def test_never_more_steps_than_twice_what_halving_takes(sizes: list[int], budget: int, hint: dict[int, float]) -> None:
    found = searched(sizes, budget, {index: size for index, size in hint.items() if index < len(sizes)})
    assert len(found.asked) <= 2 * (len(sizes) + 1).bit_length()


def test_the_sizes_of_an_image_as_busy_begin_a_search() -> None:
    sizes = [int(1000 * 1.02**index) for index in range(300)]
    asked: list[int] = []

    def size_of(index: int) -> int:
        asked.append(index)
        return sizes[index]

    others = [SizeCurve({0: 100.0, 299: 100 * 1.02**299}, activity_difference=-3.0)] * 5
    like = SizeCurve(dict(enumerate(map(float, sizes))), activity_difference=0.01)
    assert Search(300, size_of, {}, [*others, like]).choose(sizes[150]) == Choice("reached", 150, 151)
    assert abs(asked[0] - 150) < 5
    assert len(asked) < 5


@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_a_codec_s_own_prediction_begins_a_search_and_other_images_correct_it(bias: float) -> None:
    sizes = [int(1000 * 1.02**index) for index in range(300)]
    predicted = [size * math.exp(-bias) for size in sizes]
    misleading = [SizeCurve({0: 100.0, 299: 100 * 1.02**299})] * 5
    search = Search(300, sizes.__getitem__, {}, misleading, predicted, bias)
    assert search.measured_bias is None
    assert search.choose(sizes[150] + 1) == Choice("reached", 150, 151)
    assert sorted(search.sizes) == [150, 151]
    assert search.measured_bias == pytest.approx(bias)


def test_activity_grows_with_the_steps_between_neighbours() -> None:
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 200, (300, 500, 3))
    busy, calm, flat = (np.asarray(noise // by, np.uint8) for by in (1, 10, 1000))
    assert activity(busy) == pytest.approx(math.log(2 * 200 / 3), abs=0.05)
    assert activity(busy) > activity(calm) > activity(flat) == math.log(1e-3)
    assert activity(busy[:1, :1]) == math.log(1e-3)


CLIFFS: dict[str, Callable[[int, int], list[int]]] = {
    "a cliff": lambda length, place: [100 + index if index < place else 10**7 + index for index in range(length)],
    "a wall at the end": lambda length, place: [
        100 + int(1e6 * (index / length) ** 20) + index for index in range(length)
    ],
    "a wall at the start": lambda length, place: [
        int(1e6 * (1 - (1 - index / length) ** 20)) + index for index in range(length)
    ],
    "flat": lambda length, place: [100 + index // 50 for index in range(length)],
}


@pytest.mark.parametrize("shape", CLIFFS)
@pytest.mark.parametrize("length", [1, 2, 3, 100, 4000, 65536])
def test_the_worst_ladders_take_at_most_twice_what_halving_takes(shape: str, length: int) -> None:
    rng = np.random.default_rng(5)
    for place in rng.integers(0, length, 8):
        sizes = CLIFFS[shape](length, int(place))
        for budget in (sizes[int(place)], sizes[int(place)] - 1, sizes[0], sizes[-1] - 1):
            found = searched(sizes, budget)
            assert len(found.asked) <= 2 * (length + 1).bit_length()


@st.composite
def dipping(draw: st.DrawFn) -> list[int]:
    """Sizes that grow by some percent per index, each then moved by at most 3 percent: neighbours may change places."""
    length = draw(st.integers(2, 200))
    growth = draw(st.floats(1.005, 1.08))
    seed = draw(st.integers(0, 2**32 - 1))
    noise = np.random.default_rng(seed).uniform(0.97, 1.03, length)
    return [int(1000 * growth**index * factor) for index, factor in enumerate(noise)]


@given(sizes=dipping(), share=st.floats(0, 1))
@settings(max_examples=300)
def test_on_sizes_with_small_dips_the_answer_fits_and_its_fitting_neighbours_are_no_larger(
    sizes: list[int], share: float
) -> None:
    budget = int(sizes[0] * (sizes[-1] / sizes[0]) ** share)
    choice = searched(sizes, budget).choice
    if choice.status == "unreachable":
        assert sizes[0] > budget
        return
    assert sizes[choice.index] <= budget
    above = choice.index + 1
    assert above == len(sizes) or sizes[above] > budget or sizes[above] <= sizes[choice.index]
    if choice.status == "reached":
        assert choice.next_index is not None
        assert choice.next_index > choice.index
        assert sizes[choice.next_index] > budget
    else:
        assert sizes[-1] <= budget


def test_where_a_dip_hides_a_larger_file_the_larger_one_is_taken() -> None:
    sizes = [100, 120, 118, 200]
    search = Search(4, sizes.__getitem__, dict(enumerate(sizes)))
    assert search.choose(150) == Choice("reached", 1, 3)


@pytest.mark.parametrize(
    ("sizes", "budget", "expected"),
    [
        ([10], 9, Choice("unreachable", 0, None)),
        ([10], 10, Choice("capped", 0, None)),
        ([10, 20, 30], 9, Choice("unreachable", 0, None)),
        ([10, 20, 30], 0, Choice("unreachable", 0, None)),
        ([10, 20, 30], 29, Choice("reached", 1, 2)),
        ([10, 20, 30], 30, Choice("capped", 2, None)),
        ([10, 20, 30], 10, Choice("reached", 0, 1)),
        ([7, 7, 7], 7, Choice("capped", 2, None)),
        ([0, 0, 5], 0, Choice("reached", 1, 2)),
    ],
)
def test_the_ends_of_a_ladder(sizes: list[int], budget: int, expected: Choice) -> None:
    assert searched(sizes, budget).choice == expected


@pytest.mark.parametrize(
    ("raw", "ratio", "expected"),
    [(768 * 512 * 3, 12, 98304), (100, 3, 33), (100, 7.5, 13), (3, 4, 0), (3 * 10**9, 16, 187_500_000)],
)
def test_a_target_size_is_the_floor_of_raw_bytes_over_ratio(raw: int, ratio: float, expected: int) -> None:
    assert target_bytes(raw, ratio) == expected


@dataclass(frozen=True)
class Ladder:
    """Every file size of one codec on one image."""

    codec_id: str
    name: str
    image: Image
    sizes: list[int]


def photographs() -> Iterator[tuple[str, Image]]:
    """Yield Kodak images where there are any, else scikit-image's photographs."""
    folder = Path(os.environ.get("HARNESS_DATA", "")) / "kodak"
    if os.environ.get("HARNESS_DATA") and folder.is_dir():
        for number in (1, 4, 8, 15, 20):
            path = folder / f"kodim{number:02d}.png"
            yield path.name, read_image(path).pixels
        return
    for name in ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png"):
        yield name, packaged_photograph(name)


@pytest.fixture(scope="module")
def ladders() -> list[Ladder]:
    """The whole ladders of JPEG 4:4:4 and WebP, encoded at every setting."""
    found = []
    for codec_id in ("jpeg-444", "webp"):
        codec = load_codec(codec_id)
        for name, image in photographs():
            sizes = [len(codec.encode(image, setting)) for setting in codec.ladder]
            found.append(Ladder(codec_id, name, image, sizes))
    return found


def cost_db(codec: Codec, ladder: Ladder, found: int, best: int) -> float:
    """Return how much lower the PSNR in dB of the index found is than that of the best index."""
    low, high = (
        psnr(ladder.image, codec.decode(codec.encode(ladder.image, codec.ladder[index]))) for index in (found, best)
    )
    return high - low


def misses(ladders: list[Ladder], ratios: Sequence[float]) -> Iterator[tuple[Ladder, float, int, int]]:
    """Yield (ladder, ratio, index found, best index) wherever a search finds less than a full one."""
    for ladder in ladders:
        search = Search(len(ladder.sizes), ladder.sizes.__getitem__)
        for ratio in ratios:
            budget = target_bytes(ladder.image.nbytes, ratio)
            best = exhaustive(ladder.sizes, budget)
            choice = search.choose(budget)
            assert (best is None) == (choice.status == "unreachable")
            if best is not None and ladder.sizes[choice.index] != best:
                yield ladder, ratio, choice.index, ladder.sizes.index(best)


@pytest.mark.slow
@pytest.mark.parametrize("ratios", [RATIOS, DENSE], ids=["headline", "dense"])
def test_on_real_ladders_it_equals_a_full_search_in_99_of_100_cases(
    ladders: list[Ladder], ratios: Sequence[float], record_property: Callable[[str, object], None]
) -> None:
    listed = []
    for ladder, ratio, found, best in misses(ladders, ratios):
        cost = cost_db(load_codec(ladder.codec_id), ladder, found, best)
        listed.append(f"{ladder.codec_id} on {ladder.name} at {ratio:.4g}x: index {found}, best {best}, {cost:.3f} dB")
        assert cost < 0.5, listed[-1]
    cases = len(ladders) * len(ratios)
    record_property("misses", listed)
    assert len(listed) <= 0.01 * cases, listed


@pytest.mark.slow
def test_on_real_ladders_four_ratios_take_at_most_four_encodes_each(ladders: list[Ladder]) -> None:
    encodes = 0
    for ladder in ladders:
        search = Search(len(ladder.sizes), ladder.sizes.__getitem__)
        for ratio in RATIOS:
            search.choose(target_bytes(ladder.image.nbytes, ratio))
        encodes += len(search.sizes)
    assert encodes / (len(ladders) * len(RATIOS)) <= 4.0


def test_log_bytes_of_real_ladders_rise_nearly_everywhere() -> None:
    codec = load_codec("webp")
    image = packaged_photograph()[:96, :112]
    sizes = [len(codec.encode(image, setting)) for setting in codec.ladder]
    assert math.log(sizes[-1] / sizes[0]) > 2
    assert sum(later < earlier for earlier, later in pairwise(sizes)) < len(sizes) / 10
