"""``optuna_integration.KerasPruningCallback``: a killed trial goes on as the same trial."""

from __future__ import annotations

from typing import Any

from .._callbacks.adapter import adapter
from .common import check_run

#: The attribute of a trial that names its worker.
_WORKER = "callback_state.worker"


def register() -> None:
    """Describe ``KerasPruningCallback``. ``ask`` does this too.

    Example:
        >>> from callback_state import contrib
        >>> contrib.optuna.register()
    """
    from optuna_integration import KerasPruningCallback

    adapter(KerasPruningCallback, state=(), outside=_outside, wind_back=_wind_back)


def ask(study: Any, worker: str = "worker", **options: Any) -> Any:
    """The trial that a killed process has left running, or a new one. It takes the place of ``study.ask()``.

    ``trial.suggest_float(...)`` returns what it returned before the kill. Give each trial a directory of
    checkpoints, such as ``f"ckpt/{trial.number}"``.

    Args:
        study: an ``optuna.Study`` whose storage outlives the process, such as sqlite or a journal file.
        worker: the name of this process among those that share the study. It must be the same after a restart.
        options: of ``study.ask``, for a new trial.

    Returns:
        An ``optuna.Trial``. Pass its value to ``study.tell(trial, value)``.

    Example:
        >>> import optuna
        >>> from callback_state import contrib
        >>> study = optuna.create_study()
        >>> trial = contrib.optuna.ask(study)
        >>> contrib.optuna.ask(study).number == trial.number  # the same: nobody has told its value yet
        True
    """
    import optuna

    register()
    running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
    for left in running:
        if left.user_attrs.get(_WORKER) == worker:
            return optuna.trial.Trial(study, left._trial_id)
    trial = study.ask(**options)
    trial.set_user_attr(_WORKER, worker)
    return trial


def _outside(callback: Any) -> dict[str, Any]:
    return {"tracker": "optuna", "run": str(callback._trial.number)}


def _wind_back(callback: Any, taken: dict[str, Any]) -> None:
    """Do not report again what the trial has: optuna keeps the first value, and would warn."""
    import optuna

    trial = callback._trial
    check_run("optuna", str(trial.number), taken, "ask(study)")
    stored = next(t for t in trial.study.get_trials(deepcopy=False) if t.number == trial.number)
    reported, report = set(stored.intermediate_values), callback.on_epoch_end

    def on_epoch_end(epoch: int, logs: Any = None) -> None:
        if epoch not in reported:
            report(epoch, logs)
        elif trial.should_prune():
            raise optuna.TrialPruned(f"Trial was pruned at epoch {epoch}.")

    callback.on_epoch_end = on_epoch_end
