"""``assert_resumes_exactly``: what is right passes, usual mistakes are caught with their cause."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import itertools
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings

from callback_state import ModelCheckpointEnhanced, stateful
from callback_state.testing import assert_resumes_exactly, simulate, strategies

Callback = keras.callbacks.Callback
PLATEAU = {"loss": [3.0, 2.0, 2.0, 2.0, 1.9, 1.9, 1.9, 1.9], "val_loss": [3.0, 2.0, 2.5, 2.4, 2.3, 1.0, 1.0, 1.0]}
RUN: dict[str, Any] = {"epochs": 8, "steps_per_epoch": 2, "logs": PLATEAU, "validation_steps": 1}


def set_rate(callback: Any, rate: float) -> None:
    callback.model.optimizer.learning_rate = rate


# Right.


@stateful
class Counts(Callback):
    def __init__(self, peak: float = 0.1) -> None:
        super().__init__()
        self.peak, self.step = peak, 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        set_rate(self, self.peak / self.step)


@stateful
class Resets(Counts):
    """What is put back comes after ``on_train_begin``, so this is right."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.step = 0


@stateful
class Draws(Callback):
    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(1)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        set_rate(self, self.rng.random())


@stateful
class DrawsGlobally(Callback):
    """The global generators are saved with every checkpoint."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        set_rate(self, random.random() + np.random.random())


@stateful
class Relative(Callback):
    """Its state is the learning rate, which the model file holds."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        set_rate(self, 0.9 * float(self.model.optimizer.learning_rate.numpy()))


@stateful
class Window(Callback):
    def __init__(self) -> None:
        super().__init__()
        self.losses: collections.deque[float] = collections.deque(maxlen=3)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.losses.append(logs["loss"])
        set_rate(self, sum(self.losses) / 100)


@dataclasses.dataclass
class Best:
    value: float = float("inf")
    epoch: int = -1


@stateful
class Tracks(Callback):
    def __init__(self) -> None:
        super().__init__()
        self.best, self.lock = Best(), None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs["val_loss"] < self.best.value:
            self.best.value, self.best.epoch = logs["val_loss"], epoch


@stateful(exclude=("lock",))
class Locks(Tracks):
    def on_train_begin(self, logs: Any = None) -> None:
        self.lock = threading.Lock()


CALLBACKS = keras.callbacks
RIGHT: dict[str, Callable[[], Any]] = {
    **{cls.__name__: cls for cls in (Counts, Resets, Draws, DrawsGlobally, Relative, Window, Tracks, Locks)},
    "EarlyStopping": lambda: CALLBACKS.EarlyStopping(patience=3, restore_best_weights=True),
    "ReduceLROnPlateau": lambda: CALLBACKS.ReduceLROnPlateau("loss", patience=1, cooldown=1),
    "LearningRateScheduler": lambda: CALLBACKS.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
    "ModelCheckpoint": lambda: CALLBACKS.ModelCheckpoint("{epoch}.keras", save_best_only=True),
    "CSVLogger": lambda: CALLBACKS.CSVLogger("log.csv"),
    "TensorBoard": lambda: CALLBACKS.TensorBoard("tb", update_freq=1),
    "ModelCheckpointEnhanced": lambda: ModelCheckpointEnhanced("{epoch}.keras", save_best_only=True, keep_best=2),
    "ModelCheckpointEnhanced by batches": lambda: [
        Counts(),
        ModelCheckpointEnhanced("{epoch}-{batch}.keras", save_freq=3, max_to_keep=2),
    ],
    "several": lambda: [Counts(), Window(), CALLBACKS.EarlyStopping(patience=3), Counts(0.2)],
}


def test_what_is_right_passes_at_every_step() -> None:
    """Several callbacks, interrupted in an epoch and between two, go on exactly."""
    assert_resumes_exactly(RIGHT["several"], optimizer="numpy", **RUN)
    at = [(1, 0), (4, 1)]
    assert_resumes_exactly(RIGHT["several"], optimizer="adam", through="file", at=at, **RUN)


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes_at_some_steps(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside an epoch, between two, and after the last batch of one."""
    monkeypatch.chdir(tmp_path)
    assert_resumes_exactly(RIGHT[name], optimizer="numpy", at=[(0, 1), (2, 0), (3, 2)], **RUN)


def test_weights_are_swapped_exactly() -> None:
    """``SwapEMAWeights`` holds a flag; the optimizer keeps averages."""
    assert_resumes_exactly(
        lambda: CALLBACKS.SwapEMAWeights(swap_on_epoch=False),
        optimizer=lambda: keras.optimizers.SGD(0.1, use_ema=True),
        epochs=3,
        steps_per_epoch=2,
    )


def small_model() -> Any:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), "mse")
    return model


@stateful
class Decays(Callback):
    """Changes the weights of the model that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = 1.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.factor *= 0.9
        kernel = self.model.layers[0].kernel
        kernel.assign(kernel * self.factor)


def test_a_real_model_goes_on_with_its_variables() -> None:
    """What a callback does to its weights is carried over; its optimizer's steps count, so schedules move."""
    assert_resumes_exactly(Decays, model=small_model, at=[(0, 1), (1, 0)], **{**RUN, "epochs": 2, "logs": None})
    record = simulate(Decays(), model=small_model(), epochs=1, steps_per_epoch=3)
    assert len(set(record.learning_rate)) == 3


def test_a_real_model_that_is_the_same_again_is_named() -> None:
    """What the first run did to it would live on in the second."""
    once = small_model()
    with pytest.raises(ValueError, match="model= returned the same model again"):
        assert_resumes_exactly(Decays, model=lambda: once, **RUN)


def test_logs_of_measured_time_can_be_left_out() -> None:
    """They are others in each run; of the rest nothing is overlooked."""

    @stateful(exclude=("began",))
    class Times(Counts):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["seconds"] = time.perf_counter() - self.began

    with pytest.raises(AssertionError, match=r"Times.on_epoch_begin reads the clock"):
        assert_resumes_exactly(Times, optimizer="numpy", **RUN)
    run = {**RUN, "optimizer": "numpy", "ignore_logs": "seconds"}
    assert_resumes_exactly(Times, **run)
    with pytest.raises(AssertionError, match="Unregistered"):
        assert_resumes_exactly(lambda: [Times(), Unregistered()], **run)


# Wrong.


class Unregistered(Callback):
    def __init__(self) -> None:
        super().__init__()
        self.step = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        set_rate(self, 1 / self.step)


class UnregisteredReset(Unregistered):
    def on_train_begin(self, logs: Any = None) -> None:
        self.step = 0


@stateful(exclude=("step",))
class Excludes(Unregistered):
    pass


@stateful(exclude=("step",))
class ExcludesAndResets(UnregisteredReset):
    pass


@stateful
class Deadline(Callback):
    def __init__(self) -> None:
        super().__init__()
        self.started: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        self.started = datetime.datetime.now()


COUNT = 0


@stateful
class InModule(Callback):
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        global COUNT
        COUNT += 1
        set_rate(self, 1 / COUNT)


@stateful
class InClass(Callback):
    steps = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        type(self).steps += 1
        set_rate(self, 1 / self.steps)


def _in_closure() -> Callable[[], Any]:
    count = 0

    @stateful
    class InClosure(Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            nonlocal count
            count += 1
            set_rate(self, 1 / count)

    return InClosure


@stateful
class Unseeded(Callback):
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        set_rate(self, np.random.default_rng().random())


@stateful
class Handle(Callback):
    def __init__(self) -> None:
        super().__init__()
        self.lock: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        self.lock = threading.Lock()


@stateful
class InOptimizer(Callback):
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.steps_so_far = getattr(self.model.optimizer, "steps_so_far", 0) + 1
        set_rate(self, 1 / self.model.optimizer.steps_so_far)


@stateful
class IteratesPickled(Callback):
    """A count can be pickled; but reading it from a file needs trust."""

    def __init__(this) -> None:
        super().__init__()
        this.counter = itertools.count(1)

    def on_train_batch_begin(this, batch: int, logs: Any = None) -> None:
        set_rate(this, 1 / next(this.counter))


@stateful
class Late(Callback):
    """Keeps in its class what shows only after the last step."""

    is_late = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 0:
            Late.is_late = True
        if epoch == 7:
            set_rate(self, 0.5 if Late.is_late else 0.1)


@stateful
class HalvesDropout(Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.layers[0].rate /= 2


@stateful
class Freezes(Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 0:
            self.model.layers[0].trainable = False


def test_a_number_of_a_layer_is_caught() -> None:
    """No checkpoint holds it, and the train step has the old one."""

    def model() -> Any:
        made = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
        made.compile("sgd", "mse")
        return made

    message = r"model.layers\[0\].trainable is True, expected False; Freezes.* only in a layer"
    with pytest.raises(AssertionError, match=message):
        assert_resumes_exactly(Freezes, model=model, epochs=3, steps_per_epoch=1)
    message = r"model.layers\[0\].rate is 0.\d+, expected 0.\d+; HalvesDropout.on_epoch_begin .* only in a layer"
    with pytest.raises(AssertionError, match=message):
        assert_resumes_exactly(HalvesDropout, model=model, epochs=3, steps_per_epoch=1)


def counting() -> Any:
    """A scheduler whose function counts by itself."""
    count = 0

    def schedule(epoch: int, rate: float) -> float:
        nonlocal count
        count += 1
        return 1 / count

    return CALLBACKS.LearningRateScheduler(schedule)


class Holder:
    step = 0


def holding() -> Any:
    holder = Holder()

    def schedule(epoch: int, rate: float) -> float:
        holder.step += 1
        return 1 / holder.step

    return CALLBACKS.LearningRateScheduler(schedule)


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "not registered": (Unregistered, r"Unregistered.step is 0, expected 1; Unregistered is not registered"),
    "not registered, and reset": (
        UnregisteredReset,
        r"UnregisteredReset.step is 0, expected 1; .*it is assigned in on_train_begin, which resets it on every",
    ),
    "excluded": (Excludes, r"is 1.0, expected 0.5; Excludes.step is excluded from what is saved"),
    "reset in on_train_begin": (
        ExcludesAndResets,
        r"is 1.0, expected 0.5; ExcludesAndResets.step is excluded .* on_train_begin",
    ),
    "the clock": (
        Deadline,
        r"two runs without .* differ.*Deadline.started is .*; Deadline.on_train_begin reads the clock",
    ),
    "a module": (InModule, r"InModule.on_train_batch_begin keeps state in a module \(COUNT\)"),
    "its class": (InClass, r"keeps state in its class \(type\(self\).steps\)"),
    "a closure": (_in_closure(), r"keeps state in a closure \(count\)"),
    "an unseeded generator": (Unseeded, r"Unseeded.on_train_batch_begin draws random numbers"),
    "a handle": (Handle, r"the callbacks cannot be saved: Handle.lock: .*it belongs to this process"),
    "the optimizer": (InOptimizer, r"keeps state only in the optimizer \(self.model.optimizer.steps_so_far\)"),
    "an iterator that can be pickled": (
        IteratesPickled,
        r"IteratesPickled.counter.*; an iterator cannot be saved",
    ),
    "a schedule's closure": (counting, r"LearningRateScheduler.schedule keeps state in a closure \(count\)"),
    "a schedule's object": (holding, r"LearningRateScheduler.schedule keeps state in .* closure \(holder.step\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_caught_with_its_cause(name: str) -> None:
    """The first difference, and why."""
    make, message = WRONG[name]
    with pytest.raises(AssertionError, match=f"(?s){message}"):
        assert_resumes_exactly(make, optimizer="numpy", **RUN)


def test_the_point_is_named() -> None:
    """Where the run went on, in epochs and batches."""
    with pytest.raises(AssertionError, match=r"after resuming at \(2, 1\): Unregistered.step is 0, expected 5"):
        assert_resumes_exactly(Unregistered, optimizer="numpy", at=[(2, 1)], **RUN)
    with pytest.raises(AssertionError, match=r"after resuming at \(1, 0\): Unregistered.step is 0, expected 2"):
        assert_resumes_exactly(Unregistered, optimizer="numpy", at="every epoch", **RUN)


def test_an_error_that_only_the_resumed_run_raises_is_named_with_its_point() -> None:
    """And the hook that raised it."""

    class Needs(Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[int] = []

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seen.append(epoch)
            assert self.seen[0] == 0 or epoch < 5, "the first epoch is missing"
            if self.seen[0] != 0:
                raise LookupError("where is epoch 0?")

    message = r"after resuming at \(1, 0\) LookupError is raised, but not in the uninterrupted run: where is"
    with pytest.raises(AssertionError, match=message) as caught:
        assert_resumes_exactly(lambda: stateful(Needs(), exclude=("seen",)), optimizer="numpy", at=[(1, 0)], **RUN)
    assert "Needs.on_epoch_end(1)" in str(caught.value) or sys.version_info < (3, 11)


# Through a process.


def test_what_lives_in_a_class_is_lost_in_another_process() -> None:
    """Though all that it changes is the rate after the last step; what is right beside it goes on exactly."""
    Late.is_late = False
    message = r"\(1, 1\): model.learning_rate is .*0.1.*, expected .*0.5.*its class"
    with pytest.raises(AssertionError, match=message):
        assert_resumes_exactly(
            lambda: [Counts(), Late()], optimizer="numpy", at=[(1, 1)], through="process", **RUN
        )


# Properties.


@given(
    strategies.logs(epochs=5, names=("loss", "val_loss"), allow_nan=True),
    strategies.interruptions(epochs=5, steps_per_epoch=2),
)
@settings(max_examples=8, deadline=None)
def test_stock_callbacks_resume_whatever_they_hear(logs: Any, at: Any) -> None:
    """Any losses, any interruptions."""

    def make() -> list[Any]:
        return [CALLBACKS.EarlyStopping(patience=2), CALLBACKS.ReduceLROnPlateau("loss", patience=1)]

    assert_resumes_exactly(
        make, epochs=5, steps_per_epoch=2, logs=logs, at=at, optimizer="numpy", validation_steps=1
    )


# Bad input.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": "every batch"}, "at='every batch': expected 'every step', 'every epoch' or points"),
        ({"at": [(8, 0)]}, r"at: \(8, 0\) is not within the run; .* up to \(7, 2\)"),
        ({"at": [(0, 0)]}, r"at: \(0, 0\) is not within the run"),
        ({"through": "wire"}, "through='wire': expected one of 'state', 'file', 'process'"),
        ({"logs": {"loss": [1.0]}}, r"logs\['loss'\] has 1 values"),
        ({"make_callbacks": Counts()}, "make_callbacks=.*expected a function"),
        ({"make_callbacks": lambda: [len]}, r"make_callbacks\(\) returned <built-in function len>"),
        ({"make_callbacks": lambda: Counts}, r"make_callbacks\(\) returned <class .*Counts"),
        ({"make_callbacks": list}, r"make_callbacks\(\) returned no callback"),
        ({"at": []}, r"at=\[\] of 8 epochs is no point at all"),
        ({"at": (1, 0)}, r"at=\(1, 0\): expected .* a list of points, such as \[\(1, 0\)\]"),
        ({"at": 3}, "at=3: expected"),
        ({"epochs": 0, "logs": None}, "is no point at all"),
        ({"model": 3}, "model=3: expected a function"),
        ({"model": keras.Sequential([keras.layers.Dense(1)])}, "model=.*expected a function that returns a new"),
        ({"model": lambda: 3, "optimizer": None}, r"model= returned 3; expected a new keras.Model"),
        ({"model": small_model}, "optimizer= is for the stand-in"),
        ({"timeout": 0}, "timeout=0: expected seconds above 0"),
        (
            {"make_callbacks": lambda: CALLBACKS.EarlyStopping("loss", patience=0), "at": [(1, 0), (7, 0)]},
            r"the run stops after \(2, 1\) and does not reach \(7, 0\)",
        ),
        ({"optimizer": keras.optimizers.SGD()}, "optimizer: one object would keep its state from run to run"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_input_is_named(options: dict[str, Any], message: str) -> None:
    """What was expected and what was found."""
    with pytest.raises((ValueError, TypeError), match=message):
        assert_resumes_exactly(**{"make_callbacks": Counts, "optimizer": "numpy", **RUN, **options})


def test_a_factory_that_returns_the_same_object_is_named() -> None:
    """Or its state would live on in it, and everything pass."""
    once = Counts()
    with pytest.raises(ValueError, match=r"returned the same Counts object again"):
        assert_resumes_exactly(lambda: once, optimizer="numpy", **RUN)
