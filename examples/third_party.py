"""A callback from PyPI that knows nothing of this package: its bars go on where they were.

Start it, kill it, start it again. ``tqdm.keras.TqdmCallback`` draws one bar for the epochs of the run and
one for the batches of the epoch; both are its own, so Keras cannot put them back.
"""

import time

import keras
from sklearn.datasets import load_digits
from tqdm.keras import TqdmCallback

from callback_state import ModelCheckpointEnhanced, adapter, restore_callbacks


def bars_of(callback):
    """The bars by their names; there is none for batches with verbose=0, nor before its first epoch."""
    bars = {"epochs": callback.epoch_bar, "batches": getattr(callback, "batch_bar", None)}
    return {name: bar for name, bar in bars.items() if bar is not None}


def shown(callback):
    """What a bar shows: how much is done, and since how many seconds."""
    return {name: [bar.n, bar.format_dict["elapsed"]] for name, bar in bars_of(callback).items()}


def show(callback, taken):
    """Bring new bars to where the old ones were."""
    for name, bar in bars_of(callback).items():
        bar.n, seconds = taken[name]
        bar.initial, bar.last_print_n, bar.start_t = 0, bar.n, time.time() - seconds
        bar.refresh()


# state=(): nothing in its attributes is. What it shows is outside, and nothing of it has to be taken back.
adapter(TqdmCallback, state=(), outside=shown, pick_up=show)

keras.utils.set_random_seed(1)
x, y = load_digits(return_X_y=True)
model = keras.Sequential(
    [
        keras.layers.Input((64,)),
        keras.layers.Rescaling(1 / 16),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

callbacks = [
    TqdmCallback(mininterval=0),
    ModelCheckpointEnhanced("digits/{epoch:02d}-{batch:03d}.keras", save_freq=10, max_to_keep=2),
]
restored = restore_callbacks("digits", into=callbacks, model=model, missing_ok=True)
model.fit(x, y, epochs=6, initial_epoch=restored.initial_epoch, callbacks=callbacks, verbose=0, batch_size=64)
