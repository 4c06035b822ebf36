"""The shape of the package: imports point only downwards, heavy libraries are loaded only where they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "callback_state"

# Each module may import those before it. A new module needs a place here.
ORDER = [
    "_lazy",
    "_units",
    "exceptions",
    "_atomic",
    "_lock",
    "_read",
    "_statefile",
    "_trust",
    "_opener",
    "_arrays",
    "_generators",
    "_kinds",
    "_fields",
    "_table",
    "_work",
    "_plain",
    "_build",
    "_arguments",
    "_stateful",
    "_pair",
    "_naming",
    "_store",
    "_retention",
    "_fingerprint",
    "_random",
    "_runstate",
    "_inventory",
    "_meta",
    "_replaced",
    "_record",
    "_modelfile",
    "_compare",
    "_verify",
    "_variables",
    "_byvalue",
    "_adapter",
    "_logs",
    "_events",
    "_adapters",
    "_capture",
    "_prepared",
    "_summary",
    "_shape",
    "_snapshot",
    "_overwrites",
    "_find",
    "_needs",
    "_html",
    "_listing",
    "_reopen",
    "_say",
    "_course",
    "_watch",
    "_attributes",
    "_graphs",
    "_pipelines",
    "_reader",
    "_source",
    "_draws",
    "_doubts",
    "_reading",
    "_fit",
    "_metrics",
    "_signals",
    "_listener",
    "_loop",
    "_epoch",
    "_expected",
    "_kept",
    "_mode",
    "_resume",
    "_match",
    "_saver",
    "_options",
    "_decision",
    "_ledger",
    "_moment",
    "_rescue",
    "_keeper",
    "_checkpoint",
    "_rebuild",
    "_restored",
    "_restore",
    "_passes",
    "_enterable",
    "data",
    "cli",
    "demo",
]
#: The same within ``callback_state.testing``, whose modules may import any of the package's but the last two.
TESTING_ORDER = [
    "_standin",
    "_watchdog",
    "_logs",
    "_plan",
    "_picture",
    "_record",
    "_difference",
    "_looked",
    "_states",
    "_compared",
    "_saves",
    "_run",
    "_drive",
    "_factory",
    "_syntax",
    "_causes",
    "_process",
    "_resumes",
    "_equal",
    "strategies",
    "plugin",
]
KERAS_FREE = [*ORDER[: ORDER.index("_store") + 1], "__init__"]
HEAVY = {"tensorflow", "keras", "numpy", "h5py", "cloudpickle"}
EXEMPT = {"__init__", "__main__"}  # they see everything

MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


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


def siblings(source: str) -> Iterator[tuple[int, str]]:
    """(line, module) of every import of a module of the package; the package itself is ``__init__``.

    The number of the release, a literal, is everybody's.
    """
    for line, module, name in imports(source):
        if module in (".", "callback_state"):
            if name != "__version__":
                yield line, name if name in {*MODULES, *ORDER} else "__init__"
        elif module.startswith((".", "callback_state.")):
            yield line, module.removeprefix("callback_state").lstrip(".").partition(".")[0]


def upwards(stem: str, source: str) -> list[str]:
    """What a module imports that does not stand before it in ``ORDER``."""
    below = ORDER[: ORDER.index(stem)]
    return [f"{stem}.py:{line} imports {name}" for line, name in siblings(source) if name not in below]


def heavy(stem: str, source: str) -> list[str]:
    """The heavy libraries that a module loads as soon as it is imported."""
    found = [(line, module.partition(".")[0]) for line, module, _ in imports(source, module_level=True)]
    return [f"{stem}.py:{line} imports {library}" for line, library in found if library in HEAVY]


def read(stem: str) -> str:
    return (PACKAGE / f"{stem}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("stem", [stem for stem in MODULES if stem not in EXEMPT])
def test_imports_point_downwards(stem: str) -> None:
    """A module imports only modules that stand before it in the order of the package, in functions too."""
    assert stem in ORDER, f"{stem}.py has no place in ORDER (tests/test_imports.py)"
    if stem != "demo":  # a user of the package like any other: it may import the package itself
        assert upwards(stem, read(stem)) == []


TESTING = PACKAGE / "testing"


@pytest.mark.parametrize("stem", sorted(path.stem for path in TESTING.glob("*.py") if path.stem != "__init__"))
def test_imports_of_the_testing_package_point_downwards(stem: str) -> None:
    """Within it the same rule holds, a child process aside, which imports what asked for it; and nothing in the
    package imports it."""
    below = TESTING_ORDER[: TESTING_ORDER.index(stem)]
    for line, module, name in imports((TESTING / f"{stem}.py").read_text(encoding="utf-8")):
        if module == ".." or module.startswith(".."):
            assert (module.removeprefix("..") or name) in ORDER[: ORDER.index("data")], f"{stem}.py:{line}"
        elif module.startswith(".") and (stem, module) != ("_process", "._resumes"):
            inner = module.removeprefix(".") or name
            assert inner in below or stem == "plugin", f"{stem}.py:{line} imports {inner}"
    assert not any("testing" in module for s in MODULES for _, module, _ in imports(read(s)))


@pytest.mark.parametrize("stem", [stem for stem in MODULES if stem in KERAS_FREE])
def test_the_upper_half_loads_no_heavy_library(stem: str) -> None:
    """What needs no Keras loads none of it, and can be tested in milliseconds."""
    assert heavy(stem, read(stem)) == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("from ._restore import x", "_store.py:1 imports _restore"),
        ("from . import _loop", "_store.py:1 imports _loop"),
        ("import callback_state._loop", "_store.py:1 imports _loop"),
        ("def f():\n    from callback_state import stateful", "_store.py:2 imports __init__"),
    ],
)
def test_an_upward_import_is_found(source: str, complaint: str) -> None:
    """However it is written, an import that points upwards is reported with its line."""
    assert upwards("_store", source) == [complaint]


def test_heavy_imports_count_only_where_they_run() -> None:
    """In a module's body, also in a class or a ``try``; not in a function, not for the type checker."""
    source = "try:\n    import numpy.linalg\nexcept ImportError: pass\nclass C:\n    from keras import ops\n"
    unused = "def f():\n    import h5py\nif TYPE_CHECKING:\n    import tensorflow\nelse:\n    import re\n"
    assert sorted(heavy("x", source + unused)) == ["x.py:2 imports numpy", "x.py:5 imports keras"]


def test_importing_the_package_is_light() -> None:
    """``import callback_state`` loads none of the heavy libraries."""
    code = f"import sys, callback_state; print(sorted(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
