"""Runs that end: what marks them, and what happens when their script is started again."""

from __future__ import annotations

import decimal
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from harness import X_VAL, Y_VAL, Batches, Killed, PerBatch, Run, Strike, X, Y, bytes_of, make_model
from reused import fit, fresh_model

from callback_state import (
    CallbackStateError,
    ModelCheckpointEnhanced,
    list_checkpoints,
    reopen,
    restore_callbacks,
    stateful,
)

EPOCHS = 5
FIT: dict[str, Any] = {"x": X, "y": Y, "batch_size": 16, "verbose": 0}


def stopping() -> list[Any]:
    """Stops early, and puts the best weights back after the last epoch has been heard."""
    return [Batches(), PerBatch(0.05), keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True)]


def plain() -> list[Any]:
    return [Batches(), PerBatch(0.02)]


def names(directory: Path) -> list[str]:
    return sorted(os.path.basename(c.path) for c in list_checkpoints(directory) if c.finished)


def test_a_run_that_completed_is_marked_in_its_last_checkpoint(tmp_path: Path) -> None:
    """Where the end changed nothing, no further file is written."""
    fit(tmp_path, plain, epochs=2)
    assert names(tmp_path) == ["002.keras"]
    assert len(list_checkpoints(tmp_path)) == 2


def test_a_run_whose_end_changed_the_weights_has_a_final_checkpoint(tmp_path: Path) -> None:
    """restore_best_weights changes them after the last epoch: the last epoch's checkpoint is kept."""
    ended = fit(tmp_path, stopping, epochs=EPOCHS)
    last = len(ended.epochs)
    assert 1 < last < EPOCHS
    assert names(tmp_path) == [f"{last:03d}.final.keras"]
    assert os.path.exists(tmp_path / f"{last:03d}.keras")
    loaded = keras.models.load_model(tmp_path / f"{last:03d}.final.keras")
    assert bytes_of(loaded.weights) == ended.weights


def ema() -> list[Any]:
    return [Batches()]


@pytest.mark.parametrize(("make", "ending"), [(plain, ".keras"), (stopping, ".weights.h5"), (ema, ".h5")])
def test_started_again_it_trains_nothing(tmp_path: Path, make: Any, ending: str) -> None:
    """A finished run has byte-identical weights, history and states when its script is run again."""

    def start() -> Run | None:
        return fit(tmp_path, make, ending=ending, epochs=3, model=fresh_model(ema=make is ema))

    first = start()
    files = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    again = start()
    assert again.restored.finished
    assert again.differences(first) == []
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == files


def test_with_larger_epochs_it_goes_on_exactly(tmp_path: Path) -> None:
    """A finished run goes on as if the larger number had been given at once, EMA included."""
    whole = fit(tmp_path / "whole", ema, epochs=3, model=fresh_model(ema=True))
    fit(tmp_path / "parts", ema, epochs=2, model=fresh_model(ema=True))
    on = fit(tmp_path / "parts", ema, epochs=3, model=fresh_model(ema=True))
    assert on.restored.finished
    assert (on.weights, on.optimizer, on.history) == (whole.weights, whole.optimizer, whole.history)


def test_after_an_early_stop_larger_epochs_go_on_from_the_last_epoch(tmp_path: Path) -> None:
    """Not from the best weights that the end had put back: the next epoch trains the last ones."""
    ended = fit(tmp_path, stopping, epochs=EPOCHS)
    last = len(ended.epochs)
    on = fit(tmp_path, stopping, epochs=EPOCHS + 1)
    assert on.history["loss"][:last] == ended.history["loss"]
    assert len(on.epochs) == last + 1  # its patience is used up: one more epoch, and it stops again


def test_where_the_last_epoch_was_not_saved_going_on_says_so(tmp_path: Path) -> None:
    """save_best_only did not keep the last epoch, and the end replaced its weights: a warning."""
    options = {"checkpoint": {"save_best_only": True}, "name": "best"}
    fit(tmp_path, stopping, epochs=EPOCHS, **options)
    assert names(tmp_path) == ["best.final.keras"]
    with pytest.warns(UserWarning, match="replaced the weights of the last epoch"):
        fit(tmp_path, stopping, epochs=EPOCHS + 1, **options)


def test_period_leaves_the_last_epoch_out_and_the_end_is_exact_all_the_same(tmp_path: Path) -> None:
    """period=2 and three epochs: the final checkpoint is the third epoch's, and going on is exact."""
    options = {"checkpoint": {"period": 2}}
    whole = fit(tmp_path / "whole", plain, epochs=4, **options)
    fit(tmp_path / "parts", plain, epochs=3, **options)
    assert names(tmp_path / "parts") == ["003.final.keras"]
    on = fit(tmp_path / "parts", plain, epochs=4, **options)
    assert (on.weights, on.optimizer, on.history) == (whole.weights, whole.optimizer, whole.history)


def script(directory: Path, kill: int | None = None) -> Any:
    """Two fits: a warm-up with frozen layers, then fine-tuning, each with its own checkpoints."""
    model = make_model()
    model.layers[0].trainable = False
    model.compile(keras.optimizers.Adam(0.02), keras.losses.BinaryCrossentropy(), run_eagerly=True)
    trained = []
    for part, epochs in enumerate((2, 2)):
        if part == 1:
            model.layers[0].trainable = True
            model.compile(keras.optimizers.Adam(0.005), keras.losses.BinaryCrossentropy(), run_eagerly=True)
        callbacks = [
            PerBatch(0.01),
            keras.callbacks.EarlyStopping("loss", patience=9),
            ModelCheckpointEnhanced(os.path.join(directory, f"part{part}-{{epoch}}.keras")),
        ]
        restored = restore_callbacks(directory, into=callbacks, model=model, missing_ok=True)
        killer = [Strike("epoch_begin", at=kill)] if kill is not None and part == 1 else []
        try:
            begins = restored.initial_epoch
            history = model.fit(**FIT, epochs=epochs, callbacks=[*callbacks, *killer], initial_epoch=begins)
        except Killed:
            return None
        trained.append((history.history, bytes_of(model.weights)))
    return trained


@pytest.mark.filterwarnings("ignore:.*nothing to restore for this run")
def test_two_fits_in_one_script_resume_in_the_right_one(tmp_path: Path) -> None:
    """Warm up, then fine-tune, in one directory under two names: killed in the second."""
    expected = script(tmp_path / "whole")
    assert script(tmp_path / "killed", kill=1) is None
    assert script(tmp_path / "killed") == expected


def continued(directory: Path, kill: int | None = None) -> Any:
    """Two fits that number their epochs through, with the same callbacks and one name."""

    model = fresh_model()
    callbacks = [
        PerBatch(0.01),
        keras.callbacks.EarlyStopping("loss", patience=9),
        ModelCheckpointEnhanced(os.path.join(directory, "{epoch}.keras")),
    ]
    restored = restore_callbacks(directory, into=callbacks, model=model, missing_ok=True)
    histories = []
    for first, epochs in ((0, 2), (2, 4)):
        killer = [] if kill is None else [Strike("epoch_begin", at=kill)]
        try:
            begins = max(first, restored.initial_epoch)
            history = model.fit(**FIT, epochs=epochs, callbacks=[*callbacks, *killer], initial_epoch=begins)
            histories.append(history.history["loss"])
        except Killed:
            return None
    return histories[-1], bytes_of(model.weights), callbacks[0].step, callbacks[1].wait


def test_two_fits_numbered_through_resume_in_the_right_one(tmp_path: Path) -> None:
    """A fit without an epoch to run consumes nothing that was restored."""
    expected = continued(tmp_path / "whole")
    assert continued(tmp_path / "killed", kill=3) is None
    assert continued(tmp_path / "killed") == expected


def test_a_later_fit_is_not_affected_by_an_earlier_restore(tmp_path: Path) -> None:
    """What was restored is used once; fit called again starts its callbacks anew, as with Keras."""
    fit(tmp_path, plain, kill=1)
    resumed = fit(tmp_path, plain, epochs=2)
    early = keras.callbacks.EarlyStopping("loss", patience=9)
    with pytest.warns(
        UserWarning, match=r"begins with epoch 1 again, and nothing was restored for it: it will write over"
    ):
        history = resumed.model.fit(
            X, Y, epochs=2, batch_size=16, verbose=0, callbacks=[*resumed.callbacks, early]
        )
    assert history.epoch == [0, 1]
    assert "set_model" not in vars(resumed.callbacks[0])


def test_cross_validation_with_one_checkpoint_behaves_as_the_stock_class(tmp_path: Path) -> None:
    """Several fits of several models with one object: the same files, the same best value."""

    def folds(cls: Any, directory: Path) -> tuple[list[str], float]:
        saver = cls(os.path.join(directory, "best.keras"), save_best_only=True, monitor="val_loss")
        for fold in range(2):
            data = X[fold * 16 :], Y[fold * 16 :]
            fresh_model().fit(*data, epochs=2, verbose=0, callbacks=[saver], validation_data=(X_VAL, Y_VAL))
        return saver.best

    ours = folds(ModelCheckpointEnhanced, tmp_path / "ours")
    stock = folds(keras.callbacks.ModelCheckpoint, tmp_path / "stock")
    assert ours == stock
    a = keras.models.load_model(tmp_path / "ours" / "best.keras")
    b = keras.models.load_model(tmp_path / "stock" / "best.keras")
    assert bytes_of(a.weights) == bytes_of(b.weights)


@pytest.mark.parametrize(("patience", "save_best_only"), [(1, False), (99, True)])
def test_died_between_the_last_save_and_the_end(tmp_path: Path, patience: int, save_best_only: bool) -> None:
    """Nothing more is trained, the end of the run is made up for, twice if it fails twice."""

    def make() -> list[Any]:
        return [
            Batches(),
            PerBatch(0.05),
            keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True),
        ]

    options = {"checkpoint": {"save_best_only": save_best_only, "monitor": "loss"}}
    whole = fit(tmp_path / "whole", make, epochs=4, **options)
    for _ in range(2):
        assert fit(tmp_path / "killed", lambda: [Strike("train_end"), *make()], epochs=4, **options) is None
    resumed = fit(tmp_path / "killed", make, epochs=4, **options)
    assert resumed.differences(whole) == []
    assert sorted(p.name for p in (tmp_path / "killed").iterdir()) == sorted(
        p.name for p in (tmp_path / "whole").iterdir()
    )


@pytest.mark.parametrize(("make", "ending"), [(plain, ".weights.h5"), (stopping, ".keras")])
def test_a_run_whose_mark_was_taken_off_goes_on(tmp_path: Path, make: Any, ending: str) -> None:
    """From its last epoch, not from the best weights; a run that has done all its epochs does nothing more."""
    ended = fit(tmp_path, make, ending=ending, epochs=4)
    assert reopen(tmp_path) == list_checkpoints(tmp_path)[-1].path
    assert names(tmp_path) == []
    with pytest.raises(CallbackStateError, match="expected a checkpoint that is marked as finished"):
        reopen(tmp_path)
    again = fit(tmp_path, make, ending=ending, epochs=4)
    assert not again.restored.finished
    if make is plain:
        assert again.epochs == ended.epochs and again.weights == ended.weights
    else:  # one epoch more, after which the patience is used up again; as with a larger epochs=
        assert again.history["loss"][:-1] == ended.history["loss"]
        assert again.epochs == [*ended.epochs, len(ended.epochs)]


def test_a_run_that_stopped_early_is_taken_up_where_it_stood(tmp_path: Path) -> None:
    """With the mark taken off and more patience, it is the run that had that patience from the beginning."""

    def make(patience: int) -> Any:
        return lambda: [Batches(), PerBatch(0.05), keras.callbacks.EarlyStopping(patience=patience)]

    fit(tmp_path / "short", make(1), epochs=EPOCHS)
    assert names(tmp_path / "short") != []
    reopen(tmp_path / "short")
    with pytest.warns(UserWarning, match="EarlyStopping.patience was 1, is 99"):
        longer = fit(tmp_path / "short", make(99), epochs=EPOCHS)
    whole = fit(tmp_path / "long", make(99), epochs=EPOCHS)
    assert (longer.weights, longer.optimizer, longer.history) == (whole.weights, whole.optimizer, whole.history)


@stateful
class Large(keras.callbacks.Callback):
    """Holds an array and bytes of more than a megabyte each, and a large object that is stored by value."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Any] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.held = [np.arange(200_000.0), bytes(1_500_000), decimal.Context(), {"x": bytearray(1_500_000)}]


@pytest.mark.filterwarnings("ignore:stored by value")
def test_a_run_with_large_state_is_reopened(tmp_path: Path) -> None:
    """The state file is written anew from what was read of it, however large its parts are."""
    assert fit(tmp_path, lambda: [Large()], epochs=1) is not None
    before = restore_callbacks(tmp_path, into=[expected := Large()], trusted=True, strict=False)
    reopen(tmp_path)
    after = restore_callbacks(tmp_path, into=[found := Large()], trusted=True, strict=False)
    assert (before.finished, after.finished) == (True, False)
    assert [type(part) for part in found.held] == [type(part) for part in expected.held]
    assert found.held[0].tobytes() == np.arange(200_000.0).tobytes()
    assert found.held[1] == bytes(1_500_000) and found.held[3] == {"x": bytearray(1_500_000)}
