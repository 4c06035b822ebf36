"""What a checkpoint says can be read before anything is built."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from places import ENVIRONMENT

from callback_state import CorruptCheckpointError, ModelCheckpointEnhanced, adapter, peek, restore_callbacks


class Served(keras.callbacks.Callback):
    """Reports to a server, whose number for this run it knows."""

    def __init__(self, number: str = "run 7") -> None:
        super().__init__()
        self.number = number


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of a run of two epochs."""
    found = tmp_path_factory.mktemp("ckpt")
    adapter(Served, state=(), outside=lambda callback: {"id": callback.number})
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    saver = ModelCheckpointEnhanced(found / "{epoch}.keras", "loss", training_args={"rate": 0.1})
    callbacks = [Served(), saver]
    restore_callbacks(found, into=callbacks, missing_ok=True)
    model.fit(np.ones((2, 1)), np.ones((2, 1)), shuffle=False, epochs=2, verbose=0, callbacks=callbacks)
    return found


def test_it_says_what_is_outside(directory: Path) -> None:
    """Of the newest checkpoint, or of the one that is named."""
    found = peek(directory)
    assert found is not None and (found.path, found.epoch, found.finished) == (str(directory / "2.keras"), 1, True)
    assert found.outside == {"Served": {"id": "run 7"}} and found.training_args == {"rate": 0.1}
    assert found.history["epochs"] == [0, 1] and len(found.history["loss"]) == 2
    first = peek(directory / "1.keras")
    assert first is not None and (first.epoch, first.finished, first.history["epochs"]) == (0, False, [0])


def test_a_first_start_has_nothing(tmp_path: Path) -> None:
    """Whether the directory is there or not."""
    assert peek(tmp_path) is peek(tmp_path / "nowhere") is peek(tmp_path / "1.keras") is None


def test_damage_is_no_first_start(directory: Path, tmp_path: Path) -> None:
    """Or a script would begin anew without a word."""
    (tmp_path / "1.keras").write_bytes(b"damaged")
    (tmp_path / "1.keras.callbacks.pkl").write_bytes(b"damaged too")
    with pytest.raises(CorruptCheckpointError):
        peek(tmp_path)


def test_nothing_heavy_is_imported(directory: Path) -> None:
    """No Keras, no TensorFlow."""
    code = f"import sys, callback_state; callback_state.peek({str(directory)!r}); print('keras' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    assert done.stdout == "False\n"
