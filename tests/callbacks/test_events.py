"""After a resume the event files of ``TensorBoard`` hold each step once, as in a run that was not killed."""

from __future__ import annotations

import itertools
import os
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from harness import X_VAL, Y_VAL, X, Y
from reused import SAVING, fresh_model, start
from tensorflow.core.util import event_pb2

from callback_state import CallbackStateError, ResumeError
from callback_state._callbacks.capture import note_began, note_outside, outside_of, wind_back
from callback_state._store.claims import Owner, claim

EPOCHS = 4
OLD = "events.out.tfevents.1500000000.elsewhere.1.0.v2"


def read(path: Path) -> list[Any]:
    """The events of one file; a file that does not end with a whole record is an error."""
    return [event_pb2.Event.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]


def steps(log_dir: Path) -> Counter[tuple[str, str, int, bytes]]:
    """How often each (train or validation, tag, step, value) is logged; but for the graph, which each fit writes.

    A speed is never the same.
    """
    return Counter(
        (
            path.parent.name,
            value.tag,
            event.step,
            b"" if "per_second" in value.tag else value.tensor.tensor_content or value.tensor.SerializeToString(),
        )
        for path in log_dir.rglob("*tfevents*")
        for event in read(path)
        for value in event.summary.value
        if value.tag != "keras"
    )


def times(log_dir: Path, tag: str, step: int) -> int:
    """How often a step is logged for training."""
    return sum(n for key, n in steps(log_dir).items() if key[:3] == ("train", tag, step))


def files(log_dir: Path) -> dict[str, bytes]:
    paths = log_dir.rglob("*tfevents*")
    return {path.relative_to(log_dir).as_posix(): path.read_bytes() for path in sorted(paths)}


def board(log_dir: Any, **options: Any) -> Any:
    return keras.callbacks.TensorBoard(str(log_dir), **{"write_graph": False, **options})


def owner(run: str = "a", directory: Any = os.curdir) -> Owner:
    """A run whose checkpoints are in a directory."""
    return Owner.of(run * 32, [str(directory)])


def trained(log_dir: Path, of: Owner | None = None) -> Any:
    """A TensorBoard that has been in a fit of a run."""
    callback = board(log_dir)
    fresh_model().fit(X, Y, batch_size=16, validation_data=(X_VAL, Y_VAL), verbose=0, callbacks=[callback])
    note_began([callback], of or owner())
    return callback


def restored(log_dir: Any, of: Owner | None = None, **options: Any) -> Any:
    """A TensorBoard of a run that goes on."""
    callback = board(log_dir, **options)
    note_outside(callback, of or owner())
    return callback


# One function after the other.


def test_outside_is_what_is_on_the_disk(tmp_path: Path) -> None:
    """Each event file with its size, in train and validation, and none of other programs."""
    for name in ("train/other.txt", f"elsewhere/{OLD}", OLD):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    before = int(time.time())
    taken = outside_of(trained(tmp_path))
    assert before <= taken["at"] <= time.time()
    logged = ("train", "validation")
    found = {name: len(data) for name, data in files(tmp_path).items() if name.startswith(logged)}
    assert taken["files"] == found
    assert tuple(name.split("/")[0] for name in found) == logged


def test_what_is_buffered_is_flushed(tmp_path: Path) -> None:
    """In the middle of a fit, what was logged so far can be read up to the size that is taken."""
    callback, found = board(tmp_path), []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            note_began([callback], owner())
            taken = outside_of(callback)
            assert taken["files"] == {name: len(data) for name, data in files(tmp_path).items()}
            found.append(times(tmp_path, "epoch_loss", epoch))

    fresh_model().fit(X, Y, batch_size=16, epochs=3, verbose=0, callbacks=[callback, Look()])
    assert found == [1, 1, 1]


@pytest.mark.parametrize("pid", ["this", "another"])
def test_files_are_cut_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pid: str) -> None:
    """Known files have their size again, later ones are gone, old ones and those of the new fit are there."""
    first = trained(tmp_path)
    (tmp_path / "train" / OLD).write_bytes(b"")
    then, taken = files(tmp_path), outside_of(first)
    for name in taken["files"]:
        with (tmp_path / name).open("ab") as file:
            file.write(b"torn")
    trained(tmp_path)
    (tmp_path / "validation" / OLD).write_bytes(b"")
    (tmp_path / "train" / "notes.txt").write_text("mine")
    if pid == "another":
        monkeypatch.setattr(os, "getpid", lambda: 1)
    callback = restored(tmp_path, write_graph=True)
    there = files(tmp_path)
    callback.set_model(fresh_model())  # begins a file
    (new,) = files(tmp_path).keys() - there.keys()
    wind_back(callback, taken)
    callback._close_writers()
    now = files(tmp_path)
    assert {name: now[name] for name in then} == then
    assert now.keys() - then.keys() == {new, f"validation/{OLD}"}
    assert (tmp_path / "train" / "notes.txt").read_text() == "mine"
    assert max(steps(tmp_path).values()) == 1


def test_an_open_writer_of_this_process_writes_to_nowhere(tmp_path: Path) -> None:
    """What the interrupted fit of a notebook still holds back does not come into the files afterwards."""
    first = board(tmp_path, update_freq=1)
    first.set_model(fresh_model())
    first.on_train_begin()
    note_began([first], owner())
    first.on_train_batch_begin(0)
    first.on_train_batch_end(0, {"loss": 1.0})
    taken = outside_of(first)
    first.on_train_batch_end(0, {"late": 1.0})
    callback = restored(tmp_path, update_freq=1)
    before = files(tmp_path)
    wind_back(callback, taken)
    first.on_train_end()
    assert files(tmp_path) == before
    assert [tag for _, tag, *_ in steps(tmp_path)] == ["batch_loss"]


def test_without_a_note_no_file_is_removed(tmp_path: Path) -> None:
    """Which files were begun by the fit that goes on is not guessed."""
    taken = outside_of(board(tmp_path))
    trained(tmp_path)
    before = files(tmp_path)
    wind_back(board(tmp_path), taken)
    assert files(tmp_path) == before != {}


def test_names_in_a_checkpoint_are_no_paths(tmp_path: Path) -> None:
    """Whatever a file says, nothing outside the two directories is touched."""
    callback = trained(tmp_path / "tb")
    (tmp_path / "diary.txt").write_text("mine")
    (tmp_path / OLD).write_text("mine")
    taken = {"files": {"../diary.txt": 0, f"../{OLD}": 0, str(tmp_path / "diary.txt"): 0}, "at": 0}
    note_outside(callback, owner())
    with pytest.warns(UserWarning, match="diary"):
        wind_back(callback, taken)
    assert (tmp_path / "diary.txt").read_text() == (tmp_path / OLD).read_text() == "mine"


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_link_is_no_event_file(tmp_path: Path) -> None:
    """Whether it was known at the save or came later: neither it nor what it leads to is cut or removed."""
    precious = tmp_path / "precious.txt"
    precious.write_text("precious")
    (tmp_path / "tb" / "train").mkdir(parents=True)
    known, later = (
        tmp_path / "tb" / "train" / f"events.out.tfevents.{n:010}.x.1.0.v2" for n in (1, int(time.time()))
    )
    known.write_bytes(b"")
    claim(str(tmp_path / "tb"), [f"train/{known.name}"], owner())
    callback = restored(tmp_path / "tb")
    taken = {**outside_of(callback), "at": 0}
    assert [*taken["files"]] == [f"train/{known.name}"]
    known.unlink()
    for link in (known, later.with_name(later.name.replace(".1.0", ".2.0"))):
        link.symlink_to(precious)
        claim(str(tmp_path / "tb"), [f"train/{link.name}"], owner())
    note_outside(callback, owner())
    with pytest.warns(UserWarning, match="does not exist now|had 0 bytes"):
        wind_back(callback, taken)
    assert precious.read_text() == "precious"
    assert len([path for path in (tmp_path / "tb" / "train").iterdir() if path.is_symlink()]) == 2


def test_nonsense_in_a_checkpoint(tmp_path: Path) -> None:
    """It is an error that names the callback, and changes no file."""
    callback = trained(tmp_path)
    before = files(tmp_path)
    for taken in ({}, {"files": {"a": -1}, "at": 0}, {"files": {"a": "1"}, "at": 0}):
        with pytest.raises(ResumeError, match="TensorBoard: wind_back="):
            wind_back(callback, taken)
    assert files(tmp_path) == before


def test_another_directory_is_named(tmp_path: Path) -> None:
    """A log_dir with the time in its name: the curves begin in a new place, and one warning says so."""
    taken = outside_of(trained(tmp_path / "monday"))
    callback = board(tmp_path / "tuesday")
    note_outside(callback, owner())
    with pytest.warns(UserWarning, match=r"tuesday: train/events.*, and does not exist now; validation") as caught:
        wind_back(callback, taken)
    assert len(caught) == 1


def test_a_shorter_file_is_left_alone(tmp_path: Path) -> None:
    """Somebody else has written it anew."""
    callback = trained(tmp_path)
    taken = outside_of(callback)
    name = next(iter(taken["files"]))
    (tmp_path / name).write_bytes(b"short")
    with pytest.warns(UserWarning, match=rf"{name} had {taken['files'][name]} bytes when .* and has 5 now"):
        wind_back(callback, taken)
    assert (tmp_path / name).read_bytes() == b"short"


def test_a_directory_that_is_not_local(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not looked at, and the resume says so."""
    callback = board("gs://bucket/logs")
    monkeypatch.setattr(os, "scandir", None)
    taken = outside_of(callback)
    assert taken["files"] == {}
    note_outside(callback, owner())
    with pytest.warns(UserWarning, match="gs://bucket/logs: it is not a local directory"):
        wind_back(callback, taken)


@pytest.mark.parametrize("function", ["truncate", "unlink"])
def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    """What cannot be changed is named in one warning, with the system's words; the rest is done."""

    def refuse(*args: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    taken = outside_of(trained(tmp_path))
    for name in taken["files"]:
        with (tmp_path / name).open("ab") as file:
            file.write(b"torn")
    trained(tmp_path)
    callback = board(tmp_path)
    note_outside(callback, owner())
    monkeypatch.setattr(os, "getpid", lambda: 1)
    monkeypatch.setattr(os, function, refuse)
    with pytest.warns(UserWarning, match=r"removed from train/events.*Permission denied.* validation/") as w:
        wind_back(callback, taken)
    assert len(w) == 1
    sizes = {name: len(data) for name, data in files(tmp_path).items()}
    assert (sizes.keys() == taken["files"].keys()) == (function == "truncate")


def test_a_disk_that_fails_at_the_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error that names the callback: a checkpoint that does not know the files is none."""
    callback = trained(tmp_path)

    def fail(path: str) -> Any:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(CallbackStateError, match=r"TensorBoard: outside= .*Input/output error"):
        outside_of(callback)


# Logs of other runs.


def later(log_dir: Path, of: Owner, directory: str = "train") -> str:
    """An event file that another process of a run has begun now, with its note; its name."""
    name = f"{directory}/events.out.tfevents.{int(time.time()):010}.elsewhere.{next(PROCESSES)}.0.v2"
    (log_dir / directory).mkdir(parents=True, exist_ok=True)
    (log_dir / name).write_bytes(b"some steps")
    claim(str(log_dir), [name], of)
    return name


PROCESSES = itertools.count(2)


def told(callback: Any, taken: Any) -> str:
    """The one warning of a log that is wound back."""
    with pytest.warns(UserWarning) as caught:
        wind_back(callback, taken)
    assert len(caught) == 1
    return str(caught[0].message)


def test_files_of_another_run_stay(tmp_path: Path) -> None:
    """Those of a run with a note and those of one without: one warning names them. The run's own go."""
    known = later(tmp_path, owner())
    taken = outside_of(restored(tmp_path))
    assert [*taken["files"]] == [known]
    own, of_b = later(tmp_path, owner()), later(tmp_path, owner("b"))
    (tmp_path / "validation").mkdir()
    bare = f"validation/events.out.tfevents.{int(time.time()):010}.elsewhere.1.0.v2"
    (tmp_path / bare).write_bytes(b"some steps")
    said = told(restored(tmp_path), taken)
    assert f"{of_b}, {bare}: not noted as begun by the run that goes on" in said and own not in said
    assert {*files(tmp_path)} == {known, of_b, bare}


def test_a_copy_of_the_checkpoints_is_another_training(tmp_path: Path) -> None:
    """It has the identity of the run, and logs to the same directory: neither touches what the other wrote."""
    here, there = tmp_path / "here", tmp_path / "there"
    for directory in (here, there):
        directory.mkdir()
    common = later(tmp_path, owner(directory=here))
    taken = outside_of(restored(tmp_path, owner(directory=here)))
    with (tmp_path / common).open("ab") as file:
        file.write(b"the original goes on")
    of_copy = later(tmp_path, owner(directory=there))
    before = files(tmp_path)
    assert common in told(restored(tmp_path, owner(directory=there)), taken)
    assert files(tmp_path) == {name: data for name, data in before.items() if name != of_copy}
    of_copy = later(tmp_path, owner(directory=there))
    assert of_copy in told(restored(tmp_path, owner(directory=here)), taken)
    assert files(tmp_path)[common] == b"some steps" and of_copy in files(tmp_path)


def test_logs_that_were_moved_with_the_checkpoints_are_the_runs_own(tmp_path: Path) -> None:
    """Both on another disk: all numbers are others, and the note still says which files are the run's."""
    (tmp_path / "ckpt").mkdir()
    known = later(tmp_path / "logs", owner(directory=tmp_path / "ckpt"))
    taken = outside_of(restored(tmp_path / "logs", owner(directory=tmp_path / "ckpt")))
    own = later(tmp_path / "logs", owner(directory=tmp_path / "ckpt"))
    for name in ("ckpt", "logs"):
        shutil.copytree(tmp_path / name, tmp_path / "moved" / name)
    wind_back(restored(tmp_path / "moved" / "logs", owner(directory=tmp_path / "moved" / "ckpt")), taken)
    assert [*files(tmp_path / "moved")] == [f"logs/{known}"] and own in files(tmp_path / "logs")


def test_a_state_alone_permits_nothing(tmp_path: Path) -> None:
    """It names files of others as the run's: they are neither cut nor removed."""
    names = [later(tmp_path, owner("b")), later(tmp_path, owner("b"), "validation")]
    before = files(tmp_path)
    assert all(name in told(restored(tmp_path), {"files": {names[0]: 0}, "at": 0}) for name in names)
    assert files(tmp_path) == before


def test_a_file_of_the_run_that_the_checkpoint_should_know_stays(tmp_path: Path) -> None:
    """By its name it is older than the checkpoint, which does not know it: its steps may be the only ones."""
    name = later(tmp_path, owner())
    said = told(restored(tmp_path), {"files": {}, "at": int(time.time()) + 100})
    assert f"{name} was begun before the checkpoint, which does not know it" in said
    assert [*files(tmp_path)] == [name]


def test_each_writer_of_a_fit_is_noted_and_no_other(tmp_path: Path) -> None:
    """Two callbacks in one directory, and files that this very process has begun outside the run."""
    fresh_model().fit(X, Y, verbose=0, callbacks=[board(tmp_path)])
    before = {*files(tmp_path)}
    pair = [board(tmp_path), board(tmp_path)]
    fresh_model().fit(X, Y, verbose=0, callbacks=pair)
    for _ in range(2):  # at each event
        note_began(pair, owner())
    assert outside_of(pair[0])["files"].keys() == {*files(tmp_path)} - before
    assert len({*files(tmp_path)} - before) == 2


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_directory_behind_a_link_is_left_alone(tmp_path: Path) -> None:
    """The warning names it. A log_dir that is a link is the script's own path."""
    elsewhere, logs = tmp_path / "elsewhere", tmp_path / "logs"
    later(elsewhere, owner())
    logs.mkdir()
    (logs / "train").symlink_to(elsewhere / "train")
    claim(str(logs), [*files(elsewhere)], owner())
    before = files(elsewhere)
    assert "train is a link" in told(restored(logs), {"files": {}, "at": 0})
    assert files(elsewhere) == before
    (tmp_path / "link").symlink_to(elsewhere)
    wind_back(restored(tmp_path / "link"), {"files": {}, "at": 0})
    assert files(elsewhere) == {}


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_note_that_is_a_link_is_neither_read_nor_written(tmp_path: Path) -> None:
    """The event file cannot be noted, and one warning says so."""
    precious, note = tmp_path / "precious.txt", tmp_path / f".callback_state-{'a' * 32}"
    precious.write_text("precious")
    note.symlink_to(precious)
    with pytest.warns(UserWarning, match="cannot be noted that this run has begun train/.*validation/") as caught:
        taken = outside_of(trained(tmp_path))
    assert len([w for w in caught if "noted" in str(w.message)]) == 1
    assert taken["files"] == {} and precious.read_text() == "precious"


def test_another_name_of_a_file_keeps_its_content(tmp_path: Path) -> None:
    """A backup of hard links is not cut with the logs; the file that is cut is still the run's."""
    name = later(tmp_path, owner())
    taken = outside_of(restored(tmp_path))
    with (tmp_path / name).open("ab") as file:
        file.write(b"more")
    os.link(tmp_path / name, tmp_path / "backup")
    for _ in range(2):
        wind_back(restored(tmp_path), taken)
        assert (tmp_path / name).read_bytes() == b"some steps"
    assert (tmp_path / "backup").read_bytes() == b"some stepsmore"
    assert outside_of(restored(tmp_path))["files"] == taken["files"]
    assert outside_of(restored(tmp_path, owner(directory=tmp_path)))["files"] == {}  # a copy of the checkpoints


# Whole runs.


def test_two_runs_that_log_to_one_directory(tmp_path: Path) -> None:
    """Each is killed after the other has begun; in the end the files have every step of both."""

    def make(log_dir: str) -> Callable[[], list[Any]]:
        return lambda: [board(tmp_path / log_dir)]

    options = {**SAVING["epochs"], "epochs": EPOCHS, "validation_freq": 2}
    start(tmp_path / "whole", make("whole-tb"), **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for run, kill in (("a", 13), ("b", 14), ("a", 14), ("b", 15), ("a", None), ("b", None)):
            start(tmp_path / run, make("tb"), kill=kill, **options)
    once = steps(tmp_path / "whole-tb")
    assert steps(tmp_path / "tb") == once + once
    said = [str(w.message) for w in caught if "not noted as begun by the run" in str(w.message)]
    assert 1 <= len(said) <= 4


OPTIONS: dict[str, dict[str, Any]] = {
    "epoch": {"update_freq": "epoch", "histogram_freq": 1, "write_steps_per_second": True},
    "batch": {"update_freq": "batch", "write_steps_per_second": True},
}


@pytest.mark.parametrize(("name", "saving"), [("epoch", "batches"), ("batch", "epochs")])
def test_each_step_is_logged_once(tmp_path: Path, name: str, saving: str) -> None:
    """Killed twice within an epoch, after steps that no checkpoint knows: steps and values in all files
    together are those of the uninterrupted run."""

    def make(directory: Path) -> Callable[[], list[Any]]:
        return lambda: [keras.callbacks.TensorBoard(str(directory / "tb"), **OPTIONS[name])]

    options = {**SAVING[saving], "epochs": EPOCHS}
    start(tmp_path / "whole", make(tmp_path / "whole"), **options)
    for kill in (9, 14):
        assert start(tmp_path / "killed", make(tmp_path / "killed"), kill=kill, **options) is None
    assert start(tmp_path / "killed", make(tmp_path / "killed"), **options) is not None
    found, expected = steps(tmp_path / "killed" / "tb"), steps(tmp_path / "whole" / "tb")
    assert found == expected
    # Keras 3.7 calls the weights of all layers alike.
    assert {n for (_, tag, *_), n in found.items() if not tag.endswith("/histogram")} == {1}
    batches = [step for _, tag, step, _ in found if tag == "batch_loss"]
    assert max(batches, default=None) == (None if name == "epoch" else 4 * EPOCHS)


def test_no_batch_is_profiled_again(tmp_path: Path) -> None:
    """The batches to profile were past at the checkpoint: the resumed run traces nothing."""

    def make() -> list[Any]:
        return [keras.callbacks.TensorBoard(str(tmp_path / "tb"), profile_batch=2)]

    assert start(tmp_path / "ckpt", make, kill=6) is None
    before = steps(tmp_path / "tb")
    profiles = list((tmp_path / "tb").rglob("*.xplane.pb"))
    assert start(tmp_path / "ckpt", make, epochs=2) is not None
    assert list((tmp_path / "tb").rglob("*.xplane.pb")) == profiles
    traces = [key for key in steps(tmp_path / "tb") if key[1].startswith("batch_")]
    assert traces == [key for key in before if key[1].startswith("batch_")]
