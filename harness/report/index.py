"""index.html of a results folder: its runs, newest first, each with a link to its report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.report import words
from harness.system.files import write_text

COLUMNS = ("run", "suite", "state", "codecs", "images", "records", "lossless control", "as files")


def index_text(runs: Mapping[str, Mapping[str, Any]]) -> str:
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


def _row(name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    control = words.control_verdict(manifest)
    return {
        "name": name,
        "cells": [
            str(manifest.get("suite") or ""),
            str(manifest.get("state") or ""),
            str(len(manifest.get("codecs") or ())),
            str(len(manifest.get("images") or ())),
            str(sum(dict(manifest.get("statuses") or {}).values())),
            "passed"
            if control.startswith("Lossless control passed")
            else "not run"
            if "not run" in control
            else "FAILED",
        ],
    }


def write_index(results: Path) -> Path:
    """Write index.html of the runs in a results folder, and return its path; what is no run is passed over."""
    runs = {}
    for path in sorted(results.glob("*/manifest.json")):
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:  # half-written, or no manifest of ours
            continue
        if isinstance(manifest, dict):
            runs[path.parent.name] = manifest
    page = results / "index.html"
    write_text(page, index_text(runs))
    return page
