"""Writes the checkpoints of ``golden_states.py``, some of them signed.

    python tests/golden/write.py tests/golden/keras-3.7

It writes only what is not there. The files of ``keras-3.7`` were written on Keras 3.7.0, TensorFlow 2.18 and NumPy
1.26, those of ``keras-3.15`` on Keras 3.15.1, TensorFlow 2.21 and NumPy 2.4, both on Python 3.11. Those of
``keras-3.15-jax`` and ``keras-3.15-torch`` are some of them, written on JAX 0.10 and torch 2.13 (KERAS_BACKEND).
``two-processes`` has the first checkpoint of ``hosts.train(directory, 2, "data", epochs=2)``.
"""

import importlib
import sys
import warnings
from pathlib import Path

import keras
import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / "kit"), str(Path(__file__).parents[2])]
states = importlib.import_module("golden_states")
ModelCheckpointEnhanced = importlib.import_module("callback_state").ModelCheckpointEnhanced


class Killed(BaseException):
    """Ends a run as SIGKILL does."""


class Kill(keras.callbacks.Callback):
    """Ends the run in its third epoch, where four of six batches are over."""

    def on_train_batch_end(self, batch, logs=None):
        if (len(self.model.history.epoch), batch) == (2, 3):
            raise Killed


def make_model():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def write(name, directory, **options):
    make, more = states.STATES[name]
    checkpoint = ModelCheckpointEnhanced(directory / "m.weights.h5", save_weights_only=True, **more, **options)
    x = np.arange(24, dtype="float32").reshape(12, 2) / 24
    try:
        make_model().fit(
            x, x.sum(axis=1), batch_size=2, epochs=9, verbose=0, callbacks=[*make(), checkpoint, Kill()]
        )
    except Killed:
        return
    raise AssertionError("was to be killed")


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # "code by value" warns, as it should
    for name in states.STATES if keras.backend.backend() == "tensorflow" else states.ELSEWHERE:
        directory = Path(sys.argv[1]) / name.replace(" ", "-")
        if not directory.exists():
            write(name, directory, **({"key": states.KEY} if name.startswith("signed ") else {}))
