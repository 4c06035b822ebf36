"""After a resume the event files of ``TensorBoard`` hold each step once, as in a run that was not killed."""

from __future__ import annotations

import os
import time
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
from callback_state._callbacks.capture import note_outside, outside_of, wind_back

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


def trained(log_dir: Path) -> Any:
    """A TensorBoard that has been in a fit."""
    callback = board(log_dir)
    fresh_model().fit(X, Y, batch_size=16, validation_data=(X_VAL, Y_VAL), verbose=0, callbacks=[callback])
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
    for name in then:
        with (tmp_path / name).open("ab") as file:
            file.write(b"torn")
    trained(tmp_path)
    (tmp_path / "validation" / OLD).write_bytes(b"")
    (tmp_path / "train" / "notes.txt").write_text("mine")
    if pid == "another":
        monkeypatch.setattr(os, "getpid", lambda: 1)
    callback = board(tmp_path, write_graph=True)
    there = files(tmp_path)
    note_outside(callback, taken)
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
    first.on_train_batch_begin(0)
    first.on_train_batch_end(0, {"loss": 1.0})
    taken = outside_of(first)
    first.on_train_batch_end(0, {"late": 1.0})
    callback = board(tmp_path, update_freq=1)
    note_outside(callback, taken)
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
    note_outside(callback, taken)
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
    callback = board(tmp_path / "tb")
    taken = {**outside_of(callback), "at": 0}
    known.unlink()
    for link in (known, later.with_name(later.name.replace(".1.0", ".2.0"))):
        link.symlink_to(precious)
    note_outside(callback, taken)
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
    note_outside(callback, taken)
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
    note_outside(callback, taken)
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
    note_outside(callback, taken)
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


# Whole runs.


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
