"""The house rules, read from the source itself: who may import whom, and how long a file may be."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
PACKAGES = ("wolfhound", "attacks", "explainers", "reports", "flows")
MAY_IMPORT = {
    "wolfhound": {"wolfhound"},
    "attacks": {"wolfhound", "attacks"},
    "explainers": {"wolfhound", "explainers"},
    "reports": {"wolfhound", "reports"},
    "flows": {"wolfhound", "attacks", "explainers", "reports", "flows", "plans"},
    "plans": {"plans"},
}
OURS = {*PACKAGES, "plans", "tests", "benchmarks"}
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 40


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (PROJECT / folder).rglob("*.py"))


def shown(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def imported_by(source: str, *, package: str = "") -> Iterator[str]:
    """Yield the full name of every module that `source` imports, wherever in it, also by `import_module("...")`.

    `package` is the package that the source stands in; relative imports are counted from it.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            yield ".".join([*above, *([node.module] if node.module else [])])
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[0] if node.args else None
            if called in ("import_module", "__import__") and isinstance(name, ast.Constant):
                yield str(name.value)


def imports_of(path: Path) -> set[str]:
    package = ".".join(path.relative_to(PROJECT).parent.parts)
    return set(imported_by(path.read_text(encoding="utf-8"), package=package))


def top(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def modules_of(package: str) -> list[str]:
    dotted = [".".join(path.relative_to(PROJECT).with_suffix("").parts) for path in files(package)]
    return sorted(name.removesuffix(".__init__") for name in dotted)


def ran(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_reader_of_imports_sees_them_all() -> None:
    source = """
import a.b, c as d
from e.f import g
from . import h
from .i import j
from ..k import l
def late():
    if True:
        import m
        importlib.import_module("n.o")
        __import__("p")
"""
    found = set(imported_by(source, package="top.sub"))
    assert found == {"a.b", "c", "e.f", "top.sub", "top.sub.i", "top.k", "m", "n.o", "p"}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_stands_below_it(package: str) -> None:
    found = {shown(path): (top(imports_of(path)) & OURS) - MAY_IMPORT[package] for path in files(package)}
    assert found, f"{package} has no files"
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


def test_prefect_appears_in_flows_alone() -> None:
    others = [package for package in MAY_IMPORT if package != "flows"]
    assert [shown(path) for path in files(*others) if "prefect" in top(imports_of(path))] == []


def test_torchvision_is_imported_through_one_door() -> None:
    """The plain import fails where torchvision's compiled operators do not match torch."""
    door = PROJECT / "wolfhound" / "torchvision_import.py"
    wrong = [shown(path) for path in files(*PACKAGES) if "torchvision" in top(imports_of(path)) and path != door]
    assert wrong == []


def test_reports_name_no_torch() -> None:
    wrong = [shown(path) for path in files("reports") if top(imports_of(path)) & {"torch", "torchvision"}]
    assert wrong == []


def test_importing_every_module_of_reports_brings_in_neither_torch_nor_prefect() -> None:
    """Not even through wolfhound: a report is rendered again, years later, where neither is installed."""
    script = f"""
import importlib, sys
for name in {modules_of("reports")!r}:
    importlib.import_module(name)
print(sorted(set(sys.modules) & {{"torch", "torchvision", "prefect", "attacks", "explainers", "flows"}}))
"""
    assert ran(script) == "[]"


def test_the_command_line_starts_without_torch_and_prefect() -> None:
    assert ran("import sys, flows.cli; print(sorted({'torch', 'prefect'} & set(sys.modules)))") == "[]"


def test_importing_every_module_writes_nothing_and_changes_neither_environment_nor_seeds() -> None:
    """Third-party packages are imported first: what they do on import is not ours."""
    outside = {name for path in files(*PACKAGES) for name in imports_of(path) if name.split(".")[0] not in OURS}
    ours = [name for package in PACKAGES for name in modules_of(package)]
    script = f"""
import importlib, os, random, sys
sys.dont_write_bytecode = True
import numpy, torch
from wolfhound.torchvision_import import torchvision
torchvision()
for name in {sorted(outside)!r}:
    try:
        importlib.import_module(name)
    except ImportError:
        pass  # an extra that is not installed
written = []
def watch(event, arguments):
    if event == "open" and isinstance(arguments[2], int):
        if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and arguments[0] != os.devnull:
            written.append(str(arguments[0]))
    elif event in ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "subprocess.Popen", "socket.connect"):
        written.append(event + " " + str(arguments[0]))
def state():
    return dict(os.environ), random.getstate(), str(numpy.random.get_state()), torch.get_rng_state().tolist(), (
        torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), os.getcwd())
before = state()
sys.addaudithook(watch)
for name in {ours!r}:
    importlib.import_module(name)
print(written, state() == before)
"""
    assert ran(script) == "[] True"


@pytest.mark.parametrize("path", files(*MAY_IMPORT, "tests", "benchmarks"), ids=shown)
def test_a_file_is_not_too_long_to_be_read_at_a_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines from `def` to the end, without those of the docstring."""
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return whole
    docstring = function.body[0]
    return whole - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def test_no_function_is_too_long_to_be_seen_at_a_glance() -> None:
    long = [
        f"{shown(path)}:{node.lineno} {node.name} ({lines_of(node)} lines)"
        for path in files(*PACKAGES)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines_of(node) > MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []
