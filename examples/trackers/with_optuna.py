"""A study of optuna: a killed trial goes on as the same trial, with the same parameters."""

import keras
import optuna
from digits import network, train
from optuna_integration import KerasPruningCallback

from callback_state import contrib

study = optuna.create_study(storage="sqlite:///study.db", study_name="digits", load_if_exists=True)
while True:
    trial = contrib.optuna.ask(study)
    if trial.number == 2:
        break
    keras.utils.set_random_seed(1)
    model = network()
    model.optimizer.learning_rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    try:
        history = train(model, KerasPruningCallback(trial, "val_loss"), directory=f"ckpt/{trial.number}")
    except optuna.TrialPruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, history.history["val_loss"][-1])
