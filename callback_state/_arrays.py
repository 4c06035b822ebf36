"""NumPy arrays, scalars and dtypes as plain data: dtype, shape, memory order and raw bytes.

So no NumPy version's way of pickling gets into a file. Not kept: the metadata and the alignment mark of a
dtype, which do not count when dtypes are compared.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

__all__ = ["decode_array", "decode_dtype", "decode_scalar", "encode"]


def encode(numpy: Any, value: Any) -> tuple[Any, ...] | None:
    """(kind, plain values ...), or None for a value that is none of these or holds Python objects."""
    if type(value) is numpy.ndarray:
        described = _describe(numpy, value.dtype)
        order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        writeable = bool(value.flags.writeable)
        return described and ("array", described, value.shape, order, _bytes(numpy, value, order), writeable)
    if type(value) is numpy.str_:  # an array would drop the zeros at its end
        return ("str_", "".join(value))  # its own str() drops them, too
    if type(value) is numpy.bytes_:
        return ("bytes_", bytes(value))
    if isinstance(value, numpy.generic) and type(value) is value.dtype.type:
        described = _describe(numpy, value.dtype)
        return described and ("scalar", described, _bytes(numpy, numpy.asarray(value), "C"))
    if isinstance(value, numpy.dtype):
        described = _describe(numpy, value)
        return described and ("dtype", described)
    return None


def _bytes(numpy: Any, array: Any, order: str) -> Any:
    if array.dtype.names is not None:  # what lies between the fields is left-over memory
        clean = numpy.zeros(array.shape, array.dtype, order)
        clean[...] = array
        array = clean
    return array.tobytes(order)


def decode_array(described: Any, shape: Any, order: str, data: bytes, writeable: bool) -> Any:
    """The reverse of :func:`encode`.

    Raises:
        ValueError, TypeError: the parts do not fit together.
    """
    numpy: Any = importlib.import_module("numpy")
    dtype = decode_dtype(described)
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes are not an array of shape {shape} and dtype {dtype}")
    if data:
        array = numpy.frombuffer(data, dtype).reshape(shape, order=order).copy(order)
    elif dtype.itemsize or dtype.kind == "V":
        array = numpy.zeros(shape, dtype, order)
    else:  # NumPy would make room for one character in each place
        raise ValueError(f"an array of dtype {dtype}")
    array.flags.writeable = writeable
    return array


def decode_scalar(described: Any, data: bytes) -> Any:
    return decode_array(described, (), "C", data, True)[()]


def decode_dtype(described: Any) -> Any:
    import numpy

    match described:
        case str(text):
            dtype = numpy.dtype(text) if text.startswith(("<", ">", "|")) else _ml_dtype(text)
            if not dtype.hasobject and dtype.names is None:
                return dtype
        case tuple(("subarray", base, shape)):
            return numpy.dtype((decode_dtype(base), tuple(shape)))
        case tuple(("struct", fields, itemsize)):
            names, formats, offsets = zip(*fields, strict=True) if fields else ((), (), ())
            return numpy.dtype({
                "names": list(names), "formats": [decode_dtype(f) for f in formats],
                "offsets": list(offsets), "itemsize": itemsize,
            })
    raise ValueError(f"not a dtype of plain data: {described!r}")


def _describe(numpy: Any, dtype: Any) -> Any:
    """``"<f4"``, a name such as ``"bfloat16"``, or nested tuples; None if it is not plain."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        described = _describe(numpy, base)
        return described and ("subarray", described, shape)
    if dtype.names is not None:
        return _describe_fields(numpy, dtype)
    # The types of ml_dtypes have the string of a void, or none that NumPy knows: their name tells them apart.
    if dtype.type.__module__.partition(".")[0] == "ml_dtypes":
        return dtype.name if _is_ml_dtype(dtype.name) else None
    known = dtype.type.__module__ == "numpy" and not dtype.hasobject and dtype.type is not numpy.record
    return dtype.str if known else None


def _describe_fields(numpy: Any, dtype: Any) -> Any:
    fields = [(name, _describe(numpy, dtype.fields[name][0]), dtype.fields[name][1]) for name in dtype.names]
    titled = any(len(dtype.fields[name]) > 2 for name in dtype.names)
    if dtype.type is not numpy.void or titled or not all(described for _, described, _ in fields):
        return None
    return ("struct", tuple(fields), dtype.itemsize)


def _is_ml_dtype(name: str) -> bool:
    return name.startswith(("bfloat", "float", "int", "uint")) and name[-1] not in "_"


def _ml_dtype(name: str) -> Any:
    import ml_dtypes
    import numpy

    found = vars(ml_dtypes).get(name)
    if not _is_ml_dtype(name) or not isinstance(found, type):
        raise ValueError(f"not a dtype of plain data: {name!r}")
    return numpy.dtype(found)
