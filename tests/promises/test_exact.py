"""The promise: a resumed run is the run that was never killed, byte for byte."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import (
    EPOCHS,
    X_VAL,
    Y_VAL,
    Batches,
    Container,
    Make,
    PerBatch,
    Run,
    X,
    Y,
    bytes_of,
    fit,
    halve,
    make_model,
    pairwise,
)
from kept import kept

from callback_state import stateful
from callback_state._callbacks import prepare
from callback_state._resuming import put_in, resume


def plateau() -> list[Any]:
    """Counters that Keras resets in on_train_begin, and a per-batch schedule."""
    return [
        PerBatch(0.02),
        keras.callbacks.EarlyStopping(patience=7, min_delta=1e-3),
        keras.callbacks.ReduceLROnPlateau(patience=2, factor=0.5, cooldown=1),
    ]


def recorded() -> list[Any]:
    """Every batch recorded, a relative schedule, and best weights that the end puts back."""
    return [
        Batches(),
        keras.callbacks.LearningRateScheduler(halve),
        keras.callbacks.EarlyStopping("val_accuracy", mode="max", patience=6, restore_best_weights=True),
    ]


def swapped() -> list[Any]:
    """Weights that the model holds only between two epochs, and an optimizer that changes them at the end."""
    return [keras.callbacks.SwapEMAWeights(swap_on_epoch=True), Batches(), PerBatch(0.01)]


SETS: dict[str, Make] = {"plateau": plateau, "recorded": recorded, "swapped": swapped}
SHUFFLE = (False, True)
ENDINGS = (".keras", ".weights.h5", ".h5")
POSITIONS = (0, 1, 2, 3)
KILLS = (1, 2, 3, 4, 5, 6)


def again(ema: bool) -> Any:
    """A model that is compiled once for all runs: most of the time of a short run is compiling."""
    return kept(make_model, ema=ema)


def anew(ema: bool) -> Any:
    """A model of its own for each run, as in real life."""
    return make_model(ema=ema)


@dataclass(frozen=True)
class Row:
    """One way to train, and where the run dies."""

    name: str
    shuffle: bool
    ending: str
    position: int
    kill: int
    epochs: int = EPOCHS
    make: Callable[[bool], Any] = again

    def __str__(self) -> str:
        return "-".join(map(str, (self.name, self.shuffle, self.ending, self.position, self.kill)))

    def start(self, directory: Path, *, kill: int | None = None) -> Any:
        return fit(
            directory,
            SETS[self.name],
            shuffle=self.shuffle,
            ending=self.ending,
            position=self.position,
            epochs=self.epochs,
            model=self.make(self.name == "swapped"),
            kill=kill,
        )


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The uninterrupted run of a row, and its files, made once for all kills."""

    @functools.cache
    def run(row: Row) -> tuple[Run, list[str]]:
        directory = tmp_path_factory.mktemp("reference")
        return row.start(directory), files_in(directory)

    return lambda row: run(replace(row, kill=0))


def files_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def rows() -> Iterator[Any]:
    """The whole product is heavy; of it the suite runs every pair of values, an early and a late kill, the first
    and the last position, on few epochs."""
    for values in pairwise(tuple(SETS), SHUFFLE, ENDINGS, (POSITIONS[0], POSITIONS[-1]), (1, 3)):
        yield pytest.param(row := Row(*values, epochs=4), id=str(row))
    for values in itertools.product(tuple(SETS), SHUFFLE, ENDINGS, POSITIONS, KILLS):
        row = Row(*values, make=anew)
        yield pytest.param(row, id=f"whole-{row}", marks=pytest.mark.heavy)


@pytest.mark.parametrize("row", [*rows()])
def test_resumed_run_is_the_uninterrupted_run(tmp_path: Path, reference: Any, row: Row) -> None:
    """Weights, optimizer, seeds, history, states and the list of files are equal, whatever the callbacks, the
    order of the data, the format, the position of the checkpoint and the epoch of the kill."""
    assert row.start(tmp_path, kill=row.kill) is None
    resumed = row.start(tmp_path)
    uninterrupted, files = reference(row)
    assert resumed.restored.initial_epoch == row.kill
    assert resumed.differences(uninterrupted) == []
    assert files_in(tmp_path) == files
    assert len(resumed.epochs) > row.kill


HEAVY_BUT_SWAPPED = [name if name == "swapped" else pytest.param(name, marks=pytest.mark.heavy) for name in SETS]


@pytest.mark.parametrize("name", HEAVY_BUT_SWAPPED)
def test_saving_changes_nothing(tmp_path: Path, name: str) -> None:
    """A run with the checkpoint trains what the run without it trains."""
    watched = Row(name, True, ".keras", 1, 0, epochs=4).start(tmp_path)
    plain = again(name == "swapped")
    history = plain.fit(
        X, Y, batch_size=16, validation_data=(X_VAL, Y_VAL), verbose=0, epochs=4, callbacks=SETS[name]()
    )
    assert watched.weights == bytes_of(plain.weights)
    assert watched.history == history.history


@pytest.mark.parametrize("name", HEAVY_BUT_SWAPPED)
def test_ten_kills_are_no_worse_than_one(tmp_path: Path, reference: Any, name: str) -> None:
    """A run that dies in every epoch, and in some twice, is still the same run."""
    row = Row(name, True, ".weights.h5", 1, 0, epochs=4 if name == "swapped" else EPOCHS)
    uninterrupted, files = reference(row)
    last = len(uninterrupted.epochs)
    for kill in [1, 1, *range(2, last), last - 1]:
        assert row.start(tmp_path, kill=kill) is None
    assert row.start(tmp_path).differences(uninterrupted) == []
    assert files_in(tmp_path) == files


@pytest.mark.filterwarnings("ignore:.*Nothing was restored from them")
@pytest.mark.parametrize("lost", ["seeds", "history", "state of a callback", "generators"])
def test_control_without_it_the_run_differs(
    tmp_path: Path, reference: Any, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Each part of the state file is needed: with one left out, the resumed run is another."""

    class Draws(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.optimizer.learning_rate = 0.01 * (1 + random.random())

    def make() -> list[Any]:
        return [PerBatch(0.02), Draws()] if lost != "generators" else [Draws()]

    uninterrupted = fit(tmp_path / "whole", make, epochs=3)
    if lost == "seeds":
        monkeypatch.setattr(put_in, "put_back_seeds", lambda model, seeds: None)
    elif lost == "history":
        monkeypatch.setattr(resume, "put_back_history", lambda model, history: None)
    elif lost == "generators":
        monkeypatch.setattr(resume, "put_back_generators", lambda generators, **but: None)
    assert fit(tmp_path / "killed", make, kill=1, epochs=3) is None
    if lost == "state of a callback":
        monkeypatch.setattr(prepare.Prepared, "put_back", lambda self: None)
    differences = fit(tmp_path / "killed", make, epochs=3).differences(uninterrupted)
    expected = {"seeds": "weights", "history": "history", "generators": "weights"}
    assert expected.get(lost, "states") in differences


@stateful
class Composite(Container):
    """A container whose state, and that of the callbacks in it, is saved."""


def test_callbacks_inside_a_callback(tmp_path: Path) -> None:
    """Their state is part of its own, and survives on_train_begin too."""

    def make() -> list[Any]:
        return [Composite([keras.callbacks.ReduceLROnPlateau(patience=1, factor=0.5)])]

    whole = fit(tmp_path / "whole", make, epochs=5)
    assert fit(tmp_path / "killed", make, kill=3, epochs=5) is None
    resumed = fit(tmp_path / "killed", make, epochs=5)
    assert resumed.differences(whole) == []
    assert resumed.callbacks[1].inner[0].best == whole.callbacks[1].inner[0].best
    assert len(set(whole.history["val_loss"])) == 5 and len(set(whole.history["learning_rate"])) > 1


def test_a_stateful_recurrent_layer(tmp_path: Path) -> None:
    """What it remembers from batch to batch is in no Keras file and counts as no variable."""

    def model() -> Any:
        keras.utils.set_random_seed(5)
        built = keras.Sequential(
            [
                keras.layers.Input(batch_shape=(16, 2, 3)),
                keras.layers.SimpleRNN(4, stateful=True),
                keras.layers.Dense(1, activation="sigmoid"),
            ]
        )
        built.compile(keras.optimizers.Adam(0.02), keras.losses.BinaryCrossentropy(), run_eagerly=True)
        return built

    data: dict[str, Any] = {"x": X.reshape(64, 2, 3), "shuffle": False, "validation_data": None, "epochs": 3}
    make = functools.partial(list, [])
    whole = fit(tmp_path / "whole", make, model=model(), **data)
    assert fit(tmp_path / "killed", make, kill=1, model=model(), **data) is None
    assert fit(tmp_path / "killed", make, model=model(), **data).differences(whole) == []
