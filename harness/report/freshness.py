"""Check whether a folder's report is up to date, so that it is not made again.

A report ends with a fingerprint of everything that decides its bytes: records, manifest, our source, the libraries.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from harness.records.artifacts import Pictures
from harness.records.manifest import Manifest

LIBRARIES = ("jinja2", "matplotlib", "numpy", "pandas", "pillow", "plotly", "scipy", "seaborn")
SOURCES = ("analysis", "metrics", "records", "report")
"""The packages of harness/ that decide the content of a report."""

MARK = "<!-- made from {} -->\n"


def fingerprint(records: pd.DataFrame, manifest: Manifest, pictures: Pictures | None = None) -> str:
    """Return a sha256 of everything that decides the bytes of a report."""
    house = Path(__file__).parents[1]
    files = (path for name in SOURCES for path in (house / name).rglob("*") if "__pycache__" not in path.parts)
    sources = sorted(path for path in files if path.is_file())
    digest = hashlib.sha256()
    for part in (
        pd.util.hash_pandas_object(records, index=False).to_numpy().tobytes(),
        json.dumps([list(map(str, records.columns)), manifest.facts()], sort_keys=True, default=str).encode(),
        *(path.read_bytes() for path in sources),
        *(f"{name} {version(name)}".encode() for name in LIBRARIES),
        *_parts_of(pictures),
    ):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def _parts_of(pictures: Pictures | None) -> Iterator[bytes]:
    if pictures is None:
        return
    yield str(pictures.max_bytes).encode()
    for name, source in (*sorted(pictures.originals.items()), *sorted(pictures.decoded.items())):
        yield repr(name).encode()
        yield source if isinstance(source, bytes) else source.read_bytes()


def mark(key: str) -> str:
    """Return the last line of a report made from `key`."""
    return MARK.format(key)


def is_fresh(folder: Path, key: str) -> bool:
    """Return whether report.md, report.html and every figure in report.md exist and were made from `key`."""
    texts = []
    for name in ("report.md", "report.html"):
        path = folder / name
        texts.append(path.read_text(encoding="utf-8") if path.is_file() else "")
    if not all(text.endswith(mark(key)) for text in texts):
        return False
    shown = re.findall(r'<img src="([^"]+)\.png"', texts[0])
    return all((folder / f"{name}.{ending}").is_file() for name in shown for ending in ("png", "svg"))
