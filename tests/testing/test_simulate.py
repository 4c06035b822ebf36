"""``simulate``: the hooks of Keras, in its order and with its arguments, on whatever Keras this is."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from harness import X, Y
from reused import fresh_model

from callback_state import ModelCheckpointEnhanced, stateful
from callback_state.testing import Event, Record, simulate

HOOKS = [
    *(f"on_{what}_{when}" for what in ("train", "test", "predict", "epoch") for when in ("begin", "end")),
    *(f"on_{what}_batch_{when}" for what in ("train", "test", "predict") for when in ("begin", "end")),
]


class Hears(keras.callbacks.Callback):
    """Notes every hook with its arguments, positional and named, and stops where it is told to."""

    def __init__(self, stop: tuple[str, int] | None = None) -> None:
        super().__init__()
        self.heard: list[tuple[Any, ...]] = []
        self.stop = stop
        for hook in HOOKS:
            setattr(self, hook, self._noting(hook))

    def _noting(self, hook: str) -> Any:
        def note(*args: Any, **kwargs: Any) -> None:
            *index, logs = args if "logs" not in kwargs else (*args, kwargs["logs"])
            self.heard.append((hook, *index, dict(logs), sorted(kwargs)))
            if index and (hook, index[0]) == self.stop:
                self.model.stop_training = True

        return note


#: As many samples as four batches of two need.
X, Y = X[:8], Y[:8]


def replayed(heard: list[tuple[Any, ...]]) -> Any:
    """What a real run heard, as a function of (epoch, batch)."""
    found, epoch = {}, 0
    for hook, *index, logs, _ in heard:
        if hook == "on_epoch_begin":
            epoch = index[0]
        if hook == "on_train_batch_end":
            found[epoch, index[0]] = logs
        if hook == "on_test_end" and (epoch, 3) in found:
            found[epoch, 3] = {**found[epoch, 3], **{f"val_{name}": value for name, value in logs.items()}}
    return lambda epoch, batch: found[epoch, batch]


INSIDE, AT_THE_END = ("on_train_batch_end", 1), ("on_epoch_end", 1)


@pytest.mark.parametrize(
    ("first", "validation", "stop"),
    [(0, True, None), (1, False, AT_THE_END), (0, False, INSIDE), (1, True, INSIDE)],
)
def test_the_hooks_of_fit(first: int, validation: bool, stop: Any) -> None:
    """Each hook with its index, logs and the way in which they are passed, as in a real ``fit``."""
    real, simulated = Hears(stop), Hears(stop)
    more: dict[str, Any] = {"validation_data": (X[:2], Y[:2])} if validation else {}
    model = fresh_model()
    model.fit(X, Y, batch_size=2, epochs=3, initial_epoch=first, verbose=0, callbacks=[real], **more)
    steps = 2 if stop == ("on_train_batch_end", 1) else 4
    logs = replayed(real.heard)
    record = simulate(
        simulated,
        epochs=3,
        steps_per_epoch=4,
        start=(first, 0),
        validation_steps=int(validation),
        logs=logs if steps == 4 else _early(real.heard),
    )
    assert simulated.heard == real.heard
    assert simulated.params == real.params
    assert record.history == model.history.history


def _early(heard: list[tuple[Any, ...]]) -> Any:
    """The same for a run that stopped after its second batch."""
    logs = replayed(heard)
    end = next((event[-2] for event in heard if event[0] == "on_epoch_end"), {})
    return lambda epoch, batch: {**logs(epoch, batch), **{n: v for n, v in end.items() if n.startswith("val_")}}


def test_the_hooks_of_evaluate_and_predict() -> None:
    """The same for a whole ``evaluate`` and ``predict``."""
    real, simulated = Hears(), Hears()
    fresh_model().evaluate(X, Y, batch_size=2, verbose=0, callbacks=[real])
    seen = [event[2] for event in real.heard if event[0] == "on_test_batch_end"]
    simulate(simulated, epochs=1, steps_per_epoch=4, method="evaluate", logs=lambda epoch, batch: seen[batch])
    assert simulated.heard == real.heard and simulated.params == real.params
    real, simulated = Hears(), Hears()
    fresh_model().predict(X, batch_size=2, verbose=0, callbacks=[real])
    simulate(simulated, epochs=1, steps_per_epoch=4, method="predict")
    assert [event[:2] for event in simulated.heard if len(event) == 4] == [
        event[:2] for event in real.heard if len(event) == 4
    ]
    assert [(e[0], *e[-2], e[-1]) for e in simulated.heard] == [(e[0], *e[-2], e[-1]) for e in real.heard]


@stateful
class Warmup(keras.callbacks.Callback):
    """A rate for every step."""

    def __init__(self, peak: float) -> None:
        super().__init__()
        self.peak, self.step = peak, 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        self.model.optimizer.learning_rate = self.peak * min(1, self.step / 4)


@pytest.mark.parametrize("optimizer", ["numpy", "adam", None, keras.optimizers.SGD, lambda: "sgd"])
def test_the_rate_of_every_step(optimizer: Any) -> None:
    """As the optimizer has it in that step: in float32, whichever optimizer it is."""
    record = simulate(Warmup(0.1), epochs=2, steps_per_epoch=3, optimizer=optimizer, watch="Warmup.step")
    expected = [0.1 * min(1, step / 4) for step in range(1, 7)]
    assert record.learning_rate == [float(np.float32(rate)) for rate in expected]
    assert record.watched == {"Warmup.step": [1, 2, 3, 4, 5, 6]}
    assert record.steps == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_validation_series_are_heard_at_the_end_of_an_epoch() -> None:
    """Also without steps of validation: from the History of another run, say."""
    logs = {"loss": [2.0, 1.0], "val_loss": [3.0, 4.0]}
    stop = keras.callbacks.EarlyStopping("val_loss", patience=1)
    record = simulate(stop, epochs=2, steps_per_epoch=2, logs=logs, optimizer="numpy")
    assert record.history == logs and record.stopped == (1, 1)
    assert next(event.logs for event in record.events if event.hook == "on_train_batch_end") == {"loss": 2.0}


def test_what_the_stand_in_has_not_is_named() -> None:
    """The error says how to get it."""

    class Summarises(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            self.model.summary()

    with pytest.raises(AttributeError, match=r"stand-in for a model .* has no attribute 'summary'.*model="):
        simulate(Summarises(), epochs=1, steps_per_epoch=1)


def test_a_real_model_is_driven_as_it_is() -> None:
    """``model=`` is what the callbacks get; nothing is trained."""
    model = fresh_model()
    before = model.get_weights()
    record = simulate(Warmup(0.1), epochs=1, steps_per_epoch=4, model=model)
    assert record.learning_rate[-1] == float(model.optimizer.learning_rate.numpy()) == float(np.float32(0.1))
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


LOSSES = [3.0, 2.0, 2.5, 2.4, 2.3, 2.2]


@pytest.mark.parametrize("given", ["dict", "function", "history", "per step"])
def test_logs_of_every_form(given: str) -> None:
    """A dict of series by epoch or by step, a function, or the History of another run."""
    history = keras.callbacks.History()
    history.history = {"loss": LOSSES}
    forms: dict[str, Any] = {
        "dict": {"loss": LOSSES},
        "history": history,
        "function": lambda epoch, batch: {"loss": LOSSES[epoch]},
        "per step": {"loss": [loss for loss in LOSSES for _ in range(2)]},
    }
    stop = keras.callbacks.EarlyStopping("loss", patience=2, restore_best_weights=True)
    record = simulate(stop, epochs=6, steps_per_epoch=2, logs=forms[given])
    assert record.stopped == (3, 1) and record.history == {"loss": LOSSES[:4]}
    assert stop.model.get_weights()[0] == 4  # the weight counts the steps: the best was after four


def test_saves_are_noted_and_write_nothing(tmp_path: Any) -> None:
    """The path of each save of the model, and the step after which it came."""
    checkpoint = keras.callbacks.ModelCheckpoint(
        str(tmp_path / "{epoch}.weights.h5"), monitor="loss", save_best_only=True, save_weights_only=True
    )
    record = simulate(checkpoint, epochs=3, steps_per_epoch=2, logs={"loss": [2.0, 3.0, 1.0]})
    assert record.saves == [
        (str(tmp_path / "1.weights.h5"), 0, 1, "on_epoch_end"),
        (str(tmp_path / "3.weights.h5"), 2, 1, "on_epoch_end"),
    ]
    assert list(tmp_path.iterdir()) == []


class Adds(keras.callbacks.Callback):
    """Puts into the logs what a checkpoint follows."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["score"] = abs(epoch - 2)


SCORE = {"monitor": "score", "mode": "min"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("{epoch}.keras", {}),
        ("{epoch}-{score}.weights.h5", {"save_weights_only": True, "save_best_only": True, **SCORE}),
        ("{epoch}-{batch}.keras", {"save_freq": 3}),
        ("{epoch}.keras", {"period": 2}),
        ("{epoch}.keras", {"save_every": "1h", "save_on_exception": True, "keep_best": 9, **SCORE}),
    ],
    ids=["every epoch", "best", "batches", "period", "clock"],
)
def test_our_checkpoint_decides_as_in_a_fit(tmp_path: Any, name: str, options: dict[str, Any]) -> None:
    """When everybody has heard the event, so that it may stand before who changes the logs; and writes nothing."""

    def callbacks(directory: str) -> list[Any]:
        return [ModelCheckpointEnhanced(tmp_path / directory / name, **options), Adds()]

    fresh_model().fit(X, Y, batch_size=2, epochs=4, verbose=0, callbacks=callbacks("real"))
    files = {path.name for path in (tmp_path / "real").iterdir() if path.name.endswith((".keras", ".h5"))}
    written = {name for name in files if ".final." not in name}  # how a run ends is not simulated
    simulated = callbacks("simulated")
    record = simulate(simulated, epochs=4, steps_per_epoch=4)
    assert {os.path.basename(save.path) for save in record.saves} == written != set()
    with_a_model = simulate(callbacks("simulated"), epochs=4, steps_per_epoch=4, model=fresh_model())
    assert with_a_model.saves == record.saves
    assert not any(path.is_file() for path in (tmp_path / "simulated").rglob("*"))


def test_the_clock_saves_nothing_in_a_simulation(tmp_path: Any) -> None:
    """It is another one at every run."""
    checkpoint = ModelCheckpointEnhanced(tmp_path / "{epoch}.keras", save_every=0.0001)
    assert [save.hook for save in simulate(checkpoint, epochs=2, steps_per_epoch=3).saves] == ["on_epoch_end"] * 2


def test_a_checkpoint_of_keras_that_would_write_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the method that writes is not found any more, nothing is run."""

    class Changed(keras.callbacks.Callback):
        pass

    monkeypatch.setattr(keras.callbacks, "OrbaxCheckpoint", Changed, raising=False)
    with pytest.raises(NotImplementedError, match=r"OrbaxCheckpoint has no method _save_checkpoint any more"):
        simulate(Changed(), epochs=1, steps_per_epoch=1)


def test_a_checkpoint_that_was_simulated_saves_in_a_fit_afterwards(tmp_path: Any) -> None:
    """Nothing of the simulation stays in it: no files that it never wrote, no best value of made-up losses."""
    checkpoint = ModelCheckpointEnhanced(
        tmp_path / "runs" / "{epoch}.keras", monitor="loss", save_best_only=True, max_to_keep=1
    )
    before = {name: repr(value) for name, value in vars(checkpoint).items()}
    simulate(checkpoint, epochs=3, steps_per_epoch=1, logs={"loss": [0.2, 0.1, 0.0]})
    assert {name: repr(value) for name, value in vars(checkpoint).items()} == before
    assert list(tmp_path.iterdir()) == []
    fresh_model().fit(X, Y, epochs=1, verbose=0, callbacks=[checkpoint])
    assert (tmp_path / "runs" / "1.keras").exists()
    simulate(checkpoint, epochs=2, steps_per_epoch=1)
    assert (
        checkpoint.ledger.written == (("1.keras", checkpoint.best),) and (tmp_path / "runs" / "1.keras").exists()
    )


def test_a_run_begins_where_it_is_told_to() -> None:
    """Inside an epoch too: the callbacks hear the beginnings, and the batches from there on."""
    hears = Hears()
    record = simulate(hears, epochs=2, steps_per_epoch=3, start=(1, 2))
    assert [event[:2] for event in hears.heard if len(event) == 4] == [
        ("on_epoch_begin", 1),
        ("on_train_batch_begin", 2),
        ("on_train_batch_end", 2),
        ("on_epoch_end", 1),
    ]
    assert record.steps == [(1, 2)]


# Records.


def test_records_are_compared_printed_and_turned_into_arrays() -> None:
    """Equal runs give equal records; another rate is named; arrays have one entry a step."""

    def run(peak: float, **options: Any) -> Record:
        return simulate(Warmup(peak), epochs=10, steps_per_epoch=3, watch=["Warmup.step"], **options)

    record = run(0.1)
    assert record == run(0.1) and record != run(0.2) and record != "a record"
    assert run(0.2).difference(record) == (
        "the learning rate of step (0, 0) is 0.05000000074505806, expected 0.02500000037252903"
    )
    assert run(0.1, logs={"loss": [1.0] * 10}).difference(record) == (
        "the logs of on_train_batch_end(1) are {'loss': 1.0}, expected {'loss': 0.5}"
    )
    arrays = record.to_numpy()
    assert {name: (array.shape, array.dtype.name) for name, array in arrays.items()} == {
        "epoch": ((30,), "int64"),
        "batch": ((30,), "int64"),
        "learning_rate": ((30,), "float64"),
        "Warmup.step": ((30,), "int64"),
    }
    lines = str(record).splitlines()
    assert lines[0].split() == ["epoch", "batch", "learning_rate", "Warmup.step"]
    assert lines[1].split() == ["0", "0", "0.025", "1"]
    assert lines[11] == "... 10 more steps ..." and len(lines) == 22
    assert repr(record) == "<Record of 30 steps, learning rate 0.1 in the last>"
    assert record.events[0] == Event("on_train_begin", None, {})


# Bad input.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": -1}, "epochs=-1: expected an integer from 0"),
        ({"steps_per_epoch": 0}, "steps_per_epoch=0: expected an integer from 1"),
        ({"epochs": 2.0}, "epochs=2.0: expected an integer"),
        ({"logs": {"loss": [1.0]}}, r"logs\['loss'\] has 1 values; expected 2, one for each epoch, or 6"),
        ({"logs": 3}, "logs: expected a function"),
        ({"logs": {"loss": 1.0}}, r"logs\['loss'\] is 1.0; expected a list"),
        ({"watch": [3]}, "watch=3: expected a callback's key"),
        ({"logs": lambda epoch, batch: 3.0}, r"logs\(0, 0\) returned 3.0; expected a dict"),
        ({"start": (2, 0)}, r"start=\(2, 0\): expected \(epoch, batch\) from \(0, 0\) to \(1, 3\)"),
        ({"method": "train"}, "method='train': expected one of fit, evaluate, predict"),
        ({"watch": "Warmup.pace"}, r"watch='Warmup.pace': expected .* there are .*Warmup.step"),
        ({"timeout": float("inf")}, "timeout=inf: expected seconds above 0, or None for no limit"),
        ({"optimizer": "sgd", "model": "m"}, "optimizer= is for the stand-in"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_input_is_named(options: dict[str, Any], message: str) -> None:
    """What was expected and what was found."""
    with pytest.raises((ValueError, TypeError), match=message):
        simulate(Warmup(0.1), **{"epochs": 2, "steps_per_epoch": 3, **options})


def test_what_is_no_callback_is_named() -> None:
    """In a list or alone."""
    for given in ([Warmup(0.1), len], [Warmup], Warmup, 3, None):
        with pytest.raises(TypeError, match=r"expected a keras.callbacks.Callback"):
            simulate(given, epochs=1, steps_per_epoch=1)


class Fails(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            raise KeyError("mine")


def test_what_a_callback_raises_comes_out() -> None:
    """Its own error, with a note where."""
    with pytest.raises(KeyError, match="mine") as caught:
        simulate(Fails(), epochs=1, steps_per_epoch=3)
    note = "in Fails.on_train_batch_end(1) of a simulated run; its last step (epoch, batch): (0, 1)"
    assert sys.version_info < (3, 11) or caught.value.__notes__ == [note]


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where a shell started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Hangs(keras.callbacks.Callback):
    """Never comes back: busy, or waiting."""

    def __init__(self, wait: Any) -> None:
        super().__init__()
        self.wait = wait

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            while True:
                self.wait()


@pytest.mark.parametrize("wait", [lambda: None, threading.Event().wait], ids=["busy", "waiting"])
def test_a_hook_that_never_returns_is_interrupted_and_named(wait: Any, interrupts: None) -> None:
    """After the seconds that it is given."""
    with pytest.raises(TimeoutError, match=r"Hangs.on_epoch_end\(1\) did not return within 0.2 s and was"):
        simulate(Hangs(wait), epochs=3, steps_per_epoch=1, timeout=0.2)
    assert threading.active_count() < 50 and simulate(Warmup(0.1), epochs=1, steps_per_epoch=1, timeout=0.2).steps


def test_who_interrupts_by_himself_is_not_held_for_a_hook_that_hangs() -> None:
    """Ctrl-C stays what it is."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(Hangs(interrupt), epochs=3, steps_per_epoch=1)


def test_rates_equal_numbers_within_a_millionth() -> None:
    """As 32 bits have no 0.1; two records are equal only to the last bit, and other things not at all."""
    single = float(np.float32(0.1))
    record = Record([(0, 0), (0, 1)], [single, math.nan])
    assert record.learning_rate == [0.1, math.nan] and record.learning_rate == (0.1, math.nan)
    assert record.learning_rate != [0.1 * (1 + 2e-6), math.nan] and record.learning_rate != [0.1]
    assert record.learning_rate != ["0.1", math.nan] and record.learning_rate != 0.1
    assert record != Record([(0, 0), (0, 1)], [0.1, math.nan])
