"""Every improvement in a file of its own, and the best model in one: "How to checkpoint Keras models".

Start it, kill it, start it again. The article trains MiniVGGNet and saves a file for every improvement, or writes
over one file with the best. Its restarted run takes its first epoch for an improvement, whatever came before.
Here one run does both, and after a kill the directory holds the files of the run that was not killed: the same
epochs, with the same losses in their names.
"""

import argparse
from pathlib import Path

import keras
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from callback_state import ModelCheckpointEnhanced, restore_callbacks

parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
parser.add_argument("--data", choices=["digits", "mnist", "fashion_mnist", "cifar10"], default="digits")
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--directory", default="vgg")
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


def block(filters):
    """Two convolutions, each with its output normalised; then half the size, and a dropout."""
    convolutions = []
    for _ in range(2):
        convolutions.append(keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
        convolutions.append(keras.layers.BatchNormalization())
    return [*convolutions, keras.layers.MaxPooling2D(), keras.layers.Dropout(0.25)]


keras.utils.set_random_seed(1)
tf.config.experimental.enable_op_determinism()
(x, y), test = load(args.data)
model = keras.Sequential(
    [
        keras.layers.Input(x.shape[1:]),
        *block(32),
        *block(64),
        keras.layers.Flatten(),
        keras.layers.Dense(512, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True), "sparse_categorical_crossentropy")

improvements, best = f"{args.directory}/improvements", f"{args.directory}/best"
callbacks = [
    ModelCheckpointEnhanced(f"{improvements}/{{epoch:03d}}-{{val_loss:.4f}}.keras", save_best_only=True),
    ModelCheckpointEnhanced(f"{best}/model.keras", save_best_only=True),
]
restored = restore_callbacks(improvements, into=callbacks, model=model, missing_ok=True)
print(restored, flush=True)
model.fit(
    x,
    y,
    validation_data=test,
    batch_size=32,
    epochs=args.epochs,
    initial_epoch=restored.initial_epoch,
    callbacks=callbacks,
    verbose=2,
)
print(*sorted(Path(args.directory).rglob("*.keras")), sep="\n")
