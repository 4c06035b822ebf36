"""What one state file says: the run at one quiet point, as plain data.

    meta    what can be shown without building anything: moment, versions, history, configurations
    run     generators and seeds
    state   {key: {attribute: value}} of the callbacks

The three are one table of nodes, so that objects which callbacks share stay shared; its first node is the
summary, see :mod:`._summary`. Beside it stands the by-value section, a list of pickles that only a trusted
file's reader opens.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from typing import Any

from . import _pair
from ._build import Decoder
from ._byvalue import ByValue
from ._capture import class_of, configuration, names, outside_of, state_of
from ._opener import Opener
from ._plain import Encoder, PlainError, Table
from ._prepared import Prepared, prepare
from ._shape import SHAPE, check, check_states, complete
from ._statefile import Sealed, state_bytes, unseal, unseal_first
from ._stateful import registration_of
from ._summary import PLACEHOLDER, Summary
from ._table import two_by_two
from ._trust import Keys, Trust
from .exceptions import CorruptCheckpointError, NotPicklableError

__all__ = ["Snapshot", "Taken", "columns_of", "glance", "keep", "summary_of", "take"]


@dataclass
class Taken:
    """The state of callbacks at a quiet point: nodes that refer to one another, and what went by value.

    Attributes:
        tree: what is sealed in the file.
        code: the attribute paths of functions and classes that went into the by-value section, but for those
            that can be imported.
        objects: those of other objects that did.
        state: the part of the tree that is state, to compare two quiet points by.
    """

    tree: list[Any]
    code: list[str]
    objects: list[str]
    state: Table

    def same_state(self, other: Taken) -> bool:
        """Whether the callbacks' states are the same; the rest of what was taken is not compared."""
        mine, theirs = self.state, other.state
        return (mine.nodes, mine.root, self.tree[3]) == (theirs.nodes, theirs.root, other.tree[3])


def take(callbacks: list[Any], model: Any, meta: dict[str, Any], run: dict[str, Any]) -> Taken:
    """Everything that a state file says of this moment.

    Raises:
        NotPicklableError: an attribute cannot be saved; names it.
    """
    keyed = names(callbacks)
    fallback = ByValue(model, {id(c): key for key, c in keyed.items()}, state_of=state_of)
    meta = {**meta, "callbacks": [_described(key, c, fallback, bool(run)) for key, c in keyed.items()]}
    if run:
        check({"meta": meta, "run": run}, SHAPE, "")  # what could not be read is not written
    try:
        encoder = Encoder(fallback)
        encoder.nodes.append(PLACEHOLDER)
        state = encoder.table(_states(keyed))
        encoder = Encoder(fallback)
        first = Summary.of(meta).node() if run else PLACEHOLDER
        encoder.nodes, state_root = [first, *state.nodes[1:]], state.root
        root = encoder.table({"meta": meta, "run": run})
    except PlainError as error:
        raise NotPicklableError(error.path, error.message) from error
    return Taken([root.nodes, root.root, state_root, fallback.pickles], fallback.code, fallback.objects, state)


def _states(keyed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {key: state_of(callback) for key, callback in keyed.items()}


def keep(keyed: dict[str, Any], model: Any) -> tuple[Table, list[Any]]:
    """The state of callbacks for use in this process: a table, and the objects it only points to."""
    fallback = ByValue(model, {id(c): key for key, c in keyed.items()}, kept=[], state_of=state_of)
    return Encoder(fallback).table(_states(keyed)), fallback.kept or []


def _described(key: str, callback: Any, fallback: ByValue, saves: bool) -> dict[str, Any]:
    registration = registration_of(type(callback))
    arguments = {}
    for name, argument in configuration(callback).items():
        index = None
        if argument.kind == "opaque":
            index = fallback.attempt(argument.given, f"{key}.{name}")
        arguments[name] = (*argument.to_plain(), index)
    return {
        "key": key,
        "class": class_of(callback),
        "version": registration.version if registration is not None else 1,
        "arguments": arguments,
        "outside": outside_of(callback) if saves else None,
    }


def columns_of(meta: dict[str, Any]) -> dict[str, list[Any]]:
    """The history as users read it: one list per series, and ``epochs`` (0-based)."""
    return {**meta["history"]["series"], "epochs": meta["history"]["epochs"]}


def versions() -> dict[str, str]:
    """What the state file records of the software that wrote it."""
    import keras
    import numpy
    import tensorflow

    from . import __version__

    return {
        "callback_state": __version__,
        "python": platform.python_version(),
        "keras": keras.__version__,
        "tensorflow": tensorflow.__version__,
        "numpy": numpy.__version__,
        "platform": sys.platform,
    }


@dataclass
class Snapshot:
    """A state file's contents; state and by-value section are still undecoded."""

    where: str
    meta: dict[str, Any]
    run: dict[str, Any]
    state: Table
    pickles: list[bytes]

    @classmethod
    def open(cls, path: str, keys: Keys | None = None) -> Snapshot:
        """The snapshot of the checkpoint at ``path``, verified; with keys its signature too."""
        pair = _pair.open_pair(path)
        if keys is not None:
            keys.check(pair.sealed, pair.model_path)
        return cls.read(pair.state_path, pair.sealed)

    @property
    def versions(self) -> dict[str, int]:
        return {entry["key"]: entry["version"] for entry in self.meta["callbacks"]}

    def stored(self) -> dict[str, set[str]]:
        """The names of the attributes that are stored of each callback, by its key."""
        states = two_by_two(self.state.nodes[self.state.root[0]][1])
        return {key: {n for n, _ in two_by_two(self.state.nodes[ref[0]][1])} for key, ref in states}

    def opener(self, trust: Trust) -> Opener:
        """What reads the by-value section."""
        return Opener(self.where, self.pickles, str(self.meta["versions"].get("python", "")), trust)

    def prepare(self, keyed: dict[str, Any], *, model: Any, trust: Trust) -> Prepared:
        """The state of some callbacks, decoded for them; changes nothing."""
        try:
            return prepare(
                self.state,
                keyed,
                self.versions,
                where=self.where,
                model=model,
                opener=self.opener(trust),
                configured={entry["key"]: entry["arguments"] for entry in self.meta["callbacks"]},
            )
        except PlainError as error:
            raise CorruptCheckpointError(self.where, f"cannot be decoded ({error})") from error

    @classmethod
    def read(cls, where: str, sealed: Sealed) -> Snapshot:
        """Decode what needs neither classes nor trust.

        Raises:
            CorruptCheckpointError: the seal is right, but no release of this package wrote the inside.
        """
        try:
            match sealed.tree:
                case [nodes, root, state, list(pickles)]:
                    decoded = complete(Decoder(Table.from_tree([nodes, root])).value())
                    states = Table.from_tree([nodes, state])
                    check(decoded, SHAPE, "")
                    Summary.of(decoded["meta"]).check(states.nodes[0])
                    check_states(states, {entry["key"] for entry in decoded["meta"]["callbacks"]})
                    if not all(type(data) in (bytes, memoryview) for data in pickles):
                        raise TypeError("the by-value section holds something else than bytes")
                    code = [bytes(data) for data in pickles]
                    return cls(where, decoded["meta"], decoded["run"], states, code)
        except (PlainError, KeyError, TypeError, ValueError, IndexError) as error:
            raise CorruptCheckpointError(where, f"no state file of this package ({error})") from error
        raise CorruptCheckpointError(where, "no state file of this package")


def glance(path: str) -> tuple[Summary, Sealed]:
    """What the state file at ``path`` says of its moment, its seal verified, and nothing else of it.

    Raises:
        CallbackStateError: as :func:`unseal`, and :meth:`Snapshot.read` of a file without a summary.
        OSError: it cannot be read.
    """
    data = state_bytes(path)
    sealed = unseal_first(data, path)
    summary = Summary.from_node(sealed.tree)
    return summary or Summary.of(Snapshot.read(path, unseal(data, path)).meta), sealed


def summary_of(path: str) -> Summary:
    """The moment of the checkpoint at ``path``, verified like :meth:`Snapshot.open`, without reading the rest.

    Raises:
        CallbackStateError, OSError: as :func:`_pair.open_pair` and :meth:`Snapshot.read`.
    """
    pair = _pair.open_pair(path, unseal_first)
    return Summary.from_node(pair.sealed.tree) or Summary.of(Snapshot.open(path).meta)
