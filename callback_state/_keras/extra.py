"""The extra variables of a model: those that its file does not hold exactly. The state file holds them.

Keras's saving walks over the parts of a model and asks each for what to save. A part may save something else than
its variables: Keras's own ``Dense`` merges LoRA matrices into its kernel, and a class of the user may save
anything. Other variables are in no part that Keras visits: the states of seed generators and of recurrent layers,
variables of the backend itself, optimizers in a set. So a variable counts as held only if a part that Keras visits
saves this very variable, and if no class of the user decides what is saved. All others are extra.
"""

from __future__ import annotations

import weakref
from typing import Any

from .._store.pair import MODEL_SUFFIXES
from .._warn import warn
from ..exceptions import unsupported_keras
from .backend import backend, copies_of, value_of
from .classes import is_keras, is_overridden
from .reach import Reach

#: Where Keras (3.7 to 3.15) holds the metrics that were given to ``compile``.
_COMPILED = "_compile_metrics"
_METHODS = ("save_own_variables", "load_own_variables")
#: For each model and ending: its variables when they were looked at, and the ids of those that the file holds.
_known: weakref.WeakKeyDictionary[Any, dict[str, tuple[list[Any], set[int]]]] = weakref.WeakKeyDictionary()


def extra_of(model: Any, reach: Reach, path: str) -> dict[str, Any]:
    """The variables that a file of this model does not hold, by their paths; those of the metrics are left out.

    Args:
        model: the model, or a stand-in for one.
        reach: what can be reached from it now.
        path: the file; only its ending counts.
    """
    ending = next(e for e in MODEL_SUFFIXES if path.endswith(e))
    of_model = _known.setdefault(model, {})
    now = [*reach.variables.values()]
    if ending not in of_model or not _are(of_model[ending][0], now):
        of_model[ending] = [weakref.ref(v) for v in now], _held(model, reach, ending)
    counted = [*getattr(model, "metrics_variables", ()), *_of_compiled_metrics(model)]
    left_out = of_model[ending][1].union(map(id, counted))
    return {path: variable for path, variable in reach.variables.items() if id(variable) not in left_out}


def _of_compiled_metrics(model: Any) -> list[Any]:
    """The variables of the metrics given to ``compile``, which Keras lists only after the first step."""
    return [*Reach(getattr(model, _COMPILED, None)).variables.values()]


def _are(references: list[Any], now: list[Any]) -> bool:
    return len(references) == len(now) and all(ref() is v for ref, v in zip(references, now, strict=True))


def _held(model: Any, reach: Reach, ending: str) -> set[int]:
    """The ids of the variables that Keras saves as they are in a file with this ending."""
    method = "save_weights" if ending == ".weights.h5" else "save"
    if not is_keras(model, "layers.Layer") or is_overridden(model, method):
        return set()
    if ending == ".h5":  # here Keras asks no part
        return {*map(id, (*model.weights, *getattr(model.optimizer, "variables", ())))}
    try:
        from keras.src.saving.saving_lib import _save_state
    except ImportError as error:
        raise unsupported_keras(f"its saving does not walk over a model ({error})") from error
    visited: set[int] = set()
    _save_state(model, None, None, "", visited)
    held: set[int] = set()
    for part in reach.objects:
        if id(part) not in visited or not hasattr(part, _METHODS[0]):
            continue
        if not any(is_overridden(part, method) for method in _METHODS):
            held.update(_held_by(part))
    return held


def _held_by(part: Any) -> set[int]:
    """The ids of the variables that one part of Keras saves as they are."""
    import keras

    if is_keras(part, "layers.TorchModuleWrapper"):  # it saves all that torch counts as the state of its module
        buffers = (buffer for module in part.module.modules() for buffer in backend().buffers(module).values())
        return {*map(id, part.variables), *map(id, buffers)}
    own = [*part.variables]
    if is_keras(part, "layers.Layer"):  # without those of the layers in it
        own = [*part._trainable_variables, *part._non_trainable_variables]
    bases = (keras.layers.Layer, keras.optimizers.Optimizer, keras.metrics.Metric)
    if any(type(part).save_own_variables is getattr(base, "save_own_variables", None) for base in bases):
        return {*map(id, own)}
    saved: dict[str, Any] = {}
    part.save_own_variables(saved)
    return {*map(id, own)} & {*map(id, saved.values())}


def take_extra(model: Any, path: str, reach: Reach | None = None) -> dict[str, Any]:
    """The values of the extra variables, where a model file is written to this path; and how optimizers are built.

    ``reach`` is what can be reached from the model now, where that is known already.

    Returns:
        ``paths`` and ``values``: variables of one shape and dtype are stacked in one array.
        ``replicas``: the stacked copies of each variable that differs from device to device (the averages of batch
        normalization), by its 0-based index in ``model.non_trainable_variables``.
        ``trained``: the paths of the variables of each optimizer that is built, by the path of the optimizer; the
        optimizer of ``compile`` only if it does not train all of the model.
    """
    import numpy

    reach = reach or Reach(model)
    groups: dict[Any, dict[str, Any]] = {}
    for name, variable in extra_of(model, reach, path).items():
        value = value_of(variable)
        groups.setdefault((value.dtype.name, value.shape), {})[name] = value
    return {
        "paths": [[*group] for group in groups.values()],
        "values": [numpy.stack([*group.values()]) for group in groups.values()],
        "replicas": _take_replicas(model),
        "trained": _trained(model, reach),
    }


def put_back_extra(
    model: Any, taken: dict[str, Any], path: str, reach: Reach | None = None, *, warns: bool = True
) -> None:
    """Assign what :func:`take_extra` took for a model file at this path.

    ``reach`` is what can be reached from the model now, where that is known already. ``warns``: name what cannot
    be put back; False where this has been done before.

    Raises:
        ValueError: the model has more or fewer extra variables, or one has another shape or dtype. Nothing has
            changed.
    """
    import numpy

    reach = reach or Reach(model)
    variables = reach.variables
    new = extra_of(model, reach, path).keys() - {name for names in taken["paths"] for name in names}
    if new:
        raise ValueError(f"the model has a variable {min(new)} now, which is not in the checkpoint")
    pairs, begin_anew = [], []
    for names, values in zip(taken["paths"], taken["values"], strict=True):
        if not isinstance(values, numpy.ndarray):
            raise ValueError(f"the extra variables: expected arrays, found {type(values).__name__}")
        for name, value in zip(names, values, strict=True):
            if name not in variables and _COMPILED in name:  # those of a model inside, before its first step
                begin_anew.append(name)
                continue
            if name not in variables:
                raise ValueError(f"the model has no variable {name} now, which is in the checkpoint")
            now = value_of(variables[name])
            if _are_seeds(now, value):
                value = value.astype(now.dtype)
            if (now.shape, now.dtype) != (value.shape, value.dtype):
                raise ValueError(
                    f"{name}: expected shape {value.shape} and {value.dtype}, found {now.shape} and {now.dtype}"
                )
            pairs.append((variables[name], value))
    if begin_anew and warns:
        warn(
            f"{', '.join(begin_anew)}: these metrics of inner models are in the checkpoint. A model makes them in "
            f"its first step. They begin anew."
        )
    for variable, value in pairs:
        variable.assign(value)
    _put_back_replicas(model, taken["replicas"], warns=warns)


def _are_seeds(now: Any, value: Any) -> bool:
    """Whether these may be the states of seed generators, which have other integers on each backend."""
    are_integers = all(a.dtype.kind in "iu" and a.dtype.itemsize >= 4 for a in (now, value))
    return are_integers and bool((value == value.astype(now.dtype)).all())


# Optimizers.


def _trained(model: Any, reach: Reach) -> dict[str, list[str]]:
    paths = {id(variable): path for path, variable in reach.variables.items()}
    trained = {}
    for path, optimizer in reach.optimizers.items():
        own = _variables_of(optimizer)
        if optimizer is getattr(model, "optimizer", None) and [*map(id, own)] == [
            *map(id, model.trainable_variables)
        ]:
            continue
        if optimizer.built:
            trained[path] = [paths[id(v)] for v in own if id(v) in paths]
    return trained


def _variables_of(optimizer: Any) -> list[Any]:
    """The variables that an optimizer trains (Keras 3.7 to 3.15)."""
    return [*getattr(optimizer, "inner_optimizer", optimizer)._trainable_variables]


def build_optimizers(model: Any, trained: dict[str, list[str]]) -> None:
    """Build the optimizers of a model for the variables that they trained when the model was saved.

    Raises:
        ValueError: the model has no such optimizer or variable.
    """
    reach = Reach(model if trained else None)  # nearly always there is nothing to build
    for path, names in trained.items():
        missing = [name for name in names if name not in reach.variables]
        if path not in reach.optimizers or missing:
            raise ValueError(f"the model has no {missing[0] if missing else f'optimizer {path}'} now")
        if not reach.optimizers[path].built:
            with backend().scope(model):
                reach.optimizers[path].build([reach.variables[name] for name in names])


# Devices.


def _take_replicas(model: Any) -> dict[int, Any]:
    import numpy

    taken = {}
    for i, variable in enumerate(model.non_trainable_variables):
        copies = copies_of(variable)
        values = [value_of(copy) for copy in copies] if len(copies) > 1 else []
        if any(value.tobytes() != values[0].tobytes() for value in values):
            taken[i] = numpy.stack(values)
    return taken


def _put_back_replicas(model: Any, taken: dict[int, Any], *, warns: bool) -> None:
    for i, values in taken.items():
        copies = copies_of(model.non_trainable_variables[i])
        if len(copies) != len(values):
            if warns:
                warn(
                    f"the run that is resumed was on {len(values)} devices, this one is on {len(copies)}. Values "
                    f"that each device has for itself (the averages of batch normalization) are those of the "
                    f"first device."
                )
            return
        for copy, value in zip(copies, values, strict=True):
            copy.assign(value)
