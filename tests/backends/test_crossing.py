"""A checkpoint of one backend is restored on another: the same weights, optimizer, callbacks and history."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from callback_state import ModelCheckpointEnhanced, restore_callbacks, stateful

HERE = keras.backend.backend()
OTHERS = [name for name in ("tensorflow", "jax", "torch") if name != HERE and find_spec(name)]


@stateful(key="crossing counter")
class Counter(keras.callbacks.Callback):
    """Counts steps."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1


def run(directory: Path, epochs: int) -> tuple[dict[str, Any], Any, Any]:
    """One start; what can be compared, what was restored, and the model."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(4, "relu"), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1, use_ema=True), "mse", metrics=["mae"])
    callbacks = [Counter(), keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=9.0)]
    callbacks.append(ModelCheckpointEnhanced(directory / "{epoch}.weights.h5", save_weights_only=True))
    restored = restore_callbacks(directory, into=callbacks, model=model, missing_ok=True)
    values = [np.asarray(variable).astype("f8") for variable in (*model.weights, *model.optimizer.variables)]
    x = np.arange(48, dtype="f4").reshape(16, 3) / 48
    options = {"epochs": epochs, "initial_epoch": restored.initial_epoch, "batch_size": 4, "verbose": 0}
    history = model.fit(x, x[:, :1], callbacks=callbacks, **options)
    found = {
        "restored": [value.tolist() for value in values],
        "wait": callbacks[1].wait,
        "steps": callbacks[0].steps,
        "history": history.history,
        "after": [np.asarray(v).astype("f8").tolist() for v in (*model.weights, *model.optimizer.variables)],
    }
    return found, restored, model


@pytest.mark.parametrize("other", OTHERS)
def test_it_is_restored_and_told(tmp_path: Path, other: str) -> None:
    """Every value is the one that was saved, training goes on, and both the warning and the report say so."""
    environment = {**os.environ, "KERAS_BACKEND": other, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, __file__, str(tmp_path)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    saved = json.loads(ran.stdout.splitlines()[-1])
    with pytest.warns(UserWarning, match=f"saved on the backend {other}, restored on {HERE}"):
        found, restored, model = run(tmp_path, 3)
    assert found["restored"] == saved["after"]
    assert found["steps"] == saved["steps"] + 4
    assert {name: values[:2] for name, values in found["history"].items()} == saved["history"]
    assert any(
        other in difference and "another backend" in difference for difference in restored.report.differences
    )
    assert int(model.optimizer.iterations.numpy()) == 12


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), 2)[0]))
