"""Write measured results into model cards: `python scripts/card_results.py WEIGHTS RUN...`.

A RUN is the folder of a finished bench. For each of its learned codecs with weights in WEIGHTS, the script writes to
`results` of the card, under the suite: the mean PSNR of every codec at the weights' target ratio and, if the run swept
the codec, its points beside the published curves of the figure kodak-psnr at the same rates.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from harness.config.schema import load
from harness.errors import DataError
from harness.learned.checkpoint import Card, cards, write_card
from harness.records import manifest
from harness.reproduce.published import read_curve
from harness.reproduce.spec import recipe

FIGURE = "kodak-psnr"
"""The figure whose published curves a sweep on Kodak is compared with."""
KODAK = ("kodak", FIGURE)
"""The suites that measure Kodak."""


def write_results(weights: Path, run: Path) -> int:
    """Write a run's results into the cards of its weights; return how many were written."""
    about = manifest.read(run / manifest.NAME)
    records = pd.read_csv(run / "records.csv")
    written = 0
    for card, path in cards([weights]):
        for codec in about.codecs:
            facts = codec.provenance_by_ratio.get(f"{card.ratio:g}x", {})
            if facts.get("weights") == card.sha256:
                table = results(card, codec.id, records, about.suite)
                old = dict(card.results.get(about.suite, {}))
                all_of_it = {**card.results, about.suite: {**old, **table}}
                write_card(card.model_copy(update={"results": all_of_it}), path.with_suffix(".json"))
                written += 1
    return written


def results(card: Card, codec: str, records: pd.DataFrame, suite: str) -> dict[str, Any]:
    """Return the results of one run for weights: `ratio` and `sweep`, if the run has them."""
    found: dict[str, Any] = {}
    at_ratio = records[(records.protocol == "ratio") & (records.target_ratio == card.ratio)]
    if (at_ratio.codec == codec).any():
        means = {str(name): mean_psnr(part) for name, part in at_ratio.groupby("codec")}
        found["ratio"] = {"codec": codec, "images": int(at_ratio.image.nunique()), "psnr": means}
    own = records[(records.codec == codec) & (records.target_ratio == card.ratio)]
    swept = own[own.protocol == "sweep"]
    if len(swept):
        found["sweep"] = [point(float(str(setting)), part, suite) for setting, part in swept.groupby("setting")]
    return found


def point(setting: float, records: pd.DataFrame, suite: str) -> dict[str, Any]:
    """Return the means of one setting and, on Kodak, the published PSNR at the same rate."""
    bpp = float(records.bpp.mean())
    found = {"setting": setting, "images": len(records), "bpp": round(bpp, 4), "psnr": round(records.psnr.mean(), 3)}
    return {**found, "published_at_this_rate": published(bpp)} if suite in KODAK else found


def mean_psnr(records: pd.DataFrame) -> float | str:
    """Return the mean PSNR in dB over a codec's records, or the number of records that missed the target."""
    missed = records[records.status != "reached"]
    if len(missed):
        return f"{', '.join(sorted(missed.status.unique()))}: {len(missed)} of {len(records)}"
    return round(float(records.psnr.mean()), 3)


def published(bpp: float) -> Mapping[str, float | None]:
    """Return the mean PSNR in dB of each published curve at a rate; None beyond its end."""
    config = load()
    found: dict[str, float | None] = {}
    for curve in recipe(config, FIGURE).curves:
        value = read_curve(config, curve, "psnr").at(bpp)
        found[f"{curve.label} ({curve.source})"] = None if value is None else round(value, 3)
    return found


def main(weights: Path, runs: list[Path]) -> None:
    """Write the results of every run."""
    for run in runs:
        try:
            count = write_results(weights, run)
        except (OSError, DataError) as error:
            sys.exit(f"{run}: {error}")
        if not count:
            sys.exit(f"{run} measured none of the weights in {weights}; nothing is written.")
        print(f"{run}: {count} cards written")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(run) for run in sys.argv[2:]])
