"""A training script whose checkpoints are in a bucket: ``python bucket.py s3://my-bucket/run``."""

import sys

import keras
import numpy as np

from callback_state import ModelCheckpointEnhanced, restore_callbacks

run = sys.argv[1] if len(sys.argv) > 1 else "memory://bucket/run"

keras.utils.set_random_seed(1)
x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
y = x.sum(axis=1)
model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(1)])
model.compile("adam", "mse")

callbacks = [
    keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=2),
    ModelCheckpointEnhanced(f"{run}/{{epoch:03d}}.keras", max_to_keep=3),
]
restored = restore_callbacks(run, into=callbacks, model=model, missing_ok=True)
print(restored)
if not restored.finished:
    model.fit(x, y, epochs=5, initial_epoch=restored.initial_epoch, callbacks=callbacks, verbose=0)
