"""comet_ml's callback for Keras: all restarts log into one experiment."""

from __future__ import annotations

import glob
import json
import logging
import os
import shutil
import tempfile
import time
from typing import Any
from unittest import mock

from .._callbacks.adapter import adapter
from .._warn import warn
from .common import check_run, noted

#: The name of the value that marks a save in an offline experiment.
_MARK = "callback_state"
_PATIENCE = 10.0


def register() -> None:
    """Describe comet_ml's callback for Keras. ``start`` does this too.

    Example:
        >>> from callback_state import contrib
        >>> contrib.comet.register()
    """
    from comet_ml.callbacks._keras import CometKerasCallback

    adapter(CometKerasCallback, state=("_test_step",), outside=_outside, wind_back=_wind_back)


def start(path: str | os.PathLike[str], *, key: Any = None, **options: Any) -> Any:
    """Open the experiment of the newest checkpoint again, or a new one. It takes the place of ``comet_ml.start``.

    An offline experiment (``online=False``) is kept below its ``offline_directory`` while it runs, so a kill loses
    nothing that was logged before the checkpoint. Each start makes one archive, and all have the same key.

    Args:
        path: the directory of the checkpoints, as for ``restore_callbacks``.
        key: as for ``restore_callbacks``.
        options: of ``comet_ml.start``, save ``mode`` and ``experiment_key``.

    Returns:
        The experiment. ``experiment.get_callback("keras")`` makes the callback.

    Raises:
        CorruptCheckpointError, MismatchError, UnsupportedFormatError, UntrustedError: as
            :func:`callback_state.peek`.

    Example:
        >>> from callback_state import contrib
        >>> experiment = contrib.comet.start("ckpt", project_name="digits", online=False)
        >>> experiment.project_name
        'digits'
        >>> experiment.end()
    """
    import comet_ml

    register()
    taken = noted(path, "comet", key=key)
    if options.get("online") is not False:
        again = {"experiment_key": taken["run"], "mode": "get"} if taken else {}
        return comet_ml.start(**options, **again)
    run = taken["run"] if taken else comet_ml.generate_guid()
    directory = getattr(options.get("experiment_config"), "offline_directory", None)
    directory = os.path.abspath(directory or os.environ.get("COMET_OFFLINE_DIRECTORY") or ".cometml-runs")
    os.makedirs(directory, exist_ok=True)
    # Else it is in the system's directory for temporary files, and nobody knows whose it is.
    with mock.patch.object(tempfile, "tempdir", directory), mock.patch.object(tempfile, "template", f"{run}-"):
        return comet_ml.start(experiment_key=run, mode="get_or_create", **options)


def _is_offline(experiment: Any) -> bool:
    from comet_ml import OfflineExperiment

    return isinstance(experiment, OfflineExperiment)


def _messages(directory: str) -> str:
    return os.path.join(directory, "messages.json")


def _outside(callback: Any) -> dict[str, Any]:
    experiment = callback.experiment
    mark = f"step {experiment.curr_step}, epoch {experiment.curr_epoch}"
    if _is_offline(experiment):
        _write_mark(experiment, mark)
    said = {"tracker": "comet", "run": experiment.get_key(), "mark": mark}
    return said | {"step": experiment.curr_step, "epoch": experiment.curr_epoch}


def _write_mark(experiment: Any, mark: str) -> None:
    """Write a value after all that was logged, and wait until it is in the file."""
    path, until = _messages(experiment.tmpdir), time.monotonic() + _PATIENCE
    size = os.path.getsize(path)
    experiment.log_other(_MARK, mark)
    while True:
        with open(path, "rb") as file:
            file.seek(size)
            if any(_is_mark(line, mark) for line in file):
                return
        if time.monotonic() > until:
            warn(
                f"comet_ml has not written what was logged within {_PATIENCE:.0f} seconds. If the process dies "
                f"now, steps may be missing in the offline experiment {experiment.get_key()}."
            )
            return
        time.sleep(0.01)


def _is_mark(line: bytes, mark: str) -> bool:
    if not line.endswith(b"\n") or _MARK.encode() not in line:
        return False
    payload = json.loads(line)["payload"]
    return bool((payload.get("key"), payload.get("value")) == (_MARK, mark))


def _wind_back(callback: Any, taken: dict[str, Any]) -> None:
    experiment = callback.experiment
    check_run("comet", experiment.get_key(), taken, "start(path)")
    experiment.curr_step, experiment.curr_epoch = taken["step"], taken["epoch"]
    if not _is_offline(experiment):
        return
    current = os.path.realpath(experiment.tmpdir)
    beside = os.path.join(glob.escape(os.path.dirname(current)), f"{taken['run']}-*", "")
    for left in glob.glob(beside):
        if os.path.realpath(left) != current:
            if _cut(_messages(left), taken["mark"]):
                _archive(experiment, left)
            shutil.rmtree(left)


def _cut(path: str, mark: str) -> bool:
    """Remove what a killed process has logged after the checkpoint; False if all of it is later."""
    end = at = 0
    with open(path, "rb") as file:
        for line in file:
            at += len(line)
            if _is_mark(line, mark):
                end = at
    os.truncate(path, end)
    return end > 0


def _archive(experiment: Any, left: str) -> None:
    """Do what a killed process could not do any more: pack its part of the experiment for ``comet upload``."""
    from comet_ml import offline_utils

    now = int(time.time() * 1000)
    offline_utils.write_experiment_meta_file(
        tempdir=left,
        experiment_key=experiment.get_key(),
        workspace=experiment.workspace,
        project_name=experiment.project_name,
        start_time=now,
        stop_time=now,
        tags=experiment.get_tags(),
        resume_strategy="get_or_create",
        user_provided_experiment_key=True,
        comet_start_sourced=True,
    )
    name = f"{os.path.basename(os.path.normpath(left))}.zip"
    offline_utils.create_experiment_archive(experiment.offline_directory, name, left, logging.getLogger(__name__))
