"""The state and configuration of live callbacks, and putting state back into them.

    names(callbacks)            a key for each callback of a list
    describe_callbacks(keyed)   class and configuration of each, as plain data
    state_of(callback)          the attributes that are state
    prepare(...)                stored state decoded for callbacks, nothing changed yet
    Prepared.put_back()         all of it, or nothing
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any

from ._adapters import adapter_of, direction_of, set_direction
from ._build import Decoder
from ._plain import MISSING, PlainError, Table, attributes, class_name
from ._stateful import Argument, Mark, argument_of, describe, find_class, guess_arguments, mark_of, registration_of
from ._variables import Builders
from .exceptions import RestoreError

__all__ = ["Prepared", "class_of", "configuration", "is_registered", "names", "prepare", "state_of"]

#: Attributes of every Keras callback that are neither state nor configuration.
_BASE = {"params", "_params", "_model", "validation_data", "set_model", "_callback_state_mark"}


def is_registered(callback: Any) -> bool:
    """Whether the callback is stock, or its class or itself was given to ``@stateful``."""
    cls = type(callback)
    return (
        adapter_of(cls)[0] is not None
        or registration_of(cls) is not None
        or mark_of(callback).registered
    )


def remember(callback: Any) -> None:
    """Where no recorder saw the constructor's arguments, take the attributes of their names for them."""
    if registration_of(type(callback)) is None and not adapter_of(type(callback))[1]:
        guess_arguments(callback)


def names(callbacks: list[Any]) -> dict[str, Any]:
    """The callbacks by key: the name given, else that of the class, with _1 for the second of it.

    Raises:
        RestoreError: two callbacks were given the same name.
    """
    keyed: dict[str, Any] = {}
    for callback in callbacks:
        given = mark_of(callback).key
        if given is not None and given in keyed:
            raise RestoreError(f"two callbacks have the key {given!r}: give each its own with key=")
        base = given or _base_name(type(callback))
        key, n = base, 0
        while key in keyed:
            n += 1
            key = f"{base}_{n}"
        keyed[key] = callback
    return keyed


def _base_name(cls: type) -> str:
    registration = registration_of(cls)
    own = registration is not None and registration.cls is cls
    return (registration.key if registration and own else None) or cls.__name__


def class_of(callback: Any) -> str:
    """The name under which the callback's class is stored."""
    cls = type(callback)
    registration = registration_of(cls)
    if registration is not None and registration.cls is cls:
        return registration.name
    return f"keras.callbacks.{cls.__name__}" if adapter_of(cls)[1] else class_name(cls)


def configuration(callback: Any) -> dict[str, Argument]:
    """What the constructor was given, by the name of the parameter."""
    adapter, stock = adapter_of(type(callback))
    if not stock or adapter is None:
        return mark_of(callback).arguments
    found = {n: argument_of(vars(callback)[n]) for n in adapter.arguments if n in vars(callback)}
    if "min_delta" in found:  # changes its sign when the direction is decided
        found["min_delta"] = argument_of(abs(callback.min_delta))
    for name in adapter.outside:
        if vars(callback).get(name) is not None:
            found[name] = Argument("opaque", describe(vars(callback)[name]), vars(callback)[name])
    return found


def state_of(callback: Any) -> dict[str, Any]:
    """The attributes that are state: neither configuration, nor excluded, nor Keras's own."""
    adapter, _ = adapter_of(type(callback))
    mark = mark_of(callback)
    excluded = excluded_of(callback)
    state: dict[str, Any] = {}
    for name, value in attributes(callback).items():
        if name in _BASE or name in excluded:
            continue
        if adapter is not None and adapter.owns(name):
            if name in adapter.state:
                state[name] = value
        elif not _is_configuration(mark, name, value):
            state[name] = value
    if adapter is not None and adapter.direction:
        state["monitor_op"] = direction_of(callback)
    return state


def excluded_of(callback: Any) -> frozenset[str]:
    bases = (registration_of(base) for base in type(callback).__mro__)
    classes = (registration.exclude for registration in bases if registration is not None)
    return mark_of(callback).exclude.union(*classes)


def _is_configuration(mark: Mark, name: str, value: Any) -> bool:
    argument = mark.arguments.get(name)
    if argument is not None and argument.equals(value):
        return True
    # Kept under another name: self._fn = fn.
    return any(a.kind == "opaque" and a.equals(value) for a in mark.arguments.values())


@dataclass
class Prepared:
    """Decoded state, ready to be put into callbacks.

    Attributes:
        attributes: (callback, attribute, value) of everything that will be set.
        skipped: (callback, attribute) of what only ``on_train_begin`` can make again.
    """

    attributes: list[tuple[Any, str, Any]] = field(default_factory=list)
    later: list[Callable[[], None]] = field(default_factory=list)
    skipped: list[tuple[Any, str]] = field(default_factory=list)

    def put_back(self) -> None:
        """Set everything; if one cannot be set, all that was set before is taken back."""
        undo: list[tuple[Any, str, Any]] = []
        try:
            for callback, name, value in self.attributes:
                undo.append((callback, name, attributes(callback).get(name, MISSING)))
                _set(callback, name, value)
            for action in self.later:
                action()
        except Exception:
            for callback, name, value in reversed(undo):
                _set(callback, name, value)
            raise


def _set(callback: Any, name: str, value: Any) -> None:
    adapter, _ = adapter_of(type(callback))
    decides = name == "monitor_op" and adapter is not None and adapter.direction
    if decides and (value is None or isinstance(value, str)):
        set_direction(callback, value)
    elif value is MISSING:
        object.__delattr__(callback, name)
    else:
        object.__setattr__(callback, name, value)


def prepare(
    table: Table, keyed: dict[str, Any], versions: dict[str, int] | None, *, where: str, model: Any,
    pickles: list[bytes] | None, kept: list[Any] | None = None,
) -> Prepared:
    """Decode the state of callbacks, changing none of them.

    Args:
        table: holds {key: {attribute: value}}.
        keyed: the live callbacks by the keys of the table; those of other keys are left out.
        versions: the version of each key's state; None if it is this moment's.
        where: the state file, for errors.
        model: the model whose variables are meant, or None where there is none yet.
        pickles: the by-value section, or None if the file is not trusted.
        kept: the objects of a table that never left the process.

    Raises:
        RestoreError, UntrustedError, PlainError: the state does not fit; nothing has changed.
    """
    for callback in keyed.values():
        remember(callback)
    builders = Builders(where, model, pickles, keyed)
    if kept is not None:
        builders.keep(kept)
    live = {key: attributes(callback) for key, callback in keyed.items()}
    decoder = Decoder(
        _only(table, keyed), live=live, find_class=_find_plain_class, builders=builders
    )
    prepared = Prepared(later=decoder.later)
    for key, state in decoder.value().items():
        callback = keyed[key]
        if versions is not None:
            state = _migrated(where, key, callback, state, versions.get(key, 1))
        _prepare_one(prepared, where, key, callback, state)
    return prepared


def _only(table: Table, keys: Container[str]) -> Table:
    """The part of a table of states that belongs to some keys: what others need is not looked up."""
    match table.root:
        case (int(i),) if table.nodes[i][0] == "dict":
            flat = table.nodes[i][1]
        case _:
            raise PlainError("", "not a table of states")
    kept = [item for k, ref in zip(flat[::2], flat[1::2], strict=True) if k in keys for item in (k, ref)]
    return Table([*table.nodes, ("dict", kept)], (len(table.nodes),))


def _prepare_one(prepared: Prepared, where: str, key: str, callback: Any, state: Any) -> None:
    excluded = excluded_of(callback)
    for name, value in state.items():
        if not isinstance(name, str) or name in _BASE or name.startswith("__"):
            raise RestoreError(f"{where}: {key}.{name} is not an attribute that can be state")
        if value is MISSING:
            prepared.skipped.append((callback, name))
        elif name not in excluded:
            prepared.attributes.append((callback, name, value))


def _migrated(where: str, key: str, callback: Any, state: Any, version: int) -> Any:
    registration = registration_of(type(callback))
    known = registration.version if registration is not None else 1
    if version == known or registration is None:
        return state
    if version > known:
        raise RestoreError(
            f"{where}: the state of {key} has version {version}, and the class here knows {known}. "
            f"Use the newer code that wrote it."
        )
    if registration.migrate is None:
        raise RestoreError(
            f"{where}: the state of {key} has version {version}, and the class here has {known} without "
            f"a way from one to the other: @stateful(version={known}, migrate=function)."
        )
    return registration.migrate(dict(state), version)


def _find_plain_class(name: str, live: Any) -> type:
    if live is not MISSING and class_name(type(live)) == name:
        return type(live)
    if live is not MISSING and name.endswith(f".{type(live).__qualname__}"):
        return type(live)  # a script's __main__.C is train.C
    return find_class(name, callbacks=False).cls
