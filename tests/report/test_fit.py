"""The page fits: a phone and a narrow desk, codecs without means, and charts of which nothing can be drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.records.manifest import CodecEntry
from harness.report import write_report
from tests.support.browser import Browser
from tests.support.synthetic import control, image_names, manifest, problem, realistic

pytestmark = pytest.mark.browser

CODECS = ("jpeg-420", "jpeg-444", "webp", "avif-444")
IMAGES = 12
PHONE, DESK = 390, 1100
ON_A_PHONE = pytest.mark.parametrize("width", [PHONE])
NARROW, UNREACHED = 12.0, 16.0
"""Ratios: at the first only jpeg-444 is reached, at the second no codec."""
REASON = "no weights of baseline for this ratio in /home/someone/.cache/harness/weights: train them with harness train"


@pytest.fixture(scope="module")
def poor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page whose largest ratios nobody reaches, with a codec without weights, and an image too small for MS-SSIM."""
    folder = tmp_path_factory.mktemp("poor")
    records = realistic(CODECS, IMAGES)
    unreached = (records["target_ratio"] == NARROW) & (records["codec"] != "jpeg-444")
    records.loc[unreached | (records["target_ratio"] == UNREACHED), "status"] = "unreachable"
    records.loc[records["image"] == "kodim03", "ms_ssim"] = np.nan
    names = image_names(IMAGES)
    more = [problem(image, "baseline", ratio, "missing", REASON) for image in names for ratio in (4.0, 8.0)]
    more += [control(image, codec, 2.0) for image in names for codec in ("png", "jxl-lossless")]
    codecs = (*(CodecEntry(id=codec) for codec in CODECS), CodecEntry(id="baseline", leak="unknown"))
    about = manifest(CODECS, IMAGES).model_copy(update={"codecs": codecs})
    write_report(folder, pd.concat([records, pd.DataFrame(more)], ignore_index=True), about)
    return folder / "report.html"


@pytest.fixture
def width() -> int:
    """The window's width in pixels; a test's parameter of this name replaces it."""
    return DESK


@pytest.fixture
def opened(browser: Browser, poor: Path, width: int) -> Browser:
    """The browser, with that page just opened."""
    browser.show(width=width)
    browser.open(poor)
    return browser


def box(browser: Browser, element: str) -> dict[str, float]:
    """Where an element is in the window; `element` is the script's expression for it."""
    found: dict[str, float] = browser.evaluate(f"({element}).getBoundingClientRect().toJSON()")
    return found


def first(table: str, column: str) -> str:
    """The script's expression for the first visible cell of a column."""
    heads = f"[...document.querySelectorAll('#{table} thead th')]"
    return f"{rows(table)}[0].cells[{heads}.findIndex(cell => cell.textContent === '{column}')]"


def rows(table: str) -> str:
    """The script's expression for the visible rows."""
    return f"[...document.querySelectorAll('#{table} tbody tr')].filter(row => !row.hidden)"


@pytest.mark.parametrize(("width", "column"), [(PHONE, "PSNR (dB)"), (DESK, "share of the target size")])
def test_rank_status_and_means_are_seen_without_scrolling(opened: Browser, width: int, column: str) -> None:
    heads = opened.evaluate(
        "[...document.querySelectorAll('#ratio-table thead th')].filter(e => e.offsetWidth).map(e => e.textContent)"
    )
    assert heads[:4] == ["codec", "status", "rank", "PSNR (dB)"]
    assert box(opened, first("ratio-table", column))["right"] <= width - 16


def test_the_ratio_is_a_column_only_beside_other_ratios(opened: Browser) -> None:
    assert box(opened, first("ratio-table", "ratio"))["width"] == 0
    opened.choose("ratio", "Ratio ", "")
    assert box(opened, first("ratio-table", "ratio"))["width"] > 0


@ON_A_PHONE
def test_the_codec_stays_in_sight_and_an_edge_says_where_a_table_goes_on(opened: Browser) -> None:
    scroll = "document.querySelector('#ratio .scroll')"
    edge = f"getComputedStyle({scroll}.parentElement, '::after').content"
    opened.wait_for(f"{edge} !== 'none'")
    opened.evaluate(f"void ({scroll}.scrollLeft = 100)")
    for cell in ("document.querySelector('#ratio-table thead th')", first("ratio-table", "codec")):
        assert box(opened, cell)["left"] == box(opened, scroll)["left"] + 1
    opened.evaluate(f"void ({scroll}.scrollLeft = {scroll}.scrollWidth)")
    opened.wait_for(f"{edge} === 'none'")


@ON_A_PHONE
def test_a_codec_without_files_takes_one_line(opened: Browser) -> None:
    row = f"{rows('ratio-table')}.find(row => row.cells.length === 3)"
    assert opened.evaluate(f"{row}.innerText.split('\\t')") == [
        "baseline",
        "missing on 12 of 12; contamination unknown",
    ]
    assert box(opened, row)["height"] < 36


def test_rows_without_means_stand_last_when_sorted(opened: Browser) -> None:
    button = "[...document.querySelectorAll('#ratio-table thead button')].find(b => b.textContent === 'ratio reached')"
    for _ in range(2):
        opened.evaluate(f"{button}.click()")
        names = opened.evaluate(f"{rows('ratio-table')}.map(row => row.cells[0].textContent)")
        assert names[-1] == "baseline"


@ON_A_PHONE
@pytest.mark.parametrize(("table", "column"), [("problem-table", "reason"), ("control-table", "exact")])
def test_reasons_and_the_lossless_control_are_read_on_a_phone(opened: Browser, table: str, column: str) -> None:
    assert box(opened, first(table, column))["right"] <= PHONE - 16


@pytest.mark.parametrize(
    ("section", "width"),
    [("differences", PHONE), ("differences", DESK), ("images", PHONE), ("images", DESK), ("curves", DESK)],
)
def test_a_caption_stands_close_below_its_axis_and_does_not_touch_it(opened: Browser, section: str, width: int) -> None:
    title = box(opened, f"document.querySelector('#{section} .xtitle')")
    note = box(opened, f"document.querySelector('#{section} .note')")
    assert 8 <= note["top"] - title["bottom"] <= 60


def test_the_page_opens_on_the_largest_ratio_with_means_to_compare(opened: Browser) -> None:
    values = "[...document.querySelectorAll('select')].map(select => select.value)"
    assert [value for value in opened.evaluate(values) if value in {"4", "8", "12", "16"}] == ["8"] * 4


@pytest.mark.parametrize(
    ("chart", "label", "value", "words"),
    [
        ("difference", "Ratio", "16", "no codec meets the target of 16x on an image"),
        ("scatter", "y axis", "baseline", "no image has a PSNR (dB) for both jpeg-444 and baseline at 8x"),
        ("curve", "Metric", "ms_ssim", "no codec has a mean of MS-SSIM"),
    ],
)
def test_a_sentence_stands_in_place_of_empty_axes(
    opened: Browser, chart: str, label: str, value: str, words: str
) -> None:
    drawn = f"document.getElementById('{chart}-chart')"
    said = f"{drawn}.nextElementSibling"
    assert opened.evaluate(f"{said}.offsetHeight") == 0
    before = opened.evaluate(f"{selector(f'{chart}-controls', label)}.value")
    opened.choose(f"{chart}-controls", label, value)
    assert words in opened.evaluate(f"{said}.innerText")
    assert opened.evaluate(f"{drawn}.offsetHeight") == 0
    opened.choose(f"{chart}-controls", label, before)
    assert opened.evaluate(f"{said}.offsetHeight") == 0
    assert opened.evaluate(f"{drawn}.querySelectorAll('.scatterlayer .trace').length") > 0
    assert opened.complaints() == []


def selector(place: str, label: str) -> str:
    """The script's expression for a control."""
    return (
        f"[...document.querySelectorAll('#{place} label')].find(e => e.firstChild.textContent === '{label}')"
        ".querySelector('select')"
    )


@ON_A_PHONE
def test_the_protocols_name_fits_a_phone(opened: Browser) -> None:
    wanted = f"""(() => {{
        const select = {selector("curve-controls", "Protocol")};
        const copy = select.cloneNode(true);
        copy.style.cssText = "width: max-content; max-width: none; position: absolute";
        select.after(copy);
        const width = copy.offsetWidth;
        copy.remove();
        return width;
    }})()"""
    assert opened.evaluate(wanted) <= box(opened, selector("curve-controls", "Protocol"))["width"]


@pytest.mark.parametrize("section", ["ratio", "differences"])
def test_the_anchor_is_named_and_explained_where_it_is_used(opened: Browser, section: str) -> None:
    text = opened.evaluate(f"document.getElementById('{section}').innerText")
    assert "codec that the others are compared with" in text
    assert "jpeg-444" in text


def test_an_absent_mean_is_explained_beside_the_table(opened: Browser, poor: Path) -> None:
    words = "MS-SSIM has no value on kodim03 (it takes rgb8, gray8, gray16 images of at least 161 pixels per side)"
    assert words in opened.evaluate("document.getElementById('ratio').innerText")
    text = (poor.parent / "report.md").read_text(encoding="utf-8")
    assert words in text
    assert text.count("has no value on") == 1
