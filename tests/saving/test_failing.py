"""Saves that fail while training goes on, exceptions that leave fit, and saves by the clock."""

from __future__ import annotations

import errno
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from harness import X_VAL, Y_VAL, Batches, Killed, PerBatch, Run, Strike, X, Y, bytes_of
from places import ROOT
from play import play
from reused import fit, fresh_model

from callback_state import (
    CheckpointNotFoundError,
    InUseError,
    ModelCheckpointEnhanced,
    list_checkpoints,
    load_meta,
)
from callback_state._format import statefile
from callback_state._keras import model_file
from callback_state._saving import keeper, rescue, writer
from callback_state._saving.options import seconds_of
from callback_state._store import commit, disk, lock

EPOCHS = 3
OWN = "latest"


def own() -> list[Any]:
    return [Batches(), PerBatch(0.05), keras.callbacks.EarlyStopping(patience=9)]


def failing(error: BaseException) -> Any:
    """A function that raises this error, whatever it is given."""

    def fails(*args: Any, **kwargs: Any) -> None:
        raise error

    return fails


FULL = failing(OSError(errno.ENOSPC, "No space left on device"))


class At(keras.callbacks.Callback):
    """Does something when an epoch begins (``epoch1=``), or at the end of every batch."""

    def __init__(self, batch: Any = lambda: None, **acts: Any) -> None:
        super().__init__()
        self.batch, self.acts = batch, acts

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.acts.get(f"epoch{epoch}", lambda: None)()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batch()


def files(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def pair(name: str) -> list[str]:
    return [name, f"{name}.callbacks.pkl"]


def start(directory: Path, *more: Any, **options: Any) -> Run:
    ended = fit(directory, lambda: [*own(), *more], **{"epochs": EPOCHS, **options})
    assert ended is not None
    return ended


# A disk that fails

#: What fails one after the other, and how.
STEPS = [
    (model_file, "content_of", errno.ENOSPC),
    (statefile, "seal", errno.EDQUOT),
    (disk, "rename", errno.EACCES),
    (disk, "sync", errno.EIO),
    (disk, "make_directory", errno.EACCES),
    (disk, "write_all", errno.EIO),
]


@functools.cache
def whole(**options: Any) -> tuple[Run, list[str]]:
    """The run that nothing happened to, and its files."""
    saves = options.pop("period", None)
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = {} if saves is None else {"checkpoint": {**SAVES, "period": saves}}
        return start(Path(directory), At(), **options, **checkpoint), files(Path(directory))


def test_training_survives_saves_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each warns, the previous checkpoint is whole, no temporary file is left, and the next save succeeds."""
    listed: list[Any] = []

    def look() -> None:
        monkeypatch.undo()
        listed.append((files(tmp_path), [c.epoch for c in list_checkpoints(tmp_path)]))

    def breaking(where: Any, name: str, number: int) -> Any:
        error = failing(OSError(number, os.strerror(number)))
        return lambda: (look(), monkeypatch.setattr(where, name, error))

    acts = {f"epoch{i}": breaking(*step) for i, step in enumerate(STEPS, 1)}
    epochs = len(STEPS) + 2
    with pytest.warns(UserWarning) as warned:
        survived = start(tmp_path, At(**acts, **{f"epoch{epochs - 1}": look}), name=OWN, epochs=epochs)
    texts = [str(w.message) for w in warned if "latest.keras: not saved" in str(w.message)]
    for (*_, number), text in zip(STEPS, texts, strict=True):
        assert re.search(rf"{os.strerror(number)}.* training goes on", text)
    assert listed == [([".callback_state.lock", *pair("latest.keras")], [0])] * (len(STEPS) + 1)
    assert [(c.epoch, c.finished) for c in list_checkpoints(tmp_path)] == [(epochs - 1, True)]
    assert survived.differences(whole(name=OWN, epochs=epochs)[0]) == []


def test_or_training_ends_where_that_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """on_save_error="raise"; what was there before is there."""

    acts = At(epoch1=lambda: monkeypatch.setattr(model_file, "content_of", FULL))
    with pytest.raises(OSError, match="No space"):
        start(tmp_path, acts, name=OWN, checkpoint={"on_save_error": "raise"})
    assert [c.epoch for c in list_checkpoints(tmp_path)] == [0]


def test_a_directory_that_was_removed_is_made_again(tmp_path: Path) -> None:
    """Somebody tidied up while training ran: the next save is there."""
    directory = tmp_path / "ckpt"
    start(directory, At(epoch1=lambda: shutil.rmtree(directory)))
    assert [c.epoch for c in list_checkpoints(directory)] == [1, 2]


def test_an_error_that_would_come_again_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that cannot be written is no trouble of the disk, and days of warnings would help nobody."""

    monkeypatch.setattr(model_file, "content_of", failing(NotImplementedError("Layer Mine has no get_config")))
    with pytest.raises(NotImplementedError, match="get_config"):
        start(tmp_path)


def test_a_name_that_is_too_long_is_told_at_the_first_save(tmp_path: Path) -> None:
    """No later save could succeed, so training for days would save nothing."""
    with pytest.raises(OSError, match=r"name too long: 257 bytes.*Give filepath= a shorter name"):
        start(tmp_path, name="a" * 250 + "{epoch}")


def test_a_name_that_becomes_too_long_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was saved before stays, and each save that follows is warned of."""
    fails = failing(OSError(errno.ENAMETOOLONG, "File name too long"))
    with pytest.warns(UserWarning, match=r"not saved \(OSError: .*name too long"):
        start(tmp_path, At(epoch1=lambda: monkeypatch.setattr(model_file, "content_of", fails)))
    assert [c.epoch for c in list_checkpoints(tmp_path)] == [0]


def test_a_best_model_that_was_not_saved_is_not_the_best_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one that is better than what is on disk is saved, though it is not the best of all."""

    losses = iter([5.0, 1.0, 3.0, 4.0])

    class Losses(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["mine"] = next(losses)

    acts = At(epoch1=lambda: monkeypatch.setattr(model_file, "content_of", FULL), epoch2=monkeypatch.undo)
    saver = ModelCheckpointEnhanced(tmp_path / "best.keras", "mine", save_best_only=True, mode="min")
    with pytest.warns(UserWarning, match="not saved"):
        fresh_model().fit(X, Y, epochs=4, verbose=0, callbacks=[Losses(), acts, saver])
    saved = [c for c in list_checkpoints(tmp_path) if c.path.endswith("best.keras")]
    assert [(c.epoch, c.monitor) for c in saved] == [(2, ("mine", 3.0))]


def test_nothing_goes_for_a_successor_that_was_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retention counts what is on disk, and later deletes what it could not delete at once."""

    kept: list[Any] = []
    acts = At(
        epoch2=lambda: monkeypatch.setattr(model_file, "content_of", FULL),
        epoch3=lambda: (
            monkeypatch.undo(),
            kept.append(files(tmp_path)),
            monkeypatch.setattr(commit, "delete", FULL),
        ),
        epoch4=lambda: (monkeypatch.undo(), kept.append(files(tmp_path))),
    )
    with pytest.warns(UserWarning) as warned:
        start(tmp_path, acts, epochs=5, checkpoint={"max_to_keep": 2})
    texts = [str(w.message) for w in warned]
    assert any("003.keras: not saved" in text for text in texts)
    assert any("001.keras: not deleted, tried again at the next save" in text for text in texts)
    lock = ".callback_state.lock"
    assert kept == [
        [lock, *pair("001.keras"), *pair("002.keras")],
        [lock, *pair("001.keras"), *pair("002.keras"), *pair("004.keras")],
    ]
    assert [n for n in files(tmp_path) if n != lock] == [*pair("004.keras"), *pair("005.keras")]


SEAM = ("make_directory", "create", "write_all", "sync", "close", "sync_directory", "rename", "remove_tree")


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.heavy)])
def test_ctrl_c_at_every_step_of_a_save_finishes_or_undoes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """KeyboardInterrupt before each operation of the second save: a new start goes on as the same run."""
    uninterrupted, _ = whole(name=OWN, epochs=3)
    interrupted = 0
    left = 0

    def counting(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
            return real(*args, **kwargs)

        return call

    for step in range(0, 40, every):
        directory, left = tmp_path / str(step), 0

        def arm(steps: int = step + 1) -> None:
            nonlocal left
            left = steps

        with monkeypatch.context() as patched:
            for name in SEAM:
                patched.setattr(disk, name, counting(getattr(disk, name)))
            try:
                start(directory, At(epoch1=arm), name=OWN, epochs=2)
            except KeyboardInterrupt:
                interrupted += 1
            else:
                break
        assert [c.epoch for c in list_checkpoints(directory)] in ([0], [1])
        resumed = start(directory, At(), name=OWN, epochs=3)
        assert resumed.differences(uninterrupted) == []
        assert [n for n in files(directory) if n != ".callback_state.lock"] == pair("latest.keras")
    assert interrupted >= 8 // every


# Two writers

HOLDS = """
import sys
from callback_state._store import lock
held = lock.hold(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_a_directory_in_use_is_refused_before_training(tmp_path: Path) -> None:
    """The error names the other process; when that has died, its lock is nobody's."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        batches = Batches()
        with pytest.raises(InUseError, match=str(other.pid)):
            fit(tmp_path, lambda: [batches])
        assert batches.seen == []
        other.kill()
    assert start(tmp_path).epochs == list(range(EPOCHS))


def test_a_fit_in_another_thread_is_refused_before_training(tmp_path: Path) -> None:
    """One after the other, in any threads, is no trouble; one inside another in the same thread neither."""

    def saver(name: str) -> Any:
        return ModelCheckpointEnhanced(tmp_path / (name + "{epoch}.keras"))

    def in_a_thread(name: str) -> BaseException | None:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(play, [saver(name)], epochs=1).exception()

    refused: list[Any] = []
    acts = At(epoch1=lambda: (refused.append(in_a_thread("b")), play([saver("c")], epochs=1)))
    play([acts, saver("a")], epochs=2)
    assert type(refused[0]) is InUseError and "thread 'MainThread' of this process" in str(refused[0])
    assert in_a_thread("d") is None
    names = [os.path.basename(c.path) for c in list_checkpoints(tmp_path)]
    assert names == ["a1.keras", "c1.keras", "a2.keras", "d1.keras"]


# Exceptions


class Broken(Exception):
    """What is wrong with the data."""


def stream(fails_at: int | None) -> Any:
    """Batches that come from nowhere after so many of them, and are all the same afterwards."""
    number = 0
    while True:
        if number == fails_at:
            raise Broken
        rows = slice(16 * (number % 4), 16 * (number % 4) + 16)
        yield X[rows], Y[rows]
        number += 1


SAVES: dict[str, Any] = {"save_on_exception": True}
STREAM: dict[str, Any] = {"y": None, "batch_size": None, "steps_per_epoch": 4, "checkpoint": SAVES}


@pytest.fixture
def every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy after each batch, whatever it costs."""
    monkeypatch.setattr(rescue, "SHARE", 1e9)


@pytest.mark.usefixtures("every_batch")
def test_data_that_fail_lose_nothing(tmp_path: Path) -> None:
    """The run goes on at the very batch that could not be read."""
    fails_at = 7
    whole = start(tmp_path / "whole", x=stream(None), **STREAM)
    with pytest.raises(tf.errors.UnknownError if keras.backend.backend() == "tensorflow" else Broken):
        start(tmp_path / "failed", x=stream(fails_at), **STREAM)
    newest = list_checkpoints(tmp_path / "failed")[-1]
    done = newest.epoch * 4 + (4 if newest.batch is None else newest.batch + 1)
    assert fails_at - 2 <= done <= fails_at  # TensorFlow reads ahead
    resumed = start(tmp_path / "failed", x=stream(None), **STREAM)
    assert resumed.differences(whole) == []
    assert files(tmp_path / "failed") == files(tmp_path / "whole")


@pytest.mark.usefixtures("every_batch")
@pytest.mark.parametrize(
    ("hook", "options", "moment", "error"),
    [
        ("epoch_begin", {"at": 1}, (0, None), Broken),
        ("train_batch_end", {"at": 2, "epoch": 1}, (1, 1), Broken),
        ("test_batch_begin", {"epoch": 1}, (1, 3), KeyboardInterrupt),
        ("epoch_end", {"at": 1}, (1, 3), Broken),
    ],
)
def test_wherever_an_exception_comes_from_the_last_quiet_point_is_saved(
    tmp_path: Path, hook: str, options: Any, moment: Any, error: type[BaseException]
) -> None:
    """And the run goes on from there as if nothing had happened; nobody hears anything twice."""
    checkpoint = {**SAVES, "period": 3}
    with pytest.raises(error):
        start(tmp_path, Strike(hook, act=failing(error()), **options), checkpoint=checkpoint)
    newest = list_checkpoints(tmp_path)[-1]
    assert (newest.epoch, newest.batch) == moment
    uninterrupted, left = whole(period=3)
    assert start(tmp_path, At(), checkpoint=checkpoint).differences(uninterrupted) == []
    assert files(tmp_path) == left


@pytest.mark.usefixtures("every_batch")
def test_the_model_in_this_process_stays_as_the_exception_left_it(tmp_path: Path) -> None:
    """Only the file goes back to the quiet point."""
    model = fresh_model()
    seen: list[Any] = []

    class Spoils(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 2:
                self.model.layers[0].kernel.assign_add(self.model.layers[0].kernel)
                seen.extend(bytes_of(self.model.weights))
                raise Broken

    saver = ModelCheckpointEnhanced(tmp_path / "a.keras", save_on_exception=True)
    with pytest.raises(Broken):
        model.fit(X, Y, batch_size=16, verbose=0, callbacks=[Spoils(), saver])
    assert bytes_of(model.weights) == seen
    saved = list_checkpoints(tmp_path)[-1]
    assert (saved.epoch, saved.batch) == (0, 1)
    assert bytes_of(keras.models.load_model(saved.path).weights) != seen


@pytest.mark.usefixtures("every_batch")
def test_the_line_of_what_an_exception_has_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """verbose=1 prints it, as for each save."""
    saver = ModelCheckpointEnhanced(tmp_path / "a.keras", save_on_exception=True, verbose=1)
    with pytest.raises(Broken):
        callbacks = [Strike("train_batch_end", at=2, act=failing(Broken())), saver]
        fresh_model().fit(X, Y, batch_size=16, verbose=0, callbacks=callbacks)
    saved = f"{tmp_path / 'a.interim.keras'} (epoch 1, batch 2)"
    assert capsys.readouterr().out == f"Stopped by an exception: saved {saved}; fit raises it\n"


def test_copies_take_a_hundredth_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that takes a second is made again after a hundred; and at the end of each epoch."""
    clock = Clock()
    monkeypatch.setattr(rescue, "time", clock)
    copied: list[Any] = []
    take = keeper.Keeper.take

    def takes_a_second(self: Any, event: Any, loop: Any, **meta: Any) -> Any:
        clock.now += 1
        copied.append((event.epoch, event.batch))
        return take(self, event, loop, **meta)

    monkeypatch.setattr(keeper.Keeper, "take", takes_a_second)

    saver = ModelCheckpointEnhanced(tmp_path / "a.keras", period=9, save_on_exception=True)
    fresh_model().fit(X, Y, batch_size=1, epochs=2, verbose=0, callbacks=[ticks(clock), saver])
    # The last one is the end of the run; the one of batch 63 stands for what an epoch's end may lose.
    assert copied == [(0, 0), (0, 63), (0, None), (1, 63), (1, None), (1, None)]


def test_without_the_option_an_exception_saves_nothing(tmp_path: Path) -> None:
    """As in Keras."""
    assert fit(tmp_path, lambda: [*own(), Strike("test_batch_begin", epoch=1)]) is None
    assert [(c.epoch, c.batch) for c in list_checkpoints(tmp_path)] == [(0, None)]


# By the clock


class Clock:
    """Stands for the clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return 1


def of_saves(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Saves go by this clock."""
    monkeypatch.setattr(keeper, "time", clock)
    monkeypatch.setattr(writer, "time", clock)


def ticks(clock: Clock, kill: int | None = None) -> Any:
    """A second for each batch; dies after so many."""

    def tick() -> None:
        clock.now += 1
        if clock.now == kill:
            raise Killed

    return At(tick)


def test_it_saves_by_the_clock_between_regular_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every five seconds of four batches an epoch, counted from the last save; one interim file at most."""
    clock = Clock()
    of_saves(monkeypatch, clock)
    saved: list[Any] = []
    note = writer.Writer.note

    def noting(self: Any, save: Any) -> None:
        note(self, save)
        saved.append((os.path.basename(save.path), save.meta.epoch, save.meta.batch))

    monkeypatch.setattr(writer.Writer, "note", noting)
    start(tmp_path, ticks(clock), checkpoint={"save_every": 5, "period": 3}, name="{epoch}", epochs=5)
    assert saved == [
        ("epoch.interim.keras", 1, 0),
        ("epoch.interim.keras", 2, 1),
        ("3.keras", 2, None),
        ("epoch.interim.keras", 4, 0),
        ("5.final.keras", 4, None),
    ]
    assert [n for n in files(tmp_path) if n.endswith(".keras")] == ["3.keras", "5.final.keras"]


def test_killed_after_a_save_by_the_clock_it_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the interim file or from a newer regular one; in the end the interim file is gone."""
    options: dict[str, Any] = {"checkpoint": {"save_every": 3, "period": 2}, "name": "{epoch}", "epochs": 4}
    clock = Clock()
    of_saves(monkeypatch, clock)
    whole = start(tmp_path / "whole", ticks(clock), **options)
    for kill in (5, 13):
        clock.now = 0
        directory = tmp_path / str(kill)
        assert fit(directory, lambda kill=kill: [*own(), ticks(clock, kill)], **options) is None
        clock.now = 100
        assert start(directory, ticks(clock), **options).differences(whole) == []
        assert files(directory) == files(tmp_path / "whole")


def test_a_kill_before_the_interim_file_was_deleted_leaves_none_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start finds it older than what it goes on from."""
    clock, delete = Clock(), commit.delete
    of_saves(monkeypatch, clock)

    def dies(path: str) -> None:
        if "interim" in path:
            raise Killed
        delete(path)

    monkeypatch.setattr(commit, "delete", dies)
    options: dict[str, Any] = {"checkpoint": {"save_every": 3}, "name": "{epoch}"}
    assert fit(tmp_path, lambda: [*own(), ticks(clock)], epochs=EPOCHS, **options) is None
    monkeypatch.undo()
    assert "epoch.interim.keras" in files(tmp_path)
    assert load_meta(tmp_path)["epochs"] == [0]
    start(tmp_path, ticks(Clock()), **options)
    assert not any("interim" in name for name in files(tmp_path))


def test_an_interim_file_of_somebody_else_is_not_written_over(tmp_path: Path) -> None:
    """A run that would write under its name says so before it begins."""
    (tmp_path / "epoch.interim.keras").write_bytes(b"mine")
    with pytest.raises(CheckpointNotFoundError, match="which a new run would write over"):
        start(tmp_path, name="{epoch}")
    assert (tmp_path / "epoch.interim.keras").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "given", [0, -1, "10 minutes", "", True, "1.2.3h", float("nan"), float("inf"), "inf"], ids=str
)
def test_what_is_no_time_span_is_refused(given: Any) -> None:
    """When the callback is made."""
    with pytest.raises(ValueError, match="expected a positive number of seconds"):
        ModelCheckpointEnhanced("x.keras", save_every=given)


def test_time_spans() -> None:
    """Numbers are seconds."""
    assert seconds_of(timedelta(minutes=2)) == seconds_of("2min") == seconds_of("2m") == seconds_of(120) == 120
    assert seconds_of(1e-6) == 1e-6
    assert seconds_of("90s") == 90 and seconds_of("2 h") == 7200 and seconds_of("1d") == 86400


def test_validation_data_of_a_run_that_was_interrupted_are_forgotten(tmp_path: Path) -> None:
    """A later fit in the same process validates on its own data."""

    class Sends(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if len(self.model.history.epoch) == 1:
                signal.raise_signal(signal.SIGTERM)

    model = fresh_model()
    saver = ModelCheckpointEnhanced(tmp_path / "a.keras", save_on_signal=True)
    with pytest.raises(SystemExit):
        model.fit(X, Y, epochs=3, verbose=0, validation_data=(X_VAL, Y_VAL), callbacks=[saver, Sends()])
    other = tf.data.Dataset.from_tensor_slices((X_VAL, 1 - Y_VAL)).batch(16)
    history = model.fit(X, Y, epochs=1, verbose=0, validation_data=other).history
    assert history["val_accuracy"][0] == 1 - model.evaluate(X_VAL, Y_VAL, verbose=0)[1]


# A directory that goes away


class Goes(keras.callbacks.Callback):
    """From one hook to another no call of the system reaches a directory, whatever it asks for."""

    CALLS = ("stat", "lstat", "open", "listdir", "scandir", "mkdir", "unlink", "rename", "replace", "rmdir")

    def __init__(self, directory: Path, number: int, goes: str, comes: str) -> None:
        super().__init__()
        self.directory, self.number = os.fspath(directory), number
        self.goes, self.comes = goes, comes
        self.patch = pytest.MonkeyPatch()

    def on_train_begin(self, logs: Any = None) -> None:
        self.hear("train_begin")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.hear(f"epoch_begin {epoch}")

    def on_train_end(self, logs: Any = None) -> None:
        self.hear("train_end")

    def hear(self, event: str) -> None:
        if event == self.goes:
            self.go()
        elif event == self.comes:
            self.patch.undo()

    def go(self) -> None:
        def refusing(true: Any) -> Any:
            def call(path: Any, *args: Any, **options: Any) -> Any:
                if os.fsdecode(path).startswith(self.directory):
                    raise OSError(self.number, os.strerror(self.number), path)
                return true(path, *args, **options)

            return call

        for name in self.CALLS:
            self.patch.setattr(os, name, refusing(getattr(os, name)))


@pytest.mark.parametrize(
    ("number", "goes", "comes", "left"),
    [
        (errno.ESTALE, "before", "epoch_begin 1", ["3.keras", "4.keras"]),
        (errno.EACCES, "train_begin", "epoch_begin 3", ["4.keras"]),
        (errno.ENOTDIR, "epoch_begin 1", "epoch_begin 3", ["1.keras", "4.keras"]),
        (errno.ESTALE, "epoch_begin 2", "train_end", ["1.keras", "2.keras", "4.final.keras"]),
        (errno.EACCES, "epoch_begin 1", "never", ["1.keras"]),
        (errno.ESTALE, "train_end", "never", ["3.keras", "4.keras"]),
    ],
)
def test_a_directory_that_goes_away_ends_no_training(
    tmp_path: Path, number: int, goes: str, comes: str, left: list[str]
) -> None:
    """Each save in between warns, nothing else is raised, and saving goes on when the directory is back."""
    directory = tmp_path / "ckpt"
    gone = Goes(directory, number, goes, comes)
    saver = ModelCheckpointEnhanced(directory / "{epoch}.keras", verbose=1, max_to_keep=2)
    gone.hear("before")
    try:
        with pytest.warns(UserWarning) as warned:
            play([saver, gone], epochs=4)
    finally:
        gone.patch.undo()
    texts = [str(w.message) for w in warned if w.category is UserWarning]
    assert [text for text in texts if not re.search(r": not (saved|deleted)", text)] == []
    assert [os.path.basename(c.path) for c in list_checkpoints(directory)] == left
    lock.hold(directory).release()


@pytest.mark.skipif(os.name == "nt", reason="Windows moves no directory with an open file")
def test_another_directory_that_comes_in_its_place_is_locked_too(tmp_path: Path) -> None:
    """The one that was moved away stays locked until then; afterwards no run is kept out of it."""
    import fcntl

    directory, moved = tmp_path / "ckpt", tmp_path / "moved"
    found: list[Any] = []

    def is_locked(path: Path) -> bool:
        with open(path / lock.NAME, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def look() -> None:
        found.append([is_locked(path) for path in (directory, moved) if path.is_dir()])

    acts = At(
        epoch1=lambda: (directory.rename(moved), directory.touch()),
        epoch2=lambda: (look(), directory.unlink()),
        epoch3=look,
    )
    with pytest.warns(UserWarning, match="2.keras: not saved .FileExistsError"):
        play([acts, ModelCheckpointEnhanced(directory / "{epoch}.keras")], epochs=4)
    assert found == [[True], [True, False]]
    assert [[os.path.basename(c.path) for c in list_checkpoints(path)] for path in (moved, directory)] == [
        ["1.keras"],
        ["3.keras", "4.keras"],
    ]
