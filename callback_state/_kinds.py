"""The plain kinds that have no parts to share: dates, numbers, arrays, generators of random numbers.

Each is stored as (kind, plain values ...). An array is its dtype, shape, memory order and raw bytes, so
no NumPy version's way of pickling gets into a file. NumPy is not imported to look at a value: where it
is not loaded, no value can be of its types.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import math
import pathlib
import random
import sys
import uuid
from collections.abc import Callable
from typing import Any, cast

__all__ = ["decode", "encode"]

_BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


def encode(value: Any) -> tuple[Any, ...] | None:
    """(kind, plain values ...), or None for a value that is not of these kinds."""
    name = _STANDARD.get(type(value))
    if name is not None:
        return None if _has_foreign_zone(value) else (name, *_TO_DATA[name](value))
    if isinstance(value, pathlib.PurePath):
        return ("path", "Path" if isinstance(value, pathlib.Path) else "PurePath", str(value))
    numpy = sys.modules.get("numpy")
    return None if numpy is None else _encode_numpy(numpy, value)


def decode(kind: str, data: list[Any], live: Any, later: list[Callable[[], None]]) -> Any:
    """The value of (kind, \\*data).

    Where a generator stands in the place now (``live``) that one is returned, so that everybody who
    draws from it goes on together; what sets its state is appended to ``later``, for the caller to run
    when he has found everything in order.

    Raises:
        KeyError: no such kind.
        ValueError, TypeError: the data are not what :func:`encode` gives.
    """
    if kind in _IN_PLACE:
        return _IN_PLACE[kind](live, later, *data)
    return _FROM_DATA[kind](*data)


def _datetime(value: datetime.datetime | datetime.time) -> tuple[Any, ...]:
    return (value.isoformat(), value.fold)


def _has_foreign_zone(value: Any) -> bool:
    return type(getattr(value, "tzinfo", None)) not in (type(None), datetime.timezone)


def _range(value: Any) -> tuple[Any, ...]:
    return (value.start, value.stop, value.step)


_TO_DATA: dict[str, Any] = {
    "complex": lambda v: (v.real, v.imag),
    "bytearray": lambda v: (bytes(v),),
    "range": _range,
    "slice": _range,
    "date": lambda v: (v.isoformat(),),
    "datetime": _datetime,
    "time": _datetime,
    "timedelta": lambda v: (v.days, v.seconds, v.microseconds),
    "timezone": lambda v: v.__getinitargs__(),
    "Decimal": lambda v: (str(v),),
    "Fraction": lambda v: (v.numerator, v.denominator),
    "UUID": lambda v: (v.bytes,),
    "Random": lambda v: v.getstate(),
    "Ellipsis": lambda v: (),
    "NotImplemented": lambda v: (),
}
_STANDARD: dict[type, str] = {
    complex: "complex", bytearray: "bytearray", range: "range", slice: "slice",
    datetime.date: "date", datetime.datetime: "datetime", datetime.time: "time",
    datetime.timedelta: "timedelta", datetime.timezone: "timezone",
    decimal.Decimal: "Decimal", fractions.Fraction: "Fraction", uuid.UUID: "UUID",
    random.Random: "Random", type(...): "Ellipsis", type(NotImplemented): "NotImplemented",
}


def _random(live: Any, later: list[Any], *state: Any) -> random.Random:
    made = random.Random()
    made.setstate(state)
    return cast("random.Random", _set_later(live, made, later, "setstate"))


def _path(name: str, text: str) -> pathlib.PurePath:
    return pathlib.Path(text) if name == "Path" else pathlib.PurePath(text)


_FROM_DATA: dict[str, Any] = {
    "complex": complex,
    "bytearray": bytearray,
    "range": range,
    "slice": slice,
    "date": datetime.date.fromisoformat,
    "datetime": lambda text, fold: datetime.datetime.fromisoformat(text).replace(fold=fold),
    "time": lambda text, fold: datetime.time.fromisoformat(text).replace(fold=fold),
    "timedelta": datetime.timedelta,
    "timezone": datetime.timezone,
    "Decimal": decimal.Decimal,
    "Fraction": fractions.Fraction,
    "UUID": lambda data: uuid.UUID(bytes=data),
    "Ellipsis": lambda: ...,
    "NotImplemented": lambda: NotImplemented,
    "path": _path,
    "array": lambda *data: _array(*data),
    "scalar": lambda dtype, data: _array(dtype, (), "C", data, True)[()],
    "dtype": lambda described: _dtype(described),
    "BitGenerator": lambda name, state: _bit_generator(name, state),
}
_IN_PLACE: dict[str, Any] = {
    "Random": _random,
    "Generator": lambda *data: _generator(*data),
    "RandomState": lambda *data: _random_state(*data),
}


def _encode_numpy(numpy: Any, value: Any) -> tuple[Any, ...] | None:
    if type(value) is numpy.ndarray and not value.dtype.hasobject:
        order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        data = value.tobytes(order)
        return ("array", _describe(value.dtype), value.shape, order, data, value.flags.writeable)
    if isinstance(value, numpy.generic) and not value.dtype.hasobject:
        return ("scalar", _describe(value.dtype), value.tobytes())
    if isinstance(value, numpy.dtype) and not value.hasobject:
        return ("dtype", _describe(value))
    if type(value) is numpy.random.Generator:
        return _named_state("Generator", value.bit_generator)
    if isinstance(value, numpy.random.BitGenerator):
        return _named_state("BitGenerator", value)
    if type(value) is numpy.random.RandomState:
        state = value.get_state(legacy=False)
        return ("RandomState", state["bit_generator"], _frozen(state))
    return None


def _named_state(kind: str, bit_generator: Any) -> tuple[Any, ...] | None:
    name = type(bit_generator).__name__
    return (kind, name, _frozen(bit_generator.state)) if name in _BIT_GENERATORS else None


def _describe(dtype: Any) -> Any:
    """A dtype as plain data: ``"<f4"``, a name such as ``"bfloat16"``, or a list of fields."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return ("subarray", _describe(base), shape)
    if dtype.names is not None:
        fields = ((n, _describe(dtype.fields[n][0]), dtype.fields[n][1]) for n in dtype.names)
        return ("struct", tuple(fields), dtype.itemsize)
    # The types of ml_dtypes have the string of a void: only their name tells them apart.
    return dtype.name if dtype.kind == "V" and dtype.type.__name__ != "void" else dtype.str


def _dtype(described: Any) -> Any:
    import numpy

    match described:
        case ("subarray", base, shape):
            return numpy.dtype((_dtype(base), tuple(shape)))
        case ("struct", fields, itemsize):
            names, formats, offsets = zip(*fields, strict=True) if fields else ((), (), ())
            return numpy.dtype({
                "names": list(names), "formats": [_dtype(f) for f in formats],
                "offsets": list(offsets), "itemsize": itemsize,
            })
        case str(text):
            dtype = numpy.dtype(text) if text[:1] in "<>|=" else _ml_dtype(text)
            if not dtype.hasobject:
                return dtype
    raise ValueError(f"not a dtype of plain data: {described!r}")


def _ml_dtype(name: str) -> Any:
    import ml_dtypes
    import numpy

    if name not in ("bfloat16", "int4", "uint4") and not name.startswith("float"):
        raise ValueError(f"not a dtype of plain data: {name!r}")
    return numpy.dtype(vars(ml_dtypes)[name])


def _array(described: Any, shape: Any, order: Any, data: bytes, writeable: bool) -> Any:
    import numpy

    dtype = _dtype(described)
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes are not an array of shape {shape} and dtype {dtype}")
    if data:
        array = numpy.frombuffer(data, dtype).reshape(shape, order=order).copy(order)
    else:
        array = numpy.empty(shape, dtype, order)
    array.flags.writeable = writeable
    return array


def _set_later(live: Any, made: Any, later: list[Callable[[], None]], set_state: str) -> Any:
    """The generator that stands here now, if there is one of that class, once the state is put back."""
    if type(live) is not type(made):
        return made
    if set_state == "state":
        later.append(lambda: setattr(live, "state", made.state))
    else:
        state = made.getstate() if set_state == "setstate" else made.get_state(legacy=False)
        later.append(lambda: getattr(live, set_state)(state))
    return live


def _bit_generator(name: str, state: Any) -> Any:
    import numpy

    if name not in _BIT_GENERATORS:
        raise ValueError(f"unknown bit generator {name!r}")
    made = getattr(numpy.random, name)()
    made.state = _thawed(state)
    return made


def _generator(live: Any, later: list[Any], name: str, state: Any) -> Any:
    import numpy

    made = _bit_generator(name, state)
    if type(live) is not numpy.random.Generator or type(live.bit_generator) is not type(made):
        return numpy.random.Generator(made)
    _set_later(live.bit_generator, made, later, "state")
    return live


def _random_state(live: Any, later: list[Any], name: str, state: Any) -> Any:
    import numpy

    made = numpy.random.RandomState(_bit_generator(name, _frozen(_thawed(state))))
    made.set_state(_thawed(state))
    return _set_later(live, made, later, "set_state")


def _frozen(state: Any) -> Any:
    """A state dict as nested tuples of pairs: what a leaf refers to must be complete when it is built."""
    if isinstance(state, dict):
        return ("dict", *((key, _frozen(value)) for key, value in state.items()))
    return state


def _thawed(state: Any) -> Any:
    match state:
        case ("dict", *pairs):
            return {key: _thawed(value) for key, value in pairs}
    return state
