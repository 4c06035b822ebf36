"""The changes of a script that cure findings, as a patch for ``git apply`` and ``patch -p1``."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Iterable
from typing import NamedTuple

#: More rounds than cures can hide others.
_ROUNDS = 10


class Edit(NamedTuple):
    """A text in the place of a part of a script: from one place, a 1-based line and a 0-based byte, to another."""

    start: tuple[int, int]
    end: tuple[int, int]
    text: str


class Cure(NamedTuple):
    """What changes a script so that a finding is gone."""

    edits: tuple[Edit, ...] = ()
    #: Names of callback_state that have to be imported, and lines that go below the imports.
    names: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def with_argument(call: ast.Call, text: str) -> Edit:
    """Add an argument behind the last one of a call."""
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    ends = [(node.end_lineno or 0, node.end_col_offset or 0) for node in arguments]
    if ends:
        return Edit(max(ends), max(ends), f", {text}")
    place = call.end_lineno or 0, (call.end_col_offset or 0) - 1
    return Edit(place, place, text)


def in_place_of(node: ast.expr, text: str) -> Edit:
    return Edit((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0), text)


def before(statement: ast.stmt, lines: Iterable[str]) -> Edit:
    """Put lines before a statement, with its indentation."""
    place = statement.lineno, statement.col_offset
    return Edit(place, place, "".join(f"{line}\n{' ' * statement.col_offset}" for line in lines))


def patched(source: bytes, look: Callable[[bytes], Iterable[Cure]]) -> bytes:
    """The script with all cures that ``look`` finds, also those that are seen only after others."""
    for _ in range(_ROUNDS):
        source, before = _applied(source, _apart(look(source))), source
        if source == before:
            break
    return source


def _apart(cures: Iterable[Cure]) -> list[Cure]:
    """Cures that change different places; the others wait for the next round."""
    chosen: list[Cure] = []
    for cure in cures:
        taken = [edit for one in chosen for edit in one.edits]
        if not any(a.start < b.end and b.start < a.end for a in cure.edits for b in taken):
            chosen.append(cure)
    return chosen


def _applied(source: bytes, cures: list[Cure]) -> bytes:
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    edits = dict.fromkeys([*(edit for cure in cures for edit in cure.edits), *_head(ast.parse(source), cures)])
    for start, end, text in sorted(edits, key=lambda edit: edit.start, reverse=True):
        at, to = (starts[line - 1] + byte for line, byte in (start, end))
        source = source[:at] + text.encode() + source[to:]
    ast.parse(source)  # a patch that breaks the script is a defect here, and must not reach it
    return source


def _head(tree: ast.Module, cures: list[Cure]) -> list[Edit]:
    """What goes below the imports at the top."""
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    known = {alias.asname or alias.name for node in imports for alias in node.names}
    names = sorted({name for cure in cures for name in cure.names} - known)
    lines = [*dict.fromkeys(line for cure in cures for line in cure.lines)]
    if any("keras." in line for line in lines) and "keras" not in known:
        lines.insert(0, "import keras")
    if names:
        lines.insert(0, f"from callback_state import {', '.join(names)}")
    is_text = (
        bool(tree.body) and isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Constant)
    )
    last = imports[-1] if imports else tree.body[0] if is_text else None
    place = (1 if last is None else (last.end_lineno or 0) + 1), 0
    return [Edit(place, place, "".join(f"{line}\n" for line in lines))] if lines else []


def diff(path: str, look: Callable[[bytes], Iterable[Cure]]) -> str:
    """The patch of a script; empty if nothing can be cured by it."""
    with open(path, "rb") as file:
        source = file.read()
    old, new = (text.decode("utf-8").splitlines(keepends=True) for text in (source, patched(source, look)))
    name = path.removeprefix("./").lstrip("/")
    return "".join(difflib.unified_diff(old, new, f"a/{name}", f"b/{name}"))
