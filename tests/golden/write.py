"""Wrote the checkpoints in this directory; kept to show how. They are never written anew.

    python tests/golden/write.py tests/golden/format-1

Those of format 1 were written on Python 3.10, Keras 3.7.0, TensorFlow 2.18.1 and NumPy 1.26.4.
"""

import importlib
import sys
from pathlib import Path

import keras

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
harness = importlib.import_module("harness")


def make():
    return [
        harness.PerBatch(0.02),
        harness.Batches(),
        keras.callbacks.EarlyStopping(patience=9, min_delta=1e-3),
        keras.callbacks.ReduceLROnPlateau(patience=1),
    ]


if __name__ == "__main__":
    assert harness.fit(Path(sys.argv[1]), make, kill=2, checkpoint={"max_to_keep": 1}) is None
