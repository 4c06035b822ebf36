"""A training loop of torch, with Keras's callbacks, that goes on at the batch where it died.

Start it, kill it, start it again. Metrics are reset before ``on_epoch_begin``, as ``fit`` does it: what
they had summed up comes back after it.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
from keras import layers

from callback_state import ModelCheckpointEnhanced, restore_callbacks

EPOCHS, BATCH = 4, 32

keras.utils.set_random_seed(1)
x = np.random.default_rng(0).normal(size=(640, 8)).astype("float32")
y = np.tanh(x[:, :1] * x[:, 1:2])


def order(epoch):
    """The numbers of the rows in each batch: an order of its own for each epoch, the same at each start."""
    return np.random.default_rng([1, epoch]).permutation(len(x)).reshape(-1, BATCH)


model = keras.Sequential(
    [layers.Input((8,)), layers.Dense(32, activation="relu"), layers.Dropout(0.1), layers.Dense(1)]
)
model.compile("adam", keras.losses.MeanSquaredError())  # so that the optimizer is saved with the model
model.mean_loss = keras.metrics.Mean("mean_loss")  # as an attribute of the model, so that it is saved


def train_step(inputs, targets):
    model.zero_grad()
    loss = model.loss(targets, model(inputs, training=True))
    loss.backward()
    gradients = [variable.value.grad for variable in model.trainable_variables]
    with torch.no_grad():
        model.optimizer.apply(gradients, model.trainable_variables)
        model.mean_loss.update_state(loss)


stopping = keras.callbacks.EarlyStopping("loss", patience=3)
saver = ModelCheckpointEnhanced("loop/{epoch}-{batch:02d}.keras", "loss", save_freq=5, max_to_keep=2)
callbacks = keras.callbacks.CallbackList(
    [stopping, saver], add_history=True, model=model, epochs=EPOCHS, steps=len(x) // BATCH
)
restored = restore_callbacks("loop", into=callbacks, model=model, missing_ok=True)
print(restored, flush=True)

callbacks.on_train_begin()
for epoch in range(restored.initial_epoch, EPOCHS):
    model.mean_loss.reset_state()
    callbacks.on_epoch_begin(epoch)
    for step, rows in restored.batches(order(epoch), epoch):
        callbacks.on_train_batch_begin(step)
        train_step(x[rows], y[rows])
        callbacks.on_train_batch_end(step, {"loss": model.mean_loss.result()})
    callbacks.on_epoch_end(epoch, {"loss": model.mean_loss.result()})
    print(f"epoch {epoch + 1}: loss {model.history.history['loss'][-1]:.6f}", flush=True)
    if model.stop_training:
        break
callbacks.on_train_end()
