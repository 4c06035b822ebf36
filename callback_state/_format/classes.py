"""Which classes are plain, and what the fields of their objects are."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

#: Where a plain class that was given to ``@stateful`` holds its mark.
PLAIN = "_callback_state_plain"
_HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class that Python code has made


class PlainMark(NamedTuple):
    """What ``@stateful`` was told about a plain class: its name in files, attributes to leave out."""

    name: str
    exclude: frozenset[str]


def class_name(cls: type) -> str:
    """``package.module.Class``."""
    return f"{public(cls.__module__)}.{cls.__qualname__}"


def public(module: Any) -> str:
    """The name of a module as it gets into a file: where Keras and TensorFlow keep what is theirs changes."""
    package, _, inside = str(module).partition(".")
    private = {"keras": "src", "tensorflow": "python"}.get(package)
    return package if private is not None and inside.partition(".")[0] == private else str(module)


def stored_name(cls: type) -> str:
    """The name under which a plain class is stored: its key, or its full name."""
    mark = cls.__dict__.get(PLAIN)
    return class_name(cls) if mark is None else mark.name


def left_out(cls: type) -> frozenset[str]:
    """The attributes that objects of a plain class keep to themselves."""
    mark = cls.__dict__.get(PLAIN)
    return frozenset() if mark is None else mark.exclude


def is_plain_class(cls: type) -> bool:
    """Whether objects of ``cls`` are stored as (name, fields)."""
    if issubclass(cls, enum.Enum):
        return True
    if issubclass(cls, tuple):
        return hasattr(cls, "_fields")
    if not (dataclasses.is_dataclass(cls) or PLAIN in cls.__dict__):
        return False
    return has_only_attributes(cls)


def has_only_attributes(cls: type) -> bool:
    """Whether an object is its attributes: one that is also a dict, an exception or a part of Keras is more."""
    return all(b.__flags__ & _HEAP and not is_from(b, "keras") for b in cls.__mro__[:-1])


def is_from(written: Any, *packages: str) -> bool:
    """Whether a class or function stands in the code of one of these packages."""
    return str(getattr(written, "__module__", None)).partition(".")[0] in packages


def fields_of(value: Any) -> dict[str, Any] | None:
    """The fields of an object of a class that is stored as (name, fields); None for any other."""
    cls = type(value)
    if cls is SimpleNamespace:
        return dict(vars(value))
    if not is_plain_class(cls):
        return None
    if isinstance(value, enum.Enum):
        return {"name": value.name, "value": value.value}
    if isinstance(value, tuple):  # a named tuple, which has no other attributes
        return None if attributes(value) else dict(zip(cls._fields, value, strict=True))
    hidden = left_out(cls)
    return {name: item for name, item in attributes(value).items() if name not in hidden}


def attributes(value: Any) -> dict[str, Any]:
    """Every instance attribute of ``value``, those in ``__slots__`` included, special names not."""
    # Not with getattr: for what is missing that runs the __getattr__ of the class, which may do anything.
    named = _stored(value, "__dict__", {})
    found = {k: v for k, v in named.items() if k[:2] != "__" or not is_special(k)}
    cls = type(value)
    slots = _slots.get(cls)
    if slots is None:
        slots = _slots[cls] = [*_slots_of(cls)]
    for name in slots:
        item = _stored(value, name, _slots)
        if item is not _slots:
            found[name] = item
    return found


def _stored(value: Any, name: str, default: Any) -> Any:
    try:
        return object.__getattribute__(value, name)
    except AttributeError:
        return default


#: By class: the names of its slots, as attributes have them.
_slots: WeakKeyDictionary[type, list[str]] = WeakKeyDictionary()


def _slots_of(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            private = name.startswith("__") and not is_special(name)
            name = f"_{base.__name__.lstrip('_')}{name}" if private else name
            if not is_special(name):
                yield name


def is_special(name: str) -> bool:
    """Whether an attribute is Python's own, such as ``__class__`` and ``__orig_class__``."""
    return name.startswith("__") and name.endswith("__")
