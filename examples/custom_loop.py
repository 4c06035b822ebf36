"""A training loop of your own, with Keras's callbacks, that goes on at the batch where it died.

Start it, kill it, start it again. Metrics are reset before ``on_epoch_begin``, as ``fit`` does it: what
they had summed up comes back after it.
"""

import keras
import numpy as np
import tensorflow as tf

from callback_state import ModelCheckpointEnhanced, data, restore_callbacks

EPOCHS, BATCH = 4, 32

keras.utils.set_random_seed(1)
x = np.random.default_rng(0).normal(size=(640, 8)).astype("float32")
y = np.tanh(x[:, :1] * x[:, 1:2])
train = data.shuffled(x, y, batch_size=BATCH, seed=1)  # each epoch in an order of its own, entered anywhere

model = keras.Sequential(
    [
        keras.layers.Input((8,)),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dropout(0.1),
        keras.layers.Dense(1),
    ]
)
model.compile("adam", "mse")  # so that the optimizer is a part of the model, and saved with it
model.mean_loss = keras.metrics.Mean("mean_loss")  # as an attribute of the model, so that it is saved


@tf.function
def train_step(inputs, targets):
    with tf.GradientTape() as tape:
        loss = model.compute_loss(inputs, targets, model(inputs, training=True))
    model.optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    model.mean_loss.update_state(loss)


callbacks = keras.callbacks.CallbackList(
    [
        keras.callbacks.EarlyStopping("loss", patience=3),
        ModelCheckpointEnhanced("loop/{epoch}-{batch:02d}.keras", "loss", save_freq=5, max_to_keep=2),
    ],
    add_history=True,
    model=model,
    epochs=EPOCHS,
    steps=len(x) // BATCH,
)
restored = restore_callbacks("loop", into=callbacks, model=model, missing_ok=True)
print(restored, flush=True)

callbacks.on_train_begin()
for epoch in range(restored.initial_epoch, EPOCHS):
    model.mean_loss.reset_state()
    callbacks.on_epoch_begin(epoch)
    for step, (inputs, targets) in train.batches(epoch, restored.first_batch(epoch)):
        callbacks.on_train_batch_begin(step)
        train_step(inputs, targets)
        callbacks.on_train_batch_end(step, {"loss": model.mean_loss.result()})
    callbacks.on_epoch_end(epoch, {"loss": model.mean_loss.result()})
    print(f"epoch {epoch + 1}: loss {model.history.history['loss'][-1]:.6f}", flush=True)
    if model.stop_training:
        break
callbacks.on_train_end()
