"""Signals that ask a run to stop: it saves where it is, ends in order, and goes on as the same run."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import X_VAL, Y_VAL, Batches, PerBatch, Run, fit
from places import ENVIRONMENT, ROOT
from reused import fresh_model

from callback_state import (
    CallbackStateError,
    ModelCheckpointEnhanced,
    StoppedBySignal,
    list_checkpoints,
    restore_callbacks,
)
from callback_state._loop import messages, signals
from callback_state._loop.signals import numbers_of

EPOCHS = 3
TERM = {"save_on_signal": True}

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows sends itself no SIGTERM that can be caught")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Afterwards the handlers are what they were before, or they ignore what a process that exits ignores."""
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    after = [signal.getsignal(number) for number in numbers]
    ignored = set(signals._IGNORED)
    signals._IGNORED.clear()
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    expected = zip(numbers, before, strict=True)
    assert after == [signal.SIG_IGN if number in ignored else handler for number, handler in expected]


class SignalAt(keras.callbacks.Callback):
    """Sends this process signals when it hears an event: ("epoch_begin", 2), ("train_batch_end", 1, 3)."""

    def __init__(self, event: str, *at: int, numbers: tuple[int, ...] = (signal.SIGTERM,)) -> None:
        super().__init__()

        def hear(*heard: Any, logs: Any = None) -> None:
            index = [i for i in heard if isinstance(i, int)]
            if "batch" in event:
                index = [len(self.model.history.epoch), *index]
            if [*at] == index:
                for number in numbers:
                    signal.raise_signal(number)

        setattr(self, f"on_{event}", hear)


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


#: Where the signal comes, the (epoch, batch) of the checkpoint that is found then; the name of the files, the
#: options of the checkpoint, and the signals.
MOMENTS: dict[str, Any] = {
    "before the first batch": (("train_begin",), (0, 0), "{epoch:03d}", {}, (signal.SIGTERM, signal.SIGUSR1)),
    "after a batch": (("train_batch_end", 1, 2), (1, 2), "{epoch:03d}", {}, (signal.SIGTERM,)),
    "after an epoch's last batch": (
        ("train_batch_end", 1, 3),
        (1, 3),
        "last",
        {"period": 3},
        (signal.SIGTERM, signal.SIGTERM),
    ),
    "in a validation": (("test_batch_end", 1, 0), (1, None), "{epoch:03d}", {}, (signal.SIGTERM, signal.SIGUSR1)),
    "at the end of the last epoch": (
        ("epoch_end", EPOCHS - 1),
        (EPOCHS - 1, None),
        "best-{epoch}-{val_loss:.3f}",
        {"save_best_only": True},
        (signal.SIGUSR1,),
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_stopped_and_started_again_it_is_the_same_run(tmp_path: Path, moment: str) -> None:
    """The exit code says so, one newest checkpoint is of that moment, and in the end the same files are there;
    everybody hears the end once, to close files."""
    at, place, name, checkpoint, numbers = MOMENTS[moment]
    options = {"name": name, "checkpoint": {**TERM, **checkpoint}}
    ends: list[Any] = []
    sends = SignalAt(*at, numbers=numbers)
    sends.on_train_end = ends.append  # type: ignore[method-assign]
    with pytest.raises(SystemExit) as stopped:
        start(tmp_path, sends, **options)
    assert stopped.value.code == 75 and len(ends) == 1
    newest = list_checkpoints(tmp_path)[-1]
    assert (newest.epoch, newest.batch, newest.finished) == (*place, False)
    assert sum(".interim." in name for name in names(tmp_path)) in (0, 2)
    uninterrupted, files = whole(name, **checkpoint)
    assert start(tmp_path, SignalAt("never"), **options).differences(uninterrupted) == []
    assert names(tmp_path) == files


def test_a_signal_after_the_last_epoch_stops_a_finished_run(tmp_path: Path) -> None:
    """What comes in on_train_end is not swallowed, and the run is marked as finished all the same."""
    with pytest.raises(SystemExit):
        start(tmp_path, SignalAt("train_end"))
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


REPEATED = """
import atexit, signal, sys, threading, types
from callback_state._loop import messages, signals

def pelt():
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM):
        signal.raise_signal(number)

class Late:
    def __del__(self):
        pelt()

def train():
    stop = signals.StopSignals(sys._getframe(), 75)
    stop.listen(signals.numbers_of(True))
    pelt()
    stop.leave()
    pelt()
    stop.ignore()
    stop.hand_on()
    stop.stop()

atexit.register(pelt)
sys.late = Late()
here = threading.Thread(target=lambda: threading.main_thread().join() or pelt())
here.start()
try:
    train()
finally:
    pelt()
"""


def test_signals_that_are_repeated_until_the_process_has_ended_change_nothing() -> None:
    """After the first one others may come at any moment, also in Python's own end: the exit status is 75."""
    ended = subprocess.run(
        [sys.executable, "-c", REPEATED], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (75, "")


def test_the_last_line_says_what_stopped_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The signal, what was saved, and how it ends; with several checkpoints, of all that speak."""
    sends = SignalAt("train_batch_end", 1, 1)
    with pytest.raises(SystemExit):
        start(tmp_path, sends, checkpoint={**TERM, "verbose": 1})
    interim = f"{tmp_path}/epoch.interim.keras (epoch 2, batch 2)"
    assert capsys.readouterr().out.splitlines()[-1] == f"Stopped by SIGTERM: saved {interim}; exit status 75"
    line = messages.stopped("SIGUSR1", ["1.keras (Epoch 1)", "2.keras (Epoch 2)"], "exit status 3")
    assert line == "Stopped by SIGUSR1: saved 1.keras (Epoch 1), 2.keras (Epoch 2); exit status 3"
    assert messages.stopped("SIGTERM", [], "fit raises StoppedBySignal") == (
        "Stopped by SIGTERM: nothing was saved; fit raises StoppedBySignal"
    )


def test_the_exit_code_can_be_chosen(tmp_path: Path) -> None:
    """For schedulers that requeue on a code of their own; or an exception, whose name says which signal."""
    with pytest.raises(SystemExit) as stopped:
        start(tmp_path / "code", SignalAt("epoch_begin", 1), checkpoint={**TERM, "exit_code": 3})
    assert stopped.value.code == 3
    with pytest.raises(StoppedBySignal, match="SIGTERM: the run was saved and stopped"):
        start(tmp_path / "none", SignalAt("epoch_begin", 1), checkpoint={**TERM, "exit_code": None})


def test_the_previous_handler_hears_of_it_when_the_run_is_safe(tmp_path: Path) -> None:
    """It may exit by itself: the checkpoint is there."""
    found: list[Any] = []
    signal.signal(signal.SIGTERM, lambda number, frame: found.append((number, len(list_checkpoints(tmp_path)))))
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit):
            start(tmp_path, SignalAt("train_batch_end", 1, 1))
        assert found == [(signal.SIGTERM, 2)]
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN  # the process is about to exit
        start(tmp_path, SignalAt("never"))  # it went on all the same
        assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_other_signals_can_be_chosen(tmp_path: Path) -> None:
    """A list of names or numbers; SIGINT then saves too, where Ctrl-C would tear a step apart."""
    sends = SignalAt("train_batch_end", 1, 1, numbers=(signal.SIGINT,))
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


def test_a_signal_is_not_lost_where_fit_fails_before_it_could_stop(tmp_path: Path) -> None:
    """The process ends as it was told to, and says what failed; handlers are put back."""
    sends = SignalAt("train_batch_begin", 0, 0)
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
