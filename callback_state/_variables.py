"""What a callback holds that is not plain: variables, parts of the model, code.

The encoder's fallback makes a node of it, the builders put it back:

    variable   a Keras or TensorFlow variable: its value, or its place in the model
    tensor     an eager tensor: its value
    variables  a model, layer, optimizer or metric of the callback's own: the values of its variables
    reference  a part of the model, or another callback: whatever stands there when training goes on
    code       a function or class: pickled by value, needed only where none stands in its place
    value      any other object: pickled by value, read only on trust
"""

from __future__ import annotations

import io
import pickle
import re
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ._build import Decoder
from ._plain import MISSING, Encoder, Node, attributes, class_name
from ._stateful import LARGE_ARGUMENT, describe
from .exceptions import NotPicklableError, RestoreError, UntrustedError

__all__ = ["Builders", "ByValue", "ModelVariable", "is_variable", "places_of"]

_CODE = (
    types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType, type, partial,
)


@dataclass(frozen=True)
class ModelVariable:
    """Stands for the variable of a model that is not there yet; replaced when ``fit`` begins."""

    group: str
    index: int

    def resolve(self, model: Any) -> Any:
        owner = model if self.group == "model" else model.optimizer
        return owner.variables[self.index]


@dataclass
class ByValue:
    """The fallback of the encoder: collects what is pickled by value.

    Attributes:
        model: the model being trained, or None.
        callbacks: the key of each callback that is saved, by its ``id``.
        pickles: what was pickled by value, in the order of the indices in the nodes.
        names: the attribute paths of these, for the warning.
        kept: where this is a list, the table does not leave the process: objects go here instead.
    """

    model: Any = None
    callbacks: dict[int, str] = field(default_factory=dict)
    pickles: list[bytes] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    kept: list[Any] | None = None

    def __post_init__(self) -> None:
        self._places = places_of(self.model)

    def __call__(self, encoder: Encoder, value: Any, path: str) -> Node:
        path = readable(path)
        if isinstance(value, ModelVariable):
            return ("variable", None, value.group, value.index)
        if is_variable(value):
            place = self._places.get(id(value))
            if place is not None:
                return ("variable", None, *place)
            return ("variable", encoder.ref(_numpy(value), path), None, class_name(type(value)))
        if _is_tensor(value):
            return ("tensor", encoder.ref(_numpy(value), path))
        if is_keras(value, "callbacks.Callback") or id(value) in self._parts():
            return ("reference", describe(value))
        if _has_variables(value):
            arrays = [encoder.ref(_numpy(v), path) for v in _variables_of(value)]
            return ("variables", describe(value), arrays)
        if self.kept is not None:
            self.kept.append(value)
            return ("kept", len(self.kept) - 1)
        self._add(self._pickle(value, path), value, path)
        kind = "code" if isinstance(value, _CODE) else "value"
        return (kind, len(self.pickles) - 1, describe(value), path)

    def attempt(self, value: Any, path: str) -> int | None:
        """The index of a constructor's argument in the by-value section; None if it cannot be there."""
        try:
            data = self._pickle(value, path)
        except NotPicklableError:
            return None
        if len(data) > LARGE_ARGUMENT:
            return None
        self._add(data, value, path)
        return len(self.pickles) - 1

    def _add(self, data: bytes, value: Any, path: str) -> None:
        self.pickles.append(data)
        if not _is_importable(value):
            self.names.append(path)

    def _parts(self) -> set[int]:
        if self.model is None:
            return set()
        layers = getattr(self.model, "_flatten_layers", lambda: [self.model])()
        parts = [self.model, getattr(self.model, "optimizer", None), *layers, *self.model.metrics]
        return {id(part) for part in parts if part is not None}

    def _pickle(self, value: Any, path: str) -> bytes:
        import cloudpickle

        class Pickler(cloudpickle.CloudPickler):
            def persistent_id(_self, item: Any) -> Any:
                return self._persistent_id(item, path)

        buffer = io.BytesIO()
        try:
            Pickler(buffer, protocol=4).dump(value)
        except NotPicklableError:
            raise
        except Exception as error:  # whatever an object's own way of pickling raises
            where, culprit = _blame(value, path)
            raise not_picklable(where, culprit, error) from error
        return buffer.getvalue()

    def _persistent_id(self, item: Any, path: str) -> Any:
        """The model and the callbacks are never pickled, only named."""
        if item is self.model and item is not None:
            return "model"
        if id(item) in self.callbacks:
            return ("callback", self.callbacks[id(item)])
        if is_variable(item) or is_keras(item, "callbacks.Callback") or _has_variables(item):
            raise not_picklable(path, item, "a part of the model is never pickled by value")
        return None


def _is_importable(value: Any) -> bool:
    """Whether a function or class is pickled as the name of what a new process imports."""
    if not isinstance(value, _CODE) or getattr(value, "__module__", "__main__") == "__main__":
        return False
    try:
        pickle.dumps(value)
    except Exception:  # whatever pickle raises for what is defined in a function
        return False
    return True


def readable(path: str) -> str:
    """``Scheduler.pool.lock`` for the encoder's ``['Scheduler']['pool'].lock``."""
    return re.sub(r"^\['([^']*)'\]\['([^']*)'\]", r"\1.\2", path)


def not_picklable(path: str, value: Any, reason: object) -> NotPicklableError:
    attribute = path.split(".")[1] if "." in path else path
    return NotPicklableError(
        path,
        f"{describe(value)} cannot be saved ({reason}). If it is no state, leave it out: "
        f'@stateful(exclude=("{attribute.split("[")[0]}",)).',
    )


def _blame(value: Any, path: str) -> tuple[str, Any]:
    """The path of the innermost attribute that cannot be pickled, and what stands there."""
    import cloudpickle

    seen = {id(value)}
    while True:
        for name, item in attributes(value).items():
            try:
                cloudpickle.dumps(item)
            except Exception:
                if id(item) not in seen:
                    seen.add(id(item))
                    path, value = f"{path}.{name}", item
                    break
        else:
            return path, value


class Builders(dict[str, Callable[[Decoder, Node, Any], Any]]):
    """The decoder's builders.

    Args:
        where: the state file, for errors.
        model: the model to take variables from, or None where there is none yet.
        pickles: the by-value section, or None if the file is not trusted.
        callbacks: the callbacks by key.
    """

    def __init__(
        self, where: str, model: Any, pickles: list[bytes] | None, callbacks: dict[str, Any]
    ) -> None:
        super().__init__(
            variable=self._variable, tensor=self._tensor, variables=self._variables,
            reference=self._reference, code=self._by_value, value=self._by_value,
        )
        self._where, self._model, self._pickles = where, model, pickles
        self._callbacks = callbacks
        self._loaded: dict[int, Any] = {}

    def keep(self, kept: list[Any]) -> None:
        """Build from a table that never left the process."""
        self["kept"] = lambda decoder, node, live: kept[node[1]]

    def _variable(self, decoder: Decoder, node: Node, live: Any) -> Any:
        _, value, group, which = node
        if group is not None:
            place = ModelVariable(group, which)
            return place if self._model is None else place.resolve(self._model)
        array = decoder.ref(value)
        if is_variable(live):
            self._assign(decoder, live, array)
            return live
        if which.startswith("tensorflow."):
            return sys.modules["tensorflow"].Variable(array)
        import keras

        return keras.Variable(array, dtype=str(array.dtype))

    def _tensor(self, decoder: Decoder, node: Node, live: Any) -> Any:
        import tensorflow

        return tensorflow.constant(decoder.ref(node[1]))

    def _variables(self, decoder: Decoder, node: Node, live: Any) -> Any:
        _, name, arrays = node
        variables = _variables_of(live) if _has_variables(live) else []
        if len(variables) != len(arrays):
            raise RestoreError(
                f"{self._where}: {name} has {len(arrays)} variables saved, and what stands in its place "
                f"now is {describe(live)}. Build it in the constructor as before, or leave it out with "
                f"exclude=."
            )
        for variable, array in zip(variables, arrays, strict=True):
            self._assign(decoder, variable, decoder.ref(array))
        return live

    def _assign(self, decoder: Decoder, variable: Any, array: Any) -> None:
        if tuple(variable.shape) != array.shape:
            raise RestoreError(
                f"{self._where}: a variable {getattr(variable, 'name', '')!r} of shape "
                f"{tuple(variable.shape)} was saved with shape {array.shape}"
            )
        decoder.later.append(lambda: variable.assign(array))

    def _reference(self, decoder: Decoder, node: Node, live: Any) -> Any:
        return live

    def _by_value(self, decoder: Decoder, node: Node, live: Any) -> Any:
        kind, index, name, path = node
        if self._pickles is not None:
            return self.load(index)
        if kind == "code" and callable(live):
            return live
        if kind == "code" and live is None:
            return MISSING  # perhaps on_train_begin makes it
        raise UntrustedError(
            self._where,
            f"{path} is {name}, stored by value: reading it runs code from the file. If you trust whoever "
            f"wrote it: restore_callbacks(..., trusted=True). Otherwise give callbacks that hold theirs "
            f"with into=, or make its class plain data with @stateful.",
        )

    def load(self, index: int) -> Any:
        """Run the code of one entry of the by-value section; only ever called on trust."""
        assert self._pickles is not None
        if index not in self._loaded:
            unpickler = pickle.Unpickler(io.BytesIO(self._pickles[index]))
            unpickler.persistent_load = self._persistent  # type: ignore[method-assign]
            self._loaded[index] = unpickler.load()
        return self._loaded[index]

    def _persistent(self, name: Any) -> Any:
        if name == "model" and self._model is not None:
            return self._model
        if isinstance(name, tuple) and name[1] in self._callbacks:
            return self._callbacks[name[1]]
        raise RestoreError(f"{self._where}: what was stored by value holds the {name}; pass model= or into=")


def is_variable(value: Any) -> bool:
    """Whether ``value`` is a Keras or a TensorFlow variable."""
    tensorflow = sys.modules.get("tensorflow")
    return is_keras(value, "Variable") or (
        tensorflow is not None and isinstance(value, tensorflow.Variable)
    )


def is_keras(value: Any, name: str) -> bool:
    keras: Any = sys.modules.get("keras")
    for part in name.split("."):
        keras = getattr(keras, part, None)
    return keras is not None and isinstance(value, keras)


def _is_tensor(value: Any) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and tensorflow.is_tensor(value) and hasattr(value, "numpy")


def _has_variables(value: Any) -> bool:
    kinds = ("layers.Layer", "optimizers.Optimizer", "metrics.Metric", "random.SeedGenerator")
    return any(is_keras(value, kind) for kind in kinds)


def _variables_of(value: Any) -> list[Any]:
    return [value.state] if is_keras(value, "random.SeedGenerator") else list(value.variables)


def _numpy(value: Any) -> Any:
    import numpy

    # A copy: what numpy() gives may be the variable's own memory.
    return numpy.array(value.numpy())


def places_of(model: Any) -> dict[int, tuple[str, int]]:
    """Where each variable stands: ("model" or "optimizer", 0-based index) by its ``id``."""
    places: dict[int, tuple[str, int]] = {}
    for group, owner in (("optimizer", getattr(model, "optimizer", None)), ("model", model)):
        for i, variable in enumerate(getattr(owner, "variables", ())):
            places[id(variable)] = (group, i)
            if is_variable(variable.value):  # the TensorFlow variable inside
                places[id(variable.value)] = (group, i)
    return places
