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

from tests.support.command import environment

ROOT = Path(__file__).parents[1]
FOLDERS = {"harness": ROOT / "harness", "harness.codecs": ROOT / "codecs", "harness.models": ROOT / "models"}
BASE = {"errors", "interface", "rate"}
"""The modules at the bottom of the house: every package may import them."""
BELOW: Mapping[str, set[str]] = {
    "system": set(),
    "config": {"system"},
    "data": {"system", "config"},
    "metrics": {"system", "config"},
    "learned": {"system", "data"},
    "codecs": {"system", "data", "learned"},
    "models": {"system", "data", "learned"},
    "sandbox": {"system", "config", "data"},
    "records": {"system", "config", "data"},
    "analysis": {"system", "config", "metrics", "records"},
    "plan": {"system", "config", "data", "metrics", "sandbox", "records"},
    "report": {"system", "config", "metrics", "records", "analysis"},
    "training": {"system", "config", "data", "learned", "models"},
    "run": {
        "system",
        "config",
        "data",
        "metrics",
        "learned",
        "sandbox",
        "records",
        "analysis",
        "plan",
        "report",
        "training",
    },
    "reproduce": {"system", "config", "data", "metrics", "sandbox", "records", "analysis", "plan", "report", "run"},
    "container": {"system", "config", "data", "metrics", "sandbox", "records", "plan", "run"},
    "cli": set(),
}
"""Package -> the packages that it may import besides `BASE`. The command line may import all."""
CLOCKS = {
    "harness.run.bench": "wall time of a run, and the name of its folder",
    "harness.sandbox.child": "time in the codec",
    "harness.run.measure": "time of a task",
    "harness.run.scoring": "time in metrics",
    "harness.run.timing": "the day on which times were taken",
    "harness.sandbox.limits": "limits of time",
}
"""Module -> why it reads a clock. Training reads one, too: it estimates how long it takes (harness.training.start)."""
MAY_LOAD_TORCH = (
    "harness.training.",
    "harness.models.",
    "harness.learned.trainable",
    "harness.codecs.compressai",
    "harness.codecs._compressai.",
    "harness.metrics.",
)
FILE_LINES = 260
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
            if (package == "harness" and parts[0] in ("codecs", "models")) or "templates" in parts:
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


def package(name: str) -> str:
    """Return the package of a module that lies in one of the table, else an empty string."""
    part = modules()[name].part
    return part if part in BELOW else ""


def test_the_modules_at_the_bottom_import_only_each_other() -> None:
    assert parts(modules()["harness.errors"].all) == set()
    assert parts(modules()["harness.interface"].all) == {"errors"}
    assert parts(modules()["harness.rate"].all) <= {"errors", "interface"}


@pytest.mark.parametrize("name", [name for name in NAMES if package(name) not in ("", "cli")])
def test_a_package_imports_only_packages_below_it(name: str) -> None:
    above = {package(other) for other in modules()[name].all if other in modules()} - {"", package(name)}
    assert above <= BELOW[package(name)]


def private_home(name: str) -> str | None:
    """Return the package of the first private part of a module's name; None if no part is private."""
    parts = name.split(".")
    first = next((place for place, part in enumerate(parts) if part.startswith("_")), None)
    return None if first is None else ".".join(parts[:first])


@pytest.mark.parametrize("name", NAMES)
def test_no_private_module_is_imported_from_outside_its_package(name: str) -> None:
    homes = {other: private_home(other) for other in modules()[name].all if other.startswith("harness.")}
    assert {other for other, home in homes.items() if home is not None and not name.startswith(f"{home}.")} == set()


@pytest.mark.parametrize("name", [name for name in NAMES if modules()[name].part == "codecs"])
def test_a_codec_file_imports_no_other_codec_file(name: str) -> None:
    shared = {imported for imported in modules()[name].all if imported.startswith("harness.codecs.")}
    assert {codec for codec in shared if not codec.split(".")[2].startswith("_")} == set()


@pytest.mark.parametrize("name", NAMES)
def test_only_the_command_line_imports_the_command_line(name: str) -> None:
    found = {imported for imported in modules()[name].all if imported.startswith("harness.cli")}
    assert found == set() or modules()[name].part == "cli"


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
    """Return whether a file uses anything of time but sleep, or timeit, or calls now() of a date."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        names = {alias.name for alias in node.names} if isinstance(node, ast.Import | ast.ImportFrom) else set()
        if isinstance(node, ast.Import) and "timeit" in names:
            return True
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "timeit") and names != {"sleep"}:
            return True
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today"):
            return True
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "time" and node.attr != "sleep":
            return True
    return False


def test_only_the_named_modules_read_a_clock() -> None:
    found = {name for name, module in modules().items() if reads_clock(module.path)}
    trains = {name for name in found if name.startswith("harness.training.")}
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
