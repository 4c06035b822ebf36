"""Callbacks made again from a state file alone: class by name, constructor with the stored arguments."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import PurePath
from typing import Any

from ._adapters import ADAPTERS
from ._snapshot import Snapshot
from ._stateful import find_class
from ._variables import Builders
from .exceptions import NotRebuildableError

__all__ = ["OWN", "rebuild"]

_REACHES_OUT = re.compile(r"(^|_)(path|dir|directory|file|filename|filepath|url|uri|root|host)s?$")
OWN = "callback_state.ModelCheckpointEnhanced"


def rebuild(snapshot: Snapshot, *, trusted: bool, directory: str) -> dict[str, Any]:
    """New callbacks, by key, for every one in the snapshot.

    Args:
        snapshot: the checkpoint.
        trusted: whether arguments that are code, or reach outside the process, may come from the file.
        directory: the checkpoint's directory, to which our own checkpoint's path is relative.

    Raises:
        NotRebuildableError: some cannot be made from data alone; names each of them and says why.
        NotRegisteredError: a class is not registered here.
    """
    pickles = Builders(snapshot.where, None, snapshot.pickles if trusted else None, {})
    classes = {entry["key"]: _class_of(entry) for entry in snapshot.meta["callbacks"]}
    refused = [
        reason for entry in snapshot.meta["callbacks"]
        for reason in _reasons(entry, classes[entry["key"]], trusted)
    ]
    if refused:
        raise NotRebuildableError(
            f"{snapshot.where}: cannot be rebuilt from the file alone: {'; '.join(refused)}. Make them "
            f"yourself and restore with into=[...]"
            + ("." if trusted else ", or, if you trust whoever wrote the file, with trusted=True.")
        )
    made = {}
    for entry in snapshot.meta["callbacks"]:
        arguments = {n: _value(a, pickles) for n, a in entry["arguments"].items()}
        if entry["class"] == OWN:
            _own_arguments(arguments, directory, snapshot.meta["training_args"])
        made[entry["key"]] = _construct(snapshot.where, entry["key"], classes[entry["key"]], arguments)
    return made


def _class_of(entry: dict[str, Any]) -> Any:
    import keras

    name = entry["class"]
    module, _, last = name.rpartition(".")
    if module == "keras.callbacks" and last in ADAPTERS and hasattr(keras.callbacks, last):
        return getattr(keras.callbacks, last)
    if name == OWN:
        from ._checkpoint import ModelCheckpointEnhanced

        return ModelCheckpointEnhanced
    return find_class(name, callbacks=True).cls


def _reasons(entry: dict[str, Any], cls: Any, trusted: bool) -> list[str]:
    """Why a callback cannot be made from the file, argument by argument."""
    key, found = entry["key"], []
    for name, (kind, data, index) in entry["arguments"].items():
        if entry["class"] == OWN and name == "filepath":
            continue
        if kind == "digest":
            found.append(f"{key}: {name} was too large to be stored")
        elif kind == "opaque" and (index is None or not trusted):
            found.append(f"{key}: {name} was {data}")
        elif kind == "value" and not trusted and _reaches_out(name, data):
            found.append(f"{key}: {name} is a path or an address ({data!r})")
    if entry["class"].startswith("keras.callbacks."):
        found += [f"{key}: {n} is not in the file" for n in _required(cls) if n not in entry["arguments"]]
    return found


def _reaches_out(name: str, data: Any) -> bool:
    if isinstance(data, PurePath):
        return True
    if not isinstance(data, str):
        return False
    looks = "://" in data or data.startswith(("/", "\\", "~", "..")) or data[1:3] == ":\\"
    return looks or bool(_REACHES_OUT.search(name.lstrip("*")))


def _required(cls: Any) -> list[str]:
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]


def _value(argument: tuple[str, Any, int | None], builders: Builders) -> Any:
    kind, data, index = argument
    return builders.load(index) if kind == "opaque" and index is not None else data


def _own_arguments(arguments: dict[str, Any], directory: str, training_args: Any) -> None:
    arguments["filepath"] = os.path.join(directory, os.path.basename(arguments["filepath"]))
    arguments["training_args"] = training_args


def _construct(where: str, key: str, cls: Any, arguments: dict[str, Any]) -> Any:
    signature = inspect.signature(cls.__init__)
    args, kwargs, rest = [], {}, dict(arguments)
    parameters = list(signature.parameters.values())[1:]
    starred = any(f"*{p.name}" in rest for p in parameters)
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            args += rest.pop(f"*{p.name}", ())
        elif p.name in rest:
            positional = p.kind is p.POSITIONAL_ONLY or (starred and p.kind is p.POSITIONAL_OR_KEYWORD)
            if positional:
                args.append(rest.pop(p.name))
            else:
                kwargs[p.name] = rest.pop(p.name)
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        kwargs |= {n: v for n, v in rest.items() if not n.startswith("*")}
        rest = {}
    try:
        if rest:
            raise TypeError(f"it has no parameter {', '.join(rest)} any more")
        return cls(*args, **kwargs)
    except Exception as error:  # whatever somebody's constructor raises
        raise NotRebuildableError(
            f"{where}: {key}: the constructor {cls.__name__}{signature} does not take what it was given "
            f"when the checkpoint was written ({type(error).__name__}: {error}). "
            f"Make the callback yourself and restore with into=[...]."
        ) from error
