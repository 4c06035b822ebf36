"""What cannot be resumed exactly is told when training starts, once, with the cure, and kept in the file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from harness import X, Y
from reused import fresh_model

from callback_state import ModelCheckpointEnhanced, restore_callbacks


class Noisy(keras.layers.Layer):
    """Draws from one of TensorFlow's stateful operations."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x + tf.random.normal((), stddev=0.01) if training else x


def noisy_model() -> Any:
    model = keras.Sequential([keras.Input((6,)), Noisy(), keras.layers.Dense(1)])
    model.compile("adam", keras.losses.MeanSquaredError(), jit_compile=False)
    return model


def drawing() -> Iterator[Any]:
    """Draws from NumPy's global generator for each batch."""
    while True:
        rows = np.random.permutation(len(X))[:16]
        yield X[rows], Y[rows]


def fit(directory: Path, model: Any, *, epochs: int = 3, save_freq: Any = "epoch", **options: Any) -> Any:
    """(the warnings, what was restored) of one start."""
    saver = ModelCheckpointEnhanced(directory / "{epoch}.keras", "loss", save_freq=save_freq)
    restored = restore_callbacks(directory, into=[saver], model=model, missing_ok=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(**options, epochs=epochs, initial_epoch=restored.initial_epoch, verbose=0, callbacks=[saver])
    told = [str(w.message) for w in caught if "may differ" in str(w.message)]
    return told, restored


class Sampler:
    """An order in an object of one's own."""

    def __init__(self) -> None:
        self.order = np.arange(len(X))


class Sampled(keras.utils.PyDataset):
    """Whose order cannot be saved."""

    def __init__(self) -> None:
        super().__init__()
        self.sampler, self.random = Sampler(), np.random.default_rng(1)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Any:
        rows = self.sampler.order[16 * i : 16 * i + 16]
        return X[rows], Y[rows]

    def on_epoch_end(self) -> None:
        self.random.shuffle(self.sampler.order)


#: Each finds its doubt at another moment; test_doubts.py has the others of each moment.
CASES: dict[str, Any] = {
    "arrays": (fresh_model, lambda: {"x": X, "y": Y, "batch_size": 16}, "epoch", r"set_random_seed"),
    "train step": (noisy_model, lambda: {"x": X, "y": Y, "shuffle": False}, "epoch", r"SeedGenerator|stateless"),
    "own objects": (fresh_model, lambda: {"x": Sampled()}, "epoch", r"sampler changed.*array of indices"),
    "input threads": (fresh_model, lambda: {"x": drawing(), "steps_per_epoch": 12}, 6, r"default_rng"),
}


@pytest.mark.parametrize("name", CASES)
def test_doubt_is_told_once_with_its_cure_and_kept(tmp_path: Path, name: str) -> None:
    """In a new run and in a resumed one, whichever it is; the file says it to who restores."""
    make, data, save_freq, cure = CASES[name]
    model = make()
    tf.random.set_seed(None)
    told, _ = fit(tmp_path, model, epochs=2, save_freq=save_freq, **data())
    assert len([text for text in told if re.search(cure, text)]) == 1
    assert len(set(told)) == len(told)
    model = make()
    tf.random.set_seed(None)
    again, restored = fit(tmp_path, model, epochs=4, save_freq=save_freq, **data())
    assert {re.sub(r"_\d+", "", text) for text in told} <= {re.sub(r"_\d+", "", text) for text in again}
    kept = [f"a resumed run may differ from this one: {doubt}" for doubt in restored.report.doubts]
    assert [text for text in kept if re.search(cure, text)] == [text for text in told if re.search(cure, text)]


def test_exact_runs_are_not_doubted(tmp_path: Path) -> None:
    """Seeded arrays, and data with a generator of its own."""
    told, _ = fit(tmp_path, fresh_model(), save_freq=2, x=X, y=Y, batch_size=16)
    own = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(64, seed=1).batch(16)
    more, _ = fit(tmp_path / "own", fresh_model(), save_freq=2, x=own)
    assert told == more == []
