"""The architecture: which part may import which, what is loaded when, who reads a clock, how long a file may be."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.command import environment

ROOT = Path(__file__).parents[1]
FOLDERS = {"harness": ROOT / "harness", "harness.codecs": ROOT / "codecs", "harness.models": ROOT / "models"}
MEASURING = {
    *("benchmark", "channel", "child", "engine", "isolation", "measure", "plan", "planner", "single", "tasks"),
    *("timing", "watch", "registry", "laws", "cli", "report", "records", "manifest", "rate", "api"),
    *("cluster", "export", "goals", "metric_plugins", "work"),
}
"""The parts that measure, and those above them: no codec and no model knows them."""
RUNS_CODECS = {
    *("benchmark", "channel", "child", "engine", "isolation", "measure", "planner", "single", "tasks", "timing"),
    *("watch", "registry", "laws", "rate", "codecs", "models", "cluster", "export", "goals"),
    *("metric_plugins", "work"),
}
"""What the report, which only reads records, may not touch."""
CLOCKS = {
    "harness.benchmark": "wall time of a run, and the name of its folder",
    "harness.child": "time in the codec",
    "harness.measure": "time in codecs and metrics",
    "harness.timing": "the day on which times were taken",
    "harness.watch": "limits of time",
}
"""Module -> why it reads a clock. Training, too, says how long it took (harness.training, harness.models._*)."""
MAY_LOAD_TORCH = (
    "harness.models.",
    "harness.trainable",
    "harness.codecs.compressai",
    "harness.codecs._compressai",
    "harness.metrics_",
)
FILE_LINES = 300
BODY_LINES = 50


@dataclass(frozen=True)
class Module:
    """A source file, and what it imports."""

    name: str
    path: Path
    top: frozenset[str]
    """The modules imported when it is imported."""
    all: frozenset[str]
    """The modules imported at any time."""

    @property
    def part(self) -> str:
        """The first name below harness: "codecs", "report", "rate", ..."""
        return self.name.split(".")[1] if "." in self.name else ""


@cache
def modules() -> Mapping[str, Module]:
    found = {}
    for name, path in files():
        tree = ast.parse(path.read_text())
        package = path.name == "__init__.py"
        top = frozenset(imported(tree.body, name, package))
        found[name] = Module(name, path, top, frozenset(imported(list(ast.walk(tree)), name, package)))
    return found


def files() -> Iterator[tuple[str, Path]]:
    """Yield (module name, path) of every source file, each under its one name."""
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if package == "harness" and parts[0] in ("codecs", "models", "templates"):
                continue
            yield ".".join([package, *(part for part in parts if part != "__init__")]), path


def imported(nodes: list[ast.stmt] | list[ast.AST], name: str, package: bool) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} uses a relative import"
            assert node.module is not None
            inner = [f"{node.module}.{alias.name}" for alias in node.names if is_file(f"{node.module}.{alias.name}")]
            yield from inner
            if len(inner) < len(node.names):
                yield node.module


def is_file(name: str) -> bool:
    """Tell whether a dotted name is a source file, not something inside one."""
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def parts(names: frozenset[str]) -> set[str]:
    """Return which parts of harness are among modules."""
    return {name.split(".")[1] for name in names if name.startswith("harness.")}


NAMES = sorted(modules())


def test_errors_imports_nothing_and_interface_only_errors() -> None:
    assert parts(modules()["harness.errors"].all) == set()
    assert parts(modules()["harness.interface"].all) == {"errors"}


def test_what_learned_codecs_share_imports_only_what_is_below_every_codec() -> None:
    assert parts(modules()["harness.stream"].all) == {"errors", "interface"}
    assert parts(modules()["harness.tensors"].all) == {"interface", "stream"}
    assert parts(modules()["harness.checkpoint"].all) == {"errors", "leaks", "shape"}
    assert parts(modules()["harness.trained"].all) == {"checkpoint", "errors", "interface", "shape", "trainable"}
    assert parts(modules()["harness.trainable"].all) == {"interface"}


@pytest.mark.parametrize("name", [name for name in NAMES if modules()[name].part in ("codecs", "models")])
def test_codecs_and_models_know_neither_each_other_nor_what_measures(name: str) -> None:
    module = modules()[name]
    other = {"codecs": "models", "models": "codecs"}[module.part]
    assert parts(module.all) & {*MEASURING, other} == set()


@pytest.mark.parametrize("name", [name for name in NAMES if modules()[name].part == "codecs"])
def test_a_codec_file_imports_no_other_codec_file(name: str) -> None:
    shared = {imported for imported in modules()[name].all if imported.startswith("harness.codecs.")}
    assert {codec for codec in shared if not codec.split(".")[2].startswith("_")} == set()


@pytest.mark.parametrize("name", [name for name in NAMES if modules()[name].part == "report"])
def test_the_report_runs_no_codec(name: str) -> None:
    assert parts(modules()[name].all) & RUNS_CODECS == set()


@pytest.mark.parametrize("name", [name for name in NAMES if modules()[name].part not in ("codecs", "models", "cli")])
def test_what_measures_knows_no_codec_and_no_command_by_name(name: str) -> None:
    found = {imported for imported in modules()[name].all if imported.startswith(("harness.codecs.", "harness.cli"))}
    assert found == set() or name == "harness.cli"


@pytest.mark.parametrize("name", NAMES)
def test_imports_make_no_circle(name: str) -> None:
    seen: set[str] = set()
    waiting = list(modules()[name].top & set(modules()))
    while waiting:
        step = waiting.pop()
        if step not in seen:
            seen.add(step)
            waiting.extend(modules()[step].top & set(modules()))
    assert name not in seen


def reads_clock(path: Path) -> bool:
    """Tell whether a file imports time, or calls now() of a date."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(alias.name in ("time", "timeit") for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "timeit"):
            return True
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today"):
            return True
    return False


def test_only_the_named_modules_read_a_clock() -> None:
    found = {name for name, module in modules().items() if reads_clock(module.path)}
    trains = {name for name in found if name == "harness.training" or name.startswith("harness.models._")}
    outside = {name for name in found if name.startswith("harness.container")}
    assert found - trains - outside == set(CLOCKS)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(MAY_LOAD_TORCH)])
def test_torch_is_imported_only_when_it_is_used(name: str) -> None:
    assert {imported.split(".")[0] for imported in modules()[name].top} & {
        "torch",
        "torchvision",
        "compressai",
    } == set()


HEAVY = ["torch", "compressai", "matplotlib", "pandas", "imagecodecs", "PIL", "scipy", "distributed", "lightning"]
LIGHT = {
    "import harness": "import harness",
    "harness --help": "cli('--help')",
    "harness bench --help": "cli('bench', '--help')",
    "harness --version": "cli('--version')",
    "harness codec list": "cli('codec', 'list')",
    "harness data list": "cli('data', 'list')",
    "a wrong command": "cli('bnech')",
}
START = """
import json, sys
def cli(*arguments):
    import contextlib, io
    sys.argv = ["harness", *arguments]
    from harness.cli import main
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            main()
        except SystemExit:
            pass
before = set(sys.modules)
exec(sys.argv[1])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.mark.parametrize("statement", LIGHT.values(), ids=LIGHT)
def test_what_must_be_quick_loads_nothing_heavy(statement: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", START, statement],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = set(json.loads(done.stdout))
    assert loaded & set(HEAVY) == set()
    if statement == "import harness":
        assert loaded & {"numpy", "pydantic", "click", "rich"} == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_file_can_be_read_in_one_sitting(name: str) -> None:
    assert len(modules()[name].path.read_text().splitlines()) <= FILE_LINES


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body and body[-1].end_lineno else 0


@pytest.mark.parametrize("name", NAMES)
def test_no_function_is_long(name: str) -> None:
    tree = ast.parse(modules()[name].path.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {function.name: body_lines(function) for function in functions if body_lines(function) > BODY_LINES} == {}


def test_codecs_and_models_are_linked_into_the_package_and_are_no_packages_of_their_own() -> None:
    for name in ("codecs", "models"):
        link = ROOT / "harness" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / name
        assert not (ROOT / name / "__init__.py").exists()
