"""What changes while training runs and is not saved: named in a warning, and in the next checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .._callbacks.capture import BASE, excluded_of, is_registered
from .._callbacks.stock import adapter_of
from .._checkpoints.doubt import BEGINS_ANEW, Doubt
from .._format.blocks import Blocks
from .._format.classes import attributes
from .._format.encode import Encoder
from .._format.table import SCALARS, PlainError
from .._input.doubts import of_shared
from .._input.own_loop import of_variables
from .._keras.backend import backend, backend_variables_of, is_variable, value_of
from .._keras.classes import has_variables, is_keras
from .._keras.fit import running_frame
from .._keras.graphs import compiled
from .._keras.randomness import keras_generator
from .._keras.reach import Reach
from .._keras.tensorflow_random import tensorflow_generator
from .._keras.written import written_by
from .._warn import warn
from .behind import Behind


class Unsaved:
    """The callbacks of a ``fit`` as they were when training began, and a doubt for each that has changed so far.

    All attributes of a callback that is not registered are watched. Of a stock callback the arguments of its
    constructor are watched: they count as configuration, and are not saved even if they change. Of every callback
    that is registered, so is what its functions hold, such as the list that a lambda appends to. The variables
    that the train step writes, and that belong to nobody, are one doubt more. So is each container of ``shared``,
    by ``Class.attribute``, which a Python generator reads too.
    """

    def __init__(self, callbacks: list[Any], shared: dict[str, Any] | None = None) -> None:
        self._callbacks = callbacks
        self._shared = {name: (value, _print_of(value)) for name, value in (shared or {}).items()}
        self._behind = Behind(callbacks)
        self._before = {id(c): self._watched(c) for c in callbacks}
        self._untold: list[Doubt] = []
        self._has_looked = False
        self.found: list[Doubt] = []

    def look(self) -> None:
        """Find the callbacks that have changed since training began."""
        for callback in self._callbacks:
            before = self._before.get(id(callback))
            if before is None:
                continue
            now = self._watched(callback)
            changed = sorted(name for name in now if now[name] != before.get(name))
            if changed:
                del self._before[id(callback)]
                self._add(_doubt(callback, changed))
        changed = [name for name, (value, before) in self._shared.items() if _print_of(value) != before]
        for name in changed:
            del self._shared[name]
            self._add(of_shared(name))

    def look_at_step(self, model: Any) -> None:
        """Find the variables that the compiled train step writes, and that belong neither to the model nor to a
        callback. Nothing is found in a step that runs eagerly."""
        if not backend().has_graphs:
            return
        written = {id(v): v for function in compiled(model.train_function) for v in written_by(function)}
        for variables in self._saved_variables(model):
            for copy in (copy for v in variables for copy in backend_variables_of(v)):
                written.pop(id(copy), None)
            if not written:
                return
        names = dict.fromkeys(v.name.partition(":")[0] for v in written.values())
        self._add(
            Doubt(
                f"the train step writes {len(names)} variables that cannot be reached from the model, and are "
                f"not saved: {', '.join(names)}",
                "keep them in an attribute of the model, or in a list or dict in one",
                BEGINS_ANEW,
            )
        )

    def _saved_variables(self, model: Any) -> Iterator[Iterable[Any]]:
        """The variables that are saved: first those that Keras knows, which nearly always are all."""
        yield model.variables
        yield getattr(getattr(model, "optimizer", None), "variables", ())
        owners = [model, *map(attributes, self._callbacks), tensorflow_generator(), keras_generator()]
        yield Reach(owners).variables.values()

    def look_at_loop(self, model: Any) -> None:
        """Find what a training loop of one's own has in its variables that is not the same after a restart."""
        if not self._has_looked:
            for doubt in of_variables(running_frame(model).f_locals):
                self._add(doubt)
        self._has_looked = True

    def _add(self, doubt: Doubt) -> None:
        self.found.append(doubt)
        self._untold.append(doubt)

    def _watched(self, callback: Any) -> dict[str, str]:
        values = attributes(callback)
        if is_registered(callback):
            adapter, _ = adapter_of(type(callback))
            arguments = () if adapter is None else adapter.arguments
            # Keras turns the sign of min_delta when it decides whether smaller or larger is better.
            names = [name for name in arguments if name in values and name != "min_delta"]
            excluded = excluded_of(callback)
            held = {
                what: text for what, text in self._behind.of(callback).items() if what.split()[0] not in excluded
            }
            return {**{name: _print_of(values[name]) for name in names}, **held}
        names = [name for name in values if not name.startswith("_callback_state_") and name not in BASE]
        return {name: _print_of(values[name]) for name in names}

    def warn(self) -> None:
        """Warn of each thing that was found, once."""
        while self._untold:
            warn(str(self._untold.pop(0)))


def _doubt(callback: Any, changed: list[str]) -> Doubt:
    name, listed = type(callback).__name__, ", ".join(changed)
    held = [one for one in changed if " (its " in one]
    if held:
        return Doubt(
            f"{name}.{', '.join(held)} changed while training ran, and what a function holds is not saved: a "
            f"resumed run will not have it",
            "keep it in an attribute of a callback of your own with @stateful, and let its method do the work",
            BEGINS_ANEW,
        )
    if is_registered(callback):
        return Doubt(
            f"{name}.{listed} changed while training ran, and configuration of a stock callback is not saved: a "
            f"resumed run will have what the constructor is given",
            "derive a class that keeps it in an attribute of another name, or set it in on_train_begin",
            BEGINS_ANEW,
        )
    return Doubt(
        f"{name} is not saved with the checkpoint, and its {listed} changed while training ran: a resumed run "
        f"will not have it",
        f"write @stateful above class {name}, or pass stateful({name}(...)); if it need not be saved, "
        f"@stateful(exclude=({changed[0]!r},))",
        BEGINS_ANEW,
    )


def _opaque(encoder: Encoder, value: Any, path: str) -> tuple[Any, ...]:
    """A variable as its value, another object as those of its attributes that are plain."""
    if is_variable(value):
        return ("variable", encoder.ref(value_of(value), path))
    if is_keras(value, "callbacks.Callback") or has_variables(value):
        return ("other", id(value))  # the model, or a callback that is watched itself
    plain = {n: v for n, v in attributes(value).items() if type(v) in SCALARS or is_variable(v)}
    return ("other", id(value), encoder.pairs(sorted(plain.items()), path, "."))


def _print_of(value: Any) -> str:
    """A text that changes when the value does. A value that is not plain is compared by identity."""
    blocks = Blocks()
    try:
        table = Encoder(_opaque, canonical=True, blocks=blocks).table(value)
        return repr((table, [block.digest for block in blocks.all]))
    except PlainError:
        return f"id {id(value)}"
