"""Checkpoints of older releases, Pythons, Kerases and NumPys stay readable: every value is what was written."""

from __future__ import annotations

import pickletools
import shutil
import sys
from pathlib import Path
from typing import Any

import golden_states
import keras
import numpy as np
import pytest
from golden_states import FILES, KEY, STATES, VALUES, ByValue, values
from kept import kept
from plain_values import identical

from callback_state import (
    ModelCheckpointEnhanced,
    Restored,
    RestoreError,
    UntrustedError,
    load_meta,
    restore_callbacks,
    stateful,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*saved on the backend")


def named(*names: str) -> dict[str, Any]:
    """The golden files of these states, as the parameters of a test."""
    found = {which: path for which, path in FILES.items() if state_of(path).removeprefix("signed ") in names}
    return {"argnames": "directory", "argvalues": found.values(), "ids": found.keys()}


def key_of(directory: Path) -> dict[str, bytes]:
    return {"key": KEY} if state_of(directory).startswith("signed ") else {}


def state_of(directory: Path) -> str:
    """The name of a file's state in ``golden_states.py``."""
    return directory.name.replace("-", " ")


def restored(directory: Path, *callbacks: Any, **options: Any) -> Restored:
    _, checkpoint = STATES[state_of(directory)]
    saver = ModelCheckpointEnhanced(
        directory / "m.weights.h5", save_weights_only=True, **checkpoint, **key_of(directory)
    )
    return restore_callbacks(directory, into=[*callbacks, saver], **key_of(directory), **options)


def test_there_is_a_file_of_each_state_and_writer() -> None:
    """None has been forgotten or lost: four writers, more than a dozen states."""
    names = {name.replace(" ", "-") for name in STATES}
    assert len(names) > 12
    some = {name.replace(" ", "-") for name in golden_states.ELSEWHERE}
    writers = {"3.7": names, "3.15": names, "3.15-jax": some, "3.15-torch": some}
    assert set(FILES) == {f"keras-{writer}/{name}" for writer, names in writers.items() for name in names}


@pytest.mark.parametrize(**named(*VALUES, "classes"))
def test_a_value_is_what_was_written(directory: Path) -> None:
    """Down to types, bits, order and sharing; and the same made anew from the file, where data are enough."""
    name = state_of(directory).removeprefix("signed ")
    (callback,) = STATES[name][0]()
    expected = values(name)
    if name == "classes":  # which a file may only fill where objects of them are
        callback.value = values("classes", made=False)
    report = restored(directory, callback).report
    assert report.missing == report.unexpected == report.changed == report.appeared == ()
    if name == "classes":
        mood, record, pair, window = callback.value
        assert (mood, record, pair, window.items) == (*expected[:3], expected[3].items)
        assert type(pair) is golden_states.Pair and type(window) is golden_states.Window
    else:
        assert identical(callback.value, expected)
        again = restore_callbacks(directory, **key_of(directory))["Holds"]
        assert again is not callback and identical(again.value, values(name))


@pytest.mark.parametrize(**named("variables"))
def test_a_variable_has_its_value(directory: Path) -> None:
    """It goes into the variable that the callback holds now."""
    (callback,) = STATES["variables"][0]()
    callback.value = variable = keras.Variable([0.0, 0.0])
    restored(directory, callback)
    assert callback.value is variable and variable.numpy().tolist() == [0.5, 2.0]


@pytest.mark.parametrize(**named("shared by two callbacks"))
def test_what_two_callbacks_share_they_share_again(directory: Path) -> None:
    """One object, in both, with its cycles."""
    a, b = STATES["shared by two callbacks"][0]()
    restored(directory, a, b)
    assert a.value is b.value and identical(a.value, values("shared and cyclic"))


@pytest.mark.parametrize(**named("an older version"))
def test_an_older_version_is_migrated(directory: Path) -> None:
    """Its state goes through ``migrate``; without one the error says so."""
    (same,) = STATES["an older version"][0]()
    restored(directory, same)
    assert same.step == 12

    def in_epochs(state: dict[str, Any], version: int) -> dict[str, Any]:
        return {"epochs": state["step"] / 6 if version == 1 else None}

    class Newer(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.epochs = 0.0

    newer = stateful(stateful(Newer, version=2, migrate=in_epochs)(), key="Older")
    restored(directory, newer)
    assert newer.epochs == 2.0
    with pytest.raises(RestoreError, match="version 1"):
        restored(directory, stateful(stateful(Newer, version=2)(), key="Older"))


@pytest.mark.parametrize(**named("an object by value"))
def test_an_object_by_value_needs_trust(directory: Path) -> None:
    """A right signature is trust; without one it is refused, unless it is given, and then crosses Pythons."""
    options = {} if key_of(directory) else {"trusted": ["golden_states.Opaque"]}
    if not key_of(directory):
        with pytest.raises(UntrustedError, match=r"held.*golden_states.Opaque"):
            restored(directory, ByValue(code=False))
    callback = ByValue(code=False)
    restored(directory, callback, **options)
    assert type(callback.held) is golden_states.Opaque and callback.held.value == 7


@pytest.mark.parametrize(**named("code by value"))
def test_code_by_value_needs_the_same_python(directory: Path) -> None:
    """With trust it is opened on the Python it was written on, and elsewhere refused with that reason."""
    written_on = versions(directory)["python"].rsplit(".", 1)[0]
    callback = ByValue(code=True)
    if written_on == "{}.{}".format(*sys.version_info):
        restored(directory, callback, trusted=True)
        assert callback.held(1) == 8
    else:
        with pytest.raises(RestoreError, match=rf"written by Python {written_on}"):
            restored(directory, callback, trusted=True)


def versions(directory: Path) -> dict[str, str]:
    (callback,) = STATES["an older version"][0]()
    return restored(directory.parent / "an-older-version", callback).report.versions


@pytest.mark.parametrize(**named("training_args"))
def test_training_arguments_are_read(directory: Path) -> None:
    """From the file alone, and from what was restored."""
    expected = {"rate": 1e-5, "layers": [1, None, "é"]}
    assert restored(directory).training_args == load_meta(directory)["training_args"] == expected


def make_model() -> Any:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


@pytest.mark.parametrize(**named("stock callbacks", "inside an epoch"))
def test_a_run_goes_on_here(directory: Path, tmp_path: Path) -> None:
    """From the end of an epoch or from within one, as a run of this Keras that was never interrupted."""
    x = np.arange(24, dtype="float32").reshape(12, 2) / 24
    where = Path(shutil.copytree(directory, tmp_path / "ckpt"))
    ends = []
    for start in (tmp_path / "none", where):
        model = kept(make_model)
        callbacks, checkpoint = STATES[state_of(directory)][0](), STATES["inside an epoch"][1]
        saver = ModelCheckpointEnhanced(
            start / "m.weights.h5",
            save_weights_only=True,
            **key_of(directory),
            **(checkpoint if state_of(directory).endswith("inside an epoch") else {}),
        )
        found = restore_callbacks(
            start, into=[*callbacks, saver], model=model, missing_ok=True, **key_of(directory)
        )
        history = model.fit(
            x,
            x.sum(axis=1),
            batch_size=2,
            epochs=5,
            verbose=0,
            callbacks=[*callbacks, saver],
            initial_epoch=found.initial_epoch,
        )
        early, plateau, _ = callbacks
        ends.append(
            (
                history.epoch,
                history.history["learning_rate"],
                early.min_delta,
                plateau.min_delta,
                plateau.wait,
                early.best_epoch,
                early.wait,
                len(history.history["loss"]),
            )
        )
    assert (found.epoch, found.batch) == ((2, 2) if state_of(directory).endswith("inside an epoch") else (1, None))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("directory", FILES.values(), ids=FILES.keys())
def test_no_stored_state_names_a_private_path_of_keras(directory: Path) -> None:
    """Nor any other module than those of the classes that were registered, or of Keras's public callbacks."""
    data = (directory / "m.weights.h5.callbacks.pkl").read_bytes()
    assert b"keras.src" not in data and b"numpy._core" not in data and b"numpy.core" not in data
    assert {code.name for code, _, _ in pickletools.genops(data)}.isdisjoint({"GLOBAL", "STACK_GLOBAL", "REDUCE"})
