"""The notebook runs from its first cell to its last, and its progress bar renders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebooks" / "sweep.ipynb"
WIDGET = "application/vnd.jupyter.widget-view+json"

pytestmark = [
    pytest.mark.slow,
    # The kernel's client and its event loop warn of themselves when they end.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


def stored() -> Any:
    """Return the notebook as it is committed."""
    import nbformat

    return nbformat.reads(NOTEBOOK.read_text(encoding="utf-8"), as_version=4)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook after it was run in an empty folder."""
    from nbclient import NotebookClient

    notebook = stored()
    folder = tmp_path_factory.mktemp("notebook")
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(folder)}}).execute()
    notebook.metadata["folder"] = str(folder)
    return notebook


def outputs(notebook: Any, kind: str) -> Iterator[Any]:
    """Yield every output of one MIME type."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if kind in output.get("data", {}):
                yield output["data"][kind]


def test_it_is_stored_without_outputs() -> None:
    for cell in stored().cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_every_cell_runs(executed: Any) -> None:
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    errors = [output for cell in code for output in cell.outputs if output.output_type == "error"]
    assert not errors


def test_the_progress_bar_is_a_widget(executed: Any) -> None:
    assert list(outputs(executed, WIDGET))


def test_it_draws_the_ratio_sweep_and_the_combined_curve(executed: Any) -> None:
    assert len(list(outputs(executed, "image/png"))) == 2


def test_it_leaves_a_report_and_an_index(executed: Any) -> None:
    results = Path(executed.metadata["folder"]) / "results"
    assert (results / "index.html").is_file()
    assert list(results.glob("*/report.html"))
