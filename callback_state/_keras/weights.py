"""What a run consists of besides the model file and the callbacks: variables by digest, seeds, history."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from ..exceptions import unsupported_keras
from .fingerprint import fingerprint

__all__ = [
    "copies_of",
    "digest_of",
    "history_of",
    "iterations_of",
    "layers_of",
    "optimizers_of",
    "put_back_history",
    "put_back_seeds",
    "put_back_variables",
    "take_seeds",
    "take_variables",
    "variables_of",
]


def variables_of(model: Any) -> list[Any]:
    """The variables that a checkpoint's model file holds: weights, then those of all its optimizers."""
    import keras

    own = [o for o in vars(model).values() if isinstance(o, keras.optimizers.Optimizer)]
    optimizers = {id(o): o for o in (getattr(model, "optimizer", None), *own) if o is not None}
    return [*model.weights, *(v for o in optimizers.values() for v in o.variables)]


def digest_of(model: Any) -> str:
    """The fingerprint of :func:`variables_of`, and the class of the optimizer that they mean something to.

    Names of variables are left out: Keras numbers its layers by process, not by model.
    """
    return "-".join([fingerprint(_values(variables_of(model))), *optimizers_of(model)])


def optimizers_of(model: Any) -> list[str]:
    """The names of the classes of the model's optimizer, and of the one inside it."""
    optimizer = getattr(model, "optimizer", None)
    inner = getattr(optimizer, "inner_optimizer", None)
    return [type(o).__name__ for o in (optimizer, inner) if o is not None]


def _values(variables: list[Any]) -> Iterator[Any]:
    """The values, on a CPU without a copy; valid until the next assignment."""
    import numpy
    import tensorflow

    for variable in variables:
        yield numpy.asarray(tensorflow.convert_to_tensor(variable))


def iterations_of(model: Any) -> int:
    """How many steps the optimizer has taken."""
    optimizer = getattr(model, "optimizer", None)
    return 0 if optimizer is None else int(optimizer.iterations.numpy())


def take_variables(model: Any) -> list[tuple[Any, Any]]:
    """(variable, copy of its value) for every variable of the model and its optimizer."""
    import numpy

    seen = {id(v): v for v in (*model.variables, *variables_of(model))}
    return [(v, numpy.array(v.numpy())) for v in seen.values()]


def put_back_variables(taken: list[tuple[Any, Any]]) -> None:
    for variable, value in taken:
        variable.assign(value)


def layers_of(model: Any) -> list[Any]:
    """A model and all layers in it, however deep; of what only stands for a model none.

    Raises:
        ResumeError: Keras (3.7 to 3.15: ``Layer._flatten_layers``) does not tell.
    """
    import keras

    if hasattr(model, "_flatten_layers"):
        return [*model._flatten_layers()]
    if isinstance(model, keras.layers.Layer):
        raise unsupported_keras("a layer does not tell the layers in it")
    return []


def _seed_variables(model: Any) -> list[Any]:
    """The model's variables that no Keras file holds: the states of its SeedGenerators, and what a
    ``stateful=True`` recurrent layer remembers from batch to batch, which Keras counts as no variable."""
    import keras

    others = {id(v) for v in (*model.weights, *model.metrics_variables)}
    states = [s for layer in layers_of(model) for s in keras.tree.flatten(getattr(layer, "states", None))]
    remembered = [s for s in states if isinstance(s, keras.Variable)]
    losses = keras.tree.flatten(getattr(model, "loss", None))  # which Keras does not look into
    held = [value for loss in losses for value in getattr(loss, "__dict__", {}).values()]
    drawn = [value.state for value in held if isinstance(value, keras.random.SeedGenerator)]
    found = {id(v): v for v in (*model.variables, *remembered, *drawn)}
    return [v for v in found.values() if id(v) not in others]


def take_seeds(model: Any) -> dict[str, Any]:
    """What the model's variables hold and no Keras file does.

    Returns:
        ``seeds``: the states of its SeedGenerators, those of one shape and dtype stacked in one array;
        ``replicas``: by 0-based index among ``model.non_trainable_variables``, the stacked copies of a
        variable that each device of a strategy has for itself (the averages of batch normalisation).
    """
    import numpy

    groups: dict[Any, list[Any]] = {}
    for variable in _seed_variables(model):
        value = variable.numpy()
        groups.setdefault((value.dtype.name, value.shape), []).append(value)
    return {"seeds": [numpy.stack(values) for values in groups.values()], "replicas": _take_replicas(model)}


def put_back_seeds(model: Any, taken: dict[str, Any]) -> None:
    """The reverse of :func:`take_seeds`.

    Raises:
        ValueError: the model has other seed generators than the one they were taken from.
    """
    groups: dict[Any, list[Any]] = {}
    for variable in _seed_variables(model):
        groups.setdefault((variable.numpy().dtype.name, tuple(variable.shape)), []).append(variable)
    found = [(dtype, (len(vs), *shape)) for (dtype, shape), vs in groups.items()]
    saved = [(array.dtype.name, array.shape) for array in taken["seeds"]]
    if found != saved:
        raise ValueError(f"the model's seed generators are {found}, the checkpoint has {saved}")
    for variables, array in zip(groups.values(), taken["seeds"], strict=True):
        for variable, value in zip(variables, array, strict=True):
            variable.assign(value)
    _put_back_replicas(model, taken["replicas"])


def copies_of(variable: Any) -> tuple[Any, ...]:
    """The variable's copies, one on each device of a strategy; itself where there is only one."""
    return tuple(getattr(variable.value, "values", (variable,)))


def _take_replicas(model: Any) -> dict[int, Any]:
    import numpy

    taken = {}
    for i, variable in enumerate(model.non_trainable_variables):
        values = [copy.numpy() for copy in copies_of(variable)]
        if any(value.tobytes() != values[0].tobytes() for value in values):
            taken[i] = numpy.stack(values)
    return taken


def _put_back_replicas(model: Any, taken: dict[int, Any]) -> None:
    for i, values in taken.items():
        copies = copies_of(model.non_trainable_variables[i])
        if len(copies) != len(values):
            warnings.warn(
                f"the run that is resumed was on {len(values)} devices, this one is on {len(copies)}: "
                f"what each had for itself (the averages of batch normalisation) is that of the first.",
                stacklevel=2,
            )
            return
        for copy, value in zip(copies, values, strict=True):
            copy.assign(value)


def history_of(model: Any) -> dict[str, Any]:
    """``epochs`` (0-based) and one list per series, from the model's History callback."""
    history = getattr(model, "history", None)
    return {
        "epochs": list(getattr(history, "epoch", ())),
        "series": {name: list(values) for name, values in getattr(history, "history", {}).items()},
    }


def put_back_history(model: Any, saved: dict[str, Any]) -> None:
    """Let the History callback of the running ``fit`` go on from ``saved``; a loop of one's own may have none."""
    history = getattr(model, "history", None)
    if history is None:
        return
    history.epoch = list(saved["epochs"])
    history.history.clear()
    history.history.update({name: list(v) for name, v in saved["series"].items()})
