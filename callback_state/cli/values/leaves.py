"""Values that contain no other values, as JSON; :mod:`.view` describes the form."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from ..._format.encode import Encoder

#: Longer ints, in bits, are shown in hexadecimal: Python refuses to write them in decimal.
_MAX_BITS = 1 << 13
#: Of more bytes only a digest is shown.
_MAX_BYTES = 1 << 10
_GENERATORS = frozenset({"Random", "BitGenerator", "Generator", "RandomState", "SeedSequence"})
_BYTES = frozenset({"bytearray", "bytes_"})


def scalar(value: Any) -> Any:
    """A value that stands for itself in a table of nodes."""
    if isinstance(value, (bytes, memoryview)):
        return _bytes("bytes", bytes(value))
    if type(value) is int and value.bit_length() > _MAX_BITS:
        return {"$type": "int", "hex": hex(value)}
    if type(value) is float and not math.isfinite(value):
        return {"$type": "float", "value": str(value)}
    return value if isinstance(value, (int, float, str, type(None))) else {"$type": type(value).__name__}


def leaf(kind: str, value: Any) -> Any:
    """A decoded value of a kind that contains no other values."""
    if kind == "array":
        return _array(value)
    if kind == "scalar":
        return {"$type": "scalar", "dtype": str(value.dtype), "value": _item(value)}
    if kind in _GENERATORS:
        made = getattr(value, "bit_generator", value)
        return {"$type": kind, "of": type(made).__name__, "sha256": _digest(value)}
    if kind in _BYTES:
        return _bytes(kind, bytes(value))
    if kind == "int":
        return scalar(value)
    if kind == "str_":
        return {"$type": kind, "value": "".join(value)}  # str() of it would drop zero bytes at the end
    if kind in ("datetime", "time"):
        return {"$type": kind, "value": value.isoformat(), "fold": value.fold, "timezone": _text(value.tzinfo)}
    return {"$type": kind, "value": _text(value)}


def _bytes(kind: str, data: bytes) -> dict[str, Any]:
    if len(data) > _MAX_BYTES:
        return {"$type": kind, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return {"$type": kind, "size": len(data), "hex": data.hex()}


def _text(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return str(value)
    except ValueError:  # it has thousands of digits, which Python refuses to write
        return f"a {type(value).__name__} of sha256 {_digest(value)}"


def _digest(value: Any) -> str:
    table = Encoder(canonical=True).table(value)
    parts = (hex(part) if type(part) is int else repr(part) for node in table.nodes for part in node)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _item(value: Any) -> Any:
    """The number in a NumPy scalar; as a text if no Python number is as exact."""
    item = value.item()
    return scalar(item) if type(item) in (bool, int, float) else str(value)


def _array(array: Any) -> dict[str, Any]:
    """Describe an array. NaN are counted, and left out of min, max and mean."""
    import numpy

    # The bytes in C order; those of a large array are not copied if they are in that order already.
    raw = numpy.ascontiguousarray(array).reshape(-1).view("u1").data if array.nbytes else b""
    numbers = _numbers(array)
    least = most = mean = None
    if numbers is not None and numbers.size:
        with numpy.errstate(all="ignore"):
            mean = scalar(float(numbers.mean(dtype="float64")))
        least, most = _item(numbers.min()), _item(numbers.max())
    found = {
        "$type": "array",
        "dtype": str(array.dtype),
        "shape": [*array.shape],
        "min": least,
        "max": most,
        "mean": mean,
        "sha256": hashlib.sha256(raw).hexdigest(),
    }
    missing = 0 if numbers is None else array.size - numbers.size
    return {**found, "nan": missing} if missing else found


def _numbers(array: Any) -> Any:
    """The real numbers of an array without NaN; None if it holds something else."""
    import numpy

    if array.dtype.kind == "V" and array.dtype.names is None and array.dtype.type is not numpy.void:
        array = array.astype("float32")  # a dtype of ml_dtypes, such as bfloat16
    if array.dtype.kind not in "biuf":
        return None
    missing = numpy.isnan(array) if array.dtype.kind == "f" else numpy.False_
    return array[~missing] if missing.any() else array
