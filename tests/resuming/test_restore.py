"""``restore_callbacks``: what it gives back, and that bad input is refused before anything is changed."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import Batches, Killed, PerBatch, Strike, X, Y, bytes_of, die
from harness import fit as fit_anew
from places import ROOT
from reused import fresh_model

from callback_state import (
    CallbackStateError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    MismatchError,
    ModelCheckpointEnhanced,
    RestoreError,
    ResumeError,
    UntrustedError,
    latest_checkpoint,
    list_checkpoints,
    load_meta,
    restore_callbacks,
    stateful,
)
from callback_state._callbacks.capture import state_of

FIT: dict[str, Any] = {"x": X, "y": Y, "batch_size": 16, "verbose": 0}


def fit(directory: Path, make: Any, **options: Any) -> Any:
    """One start of a script, with the model that all share."""
    return fit_anew(directory, make, model=fresh_model(), **options)


def another_model() -> Any:
    """As :func:`fresh_model` makes it, but another object."""
    model = keras.Sequential.from_config(fresh_model().get_config())
    model.compile(keras.optimizers.Adam(0.05), keras.losses.BinaryCrossentropy())
    return model


def make() -> list[Any]:
    return [PerBatch(0.02), Batches(), keras.callbacks.EarlyStopping("loss", patience=9)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the checkpoints of a run that was killed after three epochs."""
    directory = tmp_path_factory.mktemp("written")
    checkpoint = {"training_args": {"lr": 0.02, "layers": [8, 1]}}
    assert fit(directory, make, kill=3, checkpoint=checkpoint) is None
    return directory


@pytest.fixture
def checkpoints(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "ckpt"))


def test_restored_has_all_its_fields(checkpoints: Path) -> None:
    """Everything that the interface promises is there, with the base that it promises."""
    callbacks = make()
    restored = restore_callbacks(checkpoints, into=callbacks, strict=False)
    assert [*restored] == restored.callbacks == callbacks and len(restored) == 3
    assert restored["PerBatch"] is restored[0] is callbacks[0]
    assert callbacks[0].step == 12
    assert (restored.epoch, restored.batch, restored.initial_epoch) == (2, None, 3)
    assert restored.model_path == str(checkpoints / "003.keras")
    assert restored.history["epochs"] == [0, 1, 2]
    assert len(restored.history["val_loss"]) == 3
    assert restored.training_args == {"lr": 0.02, "layers": [8, 1]}
    assert restored.finished is False
    assert restored.report.restored == ("PerBatch", "Batches", "EarlyStopping")
    assert restored.report.missing == ("ModelCheckpointEnhanced",)
    assert restored.report.versions["keras"] == keras.__version__
    assert "003.keras" in repr(restored) and "initial_epoch=3" in repr(restored)


@pytest.mark.filterwarnings("ignore:.*is in the checkpoint, but not in into")
@pytest.mark.parametrize("path", ["001.keras", "001.keras.callbacks.pkl"])
def test_a_path_names_a_model_file_or_its_state_file(checkpoints: Path, path: str) -> None:
    """Either of the two names the checkpoint; no other is taken instead."""
    assert restore_callbacks(checkpoints / path, into=make(), strict=False).epoch == 0


def test_from_nothing_but_the_files_the_run_goes_on_exactly(tmp_path: Path) -> None:
    """load_model(restored.model_path) and callbacks=[*restored] give the uninterrupted run."""
    whole = fit(tmp_path / "whole", make, epochs=4)
    assert fit(tmp_path / "killed", make, kill=2) is None
    keras.utils.set_random_seed(3)
    restored = restore_callbacks(tmp_path / "killed")
    model = keras.models.load_model(restored.model_path)
    history = model.fit(
        **FIT,
        epochs=4,
        validation_data=(X[:16], 1 - Y[:16]),
        callbacks=[*restored],
        initial_epoch=restored.initial_epoch,
    )
    assert history.history == whole.history
    assert bytes_of(model.weights) == whole.weights
    assert bytes_of(model.optimizer.variables) == whole.optimizer
    assert restored["Batches"].seen == whole.callbacks[1 + 1].seen


def test_nothing_there_and_missing_ok_starts_anew(tmp_path: Path) -> None:
    """The first start of a script that is always started the same way."""
    callbacks = make()
    restored = restore_callbacks(tmp_path / "none", into=callbacks, missing_ok=True)
    assert (restored.initial_epoch, restored.finished, restored.model_path) == (0, False, None)
    assert [*restored] == callbacks
    assert f"nothing in {str(tmp_path / 'none')!r} yet" in repr(restored)


def test_a_model_that_is_not_built_is_refused_at_the_first_start(tmp_path: Path) -> None:
    """At the second one a checkpoint could not be loaded into it."""
    model = keras.Sequential([keras.layers.Dense(1)])
    with pytest.raises(RestoreError, match=r"not built yet.*Give it an Input"):
        restore_callbacks(tmp_path / "none", into=make(), model=model, missing_ok=True)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def swap(path: Path) -> None:
    shutil.copy(path.with_name("002.keras.callbacks.pkl"), path)


DAMAGE: dict[str, tuple[Any, type[Exception], str]] = {
    "model missing": (lambda p: p.with_name("003.keras").unlink(), CheckpointNotFoundError, "003.keras"),
    "state missing": (lambda p: p.unlink(), CheckpointNotFoundError, "callbacks.pkl"),
    "state of another model": (swap, MismatchError, "another"),
    "truncated": (truncate, CorruptCheckpointError, "003.keras"),
    "empty": (empty, CorruptCheckpointError, "empty"),
    "one bit flipped": (flip, CorruptCheckpointError, "003.keras"),
    "one bit of the model flipped": (lambda p: flip(p.with_name("003.keras")), MismatchError, "003.keras"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_refused_and_nothing_changes(checkpoints: Path, damage: str) -> None:
    """An error of our tree that names the file; callbacks and model are as before; missing_ok is no way
    around it, since what is damaged is not missing."""
    spoil, error, text = DAMAGE[damage]
    spoil(checkpoints / "003.keras.callbacks.pkl")
    callbacks, model = make(), fresh_model()
    before = [state_of(c) for c in callbacks], bytes_of(model.weights)
    path = checkpoints / "003.keras"
    if damage == "model missing":
        path = path.with_name("003.keras.callbacks.pkl")
    for missing_ok in (False, True):
        with pytest.raises(error, match=text) as caught:
            restore_callbacks(path, into=callbacks, model=model, missing_ok=missing_ok)
        assert isinstance(caught.value, CallbackStateError)
    assert ([state_of(c) for c in callbacks], bytes_of(model.weights)) == before


def saver(directory: Path, name: str = "{epoch:03d}.keras") -> Any:
    return ModelCheckpointEnhanced(os.path.join(directory, name))


@pytest.mark.parametrize("content", ["nothing", "other files", "no directory"])
def test_where_there_is_no_checkpoint_the_error_says_what_was_expected(tmp_path: Path, content: str) -> None:
    """No such path, an empty directory, a directory of other files."""
    path = tmp_path / "ckpt"
    if content != "no directory":
        path.mkdir()
    if content == "other files":
        (path / "notes.txt").write_text("x")
        fresh_model().save(path / "exported.keras")
    with pytest.raises(CheckpointNotFoundError, match="expected"):
        restore_callbacks(path, into=make())
    assert restore_callbacks(path, into=make(), missing_ok=True).initial_epoch == 0
    assert latest_checkpoint(path) is None


def test_a_key_missing_from_into_is_an_error(checkpoints: Path) -> None:
    """Its state would be lost: the key is named, nothing is half restored."""
    callbacks = [*make()[:1], saver(checkpoints)]
    with pytest.raises(RestoreError, match="Batches is in the checkpoint, but not in into="):
        restore_callbacks(checkpoints, into=callbacks)
    assert callbacks[0].step == 0
    with pytest.warns(UserWarning, match="Batches is in the checkpoint"):
        restored = restore_callbacks(checkpoints, into=callbacks, strict=False)
    assert callbacks[0].step == 12
    assert restored.report.missing == ("Batches", "EarlyStopping")


def test_a_callback_too_many_in_into_is_an_error(checkpoints: Path) -> None:
    """It would start anew in a run that goes on."""
    callbacks = [*make(), keras.callbacks.ReduceLROnPlateau(), saver(checkpoints)]
    with pytest.raises(RestoreError, match="ReduceLROnPlateau is in into=, but not in the checkpoint"):
        restore_callbacks(checkpoints, into=callbacks)
    with pytest.warns(UserWarning, match=r"ReduceLROnPlateau .*checkpoint\. The others are restored\."):
        restored = restore_callbacks(checkpoints, into=callbacks, strict=False)
    assert restored.report.unexpected == ("ReduceLROnPlateau",)


def test_a_model_and_callbacks_in_each_others_place_are_refused(tmp_path: Path) -> None:
    """At once, also at a first start: the error says which argument takes what."""
    model = fresh_model()
    for into in (model, [model]):
        with pytest.raises(RestoreError, match=r"into= has .*expected callbacks\. Write .*model=model"):
            restore_callbacks(tmp_path, into=into, missing_ok=True)
    with pytest.raises(RestoreError, match=r"model=.*: expected a keras\.Model\. Callbacks are passed as into="):
        restore_callbacks(tmp_path, into=[], model=[Batches()], missing_ok=True)


def test_callbacks_without_state_come_and_go(checkpoints: Path) -> None:
    """TerminateOnNaN knows nothing that could be lost."""
    callbacks = [keras.callbacks.TerminateOnNaN(), *make(), saver(checkpoints)]
    assert restore_callbacks(checkpoints, into=callbacks).epoch == 2


def test_a_new_argument_wins_and_is_reported(checkpoints: Path) -> None:
    """The user's new patience and peak hold; state that had moved stays state."""
    callbacks = [PerBatch(0.5), Batches(), keras.callbacks.EarlyStopping("loss", patience=2), saver(checkpoints)]
    with pytest.warns(UserWarning, match="PerBatch.peak was 0.02, is 0.5"):
        restored = restore_callbacks(checkpoints, into=callbacks)
    assert (callbacks[0].peak, callbacks[0].step, callbacks[2].patience) == (0.5, 12, 2)
    assert [str(c) for c in restored.report.changed] == [
        "PerBatch.peak was 0.02, is 0.5",
        "EarlyStopping.patience was 9, is 2",
    ]


@pytest.mark.filterwarnings("ignore:stored by value")
def test_code_is_read_only_on_trust(tmp_path: Path) -> None:
    """A lambda kept as state is code in the file: refused, unless the caller trusts it or has his own."""

    @stateful
    class Chooses(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.rule: Any = 0

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.rule = lambda rate: rate * (epoch + 1)

    assert fit(tmp_path, lambda: [Chooses()], kill=2) is None
    with pytest.raises(UntrustedError, match=r"Chooses\.rule is function .*trusted=True"):
        restore_callbacks(tmp_path)
    assert restore_callbacks(tmp_path, trusted=True)["Chooses"].rule(10) == 20


#: By name what is restored into and trained otherwise than it must be, and what the error says.
FORGOTTEN: dict[str, str] = {
    "initial_epoch": r"initial_epoch=restored\.initial_epoch",
    "model": r"restore_callbacks\(\.\.\., model=model\)",
    "compiled after": r"restore_callbacks\(\.\.\., model=model\)",
    "trained meanwhile": r"restore_callbacks\(\.\.\., model=model\)",
    "built anew": "trains another model than the one that was passed to",
    "into": r"PerBatch.*: restored from the checkpoint, but not among",
    "one of the callbacks": r"PerBatch.*: restored from the checkpoint, but not among",
}


@pytest.mark.parametrize("forgotten", FORGOTTEN)
def test_a_fit_that_cannot_go_on_stops_with_the_line(checkpoints: Path, forgotten: str) -> None:
    """Before the first step, so that nothing is trained wrongly."""
    callbacks, model = [*make(), saver(checkpoints)], another_model()
    restored = restore_callbacks(
        checkpoints, into=None if forgotten == "into" else callbacks, model=None if forgotten == "model" else model
    )
    if forgotten == "compiled after":
        model.compile("adam", keras.losses.BinaryCrossentropy())
    if forgotten == "trained meanwhile":
        model.layers[0].kernel.assign_add(model.layers[0].kernel)
    if forgotten == "built anew":
        model = another_model()
    if forgotten == "one of the callbacks":
        callbacks = [*make()[:1], *callbacks[1:]]
    initial_epoch = 0 if forgotten == "initial_epoch" else restored.initial_epoch
    before = bytes_of(model.weights)
    with pytest.raises(ResumeError, match=FORGOTTEN[forgotten]):
        model.fit(**FIT, epochs=8, callbacks=callbacks, initial_epoch=initial_epoch)
    assert bytes_of(model.weights) == before


def test_a_finished_run_with_model_forgotten_is_refused(tmp_path: Path) -> None:
    """It would look complete, with a random model."""
    fit(tmp_path, make, epochs=1)
    callbacks = [*make(), saver(tmp_path)]
    restored = restore_callbacks(tmp_path, into=callbacks)
    with pytest.raises(ResumeError, match=r"model=model"):
        fresh_model().fit(**FIT, epochs=1, callbacks=callbacks, initial_epoch=restored.initial_epoch)


def test_state_survives_without_a_checkpoint_in_the_new_fit(checkpoints: Path) -> None:
    """Keras's on_train_begin resets EarlyStopping; the restored state is put back all the same."""
    callbacks, model = make(), fresh_model()
    restored = restore_callbacks(checkpoints, into=callbacks, model=model, strict=False)
    wait, best = callbacks[2].wait, callbacks[2].best

    class Looks(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            seen.append((callbacks[2].wait, callbacks[2].best))
            raise Killed

    seen: list[Any] = []
    with pytest.raises(Killed):
        model.fit(**FIT, epochs=8, callbacks=[*callbacks, Looks()], initial_epoch=restored.initial_epoch)
    assert seen == [(wait, best)] and best is not None


def test_meta_lists_and_latest(checkpoints: Path) -> None:
    """The history without TensorFlow, the checkpoints oldest first, the newest model file."""
    meta = load_meta(checkpoints)
    assert meta["epochs"] == [0, 1, 2] and len(meta["loss"]) == 3
    assert meta["training_args"] == {"lr": 0.02, "layers": [8, 1]}
    listed = list_checkpoints(checkpoints)
    assert [os.path.basename(c.path) for c in listed] == ["001.keras", "002.keras", "003.keras"]
    assert [c.epoch for c in listed] == [0, 1, 2]
    assert latest_checkpoint(checkpoints) == str(checkpoints / "003.keras")
    assert load_meta(checkpoints / "001.keras")["epochs"] == [0]


def test_meta_lists_and_latest_need_no_tensorflow(checkpoints: Path) -> None:
    """A cron job can look at a directory in a moment."""
    script = (
        "import sys; from callback_state import latest_checkpoint, list_checkpoints, load_meta; "
        f"assert len(list_checkpoints({str(checkpoints)!r})) == 3; "
        f"load_meta({str(checkpoints)!r}); latest_checkpoint({str(checkpoints)!r}); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_a_moved_directory_resumes_there(written: Path, tmp_path: Path) -> None:
    """No absolute path is in a file: a rebuilt checkpoint callback writes where the files are now."""
    moved = Path(shutil.copytree(written, tmp_path / "elsewhere"))
    assert str(written).encode() not in (moved / "003.keras.callbacks.pkl").read_bytes()
    restored = restore_callbacks(moved)
    assert restored["ModelCheckpointEnhanced"].filepath == str(moved / "{epoch:03d}.keras")


def test_a_fit_that_fails_at_its_beginning_leaves_a_log_as_it_was(checkpoints: Path) -> None:
    """While callbacks hear ``on_train_begin`` no log file is erased; after a failure a logger may erase again."""
    logger = keras.callbacks.CSVLogger(str(checkpoints / "log.csv"))
    callbacks, model = [*make(), saver(checkpoints)], fresh_model()
    restored = restore_callbacks(checkpoints, into=callbacks, model=model)
    appends: list[bool] = []
    strike = Strike("train_begin", act=lambda model: appends.append(logger.append) or die(model))
    with pytest.raises(Killed):
        model.fit(**FIT, epochs=8, initial_epoch=restored.initial_epoch, callbacks=[*callbacks, logger, strike])
    logger.csv_file.close()
    assert appends == [True] and logger.append is False


def test_a_whole_model_in_h5_says_what_to_do_instead_of_load_model(tmp_path: Path) -> None:
    """Stock Keras would lose the optimizer; with model= it is put back, and nothing is said."""
    assert fit(tmp_path, make, ending=".h5", kill=2) is None
    with pytest.warns(UserWarning, match=r"load_model.*restore_callbacks\(\.\.\., model=model\)"):
        restore_callbacks(tmp_path)
    restore_callbacks(tmp_path, into=[*make(), saver(tmp_path, "{epoch:03d}.h5")], model=fresh_model())


def test_a_callback_list_made_before_the_restore_goes_on_too(checkpoints: Path) -> None:
    """Keras calls set_model when the list is made, so the restore has to be found when fit begins."""
    callbacks, model = [*make(), saver(checkpoints)], fresh_model()
    seen: list[Any] = []

    class Looks(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            seen.append((callbacks[2].wait, callbacks[2].best))

    made = keras.callbacks.CallbackList(
        [*callbacks, Looks()], add_history=True, model=model, epochs=4, steps=4, verbose=0
    )
    restored = restore_callbacks(checkpoints, into=callbacks, model=model)
    wait, best = callbacks[2].wait, callbacks[2].best
    history = model.fit(**FIT, epochs=4, callbacks=made, initial_epoch=restored.initial_epoch)
    assert seen == [(wait, best)] and best is not None
    assert history.epoch == [0, 1, 2, 3]


def test_a_metric_called_epochs_does_not_hide_the_epochs(tmp_path: Path) -> None:
    """The numbers of the epochs keep their name."""

    class Logs(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["epochs"] = 99.0

    with pytest.raises(Killed):
        fresh_model().fit(**FIT, epochs=4, callbacks=[Logs(), saver(tmp_path), Strike("epoch_begin", at=2)])
    assert load_meta(tmp_path)["epochs"] == [0, 1]


def test_a_restored_model_that_is_not_trained_is_freed(checkpoints: Path) -> None:
    """A script may restore only to look: what waits for a ``fit`` does not keep the model in memory."""
    model, callbacks = another_model(), [*make(), saver(checkpoints)]
    restore_callbacks(checkpoints, into=callbacks, model=model)
    dies = weakref.ref(model)
    del model
    gc.collect()
    assert dies() is None and callbacks[0].step == 12


def test_stock_model_files_that_would_be_written_over_are_warned_of(tmp_path: Path) -> None:
    """Those of a run before the move to this package have no state."""
    name = str(tmp_path / "{epoch}.keras")
    fresh_model().fit(X, Y, verbose=0, callbacks=[keras.callbacks.ModelCheckpoint(name)])
    with pytest.warns(UserWarning, match=r"files of this name without state files \(1\.keras\), and this run"):
        fresh_model().fit(X, Y, verbose=0, callbacks=[ModelCheckpointEnhanced(name)])


def test_a_restore_that_was_forgotten_is_warned_of(checkpoints: Path) -> None:
    """A fresh checkpoint callback in a directory with checkpoints of its name."""
    with pytest.warns(UserWarning, match="Nothing was restored from them"), pytest.raises(Killed):
        fresh_model().fit(**FIT, epochs=4, callbacks=[*make(), saver(checkpoints), Strike("epoch_begin", at=0)])


def test_lost_state_files_are_named(checkpoints: Path) -> None:
    """One gone: a warning, and the one before; all gone: an error also with missing_ok."""
    (checkpoints / "003.keras.callbacks.pkl").unlink()
    with pytest.warns(UserWarning, match=r"left aside: 003\.keras .*without state files"):
        assert restore_callbacks(checkpoints, into=[*make(), saver(checkpoints)]).epoch == 1
    for path in checkpoints.glob("*.pkl"):
        path.unlink()
    with pytest.raises(CheckpointNotFoundError, match="3 model files of this run's name"):
        restore_callbacks(checkpoints, into=[*make(), saver(checkpoints)], missing_ok=True)


@pytest.mark.parametrize(
    ("into", "said"), [("model", r"expected callbacks\. Write .*model=model"), (3, r"into=3: expected a callback")]
)
def test_into_takes_callbacks_only(tmp_path: Path, into: Any, said: str) -> None:
    """The error says what to write instead."""
    with pytest.raises(RestoreError, match=said):
        restore_callbacks(tmp_path, into=fresh_model() if into == "model" else into)


@pytest.mark.parametrize("name", ["", "ckpt", "m.keras"])
def test_the_error_of_a_missing_checkpoint_names_the_argument_for_a_first_start(tmp_path: Path, name: str) -> None:
    """In an empty directory, where no directory is, and for one file; but not where half of a pair is there."""
    with pytest.raises(CheckpointNotFoundError, match=r"Pass missing_ok=True for a run that may be the first\.$"):
        restore_callbacks(tmp_path / name, into=[])
    (tmp_path / "m.keras").write_bytes(b"model")
    with pytest.raises(CheckpointNotFoundError, match="expected its state file"):
        restore_callbacks(tmp_path / "m.keras", into=[])
