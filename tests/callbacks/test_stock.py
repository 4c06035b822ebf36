"""The state of every stock callback survives a kill, the restore, and the ``on_train_begin`` that resets it."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import requests
from harness import Run, X, Y, fit, halve, states_of
from reused import fresh_model

from callback_state import ModelCheckpointEnhanced, NotRebuildableError, restore_callbacks, stateful
from callback_state._callbacks.capture import state_of
from callback_state._checkpoints.snapshot import Snapshot

# What a test hears by a plain function is rightly a doubt; here nothing depends on it.
pytestmark = pytest.mark.filterwarnings("ignore:.*HEARD")
KILL, EPOCHS = 3, 5
ORBAX = hasattr(keras.callbacks, "OrbaxCheckpoint") and importlib.util.find_spec("orbax") is not None
POSTED: list[int] = []
PROBED: list[list[dict[str, str]]] = []
HEARD: list[int] = []


def absolute(epoch: int) -> float:
    return 0.05 / (epoch + 1)


def note(epoch: int, logs: Any) -> None:
    HEARD.append(epoch)


@stateful
class Poison(keras.callbacks.Callback):
    """Makes a weight NaN in the fifth epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 4:
            self.model.weights[-1].assign(self.model.weights[-1] * np.nan)


class Patient(keras.callbacks.EarlyStopping):
    """A stock callback with attributes of its own, which nobody registered."""

    def __init__(self, patience: int) -> None:
        super().__init__(patience=patience, min_delta=0.001)
        self.values: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_end(epoch, logs)
        self.values.append(logs["val_loss"])


@stateful
class Slower(keras.callbacks.ReduceLROnPlateau):
    """A registered subclass, whose constructor computes the arguments of its parent."""

    def __init__(self, times: int) -> None:
        super().__init__(patience=2 * times, factor=0.9)
        self.rates: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_end(epoch, logs)
        self.rates.append(float(self.model.optimizer.learning_rate.numpy()))


@dataclass
class Case:
    """One callback; paths are relative to the directory of the run."""

    make: Callable[[], Any]
    #: The attributes that must differ from what the constructor gives when the run is killed.
    moved: tuple[str, ...] = ()


@dataclass
class Group:
    """Callbacks in one run."""

    cases: dict[str, Case]
    #: Their constructors took only data, so that the file alone is enough.
    rebuild: bool = False
    ema: bool = False
    #: One holds code, of which the checkpoint warns.
    by_value: bool = False
    options: dict[str, Any] = field(default_factory=dict)


def stock(name: str, /, *args: Any, moved: tuple[str, ...] = (), **kwargs: Any) -> Case:
    return Case(lambda: getattr(keras.callbacks, name)(*args, **kwargs), moved)


def best() -> Any:
    return ModelCheckpointEnhanced("best/m.keras", "loss", save_best_only=True)


def counting() -> Any:
    return ModelCheckpointEnhanced("batches/{epoch}-{batch}.weights.h5", save_freq=5, save_weights_only=True)


BATCHES = ("_batches_seen_since_last_saving", "_last_batch_seen")
STEPS = ("_global_train_batch", "_global_test_batch")
GROUPS = {
    "data": Group(
        {
            "EarlyStopping, waiting": stock(
                "EarlyStopping", patience=9, min_delta=0.01, moved=("wait", "best", "monitor_op")
            ),
            "EarlyStopping, best weights": Case(
                lambda: keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True),
                ("best", "best_epoch", "best_weights", "monitor_op"),
            ),
            "EarlyStopping, max": Case(
                lambda: keras.callbacks.EarlyStopping("val_accuracy", 0.01, 9, mode="max", start_from_epoch=1),
                ("wait", "best", "best_epoch", "monitor_op"),
            ),
            "ReduceLROnPlateau, waiting": stock("ReduceLROnPlateau", patience=4, moved=("wait", "best")),
            "ReduceLROnPlateau, cooling down": stock(
                "ReduceLROnPlateau", factor=0.5, patience=2, cooldown=2, moved=("cooldown_counter", "best")
            ),
            "TerminateOnNaN": stock("TerminateOnNaN"),
            "registered subclass": Case(lambda: Slower(2), ("wait", "best", "rates")),
            "SwapEMAWeights": stock("SwapEMAWeights", True, moved=("_ema_weights_in_model",)),
        },
        rebuild=True,
        ema=True,
    ),
    "validation": Group({"SwapEMAWeights, for validation": stock("SwapEMAWeights")}, rebuild=True, ema=True),
    "not a number": Group({"TerminateOnNaN, terminating": stock("TerminateOnNaN"), "Poison": Case(Poison)}),
    "outside": Group(
        {
            "LearningRateScheduler, absolute": stock("LearningRateScheduler", absolute),
            "LearningRateScheduler, relative": stock("LearningRateScheduler", halve),
            "ModelCheckpoint, best": stock("ModelCheckpoint", "m.keras", "loss", 0, True, moved=("best",)),
            "ModelCheckpoint, counters": stock(
                "ModelCheckpoint",
                "{epoch}-{batch}.weights.h5",
                save_freq=5,
                save_weights_only=True,
                moved=(*BATCHES, "_current_epoch"),
            ),
            "ModelCheckpointEnhanced, best": Case(best, ("best", "ledger", "_current_epoch")),
            "ModelCheckpointEnhanced, counters": Case(counting, (*BATCHES, "ledger")),
            "BackupAndRestore": stock("BackupAndRestore", "backup", 5, moved=(BATCHES[0], "_current_epoch")),
            "LambdaCallback": stock("LambdaCallback", on_epoch_end=note),
            "CSVLogger": stock("CSVLogger", "new.csv", moved=("keys",)),
            "CSVLogger, append": stock("CSVLogger", "append.csv", ";", True, moved=("keys",)),
            "TensorBoard, epoch": stock("TensorBoard", "tb", histogram_freq=1, moved=STEPS),
            "RemoteMonitor": stock("RemoteMonitor", "http://127.0.0.1:1", send_as_json=True),
            "ProgbarLogger": stock("ProgbarLogger"),
            "History": stock("History"),
        },
        options={"verbose": 2},
    ),
    "code": Group(
        {
            "stock subclass": Case(lambda: Patient(9), ("wait", "best", "values", "monitor_op")),
            "LearningRateScheduler, lambda": stock("LearningRateScheduler", lambda epoch, rate: rate * 0.9),
            "LambdaCallback, lambda": stock(
                "LambdaCallback", on_epoch_end=lambda epoch, logs: HEARD.append(epoch)
            ),
            # Two that log batches do not go together in one fit, with stock Keras either.
            "TensorBoard, batch": stock("TensorBoard", "tb", update_freq="batch", moved=STEPS),
        },
        by_value=True,
    ),
    "columns": Group(
        {
            "ReduceLROnPlateau, for its column": stock("ReduceLROnPlateau", "loss"),
            "CSVLogger, validation_freq": stock("CSVLogger", "new.csv", moved=("keys",)),
            "TensorBoard, integer": stock("TensorBoard", "tb", update_freq=3, moved=STEPS),
        },
        options={"validation_freq": 2},
    ),
}
if ORBAX:
    GROUPS["orbax"] = Group(
        {
            "OrbaxCheckpoint": Case(
                lambda: keras.callbacks.OrbaxCheckpoint(
                    os.path.abspath("orbax"), save_freq=5, save_on_background=False, max_to_keep=9
                ),
                (*BATCHES, "_total_batches_seen"),
            )
        }
    )
CASES = [(group, name) for group in GROUPS for name in GROUPS[group].cases]
IDS = [name for _, name in CASES]
#: Keras 3.7 has made this decision before the first epoch.
VERSIONED = {"monitor_op"}


@contextlib.contextmanager
def inside(directory: Path, group: Group) -> Iterator[None]:
    """In the directory of a run; what is expected of its callbacks does not become an error."""
    before = os.getcwd()
    os.chdir(directory)
    try:
        with warnings.catch_warnings():
            if group.by_value:
                warnings.filterwarnings("ignore", "stored by value")
            # Orbax takes absolute paths only, and the runs here are copied.
            warnings.filterwarnings("ignore", ".*OrbaxCheckpoint.directory was")
            yield
    finally:
        os.chdir(before)


def as_text(callback: Any) -> dict[str, str]:
    return {name: repr(value) for name, value in state_of(callback).items()}


class Probe(keras.callbacks.Callback):
    """Hears all before the others, and notes their states: as restored, and as the first epoch finds them."""

    def __init__(self, callbacks: list[Any]) -> None:
        super().__init__()
        self.callbacks = callbacks

    def on_train_begin(self, logs: Any = None) -> None:
        PROBED[:] = [[as_text(c) for c in self.callbacks]]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if len(PROBED) == 1:
            PROBED.append([as_text(c) for c in self.callbacks])


def start(directory: Path, name: str, *, kill: int | None = None, into: bool = True) -> Run | None:
    """One start of the script of a group; the checkpoint stands after the probe."""
    group = GROUPS[name]
    made: list[Any] = []

    def make() -> list[Any]:
        made.extend(case.make() for case in group.cases.values())
        return [Probe(made), *made]

    POSTED.clear()
    HEARD.clear()
    options = {"position": 1, "kill": kill, "epochs": EPOCHS, "into": into, **group.options}
    with inside(directory, group):
        run = fit(Path("ckpt"), make, model=fresh_model(ema=group.ema), **options)
    for callback in made if run is None else []:  # what dies with a process
        if isinstance(callback, keras.callbacks.CSVLogger):
            callback.csv_file.close()
    return run


@dataclass
class Runs:
    """The runs of a group: uninterrupted, and killed and resumed, each with its directory."""

    whole: Run
    whole_in: Path
    killed_in: Path
    resumed: Run
    resumed_in: Path
    posted: list[int]
    heard: list[int]
    #: The states of the callbacks as made, as restored, and as the first resumed epoch finds them.
    states: list[list[dict[str, str]]]


@pytest.fixture(scope="module", autouse=True)
def post() -> Iterator[None]:
    """Instead of sending, RemoteMonitor's requests note the epoch."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(requests, "post", lambda url, json, headers: POSTED.append(json["epoch"]))
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Runs]:
    """The runs of a group, made once."""

    @functools.cache
    def made(name: str) -> Runs:
        whole_in, killed_in = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("killed")
        whole = start(whole_in, name)
        assert start(killed_in, name, kill=KILL) is None
        resumed_in = tmp_path_factory.mktemp("resumed")
        shutil.copytree(killed_in, resumed_in, dirs_exist_ok=True)
        resumed = start(resumed_in, name)
        assert whole is not None and resumed is not None
        assert resumed.restored.initial_epoch == KILL
        with inside(resumed_in, GROUPS[name]):
            new = [as_text(case.make()) for case in GROUPS[name].cases.values()]
        return Runs(whole, whole_in, killed_in, resumed, resumed_in, POSTED[:], HEARD[:], [new, *PROBED])

    return made


def files(directory: Path) -> list[str]:
    """Every file but the notes of runs; of what Orbax and TensorBoard name at random, their directories."""
    found = (p for p in directory.rglob("*") if p.is_file() and not p.name.startswith(".callback_state-"))
    paths = (p.relative_to(directory) for p in found)
    return sorted({"/".join(p.parts[:2]) if p.parts[0] in ("orbax", "tb") else p.as_posix() for p in paths})


@pytest.mark.parametrize("group", GROUPS)
def test_resumed_run_is_the_uninterrupted_run(runs: Any, group: str) -> None:
    """With new callbacks of the same script: weights, history, states and files are equal."""
    made = runs(group)
    assert repr(made.resumed.history) == repr(made.whole.history)  # where NaN is equal to itself
    assert [d for d in made.resumed.differences(made.whole) if d != "history"] == []
    assert files(made.resumed_in) == files(made.whole_in)


@pytest.mark.parametrize("group", [name for name in GROUPS if GROUPS[name].rebuild])
def test_rebuilt_run_is_the_uninterrupted_run(runs: Any, tmp_path: Path, group: str) -> None:
    """With callbacks made from the file alone, where their constructors took data."""
    made = runs(group)
    shutil.copytree(made.killed_in, tmp_path, dirs_exist_ok=True)
    rebuilt = start(tmp_path, group, into=False)
    assert rebuilt is not None and rebuilt.restored.initial_epoch == KILL
    assert [d for d in rebuilt.differences(made.whole) if d != "states"] == []
    _, *others = made.whole.callbacks
    assert states_of(rebuilt.callbacks) == states_of(others)


@pytest.mark.parametrize(("group", "name"), CASES, ids=IDS)
def test_state_survives_on_train_begin(runs: Any, group: str, name: str) -> None:
    """What is restored differs from what the constructor gives, and is there when the first epoch begins."""
    i = list(GROUPS[group].cases).index(name)
    new, restored, found = (states[i] for states in runs(group).states)
    same = [n for n in GROUPS[group].cases[name].moved if new.get(n) == restored[n]]
    assert set(same) - VERSIONED == set()
    assert found == restored


NOT_REBUILT = """LearningRateScheduler: schedule
LearningRateScheduler_1: schedule
ModelCheckpoint: filepath
ModelCheckpoint_1: filepath
BackupAndRestore: backup_dir
LambdaCallback: on_epoch_end
CSVLogger: filename
CSVLogger_1: filename
TensorBoard: log_dir
RemoteMonitor: root
RemoteMonitor: path"""


def test_what_reaches_out_is_not_rebuilt(runs: Any) -> None:
    """A callback that was given a function, a path or an address is named, with the way that works."""
    with pytest.raises(NotRebuildableError, match=r"into=\[") as raised:
        restore_callbacks(runs("outside").killed_in / "ckpt")
    assert [part for part in NOT_REBUILT.splitlines() if part not in str(raised.value)] == []


def test_every_stock_callback_has_a_case() -> None:
    """A callback that a later Keras brings is missed here."""
    names = {n for n in dir(keras.callbacks) if isinstance(getattr(keras.callbacks, n), type)}
    optional = set() if ORBAX else {"OrbaxCheckpoint"}
    covered = {name.split(",")[0] for name in IDS}
    assert names - optional - {"Callback", "CallbackList"} - covered == set()


def test_paths_are_no_code(runs: Any) -> None:
    """Paths and addresses of stock callbacks are stored as data; only functions are by value."""
    snapshot = Snapshot.open(str(runs("outside").killed_in / "ckpt" / "003.keras"))
    opaque = {
        f"{entry.key}.{name}"
        for entry in snapshot.meta.callbacks
        for name, (kind, *_) in entry.arguments.items()
        if kind == "opaque"
    }
    assert opaque == {
        "LearningRateScheduler.schedule",
        "LearningRateScheduler_1.schedule",
        "LambdaCallback.on_epoch_end",
    }


# What the callbacks do outside, one by one.


def test_code_is_warned_of_once(tmp_path: Path) -> None:
    """A lambda makes the checkpoint warn, in one warning that names it and the way without trust; whoever goes
    that way is not warned, at the first start either."""
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate),
        ModelCheckpointEnhanced(tmp_path / "{epoch}.keras"),
    ]
    options: dict[str, Any] = {"batch_size": 16, "verbose": 0, "epochs": 1, "callbacks": callbacks}
    restore_callbacks(tmp_path, into=callbacks, missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fresh_model().fit(X, Y, **options)
    callbacks[1] = ModelCheckpointEnhanced(tmp_path / "another" / "{epoch}.keras")
    with pytest.warns(UserWarning, match=r": LearningRateScheduler\.schedule\..*into=callbacks") as caught:
        fresh_model().fit(X, Y, **options)
    assert sum("by value" in str(w.message) for w in caught) == 1


def test_logger_erases_in_another_run(runs: Any, tmp_path: Path) -> None:
    """A restored ``CSVLogger(append=False)`` still says so, and begins anew in another run."""
    logger = next(c for c in runs("outside").resumed.callbacks if isinstance(c, keras.callbacks.CSVLogger))
    assert logger.append is False
    logger.filename = str(tmp_path / "log.csv")
    for _ in range(2):
        fresh_model().fit(X, Y, batch_size=16, verbose=0, callbacks=[logger])
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize("group", ["outside", "code"], ids=["function", "lambda"])
def test_who_is_told_of_epochs_hears_those_that_are_left(runs: Any, group: str) -> None:
    """The functions given now, and the address of a RemoteMonitor."""
    made = runs(group)
    assert made.heard == list(range(KILL, EPOCHS))
    assert made.posted == (made.heard if group == "outside" else [])


def test_nan_after_the_resume_terminates(runs: Any) -> None:
    """A loss that becomes NaN in the fifth epoch ends the resumed run there, as it ended the other."""
    run = runs("not a number").resumed
    assert run.epochs == [0, 1, 2, 3, 4]
    assert np.isnan(run.history["loss"][-1])


def test_backup_and_restore_beside_ours(runs: Any, tmp_path: Path) -> None:
    """Epoch and model are ours, though its backup holds another epoch and other weights; a later fit starts
    at its own epoch."""
    made = runs("outside")
    shutil.copytree(made.killed_in, tmp_path, dirs_exist_ok=True)
    other = fresh_model()
    other.set_weights([w + 1 for w in other.get_weights()])
    other.save_weights(tmp_path / "backup" / "latest.weights.h5")
    (tmp_path / "backup" / "training_metadata.json").write_text(json.dumps({"epoch": 1, "batch": 0}))
    run = start(tmp_path, "outside")
    assert run.restored.initial_epoch == KILL
    assert run.differences(made.whole) == []
    assert run.model.fit(X, Y, batch_size=16, verbose=0, epochs=2).epoch == [0, 1]
