"""The course of a run by the clock, as its state files tell it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import Killed, Strike, X, Y
from reused import fresh_model

from callback_state import ModelCheckpointEnhanced, list_checkpoints, restore_callbacks, stateful
from callback_state._checkpoints import schema
from callback_state._checkpoints.schema import Start
from callback_state._checkpoints.snapshot import Snapshot
from callback_state._loop.trace import Trace
from callback_state.testing.proof.states import META


@stateful
class Halving(keras.callbacks.Callback):
    """A rate of its own for each epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = 0.5 ** (epoch + 1)


def start(directory: Path, *more: Any, name: str = "{epoch}.keras", strict: bool = True, **options: Any) -> None:
    """A start of the script: three epochs of four batches."""
    saver = ModelCheckpointEnhanced(directory / name, **options)
    model, callbacks = fresh_model(), [Halving(), saver]
    restored = restore_callbacks(directory, into=callbacks, model=model, missing_ok=True, strict=strict)
    initial = restored.initial_epoch if strict else 0
    model.fit(X, Y, epochs=3, batch_size=16, initial_epoch=initial, callbacks=[*callbacks, *more], verbose=0)


def killed(directory: Path, killer: Any, **options: Any) -> None:
    with pytest.raises(Killed):
        start(directory, killer, **options)


def newest(directory: Path) -> dict[str, Any]:
    return Snapshot.open(list_checkpoints(directory)[-1].path).meta


def test_each_start_is_told_with_the_checkpoint_it_went_on_from(tmp_path: Path) -> None:
    """When, at which epoch and batch, from the save of which time; and what that was due to go on with."""
    began = time.time_ns()
    killed(tmp_path, Strike("epoch_begin", at=1))
    first = newest(tmp_path).saved_at
    start(tmp_path)
    meta = newest(tmp_path)
    one, two = meta.starts
    assert began < one.at < first < two.at < meta.saved_at
    assert one == Start(one.at, 0, 0, None, None, None, 0)
    assert two == Start(two.at, 1, 0, first, 1, 0, 1)


def test_a_start_inside_an_epoch_is_told_with_its_batch(tmp_path: Path) -> None:
    """Training goes on when the batches before have been read again, not when fit is called."""
    killed(tmp_path, Strike("train_batch_begin", at=2), name="{epoch}-{batch}.keras", save_freq=2)
    saved_at = newest(tmp_path).saved_at
    start(tmp_path, name="{epoch}-{batch}.keras", save_freq=2)
    two = newest(tmp_path).starts[1]
    assert (two.epoch, two.batch, two.from_, two.due) == (0, 2, saved_at, (0, 2))


def test_the_end_of_each_epoch_is_told_once(tmp_path: Path) -> None:
    """Over a restart: the learning rate that stood at its end, and the time."""
    killed(tmp_path, Strike("epoch_begin", at=2))
    start(tmp_path)
    trace = newest(tmp_path).trace
    assert trace.epochs == [0, 1, 2]
    assert trace.learning_rate == [0.5, 0.25, 0.125]
    assert sorted(trace.ended_at) == trace.ended_at


@pytest.mark.filterwarnings("ignore:.*fit starts at epoch", "ignore:.*weights or optimizer", "ignore:.*steps")
def test_a_start_that_is_not_where_the_checkpoint_was_shows_it(tmp_path: Path) -> None:
    """With strict=False somebody may begin elsewhere: the file says where he should have."""
    killed(tmp_path, Strike("epoch_begin", at=2))
    start(tmp_path, strict=False)
    two = newest(tmp_path).starts[1]
    assert (two.epoch, two.due) == (0, (2, 0))


def test_a_run_without_a_learning_rate_has_none() -> None:
    """Such as one of a model without an optimizer. What a run adds is not in what it goes on from."""
    first = Start(1, 0, 0, None, None, None, 0)
    meta = replace(META, starts=[first], trace=schema.Trace([0], [0.5], [1]))
    going_on = Trace(meta)
    going_on.start(1, 0)
    going_on.start(5, 5)
    going_on.end_epoch(1, object())
    starts, trace = going_on.taken(2)
    assert (trace.epochs, trace.learning_rate) == ([0, 1], [0.5, None])
    assert [(s.epoch, s.beside) for s in starts] == [(0, 0), (1, 2)]
    assert meta.starts == [first] and meta.trace.epochs == [0]


@pytest.mark.filterwarnings("ignore:.*Nothing was restored")
def test_a_start_that_restored_nothing_beside_checkpoints_shows_it(tmp_path: Path) -> None:
    """It is another run, which writes over them."""
    killed(tmp_path, Strike("epoch_begin", at=2))
    fresh_model().fit(X, Y, epochs=1, verbose=0, callbacks=[ModelCheckpointEnhanced(tmp_path / "{epoch}.keras")])
    (only,) = Snapshot.open(str(tmp_path / "1.keras")).meta.starts
    assert (only.from_, only.beside) == (None, 2)
