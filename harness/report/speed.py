"""Speed against quality: megapixels a second of each compared codec, from the timing pass."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.report.run import Run, rows_of

DIRECTIONS = ("encode", "decode")


def speed_rows(run: Run, ratio_table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a (ratio, compared codec, direction) that was timed; empty without timings.

    Columns: target_ratio, codec, direction, n (images timed), mp_s (sum of megapixels / sum of seconds), psnr (mean
    in dB of the ratio table), best (no other codec is both faster and better at this ratio).
    """
    timed = [name for name in DIRECTIONS if f"{name}_seconds" in run.records]
    rows: list[dict[str, Any]] = []
    compared = rows_of(ratio_table[ratio_table["compared"]]) if len(ratio_table) else []
    by_key = dict(list(run.protocol("ratio").groupby(["target_ratio", "codec"]))) if timed and compared else {}
    for row in compared:
        frame = by_key.get((row["target_ratio"], row["codec"]), pd.DataFrame())
        for direction in timed:
            used = frame[frame[f"{direction}_seconds"] > 0]
            if len(used):
                megapixels = (used["size_bytes"] * 8 / used["bpp"]).sum() / 1e6
                speed = megapixels / used[f"{direction}_seconds"].sum()
                key = {name: row[name] for name in ("target_ratio", "codec", "psnr")}
                rows.append({**key, "direction": direction, "n": len(used), "mp_s": speed})
    for row in rows:
        row["best"] = not any(_beats(other, row) for other in rows)
    return pd.DataFrame(rows, columns=["target_ratio", "codec", "psnr", "direction", "n", "mp_s", "best"])


def _beats(other: dict[str, Any], row: dict[str, Any]) -> bool:
    same = all(other[name] == row[name] for name in ("target_ratio", "direction"))
    better = other["mp_s"] > row["mp_s"] and other["psnr"] >= row["psnr"]
    return same and (better or (other["mp_s"] == row["mp_s"] and other["psnr"] > row["psnr"]))
