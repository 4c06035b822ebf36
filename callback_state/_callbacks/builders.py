"""Putting back what a callback holds that is not plain: variables, parts of the model, code.

The encoder's fallback (:mod:`.by_value`) makes nodes of these kinds, and the builders read them:

    variable   a Keras or TensorFlow variable: its value, or its place in the model
    tensor     an eager tensor: its value
    variables  a model, layer, optimizer or metric of the callback's own: the values of its variables
    reference  a part of the model, or another callback: the live callback's object is kept
    code       a function or class: pickled by value, and read only if the live callback has none
    value      any other object: pickled by value, and read only from a trusted file

Code and objects that were as the constructor had made them have True at the end: the live callback's are kept. If
it has none yet, ``set_model`` is to make them again, and only a trusted file is asked.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from typing import Any

from .._format.decode import Decoder
from .._format.opener import Opener
from .._format.table import MISSING, Node
from .._keras.backend import backend, is_variable, value_of
from .._keras.classes import has_variables, variables_in
from .._warn import warn
from ..exceptions import RestoreError, UntrustedError
from .arguments import describe
from .capture import line_to_exclude
from .stateful import PARTS

#: An attribute, or a place in its lists and dicts.
_IN_AN_ATTRIBUTE = re.compile(r"[^\W\d]\w*(\[.*\])*", re.DOTALL)


class ModelVariable:
    """A placeholder for the variable of a model that does not exist yet. ``fit`` replaces it.

    It is no dataclass, because a dataclass is plain data and would not be replaced.
    """

    def __init__(self, group: str, index: int) -> None:
        self.group, self.index = group, index

    def resolve(self, model: Any) -> Any:
        owner = model if self.group == "model" else model.optimizer
        return owner.variables[self.index]


class Builders(dict[str, Callable[[Decoder, Node, Any], Any]]):
    """The decoder's builders. ``where`` is the state file, for errors; without a model its variables wait."""

    def __init__(self, where: str, model: Any, opener: Opener | None, callbacks: dict[str, Any]) -> None:
        super().__init__(
            variable=self._variable,
            tensor=lambda decoder, node, live: backend().tensor(decoder.ref(node[1])),
            variables=self._variables,
            reference=lambda decoder, node, live: live,
            code=self._by_value,
            value=self._by_value,
        )
        self._where, self._model, self._opener = where, model, opener
        self._callbacks = callbacks

    def _variable(self, decoder: Decoder, node: Node, live: Any) -> Any:
        _, value, group, which = node
        if group is not None:
            place = ModelVariable(group, which)
            return place if self._model is None else place.resolve(self._model)
        array = decoder.ref(value)
        if is_variable(live) and decoder.claim(live) is live:
            self._assign(decoder, live, array)
            return live
        if which.startswith("tensorflow."):
            return backend().raw_variable(array)
        import keras

        return keras.Variable(array, dtype=str(array.dtype))

    def _variables(self, decoder: Decoder, node: Node, live: Any) -> Any:
        _, name, arrays = node
        # Two objects that were different cannot both be put into one.
        variables = variables_in(live) if has_variables(live) and decoder.claim(live) is live else []
        if len(variables) != len(arrays):
            raise RestoreError(
                f"{self._where}: {name} was saved with {len(arrays)} variables, and in its place is "
                f"{describe(live)} now. Build it in the constructor as before, or leave it out with "
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
        decoder.later.append(lambda: _exchange(variable, array))

    def _tell_of_another(self, name: Any, path: Any, live: Any) -> None:
        """Warn where the live callback has something else than was saved; it is kept."""
        if str(name).rpartition(".")[2] != describe(live).rpartition(".")[2]:
            warn(
                f"{self._where}: {path} was {name}, and is {describe(live)} here, which is kept. If training "
                f"switches it, store a name or a number instead, or pass trusted=True."
            )

    def _by_value(self, decoder: Decoder, node: Node, live: Any) -> Any:
        kind, index, name, path, *is_made = node
        own = [path[len(key) + 1 :] for key in self._callbacks if path.startswith(f"{key}.")]
        if is_made == [True] and live is not None and live is not MISSING:
            self._tell_of_another(name, path, live)
            return live
        if self._opener is not None and self._opener.allows(index):
            return self.load(index)
        if kind == "code" and (callable(live) or isinstance(live, types.ModuleType)):
            self._tell_of_another(name, path, live)
            return live
        if kind == "code" and live is None and any(map(str.isidentifier, own)):
            return MISSING  # an attribute, which on_train_begin may make
        if is_made == [True]:
            if any(map(_IN_AN_ATTRIBUTE.fullmatch, own)):
                return MISSING  # set_model may make it
            raise RestoreError(
                f"{self._where}: {path} was {name}, as the constructor made it, and nothing is in its place now. "
                f"Make it in the constructor as before, or leave it out with exclude=."
            )
        raise UntrustedError(
            self._where,
            f"{path} is {name}, which is stored by value: reading it runs code from the file. If you trust the "
            f"writer of the file, call restore_callbacks(..., trusted=True). Otherwise decorate its class with "
            f"@stateful, or leave it out with exclude= and make it in the constructor (into=)"
            f"{self._line(decoder, path)}.",
        )

    def _line(self, decoder: Decoder, path: Any) -> str:
        """The line that leaves out all attributes of this callback that only a trusted file gives back."""
        for key, callback in self._callbacks.items():
            if str(path).startswith(f"{key}."):
                paths = [str(node[3]) for node in decoder.table.nodes if node[0] == "value" and len(node) > 3]
                return f": {line_to_exclude(key, callback, paths)}"
        return ""

    def load(self, index: int) -> Any:
        """Run the code of one entry of the by-value section. It is only called for a trusted file."""
        assert self._opener is not None
        return self._opener.open(index, self._persistent)

    def _persistent(self, name: Any) -> Any:
        if name == "model" and self._model is not None:
            return self._model
        match name:
            case ("callback", key) if key in self._callbacks:
                return self._callbacks[key]
            case ("stateful", part) if part in PARTS:
                return PARTS[part]
        held = "model" if name == "model" else f"callback {name[-1]}"
        raise RestoreError(
            f"{self._where}: an object that is stored by value holds the {held}; pass model= or into="
        )


def _exchange(variable: Any, array: Any) -> Callable[[], None]:
    """Assign; returns what puts the former value back."""
    before = value_of(variable)
    variable.assign(array)
    return lambda: variable.assign(before)
