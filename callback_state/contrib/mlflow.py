"""``mlflow.keras.MlflowCallback``: all restarts log into one run."""

from __future__ import annotations

import os
from typing import Any

from .._callbacks.adapter import adapter
from .common import Logged, check_run, noted

#: The options of ``mlflow.start_run`` that a run takes which is there already.
_AGAIN = frozenset({"nested", "parent_run_id", "tags", "description", "log_system_metrics"})


def register() -> None:
    """Describe ``mlflow.keras.MlflowCallback``. ``start_run`` does this too.

    Example:
        >>> from callback_state import contrib
        >>> contrib.mlflow.register()
    """
    from mlflow.keras import MlflowCallback

    adapter(MlflowCallback, state=(), outside=_outside, wind_back=_wind_back)


def start_run(path: str | os.PathLike[str], *, key: Any = None, **options: Any) -> Any:
    """Open the run of the newest checkpoint again, or start a new run. It takes the place of ``mlflow.start_run``.

    Args:
        path: the directory of the checkpoints, as for ``restore_callbacks``.
        key: as for ``restore_callbacks``.
        options: of ``mlflow.start_run``. A run that is there already keeps its name and its experiment.

    Returns:
        The ``mlflow.ActiveRun``, for ``with``.

    Raises:
        CorruptCheckpointError, MismatchError, UnsupportedFormatError, UntrustedError: as
            :func:`callback_state.peek`.

    Example:
        >>> import mlflow
        >>> from callback_state import contrib
        >>> with contrib.mlflow.start_run("ckpt", run_name="first") as run:
        ...     run.info.run_name
        'first'
    """
    import mlflow

    register()
    taken = noted(path, "mlflow", key=key)
    if taken is None:
        return mlflow.start_run(**options)
    again = {name: value for name, value in options.items() if name in _AGAIN}
    return mlflow.start_run(run_id=taken["run"], **again)


def _outside(callback: Any) -> dict[str, Any] | None:
    import mlflow

    run = mlflow.active_run()
    if run is None:
        return None
    mlflow.flush_async_logging()  # what was logged before the checkpoint is in the run
    logs = callback.model.history.history
    validations = max((len(series) for name, series in logs.items() if name.startswith("val_")), default=0)
    return {"tracker": "mlflow", "run": run.info.run_id, "validations": validations}


def _wind_back(callback: Any, taken: dict[str, Any]) -> None:
    """Let the callback log only what the run does not have. MLflow cannot remove a point.

    The callback logs the results of each validation with step 0, so these are counted.
    """
    import mlflow

    run = mlflow.active_run()
    check_run("mlflow", run.info.run_id if run else "(none)", taken, "start_run(path)")
    client, points = mlflow.MlflowClient(), []
    for name in client.get_run(taken["run"]).data.metrics:
        steps = [point.step for point in client.get_metric_history(taken["run"], name)]
        points += [(name, step) for step in steps[taken["validations"] if name.startswith("validation_") else 0 :]]
    logged = Logged(points)
    epoch_end, batch_end, test_end = callback.on_epoch_end, callback.on_batch_end, callback.on_test_end

    def on_epoch_end(epoch: int, logs: Any = None) -> None:
        if callback.log_every_epoch:
            epoch_end(epoch, logged.rest(logs, epoch))

    def on_batch_end(batch: int, logs: Any = None) -> None:
        if callback.log_every_n_steps is not None:
            batch_end(batch, logged.rest(logs, int(callback.model.optimizer.iterations.numpy())))

    def on_test_end(logs: Any = None) -> None:
        test_end(logged.rest(logs, 0, "validation_"))

    # The parameters of the optimizer were logged at the first start. MLflow refuses other values, such as a
    # learning rate that a schedule has changed.
    callback.on_train_begin = lambda logs=None: None
    callback.on_epoch_end, callback.on_batch_end, callback.on_test_end = on_epoch_end, on_batch_end, on_test_end
