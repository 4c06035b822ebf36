"""What stands behind the functions of a callback: the list that a lambda appends to, the object of a method."""

from __future__ import annotations

import contextlib
import functools
import logging
import types
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from .._format.classes import attributes
from .._format.refill import is_array
from .._format.table import SCALARS
from .._keras.backend import is_variable, value_of
from .._keras.classes import has_variables, is_keras

FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)
#: What has no state of a run. A logger changes when it is used first.
_CODE = (*FUNCTIONS, types.BuiltinFunctionType, types.ModuleType, type, logging.Logger)
_CONTAINERS = (list, tuple, set, frozenset, deque, dict)
#: How many parts of an object are looked at, and the bytes of the largest array. A function may hold all data.
_PARTS, _BYTES = 1000, 10_000


class Behind:
    """What the functions hold that the attributes of callbacks had when training began.

    A function that takes the place of one is state of the callback, and is saved as such.
    """

    def __init__(self, callbacks: Iterable[Any]) -> None:
        self._functions = {
            id(c): {n: f for n, f in attributes(c).items() if isinstance(f, FUNCTIONS)} for c in callbacks
        }

    def of(self, callback: Any) -> dict[str, str]:
        """A text that changes when what a function holds does, by ``attribute (its variable)``."""
        now = attributes(callback)
        return {
            f"{name} (its {variable})": _gist_of(held)
            for name, function in self._functions.get(id(callback), {}).items()
            if now.get(name) is function
            for variable, held in _held_by(function)
            if not isinstance(held, _CODE)
        }


def _held_by(function: Any) -> Iterator[tuple[str, Any]]:
    """(name, object) of what a function closes over or reads in its module, of the object of a method, and of the
    arguments of a partial."""
    if isinstance(function, functools.partial):
        yield from _held_by(function.func)
        yield "arguments", [*function.args, *function.keywords.values()]
    elif isinstance(function, types.MethodType):
        yield "object", function.__self__
    elif isinstance(function, types.FunctionType):
        code = function.__code__
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # still empty
                yield name, cell.cell_contents
        yield from ((n, function.__globals__[n]) for n in code.co_names if n in function.__globals__)


def _gist_of(value: Any) -> str:
    """The scalars in an object, in its containers and in its attributes, as far as :data:`_PARTS` go."""
    found: list[str] = []
    todo, seen = deque([value]), set()
    while todo and len(found) < _PARTS:
        item = todo.popleft()
        if type(item) in SCALARS:
            found.append(f"{item!r:.100}")
        elif id(item) in seen or isinstance(item, _CODE):
            found.append(type(item).__name__)
        elif is_variable(item) or is_array(item):
            array = value_of(item) if is_variable(item) else item
            found.append(str(array.tobytes()) if array.nbytes <= _BYTES else f"array {id(item)}")
        elif is_keras(item, "callbacks.Callback") or has_variables(item):
            found.append(f"part {id(item)}")  # the model, or a callback that is watched itself
        else:
            seen.add(id(item))
            found.append(f"{type(item).__name__} {len(item) if isinstance(item, _CONTAINERS) else id(item)}")
            todo += item if isinstance(item, _CONTAINERS) else ()
            todo += item.values() if isinstance(item, dict) else attributes(item).values()
    return repr(found)
