"""Plain data as dataclasses, and back, by the annotations of their fields.

A dataclass is a dict of its fields. A field whose name would be a keyword of Python ends with an underscore, which
its key does not have: ``class_`` is ``"class"``. What is annotated as ``Any`` is taken as it is.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from typing import Any, TypeVar

#: Bits of the largest integer. Python refuses to print some integers, and to take others for a time.
BITS = 63
_SCALARS = (int, float, str, bool, type(None))
T = TypeVar("T")


class SchemaError(ValueError):
    """The data are not what the dataclass says; the message begins with the path of the part that is wrong."""


def from_plain(cls: type[T], plain: Any, path: str) -> T:
    """An object of a dataclass, from a dict that stands at ``path`` in the file.

    The fields are scalars, lists, tuples, dicts, named tuples and other dataclasses; keys that are not fields are
    ignored. A list of named tuples is stored as a dict that has a list for each of their fields. Raises
    SchemaError if a part is missing or has another type, or a number has more than :data:`BITS` bits.
    """
    made: T = _Reading().read(cls, plain, path)
    return made


def to_plain(value: Any, of: Any = None) -> Any:
    """The reverse of :func:`from_plain`; what has no type of its own there is the very same object."""
    hint: Any = type(value) if of is None else of
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        cls: Any = hint
        return {key: to_plain(getattr(value, name), inner) for name, key, inner in _fields(cls)}
    if _is_named_tuple(hint):
        return tuple(value)
    if value is not None and isinstance(hint, types.UnionType):
        return to_plain(value, _but_none(hint))
    if origin is list and _is_named_tuple(arguments[0]):
        return {key: [getattr(item, name) for item in value] for name, key, _ in _fields(arguments[0])}
    if origin is list and arguments[0] is not Any:
        known = _scalars(arguments[0]) is not None
        return [*value] if known else [to_plain(item, arguments[0]) for item in value]
    if origin is dict and arguments[1] is not Any:
        return {key: to_plain(item, arguments[1]) for key, item in value.items()}
    return value


class _Reading:
    """One run of :func:`from_plain`. A part that many others share is read once."""

    def __init__(self) -> None:
        self._done: dict[Any, Any] = {}

    def read(self, hint: Any, value: Any, path: str) -> Any:
        allowed = _scalars(hint)
        if allowed is not None:
            if not _is_one(value, allowed):
                _expect(value, allowed, path)
                raise SchemaError(f"{path}: a number of more than {BITS} bits, which no run reaches")
            return value
        if hint is Any or (value is None and type(None) in typing.get_args(hint)):
            return value
        place = id(value), hint
        if place not in self._done:
            self._done[place] = self._container(hint, value, path)
        return self._done[place]

    def _container(self, hint: Any, value: Any, path: str) -> Any:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if isinstance(hint, types.UnionType):
            return self.read(_but_none(hint), value, path)
        if dataclasses.is_dataclass(hint):
            return self._object(hint, value, path)
        if _is_named_tuple(hint):
            return hint(*self._items(value, _hints(hint), path))
        if origin is list and _is_named_tuple(arguments[0]):
            return self._columns(arguments[0], value, path)
        if origin is tuple and arguments[-1] is not ...:
            return self._items(value, arguments, path)
        _expect(value, (origin,), path)
        if origin is tuple:
            return value
        if origin is list:
            return self._list(arguments[0], value, path)
        for key in value:
            self.read(arguments[0], key, f"{path}: a key")
        if arguments[1] is Any:
            return value
        return {key: self.read(arguments[1], item, f"{path}.{key:.100}") for key, item in value.items()}

    def _list(self, hint: Any, value: list[Any], path: str) -> list[Any]:
        scalars = _scalars(hint)
        if hint is Any or (scalars is not None and _are_all(value, scalars)):
            return value
        return [self.read(hint, item, f"{path}[{i}]") for i, item in enumerate(value)]

    def _columns(self, cls: Any, value: Any, path: str) -> list[Any]:
        """Named tuples that stand in a dict of lists, as there may be very many of them."""
        columns = self._fields(cls, value, path, list)
        if len({*map(len, columns)}) > 1:
            raise SchemaError(f"{path}: its lists differ in length")
        return [*map(cls, *columns)]

    def _object(self, cls: Any, value: Any, path: str) -> Any:
        return cls(*self._fields(cls, value, path))

    def _fields(self, cls: Any, value: Any, path: str, of: Any = None) -> list[Any]:
        """The fields of a class that stand in a dict; of each a list, if ``of`` is list."""
        _expect(value, (dict,), path)
        found = []
        for _, key, hint in _fields(cls):
            if key not in value:
                raise SchemaError(f"{path}.{key} is missing")
            found.append(self.read(hint if of is None else of[hint], value[key], f"{path}.{key}"))
        return found

    def _items(self, value: Any, hints: Any, path: str) -> tuple[Any, ...]:
        _expect(value, (tuple,), path)
        if len(value) != len(hints):
            raise SchemaError(f"{path}: expected {len(hints)} items, found {len(value)}")
        return tuple(
            self.read(hint, item, f"{path}[{i}]") for i, (hint, item) in enumerate(zip(hints, value, strict=True))
        )


@functools.cache
def _fields(cls: Any) -> tuple[tuple[str, str, Any], ...]:
    """Of each field of a dataclass or a named tuple its name, its key in the dict, and its type."""
    names = cls._fields if _is_named_tuple(cls) else [field.name for field in dataclasses.fields(cls)]
    return tuple((name, name.removesuffix("_"), of) for name, of in zip(names, _hints(cls), strict=True))


@functools.cache
def _hints(cls: Any) -> tuple[Any, ...]:
    return tuple(typing.get_type_hints(cls).values())


@functools.cache
def _scalars(hint: Any) -> tuple[type, ...] | None:
    """The types that a scalar may have; None if the hint is of something else."""
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return allowed if all(of in _SCALARS for of in allowed) else None


def _but_none(hint: Any) -> Any:
    """``X`` of ``X | None``."""
    return next(of for of in typing.get_args(hint) if of is not type(None))


def _is_named_tuple(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields")


def _is_one(value: Any, allowed: tuple[type, ...]) -> bool:
    """Whether a scalar has one of these types, and is no number out of bounds."""
    return type(value) in allowed and (type(value) is not int or value.bit_length() <= BITS)


def _are_all(values: list[Any], allowed: tuple[type, ...]) -> bool:
    """Whether :func:`_is_one` is true of each, found in a few passes: there may be very many."""
    types = {*map(type, values)}
    if not types <= {*allowed}:
        return False
    if int not in types:
        return True
    numbers = values if types == {int} else [value for value in values if type(value) is int]
    return max(map(abs, (min(numbers), max(numbers)))).bit_length() <= BITS


def _expect(value: Any, allowed: tuple[type, ...], path: str) -> None:
    if type(value) not in allowed:
        names = " or ".join("None" if of is type(None) else of.__name__ for of in allowed)
        found = "None" if value is None else type(value).__name__
        raise SchemaError(f"{path}: expected {names}, found {found}")
