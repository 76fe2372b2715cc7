"""Two runs against each other: what changed, and whether it is a regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.analysis.compare import Limit, compare, parse_limit, regressions, unchecked
from harness.errors import UsageError
from tests.support.synthetic import RATIOS, image_names, problem, realistic, record, sweep


def at_ratios(images: int, psnr: float = 0.0, size: float = 1.0, **changes: Any) -> list[dict[str, Any]]:
    """Records of one codec at the four ratios; `psnr` is added to all, `size` multiplies all sizes."""
    return [
        record(
            image,
            "one",
            ratio,
            psnr=60 - 10 * np.log10(ratio) + psnr,
            size_bytes=round(1e6 / ratio * size),
            **{"file_sha256": f"{image}{ratio}{psnr}{size}", **changes},
        )
        for image in image_names(images)
        for ratio in RATIOS
    ]


def compared(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> pd.DataFrame:
    return compare(pd.DataFrame(a), pd.DataFrame(b))


def test_a_run_is_identical_to_itself() -> None:
    table = compared(at_ratios(12), at_ratios(12))
    rows = table[table["target"].notna()]
    assert list(rows["identical"]) == [12] * 4
    assert set(rows["psnr_verdict"]) == {"same"}
    assert (rows["size_difference"] == 0).all()
    assert table.loc[table["target"].isna(), "bd_rate"].tolist() == pytest.approx([0])
    assert regressions(table, Limit(0.0, "%")) == []


def test_differences_are_paired_and_have_a_sign() -> None:
    table = compared(at_ratios(12), at_ratios(12, psnr=-0.5, size=1.1))
    row = table[table["target"] == 8].iloc[0]
    assert row["psnr_difference"] == pytest.approx(-0.5)
    assert row["size_difference"] == pytest.approx(10, abs=0.01)
    assert row["psnr_verdict"] == "worse"
    assert (row["n"], row["identical"]) == (12, 0)


@pytest.mark.parametrize(("size", "percent"), [(1.1, 10.0), (0.9, -10.0)])
def test_bytes_at_equal_quality_are_told_as_bd_rate(size: float, percent: float) -> None:
    table = compared(at_ratios(12), at_ratios(12, size=size))
    assert table.loc[table["target"].isna(), "bd_rate"].tolist() == pytest.approx([percent], abs=0.01)
    assert len(regressions(table, Limit(1, "%"))) == (percent > 1)


def test_a_sweep_of_several_weights_is_compared_weights_by_weights() -> None:
    a = [
        {**sweep(image, "one", 0, bpp, 40), "target_ratio": ratio}
        for ratio, bpp in ((8.0, 3.0), (16.0, 1.0))
        for image in image_names(3)
    ]
    b = [{**row, "size_bytes": row["size_bytes"] * row["target_ratio"] / 8} for row in a]
    table = compared(a, b)
    rows = table[table["target"].notna()]
    assert rows.set_index("weights")["size_difference"].to_dict() == {8.0: 0, 16.0: 100}
    assert rows["n"].tolist() == [3, 3]


def test_the_sweep_is_compared_at_each_setting() -> None:
    a = [
        sweep(image, "one", setting, setting / 10, 30 + setting) for image in image_names(3) for setting in range(1, 6)
    ]
    b = [{**row, "size_bytes": row["size_bytes"] * 2, "bpp": row["bpp"] * 2} for row in a]
    table = compared(a, b)
    assert table.loc[table["target"] == 3, "size_difference"].tolist() == [100]
    assert table.loc[table["target"].isna(), "bd_rate"].tolist() == pytest.approx([100])


@pytest.mark.parametrize(("loss", "limit", "told"), [(0.2, 0.1, 4), (0.05, 0.1, 0), (-0.2, 0.1, 0)])
def test_a_loss_of_psnr_above_the_limit_is_a_regression(loss: float, limit: float, told: int) -> None:
    table = compared(at_ratios(12), at_ratios(12, psnr=-loss))
    assert len(regressions(table, Limit(limit, "dB"))) == told


def test_a_difference_that_is_not_significant_is_no_regression() -> None:
    rng = np.random.default_rng(5)
    b = at_ratios(12)
    for row in b:
        row["psnr"] += rng.normal(-0.2, 2)
    table = compared(at_ratios(12), b)
    unsure = table[table["psnr_verdict"] == "not significant"]
    assert (unsure["psnr_difference"] < -0.01).any()
    told = regressions(table, Limit(0.01, "dB"))
    assert not [line for target in unsure["target"] for line in told if f"{target:g}x" in line]


def test_a_result_that_is_lost_is_always_a_regression() -> None:
    b = at_ratios(12)[4:] + [problem("kodim01", "one", ratio, "failed", "it broke") for ratio in RATIOS]
    told = regressions(compared(at_ratios(12), b), Limit(50, "%"))
    assert told == [f"one, {ratio:g}x: 1 results are lost" for ratio in RATIOS]


def test_images_and_codecs_of_one_run_alone_are_no_loss() -> None:
    table = compare(realistic(["one", "two"], 12), realistic(["one"], 10))
    assert table["lost"].sum() == 0
    assert table.loc[table["codec"] == "two", "n"].max() == 0


def test_lossless_records_are_in_no_difference_of_psnr() -> None:
    lossless = at_ratios(3)
    lossless[0] |= {"psnr": np.inf, "status": "lossless"}
    row = compared(lossless, at_ratios(3, psnr=1)).set_index("target").loc[4]
    assert row["psnr_difference"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "limit"), [("1%", Limit(1, "%")), (" .5 % ", Limit(0.5, "%")), ("0.1dB", Limit(0.1, "dB"))]
)
def test_a_limit_has_a_unit(text: str, limit: Limit) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize("text", ["1", "%", "-1%", "1 byte", "1%%", ""])
def test_a_limit_without_a_unit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="number with % or dB"):
        parse_limit(text)


def test_a_codec_that_the_limit_says_nothing_about_is_named() -> None:
    few = [record(image, "two", 4.0) for image in image_names(3)]
    table = compared(at_ratios(3) + few, at_ratios(3) + [{**row, "file_sha256": "2" * 64} for row in few])
    assert unchecked(table, Limit(1, "%")) == {
        "two": "kodim01: 4 non-dominated points per curve are needed, found 1 and 1"
    }
    assert unchecked(table, Limit(1, "dB")) == {}


def named(codec: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "codec": codec} for row in rows]


@pytest.mark.parametrize("images", [3, 12])
def test_a_codec_that_lost_so_much_that_its_curves_have_nothing_in_common_is_a_regression(images: int) -> None:
    steady = named("two", at_ratios(images))
    table = compared(at_ratios(images) + steady, at_ratios(images, psnr=-20) + steady)
    row = table[table["target"].isna() & table["codec"].eq("one")].iloc[0]
    assert (row["n"], row["refused"], row["lower"]) == (0, images, images)
    told = regressions(table, Limit(1, "%"))
    ending = "images without a BD-rate have a PSNR lower by more than 1 dB at every ratio"
    assert told == [f"one, ratio protocol: {images} of the {images} {ending}"]
    gained = compared(at_ratios(images) + steady, at_ratios(images, psnr=20) + steady)
    assert regressions(gained, Limit(1, "%")) == []
    assert unchecked(gained, Limit(1, "%"))["one"].startswith("kodim01: the curves have")


def test_images_that_fell_out_of_the_mean_are_counted_and_a_loss_on_them_is_told() -> None:
    b = at_ratios(12)
    for row in b[:8]:
        row["psnr"] -= 20
    table = compared(at_ratios(12), b)
    rates = table[table["target"].isna()].iloc[0]
    assert (rates["n"], rates["refused"], rates["bd_rate"]) == (10, 2, pytest.approx(0))
    assert len(regressions(table, Limit(1, "%"))) == 1


def test_a_limit_in_percent_needs_curves() -> None:
    few = [row for row in at_ratios(3) if row["target_ratio"] < 10]
    with pytest.raises(UsageError, match="four ratios or a sweep"):
        regressions(compared(few, few), Limit(1, "%"))


def test_a_limit_in_db_needs_ratios_and_a_sweep_has_none() -> None:
    swept = [sweep(image, "two", setting, setting / 10, 30) for image in image_names(3) for setting in range(1, 6)]
    with pytest.raises(UsageError, match="measured at a ratio"):
        regressions(compared(swept, swept), Limit(0.1, "dB"))
    table = compared(at_ratios(3) + swept, at_ratios(3) + swept)
    assert unchecked(table, Limit(0.1, "dB")) == {}
    changed = [{**row, "file_sha256": "2" * 64} for row in swept]
    table = compared(at_ratios(3) + swept, at_ratios(3) + changed)
    assert unchecked(table, Limit(0.1, "dB")) == {"two": "the runs share no finite PSNR at a ratio"}
