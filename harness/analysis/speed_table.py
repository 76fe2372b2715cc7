"""Speed and quality: megapixels per second of each compared codec, from the timing pass."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.run import RunRecords, rows_of

SPEEDS = {
    "encode": "encode_seconds",
    "decode": "decode_seconds",
    "encode, all threads": "encode_seconds_all_threads",
    "decode, all threads": "decode_seconds_all_threads",
}
"""Direction -> the column of its seconds; one thread where it does not say all."""

COLUMNS = ("target_ratio", "codec", "psnr", "direction", "n", "mp_s", "best", "busy")


def speed_rows(run: RunRecords, ratio_table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per ratio, compared codec and direction that was timed; empty without timings.

    Columns: target_ratio, codec, psnr (mean in dB of the ratio table), direction (of `SPEEDS`), n (images timed),
    mp_s (sum of megapixels / sum of seconds), best (no other codec is both faster and better at this ratio), busy (the
    largest load of the machine by other processes before the pass, in percent).
    """
    timed = {direction: column for direction, column in SPEEDS.items() if column in run.records}
    compared = rows_of(ratio_table[ratio_table["compared"]]) if len(ratio_table) else []
    if not timed or not compared:
        return pd.DataFrame(columns=list(COLUMNS))
    by_key = dict(list(run.protocol("ratio").groupby(["target_ratio", "codec"])))
    rows = [
        {**{name: row[name] for name in ("target_ratio", "codec", "psnr")}, "direction": direction, **speed}
        for row in compared
        for direction, column in timed.items()
        if (speed := _speed(by_key[row["target_ratio"], row["codec"]], column))
    ]
    for row in rows:
        row["best"] = not any(_beats(other, row) for other in rows)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _speed(frame: pd.DataFrame, column: str) -> dict[str, Any]:
    """Return n, mp_s and busy for a codec's records at one ratio; empty where none was timed."""
    used = frame[frame[column] > 0]
    if not len(used):
        return {}
    megapixels = (used["size_bytes"] * 8 / used["bpp"]).sum() / 1e6
    busy = used["timing_busy_percent"].max() if "timing_busy_percent" in used else None
    return {"n": len(used), "mp_s": megapixels / used[column].sum(), "busy": busy}


def _beats(other: dict[str, Any], row: dict[str, Any]) -> bool:
    same = all(other[name] == row[name] for name in ("target_ratio", "direction"))
    better = other["mp_s"] > row["mp_s"] and other["psnr"] >= row["psnr"]
    return same and (better or (other["mp_s"] == row["mp_s"] and other["psnr"] > row["psnr"]))
