"""The page in a real browser: no complaint, no network, tables that sort, charts that follow their controls."""

from __future__ import annotations

import base64
from pathlib import Path

import pandas as pd
import pytest

from harness.records.manifest import Manifest
from harness.report import write_report
from tests.support.browser import Browser
from tests.support.synthetic import control, manifest, problem, realistic, record

pytestmark = pytest.mark.browser

CODECS = ("jpeg-420", "jpeg-444", "webp", "avif-444")
HOSTILE = "<img src=x onerror='window.broken = true'>&lt;"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with both protocols, timings, a codec that caps, a problem and a control."""
    folder = tmp_path_factory.mktemp("page")
    records = realistic(CODECS, 12)
    records.loc[(records["codec"] == "webp") & (records["target_ratio"] == 4), "status"] = "capped"
    more = [problem("kodim01", "heic", 4.0, "unsupported", HOSTILE), control("kodim01", "png", 2.0)]
    write_report(folder, pd.concat([records, pd.DataFrame(more)], ignore_index=True), manifest(CODECS, 12))
    return folder / "report.html"


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    """The browser, with that page just opened in a wide, light window."""
    browser.show()
    browser.open(page)
    return browser


def column(browser: Browser, table: str, name: str) -> list[str]:
    """The texts of a column's visible cells."""
    script = f"""(() => {{
        const table = document.getElementById("{table}");
        const place = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent === "{name}");
        const rows = [...table.tBodies[0].rows].filter(row => !row.hidden);
        return rows.map(row => row.cells[place].firstChild.textContent);
    }})()"""
    found: list[str] = browser.evaluate(script)
    return found


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_opens_without_complaint_and_asks_for_nothing(
    browser: Browser, page: Path, width: int, dark: bool
) -> None:
    browser.show(width=width, dark=dark)
    browser.open(page)
    assert browser.complaints() == []
    assert list(browser.requests()) == [page.as_uri()]
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_a_dark_window_gets_a_dark_page(browser: Browser, page: Path) -> None:
    backgrounds = []
    for dark in (False, True):
        browser.show(dark=dark)
        browser.open(page)
        backgrounds.append(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert backgrounds == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]


def test_every_chart_is_drawn(opened: Browser) -> None:
    traces = {"curve-chart": 4, "difference-chart": 1, "scatter-chart": 2, "speed-chart": 5}
    for chart, count in traces.items():
        opened.wait_for(f"document.querySelectorAll('#{chart} .scatterlayer .trace').length === {count}")
    assert opened.evaluate("document.querySelectorAll('.chart').length") == len(traces)


def test_no_chart_offers_to_send_itself_anywhere(opened: Browser) -> None:
    titles = opened.evaluate("[...document.querySelectorAll('.modebar-btn')].map(button => button.dataset.title)")
    assert titles
    assert not [title for title in titles if "cloud" in title.lower() or "share" in title.lower()]


def test_a_click_on_a_heading_sorts_the_table_by_number_and_back(opened: Browser) -> None:
    click = (
        "[...document.querySelectorAll('#ratio-table thead button')].find(b => b.textContent === 'PSNR (dB)').click()"
    )
    opened.evaluate(click)
    rising = column(opened, "ratio-table", "PSNR (dB)")
    assert rising == sorted(rising, key=float)
    assert len(rising) == len(CODECS)
    opened.evaluate(click)
    assert column(opened, "ratio-table", "PSNR (dB)") == rising[::-1]
    assert (
        opened.evaluate("document.querySelector('#ratio-table [aria-sort]').getAttribute('aria-sort')") == "descending"
    )


def test_a_table_is_sorted_from_the_keyboard(opened: Browser) -> None:
    opened.evaluate("document.querySelector('#ratio-table thead button').focus()")
    opened.press("Enter")
    assert column(opened, "ratio-table", "codec") == sorted(CODECS)


def test_the_ratio_is_chosen_in_the_table(opened: Browser) -> None:
    assert set(column(opened, "ratio-table", "ratio")) == {"16x"}
    opened.choose("ratio", "Ratio ", "4")
    assert column(opened, "ratio-table", "codec")[-1] == "heic"
    assert "capped on 12 of 12" in column(opened, "ratio-table", "status")


def test_curves_follow_protocol_metric_and_image(opened: Browser) -> None:
    first = "document.getElementById('curve-chart').data[0]"
    title = "document.getElementById('curve-chart').layout.yaxis.title.text"
    assert len(opened.evaluate(f"{first}.x")) == 4
    opened.choose("curve-controls", "Protocol", "sweep")
    opened.choose("curve-controls", "Metric", "ms_ssim_db")
    assert opened.evaluate(title) == "MS-SSIM (dB)"
    assert len(opened.evaluate(f"{first}.x")) == 10
    opened.choose("curve-controls", "Image", "kodim03")
    assert "kodim03" in opened.evaluate(f"{first}.text[0]")
    assert "setting" in opened.evaluate(f"{first}.text[0]")


def test_two_codecs_are_compared_image_by_image(opened: Browser) -> None:
    opened.choose("scatter-controls", "x axis", "jpeg-444")
    opened.choose("scatter-controls", "y axis", "avif-444")
    assert len(opened.evaluate("document.getElementById('scatter-chart').data[1].x")) == 12
    assert "of 12 images with both" in opened.evaluate("document.getElementById('scatter-note').textContent")


def test_names_of_others_are_shown_as_they_are_written(browser: Browser, tmp_path: Path) -> None:
    names = [f"{HOSTILE}{index}" for index in range(2)]
    rows = [record(image, codec, ratio) for image in names for codec in names for ratio in (4.0, 8.0)]
    write_report(tmp_path, pd.DataFrame(rows), Manifest(suite=HOSTILE))
    browser.show()
    browser.open(tmp_path / "report.html")
    assert browser.complaints() == []
    assert browser.evaluate("window.broken") is None
    assert browser.evaluate("document.querySelector('h1').textContent") == f"Report: {HOSTILE}"
    assert column(browser, "ratio-table", "codec") == names
    assert HOSTILE in browser.evaluate("document.querySelector('.legendtext').textContent")


def test_print_shows_every_row_and_no_controls(opened: Browser) -> None:
    opened.show(media="print")
    script = "[...document.querySelectorAll('#ratio-table tbody tr')].filter(row => row.offsetHeight === 0).length"
    assert opened.evaluate(script) == 0
    assert opened.evaluate("document.querySelector('.controls').offsetHeight") == 0


def test_charts_are_printed_in_black_from_a_dark_window(browser: Browser, page: Path) -> None:
    browser.show(dark=True)
    browser.open(page)
    ink = "document.getElementById('curve-chart').layout.font.color"
    assert browser.evaluate(ink) == "#e4e8ed"
    browser.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.evaluate(ink) == "#000000"
    browser.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert browser.evaluate(ink) == "#e4e8ed"


def test_the_page_prints_to_paper(opened: Browser) -> None:
    opened.show(media="print")
    paper = base64.b64decode(opened.call("Page.printToPDF", printBackground=True)["data"])
    assert paper.startswith(b"%PDF")
    assert len(paper) > 50_000
