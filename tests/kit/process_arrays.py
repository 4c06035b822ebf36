"""A run whose best weights are large, in a process of its own; started by test_large_arrays.py, and killed there.

Prints a line when training is about to go on, and at the end what it ended with.
"""

import hashlib
import json
import sys

import keras
import numpy as np

from callback_state import ModelCheckpointEnhanced, restore_callbacks


def digest_of(arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.asarray(array).tobytes())
    return digest.hexdigest()


keras.utils.set_random_seed(1)
x = np.random.default_rng(0).normal(size=(32, 600)).astype("float32")
model = keras.Sequential([keras.Input((600,)), keras.layers.Dense(600), keras.layers.Dense(1)])
model.compile(keras.optimizers.SGD(1e-4), keras.losses.MeanSquaredError())
# The loss gets smaller, so the first epoch stays the best.
stopping = keras.callbacks.EarlyStopping("loss", mode="max", patience=9, restore_best_weights=True)
callbacks = [stopping, ModelCheckpointEnhanced(f"{sys.argv[1]}/{{epoch}}.weights.h5", save_weights_only=True)]
restored = restore_callbacks(sys.argv[1], into=callbacks, model=model, missing_ok=True)
print("BEGINS", restored.initial_epoch, flush=True)
history = model.fit(
    x, x[:, :1], batch_size=8, epochs=5, initial_epoch=restored.initial_epoch, verbose=0, callbacks=callbacks
)
found = {
    "weights": digest_of(variable.numpy() for variable in (*model.variables, *model.optimizer.variables)),
    "best": [digest_of(stopping.best_weights), stopping.best, stopping.best_epoch, stopping.wait],
    "history": history.history,
}
print("RESULT", json.dumps(found))
