"""A convolutional network with three dropouts goes on from its best weights.

Start it, kill it, start it again. The article keeps the weights of the best epoch, evaluates a new model, loads
them, evaluates, and trains on. There optimizer, dropout and the best value so far begin anew: the first epoch
after the restart is "the best" and overwrites the better weights. Here the file is a plain ``.weights.h5`` too,
and the epochs that come after it are those of a run that was not killed.
"""

import argparse

import keras
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from callback_state import ModelCheckpointEnhanced, restore_callbacks

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--data", choices=["digits", "mnist", "fashion_mnist", "cifar10"], default="digits")
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--directory", default="convnet")
args = parser.parse_args()


def load(name):
    """Images of height x width x channels, from 0 to 1, and labels: for training, for testing."""
    if name == "digits":
        digits = load_digits()
        x, x_test, y, y_test = train_test_split(digits.images, digits.target, random_state=1)
    else:
        (x, y), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    x, x_test = (images.reshape(*images.shape[:3], -1).astype("float32") / images.max() for images in (x, x_test))
    return (x, y), (x_test, y_test)


def evaluate(moment):
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"{moment}: loss {loss:.6f}, accuracy {accuracy:.4f}", flush=True)


keras.utils.set_random_seed(1)
tf.config.experimental.enable_op_determinism()
(x, y), (x_test, y_test) = load(args.data)
model = keras.Sequential(
    [
        keras.layers.Input(x.shape[1:]),
        keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Dropout(0.3),
        keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Dropout(0.3),
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(keras.optimizers.Adam(0.008), "sparse_categorical_crossentropy", metrics=["accuracy"])

checkpoint = ModelCheckpointEnhanced(
    f"{args.directory}/best.weights.h5", "val_accuracy", save_best_only=True, save_weights_only=True
)
evaluate("before loading")
restored = restore_callbacks(args.directory, into=[checkpoint], model=model, missing_ok=True)
print(restored)
evaluate("after loading")
model.fit(
    x,
    y,
    validation_data=(x_test, y_test),
    batch_size=64,
    epochs=args.epochs,
    initial_epoch=restored.initial_epoch,
    callbacks=[checkpoint],
    verbose=2,
)
evaluate("after going on")
