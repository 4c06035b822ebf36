"""Whole runs that save beside training: each file holds exactly the moment of its save."""

from __future__ import annotations

import copy
import ctypes
import errno
import os
import pickle
import signal
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from harness import Batches, Killed, PerBatch, X, Y, bytes_of, states_of
from kept import kept
from reused import fresh_model

from callback_state import ModelCheckpointEnhanced, list_checkpoints, load_meta, restore_callbacks, stateful
from callback_state._format import arrays
from callback_state._keras.backend import values_of
from callback_state._keras.skeleton import LARGE
from callback_state._saving import rescue, saves
from callback_state._saving.save import Save

BESIDE = {"save_on_background": True}
#: Here saves are waited for on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.*training has waited:UserWarning")


FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


class Gate:
    """A save beside training begins to write when somebody opens this, or when training waits for that save.

    ``keeps`` says by the name which saves it stops; those of ``fails`` fail when they have passed.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keeps: Callable[[str], bool] = lambda name: True
        self.fails: set[str] = set()
        self.threads: dict[str, str] = {}
        self._shut: dict[str, threading.Event] = {}
        self._names: dict[Any, str] = {}
        run, wait, begin = Save.run, saves.wait, saves.Saves._start

        def starts(checkpoint: Any, decided: Any, save: Any) -> None:
            name = os.path.basename(decided.path)
            if self.keeps(name):
                self._shut[name] = threading.Event()
            begin(checkpoint, decided, save)
            self._names[checkpoint._future] = name

        def runs(save: Any) -> None:
            name = os.path.basename(save.path)
            if threading.current_thread() is not threading.main_thread() and name in self._shut:
                assert self._shut[name].wait(60)
            self.threads[name] = threading.current_thread().name
            if name in self.fails:
                raise OSError(errno.ENOSPC, "No space left on device")
            run(save)

        def waits(futures: Any) -> Any:
            self.open(*(self._names[future] for future in futures))
            return wait(futures)

        monkeypatch.setattr(saves.Saves, "_start", starts)
        monkeypatch.setattr(Save, "run", runs)
        monkeypatch.setattr(saves, "wait", waits)

    def open(self, *names: str) -> None:
        """For the saves of these names; without one, for all that have begun."""
        for name in names or self._shut:
            if name in self._shut:
                self._shut[name].set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


@stateful(exclude=("acts", "epoch"))
class At(keras.callbacks.Callback):
    """Calls a function at the beginning of a batch: ``acts`` has it by the 0-based epoch and batch."""

    def __init__(self, acts: dict[tuple[int, int], Callable[[], Any]]) -> None:
        super().__init__()
        self.acts, self.epoch = acts, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.acts.get((self.epoch, batch), lambda: None)()


def train(*callbacks: Any, epochs: int = 4, first: int = 0, model: Any = None) -> Any:
    model = fresh_model() if model is None else model
    options: dict[str, Any] = {"epochs": epochs, "initial_epoch": first, "batch_size": 16, "verbose": 0}
    model.fit(X, Y, callbacks=[*callbacks], **options)
    return model


def names(directory: Path) -> list[str]:
    return sorted(os.path.basename(c.path) for c in list_checkpoints(directory))


# What is in the files.


@keras.saving.register_keras_serializable("test_beside")
class Tables(keras.layers.Layer):
    """Saves arrays that are no variables, and a text; all of them change while training goes on."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.begin()

    def begin(self) -> None:
        self.few, self.many, self.words = np.zeros(3), np.zeros(LARGE), ["begun"]

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(LARGE // 4,), initializer="ones")

    def call(self, x: Any) -> Any:
        return x * self.scale[0]

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        store["few"], store["many"] = self.few, self.many
        store["view"] = self.scale.numpy()

    def load_own_variables(self, store: Any) -> None:
        self.scale.assign(store["0"])
        self.few, self.many = store["few"], store["many"]

    def save_assets(self, directory: str) -> None:
        Path(directory, "words.txt").write_text("\n".join(self.words))

    def load_assets(self, directory: str) -> None:
        self.words = Path(directory, "words.txt").read_text().split("\n")


@stateful(exclude=("gate", "checkpoint"))
class Changes(keras.callbacks.Callback):
    """At the end of each batch it changes in place all that a save may hold; then the save may begin to write."""

    def __init__(self, gate: Gate | None = None, checkpoint: Any = None) -> None:
        super().__init__()
        self.gate, self.checkpoint = gate, checkpoint
        self.items: list[Any] = [0.0]
        self.small, self.large = np.zeros(4), np.zeros(arrays.LARGE // 4)
        self.inside = {"deep": [np.zeros(4), {"deeper": self.large}]}
        self.bag = {0}

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.items.append(float(logs["loss"]))
        self.bag.add(len(self.items))
        for array in (self.small, self.large, self.inside["deep"][0]):
            array += 1
        tables = self.model.layers[0]
        tables.few += 1
        tables.many += 1
        tables.words.append(str(batch))
        self.model.layers[2].rate = 0.5 / len(self.items)
        self.checkpoint.training_args["lists"].append(batch)
        if batch == 3 and self.gate is not None:
            self.gate.open()

    def on_train_end(self, logs: Any = None) -> None:
        if self.gate is not None:
            self.gate.open()


def with_tables() -> Any:
    keras.utils.set_random_seed(5)
    layers = [Tables(), keras.layers.Dense(4), keras.layers.Dropout(0.3), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile(keras.optimizers.Adam(0.05), keras.losses.MeanSquaredError(), jit_compile=False)
    return model


def content(path: Path) -> dict[str, Any]:
    """What a model file holds, but for the time of day, which is in the archive and in the groups of ``meta``."""
    found: dict[str, Any] = {}

    def note(name: str, item: Any) -> None:
        found[name] = item[()].tobytes() if isinstance(item, h5py.Dataset) else None
        found[f"{name}:"] = {key: repr(np.asarray(value).tolist()) for key, value in item.attrs.items()}

    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist() if name != "metadata.json"}
    with h5py.File(path) as file:
        note("", file)
        file.visititems(note)
    return found


@pytest.mark.parametrize("ending", [".keras", ".weights.h5", ".h5"])
def test_a_file_holds_the_moment_of_its_save(tmp_path: Path, gate: Gate, ending: str) -> None:
    """What changes before a save begins to write is not in it: arrays and texts of layers, variables, the states
    of callbacks, the configuration, the user's own arguments. Model files are equal to those of a run that saves
    at once, and restarts get the same from the states."""

    def start(beside: bool) -> list[Any]:
        directory, model = tmp_path / str(beside), kept(with_tables)
        model.layers[0].begin()
        model.layers[2].rate = 0.3
        options = {"save_on_background": beside, "save_weights_only": ending == ".weights.h5"}
        saver = ModelCheckpointEnhanced(directory / f"{{epoch}}{ending}", training_args={"lists": [0]}, **options)
        train(saver, Changes(gate, saver), epochs=3, model=model)
        found = []
        for path in (directory / f"{epoch}{ending}" for epoch in (1, 2, 3)):
            back = [ModelCheckpointEnhanced(directory / f"{{epoch}}{ending}", **options), Changes()]
            restored = restore_callbacks(path, into=back, model=model)
            variables = bytes_of([*model.variables, *model.optimizer.variables])
            found.append((content(path), load_meta(path), states_of(back[1:]), variables, restored.epoch))
        return found

    at_once = start(False)
    for found, expected in zip(start(True), at_once, strict=True):
        assert [a == b for a, b in zip(found, expected, strict=True)] == 5 * [True]
    assert gate.threads["3" + ending] == "callback_state saves_0"


class OwnSave(keras.Sequential):
    """Only Keras can write it, by way of this."""

    def save(self, *args: Any, **options: Any) -> None:
        super().save(*args, **options)


def test_what_keras_has_to_write_is_written_at_once(tmp_path: Path, gate: Gate) -> None:
    """A model with its own ``save`` is saved before training goes on."""
    model = OwnSave([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("sgd", keras.losses.MeanSquaredError(), jit_compile=False)
    seen: list[Any] = []
    saver = ModelCheckpointEnhanced(tmp_path / "{epoch}.keras", **BESIDE)
    train(
        saver, At({(1, 0): lambda: seen.append((names(tmp_path), bytes_of(model.weights)))}), epochs=2, model=model
    )
    assert seen[0][0] == ["1.keras"]
    restore_callbacks(tmp_path / "1.keras", into=[saver], model=model)
    assert bytes_of(model.weights) == seen[0][1]
    assert {*gate.threads.values()} == {"MainThread"}


def test_values_that_change_in_place_are_copied_from_then_on(tmp_path: Path, gate: Gate) -> None:
    """The save that finds it fails like one of which the disk has failed; the one before is whole, and the next
    ones have the values of their moments."""
    moments: list[list[bytes]] = []

    def overwrite() -> None:
        moments.append(bytes_of(model.weights))
        value = next(values_of([model.weights[0]]))
        ctypes.memset(value.ctypes.data, 0x3C, value.nbytes)
        gate.open()

    model = fresh_model()
    saver = ModelCheckpointEnhanced(tmp_path / "{epoch}.weights.h5", save_weights_only=True, **BESIDE)
    at = At({(1, 0): gate.open, (2, 0): overwrite, (3, 0): overwrite, (4, 0): overwrite})
    with pytest.warns(UserWarning, match=r"2\.weights\.h5: not saved \(WriteError: .*in place") as warned:
        train(saver, at, epochs=5, model=model)
    assert sum("not saved" in str(w.message) for w in warned) == 1
    assert names(tmp_path) == [f"{epoch}.weights.h5" for epoch in (1, 3, 4, 5)]
    for epoch, moment in ((3, moments[1]), (4, moments[2])):
        restore_callbacks(tmp_path / f"{epoch}.weights.h5", into=[saver, at], model=model)
        assert bytes_of(model.weights) == moment


# Two checkpoints in one fit.


def both(directory: Path, **options: Any) -> list[Any]:
    """One that saves the best now and then, and one that saves each epoch."""
    common: dict[str, Any] = {"save_weights_only": True, "max_to_keep": 1, **BESIDE, **options}
    return [
        ModelCheckpointEnhanced(directory / "a-{epoch}.weights.h5", "loss", keep_best=1, period=2, **common),
        ModelCheckpointEnhanced(directory / "b-{epoch}.weights.h5", **common),
    ]


def start(directory: Path, *more: Any, epochs: int = 6, **options: Any) -> Any:
    """One start of a script with both."""
    model, made = fresh_model(), [*both(directory, **options), Batches(), PerBatch(0.05), *more]
    restored = restore_callbacks(directory, into=made, model=model, missing_ok=True)
    train(*made, epochs=epochs, first=restored.initial_epoch, model=model)
    return states_of(made[:4]), bytes_of([*model.weights, *model.optimizer.variables]), names(directory)


@pytest.mark.parametrize(
    "kill", [(3, 0), *(pytest.param(kill, marks=pytest.mark.heavy) for kill in [(1, 2), (5, 3)])]
)
def test_of_two_checkpoints_no_file_is_lost(tmp_path: Path, gate: Gate, kill: tuple[int, int]) -> None:
    """Each save waits as long as it can. A run that dies is resumed as the same run, with the same files; nothing
    is found to be foreign, which would be a warning."""

    def die() -> None:
        raise Killed

    whole = start(tmp_path / "whole")
    with pytest.raises(Killed):
        start(tmp_path / "killed", At({kill: die}))
    assert start(tmp_path / "killed") == whole
    assert whole[2][-1] == "b-6.weights.h5"


def test_a_save_waits_for_the_earlier_ones_that_it_tells_of(tmp_path: Path, gate: Gate) -> None:
    """Its state says what another checkpoint has written: that is on disk, or the state does not say it."""
    gate.keeps = lambda name: name == "a-2.weights.h5"
    heard: list[str] = []
    start(tmp_path / "a", epochs=4, on_saved=lambda c: heard.append(os.path.basename(c.path)))
    assert heard.index("a-2.weights.h5") < heard.index("b-3.weights.h5")
    gate.fails = {"a-2.weights.h5"}
    with pytest.warns(UserWarning, match=r"a-2\.weights\.h5: not saved"):
        start(tmp_path / "b", epochs=4, max_to_keep=None)
    made = both(tmp_path / "b", max_to_keep=None)
    restore_callbacks(tmp_path / "b" / "b-3.weights.h5", into=[*made, Batches(), PerBatch(0.05)])
    assert made[0].ledger.written == made[0].ledger.surplus == ()


def test_the_mark_of_the_end_waits_for_all(tmp_path: Path, gate: Gate) -> None:
    """The last checkpoint is marked when those of all callbacks are on disk, or have failed."""
    gate.fails = {"b-2.weights.h5"}
    gate.keeps = lambda name: name == "b-2.weights.h5"
    with pytest.warns(UserWarning, match=r"b-2\.weights\.h5: not saved"):
        start(tmp_path, epochs=2)
    made = both(tmp_path)
    assert restore_callbacks(tmp_path, into=[*made, Batches(), PerBatch(0.05)]).finished
    assert [name for name, _ in made[1].ledger.written] == ["b-1.weights.h5"]


# Exceptions.


def test_an_exception_while_a_save_is_under_way(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With save_on_exception that save is the one to go on from, and the run is resumed as the same run."""
    monkeypatch.setattr(rescue, "SHARE", 1e9)  # a moment is copied whenever that is possible

    def make(directory: Path, *more: Any) -> list[Any]:
        options: dict[str, Any] = {"save_on_exception": True, "max_to_keep": 1, **BESIDE}
        return [ModelCheckpointEnhanced(directory / "{epoch}.keras", **options), Batches(), PerBatch(0.05), *more]

    def go(directory: Path, *more: Any) -> Any:
        model, made = fresh_model(), make(directory, *more)
        restored = restore_callbacks(directory, into=made, model=model, missing_ok=True)
        train(*made, first=restored.initial_epoch, model=model)
        return bytes_of(model.weights), states_of(made[:3]), sorted(os.listdir(directory)), restored.epoch

    def fail() -> None:
        raise RuntimeError("of the script")

    *whole, _ = go(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="of the script"):
        go(tmp_path / "failed", At({(2, 2): fail}))
    assert names(tmp_path / "failed") == ["2.keras"]
    *resumed, epoch = go(tmp_path / "failed")
    assert epoch == 1 and resumed == whole


# Other moments of a run.


def test_a_save_by_the_clock_waits_until_the_one_before_is_settled(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if that ends just when nobody looks: it counts as written, and is deleted in its time."""
    due = ModelCheckpointEnhanced.is_due

    def is_due(checkpoint: Any, event: Any) -> bool:
        if checkpoint._keeper._saves.is_under_way:  # as make_way has found it
            saves.wait([checkpoint._keeper._saves._future])
        return due(checkpoint, event)

    monkeypatch.setattr(ModelCheckpointEnhanced, "is_due", is_due)
    saver = ModelCheckpointEnhanced(tmp_path / "{epoch}.keras", max_to_keep=1, save_every=1e-6, **BESIDE)
    train(saver, epochs=3)
    assert names(tmp_path) == ["3.keras"]


def test_the_working_directory_may_change(tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save goes where it was to go when it began."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    saver = ModelCheckpointEnhanced("ckpt/{epoch}.keras", max_to_keep=1, **BESIDE)

    def act() -> None:
        os.chdir("other")
        saves.wait([saver._keeper._saves._future])
        os.chdir(tmp_path)

    train(saver, At({(1, 0): act}), epochs=2)
    assert os.listdir("other") == []
    assert names(Path("ckpt")) == ["2.keras"]


def test_when_fit_has_ended_the_callback_can_be_copied(tmp_path: Path) -> None:
    """By deepcopy and by pickle; the copy saves in a second fit of the process, and is restored right after it."""
    saver = ModelCheckpointEnhanced(tmp_path / "a" / "{epoch}.keras", **BESIDE)
    train(saver, epochs=1)
    pickle.dumps(saver)
    model = train(copy.deepcopy(saver), epochs=2, first=1)
    before = bytes_of(model.weights)
    restored = restore_callbacks(tmp_path / "a", into=[saver], model=model)
    assert (restored.epoch, restored.finished, bytes_of(model.weights)) == (1, True, before)


@FORKS
def test_a_fork_waits_for_no_save(tmp_path: Path, gate: Gate) -> None:
    """The thread that saves is not in it: its end must not wait for that."""
    ended: list[int] = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            saver._keeper._saves._tell_at_exit()
            os._exit(7)
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    saver = ModelCheckpointEnhanced(tmp_path / "{epoch}.keras", **BESIDE)
    train(saver, At({(1, 0): fork}), epochs=2)
    assert ended == [7]
    assert names(tmp_path) == ["1.keras", "2.keras"]


def test_a_line_is_said_whatever_the_next_event_does(
    tmp_path: Path, gate: Gate, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Keras decides about the next event it is told to be silent; a save that ends then is not."""
    saver = ModelCheckpointEnhanced(tmp_path / "{epoch}.keras", verbose=1, save_freq=4, **BESIDE)

    def act() -> None:
        saver.verbose = 0
        saves.wait([saver._keeper._saves._future])
        saver.verbose = 1

    train(saver, At({(1, 0): act}), epochs=2)
    assert "Epoch 1, batch 4: saved" in capsys.readouterr().out


def test_a_signal_to_stop_waits_for_one_save_of_its_batch(tmp_path: Path, gate: Gate) -> None:
    """That save is completed, the batch of the signal is saved, and the run is resumed as the same run."""

    def go(directory: Path, *more: Any) -> Any:
        saver = ModelCheckpointEnhanced(directory / "{epoch}.keras", save_on_signal=True, **BESIDE)
        model, made = fresh_model(), [saver, Batches(), PerBatch(0.05), *more]
        restored = restore_callbacks(directory, into=made, model=model, missing_ok=True)
        train(*made, epochs=3, first=restored.initial_epoch, model=model)
        return (restored.epoch, restored.batch), bytes_of(model.weights), states_of(made[:3])

    _, *whole = go(tmp_path / "whole")
    with pytest.raises(SystemExit) as stopped:
        go(tmp_path / "stopped", At({(1, 2): lambda: os.kill(os.getpid(), signal.SIGTERM)}))
    assert stopped.value.code == 75
    assert [(c.epoch, c.batch) for c in list_checkpoints(tmp_path / "stopped")] == [(0, None), (1, 2)]
    moment, *resumed = go(tmp_path / "stopped")
    assert moment == (1, 2) and resumed == whole
