"""On JAX the variables get the values of a step only when somebody needs them: a step costs nothing."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest
from harness import X, Y

from callback_state import ModelCheckpointEnhanced


class Counted(keras.Sequential):
    """Counts how often the values that a step has made are put into the variables."""

    synced = 0

    def jax_state_sync(self) -> None:
        if not self._jax_state_synced:
            self.synced += 1
        super().jax_state_sync()


@pytest.mark.parametrize(("save_freq", "saves"), [("epoch", 0), (4, 4)])
def test_only_a_save_takes_the_values(tmp_path: Path, save_freq: int | str, saves: int) -> None:
    """In two epochs of eight batches: once for each save inside, and once at the end of each epoch as in Keras."""
    model = Counted([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    name = "{epoch}-{batch}.weights.h5" if saves else "{epoch}.weights.h5"
    saver = ModelCheckpointEnhanced(tmp_path / name, save_weights_only=True, save_freq=save_freq)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, shuffle=False, callbacks=[saver])
    inside = saves - (2 if saves else 0)  # that of the last batch is the one at the end of the epoch
    assert model.synced == 2 + inside
