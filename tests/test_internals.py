"""Only ``_keras/`` names what Keras and TensorFlow keep private."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from places import ROOT

PACKAGE = ROOT / "callback_state"
SOURCES = {
    path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(PACKAGE.rglob("*.py"))
    if not {"_keras", "contrib"} & {*path.relative_to(PACKAGE).parts}  # contrib has one file for each tracker
}
#: Names with an underscore of the Python library.
PUBLIC = {"_Unpickler", "_asdict", "_fields", "_getframe", "_make", "_register_atexit", "_replace", "_value_"}
#: What the pytest plugin needs of pytest: the arguments that a test's own function has.
OTHERS = {"_fixtureinfo"}
PRIVATE_MODULE = re.compile(r"\bkeras\.src\b|\btensorflow\.(python|core)\b")
PRIVATE_NAME = re.compile(r"_(?!callback_state_)[a-zA-Z]\w*[a-zA-Z0-9]", re.IGNORECASE)


def names_in(tree: ast.AST) -> Iterator[str]:
    """The private names that a module defines: functions, classes, variables, and attributes of ``self``."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                yield name
            case ast.Constant(value=str(name)) if name.startswith("_callback_state_"):
                yield name
            case ast.ImportFrom(module=str(module), level=1 | 2 | 3 | 4):
                yield from module.split(".")


OURS = (
    {name for source in SOURCES.values() for name in names_in(ast.parse(source))}
    | {path.stem for path in PACKAGE.rglob("_*.py")}
    | {path.name for path in PACKAGE.iterdir()}
)


def foreign(source: str) -> list[str]:
    """The private names of others that a module names, each with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name, lineno=line) if PRIVATE_NAME.fullmatch(name):
                found.append((line, name))
            case ast.Constant(value=str(text), lineno=line) if PRIVATE_NAME.fullmatch(text):
                found.append((line, text))
            case ast.ImportFrom(level=0, module=str(module), names=names, lineno=line):
                parts = [part for name in names for part in f"{module}.{name.name}".split(".")]
                found += [(line, part) for part in parts if PRIVATE_NAME.fullmatch(part)]
    named = [(line, name) for line, name in found if name not in OURS | PUBLIC | OTHERS]
    for line, text in enumerate(source.splitlines(), 1):
        named += [(line, match[0]) for match in PRIVATE_MODULE.finditer(text)]
    return [f"{line}: {name}" for line, name in sorted(named)]


def test_no_other_wing_names_what_is_private() -> None:
    """An attribute, a class or a module of Keras or TensorFlow that is private stands in ``_keras/``."""
    assert {path: foreign(source) for path, source in SOURCES.items() if foreign(source)} == {}


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("epoch = model._initial_epoch", "1: _initial_epoch"),
        ("model._initial_epoch = 3", "1: _initial_epoch"),
        ("class C(keras.Model):\n    def f(self):\n        self._symbolic_build()", "3: _symbolic_build"),
        ("getattr(dataset, '_variant_tensor')", "1: _variant_tensor"),
        ("vars(model)['_eval_epoch_iterator']", "1: _eval_epoch_iterator"),
        ("type(step).__name__ == '_MapDataset'", "1: _MapDataset"),
        ("from keras.src.saving import saving_lib", "1: keras.src"),
        ("import tensorflow.python.eager", "1: tensorflow.python"),
        ("# as in keras.src.utils", "1: keras.src"),
        ("from keras.saving import _save_state", "1: _save_state"),
    ],
)
def test_what_is_private_is_found(source: str, complaint: str) -> None:
    """However it is named, with its line."""
    assert foreign(source) == [complaint]
