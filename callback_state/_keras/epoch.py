"""What the metrics of a model have summed up since the epoch began: in no Keras file.

A compiled metric makes its variables in the first step that it sees. Resuming inside an epoch they are made
before, without running a step: by compiling it, or as Keras itself makes them under a strategy.
"""

from __future__ import annotations

import warnings
from typing import Any

from ..exceptions import ResumeError
from .graphs import outermost
from .inventory import unnumbered
from .weights import copies_of

__all__ = ["build_metrics", "logs_of", "put_back_metrics", "take_metrics"]


def take_metrics(model: Any) -> list[tuple[str, Any]]:
    """(name, values) of each metric variable: a stack of those of each device that has its own."""
    import numpy

    return [(unnumbered(v), numpy.stack([copy.numpy() for copy in copies_of(v)])) for v in model.metrics_variables]


def logs_of(logs: Any) -> dict[str, Any]:
    """What a train step gave, as plain data; nothing for what is no dict."""
    import keras
    import numpy

    def plain(value: Any) -> Any:
        return numpy.asarray(keras.ops.convert_to_numpy(value)) if keras.ops.is_tensor(value) else value

    return keras.tree.map_structure(plain, logs) if isinstance(logs, dict) else {}


def build_metrics(model: Any, dataset: Any, number: int) -> None:
    """Let the metrics have their variables, for batches such as a data set gives.

    Args:
        model: compiled; its train function has not been called yet.
        dataset: a ``tf.data.Dataset``.
        number: how many variables there are to be.

    Raises:
        ResumeError: Keras cannot build them from shapes alone.
    """
    try:
        if len(model.metrics_variables) != number:
            _trace(model, dataset)
        if len(model.metrics_variables) != number:
            _build_compiled(model, dataset)
    except Exception as error:  # whatever somebody's model raises
        raise ResumeError(
            f"the metrics of the model cannot be built before its first step, which a resume inside an epoch "
            f"needs: {type(error).__name__}: {error}. Call model.train_on_batch(...) on a batch before "
            f"restore_callbacks(..., model=model), or resume from the end of an epoch."
        ) from error


def _build_compiled(model: Any, dataset: Any) -> None:
    """Those of ``compile``, where the step is not compiled: by the shapes of a batch."""
    import keras
    import tensorflow

    def spec(leaf: Any) -> Any:
        # What a generator leaves out is an Optional.
        return None if isinstance(leaf, tensorflow.OptionalSpec) else tensorflow.TensorSpec(leaf.shape, leaf.dtype)

    model._symbolic_build(data_batch=keras.tree.map_structure(spec, dataset.element_spec))


def _trace(model: Any, dataset: Any) -> None:
    """Compile the train step, as its first call would have done; that finds it compiled."""
    import tensorflow

    iterator = tensorflow.data.IteratorSpec(dataset.element_spec)
    for function in outermost(model.train_function):
        function.get_concrete_function(iterator)


def put_back_metrics(model: Any, taken: list[tuple[str, Any]], *, partly: bool = False) -> None:
    """The reverse of :func:`take_metrics`.

    Args:
        model: whose metrics.
        taken: their values.
        partly: whether metrics without variables are only warned of.

    Raises:
        ResumeError: the model has other metrics than the one they were taken from.
    """
    found = [(unnumbered(v), tuple(v.shape), len(copies_of(v))) for v in model.metrics_variables]
    saved = [(name, values.shape[1:], len(values)) for name, values in taken]
    if partly and len(found) < len(saved) and all(item in saved for item in found):
        missing = sorted({name for name, _, _ in saved} - {name for name, _, _ in found})
        warnings.warn(
            f"{', '.join(missing)} have no variables yet: what they had summed up in this epoch is lost. Call "
            f"model.test_on_batch(...) on a batch before restore_callbacks(..., model=model).",
            stacklevel=2,
        )
    elif found != saved:
        raise ResumeError(
            f"the metrics of the model have the variables {_spelt(found)}, those of the checkpoint were "
            f"{_spelt(saved)}: compile with the same metrics as before, on as many devices; call "
            f"model.train_on_batch(...) on a batch before restore_callbacks(..., model=model) if they are made "
            f"in the first step; or resume from the end of an epoch."
        )
    left = list(taken)
    for variable in model.metrics_variables:
        values = next(values for name, values in left if name == unnumbered(variable))
        left = [item for item in left if item[1] is not values]
        for copy, value in zip(copies_of(variable), values, strict=True):
            copy.assign(value)


def _spelt(variables: list[tuple[str, Any, int]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape, _ in variables) or "none"
