"""A run of MLflow that is one run over all restarts."""

import keras
import mlflow
from digits import network, train
from mlflow.keras import MlflowCallback

from callback_state import contrib

keras.utils.set_random_seed(1)
mlflow.set_tracking_uri("sqlite:///mlflow.db")
with contrib.mlflow.start_run("ckpt", run_name="digits"):
    train(network(), MlflowCallback())
