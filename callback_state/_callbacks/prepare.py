"""Putting stored state back into callbacks: it is decoded first, and then all of it is set, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .._checkpoints.names import is_ours
from .._checkpoints.snapshot import Snapshot
from .._format.classes import attributes, is_plain_class, is_special, stored_name
from .._format.decode import Decoder
from .._format.decode import copy as copy_plain
from .._format.generators import Later
from .._format.opener import Opener
from .._format.table import MISSING, Node, PlainError, Table, order, two_by_two
from .._format.trust import Trust
from .._keras.classes import is_hook
from .._keras.stock_callbacks import state_for
from ..exceptions import CallbackStateError, CorruptCheckpointError, RestoreError
from .arguments import describe, mark_of
from .builders import Builders
from .capture import BASE, excluded_of, remember, state_of
from .given import Given
from .in_place import live_places, looks_at_state
from .made import await_made, note_made
from .stateful import find_class, migrated
from .stock import adapter_of, set_direction
from .stored import is_absent, left_out, only


@dataclass
class Prepared:
    """Decoded state, ready to be put into callbacks."""

    #: (callback, attribute, value) of everything that will be set.
    attributes: list[tuple[Any, str, Any]] = field(default_factory=list)
    #: The actions that set variables and generators. Each returns the action that undoes it.
    later: Later = field(default_factory=list)
    #: (callback, attribute) of what only ``on_train_begin`` can make again.
    skipped: list[tuple[Any, str]] = field(default_factory=list)
    #: (key, attribute, what the file has, what the callback has and keeps).
    given: list[tuple[str, str, Any, Any]] = field(default_factory=list)

    def put_back(self) -> None:
        """Set everything. If something cannot be set, undo what was set before, and raise RestoreError."""
        before = {id(c): (c, attributes(c)) for c, _, _ in self.attributes}
        undo = []
        what = ""
        try:
            for callback, name, value in self.attributes:
                what = f"{type(callback).__name__}.{name}"
                _set(callback, name, value)
            what = "a variable or generator"
            for action in self.later:
                undo.append(action())
        except BaseException as error:
            for take_back in reversed(undo):
                take_back()
            for callback, found in before.values():
                _reset(callback, found)
            if isinstance(error, CallbackStateError) or not isinstance(error, Exception):
                raise
            raise RestoreError(f"{what} cannot be set: {type(error).__name__}: {error}") from error


def _set(callback: Any, name: str, value: Any) -> None:
    adapter, _ = adapter_of(type(callback))
    decides = name == "monitor_op" and adapter is not None and adapter.direction
    if decides and (value is None or isinstance(value, str)):
        set_direction(callback, value)
    else:
        object.__setattr__(callback, name, value)


def _reset(callback: Any, before: dict[str, Any]) -> None:
    """Give a callback exactly these attributes. Its own setters are not used, as one of them has just failed."""
    now = attributes(callback)
    own = vars(callback)
    for name in now.keys() - before.keys():
        if name in own:
            del own[name]
        else:
            object.__delattr__(callback, name)
    for name, value in before.items():
        if name in own:
            own[name] = value
        elif now.get(name, MISSING) is not value:
            object.__setattr__(callback, name, value)


def prepare_from(snapshot: Snapshot, keyed: dict[str, Any], *, model: Any, trust: Trust) -> Prepared:
    """Decode the state of some callbacks from a state file. The callbacks do not change."""
    try:
        return prepare(
            snapshot.state,
            keyed,
            {entry.key: entry.version for entry in snapshot.meta.callbacks},
            where=snapshot.where,
            model=model,
            opener=snapshot.opener(trust),
            configured={entry.key: entry.arguments for entry in snapshot.meta.callbacks},
            in_place={entry.key: entry.in_place for entry in snapshot.meta.callbacks},
            trusted=trust.everything,
        )
    except PlainError as error:
        raise CorruptCheckpointError(snapshot.where, f"cannot be decoded ({error})") from error


def prepare(
    table: Table,
    keyed: dict[str, Any],
    versions: dict[str, int] | None,
    *,
    where: str,
    model: Any,
    opener: Opener | None,
    kept: list[Any] | None = None,
    configured: Mapping[str, Container[str]] | None = None,
    in_place: Mapping[str, Container[str]] | None = None,
    trusted: bool = True,
) -> Prepared:
    """Decode the state of some callbacks; they do not change.

    Raises RestoreError, UntrustedError or PlainError.

    ``table`` holds {key: {attribute: value}}, and ``keyed`` the live callbacks; the state of other keys is
    ignored. ``versions`` has the version of each key's state; None if the state was taken in this process, with
    the objects that were ``kept``. ``where`` is the state file, for errors. ``model`` is None if it does not exist
    yet, ``opener`` if there is no by-value section. ``configured`` has the names of the constructor's arguments by
    key, when the state was taken, and ``in_place`` those of the attributes whose live containers get the content.
    What is not ``trusted`` sets no paths that the script has given.
    """
    for callback in keyed.values():
        remember(callback)
    note_made(keyed.values(), is_new=versions is not None)
    builders = Builders(where, model, opener, keyed)
    prepared = Prepared()
    inner: list[tuple[Any, dict[str, Any]]] = []
    builders["callback"] = partial(_held, where, inner)
    if kept is not None:
        builders["kept"] = lambda decoder, node, live: kept[node[1]]
    # What is left out is not decoded, so that no trust is needed for it. A function that converts an older
    # version may need all of it.
    out = {key: left_out(keyed[key], (versions or {}).get(key, 1)) for key in keyed}
    table, refs = only(table, out)
    live = {key: attributes(callback) for key, callback in keyed.items()}
    names = {key: (in_place or {}).get(key, ()) for key in refs if not looks_at_state(keyed[key], key, versions)}
    into = live_places(table, refs, live, names)
    decoder = Decoder(table, live=live, find_class=_find_plain_class, builders=builders, into=into)
    states = decoder.value()
    prepared.later = decoder.later
    for held, state in () if trusted else inner:
        _not_given(prepared, type(held).__name__, held, state, state)
    absent = decoder.absent()
    for key, of_key in refs.items():
        state = {
            name: MISSING if is_absent(table, ref, absent, f"{where}: {key}.{name}") else states[key][name]
            for name, ref in of_key.items()
        }
        if versions is not None:
            what = f"{where}: the state of {key}"
            state = migrated(type(keyed[key]), state, versions.get(key, 1), what)
        callback, excluded = keyed[key], excluded_of(keyed[key])
        state = {**_accepted(where, key, callback, state)}
        if not trusted:
            contents = {name: decoder.content(ref) for name, ref in of_key.items()}
            for name in _not_given(prepared, key, callback, state, contents) & of_key.keys():
                into = {i: value for i, value in into.items() if (i,) != of_key[name]}
        for name, value in state.items():
            if value is MISSING:
                prepared.skipped.append((callback, name))
            elif name not in excluded:
                prepared.attributes.append((callback, name, value))
        _prepare_configuration(prepared, callback, state, (configured or {}).get(key, ()))
    if versions is not None:
        await_made(keyed.values(), prepared.skipped)
    whole = [i for i in into if not absent or absent.isdisjoint(order(Table(table.nodes, (i,))))]
    prepared.later += [partial(decoder.put_into, i) for i in whole]
    return prepared


def _not_given(
    prepared: Prepared, key: str, callback: Any, state: dict[str, Any], contents: dict[str, Any]
) -> set[str]:
    """Take out of a state what the script has given, and return the names; what differs is noted.

    ``contents`` has the stored values where the state has live containers.
    """
    given = Given(callback)
    stored = {name: contents.get(name, value) for name, value in state.items() if value is not MISSING}
    kept = {name for name, value in stored.items() if given.keeps(name, value)}
    different = [name for name in sorted(kept) if given.differs(name, stored[name])]
    prepared.given += [(key, name, stored[name], given.now(name)) for name in different]
    for name in kept:
        del state[name]
    return kept


def _held(where: str, inner: list[tuple[Any, dict[str, Any]]], decoder: Decoder, node: Node, live: Any) -> Any:
    """A callback that another one holds. Its state goes into the live callback in the same place."""
    _, name, pairs = node
    if describe(live) != name:
        raise RestoreError(
            f"{where}: {name} was saved inside another callback, and in its place is {describe(live)} now. "
            f"Make it in the constructor as before, or pass it to fit itself."
        )
    out = excluded_of(live)
    state = {key: decoder.ref(item) for key, item in two_by_two(pairs) if key not in out}
    inner.append((live, state))

    def put_back() -> Callable[[], None]:
        before = attributes(live)
        for key, value in _accepted(where, name, live, state).items():
            if value is not MISSING:
                _set(live, key, value)
        return lambda: _reset(live, before)

    decoder.later.append(put_back)
    return live


def _accepted(where: str, key: str, callback: Any, state: dict[Any, Any]) -> dict[str, Any]:
    """The state that a callback may be given. Raises RestoreError or CorruptCheckpointError."""
    adapter, is_stock = adapter_of(type(callback))
    for name in state:
        if (
            not isinstance(name, str)
            or name in BASE
            or is_special(name)
            or _is_owned(adapter, name)
            or (is_hook(type(callback), name) and name not in vars(callback))
        ):
            raise RestoreError(f"{where}: {key}.{name} is not an attribute that can be state")
    try:
        if is_stock or is_ours(callback):  # a class that is derived from one may keep other values there
            state = state_for(callback, state)
        return state if adapter is None or adapter.accept is None else adapter.accept(callback, state)
    except ValueError as error:
        raise CorruptCheckpointError(where, f"{key}: {error}") from error


def _is_owned(adapter: Any, name: str) -> bool:
    """Whether an attribute of a stock callback is not its state, such as a path."""
    if adapter is None or name in adapter.state or (adapter.direction and name == "monitor_op"):
        return False
    return bool(adapter.owns(name))


def _prepare_configuration(
    prepared: Prepared, callback: Any, state: dict[Any, Any], configured: Container[str]
) -> None:
    """Set the attributes that were configuration when the state was taken, and have changed in this process."""
    arguments = mark_of(callback).arguments
    for name in state_of(callback).keys() - state.keys():
        argument = arguments.get(name)
        if name in configured and argument is not None and argument.kind == "value":
            prepared.attributes.append((callback, name, copy_plain(argument.data)))


def _find_plain_class(name: str, live: Any) -> type:
    cls = type(live)
    # A script's __main__.C is train.C.
    if is_plain_class(cls) and (name == stored_name(cls) or name.endswith(f".{cls.__qualname__}")):
        return cls
    return find_class(name, callbacks=False).cls
