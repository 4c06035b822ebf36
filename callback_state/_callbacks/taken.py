"""The state of callbacks at a quiet point, taken as plain data: what a state file is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._checkpoints.names import is_ours
from .._checkpoints.schema import Contents, Meta, Run, SavedArgument, SavedCallback
from .._checkpoints.summary import PLACEHOLDER, Summary
from .._format import statefile
from .._format.blocks import Block, Blocks
from .._format.encode import Encoder, Named
from .._format.table import PlainError, Table, set_scalar
from ..exceptions import NotPicklableError
from .by_value import ByValue
from .capture import class_of, configuration, keyed, line_to_exclude, outside_of, state_of
from .in_place import Held
from .made import made_by
from .stateful import registration_of


@dataclass(frozen=True)
class TakenState:
    """The state of callbacks at a quiet point; two are equal if the states are.

    Large arrays are the live ones, until :meth:`settled`.
    """

    table: Table
    arrays: list[Block]
    #: What went into the by-value section, but for what was as the constructor made it.
    pickles: list[bytes]
    #: The paths of functions and classes that did, but for those that can be imported, and of arguments.
    code: list[str] = field(compare=False)
    objects: list[str] = field(compare=False)  # those of other objects that did

    def settled(self) -> TakenState:
        """The state as it is now, also when the arrays change: of these only the digests are kept."""
        for block in self.arrays:
            block.release()
        return self


@dataclass(frozen=True)
class Taken:
    """What a state file says of a quiet point: what is sealed in the file, and what it was made from.

    ``arrays`` are the live arrays; where they may change before they are written, they have to be copied.
    ``variables`` are those of which the digest is still missing; see :meth:`completed`.
    """

    tree: list[Any]
    state: TakenState
    meta: Meta
    run: Run
    arrays: Blocks
    variables: Sequence[Any] = ()

    def completed(self, digest: str) -> Taken:
        """The same with the digest of the model, which may have been made elsewhere meanwhile."""
        nodes, root = self.tree[:2]
        set_scalar(Table(nodes, root), ("meta", "model", "digest"), digest)
        meta = replace(self.meta, model=replace(self.meta.model, digest=digest))
        return replace(self, meta=meta, variables=())

    def with_parts(self, parts: list[bytes]) -> Taken:
        """The same with what the other processes of the training have taken, sealed, by their numbers."""
        return replace(self, tree=[*self.tree[:4], parts])

    def sealed(self, digest: bytes, size: int, sign: Callable[[bytes], bytes] | None = None) -> bytes:
        """The state file for the model file with this SHA-256 and size (bytes)."""
        return statefile.seal(self.tree, digest, size, sign, self.arrays.entries())


def take(
    callbacks: list[Any],
    model: Any,
    meta: Meta,
    run: Run,
    held: Held | None = None,
    variables: Sequence[Any] = (),
    *,
    apart: bool = True,
) -> Taken:
    """Take everything that the state file of this moment says. The ``callbacks`` of ``meta`` are written here.

    ``held`` knows the containers that the callbacks held when training began; None where nobody has noted them.
    ``variables`` are those of the digest, if ``meta`` does not have it yet. With ``apart`` large arrays are
    not in the tree.
    """
    arrays = Blocks()
    blocks = arrays if apart else None
    by_key, fallback = _fallback(callbacks, model)
    states, held = _states(by_key), held or Held([])
    described = [_described(key, c, fallback, held.names(c, states[key])) for key, c in by_key.items()]
    meta = replace(meta, callbacks=described)
    plain = Contents(meta, run).to_plain()
    try:
        state = _encoded(states, fallback, blocks)
        of_state = [*arrays.all]
        encoder = Encoder(fallback, blocks=blocks)
        encoder.nodes = [Summary.of(meta).node(), *state.nodes[1:]]
        contents = encoder.table(plain)
    except PlainError as error:
        raise NotPicklableError(error.path, error.message) from error
    tree = [contents.nodes, contents.root, state.root, fallback.pickles]
    return Taken(tree, _state(state, of_state, fallback), meta, run, arrays, variables)


def take_state(callbacks: list[Any], model: Any) -> TakenState:
    """Take only the callbacks' state, to compare it with another moment's."""
    by_key, fallback = _fallback(callbacks, model)
    for key, callback in by_key.items():
        _arguments(key, callback, fallback)
    arrays = Blocks()
    try:
        table = _encoded(_states(by_key), fallback, arrays)
    except PlainError as error:
        raise NotPicklableError(error.path, error.message) from error
    return _state(table, arrays.all, fallback)


def _state(table: Table, arrays: list[Block], fallback: ByValue) -> TakenState:
    # The pickle of an object of Keras has the time of day in it.
    changed = [data for i, data in enumerate(fallback.pickles) if i not in fallback.made]
    return TakenState(table, arrays, changed, fallback.code, fallback.objects)


def _fallback(callbacks: list[Any], model: Any) -> tuple[dict[str, Any], ByValue]:
    by_key = keyed(callbacks)
    made, certain = made_by(by_key)
    fallback = ByValue(
        model,
        {id(c): key for key, c in by_key.items()},
        state_of=state_of,
        is_made=lambda value, path: (path in made and made[path].is_unchanged(value), path in certain),
        line=lambda key, name: _line(by_key, key, name),
    )
    return by_key, fallback


def _line(by_key: dict[str, Any], key: str, name: str) -> str:
    if key not in by_key:
        return f'@stateful(exclude=("{name}",))'
    return line_to_exclude(key, by_key[key], [f"{key}.{name}"], alone=True)


def _encoded(states: dict[str, Named], fallback: ByValue, arrays: Blocks | None) -> Table:
    """The table of the states; its first node keeps the place of the summary."""
    encoder = Encoder(fallback, blocks=arrays)
    encoder.nodes.append(PLACEHOLDER)
    return encoder.table(states)


def _states(by_key: dict[str, Any]) -> dict[str, Named]:
    return {key: Named(state_of(callback)) for key, callback in by_key.items()}


def keep(by_key: dict[str, Any], model: Any) -> tuple[Table, list[Any]]:
    """The state of callbacks for use in this process: a table, and the objects it only points to."""
    fallback = ByValue(model, {id(c): key for key, c in by_key.items()}, kept=[], state_of=state_of)
    return Encoder(fallback).table(_states(by_key)), fallback.kept or []


def _described(key: str, callback: Any, fallback: ByValue, in_place: list[str]) -> SavedCallback:
    arguments = _arguments(key, callback, fallback)
    registration = registration_of(type(callback))
    version = 1 if registration is None else registration.version
    files = dict(callback.own.digests) if is_ours(callback) else {}
    return SavedCallback(key, class_of(callback), version, arguments, outside_of(callback), in_place, files)


def _arguments(key: str, callback: Any, fallback: ByValue) -> dict[str, SavedArgument]:
    arguments = {}
    for name, argument in configuration(callback).items():
        index = None
        if argument.kind == "opaque":
            index = fallback.attempt(argument.given, f"{key}.{name}")
        arguments[name] = SavedArgument(*argument.to_plain(), index)
    return arguments
