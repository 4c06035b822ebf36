"""A training script that is simply started again whenever it died."""

import keras
import numpy as np

from callback_state import ModelCheckpointEnhanced, restore_callbacks, stateful


@stateful
class WarmupCosine(keras.callbacks.Callback):
    """A learning rate for every step, from a counter of its own."""

    def __init__(self, peak, warmup, total):
        super().__init__()
        self.peak, self.warmup, self.total, self.step = peak, warmup, total, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.step += 1
        part = max(0, self.step - self.warmup) / (self.total - self.warmup)
        rate = self.peak * min(self.step / self.warmup, (1 + np.cos(np.pi * part)) / 2)
        self.model.optimizer.learning_rate = rate

    def on_epoch_end(self, epoch, logs=None):
        rate = float(self.model.optimizer.learning_rate.numpy())
        print(f"epoch {epoch + 1}: step {self.step}, learning rate {rate:.5f}", flush=True)


keras.utils.set_random_seed(1)
x = np.random.default_rng(0).normal(size=(1024, 16)).astype("float32")
y = np.tanh(x[:, 0] * x[:, 1] + x[:, 2])
model = keras.Sequential(
    [
        keras.layers.Input((16,)),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dropout(0.1),
        keras.layers.Dense(1),
    ]
)
model.compile("adam", "mse")

callbacks = [
    WarmupCosine(peak=0.01, warmup=32, total=256),
    keras.callbacks.EarlyStopping("loss", patience=5),
    ModelCheckpointEnhanced("ckpt/{epoch:03d}.keras"),
]
restored = restore_callbacks("ckpt", into=callbacks, model=model, missing_ok=True)
print(restored, flush=True)
model.fit(x, y, epochs=8, initial_epoch=restored.initial_epoch, callbacks=callbacks, verbose=0)
