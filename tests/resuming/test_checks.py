"""A ``fit`` that is not the one to go on is refused before its first step, in words that say what differs."""

from __future__ import annotations

import ast
import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from harness import Killed, PerBatch, Strike, X, Y, bytes_of
from inside import killed_after
from reused import fresh_model
from states import contents

from callback_state import ModelCheckpointEnhanced, RestoreError, ResumeError, restore_callbacks, stateful
from callback_state._checkpoints.schema import Meta, ModelFacts, SavedCallback
from callback_state._keras.fit import Fit
from callback_state._keras.weights import digest_of, inventory
from callback_state._resuming.allowed import WORDS, Allowed
from callback_state._resuming.checks import Expected


def halves(error: Any) -> tuple[str, set[str]]:
    """What an error says, and the words with which it could be allowed."""
    text, _, words = str(error.value).partition(" (To continue anyway: restore_callbacks(..., allow=")
    return text, ast.literal_eval(words.removesuffix(").)"))


def made(directory: Path, where: str = "inside") -> list[Any]:
    save_freq = {"inside": 1, "between": "epoch"}[where]
    path = directory / "last.weights.h5"
    return [PerBatch(0.05), ModelCheckpointEnhanced(path, "loss", save_weights_only=True, save_freq=save_freq)]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of a run that was killed inside its second epoch, and of one that was killed between two epochs."""
    found = {}
    for name, killer in {"inside": killed_after(4 + 1 + 2), "between": Strike("epoch_begin", at=2)}.items():
        found[name] = tmp_path_factory.mktemp(name)
        callbacks = [*made(found[name], name), killer]
        with pytest.raises(Killed):
            fresh_model().fit(X, Y, batch_size=16, epochs=3, verbose=0, callbacks=callbacks)
    return found


@stateful(exclude=("steps",))
class Hears(keras.callbacks.Callback):
    """Counts the steps that are begun."""

    steps = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.steps += 1


def dataset(rows: int = 64) -> Any:
    return tf.data.Dataset.from_tensor_slices((X[:rows], Y[:rows])).batch(16)


ARRAYS = {"x": X, "y": Y, "batch_size": 16}
#: By name the arguments of ``fit``, and what is found that was not expected.
OTHER_DATA: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "shorter": (lambda: {**ARRAYS, "x": X[:48], "y": Y[:48]}, "batches of an epoch: expected 4, found 3"),
    "longer": (
        lambda: {**ARRAYS, "x": np.concatenate([X, X[:16]]), "y": np.concatenate([Y, Y[:16]])},
        "batches of an epoch: expected 4, found 5",
    ),
    "a row fewer": (
        lambda: {**ARRAYS, "x": X[:63], "y": Y[:63]},
        "samples in the last batch: expected None, found 15",
    ),
    "batch size": (
        lambda: {**ARRAYS, "batch_size": 32},
        "batches of an epoch: expected 4, found 2; batch size: expected 16, found 32",
    ),
    "steps_per_epoch": (lambda: {**ARRAYS, "steps_per_epoch": 3}, "steps_per_epoch: expected None, found 3"),
    "kind": (
        lambda: {"x": dataset()},
        "kind: expected ArrayData, found TFDataset; batch size: expected 16, found None",
    ),
}


def resumed(directory: Path, where: str, name: str, **options: Any) -> tuple[Any, list[Any], dict[str, Any]]:
    """A model and callbacks that the checkpoint was restored into, and what is passed to their ``fit``."""
    model, callbacks = fresh_model(), [Hears(), *made(directory, where)]
    restored = restore_callbacks(directory, into=callbacks, model=model, **options)
    arguments = {
        "epochs": 3,
        "verbose": 0,
        "callbacks": callbacks,
        "initial_epoch": restored.initial_epoch,
        **OTHER_DATA[name][0](),
    }
    return model, callbacks, arguments


@pytest.mark.parametrize(
    ("where", "name", "words"),
    [
        ("inside", "shorter", {"data"}),
        ("between", "a row fewer", {"data"}),
        ("inside", "batch size", {"batch size"}),
        ("between", "steps_per_epoch", {"steps_per_epoch"}),
        ("between", "kind", {"data"}),
    ],
)
def test_other_data_are_refused(checkpoints: dict[str, Path], where: str, name: str, words: set[str]) -> None:
    """Before the first step: what was expected and found is said, and model, callbacks and files are as before."""
    directory = checkpoints[where]
    model, callbacks, arguments = resumed(directory, where, name)
    before = bytes_of([*model.weights, *model.optimizer.variables]), callbacks[1].step
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(ResumeError) as caught:
        model.fit(**arguments)
    said = (
        f"{directory / 'last.weights.h5'}: the data of this fit differ from those of the saved run: "
        f"{OTHER_DATA[name][1]}. Pass the same data and arguments "
        f"(batch_size=, steps_per_epoch=, shuffle=, ...), and compile with the same steps_per_execution=."
    )
    assert halves(caught) == (said, words)
    assert callbacks[0].steps == 0
    assert (bytes_of([*model.weights, *model.optimizer.variables]), callbacks[1].step) == before
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == files


@pytest.mark.parametrize(
    ("where", "name", "steps", "options"),
    [
        ("inside", "longer", 3 + 5, {"strict": False}),
        ("between", "kind", 4, {"allow": "data"}),
        ("between", "batch size", 2, {"allow": {"batch size"}}),
    ],
)
def test_other_data_are_gone_on_with_on_demand(
    checkpoints: dict[str, Path], tmp_path: Path, where: str, name: str, steps: int, options: Any
) -> None:
    """With strict=False, or its word, it is a warning, and the rest of the steps are trained."""
    directory = shutil.copytree(checkpoints[where], tmp_path / "ckpt")
    model, callbacks, arguments = resumed(directory, where, name, **options)
    with pytest.warns(UserWarning, match=re.escape(OTHER_DATA[name][1])):
        history = model.fit(**arguments)
    assert history.epoch == [0, 1, 2] and callbacks[0].steps == steps


@pytest.mark.parametrize("strict", [True, False])
def test_data_too_short_for_the_batch_are_refused_on_demand_too(
    checkpoints: dict[str, Path], strict: bool
) -> None:
    """There is no batch to go on with: no step is trained, and no error says what would help."""
    model, callbacks, arguments = resumed(checkpoints["inside"], "inside", "shorter", strict=strict)
    with pytest.raises(ResumeError, match="batches of an epoch: expected 4, found 1") as caught:
        model.fit(**{**arguments, "x": X[:16], "y": Y[:16]})
    assert callbacks[0].steps == 0 and "allow=" not in str(caught.value)


def test_data_that_turn_out_too_short_are_refused(checkpoints: dict[str, Path]) -> None:
    """Where nobody knows their length: both numbers are named."""
    model, callbacks, arguments = resumed(checkpoints["inside"], "inside", "kind", strict=False)
    short = dataset(16).filter(lambda x, y: True)
    with (
        pytest.warns(UserWarning, match="batches of an epoch: expected 4, found None"),
        pytest.raises(ResumeError, match="ended after 1 batches, and the checkpoint was taken after 2"),
    ):
        model.fit(**{**arguments, "x": short})
    assert callbacks[0].steps == 0


# The model.


def network(*, width: int = 4, more: bool = False, name: str | None = None) -> Any:
    """As the model of the checkpoint but for what is said."""
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(width, activation="relu", name=name),
            keras.layers.Dropout(0.3),
            *([keras.layers.BatchNormalization()] if more else []),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), keras.losses.BinaryCrossentropy())
    model.optimizer.build(model.trainable_variables)
    return model


OTHER_MODELS: dict[str, tuple[Callable[[], Any], str]] = {
    "width": (
        lambda: network(width=5),
        r"weight 0: expected \S+ \(6, 4\) float32, found \S+ \(6, 5\) float32; weight 1: .*; weight 2: expected "
        r"\S+ \(4, 1\) float32, found \S+ \(5, 1\) float32\.",
    ),
    "layer": (lambda: network(more=True), r"weight 2: .*; 4 not in the checkpoint: "),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("name", OTHER_MODELS)
def test_model_of_other_variables_gets_nothing(checkpoints: dict[str, Path], name: str, strict: bool) -> None:
    """The differences are listed, no bit of model, optimizer, seeds and callbacks is changed, and no word is
    advised, as the file does not fit all the same."""
    make, words = OTHER_MODELS[name]
    model, callbacks = make(), made(checkpoints["inside"])
    before = bytes_of([*model.variables, *model.optimizer.variables])
    with pytest.raises(RestoreError, match=f"this is not the model that was saved: .*{words}") as caught:
        restore_callbacks(checkpoints["inside"], into=callbacks, model=model, strict=strict)
    assert str(caught.value).endswith("Build and compile it as before.")
    assert bytes_of([*model.variables, *model.optimizer.variables]) == before
    assert callbacks[0].step == 0 and "set_model" not in vars(callbacks[0])


def test_a_model_of_other_names_is_gone_on_with_on_demand(checkpoints: dict[str, Path]) -> None:
    """The error says how, and the warning says no more that it is."""
    model = network(name="renamed")
    with pytest.raises(RestoreError, match=r"found renamed/kernel ") as caught:
        restore_callbacks(checkpoints["inside"], into=made(checkpoints["inside"]), model=model)
    assert halves(caught)[1] == {"model"}
    with pytest.warns(UserWarning, match=r"found renamed/kernel .* as before\.$"):
        restore_callbacks(
            checkpoints["inside"], into=(callbacks := made(checkpoints["inside"])), model=model, allow="model"
        )
    assert callbacks[0].step == 4 + 2


def test_a_difference_is_told_once(checkpoints: dict[str, Path]) -> None:
    """fit is looked at when its callbacks are known, and again when it begins."""
    model, callbacks, arguments = resumed(checkpoints["between"], "between", "shorter", strict=False)
    with pytest.warns(UserWarning) as caught:
        model.fit(**{**arguments, **ARRAYS, "callbacks": callbacks[:1] + callbacks[2:]})
    told = [str(one.message) for one in caught if one.category is UserWarning]
    assert len(told) == 1 and "PerBatch: restored from the checkpoint, but not among" in told[0]


# In words alone.


class Model:
    """Stands for a model that has taken some steps."""

    def __init__(self, steps: int = 3, weight: float = 1.0) -> None:
        self.weights = [keras.Variable(np.full(2, weight, "float32"), name="w")]
        self.optimizer = SimpleNamespace(iterations=keras.Variable(steps, dtype="int64"), variables=[])
        self.built = True


def meta(data: dict[str, Any] | None = None) -> Meta:
    """Of a checkpoint after the second epoch, with a callback and our own."""
    model = Model()
    found, _ = contents({"epoch": 1, "data": {"batches": 4, "batch size": None} if data is None else data})
    facts = ModelFacts(digest_of(model), 3, inventory(model), True)
    classes = {"PerBatch": "harness.PerBatch", "Checkpoint": "callback_state.ModelCheckpointEnhanced"}
    callbacks = [SavedCallback(key, cls, 1, {}) for key, cls in classes.items()]
    return dataclasses.replace(found, model=facts, callbacks=callbacks)


def expected(*, allow: Any = (), data: dict[str, Any] | None = None) -> Expected:
    return Expected(meta(data), "m.keras", Allowed.of(True, allow))


def fit_from(epoch: int) -> Fit:
    return Fit(epoch, 9, False, True, None, None, None)


def moved(peak: float = 0.1) -> PerBatch:
    callback = PerBatch(peak)
    callback.step = 5
    return callback


WRONG: dict[str, tuple[Callable[[Expected], None], str]] = {
    "earlier epoch": (
        lambda e: e.check_epoch(fit_from(0)),
        "fit starts with epoch 1 (initial_epoch=0), but the checkpoint goes on with epoch 3 (initial_epoch=2). "
        "Write model.fit(..., initial_epoch=restored.initial_epoch).",
    ),
    "earlier epoch of a later fit": (
        lambda e: e.check_epoch(fit_from(1)),
        "fit starts with epoch 2 (initial_epoch=1), but the checkpoint goes on with epoch 3 (initial_epoch=2). "
        "Write model.fit(..., initial_epoch=max(1, restored.initial_epoch)).",
    ),
    "later epoch": (
        lambda e: e.check_epoch(fit_from(3)),
        "fit starts with epoch 4 (initial_epoch=3), but the checkpoint goes on with epoch 3 (initial_epoch=2). "
        "Write model.fit(..., initial_epoch=restored.initial_epoch).",
    ),
    "steps": (
        lambda e: e.check_model(Model(steps=4)),
        "the optimizer has made 4 steps, but 3 in the checkpoint. Compile the model first, then call "
        "restore_callbacks(..., model=model): it loads weights and optimizer.",
    ),
    "weights": (
        lambda e: e.check_model(Model(weight=2.0)),
        "the weights or the optimizer are not those of the checkpoint. Build and compile the model first, then "
        "call restore_callbacks(..., model=model).",
    ),
    "callback": (
        lambda e: e.check_callbacks({"PerBatch": moved(), "Checkpoint": moved()}, [moved()]),
        "PerBatch: restored from the checkpoint, but not among the callbacks of this fit. Pass the same "
        "objects that were restored: callbacks=[*restored].",
    ),
    "data": (
        lambda e: e.check_data({"batches": 5, "batch size": 3, "new": 1}),
        "the data of this fit differ from those of the saved run: batches: expected 4, found 5; batch size: "
        "expected None, found 3. Pass the same data and arguments "
        "(batch_size=, steps_per_epoch=, shuffle=, ...), and compile with the same "
        "steps_per_execution=.",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_check_names_the_argument(name: str) -> None:
    """An error with the words that allow it; with these, and no fewer, a warning says the same."""
    act, text = WRONG[name]
    with pytest.raises(ResumeError) as caught:
        act(expected())
    said, words = halves(caught)
    assert said == f"m.keras: {text}"
    with pytest.warns(UserWarning) as warned:
        act(expected(allow=words))
    assert [str(w.message) for w in warned] == [said]
    for word in words:
        with pytest.raises(ResumeError) as caught:
            act(expected(allow=WORDS.keys() - {word}))
        assert halves(caught)[1] == {*WORDS}


def test_a_word_that_does_not_exist_is_refused() -> None:
    """With those that do."""
    with pytest.raises(RestoreError, match="allow= has 'batch': expected words of 'batch size', 'callbacks'"):
        restore_callbacks("nowhere", into=[], missing_ok=True, allow=["batch"])


def test_what_is_as_it_was_is_let_through() -> None:
    """Also a hand-written loop, callbacks without state, our own, and data of which nothing is known."""
    known, callback = expected(), moved()
    known.check_epoch(fit_from(2))
    known.check_epoch(None)
    known.check_model(Model())
    known.check_callbacks({"PerBatch": callback, "Checkpoint": moved()}, [callback])
    known.check_callbacks({"PerBatch": keras.callbacks.TerminateOnNaN()}, [])
    known.check_data({"batches": 4, "batch size": None, "new": 1})
    expected(data={}).check_data({"batches": 5})


def test_other_variables_are_told_before_other_steps() -> None:
    """Which is what they follow from."""
    other = Model(steps=4)
    other.weights.append(keras.Variable(1.0))
    with pytest.raises(ResumeError, match=r"not the model that was saved: 1 not in the checkpoint"):
        expected().check_model(other)
