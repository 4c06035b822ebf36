"""NumPy arrays, scalars and dtypes as plain data: dtype, shape, memory order and raw bytes.

So no NumPy version's way of pickling gets into a file. Not kept: the metadata and the alignment mark of a
dtype, which do not count when dtypes are compared.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable
from typing import Any

from .table import Stored

#: As ``dtype.str`` writes them; NumPy would take much else for a dtype.
_DTYPE = re.compile(r"[<>|][biufcmMSUV][0-9]{1,10}(\[[0-9]{0,10}[A-Za-z]{1,2}\])?")
#: How many dimensions NumPy knows, in any release, and how many places an array may have that takes no bytes.
MAX_DIMENSIONS = 64
MAX_EMPTY = 1 << 16
#: Bytes of an array; smaller ones always stay in the state file.
LARGE = 1 << 20

#: Keeps the bytes of a large array apart: gets the array and its order, returns the number of its block.
Apart = Callable[[Any, str], int]


def encode(numpy: Any, value: Any, apart: Apart | None = None) -> tuple[Any, ...] | None:
    """(kind, plain values ...), or None for a value that is none of these or holds Python objects."""
    if type(value) is numpy.ndarray:
        described = _describe(numpy, value.dtype)
        if value.dtype.itemsize == 0 and value.size > MAX_EMPTY:
            return None
        order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        writeable = bool(value.flags.writeable)
        return described and ("array", described, value.shape, order, _data(numpy, value, order, apart), writeable)
    if type(value) is numpy.str_:  # an array would drop the zeros at its end
        return ("str_", "".join(value))  # its own str() drops them, too
    if type(value) is numpy.bytes_:
        return ("bytes_", bytes(value))
    if isinstance(value, numpy.generic) and type(value) is value.dtype.type:
        described = _describe(numpy, value.dtype)
        return described and ("scalar", described, _data(numpy, numpy.asarray(value), "C"))
    if isinstance(value, numpy.dtype):
        described = _describe(numpy, value)
        return described and ("dtype", described)
    return None


def _data(numpy: Any, array: Any, order: str, apart: Apart | None = None) -> Any:
    """The bytes of an array; of a large one the number of its block."""
    if array.dtype.names is not None:  # what lies between the fields is left-over memory
        clean = numpy.zeros(array.shape, array.dtype, order)
        clean[...] = array
        array = clean
    return array.tobytes(order) if apart is None or array.nbytes < LARGE else apart(array, order)


def decode_array(
    described: Any, shape: Any, order: str, data: bytes | memoryview | Stored, writeable: bool
) -> Any:
    """The reverse of :func:`encode`. Raises ValueError or TypeError if the parts do not fit together."""
    numpy: Any = importlib.import_module("numpy")
    dtype = decode_dtype(described)
    if len(shape) > MAX_DIMENSIONS or any(type(n) is not int or not 0 <= n < 1 << 63 for n in shape):
        raise ValueError("not a shape")
    size = math.prod(shape)
    if size * dtype.itemsize != len(data) or (not dtype.itemsize and size > MAX_EMPTY):
        raise ValueError(f"{len(data)} bytes are not an array of shape {shape} and dtype {dtype}")
    if type(data) is Stored:
        array = numpy.empty(shape, dtype, "F" if order == "F" else "C")
        if array.shape != shape:
            raise ValueError("a dtype that adds dimensions")
        data.read_into((array.T if order == "F" else array).reshape(-1).view("u1").data)
    elif data:
        array = numpy.frombuffer(data, dtype).reshape(shape, order=order).copy(order)
    elif dtype.itemsize or dtype.kind == "V":
        array = numpy.zeros(shape, dtype, order)
    else:  # NumPy would make room for one character in each place
        raise ValueError(f"an array of dtype {dtype}")
    array.flags.writeable = writeable
    return array


def decode_dtype(described: Any) -> Any:
    import numpy

    match described:
        case str(text):
            return numpy.dtype(text) if _DTYPE.fullmatch(text) else _ml_dtype(text)
        case tuple(("subarray", base, shape)):
            return numpy.dtype((decode_dtype(base), tuple(shape)))
        case tuple(("struct", fields, itemsize)):
            names, formats, offsets = zip(*fields, strict=True) if fields else ((), (), ())
            inner = [decode_dtype(f) for f in formats]
            # NumPy adds them up in too few bits, and reads beyond the end.
            if not all(0 <= at <= itemsize - f.itemsize for at, f in zip(offsets, inner, strict=True)):
                raise ValueError(f"a field beyond the {itemsize} bytes of a struct")
            return numpy.dtype(
                {"names": list(names), "formats": inner, "offsets": list(offsets), "itemsize": itemsize}
            )
    raise ValueError(f"not a dtype of plain data: {described!r}")


def _describe(numpy: Any, dtype: Any) -> Any:
    """``"<f4"``, a name such as ``"bfloat16"``, or nested tuples; None if it is not plain."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        described = _describe(numpy, base)
        return described and ("subarray", described, shape)
    if dtype.names is not None:
        fields = [(name, _describe(numpy, dtype.fields[name][0]), dtype.fields[name][1]) for name in dtype.names]
        titled = any(len(dtype.fields[name]) > 2 for name in dtype.names)
        if dtype.type is not numpy.void or titled or not all(described for _, described, _ in fields):
            return None
        return ("struct", tuple(fields), dtype.itemsize)
    # The types of ml_dtypes have the string of a void, or none that NumPy knows: their name tells them apart.
    if dtype.type.__module__.partition(".")[0] == "ml_dtypes":
        return dtype.name if _is_ml_dtype(dtype.name) else None
    known = dtype.type.__module__ == "numpy" and not dtype.hasobject and dtype.type is not numpy.record
    return dtype.str if known else None


def _is_ml_dtype(name: str) -> bool:
    return name.startswith(("bfloat", "float", "int", "uint")) and name[-1] not in "_"


def _ml_dtype(name: str) -> Any:
    import ml_dtypes
    import numpy

    found = vars(ml_dtypes).get(name)
    if not _is_ml_dtype(name) or not isinstance(found, type):
        raise ValueError(f"not a dtype of plain data: {name!r}")
    return numpy.dtype(found)
