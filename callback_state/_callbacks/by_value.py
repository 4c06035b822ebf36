"""Saving what is not plain: a node for what Keras can put back, a pickle for everything else.

The model and the callbacks are never pickled. An object that holds one of them only names it.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType
from typing import Any

from .._format.classes import attributes, class_name
from .._format.encode import Encoder
from .._format.opener import NAME
from .._format.table import Node
from .._keras.backend import is_tensor, is_variable, value_of
from .._keras.classes import has_variables, is_keras, numpy_name, public_name, variables_in
from .._keras.randomness import layers_of
from .._keras.weights import places_of
from ..exceptions import NotPicklableError
from .arguments import LARGE_ARGUMENT, describe, is_code
from .builders import ModelVariable
from .stateful import PARTS

_WRITTEN = (type, FunctionType, BuiltinFunctionType)


@dataclass
class ByValue:
    """The fallback of the encoder, which collects what is pickled by value."""

    model: Any = None  # the one being trained, or None
    callbacks: dict[int, str] = field(default_factory=dict)  # the key of each that is saved, by its id
    pickles: list[bytes] = field(default_factory=list)  # a node has the index of its pickle
    #: Paths of functions and classes that nobody can import, and of arguments: live callbacks have their own.
    code: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)  # paths of other objects
    #: Whether the object at a path is as the constructor made it, and whether that is certain.
    is_made: Callable[[Any, str], tuple[bool, bool]] = lambda value, path: (False, False)
    made: set[int] = field(default_factory=set)  # the indices of the pickles of such objects
    #: The line that leaves an attribute out, given the key of the callback and the attribute.
    line: Callable[[str, str], str] = lambda key, attribute: f'@stateful(exclude=("{attribute}",))'
    #: A list if the table does not leave the process. Objects go into this list, and are not pickled.
    kept: list[Any] | None = None
    #: Gives the state of a callback that another callback holds and that is not saved itself.
    state_of: Callable[[Any], dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        self._places = places_of(self.model)

    def __call__(self, encoder: Encoder, value: Any, path: str) -> Node:
        path = readable(path)
        if isinstance(value, ModelVariable):
            return ("variable", None, value.group, value.index)
        if is_variable(value):
            place = self._places.get(id(value))
            if place is not None:
                return ("variable", None, *place)
            return ("variable", encoder.ref(value_of(value), path), None, class_name(type(value)))
        if is_tensor(value):
            return ("tensor", encoder.ref(value_of(value), path))
        if id(value) in self.callbacks or id(value) in self._parts():
            return ("reference", describe(value))
        if is_keras(value, "callbacks.Callback"):
            state = {} if self.state_of is None else self.state_of(value)
            return ("callback", describe(value), encoder.pairs(state.items(), path, "."))
        if has_variables(value):
            return self._of_keras(encoder, value, path)
        if self.kept is not None:
            self.kept.append(value)
            return ("kept", len(self.kept) - 1)
        index, kind = len(self.pickles), "code" if is_code(value) else "value"
        self.pickles.append(self._pickle(value, path))
        is_made, is_certain = self.is_made(value, path)
        if is_made:
            self.made.add(index)
        if kind == "value" and not is_made:
            self.objects.append(path)
        elif not is_certain and not (kind == "code" and _is_importable(value)):
            self.code.append(path)
        return (kind, index, describe(value), path, *([True] if is_made else []))

    def attempt(self, value: Any, path: str) -> int | None:
        """The index of a constructor's argument in the by-value section; None if it cannot be stored."""
        try:
            data = self._pickle(value, path)
        except NotPicklableError:
            return None
        if len(data) > LARGE_ARGUMENT:
            return None
        self.pickles.append(data)
        if not (is_code(value) and _is_importable(value)):
            self.code.append(path)
        return len(self.pickles) - 1

    def _of_keras(self, encoder: Encoder, value: Any, path: str) -> Node:
        variables = variables_in(value)
        if variables and all(id(v) in self._places for v in variables):
            return ("reference", describe(value))  # such as a model of some of the model's layers
        return ("variables", describe(value), [encoder.ref(value_of(v), path) for v in variables])

    def _parts(self) -> set[int]:
        if self.model is None:
            return set()
        parts = [self.model, getattr(self.model, "optimizer", None), *layers_of(self.model), *self.model.metrics]
        return {id(part) for part in parts if part is not None}

    def _pickle(self, value: Any, path: str) -> bytes:
        try:
            return self._dumps(value)
        except Exception as error:  # an object's own way of pickling may raise anything
            where, part, reason = self._blame(value, path, error)
            keys = [key for key in self.callbacks.values() if where.startswith(f"{key}.")]
            start = max(map(len, keys)) + 1 if keys else where.find(".") + 1
            attribute = re.split(r"[.\[]", where[start:])[0]
            raise NotPicklableError(
                where,
                f"{describe(part)} cannot be saved ({reason}). If it is no state, leave it out: "
                f"{self.line(where[: start - 1], attribute)}.",
            ) from error

    def _dumps(self, value: Any) -> bytes:
        import cloudpickle

        class Pickler(cloudpickle.CloudPickler):
            def persistent_id(_self, item: Any) -> Any:
                return self._persistent_id(item)

        buffer = io.BytesIO()
        Pickler(buffer, protocol=4).dump(value)
        return buffer.getvalue()

    def _persistent_id(self, item: Any) -> Any:
        if item is self.model and item is not None:
            return "model"
        if id(item) in self.callbacks:
            return ("callback", self.callbacks[id(item)])
        if isinstance(item, _WRITTEN) or numpy_name(item) is not None:
            part = next((name for name, part in PARTS.items() if part is item), None)
            if part is not None:
                return ("stateful", part)
            name = public_name(item)  # None if pickle may name it
            return None if name is None else (NAME, name)
        if _is_of_keras(item):
            raise TypeError("a part of Keras is never pickled; decorate the class that holds it with @stateful")
        return None

    def _blame(self, value: Any, path: str, error: Exception) -> tuple[str, Any, Exception]:
        """The innermost part that cannot be pickled: its path, the part, and the error."""
        seen = {id(value)}
        while True:
            for step, item in () if _is_of_keras(value) else _parts_of(value):
                if id(item) in seen:
                    continue
                try:
                    self._dumps(item)
                except Exception as reason:
                    seen.add(id(item))
                    path, value, error = path + step, item, reason
                    break
            else:
                return path, value, error


def _is_of_keras(value: Any) -> bool:
    return is_variable(value) or is_keras(value, "callbacks.Callback") or has_variables(value)


def _is_importable(value: Any) -> bool:
    """Whether a function or class is pickled as the name of what a new process imports."""
    if getattr(value, "__module__", "__main__") == "__main__":
        return False
    try:
        pickle.dumps(value)
    except Exception:  # whatever pickle raises for what is defined in a function
        return False
    return True


def readable(path: str) -> str:
    """``Scheduler.pool.lock`` for the encoder's ``['Scheduler']['pool'].lock``."""
    return re.sub(r"""^\[(['"])(.*?)\1\]\[(['"])(.*?)\3\]""", r"\2.\4", path)


def _parts_of(value: Any) -> Iterator[tuple[str, Any]]:
    """(step of a path, what stands there) for what an object holds."""
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", item) for key, item in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"[{i}]", item) for i, item in enumerate(value))
    code = getattr(value, "__code__", None)
    cells = getattr(value, "__closure__", None) or ()
    for name, cell in zip(getattr(code, "co_freevars", ()), cells, strict=False):
        with contextlib.suppress(ValueError):  # still empty
            yield f".<{name}>", cell.cell_contents
    yield from ((f".{name}", item) for name, item in attributes(value).items())
