"""What the metrics of a model have summed up since the epoch began: in no Keras file.

A compiled metric makes its variables in the first step that it sees. Resuming inside an epoch they are
made before, as Keras itself makes them under a strategy: from the shapes of a batch, without running it.
"""

from __future__ import annotations

from typing import Any

from ._runstate import copies_of
from .exceptions import ResumeError

__all__ = ["build_metrics", "logs_of", "put_back_metrics", "take_metrics"]


def take_metrics(model: Any) -> list[Any]:
    """One stack of values per metric variable: those of each device that has its own."""
    import numpy

    return [numpy.stack([copy.numpy() for copy in copies_of(v)]) for v in model.metrics_variables]


def logs_of(logs: Any) -> dict[str, Any]:
    """What a train step gave, as plain data; nothing for what is no dict."""
    import keras
    import numpy

    def plain(value: Any) -> Any:
        return numpy.asarray(keras.ops.convert_to_numpy(value)) if keras.ops.is_tensor(value) else value

    return keras.tree.map_structure(plain, logs) if isinstance(logs, dict) else {}


def build_metrics(model: Any, dataset: Any) -> None:
    """Let the metrics have their variables, for batches such as a ``tf.data.Dataset`` gives.

    Raises:
        ResumeError: Keras cannot build them from shapes alone.
    """
    import keras
    import tensorflow

    def spec(leaf: Any) -> Any:
        # What a generator leaves out is an Optional.
        return None if isinstance(leaf, tensorflow.OptionalSpec) else tensorflow.TensorSpec(leaf.shape, leaf.dtype)

    try:
        batch = keras.tree.map_structure(spec, dataset.element_spec)
        model._symbolic_build(data_batch=batch)
    except Exception as error:  # whatever somebody's model raises
        raise ResumeError(
            f"the metrics of the model cannot be built before its first step, which a resume inside an epoch "
            f"needs: {type(error).__name__}: {error}. Call model.train_on_batch(...) on a batch before "
            f"restore_callbacks(..., model=model), or resume from the end of an epoch."
        ) from error


def put_back_metrics(model: Any, taken: list[Any]) -> None:
    """The reverse of :func:`take_metrics`.

    Raises:
        ResumeError: the model has other metrics than the one they were taken from.
    """
    variables = model.metrics_variables
    found = [(tuple(v.shape), len(copies_of(v))) for v in variables]
    saved = [(values.shape[1:], len(values)) for values in taken]
    if found != saved:
        raise ResumeError(
            f"the metrics of the model have {len(found)} variables of shapes {[s for s, _ in found]}, those of "
            f"the checkpoint were {len(saved)} of shapes {[s for s, _ in saved]}: compile with the same "
            f"metrics as before, on as many devices, or resume from the end of an epoch."
        )
    for variable, values in zip(variables, taken, strict=True):
        for copy, value in zip(copies_of(variable), values, strict=True):
            copy.assign(value)
