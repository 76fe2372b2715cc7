"""index.html of a results folder: its runs, newest first, with links to their reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.records import manifest
from harness.records.manifest import Manifest
from harness.system.files import write_text

COLUMNS = ("run", "suite", "state", "codecs", "images", "records", "lossless control", "as files")


def index_text(runs: Mapping[str, Manifest]) -> str:
    """Return the page; `runs` maps a folder's name to its manifest."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    rows = [_row(name, runs[name]) for name in sorted(runs, reverse=True)]
    style = Markup((here / "page" / "page.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file
    return environment.get_template("index.html.j2").render(head=COLUMNS, rows=rows, style=style)


def _row(name: str, manifest: Manifest) -> dict[str, Any]:
    control = manifest.lossless_control
    verdict = "not run" if control is None or not control.records else "passed" if control.valid else "FAILED"
    counts = len(manifest.codecs), len(manifest.images), sum(manifest.statuses.values())
    return {"name": name, "cells": [manifest.suite, manifest.state, *map(str, counts), verdict]}


def write_index(results: Path) -> Path:
    """Write index.html of the runs in a results folder, and return its path."""
    page = results / "index.html"
    write_text(page, index_text({folder.name: found for folder, found in manifest.search(results)}))
    return page
