"""What a state file's data must look like, before anything believes them: a seal proves no author."""

from __future__ import annotations

from typing import Any

from .._format.table import Table, two_by_two
from .summary import BITS

__all__ = ["SHAPE", "check", "check_states", "complete"]

#: To match many with one another takes the square of the time.
MAX_CALLBACKS = 1000
_NUMBER = (int, float, type(None))

#: By key the type, the types, [the shape of each item] or {the shape of each value}.
SHAPE: dict[str, Any] = {
    "meta": {
        "saved_at": int,
        "epoch": int,
        "batch": (int, type(None)),
        "initial_epoch": int,
        "epochs": (int, type(None)),
        "last": bool,
        "finished": bool,
        "goes_on_from": (str, type(None)),
        "exact_end": bool,
        "template": str,
        "monitor": tuple,
        "versions": dict,
        "training_args": dict,
        "history": {"epochs": list, "series": dict},
        "model": {"digest": str, "iterations": int, "variables": [str], "optimizes": bool},
        "callbacks": [{"key": str, "class": str, "version": int, "arguments": dict}],
        "stops": bool,
        "data": dict,
        "doubts": [str],
        # When training began or went on, with which 0-based epoch and batch; of which checkpoint (its saved_at),
        # and with what that was due to go on; how many checkpoints of this run were in the directory.
        "starts": [
            {
                "at": int,
                "epoch": int,
                "batch": int,
                "from": (int, type(None)),
                "due": (tuple, type(None)),
                "beside": int,
            }
        ],
        # One entry for each end of an epoch; the clock counts nanoseconds since 1970.
        "trace": {"epochs": [int], "learning_rate": [(float, type(None))], "ended_at": [int]},
    },
    "run": {
        "generators": dict,
        "seeds": {"seeds": list, "replicas": dict},
        "metrics": [tuple],
        "logs": dict,
        "seconds": float,
        "data": (dict, type(None)),
    },
}

_SOURCE: dict[str, Any] = {
    "before": int,
    "made": int,
    "goes_on": bool,
    "seen": int,
    "steps": int,
    "batches": (int, type(None)),
    "passes": [int],
    "generators": [dict],
}
_DATA: dict[str, Any] = {
    "training": _SOURCE,
    "validation": (dict, type(None)),
    "attributes": [dict],
    "drawn_from": [str],
}

#: What files of the first days do not say, and what it is then.
_LATER: dict[str, dict[str, Any]] = {
    "meta": {
        "stops": False,
        "data": {},
        "doubts": [],
        "starts": [],
        "trace": {"epochs": [], "learning_rate": [], "ended_at": []},
    },
    "run": {"metrics": [], "logs": {}, "seconds": 0.0, "data": None},
}


def complete(decoded: Any) -> Any:
    """Add what an older file does not say; changes nothing that is there."""
    for part, defaults in _LATER.items():
        _expect(decoded[part], dict, f".{part}")
        decoded[part] = {**defaults, **decoded[part]}
    callbacks, model = decoded["meta"]["callbacks"], decoded["meta"]["model"]
    _expect(callbacks, list, ".meta.callbacks")
    for entry in callbacks:
        _expect(entry, dict, ".meta.callbacks")
        entry.setdefault("outside", None)
    _expect(model, dict, ".meta.model")
    model.setdefault("variables", [])
    model.setdefault("optimizes", True)
    return decoded


def check(value: Any, shape: Any, path: str) -> None:
    """Compare data with a shape.

    Raises:
        TypeError, KeyError: they are not of it; the message says where.
    """
    if isinstance(shape, dict):
        _expect(value, dict, path)
        for key, inner in shape.items():
            if key not in value:
                raise KeyError(f"{path}.{key}")
            check(value[key], inner, f"{path}.{key}")
    elif isinstance(shape, list):
        _expect(value, list, path)
        for i, item in enumerate(value):
            check(item, shape[0], f"{path}[{i}]")
    else:
        _expect(value, shape, path)
        _check_number(value, path)
    if path == ".meta":
        _check_meta(value)
    if path == ".run.data" and value is not None:
        for key, inner in _DATA.items():
            check(value[key], inner, f"{path}.{key}")
        if value["validation"] is not None:
            check(value["validation"], _SOURCE, f"{path}.validation")


def _expect(value: Any, types: Any, path: str) -> None:
    allowed = types if isinstance(types, tuple) else (types,)
    if type(value) not in allowed:
        names = " or ".join(t.__name__ for t in allowed)
        raise TypeError(f"{path}: expected {names}, found {type(value).__name__}")


def _check_number(value: Any, path: str) -> None:
    """Python refuses to write some integers, and to take others for a time."""
    if type(value) is int and value.bit_length() > BITS:
        raise ValueError(f"{path}: a number of more than {BITS} bits, which no run reaches")


def _check_meta(meta: dict[str, Any]) -> None:
    """What a shape cannot say."""
    name, value = meta["monitor"]
    _expect(name, str, ".meta.monitor[0]")
    _expect(value, _NUMBER, ".meta.monitor[1]")
    _check_number(value, ".meta.monitor[1]")
    for series, values in meta["history"]["series"].items():
        _expect(series, str, ".meta.history.series")
        _expect(values, list, f".meta.history.series.{series}")
    for start in meta["starts"]:
        if start["due"] is not None:
            check([*start["due"]], [int], ".meta.starts.due")
            if len(start["due"]) != 2:
                raise ValueError(f".meta.starts.due: expected epoch and batch, found {len(start['due'])} numbers")
    if len({*map(len, meta["trace"].values())}) > 1:
        raise ValueError(".meta.trace: its lists are not of one length")
    if any(part in (meta["goes_on_from"] or "") for part in ("/", "\\")):
        raise ValueError(".meta.goes_on_from leads to another directory")
    keys = [entry["key"] for entry in meta["callbacks"]]
    if len(set(keys)) != len(keys):
        raise ValueError(".meta.callbacks: two have one key")
    if len(keys) > MAX_CALLBACKS:
        raise ValueError(f".meta.callbacks: more than {MAX_CALLBACKS}")
    _check_apart([entry["arguments"] for entry in meta["callbacks"]])
    tables = [a[1] for e in meta["callbacks"] for a in e["arguments"].values() if type(a) is tuple and len(a) > 1]
    _check_apart([data for data in tables if type(data) is tuple and data])
    _check_apart([data[0] for data in tables if type(data) is tuple and data and type(data[0]) is list])
    for entry in meta["callbacks"]:
        for parameter, argument in entry["arguments"].items():
            where = f".meta.callbacks.{entry['key']}.arguments"
            _expect(parameter, str, where)
            _expect(argument, tuple, where)
            kind, _, index = argument
            if kind not in ("value", "digest", "opaque"):
                raise ValueError(f"{where}.{parameter}: {kind!r} is no kind of argument")
            _expect(index, (int, type(None)), f"{where}.{parameter}")


def _check_apart(parts: list[Any]) -> None:
    """What each callback has for itself: looked at for each of them, it may not be one and the same."""
    if len({*map(id, parts)}) != len(parts):
        raise ValueError(".meta.callbacks: two share their arguments")


def check_states(table: Table, keys: set[str]) -> None:
    """The states are {key: {attribute: value}}, of just the callbacks that are described.

    Raises:
        TypeError, ValueError, IndexError: they are not.
    """
    flat = _dict_at(table, table.root)
    for key in flat[::2]:
        _expect(key, str, ".state")
    states = dict(two_by_two(flat))
    if states.keys() != keys:
        raise ValueError("the states are of other callbacks than those that are described")
    if len(set(states.values())) != len(states):
        raise ValueError(".state: two callbacks share one")
    for ref in states.values():
        for name, _ in two_by_two(_dict_at(table, ref)):
            _expect(name, str, ".state")


def _dict_at(table: Table, ref: Any) -> list[Any]:
    match ref:
        case (int(i),) if 0 <= i < len(table.nodes) and table.nodes[i][0] == "dict":
            flat = table.nodes[i][1]
            _expect(flat, list, ".state")
            return list(flat)
    raise TypeError(".state: expected a dict")
