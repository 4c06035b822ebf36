"""A store that refuses to be written to is told of when training starts, and not at the end of each epoch."""

from __future__ import annotations

import errno
import os
from typing import Any

import fsspec
import keras
import numpy as np
import pytest
from stores import new_url

from callback_state import ModelCheckpointEnhanced, StoreError, stateful
from callback_state._store.stream import Stream

pytestmark = pytest.mark.usefixtures("quick_stores")


@stateful(exclude=("close", "steps"))
class Steps(keras.callbacks.Callback):
    """Counts the steps; from the second epoch on the store is closed."""

    steps = 0

    def __init__(self, close: Any = None) -> None:
        super().__init__()
        self.close = close

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.steps += 1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1 and self.close is not None:
            self.close()


@pytest.fixture
def close(monkeypatch: pytest.MonkeyPatch) -> Any:
    def refuse(*args: Any, **options: Any) -> None:
        raise PermissionError("no")

    return lambda: monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "pipe_file", refuse)


def train(*others: Any, **options: Any) -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    saver = ModelCheckpointEnhanced(new_url() + "/{epoch}.keras", "loss", **options)
    model.fit(np.ones((2, 1)), np.ones((2, 1)), shuffle=False, epochs=2, verbose=0, callbacks=[*others, saver])


def test_nothing_is_trained(close: Any) -> None:
    """A name that is wrong, or a right that is missing, would lose every checkpoint of the run."""
    steps = Steps()
    close()
    with pytest.raises(StoreError, match="the store does not let us write it: PermissionError") as caught:
        train(steps)
    assert caught.value.lasts and steps.steps == 0


def test_a_store_that_closes_later_ends_nothing(close: Any) -> None:
    """It may open again."""
    steps = Steps(close)
    with pytest.warns(UserWarning, match="not in the store yet|does not let us write"):
        train(steps)
    assert steps.steps == 2


def test_a_full_disk_here_is_not_a_full_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are made on this machine before they are put into the store, so an error names the directory here."""

    def fail(self: Any, data: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Stream, "write", fail)
    with pytest.raises(
        OSError, match=r"on the disk of this machine: .* in .*near.* CALLBACK_STATE_CACHE"
    ) as caught:
        train(on_save_error="raise")
    assert caught.value.errno == errno.ENOSPC and not isinstance(caught.value, StoreError)
