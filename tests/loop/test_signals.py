"""Signals that ask a run to stop: it saves where it is, ends in order, and goes on as the same run."""

from __future__ import annotations

import functools
import itertools
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import X_VAL, Y_VAL, Batches, PerBatch, Run, fit
from reused import fresh_model

from callback_state import (
    CallbackStateError,
    ModelCheckpointEnhanced,
    StoppedBySignal,
    list_checkpoints,
    restore_callbacks,
)
from callback_state._loop.signals import numbers_of

EPOCHS = 3
TERM = {"save_on_signal": True}

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows sends itself no SIGTERM that can be caught")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Whatever happens, the handlers are afterwards what they were before."""
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    after = [signal.getsignal(number) for number in numbers]
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    assert after == before


class SignalAt(keras.callbacks.Callback):
    """Sends this process signals when it hears an event: ("on_epoch_begin", 2), ("on_train_batch_end", 1, 3)."""

    def __init__(self, event: str, *at: int, numbers: tuple[int, ...] = (signal.SIGTERM,)) -> None:
        super().__init__()
        self.event, self.at, self.numbers = event, at, numbers

    @property
    def epoch(self) -> int:
        return len(self.model.history.epoch)

    def _hear(self, event: str, *at: int) -> None:
        if (event, *at) == (self.event, *self.at):
            for number in self.numbers:
                signal.raise_signal(number)

    def on_train_begin(self, logs: Any = None) -> None:
        self._hear("on_train_begin")

    def on_train_end(self, logs: Any = None) -> None:
        self._hear("on_train_end")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._hear("on_epoch_begin", epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._hear("on_epoch_end", epoch)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._hear("on_train_batch_begin", self.epoch, batch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._hear("on_train_batch_end", self.epoch, batch)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._hear("on_test_batch_end", self.epoch, batch)


def own() -> list[Any]:
    return [Batches(), PerBatch(0.05), keras.callbacks.ReduceLROnPlateau(patience=1)]


def start(directory: Path, sends: SignalAt | None = None, **options: Any) -> Run:
    """One start of a script whose process gets signals."""
    sender = [] if sends is None else [sends]
    options = {"checkpoint": TERM, "epochs": EPOCHS, **options}
    ended = fit(directory, lambda: [*own(), *sender], model=fresh_model(), **options)
    assert ended is not None
    return ended


@functools.cache
def whole(name: str, **checkpoint: Any) -> tuple[Run, list[str]]:
    """The run that nobody stopped, and its files."""
    with tempfile.TemporaryDirectory() as directory:
        ended = start(Path(directory), SignalAt("never"), name=name, checkpoint={**TERM, **checkpoint})
        return ended, names(Path(directory))


def names(directory: Path) -> list[str]:
    return sorted(name for name in os.listdir(directory) if not name.startswith("."))


#: Where the signal comes, and the (epoch, batch) of the checkpoint that is found then.
MOMENTS: dict[str, tuple[tuple[Any, ...], tuple[int, int | None]]] = {
    "before the first batch": (("on_train_begin",), (0, 0)),
    "when an epoch begins": (("on_epoch_begin", 2), (2, 0)),
    "before a batch": (("on_train_batch_begin", 1, 2), (1, 2)),
    "after a batch": (("on_train_batch_end", 1, 2), (1, 2)),
    "after an epoch's last batch": (("on_train_batch_end", 1, 3), (1, 3)),
    "in a validation": (("on_test_batch_end", 1, 0), (1, None)),
    "at the end of an epoch": (("on_epoch_end", 1), (1, None)),
    "at the end of the last epoch": (("on_epoch_end", EPOCHS - 1), (EPOCHS - 1, None)),
}


#: The name of the files, the options of the checkpoint, and the signals.
RUNS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "every epoch": ("{epoch:03d}", {}, (signal.SIGTERM,)),
    "two signals": ("{epoch:03d}", {}, (signal.SIGTERM, signal.SIGUSR1)),
    "best only": ("best-{epoch}-{val_loss:.3f}", {"save_best_only": True}, (signal.SIGUSR1,)),
    "every third epoch": ("last", {"period": 3}, (signal.SIGTERM, signal.SIGTERM)),
}
#: Each kind of moment once, each run at least once; the others of the product are heavy.
FEW = {
    ("before the first batch", "two signals"),
    ("after a batch", "every epoch"),
    ("after an epoch's last batch", "every third epoch"),
    ("in a validation", "two signals"),
    ("at the end of the last epoch", "best only"),
}


@pytest.mark.parametrize(
    ("moment", "run"),
    [
        pytest.param(*pair, marks=[] if pair in FEW else pytest.mark.heavy)
        for pair in itertools.product(MOMENTS, RUNS)
    ],
)
def test_stopped_and_started_again_it_is_the_same_run(tmp_path: Path, moment: str, run: str) -> None:
    """The exit code says so, one newest checkpoint is of that moment, and in the end the same files are there."""
    (at, place), (name, checkpoint, numbers) = MOMENTS[moment], RUNS[run]
    options = {"name": name, "checkpoint": {**TERM, **checkpoint}}
    with pytest.raises(SystemExit) as stopped:
        start(tmp_path, SignalAt(*at, numbers=numbers), **options)
    assert stopped.value.code == 75
    newest = list_checkpoints(tmp_path)[-1]
    assert (newest.epoch, newest.batch, newest.finished) == (*place, False)
    assert sum(".interim." in name for name in names(tmp_path)) in (0, 2)
    uninterrupted, files = whole(name, **checkpoint)
    assert start(tmp_path, SignalAt("never"), **options).differences(uninterrupted) == []
    assert names(tmp_path) == files


def test_a_signal_after_the_last_epoch_stops_a_finished_run(tmp_path: Path) -> None:
    """What comes in on_train_end is not swallowed, and the run is marked as finished all the same."""
    with pytest.raises(SystemExit):
        start(tmp_path, SignalAt("on_train_end"))
    assert list_checkpoints(tmp_path)[-1].finished
    restored = start(tmp_path, SignalAt("never")).restored
    assert restored.finished


def test_a_signal_during_a_save_stops_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment has just been saved; it is not saved twice."""
    from callback_state._store import commit as _store

    commit = _store.commit

    def interrupted(written: Any) -> None:
        if written.model.endswith("002.keras"):
            signal.raise_signal(signal.SIGTERM)
        commit(written)

    monkeypatch.setattr(_store, "commit", interrupted)
    with pytest.raises(SystemExit):
        start(tmp_path)
    monkeypatch.undo()
    assert [(c.epoch, c.batch) for c in list_checkpoints(tmp_path)] == [(0, None), (1, None)]
    assert not any(".interim." in name for name in names(tmp_path))


class Ends(keras.callbacks.Callback):
    """Has to hear the end, to close its file."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = 0

    def on_train_end(self, logs: Any = None) -> None:
        self.heard += 1


def test_everybody_hears_the_end_once(tmp_path: Path) -> None:
    """Files are closed and flushed before the process exits."""
    ends = Ends()
    callbacks = [ends, SignalAt("on_train_batch_end", 1, 1)]
    with pytest.raises(SystemExit):
        fit(tmp_path, lambda: callbacks, checkpoint=TERM, epochs=EPOCHS, model=fresh_model())
    assert ends.heard == 1


def test_the_exit_code_can_be_chosen(tmp_path: Path) -> None:
    """For schedulers that requeue on a code of their own."""
    with pytest.raises(SystemExit) as stopped:
        start(tmp_path, SignalAt("on_epoch_begin", 1), checkpoint={**TERM, "exit_code": 3})
    assert stopped.value.code == 3


def test_an_exception_can_be_had_instead(tmp_path: Path) -> None:
    """Its name says which signal; another fit in this process goes on from there."""
    options = {"checkpoint": {**TERM, "exit_code": None}}
    with pytest.raises(StoppedBySignal, match="SIGTERM: the run was saved and stopped"):
        start(tmp_path, SignalAt("on_train_batch_end", 1, 1), **options)
    assert start(tmp_path, SignalAt("never"), **options).differences(whole("{epoch:03d}")[0]) == []


def test_the_previous_handler_hears_of_it_when_the_run_is_safe(tmp_path: Path) -> None:
    """It may exit by itself: the checkpoint is there."""
    found: list[Any] = []
    signal.signal(signal.SIGTERM, lambda number, frame: found.append((number, len(list_checkpoints(tmp_path)))))
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit):
            start(tmp_path, SignalAt("on_train_batch_end", 1, 1))
        assert found == [(signal.SIGTERM, 2)]
        assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_other_signals_can_be_chosen(tmp_path: Path) -> None:
    """A list of names or numbers; SIGINT then saves too, where Ctrl-C would tear a step apart."""
    sends = SignalAt("on_train_batch_end", 1, 1, numbers=(signal.SIGINT,))
    with pytest.raises(SystemExit):
        start(tmp_path, sends, checkpoint={"save_on_signal": ["SIGINT", signal.SIGUSR2]})
    newest = list_checkpoints(tmp_path)[-1]
    assert (newest.epoch, newest.batch) == (1, 1)


def test_what_is_no_signal_is_refused() -> None:
    """When the callback is made, and what no process can catch too."""
    assert numbers_of(None) == numbers_of(False) == []
    assert numbers_of(signal.SIGTERM) == numbers_of("SIGTERM") == [signal.SIGTERM]
    with pytest.raises(ValueError, match="'SIGNOTHING' is not a signal"):
        ModelCheckpointEnhanced("x.keras", save_on_signal=["SIGNOTHING"])
    with pytest.raises(ValueError, match="no process can catch SIGKILL"):
        ModelCheckpointEnhanced("x.keras", save_on_signal=["SIGKILL"])


def test_in_another_thread_it_is_an_error(tmp_path: Path) -> None:
    """Python gives signals to the main thread only: said before training, not found out when one comes."""
    errors: list[BaseException] = []

    def train() -> None:
        try:
            start(tmp_path)
        except CallbackStateError as error:
            errors.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert "Python handles signals only in the main thread" in str(errors[0])


class Fails(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        raise ZeroDivisionError


def test_after_a_fit_that_failed_signals_do_what_they_did(tmp_path: Path) -> None:
    """Handlers are put back when an exception leaves fit."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError):
        fit(tmp_path, lambda: [Fails()], checkpoint=TERM, model=fresh_model())
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_is_not_lost_where_fit_fails_before_it_could_stop(tmp_path: Path) -> None:
    """The process ends as it was told to, and says what failed."""
    sends = SignalAt("on_train_batch_begin", 0, 0)
    warns = pytest.warns(UserWarning, match="asked to stop, and failed before it could: ZeroDivisionError")
    with warns, pytest.raises(SystemExit) as stopped:
        fit(tmp_path, lambda: [sends, Fails()], checkpoint=TERM, model=fresh_model())
    assert stopped.value.code == 75


def test_a_handler_that_was_left_behind_steps_aside(tmp_path: Path) -> None:
    """A hand-written loop that failed tells nobody; its handler finds no loop running and lets go."""
    heard: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    mine = signal.getsignal(signal.SIGUSR1)
    model = fresh_model()
    saver = ModelCheckpointEnhanced(tmp_path / "{epoch}.keras", save_on_signal=["SIGUSR1"])

    def loop() -> None:
        callbacks = keras.callbacks.CallbackList([saver], model=model, epochs=2)
        callbacks.on_train_begin()
        assert signal.getsignal(signal.SIGUSR1) is not mine
        raise ZeroDivisionError

    try:
        with pytest.raises(ZeroDivisionError):
            loop()
        signal.raise_signal(signal.SIGUSR1)
        assert heard == [signal.SIGUSR1]
        assert signal.getsignal(signal.SIGUSR1) is mine
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def test_a_hand_written_loop_is_stopped_too(tmp_path: Path) -> None:
    """At the end of a batch that it tells its CallbackList of."""
    model = fresh_model()
    saver = ModelCheckpointEnhanced(tmp_path / "{epoch}.keras", save_on_signal=True)
    callbacks = keras.callbacks.CallbackList([saver], model=model, epochs=2)
    with pytest.raises(SystemExit):
        callbacks.on_train_begin()
        callbacks.on_epoch_begin(0)
        for batch in range(3):
            callbacks.on_train_batch_begin(batch)
            if batch == 1:
                signal.raise_signal(signal.SIGTERM)
            callbacks.on_train_batch_end(batch, model.train_on_batch(X_VAL, Y_VAL, return_dict=True))
    restored = restore_callbacks(tmp_path, into=[saver], model=model)
    assert (restored.epoch, restored.batch, restored.first_batch(0)) == (0, 1, 2)
