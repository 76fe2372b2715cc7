"""What a report writes: the same bytes every time, nothing unescaped, and what the terminal shows."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from harness.analysis.ratio_table import ratio_rows
from harness.analysis.run import prepare
from harness.records.manifest import CodecEntry, LosslessControl, Manifest
from harness.report import write_report
from harness.report.freshness import fingerprint, is_fresh, mark
from harness.report.page.charts import script_json
from harness.report.terminal import print_table
from harness.report.words import escape
from tests.support.synthetic import CODECS_20, RATIOS, control, image_names, manifest, problem, realistic, record

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>|`*&$x_{$"


def small_run(images: int) -> tuple[pd.DataFrame, Manifest]:
    """A few codecs, of which one caps, one fails, one is unsupported and one rides along."""
    records = realistic(CODECS_20[:4], images)
    records.loc[(records["codec"] == "jpeg-420") & (records["target_ratio"] == 4), "status"] = "capped"
    more = [problem(name, "webp", ratio, "failed", "it broke") for name in image_names(images) for ratio in RATIOS]
    more += [problem(image_names(1)[0], "heic", 4.0, "unsupported", "too small")]
    more += [control(name, "png", 1.7) for name in image_names(images)]
    return pd.concat([records, pd.DataFrame(more)], ignore_index=True), manifest(CODECS_20[:4], images)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module", params=[4, 12])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """A folder with the report of a small run, and its number of images."""
    folder = tmp_path_factory.mktemp("report")
    write_report(folder, *small_run(request.param))
    return request.param, folder


def test_the_same_records_give_the_same_bytes(written: tuple[int, Path], tmp_path: Path) -> None:
    images, folder = written
    records, about = small_run(images)
    write_report(tmp_path, records.sample(frac=1, random_state=1), about)
    made, known = files_of(tmp_path), files_of(folder)
    assert set(made) == set(known)
    for name in made:  # the last line of a text is the fingerprint of the records in their order
        end = slice(None, -len(mark("0" * 64)) if name.startswith("report.") else None)
        assert made[name][end] == known[name][end]


def test_a_report_that_is_there_already_is_not_made_again(written: tuple[int, Path]) -> None:
    images, folder = written
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    write_report(folder, *small_run(images))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize("name", ["report.md", "report.html", "figures/ratio-psnr.svg", "figures/ratio-psnr.png"])
def test_a_report_that_lacks_a_file_is_made_again(written: tuple[int, Path], name: str, tmp_path: Path) -> None:
    images, folder = written
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    assert is_fresh(tmp_path, fingerprint(*small_run(images)))
    (tmp_path / name).unlink()
    assert not is_fresh(tmp_path, fingerprint(*small_run(images)))


def test_a_report_of_other_records_or_another_manifest_is_made_again(written: tuple[int, Path]) -> None:
    images, folder = written
    records, about = small_run(images)
    assert not is_fresh(folder, fingerprint(records.assign(psnr=records["psnr"] + 1), about))
    assert not is_fresh(folder, fingerprint(records, about.model_copy(update={"suite": "other"})))


def test_every_figure_is_there_as_png_and_svg_and_in_the_text(written: tuple[int, Path]) -> None:
    _, folder = written
    text = (folder / "report.md").read_text(encoding="utf-8")
    names = {"ratio-psnr", "ratio-ms-ssim-db", "difference-psnr", "difference-ms-ssim-db", "sweep-psnr"}
    for name in names | {"sweep-ms-ssim-db"}:
        assert f'src="figures/{name}.png"' in text
        assert (folder / f"figures/{name}.svg").read_bytes().startswith(b"<?xml")
        with Image.open(folder / f"figures/{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 5


def test_every_link_of_the_text_leads_somewhere(written: tuple[int, Path]) -> None:
    _, folder = written
    text = (folder / "report.md").read_text(encoding="utf-8")
    for target in re.findall(r'(?:src="|\]\()([^")]+)', text):
        assert (folder / target).is_file()


def test_the_text_says_when_there_are_no_intervals(written: tuple[int, Path]) -> None:
    images, folder = written
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert ("With 4 images there are no intervals" in text) == (images == 4)
    assert (" to " in re.findall(r"\n\| 1.*", text)[0]) == (images == 12)


@pytest.mark.parametrize(
    "words", ["it broke", "too small", "capped on", "png", "Rules of the comparison", "harness bench"]
)
@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_a_report_tells_what_happened(written: tuple[int, Path], name: str, words: str) -> None:
    assert words in (written[1] / name).read_text(encoding="utf-8")


def test_names_and_reasons_of_others_cannot_become_markup(tmp_path: Path) -> None:
    rows = [record(f"{HOSTILE}{index}", f"{HOSTILE}{codec}", 4.0) for index in range(3) for codec in "ab"]
    rows += [problem("plain", f"{HOSTILE}a", 4.0, "failed", HOSTILE)]
    about = Manifest(
        suite=HOSTILE,
        command=HOSTILE,
        codecs=(CodecEntry(id=f"{HOSTILE}a", provenance={"x": HOSTILE}),),
        lossless_control=LosslessControl(valid=False, records=1, wrong=(HOSTILE,)),
    )
    write_report(tmp_path, pd.DataFrame(rows), about)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
    text = re.sub(r"```.*?```", "", (tmp_path / "report.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert "<script" not in re.sub(r"\\<", "", text)


def test_text_is_escaped_for_a_table() -> None:
    assert escape("a|b\n<c> [d](e) `f`") == r"a\|b \<c\> \[d\](e) \`f\`"


def test_json_in_the_page_cannot_end_its_element() -> None:
    data = {"name": "</script><!--\u2028&"}
    text = script_json(data)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == data


def test_json_in_the_page_has_no_numbers_that_are_none() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json({"psnr": float("inf")})


def test_the_page_lets_only_its_own_scripts_run_and_nothing_be_fetched(written: tuple[int, Path]) -> None:
    page = (written[1] / "report.html").read_text(encoding="utf-8")
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[0]
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe-inline" not in re.findall("script-src ([^;]+);", policy)[0]
    assert not re.findall(r'<(?:script|img|link|iframe)[^>]+(?:src|href)="?http', page)


@pytest.mark.parametrize("rows", [[], [control("kodim01", "png", 2.0)], [problem("a", "b", 4.0, "failed", "it broke")]])
def test_a_run_without_results_still_has_a_report(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    write_report(tmp_path, pd.DataFrame(rows, columns=list(record("a", "b", 4.0))), Manifest())
    assert "# Report: records" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "<h1>Report: records</h1>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def printed(records: pd.DataFrame, about: Manifest, width: int = 100) -> str:
    out = io.StringIO()
    print_table(records, about, Console(file=out, width=width, color_system=None))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_terminal_shows_every_ratio_codec_and_problem(width: int) -> None:
    text = printed(*small_run(12), width=width)
    for words in ("4x, means over n = 12", "16x", "jpeg-444", "capped", "reached ", "it broke", "lossless: png 1.70x"):
        assert words in text
    assert "Lossless control passed" in text
    assert max(map(len, text.splitlines())) <= width


def test_the_terminal_shows_the_limits_of_an_interval_which_lie_unevenly_about_the_mean() -> None:
    values = [30.0] * 11 + [50.0]
    rows = [record(image, "one", 4.0, psnr=value) for image, value in zip(image_names(12), values, strict=True)]
    row = ratio_rows(prepare(pd.DataFrame(rows), Manifest())).iloc[0]
    assert row["psnr_high"] - row["psnr"] > 1 + row["psnr"] - row["psnr_low"]
    assert f"{row['psnr_low']:.2f}–{row['psnr_high']:.2f}" in printed(pd.DataFrame(rows), Manifest())


def test_the_terminal_takes_names_as_they_are_written() -> None:
    text = printed(pd.DataFrame([record("[red]a", "[bold]b[/bold]", 4.0)]), Manifest())
    assert "[bold]b[/bold]" in text


def test_importing_the_report_loads_nothing_heavy() -> None:
    modules = "('pandas', 'matplotlib', 'seaborn', 'plotly', 'jinja2', 'rich', 'scipy')"
    script = f"import sys, harness.report; print([name for name in {modules} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
