"""``aim.keras.AimCallback``: all restarts log into one run."""

from __future__ import annotations

import functools
import os
from typing import Any
from unittest import mock

from .._callbacks.adapter import adapter
from .common import Logged, check_run, noted


def register() -> None:
    """Describe ``aim.keras.AimCallback``. ``callback`` does this too.

    Example:
        >>> from callback_state import contrib
        >>> contrib.aim.register()
    """
    from aim.keras import AimCallback

    adapter(AimCallback, state=(), outside=_outside, wind_back=_wind_back)


def callback(path: str | os.PathLike[str], *, key: Any = None, **options: Any) -> Any:
    """Make an ``AimCallback`` with the run of the newest checkpoint, or with a new run.

    ``AimCallback(...)`` itself begins a new run each time.

    Args:
        path: the directory of the checkpoints, as for ``restore_callbacks``.
        key: as for ``restore_callbacks``.
        options: of ``AimCallback``.

    Returns:
        The ``aim.keras.AimCallback``.

    Raises:
        CorruptCheckpointError, MismatchError, UnsupportedFormatError, UntrustedError: as
            :func:`callback_state.peek`.

    Example:
        >>> from callback_state import contrib
        >>> tracker = contrib.aim.callback("ckpt", repo=".", experiment="digits")
        >>> tracker.experiment.experiment
        'digits'
        >>> tracker.close()
    """
    from aim.sdk.adapters import keras as aim_keras

    register()
    taken = noted(path, "aim", key=key)
    if taken is None:
        return aim_keras.AimCallback(**options)
    # The constructor has no argument for the run, and opens one: let that be ours.
    with mock.patch.object(aim_keras, "Run", functools.partial(aim_keras.Run, taken["run"])):
        return aim_keras.AimCallback(**options)


def _outside(tracker: Any) -> dict[str, Any]:
    return {"tracker": "aim", "run": tracker.experiment.hash}


def _wind_back(tracker: Any, taken: dict[str, Any]) -> None:
    """Let the callback log only what the run does not have."""
    run = tracker.experiment
    check_run("aim", run.hash, taken, "callback(path)")
    points = []
    for metric in run.metrics():
        prefix = "val_" if metric.context.to_dict().get("subset") == "val" else ""
        _, (_, epochs, _) = metric.data.numpy()
        points += [(prefix + metric.name, int(epoch)) for epoch in epochs if epoch == epoch]  # NaN: it has none
    logged, epoch_end = Logged(points), tracker.on_epoch_end

    def on_epoch_end(epoch: int, logs: Any = None) -> None:
        epoch_end(epoch, logged.rest(logs, epoch))

    tracker.on_epoch_end = on_epoch_end
