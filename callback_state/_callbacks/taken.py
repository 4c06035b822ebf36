"""The state of callbacks at a quiet point, taken as plain data: what a state file is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._checkpoints.schema import SHAPE, check
from .._checkpoints.summary import PLACEHOLDER, Summary
from .._format.encode import Encoder, PlainError, Table
from ..exceptions import NotPicklableError
from .by_value import ByValue
from .capture import class_of, configuration, names, outside_of, state_of
from .stateful import registration_of

__all__ = ["Taken", "keep", "take"]


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
