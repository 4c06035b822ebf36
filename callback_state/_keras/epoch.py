"""What Keras holds of a run that goes on: the metrics of the epoch, its last logs, the progress bar, the history.

No Keras file holds any of it. A compiled metric makes its variables in the first step that it sees. To resume
inside an epoch they are made before, and no step runs: the step is compiled, or Keras builds the metrics from the
shapes of a batch.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from .._warn import warn
from ..exceptions import ResumeError, unsupported_keras
from .backend import backend, copies_of, value_of
from .graphs import outermost
from .weights import unnumbered


def take_metrics(model: Any) -> list[tuple[str, Any]]:
    """(name, values) of each metric variable; values has one row for each device that has a copy of its own."""
    import numpy

    variables = model.metrics_variables
    return [(unnumbered(v), numpy.stack([value_of(copy) for copy in copies_of(v)])) for v in variables]


def logs_of(logs: Any) -> dict[str, Any]:
    """The result of a train step as plain data; empty if it is no dict."""
    import keras
    import numpy

    def plain(value: Any) -> Any:
        return numpy.asarray(keras.ops.convert_to_numpy(value)) if keras.ops.is_tensor(value) else value

    return keras.tree.map_structure(plain, logs) if isinstance(logs, dict) else {}


def build_metrics(model: Any, dataset: Any, number: int) -> None:
    """Make the variables of the metrics before the first step, for batches such as a data set gives."""
    if not backend().has_graphs:
        return  # Keras has made them from a first batch
    try:
        if len(model.metrics_variables) != number:
            _trace(model, dataset)
        if len(model.metrics_variables) != number:
            _build_from_shapes(model, dataset)
    except Exception as error:  # whatever a user's model raises
        raise ResumeError(
            f"the metrics of the model cannot be built before its first step, and a resume inside an epoch needs "
            f"them: {type(error).__name__}: {error}. Call model.train_on_batch(...) on a batch before "
            f"restore_callbacks(..., model=model), or resume from the end of an epoch."
        ) from error


def _build_from_shapes(model: Any, dataset: Any) -> None:
    """Where the step is not compiled: let Keras build the compiled metrics."""
    import keras
    import tensorflow

    def spec(leaf: Any) -> Any:
        # What a generator leaves out is an Optional.
        return None if isinstance(leaf, tensorflow.OptionalSpec) else tensorflow.TensorSpec(leaf.shape, leaf.dtype)

    model._symbolic_build(data_batch=keras.tree.map_structure(spec, dataset.element_spec))


def _trace(model: Any, dataset: Any) -> None:
    """Compile the train step. Its first call would do the same, and then finds it compiled."""
    import tensorflow

    function = outermost(model.train_function)
    if function is not None:
        function.get_concrete_function(tensorflow.data.IteratorSpec(dataset.element_spec))


def put_back_metrics(model: Any, taken: list[tuple[str, Any]], *, partly: bool = False) -> None:
    """Assign what :func:`take_metrics` took; with ``partly`` only warn where metrics have no variables yet."""
    import numpy

    if not all(isinstance(values, numpy.ndarray) and values.dtype.kind not in "OSUMm" for _, values in taken):
        raise ResumeError("the metrics in the checkpoint: expected arrays of numbers")
    found = [(unnumbered(v), tuple(v.shape), len(copies_of(v))) for v in model.metrics_variables]
    saved = [(name, values.shape[1:], len(values)) for name, values in taken]
    if partly and len(found) < len(saved) and all(item in saved for item in found):
        missing = sorted({name for name, _, _ in saved} - {name for name, _, _ in found})
        warn(
            f"{', '.join(missing)} have no variables yet, so their sums over this epoch are lost. Call "
            f"model.test_on_batch(...) on a batch before restore_callbacks(..., model=model)."
        )
    elif found != saved:
        raise ResumeError(
            f"the metrics of the model have the variables {_listed(found)}; in the checkpoint they are "
            f"{_listed(saved)}. Compile with the same metrics as before, on the same number of devices. If they "
            f"are made in the first step, call model.train_on_batch(...) on a batch before "
            f"restore_callbacks(..., model=model). Or resume from the end of an epoch."
        )
    left = list(taken)
    for variable in model.metrics_variables:
        values = next(values for name, values in left if name == unnumbered(variable))
        left = [item for item in left if item[1] is not values]
        for copy, value in zip(copies_of(variable), values, strict=True):
            copy.assign(value)


def _listed(variables: list[tuple[str, Any, int]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape, _ in variables) or "none"


def hand_over_logs(model: Any, saved: dict[str, Any]) -> None:
    """Let ``fit`` end its epoch with the saved logs if it runs no step in this epoch.

    ``fit`` ends an epoch with the logs of its last step, and asks the model for the metrics in them (3.7 to 3.15).
    """
    if not hasattr(type(model), "_get_metrics_result_or_logs"):
        raise unsupported_keras("fit asks the model for the logs of an epoch in another way")
    # Of the class: the model may still have ours from a fit that was killed.
    give = partial(type(model)._get_metrics_result_or_logs, model)

    def given(logs: Any) -> Any:
        del model._get_metrics_result_or_logs
        return give(logs or saved)

    model._get_metrics_result_or_logs = given


def show_progress(callbacks: list[Any], batch: int, logs: dict[str, Any], seconds: float) -> None:
    """Let Keras's progress bar start after a 0-based batch, with its logs and the seconds of the epoch so far."""
    import keras

    for callback in callbacks:
        if isinstance(callback, keras.callbacks.ProgbarLogger):
            # The bar computes the time left from its start. Without this it is wrong until the epoch ends.
            if hasattr(callback.progbar, "_start"):
                callback.progbar._start -= seconds
            callback.on_train_batch_end(batch, dict(sorted(logs.items())))


def history_of(model: Any) -> dict[str, Any]:
    """The model's History callback as plain data: ``epochs`` (0-based), and ``series`` by name."""
    history = getattr(model, "history", None)
    return {
        "epochs": list(getattr(history, "epoch", ())),
        "series": {name: list(values) for name, values in getattr(history, "history", {}).items()},
    }


def put_back_history(model: Any, saved: dict[str, Any]) -> None:
    """Let the History callback of the running ``fit`` go on from ``saved``; a hand-written loop may have none."""
    history = getattr(model, "history", None)
    if history is None:
        return
    history.epoch = list(saved["epochs"])
    history.history.clear()
    history.history.update({name: list(v) for name, v in saved["series"].items()})
