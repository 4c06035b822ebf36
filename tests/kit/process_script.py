"""A user's script, run by test_process.py in processes of its own; its classes live in ``__main__``."""

import hashlib
import json
import random
import sys

import keras
import numpy as np

from callback_state import ModelCheckpointEnhanced, restore_callbacks, stateful

directory, ending = sys.argv[1:]


@stateful
class Warmup(keras.callbacks.Callback):
    def __init__(self, peak):
        super().__init__()
        self.peak, self.step = peak, 0
        self.noise = np.random.default_rng(5)

    def on_train_batch_begin(self, batch, logs=None):
        self.step += 1
        self.model.optimizer.learning_rate = self.peak * self.noise.random() * min(self.step / 9, 1)


class Jitter(keras.callbacks.Callback):
    """Draws from the global generators; has no state of its own."""

    def on_epoch_begin(self, epoch, logs=None):
        kernel = self.model.layers[0].kernel
        kernel.assign(kernel * (1 + 0.01 * random.random()) + 0.01 * np.random.rand())
        kernel.assign(kernel + 0.01 * keras.random.normal(kernel.shape))

    def on_epoch_end(self, epoch, logs=None):
        print("epoch", epoch, flush=True)


keras.utils.set_random_seed(1)
x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
y = (x[:, :1] * x[:, 1:2] > 0).astype("float32")
model = keras.Sequential(
    [
        keras.layers.Input((8,)),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(keras.optimizers.Adam(0.01), keras.losses.BinaryCrossentropy())
callbacks = [
    ModelCheckpointEnhanced(f"{directory}/{{epoch}}{ending}", save_weights_only=ending == ".weights.h5"),
    Warmup(0.02),
    keras.callbacks.ReduceLROnPlateau(patience=1),
    Jitter(),
    keras.callbacks.EarlyStopping(patience=11, min_delta=0.05),
]
restored = restore_callbacks(directory, into=callbacks, model=model, missing_ok=True)
history = model.fit(
    x,
    y,
    epochs=12,
    batch_size=8,
    validation_split=0.25,
    verbose=0,
    callbacks=callbacks,
    initial_epoch=restored.initial_epoch,
)
digest = hashlib.sha256()
for variable in (*model.variables, *model.optimizer.variables):
    digest.update(variable.numpy().tobytes())
early = callbacks[-1]
print(
    "RESULT",
    json.dumps(
        {
            "weights": digest.hexdigest(),
            "history": history.history,
            "epochs": history.epoch,
            "step": callbacks[1].step,
            "noise": callbacks[1].noise.random(),
            "random": random.random(),
            "wait": early.wait,
            "best": early.best,
            "stopped": early.stopped_epoch,
        }
    ),
)
