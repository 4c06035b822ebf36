"""What the tests share: small models and data, runs that are killed and resumed, and their comparison."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from kept import kept

from callback_state import ModelCheckpointEnhanced, Restored, restore_callbacks, stateful
from callback_state._callbacks.capture import state_of
from callback_state._format.encode import Encoder
from callback_state._saving.ledger import Ledger

EPOCHS = 8
_random = np.random.default_rng(7)
X = _random.normal(size=(64, 6)).astype("float32")
Y = (X.sum(axis=1) + 0.5 * _random.normal(size=64) > 0).astype("float32")
X_VAL, Y_VAL = X[:16], 1 - Y[:16]  # learnt wrongly on purpose: validation gets worse, plateaus come

#: A function that makes the callbacks of a run, without the checkpoint.
Make = Callable[[], list[Any]]


class Killed(BaseException):
    """Stands for SIGKILL within a process: nobody may catch it."""


def die(model: Any) -> None:
    """What a :class:`Strike` does if it is given nothing else."""
    raise Killed


def stop(model: Any) -> None:
    """Another act of a :class:`Strike`: training stops, as early stopping does it."""
    model.stop_training = True


class Strike(keras.callbacks.Callback):
    """Ends a run at one moment of it, or does something else there.

    Args:
        hooks: in which methods, without ``on_``: ``"epoch_begin"``, ``"train_batch_end"``.
        at: at this 0-based epoch or batch, whichever the method is given; None for any.
        epoch: when so many epochs are over: for the methods of a batch.
        step: when the optimizer has made so many steps.
        after: when so many of the calls that fit have passed.
        act: what to do with the model.
    """

    def __init__(
        self,
        *hooks: str,
        at: int | None = None,
        epoch: int | None = None,
        step: int | None = None,
        after: int = 0,
        act: Callable[[Any], None] = die,
    ) -> None:
        super().__init__()
        calls = itertools.count()  # no attribute: a run would warn of one that changes and is not saved

        def hear(index: Any = None, logs: Any = None) -> None:
            if at not in (None, index) or (epoch is not None and len(self.model.history.epoch) != epoch):
                return
            if (step is None or int(self.model.optimizer.iterations.numpy()) == step) and next(calls) == after:
                act(self.model)

        for hook in hooks:
            setattr(self, f"on_{hook}", hear)


class Container(keras.callbacks.Callback):
    """Drives callbacks of its own, which fit does not know."""

    def __init__(self, inner: list[Any]) -> None:
        super().__init__()
        self.inner = inner

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        for callback in self.inner:
            callback.set_model(model)

    def on_train_begin(self, logs: Any = None) -> None:
        for callback in self.inner:
            callback.on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        for callback in self.inner:
            callback.on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        for callback in self.inner:
            callback.on_train_batch_begin(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for callback in self.inner:
            callback.on_epoch_end(epoch, logs)


@stateful
class PerBatch(keras.callbacks.Callback):
    """A per-batch schedule: the rate of each step follows from a counter of its own."""

    def __init__(self, peak: float, warmup: int = 6) -> None:
        super().__init__()
        self.peak, self.warmup, self.step = peak, warmup, 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        rate = self.peak * min(self.step / self.warmup, (self.warmup / self.step) ** 0.5)
        self.model.optimizer.learning_rate = rate


@stateful
class Batches(keras.callbacks.Callback):
    """Records every batch that it sees: epoch, index, loss, and rate."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int, float, float]] = []
        self.epoch = -1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        rate = float(self.model.optimizer.learning_rate.numpy())
        self.seen.append((self.epoch, batch, float(logs["loss"]), rate))


def halve(epoch: int, rate: float) -> float:
    """A relative schedule: what it gives depends on the rate that it finds."""
    return rate * (0.5 if epoch % 2 else 1.0)


def make_model(*, ema: bool = False, seed: int = 3) -> Any:
    """A dense network with dropout (a SeedGenerator) and batch normalisation (moving averages)."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.layers.Input((6,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.02, use_ema=ema, ema_momentum=0.9),
        keras.losses.BinaryCrossentropy(),
        metrics=[keras.metrics.BinaryAccuracy(name="accuracy")],
    )
    return model


@dataclass
class Run:
    """What a run ended with, as bytes and values that are compared with ``==``."""

    weights: list[bytes]
    optimizer: list[bytes]
    seeds: list[bytes]
    history: dict[str, list[float]]
    epochs: list[int]
    states: list[str]
    restored: Restored
    callbacks: list[Any]
    model: Any

    def differences(self, other: Run) -> list[str]:
        """The names of what is not the same in another run."""
        compared = ("weights", "optimizer", "seeds", "history", "epochs", "states")
        return [name for name in compared if getattr(self, name) != getattr(other, name)]


def bytes_of(variables: Iterable[Any]) -> list[bytes]:
    return [variable.numpy().tobytes() for variable in variables]


def states_of(callbacks: Sequence[Any]) -> list[str]:
    """Every callback's state, in a text that is equal if and only if the values are.

    The clock of the checkpoints (the stamp in their ledger) is left out.
    """
    states = [(type(c).__name__, {name: _stampless(v) for name, v in state_of(c).items()}) for c in callbacks]
    opaque = Encoder(lambda encoder, value, path: ("other", type(value).__name__), canonical=True)
    return [repr(opaque.table(states))]


def _stampless(value: Any) -> Any:
    return value.stamped(0) if isinstance(value, Ledger) else value


def fit(
    directory: Path,
    make: Make,
    *,
    ending: str = ".keras",
    position: int = 0,
    kill: int | None = None,
    epochs: int = EPOCHS,
    shuffle: bool = True,
    model: Any = None,
    name: str = "{epoch:03d}",
    checkpoint: dict[str, Any] | None = None,
    into: bool = True,
    **options: Any,
) -> Run | None:
    """One start of a script: build, restore what is there, fit. None if it was killed."""
    model = kept(make_model) if model is None else model
    callbacks = make()
    saver = ModelCheckpointEnhanced(
        os.path.join(directory, name + ending), save_weights_only=ending == ".weights.h5", **(checkpoint or {})
    )
    callbacks.insert(position, saver)
    restored = restore_callbacks(directory, into=callbacks if into else None, model=model, missing_ok=True)
    if not into and restored.model_path is not None:
        callbacks = [*restored]
    arguments: dict[str, Any] = {
        "x": X,
        "y": Y,
        "batch_size": 16,
        "validation_data": (X_VAL, Y_VAL),
        "verbose": 0,
        "shuffle": shuffle,
        "epochs": epochs,
        **options,
    }
    killer = [] if kill is None else [Strike("epoch_begin", at=kill)]
    try:
        history = model.fit(**arguments, callbacks=[*callbacks, *killer], initial_epoch=restored.initial_epoch)
    except Killed:
        return None
    weights = {id(v) for v in (*model.weights, *model.metrics_variables)}
    return Run(
        bytes_of(model.weights),
        bytes_of(model.optimizer.variables),
        bytes_of(v for v in model.variables if id(v) not in weights),
        history.history,
        history.epoch,
        states_of(callbacks),
        restored,
        callbacks,
        model,
    )


def pairwise(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Few rows of the product of the axes in which every pair of values of two axes occurs."""
    pairs = {
        (i, a, j, b)
        for i, j in itertools.combinations(range(len(axes)), 2)
        for a in range(len(axes[i]))
        for b in range(len(axes[j]))
    }
    rows = []
    candidates = list(itertools.product(*(range(len(axis)) for axis in axes)))
    pairs_of = {
        row: {(i, row[i], j, row[j]) for i, j in itertools.combinations(range(len(axes)), 2)} for row in candidates
    }
    while pairs:
        best = max(candidates, key=lambda row: len(pairs_of[row] & pairs))
        pairs -= pairs_of[best]
        rows.append(tuple(axis[k] for axis, k in zip(axes, best, strict=True)))
    return rows


def each(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The fewest rows in which every value of every axis occurs: an axis that is short begins again."""
    return [tuple(axis[i % len(axis)] for axis in axes) for i in range(max(map(len, axes)))]
