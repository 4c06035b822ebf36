"""``ModelCheckpointEnhanced``: stock where stock is right, and what it writes beside each model."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import inspect
import os
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from harness import X_VAL, Y_VAL, Container, Killed, PerBatch, Strike, X, Y, make_model
from play import play, tiny_model
from reused import fit, fresh_model

from callback_state import (
    CallbackStateError,
    ModelCheckpointEnhanced,
    list_checkpoints,
    load_meta,
    restore_callbacks,
    stateful,
)
from callback_state._store import commit as _store
from callback_state._store import disk

FIT: dict[str, Any] = {"x": X, "y": Y, "batch_size": 16, "verbose": 0, "validation_data": (X_VAL, Y_VAL)}


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def models(directory: Path) -> list[str]:
    return [name for name in files(directory) if not name.endswith(".pkl")]


def test_takes_the_arguments_of_the_stock_class_in_their_order() -> None:
    """Ours follow, keyword-only."""
    stock = list(inspect.signature(keras.callbacks.ModelCheckpoint.__init__).parameters.values())
    ours = list(inspect.signature(ModelCheckpointEnhanced.__init__).parameters.values())
    assert [(p.name, p.default) for p in ours[: len(stock)]] == [(p.name, p.default) for p in stock]
    assert {p.kind for p in ours[len(stock) :]} == {inspect.Parameter.KEYWORD_ONLY}
    assert issubclass(ModelCheckpointEnhanced, keras.callbacks.ModelCheckpoint)


SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "every epoch": ("{epoch}-{val_loss:.3f}.keras", {}),
    "best accuracy": ("best.keras", {"save_best_only": True, "monitor": "val_accuracy", "mode": "max"}),
    "threshold": ("best.keras", {"save_best_only": True, "initial_value_threshold": 0.01}),
    "every 3 batches": ("{epoch}-{batch}.keras", {"save_freq": 3, "monitor": "loss"}),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_saves_when_and_where_the_stock_class_does(
    tmp_path: Path, setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same files, the same best value, the same told of it; but for the mark of the end."""
    name, options = SETTINGS[setting]
    results = []
    for cls in (keras.callbacks.ModelCheckpoint, ModelCheckpointEnhanced):
        saver = cls(os.path.join(tmp_path, cls.__name__, name), verbose=1, **options)
        fresh_model().fit(**FIT, epochs=2, callbacks=[saver])
        directory = tmp_path / cls.__name__
        found = [n for n in (models(directory) if directory.exists() else []) if ".final" not in n]
        said = re.findall(r"improved? from [\w.]+(?: to [\d.]+)?", capsys.readouterr().out)
        results.append((found, saver.best, said))
    assert results[0] == results[1]


def test_many_bytes_of_the_model_in_a_state_file_are_told_once(tmp_path: Path) -> None:
    """A table that a layer keeps in a variable of the backend costs its size in every checkpoint."""
    model = make_model()
    model.table = tf.Variable(np.zeros(300_000, "float32"), trainable=False)
    with pytest.warns(UserWarning) as caught:
        model.fit(**FIT, epochs=2, callbacks=[ModelCheckpointEnhanced(tmp_path / "{epoch}.keras")])
    (told,) = [str(w.message) for w in caught if "of the model" in str(w.message)]
    assert "1.keras: 1.2 MB of the model are in variables that a Keras file does not hold" in told


def test_retention_keeps_the_newest_and_the_best_across_restarts(tmp_path: Path) -> None:
    """max_to_keep and keep_best together; what the run did not write stays."""
    options = {"checkpoint": {"max_to_keep": 2, "keep_best": 1}}
    (tmp_path / "mine.keras").write_text("mine")
    for kill in (2, 3, None):
        fit(tmp_path, lambda: [PerBatch(0.05)], kill=kill, epochs=5, **options)
    kept = [n for n in models(tmp_path) if n != "mine.keras"]
    history = load_meta(tmp_path)["val_loss"]
    best = f"{int(np.argmin(history)) + 1:03d}.keras"
    assert set(kept) == {best, "004.keras", "005.keras"}
    assert (tmp_path / "mine.keras").read_text() == "mine"
    assert [n for n in files(tmp_path) if n.endswith(".pkl")] == [f"{n}.callbacks.pkl" for n in kept]


def test_two_checkpoints_of_one_list_hear_of_each_other(tmp_path: Path) -> None:
    """What each decides at an epoch's end is in the other's file, whichever stands first."""

    def start(directory: Path, kill: int | None = None) -> Any:
        savers = [
            ModelCheckpointEnhanced(directory / "latest.keras"),
            ModelCheckpointEnhanced(directory / "best.keras", save_best_only=True),
        ]
        model = fresh_model()
        restored = restore_callbacks(directory, into=savers, model=model, missing_ok=True)
        callbacks = [*savers, *([] if kill is None else [Strike("epoch_begin", at=kill)])]
        try:
            model.fit(**FIT, epochs=3, initial_epoch=restored.initial_epoch, callbacks=callbacks)
        except Killed:
            return None
        return savers[1].best, [load_meta(directory / n)["epochs"] for n in ("latest.keras", "best.keras")]

    whole = start(tmp_path / "whole")
    assert start(tmp_path / "killed", 2) is None
    assert start(tmp_path / "killed") == whole


def test_what_a_kill_left_unwritten_is_written_at_the_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Died after the first of two saves of an epoch: the second one, the best model, is not lost."""

    def savers() -> list[Any]:
        return [
            ModelCheckpointEnhanced(tmp_path / "latest.keras"),
            ModelCheckpointEnhanced(tmp_path / "best" / "best.keras", save_best_only=True),
        ]

    commit = _store.commit

    def dies(written: _store.Written) -> None:
        if "best" in written.model:
            raise Killed
        commit(written)

    monkeypatch.setattr(_store, "commit", dies)
    with pytest.raises(Killed):
        fresh_model().fit(**FIT, epochs=2, callbacks=savers())
    monkeypatch.undo()
    assert not (tmp_path / "best" / "best.keras").exists()
    callbacks, model = savers(), fresh_model()
    restored = restore_callbacks(tmp_path, into=callbacks, model=model)
    with pytest.raises(Killed):
        model.fit(**FIT, epochs=2, initial_epoch=1, callbacks=[*callbacks, Strike("epoch_begin", at=1)])
    assert restored.initial_epoch == 1
    assert load_meta(tmp_path / "best" / "best.keras")["epochs"] == [0]


def test_callbacks_names_them_explicitly(tmp_path: Path) -> None:
    """Only those given are saved; one of an unregistered class is taken as it was given."""

    class Counts(keras.callbacks.Callback):
        n = 0

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.n += 1

    counts = Counts()
    saver = ModelCheckpointEnhanced(tmp_path / "m.keras", callbacks=[counts])
    fresh_model().fit(**FIT, epochs=2, callbacks=[saver, counts, PerBatch(0.01)])
    fresh = stateful(Counts())
    restored = restore_callbacks(tmp_path, into=[fresh], strict=False)
    assert fresh.n == 2
    assert restored.report.restored == ("Counts",)


def test_where_the_siblings_cannot_be_found_the_way_out_works(tmp_path: Path) -> None:
    """Called by somebody else's container: an error that says callbacks=, and with it the state is saved."""
    lost = ModelCheckpointEnhanced(tmp_path / "m.keras")
    with pytest.raises(CallbackStateError, match=r"callbacks=\[\.\.\.\]"):
        fresh_model().fit(**FIT, epochs=2, callbacks=[Container([lost])])
    schedule = PerBatch(0.01)
    saver = ModelCheckpointEnhanced(tmp_path / "m.keras", callbacks=[schedule])
    fresh_model().fit(**FIT, epochs=2, callbacks=[Container([schedule, saver])])
    fresh = PerBatch(0.01)
    restore_callbacks(tmp_path, into=[fresh], strict=False)
    assert fresh.step == 8


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"period": 0}, "period=0"),
        ({"period": 2, "save_freq": 5}, "save_freq='epoch'"),
        ({"max_to_keep": 1.5}, "max_to_keep=1.5"),
        ({"keep_best": -1}, "keep_best=-1"),
        ({"filepath": "m.txt"}, "keras"),
        ({"filepath": "m.weights.h5"}, "expected save_weights_only=True with it, found False"),
        ({"filepath": "ckpt/{epoch}/m.keras"}, "placeholders in the name of the file only"),
        ({"filepath": "ckpt/{epoch.keras"}, "Write {{ and }} for braces"),
        ({"save_on_signal": [True]}, "True is not a signal of this system"),
        ({"save_on_signal": "SIGTREM"}, "'SIGTREM' is not a signal of this system"),
        ({"save_freq": 0}, "save_freq=0: expected 'epoch', or a number of batches from 1"),
        ({"filepath": "{epoch}-{batch:d}.keras"}, ".keras': expected no {batch} with save_freq='epoch'"),
        ({"max_to_keep": 2}, "max_to_keep=2: expected a filepath with placeholders, found 'm.keras'"),
        ({"keep_best": 2, "filepath": "{{a}}.keras"}, "keep_best=2: expected a filepath with placeholders"),
        ({"exit_code": 256}, "from 0 to 255"),
        ({"exit_code": True}, "from 0 to 255"),
        ({"on_save_error": "ignore"}, "expected 'warn' or 'raise'"),
    ],
    ids=lambda value: str(value),
)
def test_bad_arguments_are_refused_at_construction(options: dict[str, Any], text: str) -> None:
    """With the argument and what was expected."""
    with pytest.raises(ValueError, match=text):
        ModelCheckpointEnhanced(**{"filepath": "m.keras", **options})


def test_training_args_of_a_namespace_and_what_is_not_plain() -> None:
    """argparse's result is taken; an object that cannot be stored is refused at once."""
    saver = ModelCheckpointEnhanced("m.keras", training_args=argparse.Namespace(lr=0.1, name="a"))
    assert saver.training_args == {"lr": 0.1, "name": "a"}
    for value in (object(), enum.Enum("Kind", "A B").A, [dataclasses.make_dataclass("Made", ["x"])(1)]):
        # Objects of classes too: a reader that has only the file could not make them, and refuses all of it.
        with pytest.raises(TypeError, match="training_args"):
            ModelCheckpointEnhanced("m.keras", training_args={"model": value})


def test_save_best_only_within_an_epoch(tmp_path: Path) -> None:
    """A training metric within an epoch chooses the best model; the stock class raises a TypeError."""
    saver = ModelCheckpointEnhanced(tmp_path / "best.keras", monitor="loss", save_best_only=True, save_freq=2)
    fresh_model().fit(**FIT, epochs=3, callbacks=[saver])
    assert saver.best is not None and (tmp_path / "best.keras").exists()


def test_the_state_file_is_small(tmp_path: Path) -> None:
    """Ten callbacks without arrays, a hundred epochs of six series: under 22 kB."""
    callbacks = [keras.callbacks.EarlyStopping("loss", patience=200 + i) for i in range(4)]
    callbacks += [PerBatch(0.01 * (i + 1)) for i in range(5)]
    callbacks.append(ModelCheckpointEnhanced(tmp_path / "m.keras", period=100))
    model = fresh_model()
    series = ["loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "f1"]
    history = {name: [0.1 + i for i in range(99)] for name in series}

    class Past(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.history.epoch[:] = range(99)
            self.model.history.history.update(history)

    model.fit(**FIT, initial_epoch=99, epochs=100, callbacks=[Past(), *callbacks])
    assert len(load_meta(tmp_path / "m.keras")["loss"]) == 100
    assert os.path.getsize(tmp_path / "m.keras.callbacks.pkl") < 22_000


def test_keep_best_without_its_series_deletes_nothing(tmp_path: Path) -> None:
    """Which is best cannot be told: one warning, and all are kept."""
    saver = ModelCheckpointEnhanced(tmp_path / "{epoch}.keras", keep_best=1)
    words = "keep_best=1 compares 'val_loss', and this epoch has no value of it"
    with pytest.warns(UserWarning, match=words) as caught:
        fresh_model().fit(X, Y, verbose=0, epochs=3, callbacks=[saver])
    assert sum(words in str(one.message) for one in caught) == 1
    assert models(tmp_path) == ["1.keras", "2.keras", "3.keras"]


def test_numpy_numbers_as_arguments_of_fit(tmp_path: Path) -> None:
    """epochs=np.int64(2) is written so that it can be read."""
    fresh_model().fit(**FIT, epochs=np.int64(2), callbacks=[ModelCheckpointEnhanced(tmp_path / "m.keras")])
    assert [c.finished for c in list_checkpoints(tmp_path)] == [True]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_nothing_is_ever_more_open_than_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories, both files, the lock and what is only staged: nobody else may read them at any step."""
    modes: dict[str, int] = {}

    def look() -> None:
        for path in filter(Path.exists, (tmp_path / "ckpt", *(tmp_path / "ckpt").rglob("*"))):
            modes[path.name] = modes.get(path.name, 0) | path.stat().st_mode

    for name in ("make_directory", "write_bytes", "write_all", "sync", "rename", "remove_tree"):
        real = getattr(disk, name)
        monkeypatch.setattr(disk, name, lambda *args, real=real: (look(), real(*args), look())[1])
    before = os.umask(0o077)
    try:
        assert fit(tmp_path / "ckpt", list, epochs=1) is not None
    finally:
        os.umask(before)
    assert len(modes) > 6 and any(".tmp-" in name for name in modes)
    assert {name for name, mode in modes.items() if mode & 0o077} == set()


class Scores(keras.callbacks.Callback):
    """Logs of other people's metrics."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs.update({"out/mae": 0.5, "my score": epoch / 4})


def test_names_of_metrics_are_taken_as_keras_takes_them(tmp_path: Path) -> None:
    """With a slash or a blank, and braces beside them; such a run goes on, also from the files alone."""
    template = "{{a}}{epoch}-{out/mae:.2f}-{my score:.2f}.keras"
    names = ["{a}1-0.50-0.00.keras", "{a}2-0.50-0.25.keras", "{a}3-0.50-0.50.keras"]
    for epochs in (2, 3):
        callbacks = [Scores(), ModelCheckpointEnhanced(tmp_path / template, max_to_keep=2)]
        model = tiny_model()
        restored = restore_callbacks(tmp_path, into=callbacks[1:], model=model, missing_ok=True)
        play(callbacks, first=restored.initial_epoch, epochs=epochs, model=model)
        assert [os.path.basename(c.path) for c in list_checkpoints(tmp_path)] == names[epochs - 2 : epochs]
    alone = restore_callbacks(tmp_path)["ModelCheckpointEnhanced"]
    assert alone.filepath == str(tmp_path / template)
    assert [name for name, _ in alone.ledger.written] == names[1:]
