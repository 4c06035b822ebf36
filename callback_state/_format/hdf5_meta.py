"""The group ``meta`` of an HDF5 model file: the history and ``training_args``, for anyone with h5py.

One data set per series, and ``training_args`` as an attribute of YAML, which is JSON as well.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any
from urllib.parse import unquote

#: The versions of HDF5's layout to write: attributes above 64 kB need the newer one.
LAYOUT = ("v108", "latest")


def write_meta(file: Any, meta: dict[str, Any]) -> None:
    """Adds the group ``meta`` to an HDF5 file: the path of one that is closed, or an open file object."""
    import h5py

    with h5py.File(file, "r+", libver=LAYOUT) as opened:
        put_meta(opened, meta)


def put_meta(file: Any, meta: dict[str, Any]) -> None:
    """Makes the group ``meta`` in an open HDF5 file, or in what compares where that would write."""
    group = file.create_group("meta")
    for name, values in meta.items():
        if name != "training_args":
            quoted = name.replace("%", "%25").replace("/", "%2F")  # a slash would make a group
            group.create_dataset("%2E" if quoted == "." else quoted, data=_column(values))
    group.attrs["training_args"] = _yaml(meta.get("training_args", {}))


def read_meta(path: str) -> dict[str, Any] | None:
    """What :func:`write_meta` put into an HDF5 file's group ``meta``; None where there is none.

    Keys of ``training_args`` are strings then, and its tuples lists.
    """
    import h5py

    with h5py.File(path, "r") as file:
        if "meta" not in file:
            return None
        group = file["meta"]
        columns = {name: of.asstr() if of.dtype.kind == "O" else of for name, of in group.items()}
        meta = {unquote(name): column[()].tolist() for name, column in columns.items()}
        meta["training_args"] = _read_yaml(group.attrs.get("training_args", "{}"))
        return meta


def _column(values: list[Any]) -> Any:
    """A series as a dataset: numbers, or else (text, lists of unequal lengths, None) as text."""
    import numpy

    try:
        array = numpy.asarray(values)
    except ValueError:  # of unequal lengths
        return list(map(str, values))
    return array if array.dtype.kind in "biufc" else list(map(str, values))


def _yaml(value: Any) -> str:
    """Plain data as YAML of one line, without a library that the user may not have.

    It is JSON as well, save for ``.nan`` and ``.inf``.
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_string(str(k))}: {_yaml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if hasattr(value, "tolist"):  # what NumPy has
        return _yaml(value.tolist())
    if isinstance(value, float):
        return _float(value)
    return json.dumps(value) if value is None or isinstance(value, int) else _string(str(value))


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    # Without a point, 1e-05 is a string in YAML 1.1.
    return re.sub(r"^(-?\d+)e", r"\1.0e", repr(float(value)))


def _string(text: str) -> str:
    # YAML takes the two halves of a JSON surrogate pair for two characters, and refuses some bare ones.
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub("[\x7f-\uffff]", lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _read_yaml(text: str) -> Any:
    constants = {".nan": "NaN", ".inf": "Infinity", "-.inf": "-Infinity"}
    return json.loads(re.sub(r'"(?:[^"\\]|\\.)*"|-?\.(?:nan|inf)', lambda m: constants.get(m[0], m[0]), text))
