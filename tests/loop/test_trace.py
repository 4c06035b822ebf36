"""The course of a run by the clock, as its state files tell it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from harness import Killed, Strike, X, Y
from reused import fresh_model

from callback_state import ModelCheckpointEnhanced, list_checkpoints, restore_callbacks, stateful
from callback_state._callbacks.numbers import numbers_of
from callback_state._checkpoints.schema import Start
from callback_state._checkpoints.snapshot import Snapshot
from callback_state._checkpoints.trace import Trace as Course
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


@pytest.mark.filterwarnings("ignore:.*fit starts with epoch", "ignore:.*weights or optimizer", "ignore:.*steps")
def test_a_start_that_is_not_where_the_checkpoint_was_shows_it(tmp_path: Path) -> None:
    """With strict=False somebody may begin elsewhere: the file says where he should have."""
    killed(tmp_path, Strike("epoch_begin", at=2))
    start(tmp_path, strict=False)
    two = newest(tmp_path).starts[1]
    assert (two.epoch, two.due) == (0, (2, 0))


def test_a_run_without_a_learning_rate_has_none() -> None:
    """Such as one of a model without an optimizer. What a run adds is not in what it goes on from."""
    first = Start(1, 0, 0, None, None, None, 0)
    meta = replace(META, starts=[first], trace=Course([0], [0.5], [1]))
    going_on = Trace(meta)
    going_on.start(1, 0)
    going_on.start(5, 5)
    going_on.end_epoch(1, object(), [])
    starts, trace = going_on.taken(2)
    assert (trace.epochs, trace.learning_rate) == ([0, 1], [0.5, None])
    assert [(s.epoch, s.beside) for s in starts] == [(0, 0), (1, 2)]
    assert meta.starts == [first] and meta.trace.epochs == [0]


@stateful
class Counting(keras.callbacks.Callback):
    """One number of each kind, and what is none: a configuration, a text, an array, an int that is too large."""

    def __init__(self, peak: float = 0.5) -> None:
        super().__init__()
        self.peak = peak
        self.steps, self.single, self.on, self.text = 0, np.float32(0.1), np.bool_(True), "x"
        self.array, self.large = np.zeros(1), 1 << 70

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1


@stateful(exclude=("step1",))
class Many(keras.callbacks.Callback):
    """Twenty numbers, one of which is no state."""

    def __init__(self) -> None:
        super().__init__()
        for i in range(20):
            setattr(self, f"step{i}", i)


def test_the_numbers_of_callbacks_are_told_over_a_restart(tmp_path: Path) -> None:
    """What stood at the end of each epoch, whatever is deleted; a best value as the save of that epoch has it."""
    for kill in ([Strike("epoch_begin", at=2)], []):
        model, saver = fresh_model(), ModelCheckpointEnhanced(tmp_path / "{epoch}.keras", "loss", max_to_keep=1)
        callbacks = [keras.callbacks.EarlyStopping("loss", patience=9), Counting(), saver]
        callbacks.append(ModelCheckpointEnhanced(tmp_path / "best" / "m.keras", "loss", save_best_only=True))
        restored = restore_callbacks(tmp_path, into=callbacks, model=model, missing_ok=True)
        with pytest.raises(Killed) if kill else contextlib.nullcontext():
            given = {"batch_size": 16, "initial_epoch": restored.initial_epoch, "verbose": 0}
            model.fit(X, Y, epochs=4, callbacks=[*callbacks, *kill], **given)
    assert len(list_checkpoints(tmp_path)) == 1
    meta = newest(tmp_path)
    assert meta.trace.epochs == [0, 1, 2, 3]
    losses = meta.history.series["loss"]
    best = [min(losses[: i + 1]) for i in range(4)]
    epochs = [losses.index(one) for one in best]
    noted = {
        key: of for key, of in meta.trace.numbers.items() if key != "ModelCheckpointEnhanced"
    }  # inf in Keras 3.7
    assert noted == {
        "EarlyStopping": {
            "wait": [i - epoch for i, epoch in enumerate(epochs)],
            "stopped_epoch": [0] * 4,
            "best": best,
            "best_epoch": epochs,
        },
        "Counting": {"steps": [4, 8, 12, 16], "single": [float(np.float32(0.1))] * 4, "on": [True] * 4},
        "ModelCheckpointEnhanced_1": {"best": best},
    }
    assert {*map(type, meta.trace.numbers["Counting"]["on"])} == {bool}


def test_at_most_sixteen_numbers_of_a_callback_are_told() -> None:
    """The first ones that are state; those that were told before stay, also where others come before them."""
    assert [*numbers_of(Many())] == [f"step{i}" for i in range(17) if i != 1]
    assert [*numbers_of(Many(), ["step19", "gone"])] == ["step19", "step0", *(f"step{i}" for i in range(2, 15))]


def test_a_column_goes_on_with_its_callback() -> None:
    """Under the key that the callback has here; what is not there has no number, what is new had none."""
    noted = {"A": {"steps": [1]}, "B": {"steps": [2]}, "C": {"steps": [3]}}
    one, two = Counting(), Counting()
    meta = replace(META, trace=Course([0], [0.5], [1], noted))
    trace = Trace(meta, {"B": one, "C": object()})
    for epoch in (1, 2):
        one.steps, two.steps = 10 * epoch, 20 * epoch
        trace.end_epoch(epoch, object(), [one, two])
    numbers = {key: of["steps"] for key, of in trace.taken(0)[1].numbers.items()}
    expected = {"A": [1, None, None], "C": [3, None, None], "Counting": [2, 10, 20], "Counting_1": [None, 20, 40]}
    assert numbers == expected
    assert meta.trace.numbers["B"]["steps"] == [2]


def test_a_long_run_keeps_every_second_fourth_and_so_on() -> None:
    """From the first epoch on, so that no file grows without end; a restart changes nothing of it."""
    one, trace = Counting(), Trace()
    for epoch in range(2500):
        if epoch == 1500:
            trace = Trace(replace(META, trace=trace.taken(0)[1]), {"Counting": one})
        one.steps = epoch
        trace.end_epoch(epoch, object(), [one])
        if epoch in (1023, 1024, 2499):
            told = trace.taken(0)[1]
            assert told.numbers["Counting"]["steps"] == told.noted == [*range(0, epoch + 1, told.stride)]
    assert told.stride == 4


@pytest.mark.filterwarnings("ignore:.*Nothing was restored")
def test_a_start_that_restored_nothing_beside_checkpoints_shows_it(tmp_path: Path) -> None:
    """It is another run, which writes over them."""
    killed(tmp_path, Strike("epoch_begin", at=2))
    fresh_model().fit(X, Y, epochs=1, verbose=0, callbacks=[ModelCheckpointEnhanced(tmp_path / "{epoch}.keras")])
    (only,) = Snapshot.open(str(tmp_path / "1.keras")).meta.starts
    assert (only.from_, only.beside) == (None, 2)
