"""The promise: a resumed run is the run that was never killed, byte for byte."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import EPOCHS, Batches, Container, Make, PerBatch, Run, X, fit, halve, make_model, pairwise

from callback_state import stateful


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
AXES = (tuple(SETS), SHUFFLE, ENDINGS, POSITIONS, KILLS)


def start(directory: Path, name: str, shuffle: bool, ending: str, position: int, **options: Any) -> Any:
    model = make_model(ema=name == "swapped")
    return fit(directory, SETS[name], shuffle=shuffle, ending=ending, position=position, model=model, **options)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The uninterrupted run of a row, made once."""

    @functools.cache
    def run(name: str, shuffle: bool, ending: str, position: int) -> tuple[Run, list[str]]:
        directory = tmp_path_factory.mktemp("reference")
        ended = start(directory, name, shuffle, ending, position)
        return ended, sorted(path.name for path in directory.iterdir())

    return run


def check_row(
    tmp_path: Path, reference: Any, name: str, shuffle: bool, ending: str, position: int, kill: int
) -> None:
    row = (name, shuffle, ending, position)
    assert start(tmp_path, *row, kill=kill) is None
    resumed = start(tmp_path, *row)
    uninterrupted, files = reference(*row)
    assert resumed.restored.initial_epoch == kill
    assert resumed.differences(uninterrupted) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    assert len(resumed.epochs) > kill


@pytest.mark.parametrize("row", pairwise(*AXES), ids=lambda row: "-".join(map(str, row)))
def test_resumed_run_is_the_uninterrupted_run(tmp_path: Path, reference: Any, row: tuple[Any, ...]) -> None:
    """Weights, optimizer, seeds, history, states and the list of files are equal, for every pair of
    {callbacks, shuffle, format, position, kill}."""
    check_row(tmp_path, reference, *row)


@pytest.mark.heavy
@pytest.mark.parametrize("row", list(itertools.product(*AXES)), ids=lambda row: "-".join(map(str, row)))
def test_whole_product(tmp_path: Path, reference: Any, row: tuple[Any, ...]) -> None:
    """The same for the whole product."""
    check_row(tmp_path, reference, *row)


@pytest.mark.parametrize("name", SETS)
def test_saving_changes_nothing(tmp_path: Path, name: str) -> None:
    """A run with the checkpoint trains what the run without it trains."""
    watched = start(tmp_path, name, True, ".keras", 1)
    plain = make_model(ema=name == "swapped")
    from harness import X_VAL, Y_VAL, X, Y, bytes_of

    history = plain.fit(
        X, Y, batch_size=16, validation_data=(X_VAL, Y_VAL), verbose=0, epochs=EPOCHS, callbacks=SETS[name]()
    )
    assert watched.weights == bytes_of(plain.weights)
    assert watched.history == history.history


@pytest.mark.parametrize("name", SETS)
def test_ten_kills_are_no_worse_than_one(tmp_path: Path, reference: Any, name: str) -> None:
    """A run that dies in every epoch, and in some twice, is still the same run."""
    row = (name, True, ".keras", 1)
    uninterrupted, files = reference(*row)
    last = len(uninterrupted.epochs)
    for kill in [1, 1, *range(2, last), last - 1]:
        assert start(tmp_path, *row, kill=kill) is None
    resumed = start(tmp_path, *row)
    assert resumed.differences(uninterrupted) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == files


@pytest.mark.filterwarnings("ignore:.*Nothing was restored from them")
@pytest.mark.parametrize("lost", ["seeds", "history", "state of a callback", "generators"])
def test_control_without_it_the_run_differs(
    tmp_path: Path, reference: Any, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Each part of the state file is needed: with one left out, the resumed run is another."""
    import random

    from callback_state._callbacks import prepare
    from callback_state._resuming import put_in, resume

    class Draws(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.optimizer.learning_rate = 0.01 * (1 + random.random())

    def make() -> list[Any]:
        return [PerBatch(0.02), Draws()] if lost != "generators" else [Draws()]

    uninterrupted = fit(tmp_path / "whole", make)
    if lost == "seeds":
        monkeypatch.setattr(put_in, "put_back_seeds", lambda model, seeds: None)
    elif lost == "history":
        monkeypatch.setattr(resume, "put_back_history", lambda model, history: None)
    elif lost == "generators":
        monkeypatch.setattr(resume, "put_back_generators", lambda generators, **but: None)
    assert fit(tmp_path / "killed", make, kill=3) is None
    if lost == "state of a callback":
        monkeypatch.setattr(prepare.Prepared, "put_back", lambda self: None)
    differences = fit(tmp_path / "killed", make).differences(uninterrupted)
    expected = {"seeds": "weights", "history": "history", "generators": "weights"}
    assert expected.get(lost, "states") in differences


@stateful
class Composite(Container):
    """A container whose state, and that of the callbacks in it, is saved."""


def test_callbacks_inside_a_callback(tmp_path: Path) -> None:
    """Their state is part of its own, and survives on_train_begin too."""

    def make() -> list[Any]:
        return [Composite([keras.callbacks.ReduceLROnPlateau(patience=2, factor=0.5, cooldown=1)])]

    whole = fit(tmp_path / "whole", make)
    assert fit(tmp_path / "killed", make, kill=4) is None
    resumed = fit(tmp_path / "killed", make)
    assert resumed.differences(whole) == []
    assert resumed.callbacks[1].inner[0].best == whole.callbacks[1].inner[0].best
    assert len(set(whole.history["val_loss"])) == EPOCHS


def test_a_stateful_recurrent_layer(tmp_path: Path) -> None:
    """What it remembers from batch to batch is in no Keras file and counts as no variable."""

    def model() -> Any:
        keras.utils.set_random_seed(5)
        built = keras.Sequential(
            [
                keras.layers.Input(batch_shape=(16, 2, 3)),
                keras.layers.LSTM(4, stateful=True),
                keras.layers.Dense(1, activation="sigmoid"),
            ]
        )
        built.compile(keras.optimizers.Adam(0.02), keras.losses.BinaryCrossentropy())
        return built

    data: dict[str, Any] = {"x": X.reshape(64, 2, 3), "shuffle": False, "validation_data": None}
    make = functools.partial(list, [])
    whole = fit(tmp_path / "whole", make, model=model(), **data)
    assert fit(tmp_path / "killed", make, kill=3, model=model(), **data) is None
    assert fit(tmp_path / "killed", make, model=model(), **data).differences(whole) == []
