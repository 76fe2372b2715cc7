"""How many encodes the search needs for each image and ratio, codec by codec, and what it misses.

    python benchmarks/encodes.py --suite kodak --limit 4
    python benchmarks/encodes.py --exhaustive jpeg-444 webp

The first runs `harness bench` into an empty folder and prints what its manifest counted. The second encodes every
setting of the named codecs and lists each case where the search finds a smaller file than a full search, with its cost.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from harness import load_codec
from harness.config import schema
from harness.data import datasets
from harness.data.images import read_image
from harness.interface import Codec, Image
from harness.plan.request import Request
from harness.rate import Search, target_bytes
from harness.run.bench import bench

RATIOS = (4.0, 8.0, 12.0, 16.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="demo")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--exhaustive", nargs="*", metavar="CODEC", default=[])
    asked = parser.parse_args()
    if asked.exhaustive:
        compare(asked.suite, asked.limit, asked.exhaustive)
    else:
        count(asked.suite, asked.limit, asked.jobs)


def count(suite: str, limit: int | None, jobs: int | None) -> None:
    """Print encodes per image and ratio of every default codec."""
    with tempfile.TemporaryDirectory() as folder:
        overlay = Path(folder) / "psnr.toml"
        overlay.write_text(f'[suites.encodes]\ndescription = "PSNR alone"\ndata = "{suite}"\nmetrics = ["psnr"]\n')
        request = Request(
            schema.load(overlay), suite="encodes", ratios=RATIOS, limit=limit, jobs=jobs, results=Path(folder)
        )
        encodes = bench(request).manifest["encodes"]
    for name, per_target in sorted(encodes["per_codec"].items(), key=lambda entry: float(entry[1])):
        print(f"{name:20} {per_target:6.2f}")
    print(f"{'all':20} {encodes['per_target']:6.2f}  ({encodes['count']} encodes)")


def compare(suite: str, limit: int | None, codec_ids: list[str]) -> None:
    """Print each case in which the search finds less than a full search of the ladder."""
    sources = datasets.from_set(suite, schema.load().data_set(suite))[:limit]
    missed = encodes = 0
    for codec_id in codec_ids:
        codec = load_codec(codec_id)
        for source in sources:
            image = read_image(source.path).pixels
            sizes = [len(codec.encode(image, setting)) for setting in codec.ladder]
            search = Search(len(sizes), sizes.__getitem__)
            for ratio in RATIOS:
                target_size = target_bytes(image.nbytes, ratio)
                found = search.choose(target_size).index
                best = max(range(len(sizes)), key=lambda index: (sizes[index] <= target_size, sizes[index]))
                if sizes[best] <= target_size and sizes[found] != sizes[best]:
                    missed += 1
                    cost = _psnr(codec, image, best) - _psnr(codec, image, found)
                    print(f"{codec_id} on {source.name} at {ratio:g}x: index {found}, best {best}, {cost:.3f} dB")
            encodes += len(search.sizes)
    cases = len(codec_ids) * len(sources) * len(RATIOS)
    print(f"{missed} misses in {cases} cases; {encodes / cases:.2f} encodes a case, no image's curve known before")


def _psnr(codec: Codec, image: Image, index: int) -> float:
    decoded = codec.decode(codec.encode(image, codec.ladder[index])).astype(float)
    return float(10 * np.log10(255**2 / np.mean((decoded - image) ** 2)))


if __name__ == "__main__":
    main()
