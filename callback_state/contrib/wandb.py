"""``WandbMetricsLogger`` and ``WandbModelCheckpoint``: all restarts log into one run."""

from __future__ import annotations

import glob
import os
import time
from typing import Any

from .._callbacks.adapter import adapter
from .._warn import warn
from . import wandb_file
from .common import check_run, noted

#: Seconds: how often an offline run is written to its file, and how long a save waits for that.
_INTERVAL, _PATIENCE = 0.1, 10.0
#: How far each file of an offline run has been read: the last step, and where its record ends.
_read: dict[str, tuple[int, int]] = {}


def register() -> None:
    """Describe ``WandbMetricsLogger`` and ``WandbModelCheckpoint``. ``init`` does this too.

    Example:
        >>> from callback_state import contrib
        >>> contrib.wandb.register()
    """
    from wandb.integration.keras import WandbMetricsLogger, WandbModelCheckpoint

    counters = ("global_batch", "global_step")
    adapter(WandbMetricsLogger, state=counters, outside=_outside, wind_back=_wind_back)
    adapter(WandbModelCheckpoint, exclude=("_is_old_tf_keras_version",))


def init(path: str | os.PathLike[str], *, key: Any = None, **options: Any) -> Any:
    """Open the run of the newest checkpoint again, or a new run. It takes the place of ``wandb.init``.

    An offline run (``mode="offline"`` or ``WANDB_MODE=offline``) has one directory for each start, all of the same
    run. Each step is in one of them.

    Args:
        path: the directory of the checkpoints, as for ``restore_callbacks``.
        key: as for ``restore_callbacks``.
        options: of ``wandb.init``.

    Returns:
        The ``wandb.Run``.

    Raises:
        CorruptCheckpointError, MismatchError, UnsupportedFormatError, UntrustedError: as
            :func:`callback_state.peek`.

    Example:
        >>> from callback_state import contrib
        >>> run = contrib.wandb.init("ckpt", project="digits", mode="offline")
        >>> run.project
        'digits'
        >>> run.finish()
    """
    import wandb

    register()
    taken = noted(path, "wandb", key=key)
    if taken is not None:
        options |= {"id": taken["run"], "resume": "must"}
    # What a killed process had not written is lost, and by default wandb writes every 15 seconds.
    settings = options.pop("settings", None) or wandb.Settings()
    if isinstance(settings, wandb.Settings):
        settings.x_transaction_log_flush_interval = _INTERVAL
    return wandb.init(settings=settings, **options)


def _outside(callback: Any) -> dict[str, Any] | None:
    import wandb

    run = wandb.run
    if run is None:
        return None
    if run.offline and run.step:
        _wait_for(run, run.step - 1)
    return {"tracker": "wandb", "run": run.id, "step": run.step}


def _wait_for(run: Any, step: int) -> None:
    """Wait until a row is in the file of an offline run. wandb has no call that writes it at once."""
    path, until = run.settings.sync_file, time.monotonic() + _PATIENCE
    last, end = _read.get(path, (-1, wandb_file.START))
    while True:
        *_, (last, end) = [(last, end), *wandb_file.rows(path, end)]
        _read[path] = (last, end)
        if last >= step:
            return
        if time.monotonic() > until:
            warn(
                f"wandb has not written step {step} of the run {run.id} within {_PATIENCE:.0f} seconds. If the "
                f"process dies now, steps may be missing in the offline run. Open the run with "
                f"callback_state.contrib.wandb.init(path)."
            )
            return
        time.sleep(_INTERVAL / 4)


def _wind_back(callback: Any, taken: dict[str, Any]) -> None:
    import wandb

    run = wandb.run
    check_run("wandb", run.id if run else "(none)", taken, "init(path)")
    if not run.offline:
        _log_after(run, run.step - taken["step"])
        return
    current = os.path.realpath(run.settings.sync_file)
    for part in glob.glob(os.path.join(glob.escape(run.settings.wandb_dir), "*", f"run-{run.id}.wandb")):
        if os.path.realpath(part) != current:
            wandb_file.cut(part, taken["step"])
    run.log({}, step=taken["step"])  # the next row has this step


def _log_after(run: Any, there: int) -> None:
    """Leave out the next rows, as many as the server has already: a resumed run makes the same ones again."""
    import wandb

    log = run.log

    def log_new(data: Any, *args: Any, **options: Any) -> None:
        nonlocal there
        there -= 1
        if there < 0:
            wandb.log = run.log = log
            log(data, *args, **options)

    if there > 0:
        wandb.log = run.log = log_new
