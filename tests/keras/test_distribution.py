"""How TensorFlow distributes a model: what works, and what is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from callback_state import BackendError, ModelCheckpointEnhanced, restore_callbacks


def test_several_workers_are_refused(tmp_path: Path) -> None:
    """The error says why, and what to use; nothing was written."""
    with tf.distribute.MultiWorkerMirroredStrategy().scope():
        model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    saver = ModelCheckpointEnhanced(tmp_path / "ckpt" / "m.keras")
    with pytest.raises(BackendError, match=r"keras issue 20585.*JAX backend"):
        restore_callbacks(tmp_path / "ckpt", into=[saver], model=model, missing_ok=True)
    with pytest.raises(BackendError, match=r"keras issue 20585.*JAX backend"):
        model.fit(np.zeros((4, 2)), np.zeros(4), callbacks=[saver], verbose=0)
    assert not (tmp_path / "ckpt").exists()
