"""report.html: one self-contained interactive page, which needs no network.

Names and reasons may come from plugins: the template escapes them, the JSON cannot end its element, and the content
security policy allows only the page's own scripts, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.analysis.problems import absent_means, status_counts
from harness.analysis.ratio_table import RULE
from harness.analysis.run import RunRecords
from harness.analysis.tables import Tables
from harness.report import words
from harness.report.page.charts import opening_ratio, page_data, script_json
from harness.report.page.tables import page_tables

SECTIONS = {
    "ratio": "Ratios",
    "curves": "Curves",
    "differences": "Differences",
    "images": "Images",
    "bd": "Sweep",
    "speed": "Speed",
    "viewer": "Pictures",
    "problems": "Errors and missing results",
    "fairness": "Fairness",
    "manifest": "Configuration",
}
"""Id of a section -> its name in the navigation."""


def page_text(run: RunRecords, tables: Tables, viewer: Mapping[str, Any] | None = None) -> str:
    """Return report.html; `viewer` is the result of `viewer.viewer_data`, None for a page without pictures."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    folder = Path(__file__).parent
    names = ["tables.js", "page.js", *(["viewer.js"] if viewer else [])]
    scripts = [get_plotlyjs(), *((folder / name).read_text(encoding="utf-8") for name in names)]
    data = {**page_data(run, tables), "viewer": viewer}
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("page.html.j2").render(
        **_words_of(run, tables, viewer),
        **page_tables(run, tables),
        policy=_policy(scripts),
        style=Markup((folder / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files, and plotly's
        data=Markup(script_json(data)),  # noqa: S704 - escaped by script_json
    )


def _words_of(run: RunRecords, tables: Tables, viewer: Mapping[str, Any] | None) -> dict[str, Any]:
    manifest = run.manifest
    images = run.records["image"].nunique()
    opening = opening_ratio(run, tables.ratio)
    present = {"curves", "images", "problems", "fairness", "manifest"}
    present |= {"ratio", "differences"} if len(tables.ratio) else set()
    present |= {"bd"} if len(tables.bd) or len(tables.rate_match) else set()
    present |= {"speed"} if len(tables.speed) else set()
    present |= {"viewer"} if viewer else set()
    return {
        "title": f"Report: {manifest.suite or 'records'}",
        "facts": _facts(run, images),
        "verdict": words.control_verdict(manifest),
        "valid": manifest.lossless_control is not None and manifest.lossless_control.valid,
        "sections": [(key, name) for key, name in SECTIONS.items() if key in present],
        "rules": (RULE, *words.FAIRNESS),
        "few": f"n = {images} images: no intervals, which need at least ten images." if images < 10 else "",
        "absent": absent_means(run),
        "ratios": [f"{ratio:g}" for ratio in run.ratios],
        "opening": f"{opening:g}" if opening else "",
        "anchor": tables.anchor or "the anchor",
        "differences": manifest.differences,
        "command": manifest.command,
        "manifest": json.dumps(manifest.facts(), indent=2, sort_keys=True, ensure_ascii=False, default=str),
        "viewer": viewer,
    }


def _facts(run: RunRecords, images: int) -> list[str]:
    manifest = run.manifest
    counts = status_counts(run)
    facts = [f"{len(run.codecs)} codecs", f"{images} images", f"{sum(counts.values())} records"]
    facts += [f"{count} {status}" for status, count in counts.items() if status not in {"reached", "measured"}]
    if manifest.started:
        facts.append(f"started {manifest.started}")
    if manifest.seconds is not None:
        facts.append(f"{manifest.seconds:.0f} s")
    if manifest.encodes and manifest.encodes.per_target is not None:
        facts.append(f"{manifest.encodes.per_target:.1f} encodes per image and ratio")
    return facts


def _policy(scripts: Sequence[str]) -> str:
    """Return a content security policy that allows only these scripts, and no network."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{text}'" for text in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
