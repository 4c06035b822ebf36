"""Where another backend runs, nobody imports TensorFlow, and nothing needs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Each has an environment of its own, in which these tests run.
OTHERS = [name for name in ("jax", "torch") if name == os.environ.get("KERAS_BACKEND")]
PROGRAM = """
import sys
sys.modules["tensorflow"] = None  # as if it were not installed
directory, dies_at = sys.argv[1], int(sys.argv[2])
import hashlib, keras, numpy as np
from callback_state import ModelCheckpointEnhanced, list_checkpoints, restore_callbacks, stateful
from callback_state.testing import assert_resumes_exactly, simulate

@stateful
class Count(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == dies_at:
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)

keras.utils.set_random_seed(1)
x = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
layers = [keras.layers.Dense(4, "relu"), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
model = keras.Sequential([keras.Input((3,)), *layers])
model.compile("adam", "mse", metrics=["mae"])
counting = Count()
callbacks = [ModelCheckpointEnhanced(directory + "/{epoch}-{batch}.keras", save_freq=1), counting]
restored = restore_callbacks(directory, into=callbacks, model=model, missing_ok=True)
options = {"batch_size": 8, "epochs": 3, "initial_epoch": restored.initial_epoch, "verbose": 0}
model.fit(x, x[:, :1], callbacks=callbacks, **options)
dies_at = -1
assert len(simulate(Count(), epochs=2, steps_per_epoch=3).steps) == 6
assert_resumes_exactly(Count, epochs=2, steps_per_epoch=3)
values = b"".join(np.asarray(v).tobytes() for v in (*model.variables, *model.optimizer.variables))
print(hashlib.sha256(values).hexdigest(), counting.steps, len(list_checkpoints(directory)))
assert sys.modules["tensorflow"] is None
"""


def start(directory: Path, backend: str, dies_at: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", PROGRAM, str(directory), str(dies_at)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("backend", OTHERS)
def test_a_killed_run_goes_on(tmp_path: Path, backend: str) -> None:
    """A run in processes without TensorFlow is resumed byte for byte, and the tools for tests work."""
    whole = start(tmp_path / "whole", backend, -1)
    assert whole.returncode == 0, whole.stderr
    assert start(tmp_path / "killed", backend, 8).returncode == -9
    resumed = start(tmp_path / "killed", backend, -1)
    assert (resumed.stdout, resumed.returncode) == (whole.stdout, 0), resumed.stderr
