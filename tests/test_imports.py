"""The walls of the house: imports point only downwards, heavy libraries are loaded only where they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

import pytest
from pages import part
from places import ROOT

PACKAGE = ROOT / "callback_state"

#: From the ground up: a wing may import from itself and from those before it. ``root`` is the small common things.
WINGS = [
    "root",
    "_format",
    "_store",
    "_keras",
    "_checkpoints",
    "_input",
    "_callbacks",
    "_loop",
    "_saving",
    "_resuming",
    "data",
    "contrib",
    "cli",
    "testing",
    "faces",
]
#: What stands in the package itself: the small common things below every wing, and the faces above them.
SMALL = {"_lazy", "_units", "_html", "_shown", "_version", "_warn", "exceptions"}
ROOT_FILES = {*SMALL, "data", "__init__", "__main__", "demo"}
FACES = {"__init__", "__main__", "demo"}
#: Wings that are tested in milliseconds, as none of these is loaded with them.
LIGHT = ["root", "_format", "_store", "_checkpoints", "cli"]
HEAVY = {"tensorflow", "keras", "numpy", "h5py", "cloudpickle"}

Module = tuple[str, ...]


def modules() -> dict[Module, str]:
    """The source of every module, by its path below the package."""
    found = (path.relative_to(PACKAGE).with_suffix("") for path in sorted(PACKAGE.rglob("*.py")))
    return {path.parts: (PACKAGE / path).with_suffix(".py").read_text(encoding="utf-8") for path in found}


MODULES = modules()


def wing_of(module: Module) -> str:
    if len(module) > 1:
        return module[0]
    return "faces" if module[0] in FACES else module[0] if module[0] in WINGS else "root"


def imports(source: str, *, module_level: bool = False) -> Iterator[tuple[int, str, str]]:
    """(line, module, name) of every import in a source text, ``name`` empty for ``import module``.

    Relative modules keep their dots. Imports under ``if TYPE_CHECKING:`` do not count; with
    ``module_level`` neither do those inside functions.
    """
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((node.lineno, module, alias.name) for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
        elif not (module_level and isinstance(node, functions)):
            waiting.extend(ast.iter_child_nodes(node))


def of_the_package(module: Module, source: str) -> Iterator[tuple[int, Module]]:
    """(line, module) of every import of a module of this package."""
    for line, target, name in imports(source):
        if target.startswith("."):
            dots = len(target) - len(target.lstrip("."))
            parts = [*module[: len(module) - dots], *filter(None, target.lstrip(".").split("."))]
        elif target.partition(".")[0] == "callback_state":
            parts = target.split(".")[1:]
        else:
            continue
        found = next(m for m in ((*parts, name), tuple(parts), (*parts, "__init__")) if m in MODULES)
        yield line, found


def upwards(module: Module, source: str) -> list[str]:
    """What a module imports from a wing above its own."""
    allowed = WINGS[: WINGS.index(wing_of(module)) + 1]
    return [
        f"{'/'.join(module)}.py:{line} imports {'.'.join(target)}"
        for line, target in of_the_package(module, source)
        if wing_of(target) not in allowed
    ]


def heavy(source: str) -> list[tuple[int, str]]:
    """(line, name) of the heavy libraries that a module loads as soon as it is imported."""
    found = [(line, module.partition(".")[0]) for line, module, _ in imports(source, module_level=True)]
    return [(line, library) for line, library in found if library in HEAVY]


def test_every_file_has_a_wing() -> None:
    """The package holds the wings and a few files of its own, no more than eleven, and nothing else."""
    assert {module[0] for module in MODULES if len(module) == 1} == ROOT_FILES and len(ROOT_FILES) <= 11
    assert {module[0] for module in MODULES if len(module) > 1} == {*WINGS} - {"root", "data", "faces"}


@pytest.mark.parametrize("wing", WINGS)
def test_imports_point_downwards(wing: str) -> None:
    """A module imports from its own wing and from those below, in functions too."""
    assert [line for m, source in MODULES.items() if wing_of(m) == wing for line in upwards(m, source)] == []


def test_there_is_no_circle() -> None:
    """No module imports one that imports it, however far the way round."""
    graph = {
        module: {target for _, target in of_the_package(module, source)} for module, source in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join("/".join(module) for module in reversed(error.args[1]))) from None


@pytest.mark.parametrize("wing", LIGHT)
def test_a_light_wing_loads_no_heavy_library(wing: str) -> None:
    """What needs no Keras loads none of it, and can be tested in milliseconds."""
    assert {m: heavy(source) for m, source in MODULES.items() if wing_of(m) == wing and heavy(source)} == {}


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("from .._resuming.restore import x", "_store/commit.py:1 imports _resuming.restore"),
        ("from .._loop import loop", "_store/commit.py:1 imports _loop.loop"),
        ("from callback_state._loop import loop", "_store/commit.py:1 imports _loop.loop"),
        ("import callback_state._loop.loop", "_store/commit.py:1 imports _loop.loop"),
        ("def f():\n    from callback_state import stateful", "_store/commit.py:2 imports __init__"),
    ],
)
def test_an_upward_import_is_found(source: str, complaint: str) -> None:
    """However it is written, an import that points upwards is reported with its line."""
    assert upwards(("_store", "commit"), source) == [complaint]


def test_heavy_imports_count_only_where_they_run() -> None:
    """In a module's body, also in a class or a ``try``; not in a function, not for the type checker."""
    source = "try:\n    import numpy.linalg\nexcept ImportError: pass\nclass C:\n    from keras import ops\n"
    unused = "def f():\n    import h5py\nif TYPE_CHECKING:\n    import tensorflow\nelse:\n    import re\n"
    assert sorted(heavy(source + unused)) == [(2, "numpy"), (5, "keras")]


def test_importing_the_package_is_light() -> None:
    """``import callback_state`` loads none of the heavy libraries."""
    code = f"import sys, callback_state; print(sorted(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


#: What stands in no wing, in the drawing.
OTHERS = {"root": "common", "faces": "faces"}
PURPOSES = {
    "root": "Errors, units, HTML, names that are imported late.",
    "data": "Training data that can be read from any epoch and batch.",
    "faces": "The public names, and the demo.",
}


def drawing() -> str:
    """The wings from the top down, each with its purpose, and a dot for each wing below that it imports."""
    graph = {
        (wing_of(module), wing_of(target))
        for module, source in MODULES.items()
        for _, target in of_the_package(module, source)
    }
    lines = []
    for floor, wing in reversed([*enumerate(WINGS)]):
        purpose = PURPOSES.get(wing) or (ast.get_docstring(ast.parse(MODULES[(wing, "__init__")])) or "")
        first = purpose.split("\n\n")[0].replace("\n", " ").replace("``", "").rstrip(".")
        dots = " ".join("●" if (wing, other) in graph else "·" for other in WINGS[:floor])
        lines.append(f"    {floor:2}  {OTHERS.get(wing, wing):13} {first:64} {dots}".rstrip())
    numbers = " ".join(f"{floor % 10}" for floor in range(len(WINGS) - 1))
    return "\n".join([".. code-block:: text", "", *lines, f"{'':87}{numbers}", ""])


def test_contributing_shows_the_house() -> None:
    """The picture is what the imports are; ``WRITE_README=1`` draws it anew."""
    part("house", drawing(), ROOT / "CONTRIBUTING.rst")


#: A file is one noun, a function is seen at a glance.
LINES, FUNCTION_LINES = 300, 60


def test_a_file_is_one_noun() -> None:
    """No file has more than 300 lines, no function more than 60, its docstring aside."""
    assert [m for m, source in MODULES.items() if source.count("\n") > LINES] == []
    too_long = [
        f"{'/'.join(m)}.py:{node.lineno} {node.name}"
        for m, source in MODULES.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _lines(node) > FUNCTION_LINES
    ]
    assert too_long == []


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many lines a function has below its arguments and its docstring."""
    first = function.body[1:2] if ast.get_docstring(function) and len(function.body) > 1 else function.body[:1]
    return (function.end_lineno or 0) - first[0].lineno + 1
