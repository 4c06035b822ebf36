"""The promise: a resumed run is the run that was never killed, byte for byte."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import (
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
    each,
    fit,
    halve,
    make_model,
    pairwise,
)
from kept import kept

from callback_state import stateful
from callback_state._callbacks import prepare
from callback_state._keras import model_file
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
KILLS = (1, 2, 3)
ROWS = [*each(tuple(SETS), SHUFFLE, ENDINGS, POSITIONS, KILLS)]
PAIRS = [row for row in pairwise(tuple(SETS), SHUFFLE, ENDINGS, POSITIONS, KILLS) if row not in ROWS]


def files_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize(
    ("name", "shuffle", "ending", "position", "kill"),
    [*ROWS, *(pytest.param(*row, marks=pytest.mark.heavy) for row in PAIRS)],
)
def test_resumed_run_is_the_uninterrupted_run(
    tmp_path: Path, name: str, shuffle: bool, ending: str, position: int, kill: int
) -> None:
    """Weights, optimizer, seeds, history, states and the list of files are equal, whatever the callbacks, the
    order of the data, the format, the position of the checkpoint and the epoch of the kill."""

    def start(directory: Path, **options: Any) -> Any:
        model = kept(make_model, ema=name == "swapped")
        options |= {"shuffle": shuffle, "ending": ending, "position": position, "epochs": 4}
        return fit(directory, SETS[name], model=model, **options)

    whole = start(tmp_path / "whole")
    assert start(tmp_path / "killed", kill=kill) is None
    resumed = start(tmp_path / "killed")
    assert resumed.restored.initial_epoch == kill < len(resumed.epochs)
    assert resumed.differences(whole) == []
    assert files_in(tmp_path / "killed") == files_in(tmp_path / "whole")


def test_a_run_that_is_not_killed_and_one_that_always_is(tmp_path: Path) -> None:
    """A run with the checkpoint trains what the run without it trains; one that dies in every epoch, and in the
    first twice, is the same run."""

    def start(name: str, kill: int | None = None) -> Any:
        model = kept(make_model, ema=True)
        return fit(tmp_path / name, swapped, ending=".weights.h5", position=1, epochs=3, model=model, kill=kill)

    whole, plain = start("whole"), kept(make_model, ema=True)
    data: dict[str, Any] = {"x": X, "y": Y, "batch_size": 16, "validation_data": (X_VAL, Y_VAL)}
    history = plain.fit(**data, verbose=0, epochs=3, callbacks=swapped()).history
    assert (whole.weights, whole.history) == (bytes_of(plain.weights), history)
    for kill in (1, 1, 2):
        assert start("killed", kill) is None
    assert start("killed").differences(whole) == []
    assert files_in(tmp_path / "killed") == files_in(tmp_path / "whole")


class Draws(keras.callbacks.Callback):
    """Draws from a global generator."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        bias = self.model.layers[-1].bias
        bias.assign(bias + random.random())


#: What does nothing any more, and what then differs.
LOST: dict[str, tuple[Any, str, str]] = {
    "seeds": ([model_file, put_in], "put_back_extra", "weights"),
    "history": ([resume], "put_back_history", "history"),
    "generators": ([resume], "put_back_generators", "weights"),
    "state of a callback": ([prepare.Prepared], "put_back", "states"),
}
if keras.backend.backend() == "torch":
    del LOST["seeds"]  # there a dropout without a seed of its own draws from torch's generator


@pytest.fixture(scope="module")
def whole_and_killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run that nobody killed, and the directory of one that died in its second epoch."""
    directory = tmp_path_factory.mktemp("control")
    whole = fit(directory / "whole", with_draws, epochs=3)
    assert fit(directory / "killed", with_draws, kill=1, epochs=3) is None
    return whole, directory / "killed"


def with_draws() -> list[Any]:
    return [PerBatch(0.02), Draws()]


@pytest.mark.filterwarnings("ignore:.*Nothing was restored from them")
@pytest.mark.parametrize("lost", ["nothing", *LOST])
def test_control_without_it_the_run_differs(
    tmp_path: Path, whole_and_killed: tuple[Run, Path], monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Each part of the state file is needed: with one left out, the resumed run is another."""
    whole, killed = whole_and_killed
    if lost in LOST:
        for place in LOST[lost][0]:
            monkeypatch.setattr(place, LOST[lost][1], lambda *args, **options: None)
    resumed = fit(Path(shutil.copytree(killed, tmp_path / "killed")), with_draws, epochs=3)
    differences = resumed.differences(whole)
    assert LOST[lost][2] in differences if lost in LOST else differences == []


@stateful
class Composite(Container):
    """A container whose state, and that of the callbacks in it, is saved."""


def test_callbacks_inside_a_callback(tmp_path: Path) -> None:
    """Their state is part of its own, and survives on_train_begin too."""

    def make() -> list[Any]:
        return [Composite([keras.callbacks.ReduceLROnPlateau(patience=1, factor=0.5)])]

    whole = fit(tmp_path / "whole", make, epochs=4)
    assert fit(tmp_path / "killed", make, kill=2, epochs=4) is None
    resumed = fit(tmp_path / "killed", make, epochs=4)
    assert resumed.differences(whole) == []
    assert resumed.callbacks[1].inner[0].best == whole.callbacks[1].inner[0].best
    assert len(set(whole.history["val_loss"])) == 4 and len(set(whole.history["learning_rate"])) > 1


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
    whole = fit(tmp_path / "whole", list, model=model(), **data)
    assert fit(tmp_path / "killed", list, kill=1, model=model(), **data) is None
    assert fit(tmp_path / "killed", list, model=model(), **data).differences(whole) == []
