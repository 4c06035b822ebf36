"""Everything that a checkpoint says, as JSON; ``show`` prints it and ``diff`` compares it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from ..._checkpoints.find import Found
from ..._checkpoints.needs import needs_of
from ..._checkpoints.schema import Start
from ..._checkpoints.snapshot import Snapshot
from ..._checkpoints.typed import to_plain
from ..._format.table import PlainError, Table
from ...exceptions import CorruptCheckpointError
from .view import Entries, Viewer, view

_MOMENT = ("epoch", "batch", "initial_epoch", "epochs", "last", "finished", "stops", "goes_on_from", "exact_end")


def described(found: Found) -> dict[str, Any]:
    """Describe a checkpoint; its values are JSON as :mod:`.view` makes it."""
    snapshot, meta = found.snapshot, found.snapshot.meta
    name, value = meta.monitor
    with _decoding(snapshot):
        return {
            "path": found.model_path,
            "size": os.path.getsize(found.model_path),
            "saved_at": meta.saved_at,
            "moment": {field: getattr(meta, field) for field in _MOMENT},
            "monitor": {"name": name, "value": value},
            "template": meta.template,
            "versions": meta.versions,
            "model": {field: view(value) for field, value in vars(meta.model).items()},
            "doubts": [*map(str, meta.doubts)],
            "history": {
                "epochs": view(meta.history.epochs),
                "series": {name: view(values) for name, values in meta.history.series.items()},
            },
            # Their numbers need no view, which would be slow: there may be a hundred thousand starts.
            "starts": [_started(start) for start in meta.starts],
            "training_args": view(meta.training_args),
            "data": view(meta.data),
            "trace": view(to_plain(meta.trace)),
            "callbacks": _callbacks(snapshot),
            "needs": [{"path": n.path, "what": n.what, "names": [*n.names]} for n in needs_of(snapshot)],
            "run": view(to_plain(snapshot.run)),
        }


def told_of(snapshot: Snapshot) -> dict[str, Any]:
    """Describe only the callbacks, versions and training arguments. Raises what :func:`described` raises."""
    with _decoding(snapshot):
        return {
            "callbacks": _callbacks(snapshot),
            "versions": snapshot.meta.versions,
            "training_args": view(snapshot.meta.training_args),
        }


@contextlib.contextmanager
def _decoding(snapshot: Snapshot) -> Iterator[None]:
    try:
        yield
    except PlainError as error:
        raise CorruptCheckpointError(snapshot.where, f"cannot be decoded ({error})") from error


def _callbacks(snapshot: Snapshot) -> list[dict[str, Any]]:
    entries = Entries(snapshot.pickles)
    states = Viewer(snapshot.state.nodes, entries).states(snapshot.state.root)
    return [
        {
            "key": entry.key,
            "class": entry.class_,
            "version": entry.version,
            "configuration": {
                name: _argument(argument, f"{entry.key}({name}=)", entries)
                for name, argument in entry.arguments.items()
            },
            "state": states[entry.key],
            "outside": view(entry.outside),
        }
        for entry in snapshot.meta.callbacks
    ]


def _started(start: Start) -> dict[str, Any]:
    found = {name: getattr(start, name) for name in ("at", "epoch", "batch")}
    return {**found, "from": start.from_, "due": view(start.due), "beside": start.beside}


def _argument(argument: tuple[Any, ...], path: str, entries: Entries) -> Any:
    kind, data, index = argument
    if kind == "digest":
        return {"$type": "large", "sha256": view(data)}
    if kind == "opaque":
        return {"$type": "unsaved", "to": view(data)} if index is None else entries.shown(view(data), index)
    if type(data) is not tuple:
        return view(data)
    table = Table.from_tree([*data])
    return Viewer(table.nodes).of(table.root, path)
