"""Which callback a stored state belongs to: found by key, then by configuration, and never by a guess."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from .._callbacks.arguments import mark_of
from .._callbacks.capture import class_of, configuration, keyed
from .._callbacks.stateful import registration_of
from .._checkpoints.schema import SavedCallback
from .._format.decode import Decoder
from .._format.encode import same
from .._format.table import PlainError, Table
from ..exceptions import RestoreError


@dataclass(frozen=True)
class Change:
    """An argument of a constructor that has changed since the checkpoint was written."""

    key: str  # of the callback
    argument: str  # its name
    saved: Any  # the value in the checkpoint
    now: Any  # the value here, which is used

    def __str__(self) -> str:
        return f"{self.key}.{self.argument} was {self.saved!r}, is {self.now!r}"


@dataclass
class Matched:
    """What :func:`match` has found."""

    pairs: dict[str, Any]  # the live callback for each stored key
    missing: list[str]  # the stored keys without a live callback
    unexpected: list[str]  # the keys of live callbacks without a stored state
    changed: list[Change]


def match(where: str, entries: list[SavedCallback], callbacks: list[Any]) -> Matched:
    """Find the live callback for each entry of the state file ``where``, among those that can have state."""
    live = keyed(callbacks)
    named = {key: callback for key, callback in live.items() if mark_of(callback).key is not None}
    pairs = {e.key: named[e.key] for e in entries if e.key in named}
    taken = {id(callback) for callback in pairs.values()}
    groups: dict[str, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
    rest = [c for c in callbacks if id(c) not in taken]
    for entry in entries:
        if entry.key not in pairs:
            groups[_group_of(entry.class_, rest)][0].append(entry)
    for callback in rest:
        groups[class_of(callback)][1].append(callback)
    for name, (stored, candidates) in groups.items():
        pairs |= _match_group(where, name, stored, candidates)
    used = {id(callback) for callback in pairs.values()}
    changed = [c for e in entries if e.key in pairs for c in _changes(e, pairs[e.key])]
    return Matched(
        pairs,
        [e.key for e in entries if e.key not in pairs],
        [key for key, callback in live.items() if id(callback) not in used],
        changed,
    )


def _group_of(stored: str, callbacks: list[Any]) -> str:
    """The class of the live callbacks that a stored class name means."""
    classes = {class_of(c): type(c) for c in callbacks}
    if stored in classes:
        return stored
    for name, cls in classes.items():
        registration = registration_of(cls)
        if registration is not None and stored in registration.aliases:
            return name
    # A script's __main__.C is train.C.
    same_name = [n for n, c in classes.items() if stored.endswith(f".{c.__qualname__}")]
    return same_name[0] if len(same_name) == 1 else stored


def _match_group(where: str, name: str, stored: list[SavedCallback], live: list[Any]) -> dict[str, Any]:
    """Pair the stored and the live callbacks of one class."""
    if len(stored) == 1 and len(live) == 1:
        return {stored[0].key: live[0]}
    equal = [[not _changes(entry, callback) for callback in live] for entry in stored]
    if len(stored) == len(live) and all(equal[i][i] for i in range(len(live))):
        return {entry.key: callback for entry, callback in zip(stored, live, strict=True)}
    pairs: dict[str, Any] = {}
    for i, entry in enumerate(stored):
        rows = [j for j in range(len(live)) if equal[i][j]]
        if len(rows) == 1 and sum(row[rows[0]] for row in equal) == 1:
            pairs[entry.key] = live[rows[0]]
    used = {id(callback) for callback in pairs.values()}
    left = [e for e in stored if e.key not in pairs], [c for c in live if id(c) not in used]
    if len(left[0]) == len(left[1]) == 1:
        pairs[left[0][0].key] = left[1][0]
    elif left[0] and left[1]:
        raise RestoreError(
            f"{where}: {len(stored)} callbacks of class {name} were saved, and {len(live)} are here. It is not "
            f"clear which is which, because their arguments have changed or are equal. Give each one a name: "
            f"stateful(callback, key=...), both where they are saved and where they are restored."
        )
    return pairs


def _changes(entry: SavedCallback, callback: Any) -> list[Change]:
    now = configuration(callback)
    found = []
    for name, (kind, data, _) in entry.arguments.items():
        if name in now and not same((kind, data), now[name].to_plain()):
            found.append(Change(entry.key, name, _shown(kind, data, now[name].data), now[name].data))
    return found


def _shown(kind: str, data: Any, now: Any) -> Any:
    """A stored argument for a message. Its classes are taken from the value that is here now."""
    if kind != "value" or not isinstance(data, tuple):
        return data
    try:
        return Decoder(Table.from_tree([*data]), live=now).value()
    except PlainError:
        return "something of another class"
