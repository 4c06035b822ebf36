"""Copies of the attributes of callbacks and models at one moment of a run, to compare them later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..._callbacks.arguments import describe
from ..._callbacks.capture import BASE, excluded_of, keyed
from ..._callbacks.stock import adapter_of
from ..._format.classes import attributes
from ..._format.decode import Decoder
from ..._format.encode import Encoder
from ..._format.table import Node, PlainError, Table
from ..._keras.backend import is_tensor, is_variable, value_of
from ..simulation.standin import values_of
from .difference import difference


@dataclass(frozen=True)
class Value:
    """A copy of one attribute as plain data; a value that is not plain is only described in words."""

    table: Table

    def difference(self, expected: Value, path: str) -> str | None:
        if repr((self.table.nodes, self.table.root)) == repr((expected.table.nodes, expected.table.root)):
            return None
        text = difference(self.value(), expected.value(), path)
        return text or f"{path} is {self.shown}, expected {expected.shown}"

    def value(self) -> Any:
        try:
            return Decoder(self.table, find_class=_no_class, builders={"other": _Other}).value()
        except PlainError:
            return _Other(None, ("other", "an object"), None)

    @property
    def shown(self) -> str:
        return f"{self.value()!r:.80}"


#: For each callback's key its attributes by name.
Look = dict[str, dict[str, Value]]


class _Other:
    """Stands for a value that is not plain."""

    def __init__(self, decoder: Any, node: Node, live: Any) -> None:
        self.what = node[1]

    def __repr__(self) -> str:
        return f"<{self.what}>"


def _no_class(name: str, live: Any) -> type:
    raise PlainError("", name)


def look(callbacks: list[Any]) -> Look:
    """Copy all attributes of callbacks, but those of Keras's base class and those that are excluded."""
    found: Look = {}
    for key, callback in keyed(callbacks).items():
        adapter, _ = adapter_of(type(callback))
        apart = BASE | excluded_of(callback) | set(adapter.other if adapter is not None else ())
        found[key] = {n: _value(v) for n, v in attributes(callback).items() if n not in apart}
    return found


def look_at_model(model: Any) -> dict[str, Value]:
    """Copy what a model or its stand-in holds: all variables, the learning rate, and public Python numbers."""
    rate = getattr(model.optimizer, "learning_rate", None)
    found = {} if rate is None else {"learning_rate": _value(value_of(rate))}
    numbers = _numbers(model.optimizer, "optimizer")
    for i, layer in enumerate(model.layers):
        numbers.update(_numbers(layer, f"layers[{i}]"))
        numbers[f"layers[{i}].trainable"] = _value(layer.trainable)
    return {**found, **numbers, "values": _value(values_of(model))}


def _numbers(owner: Any, path: str) -> dict[str, Value]:
    """The public Python numbers of a part of the model; no checkpoint saves them."""
    return {
        f"{path}.{name}": _value(value)
        for name, value in vars(owner).items()
        if type(value) in (bool, int, float) and not name.startswith("_")
    }


def _value(value: Any) -> Value:
    encoder = Encoder(_other, canonical=True)
    try:
        return Value(encoder.table(value))
    except PlainError as error:
        return Value(Encoder().table(str(error)))


def _other(encoder: Encoder, value: Any, path: str) -> Node:
    if is_variable(value) or is_tensor(value):
        return ("list", [encoder.ref(value_of(value), path)])
    return ("other", describe(value))
