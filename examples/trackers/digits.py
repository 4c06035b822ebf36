"""What the programs here train, and how: with a checkpoint every eight batches."""

import keras
from sklearn.datasets import load_digits

from callback_state import ModelCheckpointEnhanced, restore_callbacks


def network():
    """A small network for the images of digits."""
    model = keras.Sequential(
        [
            keras.layers.Input((64,)),
            keras.layers.Rescaling(1 / 16),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def train(model, *callbacks, directory="ckpt", epochs=5):
    """Train on 256 images, in four batches an epoch."""
    x, y = load_digits(return_X_y=True)
    callbacks = [*callbacks, ModelCheckpointEnhanced(f"{directory}/{{epoch:02d}}.keras", save_freq=8)]
    restored = restore_callbacks(directory, into=callbacks, model=model, missing_ok=True)
    return model.fit(
        x[:256],
        y[:256],
        batch_size=64,
        epochs=epochs,
        initial_epoch=restored.initial_epoch,
        validation_data=(x[256:320], y[256:320]),
        callbacks=callbacks,
        verbose=0,
    )
