"""The plain kinds that are not containers: dates, numbers, paths, and what NumPy and ``random`` add.

Each is stored as (kind, plain values ...). NumPy is not imported to look at a value: where it is not
loaded, no value can be of its types.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import numbers
import pathlib
import sys
import uuid
from collections.abc import Callable
from typing import Any

from . import arrays, generators
from .generators import Later
from .table import Stored

#: The bits of a fraction's parts.
MAX_FRACTION = 1 << 14
#: The kinds whose state is put into what stands in the place now.
IN_PLACE = frozenset({"Random", "BitGenerator", "RandomState"})


def encode(value: Any, apart: arrays.Apart | None = None) -> tuple[Any, ...] | None:
    """(kind, plain values ...), or None for a value that is not of these kinds.

    ``apart`` keeps the bytes of large arrays apart; without it they are among the plain values.
    """
    if type(value) in _TO_DATA:
        name, data_of = _TO_DATA[type(value)]
        has_foreign_zone = type(getattr(value, "tzinfo", None)) not in (type(None), datetime.timezone)
        # Reducing a fraction takes the square of its length.
        is_long = name == "Fraction" and not _are_short(value.numerator, value.denominator)
        return None if has_foreign_zone or is_long else (name, *data_of(value))
    numpy = sys.modules.get("numpy")
    random_numbers = generators.encode(numpy, value)
    if random_numbers is not None or numpy is None:
        return random_numbers
    return arrays.encode(numpy, value, apart)


def decode(kind: str, data: list[Any], live: Any, later: Later) -> Any:
    """The value of (kind, \\*data). Raises KeyError if there is no such kind.

    Where a generator stands in the place now (``live``) that one is returned, so that everybody who draws from it
    goes on together. What sets its state is appended to ``later``, for the caller to run when everything is in
    order. Data that :func:`encode` does not give raise ValueError, TypeError or ArithmeticError.
    """
    if kind in _WITH_LIVE:
        return _WITH_LIVE[kind](live, later, *data)
    types, make = _FROM_DATA[kind]
    if types is not None:
        for item, expected in zip(data, types, strict=True):
            if not isinstance(item, expected):
                raise TypeError(f"{kind} of {type(item).__name__}")
    return make(*data)


def _moment(value: datetime.datetime | datetime.time) -> tuple[Any, ...]:
    # The zone apart: its name is not in the text.
    return (value.replace(tzinfo=None).isoformat(), value.fold, value.tzinfo)


def _are_short(*parts: Any) -> bool:
    return all(int(part).bit_length() <= MAX_FRACTION for part in parts)


def _fraction(*parts: Any) -> fractions.Fraction:
    if not _are_short(*parts):
        raise ValueError(f"a fraction of more than {MAX_FRACTION} bits")
    return fractions.Fraction(*parts)


#: For each type the name of its kind, and what makes its data.
_TO_DATA: dict[type, tuple[str, Callable[[Any], tuple[Any, ...]]]] = {
    int: ("int", lambda v: (v.to_bytes(v.bit_length() // 8 + 1, "little", signed=True),)),
    complex: ("complex", lambda v: (v.real, v.imag)),
    bytearray: ("bytearray", lambda v: (bytes(v),)),
    range: ("range", lambda v: (v.start, v.stop, v.step)),
    slice: ("slice", lambda v: (v.start, v.stop, v.step)),
    datetime.date: ("date", lambda v: (v.isoformat(),)),
    datetime.datetime: ("datetime", _moment),
    datetime.time: ("time", _moment),
    datetime.timedelta: ("timedelta", lambda v: (v.days, v.seconds, v.microseconds)),
    datetime.timezone: ("timezone", lambda v: v.__getinitargs__()),
    decimal.Decimal: ("Decimal", lambda v: (str(v),)),
    fractions.Fraction: ("Fraction", lambda v: (v.numerator, v.denominator)),
    uuid.UUID: ("UUID", lambda v: (v.bytes,)),
    type(...): ("Ellipsis", lambda v: ()),
    type(NotImplemented): ("NotImplemented", lambda v: ()),
    # A path of this system becomes one of the system that reads it; a foreign one stays.
    pathlib.PurePosixPath: ("PurePosixPath", lambda v: (str(v),)),
    pathlib.PureWindowsPath: ("PureWindowsPath", lambda v: (str(v),)),
    type(pathlib.PurePath()): ("PurePath", lambda v: (str(v),)),
    type(pathlib.Path()): ("Path", lambda v: (str(v),)),
}


def _in_zone(kind: Any) -> Callable[..., Any]:
    def make(text: str, fold: int, zone: Any) -> Any:
        return kind.fromisoformat(text).replace(fold=fold, tzinfo=zone)

    return make


_ZONE = (datetime.timezone, type(None))
#: For each kind the types of its data (a constructor that is given others may not come back), and the
#: constructor; None where that looks for itself.
_FROM_DATA: dict[str, tuple[Any, Callable[..., Any]]] = {
    "int": ((bytes,), lambda data: int.from_bytes(data, "little", signed=True)),
    "complex": ((float, float), complex),
    "bytearray": (((bytes, memoryview),), bytearray),
    "range": ((int, int, int), range),
    "slice": (None, slice),
    "date": ((str,), datetime.date.fromisoformat),
    "datetime": ((str, int, _ZONE), _in_zone(datetime.datetime)),
    "time": ((str, int, _ZONE), _in_zone(datetime.time)),
    "timedelta": ((int, int, int), datetime.timedelta),
    "timezone": (None, datetime.timezone),
    "Decimal": ((str,), decimal.Decimal),
    "Fraction": ((numbers.Integral, numbers.Integral), _fraction),
    "UUID": ((bytes,), lambda data: uuid.UUID(bytes=data)),
    "Ellipsis": ((), lambda: ...),
    "NotImplemented": ((), lambda: NotImplemented),
    "PurePosixPath": ((str,), pathlib.PurePosixPath),
    "PureWindowsPath": ((str,), pathlib.PureWindowsPath),
    "PurePath": ((str,), pathlib.PurePath),
    "Path": ((str,), pathlib.Path),
    "array": ((object, tuple, str, (bytes, memoryview, Stored), bool), arrays.decode_array),
    "scalar": ((object, bytes), lambda described, data: arrays.decode_array(described, (), "C", data, True)[()]),
    "dtype": ((object,), arrays.decode_dtype),
    "str_": ((str,), lambda text: _numpy().str_(text)),
    "bytes_": ((bytes,), lambda data: _numpy().bytes_(data)),
    "SeedSequence": ((object, tuple, int), generators.decode_seed_sequence),
}
#: Kinds that are made by copying bytes, which may then be a view of others.
COPYING = frozenset({"bytearray", "array"})
_WITH_LIVE: dict[str, Callable[..., Any]] = {
    "Random": generators.decode_random,
    "Generator": generators.decode_generator,
    "BitGenerator": generators.decode_bit_generator,
    "RandomState": generators.decode_random_state,
}


def _numpy() -> Any:
    import numpy

    return numpy
