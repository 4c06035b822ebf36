"""A stateless training loop of JAX, with Keras's callbacks, that goes on at the batch where it died.

Start it, kill it, start it again. A step gets the values of the variables and returns new ones. Callbacks and
checkpoints see the variables, so each batch takes the values from them and puts the new ones back: a callback may
have set the learning rate, and any batch may be saved.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
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
model.optimizer.build(model.trainable_variables)
model.mean_loss = keras.metrics.Mean("mean_loss")  # as an attribute of the model, so that it is saved
parts = [
    model.trainable_variables,
    model.non_trainable_variables,  # the seed of dropout too
    model.optimizer.variables,
    model.mean_loss.variables,
]


def loss_of(trainable, others, inputs, targets):
    outputs, others = model.stateless_call(trainable, others, inputs, training=True)
    return model.loss(targets, outputs), others


@jax.jit
def train_step(values, inputs, targets):
    trainable, others, optimizer, mean = values
    gradients_of = jax.value_and_grad(loss_of, has_aux=True)
    (loss, others), gradients = gradients_of(trainable, others, inputs, targets)
    trainable, optimizer = model.optimizer.stateless_apply(optimizer, gradients, trainable)
    return trainable, others, optimizer, model.mean_loss.stateless_update_state(mean, loss)


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
        values = [[variable.value for variable in part] for part in parts]
        for part, new in zip(parts, train_step(values, x[rows], y[rows]), strict=True):
            for variable, value in zip(part, new, strict=True):
                variable.assign(value)
        callbacks.on_train_batch_end(step, {"loss": model.mean_loss.result()})
    callbacks.on_epoch_end(epoch, {"loss": model.mean_loss.result()})
    print(f"epoch {epoch + 1}: loss {model.history.history['loss'][-1]:.6f}", flush=True)
    if model.stop_training:
        break
callbacks.on_train_end()
