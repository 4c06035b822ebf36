"""The first difference between two values, with its path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._callbacks.arguments import describe
from ..._format.classes import attributes, class_name, is_plain_class
from ..._format.encode import same
from ..._keras.backend import is_tensor, is_variable, value_of


def difference(found: Any, expected: Any, path: str) -> str | None:
    """Describe the first difference as ``"<path> is ..., expected ..."``; None if there is none.

    Two values are equal if they have one type and the same bits: NaN equals NaN, 0.0 is not -0.0, 1 is not 1.0.
    Variables and tensors are compared by value, arrays by dtype, shape and bytes, other objects by attributes.
    """
    seen: set[tuple[int, int]] = set()
    todo = [(found, expected, path)]
    while todo:
        x, y, where = todo.pop(0)
        if x is y or (id(x), id(y)) in seen:
            continue
        seen.add((id(x), id(y)))
        if is_variable(x) or is_tensor(x):
            x = value_of(x)
        if is_variable(y) or is_tensor(y):
            y = value_of(y)
        if type(x) is not type(y):
            return f"{where} is {_shown(x)}, expected {_shown(y)}"
        if isinstance(x, Mapping) and x.keys() != y.keys():
            return _of_keys(x, y, where)
        parts = _parts(x, y, where)
        if parts is None:
            return f"{where} has {len(x)} items, expected {len(y)}: {_shown(x)}, expected {_shown(y)}"
        if parts:
            todo += parts
        elif type(x).__module__ == "numpy" and getattr(x, "shape", None):
            if (text := _of_arrays(x, y, where)) is not None:
                return text
        elif not _same(x, y):
            if _shown(x) == _shown(y):
                return f"{where} is {_shown(x)} in a different state than expected"
            return f"{where} is {_shown(x)}, expected {_shown(y)}"
    return None


def _parts(x: Any, y: Any, where: str) -> list[tuple[Any, Any, str]] | None:
    """The parts of two values in pairs; None if the values have different lengths."""
    if isinstance(x, Mapping):
        return [(x[key], y[key], f"{where}[{key!r}]") for key in x]
    if isinstance(x, (list, tuple)) or type(x).__name__ == "deque":
        if len(x) != len(y):
            return None
        return [(a, b, f"{where}[{i}]") for i, (a, b) in enumerate(zip(x, y, strict=True))]
    if is_plain_class(type(x)) or not same(x, x):
        mine, theirs = attributes(x), attributes(y)
        return [(mine.get(n), theirs.get(n), f"{where}.{n}") for n in sorted(mine.keys() | theirs.keys())]
    return []


def _same(x: Any, y: Any) -> bool:
    # Of a value that is not plain (a function, a lock) only the description can be compared.
    return same(x, y) if same(x, x) else describe(x) == describe(y)


def _of_keys(x: Any, y: Any, where: str) -> str:
    for key in y:
        if key not in x:
            return f"{where} has no {key!r}, expected {_shown(y[key])}"
    key = next(key for key in x if key not in y)
    return f"{where}[{key!r}] is {_shown(x[key])}, expected nothing of this name"


def _of_arrays(x: Any, y: Any, where: str) -> str | None:
    import numpy

    if (x.dtype, x.shape) != (y.dtype, y.shape):
        return f"{where} is an array of {x.dtype} {x.shape}, expected {y.dtype} {y.shape}"
    if _same(x, y):
        return None
    for index in numpy.ndindex(x.shape):
        if not _same(x[index], y[index]):
            at = ", ".join(map(str, index))
            return f"{where}[{at}] is {x[index]}, expected {y[index]}"
    return f"{where} is a different array (its order in memory differs)"


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return f"an object of class {class_name(type(value))}" if " at 0x" in text else text[:80]
