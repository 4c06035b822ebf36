"""A run in a process of its own that saves inside its epochs; started by test_process.py, and stopped there.

Prints a line when training is about to go on, and at the end what it ended with.
"""

import csv
import hashlib
import json
import random
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from callback_state import ModelCheckpointEnhanced, restore_callbacks, stateful

directory, epochs, batches, saves = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]


@stateful
class Trace(keras.callbacks.Callback):
    """A digest of everything that it hears, and of draws from the global generators."""

    def __init__(self):
        super().__init__()
        self.digest, self.events = "", 0

    def note(self, *event):
        self.events += 1
        text = json.dumps([self.digest, event, random.random(), np.random.random()])
        self.digest = hashlib.sha256(text.encode()).hexdigest()

    def on_epoch_begin(self, epoch, logs=None):
        self.note("epoch", epoch, float(keras.random.normal(())))

    def on_train_batch_begin(self, batch, logs=None):
        self.note("batch", batch)

    def on_train_batch_end(self, batch, logs=None):
        self.note("batch ends", batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self.note("epoch ends", epoch, logs)


keras.utils.set_random_seed(1)
x = np.random.default_rng(0).normal(size=(8 * batches - 3, 8)).astype("float32")
y = (x[:, :1] * x[:, 1:2] > 0).astype("float32")
train = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=2).batch(8).prefetch(2)
model = keras.Sequential(
    [
        keras.layers.Input((8,)),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(keras.optimizers.Adam(0.01), keras.losses.BinaryCrossentropy(), metrics=["accuracy"])
directory.mkdir(exist_ok=True)
weights = directory / "last.weights.h5"
callbacks = [
    Trace(),
    keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
    keras.callbacks.CSVLogger(directory / "log.csv"),
    keras.callbacks.EarlyStopping(patience=99),
    {
        "in batches": lambda: ModelCheckpointEnhanced(weights, save_weights_only=True, save_freq=7),
        "on signals": lambda: ModelCheckpointEnhanced(
            weights, save_weights_only=True, save_on_signal=True, period=2
        ),
        "beside": lambda: ModelCheckpointEnhanced(
            directory / "{epoch}-{batch}.weights.h5",
            save_weights_only=True,
            save_freq=7,
            max_to_keep=1,
            save_on_signal=True,
            save_on_background=True,
        ),
        "after epochs": lambda: ModelCheckpointEnhanced(directory / "{epoch}.keras", max_to_keep=2),
    }[saves](),
]
restored = restore_callbacks(directory, into=callbacks, model=model, missing_ok=True)
print("BEGINS", restored.epoch, restored.batch, flush=True)
history = model.fit(
    train,
    epochs=epochs,
    shuffle=False,
    verbose=0,
    callbacks=callbacks,
    initial_epoch=restored.initial_epoch,
    validation_data=(x[:64], y[:64]),
)
digest = hashlib.sha256()
for variable in (*model.variables, *model.optimizer.variables):
    digest.update(variable.numpy().tobytes())
with open(directory / "log.csv", newline="") as log:
    rows = list(csv.reader(log))
print(
    "RESULT",
    json.dumps(
        {
            "weights": digest.hexdigest(),
            "history": history.history,
            "epochs": history.epoch,
            "rows": rows,
            "trace": callbacks[0].digest,
            "events": callbacks[0].events,
            "best": callbacks[3].best,
        }
    ),
)
