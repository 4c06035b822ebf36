"""History, epoch and best value inside the ``.h5`` file: "Resuming a training process with Keras".

Start it, kill it, start it again. The article's ``MetaCheckpoint`` writes what happened so far into a group
``meta`` of the model file, and ``get_last_status`` reads there with which epoch to go on. ModelCheckpointEnhanced
writes the same group, so that whoever reads such files reads ours. What is different: optimizer, dropout and the
callbacks go on as well, whichever way it saves: whole models or ``--weights``, the latest or the ``--best``, in
one file or in ``--many``. Where only the best is saved, a run goes on from there and trains what came after again.
"""

import argparse

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from callback_state import ModelCheckpointEnhanced, latest_checkpoint, load_meta, restore_callbacks

parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
parser.add_argument("--data", choices=["digits", "mnist", "fashion_mnist", "cifar10"], default="digits")
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--directory", default="meta")
parser.add_argument("--weights", action="store_true", help="weights and optimizer only")
parser.add_argument("--best", action="store_true", help="save only what is better than all before")
parser.add_argument("--many", action="store_true", help="a file per epoch instead of one that is written over")
args = parser.parse_args()


def load(name):
    """Images as rows of numbers from 0 to 1, and labels: for training, for validation."""
    if name == "digits":
        x, x_val, y, y_val = train_test_split(*load_digits(return_X_y=True), random_state=1)
    else:
        (x, y), (x_val, y_val) = getattr(keras.datasets, name).load_data()
    x, x_val = (images.reshape(len(images), -1).astype("float32") / images.max() for images in (x, x_val))
    return (x, y), (x_val, y_val)


def get_last_status(directory):
    """The 0-based epoch of the newest checkpoint, or -1, and what it says of all epochs up to there."""
    newest = latest_checkpoint(directory)
    meta = load_meta(newest) if newest else {"epochs": [-1]}
    return meta["epochs"][-1], meta


keras.utils.set_random_seed(1)
(x, y), validation = load(args.data)
model = keras.Sequential(
    [
        keras.layers.Input(x.shape[1:]),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dropout(0.4),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])

name = "{epoch:02d}-{val_loss:.4f}" if args.many else "model"
checkpoint = ModelCheckpointEnhanced(
    f"{args.directory}/{name}{'.weights.h5' if args.weights else '.h5'}",
    save_best_only=args.best,
    save_weights_only=args.weights,
    training_args=args,
)
last, meta = get_last_status(args.directory)
print(f"last epoch: {last}, best val_loss: {min(meta.get('val_loss', [float('inf')])):.6f}", flush=True)
restore_callbacks(args.directory, into=[checkpoint], model=model, missing_ok=True)
model.fit(
    x, y, validation_data=validation, epochs=args.epochs, initial_epoch=last + 1, callbacks=[checkpoint], verbose=2
)
last, meta = get_last_status(args.directory)
print(f"epochs: {meta['epochs']}\nval_loss: {meta['val_loss']}")
