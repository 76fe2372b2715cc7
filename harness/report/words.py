"""How numbers and findings are put into words, the same on the page, in report.md and in the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.analysis.columns import Metric, missing
from harness.records.manifest import LosslessControl, Manifest

ABSENT = "–"

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$&!@])")
"""The characters that GitHub reads as markup."""

FAIRNESS = (
    "The ratio is raw bytes / file bytes: raw is height x width x channels x bytes per sample, and the file is a "
    "real one, headers included, that another process decoded.",
    "Ratio protocol: each image on its own has a budget of floor(raw / ratio) bytes; the largest file that fits "
    "is taken. A capped codec fits even at its top setting; an unreachable one never fits.",
    "Metrics are computed on the integers that the decoder returned, never on floats; the peak is "
    "2^sample_bits - 1 of the image.",
    "Coarse ladders waste budget, so beside each mean stands its value at exactly the budget, interpolated in log "
    "bytes between the fitting setting and the next. A rank that changes under it is marked.",
    "Lossless results are counted apart and are in no mean of PSNR. Control codecs are in no table of ratios.",
    "Differences are paired: per image, then averaged, with a 95 % bootstrap interval over images. Below ten images "
    "there are points and no intervals.",
    "Beside a rank stands in how many of the bootstrap's resamples of the images the codec has that very rank.",
    "MS-SSIM in dB is -10 log10(1 - x) per image, then averaged: a mean of dB, not the dB of a mean.",
    "The sweep protocol uses one setting for all images, as papers do; its curves never share axes with those of the "
    "ratio protocol.",
    "A learned codec that was trained on a test image is leaked; where nobody knows its training images, or the image "
    "has too little structure to tell, it is unknown; unknown is not clean.",
)
"""The rules of a comparison, one sentence or two each."""


def number(value: Any, digits: int) -> str:
    """Print a number, or a dash for an empty one."""
    return ABSENT if missing(value) else f"{float(value):.{digits}f}"


def percent(value: Any) -> str:
    """Print a share of 1 in percent."""
    return ABSENT if missing(value) else f"{100 * float(value):.1f} %"


def interval(row: Mapping[str, Any], column: str, digits: int) -> str:
    """Print the interval of a column, such as "38.95 to 40.52"; empty where there is none."""
    low, high = row.get(f"{column}_low"), row.get(f"{column}_high")
    return "" if missing(low) or missing(high) else f"{low:.{digits}f} to {high:.{digits}f}"


def mean(row: Mapping[str, Any], metric: Metric) -> str:
    """Print a metric's mean and, where there is one, its interval: "39.74 (38.95 to 40.52)"."""
    inside = interval(row, metric.column, metric.digits)
    text = number(row.get(metric.column), metric.digits)
    return f"{text} ({inside})" if inside else text


def signed(value: Any, digits: int = 2) -> str:
    """Print a difference with its sign."""
    return ABSENT if missing(value) else f"{float(value):+.{digits}f}"


def difference(row: Mapping[str, Any]) -> str:
    """Print a paired difference of PSNR in dB with its interval and finding."""
    if row["codec"] == row["anchor"]:
        return "anchor"
    if missing(row.get("psnr_difference")):
        return ABSENT
    return f"{signed(row['psnr_difference'])} dB ({difference_detail(row)})"


def difference_detail(row: Mapping[str, Any]) -> str:
    """Print what stands behind a paired difference: "+0.35 to +0.61, better, wins 22 of 24"."""
    if row["codec"] == row["anchor"] or missing(row.get("psnr_difference")):
        return ""
    low, high = row.get("psnr_difference_low"), row.get("psnr_difference_high")
    inside = "" if missing(low) else f"{signed(low)} to {signed(high)}"
    wins = f"wins {int(row['psnr_wins'])} of {int(row['psnr_difference_n'])}"
    return ", ".join(part for part in (inside, str(row["psnr_verdict"]), wins) if part)


def bd_rate(row: Mapping[str, Any]) -> str:
    """Print a BD-rate with its interval and finding: "-15.5 % (-17.0 to -14.1), fewer bytes"."""
    if missing(row.get("bd_rate")):
        return "refused"
    low, high = row.get("bd_rate_low"), row.get("bd_rate_high")
    text = f"{signed(row['bd_rate'], 1)} %"
    if low is None or high is None or missing(low) or missing(high):
        return text
    finding = "not significant" if low <= 0 <= high else "fewer bytes" if high < 0 else "more bytes"
    return f"{text} ({signed(low, 1)} to {signed(high, 1)}), {finding}"


def rank_change(row: Mapping[str, Any]) -> str:
    """Say how the rank changes at exactly the budget, such as "3rd at equal bytes"; empty where it does not."""
    rank, other = row.get("rank"), row.get("rank_at_budget")
    if missing(rank) or missing(other) or rank == other:
        return ""
    return f"{ordinal(int(other or 0))} at equal bytes"


def partial_mean(row: Mapping[str, Any]) -> str:
    """Say that a mean is not over every image of the ratio: "mean over 22 of 24"; empty where it is, or there is none.

    The images that are not in it are those that most codecs lack, whether this one has them or not.
    """
    return f"mean over {row['n']} of {row['images']}" if row["compared"] and row["n"] < row["images"] else ""


def rank_detail(row: Mapping[str, Any]) -> str:
    """Say how stable a rank is, such as "in 97 %" of resamples; empty below ten images."""
    return "" if missing(row.get("rank_share")) else f"in {100 * float(row['rank_share']):.0f} %"


def ordinal(place: int) -> str:
    """Print a rank: 1st, 2nd, 3rd, 4th."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th") if place % 100 not in {11, 12, 13} else "th"
    return f"{place}{ending}"


def codec_name(row: Mapping[str, Any]) -> str:
    """Print a codec with its leak status where that is not clean: "resnet (leak unknown)"."""
    note = leak_note(row)
    return f"{row['codec']} ({note})" if note else str(row["codec"])


def leak_note(row: Mapping[str, Any]) -> str:
    """Say whether a learned codec's numbers are to be doubted; empty for a clean one."""
    return {"leaked": "leaked", "unknown": "leak unknown"}.get(str(row.get("leak")), "")


def control_verdict(manifest: Manifest) -> str:
    """Return the result of the lossless control as a sentence."""
    control = manifest.lossless_control or LosslessControl()
    not_run = "; ".join(control.not_run)
    if not control.records:
        text = "The lossless control was not run: nothing shows that the metrics see exact pictures as exact"
        return f"{text} ({not_run})." if not_run else f"{text}."
    if control.valid:
        ran = " that ran" if not_run else ""
        return f"Lossless control passed: every lossless codec{ran} scored as the reference against itself."
    wrong = f": {'; '.join(control.wrong)}" if control.wrong else ""
    return (
        "LOSSLESS CONTROL FAILED: this run is invalid. A lossless codec did not score as the reference against itself"
        f"{wrong}."
    )


def escape(text: object) -> str:
    """Return text, on one line, that GitHub shows as it is: names and reasons come from plugins."""
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """Return a table in Markdown; the first `left` columns are aligned left, the others right. Cells are escaped."""
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("|" + "|".join(":--" if place < left else "--:" for place in range(len(head))) + "|")
    lines += ["| " + " | ".join(escape(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
