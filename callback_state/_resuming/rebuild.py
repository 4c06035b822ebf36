"""Callbacks from a state file alone: each is made by its class, with the stored arguments of its constructor."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from typing import Any

from .._callbacks.builders import Builders
from .._callbacks.capture import keyed, left_out_by
from .._callbacks.stateful import find_class, stateful
from .._callbacks.stock import ADAPTERS
from .._checkpoints.schema import SavedCallback
from .._checkpoints.snapshot import Snapshot
from .._checkpoints.template import Part, parts_of, split
from .._format.columns import spread
from .._format.decode import Decoder
from .._format.opener import Opener
from .._format.table import PlainError, Table, order, two_by_two
from .._format.trust import Trust
from ..exceptions import CallbackStateError, CorruptCheckpointError, NotRebuildableError

_REACHES_OUT = re.compile(r"(^|_)(path|dir|directory|file|filename|filepath|url|uri|root|host)s?$")
#: The second letter of a dtype, or of the name of one of ml_dtypes, of which no array holds texts.
_NUMERIC = frozenset("biufcmMln")
#: The formats that a placeholder in a file name may have. A wide one could make a name of any length.
_SPEC = r"([^{}/\\\\]?[<>=^])?[-+ ]?#?0?[0-9]{0,2}[,_]?(\.[0-9]{1,2})?[a-zA-Z%]?"


def rebuild(snapshot: Snapshot, *, trust: Trust, directory: str) -> dict[str, Any]:
    """Make every callback of a checkpoint again, by key.

    The path of a checkpoint callback is relative to ``directory``, where the checkpoint is. Raises
    NotRebuildableError if some cannot be made from data alone; the message names each one and says why. Raises
    NotRegisteredError if a class is not registered in this process.
    """
    where, entries = snapshot.where, snapshot.meta.callbacks
    try:
        classes = {entry.key: _class_of(entry) for entry in entries}
        opener = snapshot.opener(trust)
        lasting = [reason for e in entries for reason in _lasting_reasons(e, classes[e.key])]
        refused = [reason for e in entries for reason in _reasons(e, trust, opener)]
    except PlainError as error:
        raise CorruptCheckpointError(where, f"holds arguments that cannot be decoded ({error})") from error
    if lasting or refused:
        raise NotRebuildableError(
            f"{where}: these callbacks cannot be made from the file alone: {'; '.join([*refused, *lasting])}. "
            f"Make them in your script and pass them: restore_callbacks(..., into=[...])."
            + ("" if lasting else " Or pass trusted=True, if you trust the origin of the file.")
        )
    builders = Builders(where, None, opener, {})
    calls = {}
    for entry in entries:
        arguments = {n: _value(where, entry.key, n, a, builders) for n, a in entry.arguments.items()}
        if entry.is_ours:
            arguments["filepath"] = os.path.join(directory, split(arguments["filepath"])[1])
            arguments["training_args"] = snapshot.meta.training_args
            if trust.keys is not None:
                arguments["key"] = trust.keys
        # All calls are checked before the first is made: a constructor may open a file.
        calls[entry.key] = _call(where, entry.key, classes[entry.key], arguments)
    made = {key: _construct(where, key, classes[key], *call) for key, call in calls.items()}
    named = keyed(list(made.values()))
    for key, callback in made.items():
        if named.get(key) is not callback:
            stateful(callback, key=key)  # the user had given it this key
            named = keyed(list(made.values()))
    return made


def _class_of(entry: SavedCallback) -> Any:
    import keras

    name = entry.class_
    module, _, last = name.rpartition(".")
    if module == "keras.callbacks" and last in ADAPTERS and hasattr(keras.callbacks, last):
        return getattr(keras.callbacks, last)
    if entry.is_ours:
        from .._saving.checkpoint import ModelCheckpointEnhanced

        return ModelCheckpointEnhanced
    return find_class(name, callbacks=True).cls


def _lasting_reasons(entry: SavedCallback, cls: Any) -> list[str]:
    """Why a callback cannot be made from the file, whatever is trusted: the arguments that are not there."""
    key, arguments = entry.key, entry.arguments
    found = [
        f"{key}: {name} was too large to be saved" if kind == "digest" else f"{key}: {name} was {data}"
        for name, (kind, data, index) in arguments.items()
        if kind == "digest" or (kind == "opaque" and index is None)
    ]
    if _is_stock(entry):
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        required = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        found += [f"{key}: {name} is not in the file" for name in required if name not in arguments]
    return found


def _is_stock(entry: SavedCallback) -> bool:
    return entry.class_.startswith("keras.callbacks.")


def _reasons(entry: SavedCallback, trust: Trust, opener: Opener) -> list[str]:
    """Why a callback cannot be made from a file that is not trusted, argument by argument."""
    key, found = entry.key, []
    if entry.is_ours and not trust.everything and not _is_template(entry.arguments.get("filepath")):
        found.append(f"{key}: filepath is not the name of a model file")
    for name, (kind, data, index) in entry.arguments.items():
        if entry.is_ours and name == "filepath":
            continue
        if kind == "opaque" and index is not None and not opener.allows(index):
            found.append(f"{key}: {name} was {data}")
        elif kind == "value" and not trust.everything:
            found += [f"{key}: {name} is a path or a URL ({text!r})" for text in _reaching(name, data)]
            if _is_stock(entry) and _is_no_argument(name, data):
                found.append(f"{key}: {name} is {data!r:.50}, expected a path or a function")
    return found


def _is_template(argument: Any) -> bool:
    """Whether it is a file name, with placeholders that can only become numbers."""
    if argument is None or argument[0] != "value" or not isinstance(argument[1], str):
        return False
    try:
        template = split(argument[1])[1]
    except ValueError:
        return False
    parts = [part for part in parts_of(template) if part.field is not None]
    return template not in ("", ".", "..") and all(_becomes_a_number(part) for part in parts)


def _becomes_a_number(part: Part) -> bool:
    """Whether a placeholder can only become a number: it looks into no attribute or item."""
    spec = part.source[1:-1].removeprefix(part.field or "").removeprefix(":")
    return not set(part.field or "") & set(".[") and re.fullmatch(_SPEC, spec) is not None


def _is_no_argument(name: str, data: Any) -> bool:
    """Whether a stock callback must not get this: a number for a path (an open file), or data for a function."""
    of_functions = name == "schedule" or name.startswith("on_")
    return data is not None and (of_functions or (type(data) is int and bool(_REACHES_OUT.search(name))))


def _reaching(name: str, data: Any) -> Iterator[str]:
    """The texts in an argument that look like paths or URLs."""
    if not isinstance(data, tuple):
        texts = [(name, data)]
    else:
        table = Table.from_tree([*data])
        texts = [item for i in order(table) for item in _texts(name, table.nodes[i])]
    for about, text in texts:
        if isinstance(text, (str, bytes)) and _leads_out(about, os.fsdecode(text)):
            yield os.fsdecode(text)


def _texts(name: str, node: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """The scalars in one node of an argument, each with the name that it has there."""
    kind, *rest = spread(node)
    flat = rest[-1] if rest and isinstance(rest[-1], list) else rest
    if kind.endswith("Path"):
        yield from (("path", item) for item in rest)
    elif kind.lower().endswith("dict") or kind in ("object", "record", "SimpleNamespace"):
        for key, item in two_by_two(flat):
            yield name, key
            yield (f"{name}_{key}" if isinstance(key, str) else name), item
    elif kind in ("list", "tuple", "set", "frozenset", "deque"):
        yield from ((name, item) for item in flat)
    elif kind in ("scalar", "array", "dtype"):
        if not (isinstance(rest[0], str) and rest[0][1:2] in _NUMERIC):
            yield "path", f"{kind} of NumPy"
    else:  # such as the texts of NumPy
        yield from ((name, item) for item in flat)


def _leads_out(name: str, text: str) -> bool:
    looks = "://" in text or text.startswith(("/", "\\", "~")) or text[1:3] in (":\\", ":/")
    above = ".." in re.split(r"[/\\]", text)
    return looks or above or bool(_REACHES_OUT.search(name.lstrip("*")))


def _value(where: str, key: str, name: str, argument: tuple[str, Any, Any], builders: Builders) -> Any:
    kind, data, index = argument
    if kind == "opaque":
        return builders.load(index)
    if not isinstance(data, tuple):
        return data
    try:
        return Decoder(
            Table.from_tree([*data]), find_class=lambda of, live: find_class(of, callbacks=False).cls
        ).value()
    except PlainError as error:
        raise CorruptCheckpointError(where, f"{key}: {name} cannot be decoded ({error})") from error


def _call(where: str, key: str, cls: Any, arguments: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The stored arguments as positional and keyword arguments of the constructor."""
    signature = inspect.signature(cls)
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    rest = dict(arguments)
    extra = next((rest.pop(name) for name in arguments if name[:1] == "*" != name[1:2]), ())
    for p in signature.parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            args += extra
            extra = ()
        elif p.kind is p.VAR_KEYWORD:
            kwargs |= {name.removeprefix("**"): value for name, value in rest.items()}
            rest = {}
        elif p.name not in rest:
            if p.default is p.empty:
                why = "is new" if p.name not in left_out_by(cls) else "is left out of the file by exclude="
                raise _does_not_take(where, key, cls, f"the parameter {p.name} {why} and has no default")
            if extra or p.kind is p.POSITIONAL_ONLY:  # others follow by position
                args.append(p.default)
        elif p.kind is p.POSITIONAL_ONLY or (extra and p.kind is p.POSITIONAL_OR_KEYWORD):
            args.append(rest.pop(p.name))
        else:
            kwargs[p.name] = rest.pop(p.name)
    if rest or extra:
        gone = ", ".join(rest) or "*args"
        raise _does_not_take(where, key, cls, f"it has no parameter {gone} now")
    return args, kwargs


def _construct(where: str, key: str, cls: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    try:
        return cls(*args, **kwargs)
    except CallbackStateError:
        raise
    except Exception as error:  # the constructor may raise anything
        raise _does_not_take(where, key, cls, f"{type(error).__name__}: {error}") from error


def _does_not_take(where: str, key: str, cls: Any, why: str) -> NotRebuildableError:
    return NotRebuildableError(
        f"{where}: {key}: the constructor {cls.__name__}{inspect.signature(cls)} does not take the arguments "
        f"that were saved ({why}). Make the callback in your script and pass it: "
        f"restore_callbacks(..., into=[...])."
    )
