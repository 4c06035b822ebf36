"""How a script has built and compiled its model: arguments of optimizer, loss and layers, as plain data.

Weights are no part of it, nor what only matters when they are made, nor names that Keras gives.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from .._format.classes import class_name
from .classes import is_keras
from .reach import Reach

#: For each part, such as ``"layers[1] Dropout"``, the values of its arguments; None is left out.
Configuration = dict[str, dict[str, bool | int | float | str | None]]

#: What only matters when variables are made, what is restored, and layers, which are parts themselves.
_NOT = frozenset(
    {
        "name",
        "seed",
        "layer",
        "layers",
        "cell",
        "cells",
        "forward_layer",
        "backward_layer",
        "input_layers",
        "output_layers",
        "inner_optimizer",
        "build_config",
        "build_input_shape",
    }
)
#: Longer texts are stored as their digest.
_LONG = 200
#: What was noted of each model, with the optimizer that it had then: compile gives it another one.
_noted: WeakKeyDictionary[Any, tuple[Callable[[], Any], Configuration]] = WeakKeyDictionary()


def note(model: Any) -> Configuration:
    """The configuration that the script has given to a model, before anything was restored or trained.

    It is looked at once for each ``compile``, when the model is built.
    """
    if not is_keras(model, "Model"):
        return {}
    known = _noted.get(model)
    if known is None or known[0]() is not getattr(model, "optimizer", None):
        found = configuration_of(model)
        if not model.built:
            return found
        known = _noted[model] = (_optimizer_of(model), found)
    return known[1]


def take_over(model: Any, configuration: Configuration) -> None:
    """Note that a model has the configuration of a checkpoint: Keras has loaded it from there."""
    _noted[model] = (_optimizer_of(model), configuration)


def _optimizer_of(model: Any) -> Callable[[], Any]:
    """A weak reference to the optimizer, which may hold the model."""
    optimizer = getattr(model, "optimizer", None)
    return weakref.ref(optimizer) if optimizer is not None else lambda: None


def configuration_of(model: Any) -> Configuration:
    """The configuration that a model has now."""
    found: Configuration = {}
    optimizer = getattr(model, "optimizer", None)
    for path, part in (("optimizer", optimizer), ("inner_optimizer", getattr(optimizer, "inner_optimizer", None))):
        if part is not None:
            found[f"{path} {type(part).__name__}"] = _arguments(part)
    compiled = getattr(getattr(model, "_compile_config", None), "config", None) or {}
    loss = {name: compiled[name] for name in ("loss", "loss_weights") if name in compiled}
    if loss:
        found["compile"] = dict(_flat("", loss))
    for path, layer in Reach(model).layers.items():
        is_private = any(step.startswith("_") for step in path.split("."))  # one more place of a public one
        if not is_private and not is_keras(layer, "layers.InputLayer"):
            found[f"{path or 'model'} {type(layer).__name__}"] = _arguments(layer)
    return found


def _arguments(part: Any) -> dict[str, bool | int | float | str | None]:
    try:
        config = part.get_config()
    except Exception:  # a layer of the user need not have one, and may raise anything
        return {}
    if not isinstance(config, Mapping):
        return {}
    if is_keras(part, "layers.TorchModuleWrapper"):  # the whole module as a pickle, its weights among it
        config = {name: value for name, value in config.items() if name != "module"}
    if config.get("use_ema") is False:  # the numbers of the average count for nothing
        config = {name: value for name, value in config.items() if not name.startswith("ema_")}
    # Some of Keras's losses (3.7 to 3.15) leave out what their function is called with.
    more = getattr(part, "_fn_kwargs", None)
    return dict(_flat("", {**config, **more} if isinstance(more, Mapping) else config))


def _flat(path: str, value: Any) -> Iterator[tuple[str, bool | int | float | str]]:
    """Each value that is not None, with its path."""
    if isinstance(value, Mapping):
        if "class_name" in value and "config" in value:  # how Keras writes an object of its own
            inner = value["config"]
            if not isinstance(inner, Mapping):
                yield from _flat(path, inner)
                return
            if set(inner) == {"name"}:  # a policy of dtypes
                yield from _flat(path, inner["name"])
                return
            yield path, str(value["class_name"])
            value = inner
        for key, item in value.items():
            if not (isinstance(key, str) and (key in _NOT or key.endswith("_initializer"))):
                yield from _flat(f"{path}.{key}" if path else str(key), item)
    elif isinstance(value, (list, tuple)) and not all(isinstance(item, (bool, int, float, str)) for item in value):
        for i, item in enumerate(value):
            yield from _flat(f"{path}[{i}]", item)
    elif value is not None:
        yield from _leaf(path, value)


def _leaf(path: str, value: Any) -> Iterator[tuple[str, bool | int | float | str]]:
    if isinstance(value, (list, tuple)):
        value = repr([*value])
    if isinstance(value, (bool, float)) or (isinstance(value, int) and value.bit_length() < 64):
        yield path, value if type(value) in (bool, int, float) else float(value)
    elif isinstance(value, str):
        yield path, value if len(value) <= _LONG else f"a text with the SHA-256 {_digest(value.encode())}"
    elif hasattr(value, "tobytes"):
        yield path, f"an array with the SHA-256 {_digest(value.tobytes())}"
    elif hasattr(value, "__qualname__"):
        yield path, f"{value.__module__}.{value.__qualname__}"
    else:
        yield path, class_name(type(value))
        get_config = getattr(value, "get_config", None)
        if get_config is not None:
            yield from ((f"{path}.{name}", item) for name, item in _arguments(value).items() if item is not None)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
