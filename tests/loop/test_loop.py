"""The training loop is found, heard before and after everybody, and left as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import Batches, X, Y
from programs import Program
from reused import fresh_model

from callback_state import ModelCheckpointEnhanced, restore_callbacks, stateful
from callback_state._checkpoints.snapshot import Snapshot
from callback_state._keras.fit import Fit
from callback_state._loop import loop as _loop
from callback_state._loop.listener import Listener
from callback_state._loop.loop import join
from callback_state._loop.running import Running

WRAPPED = {*_loop._EVENTS, "_callback_state_hooked"}


def fit(callbacks: Any, model: Any = None, **options: Any) -> Any:
    model = fresh_model() if model is None else model
    arguments: dict[str, Any] = {"epochs": 2, "batch_size": 16, "verbose": 0, **options}
    return model.fit(X, Y, callbacks=callbacks, **arguments)


def checkpoint(tmp_path: Path, name: str = "{epoch}.keras", **options: Any) -> ModelCheckpointEnhanced:
    return ModelCheckpointEnhanced(tmp_path / name, "loss", **options)


def models(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in tmp_path.iterdir() if p.suffix in (".keras", ".h5"))


def keys(tmp_path: Path, name: str) -> list[str]:
    return [entry.key for entry in Snapshot.open(str(tmp_path / name)).meta.callbacks]


@stateful
class Counter(keras.callbacks.Callback):
    """Counts the epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.count += 1


class Look(keras.callbacks.Callback):
    """Looks at something in every epoch."""

    def __init__(self, look: Callable[[], Any]) -> None:
        super().__init__()
        self.look = look

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.look()


class Raise(keras.callbacks.Callback):
    """Raises in the second epoch, once."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            raise KeyError("broken")


# The list.


def listed(model: Any, callbacks: list[Any], **params: Any) -> Any:
    return keras.callbacks.CallbackList(
        callbacks, add_history=True, model=model, **{"verbose": 0, "epochs": 2, "steps": 4, **params}
    )


def wrapped(callback_list: Any) -> set[str]:
    return set(vars(callback_list)) & WRAPPED


@pytest.mark.parametrize("save_freq", ["epoch", 2], ids=["epochs", "batches"])
def test_list_is_wrapped_for_the_fit(tmp_path: Path, save_freq: Any) -> None:
    """After its first batch a run that saves once an epoch pays nothing per batch; after the fit the list is
    as it was."""
    found: list[set[str]] = []
    model, name = fresh_model(), "{epoch}.keras" if save_freq == "epoch" else "{epoch}-{batch}.keras"
    look = Look(lambda: found.append(wrapped(callbacks)))
    callbacks = listed(model, [look, checkpoint(tmp_path, name, save_freq=save_freq)])
    fit(callbacks, model)
    batches = set() if save_freq == "epoch" else {"on_train_batch_end"}
    assert found == [WRAPPED - {"on_train_batch_begin", "on_train_batch_end"} | batches] * 2
    assert wrapped(callbacks) == set()


def test_several_checkpoints_share_one_loop(tmp_path: Path) -> None:
    """The list is wrapped once, however many listen; each saves its own files."""
    found = []
    model = fresh_model()
    one, other = checkpoint(tmp_path), checkpoint(tmp_path, "b{epoch}.keras")
    callbacks = listed(
        model,
        [
            one,
            Look(lambda: found.append(len(vars(callbacks)["_callback_state_hooked"].owner.running.listeners))),
            other,
        ],
    )
    fit(callbacks, model)
    assert found == [2, 2]
    assert models(tmp_path) == ["1.keras", "2.keras", "b1.keras", "b2.keras"]


class Heard(keras.callbacks.Callback, Listener):
    """Takes part in a loop, and notes with the others what it hears."""

    def __init__(self, events: list[str]) -> None:
        super().__init__()
        self.events = events

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        join(self, self, model)

    def before_train(self, running: Running) -> None:
        self.events.append("before")
        running.hear_batches()

    def after_train_begin(self, running: Running) -> None:
        self.events.append("after begin")

    def after_epoch_begin(self, running: Running) -> None:
        self.events.append("after epoch begin")

    def decide(self, running: Running) -> None:
        self.events.append("decide")

    def after_event(self, running: Running) -> None:
        self.events.append("after")

    def after_train_end(self, running: Running) -> None:
        self.events.append("after end")


class Notes(keras.callbacks.Callback):
    """Notes the same events."""

    def __init__(self, name: str, events: list[str]) -> None:
        super().__init__()
        self.name, self.events = name, events

    def on_train_begin(self, logs: Any = None) -> None:
        self.events.append(f"{self.name} begin")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.events.append(f"{self.name} epoch begin")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.events.append(f"{self.name} batch")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.events.append(f"{self.name} epoch")

    def on_train_end(self, logs: Any = None) -> None:
        self.events.append(f"{self.name} end")


@pytest.mark.parametrize("position", [0, 2])
def test_before_and_after_everybody(position: int) -> None:
    """Wherever a listener stands, it hears before anybody, and after everybody, has heard an event."""
    events: list[str] = []
    callbacks: list[Any] = [Notes("a", events), Notes("b", events)]
    callbacks.insert(position, Heard(events))
    fit(callbacks, epochs=1, batch_size=64)

    def both(event: str, *after: str) -> list[str]:
        return [f"a {event}", f"b {event}", *after]

    begins = ["before", *both("begin", "after begin"), *both("epoch begin", "after epoch begin")]
    ends = [*both("batch", "decide", "after"), *both("epoch", "decide", "after"), *both("end", "after end")]
    assert events == begins + ends


def test_batches_are_heard_before_what_follows() -> None:
    """Also of callbacks that are in a dict, of which Keras may think that a thread can call them."""
    events: list[str] = []
    fit({"0": Heard(events), "1": Notes("a", events)}, epochs=2, batch_size=4)
    batches = ["a batch", "decide", "after"] * 16
    epoch = ["a epoch begin", "after epoch begin", *batches, "a epoch", "decide", "after"]
    assert events == ["before", "a begin", "after begin", *epoch, *epoch, "a end", "after end"]


def test_later_fit_after_one_that_raised(tmp_path: Path) -> None:
    """A fit that raised leaves nothing behind: the next one with the same callbacks saves as usual."""
    counter, saver = Counter(), checkpoint(tmp_path)
    with pytest.raises(KeyError, match="broken"):
        fit([counter, saver, Raise()])
    assert models(tmp_path) == ["1.keras"]
    with pytest.warns(UserWarning, match="begins with epoch 1 again, and nothing was restored"):
        fit([counter, saver])
    assert models(tmp_path) == ["1.keras", "2.keras"]
    assert keys(tmp_path, "2.keras") == ["Counter", "ModelCheckpointEnhanced"]
    assert counter.count == 3


def test_list_of_the_users_own_in_two_fits(tmp_path: Path) -> None:
    """The second fit with one CallbackList, which calls no set_model again, saves what the first saved."""
    model = fresh_model()
    callbacks = listed(model, [Counter(), checkpoint(tmp_path)])
    fit(callbacks, model)
    for path in tmp_path.iterdir():
        path.unlink()
    fit(callbacks, model)
    assert models(tmp_path) == ["1.keras", "2.keras"]
    assert keys(tmp_path, "2.keras") == ["Counter", "ModelCheckpointEnhanced"]
    assert restore_callbacks(tmp_path).finished


def test_any_form_of_callbacks(tmp_path: Path) -> None:
    """Nested lists and a tuple, saving at batches too: each callback is saved once, as it is then."""
    seen, saver = Batches(), checkpoint(tmp_path, "{epoch}-{batch}.keras", save_freq=3)
    fit([[saver], [(seen,)]])
    assert set(models(tmp_path)) - {"2-0.final.keras"} == {"1-3.keras", "2-2.keras"}
    for name, batches in (("1-3.keras", 3), ("2-2.keras", 6)):
        assert keys(tmp_path, name) == ["ModelCheckpointEnhanced", "Batches"]
        new = Batches()
        restore_callbacks(tmp_path / name, into=[new, checkpoint(tmp_path, "{epoch}-{batch}.keras", save_freq=3)])
        assert len(new.seen) == batches


def test_single_callback(tmp_path: Path) -> None:
    """A checkpoint that is passed alone, not in a list, hears batches in time too."""
    fit(checkpoint(tmp_path, "{epoch}-{batch}.keras", save_freq=3))
    assert set(models(tmp_path)) - {"2-0.final.keras"} == {"1-3.keras", "2-2.keras"}
    assert [Snapshot.open(str(tmp_path / n)).meta.batch for n in ("1-3.keras", "2-2.keras")] == [2, 1]


def test_evaluate_and_predict_take_the_callbacks(tmp_path: Path) -> None:
    """They save nothing, and a fit after them is as without them."""
    model, saver, counter = fresh_model(), checkpoint(tmp_path), Counter()
    model.evaluate(X, Y, verbose=0, callbacks=[counter, saver])
    model.predict(X, verbose=0, callbacks=[counter, saver])
    assert models(tmp_path) == []
    fit([counter, saver], model)
    assert models(tmp_path) == ["1.keras", "2.keras"]
    assert keys(tmp_path, "2.keras") == ["Counter", "ModelCheckpointEnhanced"]


# The fit.


@pytest.mark.parametrize(("verbose", "validation"), [(0, None), (1, (X, Y)), (2, None)], ids=["0", "1", "2"])
def test_arguments_of_fit_are_read(verbose: int, validation: Any) -> None:
    """First and last epoch, bar, shuffle and data are those of the running fit."""
    model, found = fresh_model(), []
    look = Look(lambda: found.append(Fit.find(model)))
    model.fit(
        X,
        Y,
        batch_size=16,
        initial_epoch=1,
        epochs=3,
        verbose=verbose,
        shuffle=False,
        callbacks=[look],
        validation_data=validation,
    )
    first, second = found
    assert first == second
    assert (first.initial_epoch, first.epochs, first.shows, first.shuffle) == (1, 3, verbose == 1, False)
    assert type(first.epoch_iterator).__name__ == "TFEpochIterator"
    assert first.validation is (None if validation is None else X)


def test_another_model_of_the_same_fit_is_not_meant() -> None:
    """A fit of one model inside a fit of another is told from it."""
    outer, inner = fresh_model(), keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    inner.compile("sgd", "mse", jit_compile=False)
    found = []

    def look() -> None:
        both = Look(lambda: found.append((Fit.find(outer), Fit.find(inner))))
        inner.fit(X, Y, epochs=7, verbose=0, callbacks=[both])

    fit([Look(look)], outer, epochs=1)
    assert {(a.epochs, b.epochs) for a, b in found} == {(1, 7)}


# Where it runs.


MIRRORED = """
import keras, tensorflow as tf
devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from harness import Strike, Killed, PerBatch, X, Y, bytes_of
from callback_state import ModelCheckpointEnhanced, restore_callbacks
from callback_state._keras.weights import put_back_variables, take_variables

with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    try:
        dropout = [keras.layers.Dropout(0.3)]
    except ValueError:  # Keras 3.7 has none for several devices
        dropout = []
    model = keras.Sequential([
        keras.Input((6,)), keras.layers.BatchNormalization(), *dropout, keras.layers.Dense(1),
    ])
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
initial = take_variables(model)

def begin(directory, kill=None):
    keras.utils.set_random_seed(3)
    put_back_variables(initial)  # as a new process makes it
    model.stop_training, model._initial_epoch, model.history = False, None, None
    callbacks = [PerBatch(0.05), keras.callbacks.EarlyStopping("loss", patience=9),
                 ModelCheckpointEnhanced(f"{directory}/{{epoch}}.keras")]
    restored = restore_callbacks(directory, into=callbacks, model=model, missing_ok=True)
    killer = [] if kill is None else [Strike("epoch_begin", at=kill)]
    try:
        history = model.fit(
            X, Y, batch_size=64, epochs=2, verbose=0,
            initial_epoch=restored.initial_epoch, callbacks=[*callbacks, *killer],
        )
    except Killed:
        return restored.initial_epoch
    return bytes_of([*model.variables, *model.optimizer.variables]), history.history, callbacks[0].step

assert len(tf.config.list_logical_devices("CPU")) == 2
whole = begin("whole")
assert begin("killed", kill=1) == 0
resumed = begin("killed")
assert len(resumed[1]["loss"]) == 2
print("same" if resumed == whole else "other")
"""


def test_mirrored_strategy_resumes_exactly(tmp_path: Path) -> None:
    """On two devices: killed and resumed, weights, optimizer and history are byte for byte the same."""
    (tmp_path / "mirrored.py").write_text(MIRRORED)
    quiet = "import warnings; warnings.simplefilter('ignore')"
    done = Program(str(tmp_path / "mirrored.py"), str(tmp_path), before=quiet).run()
    assert (done.out.strip(), done.status) == ("same", 0), done.err[-3000:]
