"""Several processes that train one model together: started on each machine, and again on all when one has died.

On the first of two machines, whose address is 10.0.0.1, and on the second, in one directory that both see:

    python two_hosts.py 10.0.0.1:1234 2 0
    python two_hosts.py 10.0.0.1:1234 2 1

The exit status 75 means that a signal has stopped all of them, and that the same lines go on where they were.
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np

from callback_state import ModelCheckpointEnhanced, restore_callbacks

address, processes, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
jax.config.update("jax_cpu_collectives_implementation", "gloo")  # for machines without accelerators
jax.distributed.initialize(address, processes, number)
keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))

keras.utils.set_random_seed(1)  # every process makes the same model
x = np.random.default_rng(0).normal(size=(1024, 16)).astype("float32")
y = np.tanh(x[:, 0] * x[:, 1] + x[:, 2])
mine = slice(number, None, processes)  # and reads rows of its own
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
    keras.callbacks.EarlyStopping("loss", patience=5),
    keras.callbacks.CSVLogger("log.csv"),  # written by the first process
    ModelCheckpointEnhanced("ckpt/{epoch:03d}.keras", max_to_keep=2, save_on_signal=True, verbose=1),
]
restored = restore_callbacks("ckpt", into=callbacks, model=model, missing_ok=True)
model.fit(x[mine], y[mine], epochs=4, initial_epoch=restored.initial_epoch, callbacks=callbacks, verbose=0)
print(f"process {number} has finished", flush=True)
