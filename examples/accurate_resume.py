"""Schedulers that count batches, gone on with in three ways: "Accurately Resuming a Training Process".

The article's callback sets the learning rate before every batch, from a counter that no model file holds. A run
that loads the model and makes a new callback begins with the first rate again; the article's cure is to work out
the counter and hand it to the callback. Here a second scheduler drives a variable of the model: the weight of the
KL divergence in a variational autoencoder. The table shows both, and the weights, at the end of each way. With
counters set by hand the schedules are right, and the noise that the autoencoder draws is still another one.

Start it, kill it, start it again: the table is the same.
"""

import argparse
import math

import keras
import numpy as np
from sklearn.datasets import load_digits

from callback_state import ModelCheckpointEnhanced, restore_callbacks, stateful

argparse.ArgumentParser(description=__doc__.partition(":")[0]).parse_args()
EPOCHS, MIDDLE, SAVED = 6, 3, "accurate/3.keras"


@keras.saving.register_keras_serializable()
class Latent(keras.layers.Layer):
    """Draws codes from normal distributions; their distance from the standard one is a part of the loss."""

    def __init__(self, name="latent", **options):
        super().__init__(name=name, **options)
        self.kl_weight = keras.Variable(0.0, trainable=False, name="kl_weight")
        self.noise = keras.random.SeedGenerator(1)

    def call(self, inputs):
        mean, log_variance = keras.ops.split(inputs, 2, axis=-1)
        divergence = (mean**2 + keras.ops.exp(log_variance) - log_variance - 1) / 2
        self.add_loss(self.kl_weight * keras.ops.mean(divergence))
        return mean + keras.ops.exp(log_variance / 2) * keras.random.normal(keras.ops.shape(mean), seed=self.noise)


@stateful
class PerBatch(keras.callbacks.Callback):
    """Calls ``schedule`` before every batch, with the number of batches before it in the whole run."""

    def __init__(self, counter=0):
        super().__init__()
        self.counter = counter

    def on_train_batch_begin(self, batch, logs=None):
        self.schedule(self.counter)
        self.counter += 1


class LearningRate(PerBatch):
    def schedule(self, step):
        self.model.optimizer.learning_rate = 0.01 * 0.995**step


class KLWeight(PerBatch):
    def schedule(self, step):
        self.model.get_layer("latent").kl_weight.assign(min(1, step / 400))


def begin(path=None, counter=0):
    """What a script does before it trains: the model, new or loaded, and the schedulers."""
    keras.utils.set_random_seed(1)
    if path:
        model = keras.models.load_model(path)
    else:
        decode = keras.layers.Dense(64, activation="sigmoid")
        model = keras.Sequential([keras.layers.Input((64,)), keras.layers.Dense(16), Latent(), decode])
        model.compile("adam", "binary_crossentropy")
    return model, [LearningRate(counter), KLWeight(counter)]


def go_on(way, model, schedulers, initial_epoch, *others):
    """Train until the last epoch, and print a row of the table."""
    model.fit(x, x, epochs=EPOCHS, initial_epoch=initial_epoch, callbacks=[*schedulers, *others], verbose=0)
    ends.append(model.get_weights())
    same = all(map(np.array_equal, ends[0], ends[-1]))
    rate, weight = model.optimizer.learning_rate.numpy(), model.get_layer("latent").kl_weight.numpy()
    print(f"{way:15}{schedulers[0].counter:5}{rate:15.6f}{weight:11.3f}{'yes' if same else 'no':>19}", flush=True)


x, ends = load_digits().data.astype("float32") / 16, []
print("way            steps  learning rate  KL weight  weights identical")

model, schedulers = begin()
checkpoint = ModelCheckpointEnhanced("accurate/{epoch}.keras", "loss")
restored = restore_callbacks("accurate", into=[*schedulers, checkpoint], model=model, missing_ok=True)
go_on("uninterrupted", model, schedulers, restored.initial_epoch, checkpoint)

# Three other starts, each from the file that a kill in the fourth epoch would have left as the newest.
go_on("wrong", *begin(SAVED), MIDDLE)
go_on("by hand", *begin(SAVED, counter=MIDDLE * math.ceil(len(x) / 32)), MIDDLE)
model, schedulers = begin()
restored = restore_callbacks(SAVED, into=schedulers, model=model)
go_on("callback_state", model, schedulers, restored.initial_epoch)
