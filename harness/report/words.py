"""Numbers and results as text, the same on the page, in report.md and in the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.analysis.columns import MetricColumn, missing
from harness.records.manifest import LosslessControl, Manifest

ABSENT = "–"

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$&!@])")
"""The characters that GitHub reads as markup."""

FAIRNESS = (
    "Ratio: raw bytes / file bytes. Raw bytes are height x width x channels x bytes per sample; the file is real, "
    "headers included, and another process decoded it.",
    "Ratio protocol: each image has a target size of floor(raw bytes / ratio) bytes, and the largest file within it is "
    "taken. A capped codec fits even at its highest setting; an unreachable one never fits.",
    "Metrics are computed on the integers that the decoder returned, never on floats; the peak is "
    "2^sample_bits - 1 of the image.",
    "A codec with few settings leaves part of the target size unused. PSNR interpolated at the target rate makes up "
    "for that: the value at exactly the target size, in log bytes between the largest file that fits and the next. A "
    "rank that changes with it is marked.",
    "Lossless results are counted apart and are in no mean of PSNR. Lossless control codecs are in no table of ratios.",
    "Differences are paired: per image, then averaged, with a 95 % bootstrap interval over images. With fewer than ten "
    "images there are no intervals.",
    "The share beside a rank says in how many bootstrap resamples of the images the codec has that rank.",
    "MS-SSIM in dB is -10 log10(1 - x) per image, then averaged: a mean of dB, not the dB of a mean.",
    "The sweep protocol uses one setting for all images, as papers do; its curves are never drawn with those of the "
    "ratio protocol.",
    "Train/test contamination: a learned codec that was trained on a test image is marked leaked. Where its training "
    "images are not known, or the image has too little structure for the check, it is unknown, which is not clean.",
)
"""The rules of a comparison."""


def number(value: Any, digits: int) -> str:
    """Return a number as text, or a dash where it is absent."""
    return ABSENT if missing(value) else f"{float(value):.{digits}f}"


def percent(value: Any) -> str:
    """Return a share of 1 in percent."""
    return ABSENT if missing(value) else f"{100 * float(value):.1f} %"


def interval(row: Mapping[str, Any], column: str, digits: int) -> str:
    """Return the interval of a column, such as "38.95 to 40.52"; empty where there is none."""
    low, high = row.get(f"{column}_low"), row.get(f"{column}_high")
    return "" if missing(low) or missing(high) else f"{low:.{digits}f} to {high:.{digits}f}"


def mean(row: Mapping[str, Any], metric: MetricColumn) -> str:
    """Return a metric's mean, with its interval where there is one: "39.74 (38.95 to 40.52)"."""
    inside = interval(row, metric.column, metric.digits)
    text = number(row.get(metric.column), metric.digits)
    return f"{text} ({inside})" if inside else text


def signed(value: Any, digits: int = 2) -> str:
    """Return a difference with its sign."""
    return ABSENT if missing(value) else f"{float(value):+.{digits}f}"


def difference(row: Mapping[str, Any]) -> str:
    """Return a paired difference of PSNR in dB, with its interval and verdict."""
    if row["codec"] == row["anchor"]:
        return "anchor"
    if missing(row.get("psnr_difference")):
        return ABSENT
    return f"{signed(row['psnr_difference'])} dB ({difference_detail(row)})"


def difference_detail(row: Mapping[str, Any]) -> str:
    """Return the interval, verdict and wins of a paired difference: "+0.35 to +0.61, better, wins 22 of 24"."""
    if row["codec"] == row["anchor"] or missing(row.get("psnr_difference")):
        return ""
    low, high = row.get("psnr_difference_low"), row.get("psnr_difference_high")
    inside = "" if missing(low) else f"{signed(low)} to {signed(high)}"
    wins = f"wins {int(row['psnr_wins'])} of {int(row['psnr_difference_n'])}"
    return ", ".join(part for part in (inside, str(row["psnr_verdict"]), wins) if part)


def bd_rate(row: Mapping[str, Any]) -> str:
    """Return a BD-rate with its interval and verdict: "-15.5 % (-17.0 to -14.1), fewer bytes"."""
    if missing(row.get("bd_rate")):
        return "refused"
    low, high = row.get("bd_rate_low"), row.get("bd_rate_high")
    text = f"{signed(row['bd_rate'], 1)} %"
    if low is None or high is None or missing(low) or missing(high):
        return text
    finding = "not significant" if low <= 0 <= high else "fewer bytes" if high < 0 else "more bytes"
    return f"{text} ({signed(low, 1)} to {signed(high, 1)}), {finding}"


def rank_change(row: Mapping[str, Any]) -> str:
    """Return the rank at exactly the target rate, "3rd at the target rate"; empty where it is the same rank."""
    rank, other = row.get("rank"), row.get("rank_at_budget")
    if missing(rank) or missing(other) or rank == other:
        return ""
    return f"{ordinal(int(other or 0))} at the target rate"


def partial_mean(row: Mapping[str, Any]) -> str:
    """Return "mean over 22 of 24" where a mean is not over every image of the ratio; empty where it is, or is absent.

    The images left out are those on which most codecs miss the target, whether this one does or not.
    """
    return f"mean over {row['n']} of {row['images']}" if row["compared"] and row["n"] < row["images"] else ""


def rank_detail(row: Mapping[str, Any]) -> str:
    """Return the share of resamples in which a codec has its rank, "in 97 %"; empty below ten images."""
    return "" if missing(row.get("rank_share")) else f"in {100 * float(row['rank_share']):.0f} %"


def ordinal(place: int) -> str:
    """Return a rank as text: 1st, 2nd, 3rd, 4th."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th") if place % 100 not in {11, 12, 13} else "th"
    return f"{place}{ending}"


def codec_name(row: Mapping[str, Any]) -> str:
    """Return a codec's name, with a note where it may be contaminated: "resnet (contamination unknown)"."""
    note = leak_note(row)
    return f"{row['codec']} ({note})" if note else str(row["codec"])


def leak_note(row: Mapping[str, Any]) -> str:
    """Return a note where a learned codec may have been trained on test images; empty for a clean one."""
    return {"leaked": "leaked", "unknown": "contamination unknown"}.get(str(row.get("leak")), "")


def control_verdict(manifest: Manifest) -> str:
    """Return the result of the lossless control as a sentence."""
    control = manifest.lossless_control or LosslessControl()
    not_run = "; ".join(control.not_run)
    if not control.records:
        text = "The lossless control was not run: nothing shows that the metrics score exact pictures as exact"
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
