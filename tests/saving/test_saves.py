"""Saves that go on beside training: what waits for them, what is told of them, and what is done when they end."""

from __future__ import annotations

import errno
import os
import re
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import Batches, PerBatch, Run, X, Y
from reused import fit, fresh_model

from callback_state import (
    Checkpoint,
    ModelCheckpointEnhanced,
    WriteError,
    list_checkpoints,
    restore_callbacks,
    stateful,
)
from callback_state._format.blocks import Blocks
from callback_state._saving import saves
from callback_state._saving.save import Save

BESIDE = {"save_on_background": True}
#: These epochs are so short that the next one may end before a save does.
pytestmark = pytest.mark.filterwarnings("ignore:.*training has waited:UserWarning")
FULL = OSError(errno.ENOSPC, "No space left on device")


class Gate:
    """Saves beside training wait before they write, until somebody opens it; those of some names fail then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = threading.Event()
        self.fails: dict[str, Exception] = {}
        self.threads: list[str] = []
        run = Save.run

        def waits(save: Any) -> None:
            if threading.current_thread() is not threading.main_thread():
                assert self.passed.wait(20)
            self.threads.append(threading.current_thread().name)
            if (error := self.fails.pop(os.path.basename(save.path), None)) is not None:
                raise error
            run(save)

        monkeypatch.setattr(Save, "run", waits)

    def open(self) -> None:
        self.passed.set()

    def close(self) -> None:
        self.passed.clear()

    def opens_for_who_waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is shut for each save, and opened when training waits for that."""
        wait = saves.wait

        def opening(futures: Any) -> Any:
            self.open()
            done = wait(futures)
            self.close()
            return done

        monkeypatch.setattr(saves, "wait", opening)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


@stateful(exclude=("act", "epoch"))
class At(keras.callbacks.Callback):
    """Calls a function at the beginning of every batch, with the 0-based epoch and batch."""

    def __init__(self, act: Callable[[int, int], None]) -> None:
        super().__init__()
        self.act, self.epoch = act, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.act(self.epoch, batch)


@stateful
class Losses(keras.callbacks.Callback):
    """Gives each epoch its value of ``mine``."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["mine"] = self.values[epoch]


def start(directory: Path, *more: Any, **options: Any) -> Run:
    def make() -> list[Any]:
        return [Batches(), PerBatch(0.05), keras.callbacks.EarlyStopping(patience=9), *more]

    checkpoint = {**BESIDE, **options.pop("checkpoint", {})}
    ended = fit(directory, make, **{"epochs": 3, **options, "checkpoint": checkpoint})
    assert ended is not None
    return ended


def train(checkpoint: Any, *callbacks: Any, epochs: int = 4, **options: Any) -> None:
    fresh_model().fit(X, Y, epochs=epochs, verbose=0, callbacks=[*callbacks, checkpoint], **options)


def names(directory: Path) -> list[str]:
    return [os.path.basename(c.path) for c in list_checkpoints(directory)]


@pytest.mark.parametrize("ending", [".keras", ".weights.h5", ".h5"])
def test_the_run_is_the_one_that_saves_at_once(tmp_path: Path, ending: str) -> None:
    """Weights, optimizer, states and history are equal, and so is what a restart gets from the files."""
    runs = []
    for name, beside in (("a", True), ("b", False)):
        options: dict[str, Any] = {"checkpoint": {"save_on_background": beside}, "ending": ending}
        start(tmp_path / name, epochs=2, **options)
        runs.append((start(tmp_path / name, epochs=4, **options), names(tmp_path / name)))
    (one, files), (other, others) = runs
    assert one.restored.epoch == 1
    assert one.differences(other) == []
    assert files == others


def test_training_goes_on_meanwhile(tmp_path: Path, gate: Gate) -> None:
    """Batches of the next epoch are trained while nothing is committed yet."""
    seen: list[Any] = []

    def act(epoch: int, batch: int) -> None:
        if (epoch, batch) == (1, 3):
            seen.append(names(tmp_path))
            gate.open()

    start(tmp_path, At(act))
    assert seen == [[]]
    assert names(tmp_path) == ["001.keras", "002.keras", "003.keras"]
    assert {*gate.threads} == {"callback_state saves_0"}


def test_the_next_save_waits_and_says_so_once(tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the checkpoint that was still being written, and what to do about it."""
    gate.opens_for_who_waits(monkeypatch)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        start(tmp_path, epochs=4)
    told = [str(w.message) for w in warned if "training has waited" in str(w.message)]
    assert len(told) == 1
    assert "001.keras: this save was still being written" in told[0]
    assert "save less often" in told[0]
    assert len(names(tmp_path)) == 4


def test_a_save_by_the_clock_is_left_out(tmp_path: Path, gate: Gate) -> None:
    """Nothing waits for it, and it is made at the first event after the save that was under way."""

    def act(epoch: int, batch: int) -> None:
        if (epoch, batch) == (1, 2):
            gate.open()
            saves.wait([checkpoint._keeper._saves._future])

    seen: list[Any] = []
    checkpoint = ModelCheckpointEnhanced(
        tmp_path / "{epoch}.keras",
        period=9,
        save_every=1e-6,
        on_saved=lambda c: seen.append((c.epoch, c.batch)),
        **BESIDE,
    )
    train(checkpoint, At(act), epochs=2, batch_size=16)
    assert seen[:2] == [(0, 0), (1, 2)]


def test_without_a_thread_it_saves_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may have none to give."""

    def refuses(*arguments: Any) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(saves.ThreadPoolExecutor, "submit", refuses)
    start(tmp_path)
    assert names(tmp_path) == ["001.keras", "002.keras", "003.keras"]


def test_what_cannot_be_held_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory at the quiet point a save fails, nothing of it is left, and the next one succeeds."""
    places = tmp_path / "temporary"
    places.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(places))
    copied, left = Blocks.copied, [MemoryError("no memory")]

    def once(self: Any, *arguments: Any) -> None:
        if left and names(tmp_path):
            raise left.pop()
        copied(self, *arguments)

    monkeypatch.setattr(Blocks, "copied", once)
    with pytest.warns(UserWarning, match=r"not saved \(MemoryError"):
        start(tmp_path, epochs=4)
    assert len(names(tmp_path)) == 3
    assert os.listdir(places) == []


# Errors.


def test_an_error_is_told_at_the_next_event(tmp_path: Path, gate: Gate) -> None:
    """The warning names the checkpoint that is missing; the run and its other checkpoints are as ever."""
    gate.open()
    gate.fails["002.keras"] = FULL
    with pytest.warns(UserWarning, match=r"002\.keras: not saved \(OSError: .*No space") as warned:
        ended = start(tmp_path / "a")
    assert sum("not saved" in str(w.message) for w in warned) == 1
    assert names(tmp_path / "a") == ["001.keras", "003.keras"]
    assert ended.differences(start(tmp_path / "b")) == ["states"]  # the ledger has no 002.keras


@pytest.mark.parametrize("name", ["001.keras", "003.keras"])
def test_or_it_is_raised_there(tmp_path: Path, gate: Gate, name: str) -> None:
    """With on_save_error="raise", at the next save or at the end; the error names the checkpoint."""
    gate.open()
    gate.fails[name] = FULL
    with pytest.raises(WriteError, match=r"not saved beside training .*No space") as caught:
        start(tmp_path, checkpoint={"on_save_error": "raise"})
    assert os.path.basename(caught.value.path) == name
    assert names(tmp_path) == {"001.keras": [], "003.keras": ["001.keras", "002.keras"]}[name]


def test_an_error_that_would_come_again_is_raised(tmp_path: Path, gate: Gate) -> None:
    """If the first save fails, and not by the disk, no later one could succeed."""
    gate.open()
    gate.fails["001.keras"] = TypeError("not a number")
    with pytest.raises(WriteError, match="TypeError: not a number"):
        start(tmp_path)


def test_what_was_not_saved_is_not_the_best(tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch is compared with the best that is on disk: the save before is waited for."""
    gate.opens_for_who_waits(monkeypatch)
    gate.fails["best.keras"] = FULL
    saver = ModelCheckpointEnhanced(tmp_path / "best.keras", "mine", save_best_only=True, mode="min", **BESIDE)
    with pytest.warns(UserWarning, match="not saved"):
        train(saver, Losses(1.0, 3.0, 4.0, 5.0))
    assert [(c.epoch, c.monitor) for c in list_checkpoints(tmp_path) if "final" not in c.path] == [
        (1, ("mine", 3.0))
    ]


def test_what_was_not_saved_is_not_kept(tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is deleted for a checkpoint that is not there."""
    gate.opens_for_who_waits(monkeypatch)
    gate.fails["3.keras"] = FULL
    found: list[Any] = []
    saver = ModelCheckpointEnhanced(
        tmp_path / "{epoch}.keras", max_to_keep=2, on_saved=lambda c: found.append(names(tmp_path)), **BESIDE
    )
    with pytest.warns(UserWarning, match=r"3\.keras: not saved"):
        train(saver)
    assert found == [
        ["1.keras"],
        ["1.keras", "2.keras"],
        ["1.keras", "2.keras", "4.keras"],
        ["2.keras", "4.keras"],
    ]


# The end.


def test_an_exception_waits(tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The save under way is on disk when the exception has left fit, and the directory is free."""
    gate.opens_for_who_waits(monkeypatch)

    def act(epoch: int, batch: int) -> None:
        if epoch == 1:
            raise RuntimeError("of the script")

    with pytest.raises(RuntimeError, match="of the script"):
        start(tmp_path, At(act))
    assert sorted(os.listdir(tmp_path)) == ["001.keras", "001.keras.callbacks.pkl"]


def test_ctrl_c_while_training_waits(tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The save is completed all the same, and then fit ends with KeyboardInterrupt."""
    wait, interrupts = saves.wait, iter([KeyboardInterrupt()])

    def interrupted(futures: Any) -> Any:
        for error in interrupts:
            raise error
        gate.open()
        return wait(futures)

    monkeypatch.setattr(saves, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["001.keras", "001.keras.callbacks.pkl"]


# What is said.


def test_a_line_when_it_begins_and_one_when_it_is_durable(
    tmp_path: Path, gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first one with the best value; the second one with size, time, and how long training has waited."""
    gate.open()
    saver = ModelCheckpointEnhanced(
        tmp_path / "{epoch}.keras", "mine", 1, save_best_only=True, mode="min", **BESIDE
    )
    train(saver, Losses(2.0, 1.0), epochs=2)
    said = (
        capsys.readouterr().out.replace(str(tmp_path), "ckpt").replace("from inf to", "from None to")
    )  # Keras 3.7
    lines = [line for line in said.splitlines() if line]
    assert lines[::2] == [
        "Epoch 1: mine improved from None to 2.00000, saving ckpt/1.keras beside training",
        "Epoch 2: mine improved from 2.00000 to 1.00000, saving ckpt/2.keras beside training",
    ]
    number = r"[0-9.]+"
    for epoch, line in enumerate(lines[1::2], 1):
        assert re.fullmatch(
            rf"Epoch {epoch}: saved ckpt/{epoch}\.keras \({number} kB, {number} s, training waited {number} s\) "
            rf"with Losses, ModelCheckpointEnhanced \({number} kB\)",
            line,
        )


# on_saved


@pytest.mark.parametrize("beside", [True, False])
def test_functions_are_called_with_each_durable_checkpoint(tmp_path: Path, beside: bool) -> None:
    """In their order, with what a listing says; once more when the end of the run is marked in it."""
    heard: list[tuple[str, Any]] = []
    functions = [
        lambda c: heard.append(("one", c)),
        lambda c: heard.append(("two", list_checkpoints(tmp_path)[-1])),
    ]
    saver = ModelCheckpointEnhanced(tmp_path / "{epoch}.keras", save_on_background=beside, on_saved=functions)
    train(saver, epochs=2)
    assert [name for name, _ in heard] == 3 * ["one", "two"]
    assert heard[0][1] == Checkpoint(
        str(tmp_path / "1.keras"), 0, None, False, ("val_loss", None), heard[0][1].saved_at
    )
    assert all(one == listed for (_, one), (_, listed) in zip(heard[::2], heard[1::2], strict=True))
    assert [one.finished for _, one in heard[::2]] == [False, False, True]


def test_its_file_is_not_deleted_before_it_returns(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next save, which deletes it, waits."""
    there: list[bool] = []
    at_work = threading.Event()
    gate.open()
    wait = saves.wait

    def waiting(futures: Any) -> Any:
        at_work.set()
        return wait(futures)

    def upload(checkpoint: Checkpoint) -> None:
        assert checkpoint.finished or at_work.wait(60)  # so the next save is due already
        at_work.clear()
        there.append(os.path.exists(checkpoint.path))

    monkeypatch.setattr(saves, "wait", waiting)
    train(ModelCheckpointEnhanced(tmp_path / "{epoch}.keras", max_to_keep=1, on_saved=upload, **BESIDE))
    assert there == 5 * [True]


@pytest.mark.parametrize("beside", [True, False])
def test_what_it_raises_undoes_nothing(tmp_path: Path, beside: bool) -> None:
    """A warning names the checkpoint; the other functions are called, and so is this one at the next save."""
    called: list[str] = []

    def fails(checkpoint: Checkpoint) -> None:
        called.append(os.path.basename(checkpoint.path))
        raise ConnectionError("no network")

    saver = ModelCheckpointEnhanced(
        tmp_path / "{epoch}.keras", save_on_background=beside, on_saved=[fails, lambda c: called.append("other")]
    )
    with pytest.warns(UserWarning) as warned:
        train(saver, epochs=2)
    told = [str(w.message) for w in warned if "on_saved=" in str(w.message)]
    assert len(told) == 3
    assert all("saved, but a function of on_saved= has failed (ConnectionError: no network)" in t for t in told)
    assert called == ["1.keras", "other", "2.keras", "other", "2.keras", "other"]
    assert names(tmp_path) == ["1.keras", "2.keras"]
    assert restore_callbacks(tmp_path).finished


@pytest.mark.parametrize("beside", [True, False])
def test_or_it_ends_training(tmp_path: Path, beside: bool) -> None:
    """With on_save_error="raise", with the error of the function, and the checkpoint is there."""

    def fails(checkpoint: Checkpoint) -> None:
        raise ConnectionError("no network")

    saver = ModelCheckpointEnhanced(
        tmp_path / "{epoch}.keras", save_on_background=beside, on_saved=fails, on_save_error="raise"
    )
    with pytest.raises(ConnectionError, match="no network"):
        train(saver)
    assert names(tmp_path) == ["1.keras"]


@pytest.mark.parametrize("given", ["upload", 3, [print, 3], {print}])
def test_what_is_no_function_is_refused(given: Any) -> None:
    """When the callback is made."""
    with pytest.raises(ValueError, match=r"on_saved=.*expected a function, a list of functions, or None"):
        ModelCheckpointEnhanced("{epoch}.keras", on_saved=given)


def test_another_answer_than_yes_or_no_is_refused() -> None:
    """When the callback is made."""
    with pytest.raises(ValueError, match="save_on_background='yes': expected True or False"):
        ModelCheckpointEnhanced("{epoch}.keras", save_on_background="yes")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_does_not_wait_for_the_save_of_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no thread that would end it. The parent's save is not disturbed."""
    statuses, forked = [], threading.Event()
    run = Save.run
    monkeypatch.setattr(Save, "run", lambda save: (forked.wait(), run(save)))

    class Fork(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch != 1:
                return
            child = os.fork()
            if not child:  # TensorFlow cannot be used here
                saver._keeper._saves.settle()
                os._exit(7)
            for _ in range(1000):
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    statuses.append(os.waitstatus_to_exitcode(status))
                    break
                threading.Event().wait(0.01)
            else:
                os.kill(child, 9)
                os.waitpid(child, 0)
            forked.set()

    saver = ModelCheckpointEnhanced(tmp_path / "{epoch}.keras", **BESIDE)
    fresh_model().fit(X, Y, epochs=2, verbose=0, callbacks=[Fork(), saver])
    assert statuses == [7] and (tmp_path / "1.keras").exists() and (tmp_path / "2.keras").exists()
