"""Decode mutated streams of every codec here and count how they end.

Run: `python -m tests.support.fuzz_codecs --streams 100000`.

The codecs take turns, so an interrupted run is balanced. Its last lines are a table of what happened until then.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from tabulate import tabulate

from harness.errors import MissingDependencyError
from harness.sandbox.process import CodecProcess
from tests.support.codec_cases import specs
from tests.support.fuzzing import LIMITS, Totals, fuzz_codec, unready

TURN = 250
TURN_OF_PROGRAMS = 10
"""Streams of one turn of a codec that starts a program to decode."""


def main() -> None:
    """Fuzz until so many streams were decoded, or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="Stop after so long.")
    asked = parser.parse_args()
    process = CodecProcess(LIMITS)
    totals: dict[str, Totals] = {}
    end = time.monotonic() + asked.seconds
    try:
        turn = 0
        while sum(found.count for found in totals.values()) < asked.streams and time.monotonic() < end:
            for codec_id, spec in specs().items():
                if unready(spec):
                    continue
                program = spec.target.endswith((":Ffmpeg", ":Command"))
                try:
                    made = fuzz_codec(spec, process, TURN_OF_PROGRAMS if program else TURN, turn)
                except MissingDependencyError:
                    continue
                totals.setdefault(codec_id, Totals()).add(made)
                if time.monotonic() >= end:
                    break
            turn += 1
    finally:
        process.close()
        report(totals)


def report(totals: dict[str, Totals]) -> None:
    """Print one row a codec, the sum, and every fault."""
    rows: list[tuple[Any, ...]] = [
        (name, found.count, *ended(found), round(found.slowest_seconds, 2), round(found.peak_rss_mb))
        for name, found in totals.items()
    ]
    whole = [sum(row[column] for row in rows) for column in range(1, 5)]
    slowest, peak = (max((row[column] for row in rows), default=0) for column in (5, 6))
    head = ["codec", "streams", "an image", "BadStreamError", "else", "slowest s", "peak MB"]
    print(tabulate([*rows, ("all", *whole, slowest, peak)], head, tablefmt="github"))  # noqa: T201 - what it is for
    for name, found in totals.items():
        for ending, data in found.faults[:5]:
            print(f"{name}: {ending}: {data.hex()[:4000]}")  # noqa: T201


def ended(totals: Totals) -> tuple[int, int, int]:
    """Return how many streams ended in an image, in a BadStreamError, and otherwise."""
    return totals.endings["an image"], totals.endings["a BadStreamError"], len(totals.faults)


if __name__ == "__main__":
    main()
