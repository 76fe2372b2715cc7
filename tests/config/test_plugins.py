"""Codecs and metrics of others, by every way there is: an installed package, a file, the plugin folder."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from harness.config.registry import metric_targets
from harness.config.schema import load
from harness.errors import UsageError
from harness.metrics.plugins import known_metrics
from harness.metrics.table import METRICS, measure
from tests.support.bench_runs import PLUGINS, bench, crops, tiny_config
from tests.support.command import call, complaint, run
from tests.support.images import make_image

DOCS = Path(__file__).parents[2] / "docs"
METRIC = re.findall(r"```python\n(.*?)```", (DOCS / "adding-a-metric.md").read_text(), re.DOTALL)[0]
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "somebodys-codecs"
version = "1.2.3"
[project.entry-points."harness.codecs"]
bits = "somebodys.sound:Bits"
[project.entry-points."harness.metrics"]
mae = "somebodys.mae:mae"
[tool.setuptools]
packages = ["somebodys"]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which a wheel with a codec and a metric is installed; nothing of this environment changes."""
    source = tmp_path_factory.mktemp("source")
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "somebodys").mkdir()
    (source / "somebodys" / "__init__.py").touch()
    (source / "somebodys" / "sound.py").write_text((PLUGINS / "sound.py").read_text())
    (source / "somebodys" / "mae.py").write_text(METRIC)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(source / "dist"), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    target = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(next((source / "dist").glob("*.whl"))) as wheel:  # a wheel without programs installs so
        wheel.extractall(target)
    return target


@pytest.fixture
def metric(tmp_path: Path) -> Path:
    path = tmp_path / "my_metric.py"
    path.write_text(METRIC)
    return path


def test_an_installed_packages_codec_is_listed_shown_and_passes_the_conformance_tests(site: Path) -> None:
    listed = run("codec", "list", PYTHONPATH=str(site))
    assert re.search(r"^\* bits +entry point$", listed.out, re.MULTILINE), listed.out + listed.err
    shown = run("codec", "show", "bits", PYTHONPATH=str(site))
    assert "bits: somebodys.sound:Bits, entry point" in shown.out
    assert "ladder:     8 settings, 1 (smallest files) to 8" in shown.out
    checked = run("codec", "check", "bits", PYTHONPATH=str(site))
    assert checked.status in (0, 1), checked.err
    assert "pass            another process decodes any size from the bytes alone" in checked.out


def test_an_installed_packages_codec_and_metric_are_measured(site: Path, tmp_path: Path) -> None:
    asked = (
        "--images",
        crops(tmp_path / "images", 1),
        "--codecs",
        "bits",
        "--ratios",
        "3",
        "--results",
        tmp_path / "r",
    )
    ended = run("bench", *asked, PYTHONPATH=str(site))
    assert ended.status == 0, ended.err
    with next((tmp_path / "r").glob("*/records.csv")).open(newline="") as table:
        (values,) = csv.DictReader(table)
    assert values["status"] == "reached"
    assert 0 < float(values["mae"]) < 60
    assert "mae" in next((tmp_path / "r").glob("*/report.md")).read_text()


def test_an_installed_metric_has_its_packages_version_in_its_own(site: Path) -> None:
    script = (
        "from harness.metrics.plugins import known_metrics; from harness.config.registry import metric_targets; "
        "print(known_metrics(tuple(metric_targets().items()))['mae'].version)"
    )
    own = {**os.environ, "PYTHONPATH": str(site)}
    shown = subprocess.run([sys.executable, "-c", script], env=own, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "1; somebodys-codecs 1.2.3"


def test_without_the_package_its_codec_is_unknown() -> None:
    assert "no codec is called 'bits'" in complaint(call("codec", "show", "bits"))


def test_a_file_in_the_plugin_folder_needs_no_naming(tmp_path: Path, metric: Path) -> None:
    (tmp_path / "sound.py").write_text((PLUGINS / "sound.py").read_text())
    listed = run("codec", "list", HARNESS_PLUGINS=str(tmp_path))
    assert re.search(r"^\* bits +plugin file$", listed.out, re.MULTILINE), listed.out + listed.err


def test_a_plugin_files_metric_gives_what_its_formula_says(metric: Path) -> None:
    known = known_metrics(tuple(metric_targets([metric]).items()))
    assert set(known) == {*METRICS, "mae"}
    reference = make_image("photograph", (24, 32), "rgb8")
    decoded = np.where(np.arange(32)[None, :, None] % 2, reference, reference ^ np.uint8(1))
    assert measure(reference, decoded, 255, ["mae"], table=known) == {"mae": 0.5}
    assert len(known["mae"].version) == len("1; ") + 16


def test_another_text_of_the_file_is_another_version(metric: Path) -> None:
    targets = tuple(metric_targets([metric]).items())
    before = known_metrics(targets)["mae"].version
    metric.write_text(METRIC + "# changed\n")
    known_metrics.cache_clear()
    assert known_metrics(targets)["mae"].version != before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("metric-raises", "the metric 'metric-raises' failed: ZeroDivisionError: by nothing"),
        ("metric-nan", "the metric 'metric-nan' returned NaN"),
        ("metric-text", "the metric 'metric-text' failed: ValueError: could not convert string"),
    ],
)
def test_a_metric_that_misbehaves_says_how(name: str, words: str) -> None:
    known = known_metrics(tuple(metric_targets([PLUGINS / "bad_metrics.py"]).items()))
    image = make_image("photograph", (24, 32), "rgb8")
    with pytest.raises(UsageError, match=re.escape(words)):
        measure(image, image, 255, [name], table=known)


def test_a_run_with_a_bad_metric_ends_with_records_that_say_so(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    config.write_text(config.read_text().replace('["psnr"]', '["psnr", "metric-raises"]'))
    asked = ("--images", crops(tmp_path / "images", 1), "--codecs", "jpeg-444", "--ratios", "6")
    done = bench(tmp_path / "results", *asked, "--plugin", PLUGINS / "bad_metrics.py", config=config)
    assert done.ended.status == 1, done.ended.err
    assert done.frame["reason"].tolist() == ["the metric 'metric-raises' failed: ZeroDivisionError: by nothing"]


def test_a_metric_with_a_name_of_harness_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(METRIC.replace('"mae"', '"psnr"'))
    with pytest.raises(UsageError, match="is called 'psnr', as is one of harness"):
        known_metrics(tuple(metric_targets([path]).items()))


def test_an_unknown_metric_of_a_suite_is_answered_with_the_known(tmp_path: Path, metric: Path) -> None:
    from harness.plan.planner import make_plan
    from harness.plan.request import Request, resolve

    config = tiny_config(tmp_path)
    config.write_text(config.read_text().replace('["psnr"]', '["maee"]'))
    request = Request(load(config, [metric]), suite="tiny", codecs=("jpeg-444",), device="cpu")
    with pytest.raises(UsageError, match=r"no metric is called 'maee'\. Did you mean 'mae'"):
        make_plan(resolve(request))
