"""The tables of a report, rule by rule, on records whose numbers can be worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness import load_codec
from harness.analysis.bd_table import bd_matrix, bd_rows
from harness.analysis.problems import control_rows, lossless_count, problem_rows
from harness.analysis.ratio_table import ratio_rows
from harness.analysis.run import RunRecords, prepare, rows_of
from harness.analysis.speed_table import speed_rows
from harness.analysis.sweep_table import rate_match_rows, sweep_points
from harness.analysis.tables import tabulate
from harness.config import schema
from harness.errors import UsageError
from harness.records.manifest import LosslessControl, Manifest
from harness.report.figures import draw_figures
from harness.report.markdown import report_text
from harness.report.styles import styles_of
from harness.report.words import bd_rate as bd_rate_in_words
from harness.report.words import codec_name, control_verdict, ordinal, rank_change
from harness.run.summary import Tally, ended
from tests.support.synthetic import CODECS_20, RAW_BYTES, control, image_names, manifest, problem, record, sweep

FOUR = image_names(4)


def run_of(rows: Sequence[Mapping[str, Any]], **about: Any) -> RunRecords:
    return prepare(pd.DataFrame(rows), Manifest.model_validate(about))


def at_four(codec: str, values: Sequence[float], **changes: Any) -> list[dict[str, Any]]:
    """Records at 4x: the codec's PSNR on each image in turn."""
    return [record(image, codec, 4.0, psnr=value, **changes) for image, value in zip(FOUR, values, strict=False)]


def row_of(run: RunRecords, codec: str, ratio: float = 4.0) -> dict[str, Any]:
    table = ratio_rows(run)
    found = table[(table["codec"] == codec) & (table["target_ratio"] == ratio)]
    assert len(found) == 1
    return {str(key): value for key, value in found.iloc[0].to_dict().items()}


def test_a_mean_is_over_the_images_of_the_ratio() -> None:
    run = run_of([*at_four("one", [40, 41, 42, 45]), *at_four("two", [30, 30, 30, 34])])
    assert row_of(run, "one")["psnr"] == 42
    assert row_of(run, "two")["psnr"] == 31
    assert row_of(run, "one")["n"] == row_of(run, "two")["n"] == 4
    assert list(ratio_rows(run)["rank"]) == [1, 2]


@pytest.mark.parametrize("status", ["capped", "unreachable", "lossless", "failed", "unsupported", "missing", "leaked"])
def test_a_codec_that_lacks_an_image_has_no_mean_and_no_rank(status: str) -> None:
    other = at_four("two", [30, 30, 30, 99])
    other[3] |= {"status": status, "psnr": np.inf if status == "lossless" else 99}
    run = run_of([*at_four("one", [40, 41, 42, 45]), *other, *at_four("three", [1, 2, 3, 4])])
    row = row_of(run, "two")
    assert not row["compared"]
    assert np.isnan(row["psnr"])
    assert np.isnan(row["rank"])
    assert row["status"] == f"{status} on 1 of 4"
    assert row_of(run, "one")["psnr"] == 42


def test_a_codec_apart_is_held_against_the_anchor_on_the_images_that_both_reach() -> None:
    other = at_four("two", [41, 43, 45, 99])
    other[3]["status"] = "capped"
    row = row_of(run_of([*at_four("one", [40, 41, 42, 45]), *other]), "two")
    assert row["anchor"] == "one"
    assert row["psnr_difference"] == pytest.approx((1 + 2 + 3) / 3)
    assert (row["psnr_difference_n"], row["psnr_wins"], row["psnr_losses"]) == (3, 3, 0)
    assert row["psnr_verdict"] == "no interval at n = 3"


def test_an_image_that_most_codecs_lack_is_in_no_mean() -> None:
    rows = [*at_four("one", [40, 41, 42, 99]), *at_four("two", [30, 31, 32, 99]), *at_four("three", [9, 9, 9, 99])]
    rows[3]["status"] = rows[7]["status"] = "lossless"
    run = run_of(rows)
    assert row_of(run, "one")["psnr"] == 41
    assert row_of(run, "three")["psnr"] == 9
    assert row_of(run, "one")["n"] == 3
    assert row_of(run, "one")["status"] == "lossless on 1 of 4"
    assert row_of(run, "three")["status"] == "reached"
    text = report_text(run, tabulate(run), [], "figures")
    assert "| three | 9.00 (mean over 3 of 4) |" in text
    assert "mean over 3 of 4 |\n" in text


def test_a_sweep_has_no_mean_of_a_metric_that_some_of_its_images_lack(tmp_path: Path) -> None:
    rows = [sweep(image, "one", setting, setting / 4, 30 + setting) for image in FOUR for setting in (1, 2)]
    run = run_of([{**row, "ms_ssim": row["ms_ssim"] if row["image"] == FOUR[0] else np.nan} for row in rows])
    points = sweep_points(run)
    assert points["n"].tolist() == [4, 4]
    assert points["psnr"].tolist() == [31, 32]
    for column in ("ms_ssim", "ms_ssim_db", "ms_ssim_db_of_mean"):
        assert points[column].isna().all()
    assert [figure.name for figure in draw_figures(tmp_path, run, tabulate(run))] == ["sweep-psnr"]


def test_a_mean_over_every_image_is_not_marked() -> None:
    run = run_of([*at_four("one", [40, 41, 42, 45]), *at_four("webp", [40] * 4, status="capped")])
    assert "mean over" not in report_text(run, tabulate(run), [], "figures").partition("## Rules of the comparison")[0]


def test_a_codec_that_is_reached_nowhere_takes_no_image_from_the_others() -> None:
    run = run_of([*at_four("one", [40, 41, 42, 45]), *at_four("webp", [40] * 4, status="capped")])
    assert row_of(run, "one")["n"] == 4
    assert row_of(run, "webp")["status"] == "capped on 4 of 4"


def test_without_a_codec_reached_on_every_image_nothing_is_ranked() -> None:
    one, two = at_four("one", [40] * 4), at_four("two", [41] * 4)
    one[0]["status"] = two[1]["status"] = "failed"
    assert not ratio_rows(run_of([*one, *two]))["compared"].any()


def test_an_image_without_a_record_is_counted_as_not_measured() -> None:
    run = run_of([*at_four("one", [40] * 4), *at_four("two", [41] * 3)])
    assert row_of(run, "two")["status"] == "not measured on 1 of 4"


def test_ms_ssim_in_db_is_a_mean_of_db_and_not_the_db_of_a_mean() -> None:
    rows = [record(image, "one", 4.0, ms_ssim=value) for image, value in zip(FOUR[:2], [0.9, 0.999], strict=True)]
    assert row_of(run_of(rows), "one")["ms_ssim_db"] == pytest.approx((10 + 30) / 2)
    swept = [
        {**sweep(FOUR[0], "one", 5, 1.0, 30), "ms_ssim": 0.9},
        {**sweep(FOUR[1], "one", 5, 1.0, 30), "ms_ssim": 0.999},
    ]
    point = sweep_points(run_of(swept)).iloc[0]
    assert point["ms_ssim_db"] == pytest.approx(20)
    assert point["ms_ssim_db_of_mean"] == pytest.approx(-10 * np.log10(1 - 0.9495))


@pytest.mark.parametrize(("n", "known"), [(4, False), (9, False), (10, True), (24, True)])
def test_there_are_intervals_from_ten_images_on(n: int, known: bool) -> None:
    rows = [record(image, "one", 4.0, psnr=40.0 + index) for index, image in enumerate(image_names(n))]
    rows += [record(image, "two", 4.0, psnr=41.0 + index % 3) for index, image in enumerate(image_names(n))]
    row = row_of(run_of(rows), "two")
    for column in ("psnr_low", "psnr_high", "ms_ssim_db_low", "psnr_difference_low"):
        assert (not pd.isna(row[column])) == known
    if known:
        assert row["psnr_low"] <= row["psnr"] <= row["psnr_high"]


def test_a_rank_tells_in_how_many_resamples_it_holds() -> None:
    names = image_names(12)
    far = [record(image, codec, 4.0, psnr=value) for image in names for codec, value in (("one", 40.0), ("two", 30.0))]
    assert [row_of(run_of(far), codec)["rank_share"] for codec in ("one", "two")] == [1, 1]
    near = [
        record(image, codec, 4.0, psnr=40 + (index + place) % 2 + 0.01 * place)
        for index, image in enumerate(names)
        for place, codec in enumerate(("one", "two"))
    ]
    assert 0.4 < row_of(run_of(near), "two")["rank_share"] < 0.7
    assert row_of(run_of(at_four("one", [40] * 4)), "one")["rank_share"] is None


@pytest.mark.parametrize(("shift", "verdict"), [(1.0, "better"), (-1.0, "worse"), (0.0, "not significant")])
def test_a_difference_is_put_into_words(shift: float, verdict: str) -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.1, 24)
    rows = [record(image, "one", 4.0, psnr=40.0) for image in image_names(24)]
    rows += [
        record(image, "two", 4.0, psnr=40.0 + shift + error - noise.mean())
        for image, error in zip(image_names(24), noise, strict=True)
    ]
    assert row_of(run_of(rows), "two")["psnr_verdict"] == verdict


def test_ratio_reached_and_share_of_the_target_size_are_means_over_images() -> None:
    sizes = [RAW_BYTES // 4, RAW_BYTES // 8]
    rows = [record(image, "one", 4.0, size_bytes=size) for image, size in zip(FOUR[:2], sizes, strict=True)]
    row = row_of(run_of(rows), "one")
    assert row["ratio"] == 6
    assert row["share_of_target"] == pytest.approx(0.75)


def test_a_rank_that_changes_at_the_target_rate_is_marked() -> None:
    run = run_of([*at_four("one", [40] * 4, psnr_at_budget=40.1), *at_four("two", [39] * 4, psnr_at_budget=40.5)])
    assert rank_change(row_of(run, "one")) == "2nd at the target rate"
    assert rank_change(row_of(run, "two")) == "1st at the target rate"


def test_a_rank_that_stays_or_is_unknown_at_the_target_rate_is_not_marked() -> None:
    known = run_of([*at_four("one", [40] * 4), *at_four("two", [39] * 4, psnr_at_budget=39)])
    unknown = run_of([*at_four("one", [40] * 4, psnr_at_budget=np.nan), *at_four("two", [39] * 4)])
    assert [rank_change(row_of(run, name)) for run in (known, unknown) for name in ("one", "two")] == [""] * 4


def test_controls_are_in_no_ratio_table_and_their_lossless_ratio_is_listed() -> None:
    run = run_of([*at_four("one", [40] * 4), control(FOUR[0], "png", 2.0), control(FOUR[1], "png", 3.0)])
    assert list(ratio_rows(run)["codec"]) == ["one"]
    row = control_rows(run).iloc[0]
    assert (row["codec"], row["n"], row["exact"]) == ("png", 2, 2)
    assert row["ratio"] == pytest.approx(2.5)
    assert row["total_ratio"] == pytest.approx(2.4, abs=1e-4)


def test_lossless_records_are_counted_apart() -> None:
    run = run_of(
        [*at_four("one", [40] * 4), *at_four("two", [np.inf] * 2, status="lossless"), control(FOUR[0], "png", 2)]
    )
    assert lossless_count(run) == 2


@pytest.mark.parametrize("status", ["failed", "unsupported", "missing", "leaked"])
def test_a_problem_is_listed_once_with_its_reason_and_images(status: str) -> None:
    names = image_names(5)
    run = run_of([problem(image, "one", 4.0, status, "it broke") for image in names])
    row = problem_rows(run).iloc[0]
    assert (row["codec"], row["status"], row["reason"], row["records"]) == ("one", status, "it broke", 5)
    assert row["images"] == "kodim01, kodim02, kodim03 and 2 more"


def test_a_sweep_point_is_a_mean_over_all_images_and_incomplete_without_one() -> None:
    rows = [sweep(FOUR[0], "one", 5, 1.0, 30), sweep(FOUR[1], "one", 5, 3.0, 34), sweep(FOUR[0], "one", 9, 4.0, 40)]
    points = sweep_points(run_of(rows)).set_index("setting")
    assert points.loc[5, "bpp"] == pytest.approx(2)
    assert points.loc[5, "psnr"] == 32
    assert points["complete"].to_dict() == {5: True, 9: False}


def test_no_sweep_point_is_a_mean_over_weights_of_several_ratios() -> None:
    rows = [
        {**sweep(image, "one", 0, bpp, psnr), "target_ratio": ratio}
        for ratio, bpp, psnr in ((8.0, 3.0, 40), (16.0, 1.0, 30))
        for image in FOUR
    ]
    points = sweep_points(run_of(rows)).set_index("weights")
    assert points["psnr"].to_dict() == {8.0: 40, 16.0: 30}
    assert points["n"].tolist() == [4, 4]
    assert points["complete"].all()


def test_the_rate_match_takes_the_setting_with_the_largest_fitting_total() -> None:
    rows = [
        sweep(image, "one", setting, bpp, 30)
        for setting, sizes in {1: (1.0, 2.0), 2: (5.0, 1.0), 3: (6.0, 7.0)}.items()
        for image, bpp in zip(FOUR[:2], sizes, strict=True)
    ]
    table = rate_match_rows(run_of(rows), [8.0, 100.0])
    assert table.iloc[0]["setting"] == 2
    assert table.iloc[0]["ratio"] == pytest.approx(48 / 6)
    assert np.isnan(table.iloc[1]["setting"])


def test_speed_is_total_megapixels_by_total_seconds_and_the_best_are_marked() -> None:
    rows = [
        *at_four("slow", [42] * 4, encode_seconds=2.0),
        *at_four("fast", [40] * 4, encode_seconds=0.5),
        *at_four("bad", [39] * 4, encode_seconds=1.0),
    ]
    run = run_of(rows)
    table = speed_rows(run, ratio_rows(run)).set_index("codec")
    assert table.loc["slow", "mp_s"] == pytest.approx(768 * 512 / 1e6 / 2, rel=1e-4)
    assert table["best"].to_dict() == {"slow": True, "fast": True, "bad": False}
    assert set(table["direction"]) == {"encode"}


def test_the_anchor_is_the_one_that_the_manifest_names() -> None:
    rows = [*at_four("one", [40] * 4), *at_four("two", [39] * 4)]
    assert row_of(run_of(rows, anchor="two"), "one")["psnr_difference"] == 1
    assert row_of(run_of(rows), "two")["psnr_difference"] == -1


def test_a_record_that_is_there_twice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"twice.*'kodim01'.*'one'"):
        run_of([*at_four("one", [40] * 4), *at_four("one", [41])])


def test_records_without_a_needed_column_are_refused() -> None:
    with pytest.raises(UsageError, match="no column status"):
        prepare(pd.DataFrame(at_four("one", [40])).drop(columns="status"), Manifest())


@pytest.mark.parametrize(
    ("entry", "printed"),
    [
        ({"leak": "clean", "learned": True}, "one"),
        ({"leak": "unknown", "learned": True}, "one (contamination unknown)"),
        ({"leak": "leaked", "learned": True}, "one (leaked)"),
        ({"learned": True}, "one (contamination unknown)"),
        ({"leak": "none"}, "one"),
    ],
)
def test_a_doubtful_leak_status_stands_beside_the_name(entry: dict[str, Any], printed: str) -> None:
    run = run_of(at_four("one", [40]), codecs=[{"id": "one", **entry}])
    assert codec_name(row_of(run, "one")) == printed


@pytest.mark.parametrize(
    ("control", "words"),
    [
        ({"valid": True, "records": 4}, "passed"),
        ({"valid": False, "records": 4, "wrong": ["png on a: off"]}, "FAILED.*png on a: off"),
        ({"valid": True, "records": 4, "not_run": ["qoi: only 8 bits"]}, "passed: every lossless codec that ran"),
        ({"valid": False, "records": 0}, "not run"),
        ({"valid": False, "records": 0, "not_run": ["png: too slow"]}, r"not run: .* \(png: too slow\)"),
        (None, "not run"),
    ],
)
def test_the_lossless_control_is_told_in_words(control: Any, words: str) -> None:
    assert (
        pd.Series([control_verdict(Manifest.model_validate({"lossless_control": control}))]).str.contains(words).all()
    )


def control_of(rows: Sequence[Mapping[str, Any]]) -> LosslessControl:
    """The lossless control in the manifest of a run with these records."""
    found = ended(Manifest(), pd.DataFrame(rows), Tally(), 1.0, 1).lossless_control
    assert found is not None
    return found


@pytest.mark.parametrize("status", ["unsupported", "missing", "failed"])
def test_controls_without_a_decode_test_nothing_and_prove_nothing_wrong(status: str) -> None:
    absent = {**problem("a", "png", 4.0, status, "it takes too long"), "protocol": "control"}
    assert control_of([absent]) == LosslessControl(not_run=("png: it takes too long",))
    found = control_of([absent, control("b", "png", 4.0)])
    assert (found.records, found.valid) == (1, True)


def test_a_control_whose_decode_differs_makes_the_lossless_control_invalid() -> None:
    wrong = {**control("a", "png", 4.0), "status": "failed", "reason": "lossless control: ssim differ."}
    found = control_of([wrong, control("b", "png", 4.0)])
    assert (found.valid, found.wrong) == (False, ("png on a: lossless control: ssim differ.",))


def test_the_bd_rate_of_a_pair_is_one_ratio_seen_from_both_sides() -> None:
    rows = []
    for index, image in enumerate(image_names(12)):
        for at in range(1, 7):
            rows.append(sweep(image, "one", at, at / 4, 30 + 3 * at))
            rows.append(sweep(image, "two", at, at / 4 * (2.2 if index % 2 else 1 / 2.2) * 1.1, 30 + 3 * at))
    table = bd_matrix(run_of(rows))
    forth, back = 1 + table[["bd_rate", "bd_rate_low", "bd_rate_high"]].to_numpy() / 100
    assert forth[0] == pytest.approx(1.1)
    assert back == pytest.approx(1 / forth[[0, 2, 1]])
    for row in (*rows_of(bd_rows(run_of(rows), "one")), *rows_of(table)):
        assert "not significant" in bd_rate_in_words(row)


def test_twenty_codecs_all_look_different() -> None:
    looks = styles_of(CODECS_20)
    assert len({(look.colour, look.marker, look.dash) for look in looks.values()}) == 20


def test_the_curves_of_a_plain_run_differ_in_colour_or_line() -> None:
    looks = styles_of([name for name in schema.load().default_codecs() if not load_codec(name).lossless])
    assert len(looks) > 15
    assert len({(look.colour, look.dash) for look in looks.values()}) == len(looks)


@pytest.mark.parametrize(("place", "words"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (22, "22nd")])
def test_ranks_are_ordinal_numbers(place: int, words: str) -> None:
    assert ordinal(place) == words


def test_a_manifest_with_every_key_orders_the_codecs() -> None:
    run = prepare(pd.DataFrame([*at_four("b", [40]), *at_four("a", [40])]), manifest(["b", "a"], 1))
    assert run.codecs == ("b", "a")
