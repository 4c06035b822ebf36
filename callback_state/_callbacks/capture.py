"""The state and configuration of live callbacks, and what they have done outside the process."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from .._format.classes import attributes, class_name
from .._format.decode import Decoder
from .._format.encode import Encoder
from .._format.table import PlainError
from .._keras import stock_callbacks
from .._store.claims import Owner
from ..exceptions import CallbackStateError, NotPicklableError, RestoreError, ResumeError
from .adapter import Adapter, given_to
from .arguments import Argument, Mark, argument_of, guess_arguments, mark_of
from .stateful import own_registration, registration_of
from .stock import adapter_of, direction_of

#: The attributes of every callback that are neither state nor configuration.
BASE = {*stock_callbacks.BASE, "_callback_state_mark"}


def saved_among(callbacks: list[Any]) -> list[Any]:
    """The callbacks of a list that a checkpoint saves, without Keras's history and progress bar."""
    import keras

    apart = (keras.callbacks.History, keras.callbacks.ProgbarLogger)
    return [c for c in callbacks if is_registered(c) and not isinstance(c, apart)]


def is_registered(callback: Any) -> bool:
    """Whether the callback is stock, or its class or itself was given to ``@stateful`` or ``adapter``."""
    cls = type(callback)
    return adapter_of(cls)[0] is not None or registration_of(cls) is not None or mark_of(callback).registered


def remember(callback: Any) -> None:
    """If the constructor's arguments were not recorded, take the attributes of the same names."""
    if registration_of(type(callback)) is None and not adapter_of(type(callback))[1]:
        guess_arguments(callback)


def keyed(callbacks: list[Any]) -> dict[str, Any]:
    """The callbacks by key: the given name, or the name of the class, with _1 for the second of a class."""
    keyed: dict[str, Any] = {}
    for callback in callbacks:
        given = mark_of(callback).key
        if given is not None and given in keyed:
            raise RestoreError(f"two callbacks have the key {given!r}: give each its own with key=")
        registration = own_registration(type(callback))
        base = given or (registration.key if registration is not None else None) or type(callback).__name__
        key, n = base, 0
        while key in keyed:
            n += 1
            key = f"{base}_{n}"
        keyed[key] = callback
    return keyed


def class_of(callback: Any) -> str:
    """The name under which the callback's class is stored."""
    cls = type(callback)
    registration = own_registration(cls)
    if registration is not None:
        return registration.name
    return f"keras.callbacks.{cls.__name__}" if adapter_of(cls)[1] else class_name(cls)


def configuration(callback: Any) -> dict[str, Argument]:
    """What the constructor was given, by the name of the parameter, but for what is excluded: no file has it."""
    remember(callback)
    adapter, stock = adapter_of(type(callback))
    out = named_out(callback)
    if not stock or adapter is None:
        return {name: one for name, one in mark_of(callback).arguments.items() if name.lstrip("*") not in out}
    return {name: argument_of(value) for name, value in adapter.given(callback).items() if name not in out}


def state_of(callback: Any) -> dict[str, Any]:
    """The attributes that are state: neither configuration, nor excluded, nor Keras's own."""
    state = state_among(callback, attributes(callback))
    adapter, _ = adapter_of(type(callback))
    if adapter is not None and adapter.direction:
        state["monitor_op"] = direction_of(callback)
    return state


def state_among(callback: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """Those of these attributes that are state, by their names."""
    remember(callback)
    adapter, _ = adapter_of(type(callback))
    mark = mark_of(callback)
    excluded = excluded_of(callback)
    state: dict[str, Any] = {}
    for name, value in named.items():
        if name in BASE or name in excluded:
            continue
        if adapter is not None and adapter.owns(name):
            if name in adapter.state:
                state[name] = value
        elif not _is_configuration(mark, name, value):
            state[name] = value
    return state


def named_out(callback: Any) -> frozenset[str]:
    """The names that ``exclude=`` has, of ``@stateful`` and of the adapter.

    An argument that is kept with an underscore before its name is excluded under this name too.
    """
    out, here = mark_of(callback).exclude | left_out_by(type(callback)), vars(callback)
    kept = {name for name in out if f"_{name}" in here and name not in here}
    if kept:
        kept &= {*inspect.signature(type(callback).__init__).parameters}
    return out.union(f"_{name}" for name in kept)


def left_out_by(cls: type) -> frozenset[str]:
    """The names that ``exclude=`` of a class has, its bases included."""
    registrations = filter(None, map(registration_of, cls.__mro__))
    adapter, _ = adapter_of(cls)
    out = frozenset() if adapter is None else adapter.exclude
    return out.union(*(registration.exclude for registration in registrations))


def excluded_of(callback: Any) -> frozenset[str]:
    """The attributes that are no state, as ``@stateful`` and the adapter say."""
    adapter, _ = adapter_of(type(callback))
    rest = attributes(callback).keys() - adapter.state if adapter is not None and adapter.closed else set()
    return named_out(callback) | rest


def line_to_exclude(key: str, callback: Any, paths: Iterable[str], *, alone: bool = False) -> str:
    """The line that leaves the attributes with these paths out; if not ``alone``, with those that are out now.

    ``paths`` may have some of other callbacks too, such as ``"Key.attribute['key']"``.
    """
    own = own_registration(type(callback))
    start = len(key) + 1
    found = {re.split(r"[.\[]", path[start:])[0] for path in paths if path.startswith(f"{key}.")}
    mark, name = mark_of(callback), type(callback).__name__
    is_decorated = own is not None and not mark.registered and given_to(type(callback)) is None
    before = own.exclude if own is not None and is_decorated else mark.exclude
    names = sorted(found if alone else found | before)
    listed = ", ".join(f'"{name}"' for name in names) + ("," if len(names) == 1 else "")
    if is_decorated:
        return f"@stateful(exclude=({listed})) above class {name}"
    return f"stateful({name}(...), exclude=({listed}))"


def _is_configuration(mark: Mark, name: str, value: Any) -> bool:
    argument = mark.arguments.get(name)
    if argument is not None and argument.equals(value):
        return True
    # It may be kept under another name: self._fn = fn.
    return any(a.kind == "opaque" and a.equals(value) for a in mark.arguments.values())


def outside_of(callback: Any) -> Any | None:
    """What the callback has done outside the process, as plain data, or None."""
    adapter, _ = adapter_of(type(callback))
    if adapter is None or adapter.outside is None:
        return None
    found = _call(adapter, "outside", CallbackStateError, callback)
    try:
        return Decoder(Encoder().table(found)).value()  # a copy, as a file will give it
    except PlainError as error:
        raise NotPicklableError(
            f"{type(callback).__name__}.outside{error.path}",
            f"{error.message}. The function outside= of callback_state.adapter(...) must return numbers, text, "
            f"lists and dicts.",
        ) from error


def note_began(callbacks: list[Any], owner: Owner) -> None:
    """Note that the files which the callbacks have begun since the last call are of this run."""
    for callback in callbacks:
        adapter, _ = adapter_of(type(callback))
        if adapter is not None and adapter.began is not None:
            _call(adapter, "began", CallbackStateError, callback, owner)


def note_outside(callback: Any, owner: Owner) -> None:
    """Look at what is outside, for the run that goes on. At the restore, before a ``fit`` opens any file."""
    adapter, _ = adapter_of(type(callback))
    if adapter is not None and adapter.note is not None:
        _call(adapter, "note", ResumeError, callback, owner)


def _act(what: str, callback: Any, taken: Any) -> None:
    """Call a function of the adapter. Raises ResumeError if it raised an error."""
    adapter, _ = adapter_of(type(callback))
    if adapter is None or getattr(adapter, what) is None:
        return
    if taken is not None or adapter.outside is None:  # None: nothing was outside yet
        _call(adapter, what, ResumeError, callback, taken)


#: Bring the outside back to the moment of ``taken``. No callback has heard ``on_train_begin`` yet.
wind_back = partial(_act, "wind_back")
#: Bring what the callback has opened to where it was. All state has been put back.
pick_up = partial(_act, "pick_up")


def _call(adapter: Adapter, what: str, error_class: type[CallbackStateError], *args: Any) -> Any:
    function: Callable[..., Any] = getattr(adapter, what)
    try:
        return function(*args)
    except (CallbackStateError, Warning):
        raise
    except Exception as error:  # a user's function may raise anything
        name = type(args[0]).__name__
        raise error_class(
            f"{name}: {what}= of its adapter (callback_state.adapter) raised {type(error).__name__}: {error}"
        ) from error
