"""Compare two runs, codec by codec: the differences, their intervals, and regressions beyond a limit."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.bd_rate import bd_rate_over_images, mean_percent
from harness.analysis.bd_table import curves_of
from harness.analysis.bootstrap import paired_difference
from harness.analysis.columns import swept
from harness.analysis.problems import some
from harness.analysis.ratio_table import verdict
from harness.analysis.run import SEED, RunRecords, prepare, rows_of
from harness.errors import UsageError
from harness.records.manifest import Manifest
from harness.records.record import WITH_FILE

KEY = ["codec", "protocol", "weights", "target", "image"]
COLUMNS = (
    *("codec", "protocol", "weights", "target", "n", "identical", "lost", "gained"),
    *("psnr_difference", "psnr_difference_low", "psnr_difference_high", "psnr_verdict"),
    *("size_difference", "size_difference_low", "size_difference_high"),
    *("bd_rate", "bd_rate_low", "bd_rate_high", "refused", "lower", "note"),
)
CLEARLY_LOWER = 1.0
"""dB: an image without a BD-rate counts as worse when its PSNR is lower by more than this at every ratio."""

_COLUMN = {"%": "bd_rate", "dB": "psnr_difference"}
"""The unit of a limit -> the column that it applies to."""
_NEEDED = {"%": "curve of PSNR", "dB": "PSNR at a ratio"}


@dataclass(frozen=True)
class Limit:
    """How much worse a codec may get: in percent of bytes, or in dB of PSNR."""

    value: float
    unit: str
    """"%" or "dB"."""


def parse_limit(text: str) -> Limit:
    """Return the limit in a text such as "1%" or "0.1dB".

    Raises:
        UsageError: it is neither.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%|dB)\s*", text)
    if found is None:
        raise UsageError(f"a limit is a number with % or dB, such as 1% (bytes) or 0.1dB (PSNR); found {text!r}.")
    return Limit(float(found[1]), found[2])


def compare(records_a: pd.DataFrame, records_b: pd.DataFrame) -> pd.DataFrame:
    """Return how B differs from A, over the images that both measured.

    One row per codec, protocol and target (the ratio, or the sweep's setting; `weights`: the ratio that a swept learned
    codec was trained for): n, identical (files of the same bytes), lost (images with a file in A and none in B) and
    gained, the paired difference of PSNR in dB over images where both are finite, and the change of the file size in
    percent (geometric mean); with 95 % intervals from n = 10. One row per codec and protocol (target empty) with the
    BD-rate of B compared with A in percent: n (images in its mean), refused (images without a value), lower (how many
    of these are lower by more than `CLEARLY_LOWER` at every ratio) and note (the first refusal).

    Raises:
        UsageError: the records lack a column or contain a record twice.
    """
    runs = prepare(records_a, Manifest()), prepare(records_b, Manifest())
    both = _joined(*runs)
    rows = [_row(dict(zip(KEY, key, strict=False)), mine) for key, mine in both.groupby(KEY[:-1], dropna=False)]
    rows += [row for protocol in ("ratio", "sweep") for row in _bd_rows(*runs, both, protocol)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(KEY[:-1], ignore_index=True)


def absent(records_a: pd.DataFrame, records_b: pd.DataFrame) -> list[str]:
    """Return, in words, the codecs and images that only one of the two runs has, and so are not compared."""
    told = []
    for column in ("codec", "image"):
        a, b = set(records_a[column]), set(records_b[column])
        told += [
            f"only run {name} has the {column}{'s' if len(alone) > 1 else ''} {some(alone)}"
            for name, alone in (("A", a - b), ("B", b - a))
            if alone
        ]
    return told


def _joined(a: RunRecords, b: RunRecords) -> pd.DataFrame:
    columns = [*KEY, "status", "size_bytes", "psnr", "file_sha256"]
    frames = []
    for run in (a, b):
        ratios, swept = run.records["target_ratio"], run.records["protocol"] == "sweep"
        target = ratios.where(~swept, run.records["setting"])
        frames.append(run.records.assign(target=target, weights=ratios.where(swept))[columns])
    return frames[0].merge(frames[1], on=KEY, how="outer", suffixes=("_a", "_b"), sort=True)


def _row(key: Mapping[str, Any], both: pd.DataFrame) -> dict[str, Any]:
    had, has = (both[f"status_{side}"].isin(WITH_FILE).to_numpy(bool) for side in "ab")
    asked = both["status_b"].notna().to_numpy(bool)
    same = both[had & has]
    known = same["file_sha256_a"].ne("") & same["file_sha256_a"].eq(same["file_sha256_b"])
    row = {**key, "n": len(same), "identical": int(known.sum())}
    row |= {"lost": int((had & ~has & asked).sum()), "gained": int((has & ~had).sum())}
    finite = same[np.isfinite(same["psnr_a"]) & np.isfinite(same["psnr_b"])]
    if len(finite):
        found = paired_difference(finite["psnr_b"].to_numpy(), finite["psnr_a"].to_numpy(), SEED)
        row |= {"psnr_difference": found.mean, "psnr_verdict": "same" if not found.mean else verdict(found)}
        row |= {"psnr_difference_low": found.low, "psnr_difference_high": found.high}
    if len(same):
        change = mean_percent(100 * (same["size_bytes_b"] / same["size_bytes_a"] - 1).to_numpy(), SEED)
        row |= {"size_difference": change.mean}
        row |= {"size_difference_low": change.low, "size_difference_high": change.high}
    return row


def _bd_rows(a: RunRecords, b: RunRecords, both: pd.DataFrame, protocol: str) -> list[dict[str, Any]]:
    """Return the BD-rate of each codec with curves in both runs, and how many images have none."""
    rows = []
    curves_a, curves_b = (curves_of(run, "psnr", protocol) for run in (a, b))
    for codec in (codec for codec in curves_a if codec in curves_b):
        shared = [image for image in curves_a[codec] if image in curves_b[codec]]
        pairs = {image: (curves_a[codec][image], curves_b[codec][image]) for image in shared}
        found = bd_rate_over_images(pairs, SEED)
        row = {"codec": codec, "protocol": protocol, "target": np.nan, "n": len(pairs) - len(found.refused)}
        notes = [f"{image}: {reason}" for image, reason in found.refused.items()]
        lower = _lower(both[both["codec"].eq(codec) & both["protocol"].eq("ratio")], found.refused)
        row |= {"refused": len(notes), "lower": lower if protocol == "ratio" else 0, "note": notes[0] if notes else ""}
        if mean := found.interval:
            row |= {"bd_rate": mean.mean, "bd_rate_low": mean.low, "bd_rate_high": mean.high}
        rows.append(row)
    return rows


def _lower(both: pd.DataFrame, images: Collection[str]) -> int:
    """Return on how many of the images PSNR is clearly lower in B at every ratio of the ratio protocol."""
    mine = both[both["image"].isin(images) & both["psnr_a"].notna() & both["psnr_b"].notna()]
    return int((mine["psnr_b"] < mine["psnr_a"] - CLEARLY_LOWER).groupby(mine["image"]).all().sum())


def regressions(table: pd.DataFrame, limit: Limit) -> list[str]:
    """Return, in words, each way in which B is worse than A by more than the limit; empty when there is none.

    A limit in % applies to BD-rate, and images without one must not have a clearly lower PSNR. A limit in dB applies to
    the mean PSNR of each ratio. A result that A has and B lacks always counts. Where there is an interval, all of it
    must be on the worse side of 0.

    Raises:
        UsageError: nothing is worse, and no codec has a value that the limit applies to: a BD-rate for %, a difference
            of PSNR at a ratio for dB.
    """
    told = [
        f"{row['codec']}, {_target(row)}: {row['lost']:.0f} results are lost"
        for row in rows_of(table)
        if row["lost"] > 0
    ]
    told += [
        f"{row['codec']}, {_target(row)}: {row['lower']:.0f} of the {row['refused']:.0f} images without a BD-rate have "
        f"a PSNR lower by more than {CLEARLY_LOWER:g} dB at every ratio"
        for row in rows_of(table)
        if limit.unit == "%" and row["lower"] > 0
    ]
    limited, sign = _limited(table, limit), 1 if limit.unit == "%" else -1
    column = _COLUMN[limit.unit]
    if not len(limited) and not told:
        needs = "four ratios or a sweep" if limit.unit == "%" else "images that both runs measured at a ratio"
        raise UsageError(f"a limit of {limit.value:g} {limit.unit} needs {needs}; the two runs have none in common.")
    for row in rows_of(limited):
        ends = [sign * row[f"{column}_{end}"] for end in ("low", "high")]
        sure = np.isnan(ends[0]) or min(ends) > 0
        if sign * row[column] > limit.value and sure:
            name = "BD-rate" if limit.unit == "%" else "PSNR"
            told.append(f"{row['codec']}, {_target(row)}: {name} {row[column]:+.2f} {limit.unit}")
    return told


def unchecked(table: pd.DataFrame, limit: Limit) -> dict[str, str]:
    """Return the codecs of both runs that a limit cannot be applied to: codec -> reason.

    A codec whose files and PSNR are the same in both runs needs no check.
    """
    shared = table[(table["n"] > 0) & table["target"].notna() & table["protocol"].ne("control")]
    changed = shared[shared["identical"].lt(shared["n"]) | shared["psnr_difference"].fillna(0).ne(0)]
    names = sorted(set(changed["codec"]) - set(_limited(table, limit)["codec"]))
    notes = table[table["note"].fillna("").ne("")].groupby("codec")["note"].first()
    why = notes.to_dict() if limit.unit == "%" else {}
    return {name: str(why.get(name, f"the runs share no finite {_NEEDED[limit.unit]}")) for name in names}


def _limited(table: pd.DataFrame, limit: Limit) -> pd.DataFrame:
    """Return the rows that a limit applies to: those with a BD-rate, or with a difference of PSNR at a ratio."""
    known = table[_COLUMN[limit.unit]].notna()
    return table[known if limit.unit == "%" else known & table["protocol"].eq("ratio")]


def _target(row: Mapping[str, Any]) -> str:
    if np.isnan(row["target"]):
        return f"{row['protocol']} protocol"
    return (
        f"{row['target']:g}x" if row["protocol"] == "ratio" else f"setting {swept({**row, 'setting': row['target']})}"
    )
