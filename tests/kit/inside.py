"""Runs that save per batch and are killed inside an epoch: every kind of data, model and argument of ``fit``."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from harness import Killed, PerBatch, Strike, X, Y, bytes_of, halve, states_of, stop
from kept import kept
from own_models import own_models
from reused import fresh_model

from callback_state import ModelCheckpointEnhanced, data, restore_callbacks, stateful

BACKEND = keras.backend.backend()
EPOCHS, BATCHES, BATCH = 3, 5, 13  # 64 samples: four whole batches, and one of twelve
WEIGHTS = np.random.default_rng(11).uniform(0.5, 1.5, size=len(X)).astype("float32")


# What a run is made of.


@dataclass(frozen=True)
class Cell:
    """One way to train; the defaults are the plainest."""

    data: str = "arrays"
    model: str = "sequential"
    optimizer: str = "adam"
    mode: str = "graph"
    steps_per_execution: int = 1
    validation: str = "none"
    weights: str = "none"
    name: str = "last"
    initial_epoch: int = 0
    stop: tuple[int, int] | None = None

    def __str__(self) -> str:
        plain = Cell()
        names = [f"{v}" for k, v in vars(self).items() if v != getattr(plain, k) or k == "data"]
        return "-".join(names)

    def is_possible(self) -> bool:
        """Whether Keras itself trains this."""
        if self.weights == "class" and self.model == "multi":
            return False
        if self.weights == "sample" and self.data == "arrays-split":
            return True
        return not (self.mode == "jit" and self.optimizer == "scale")


AXES: dict[str, tuple[Any, ...]] = {
    "data": (
        "arrays",
        "arrays-unshuffled",
        "arrays-split",
        "arrays-steps",
        "tensors",
        "dataset",
        "dataset-one-order",
        "dataset-repeat",
        "dataset-interleave",
        "generator",
        "py",
        "py-global",
        "py-workers",
        "shuffled",
        "epochs",
    ),
    "model": ("sequential", "subclass", "multi", "step"),
    "optimizer": ("adam", "ema", "schedule", "accumulation", "scale"),
    "mode": ("graph", "eager", "jit"),
    "steps_per_execution": (1,) if BACKEND == "torch" else (1, 3),  # torch runs one step at a time
    "validation": ("none", "every-second", "dataset"),
    "weights": ("none", "class", "sample"),
    "name": ("last", "{epoch}", "{epoch}-{batch}"),
    "initial_epoch": (0, 1),
}


# The callbacks.


@stateful
class Heard(keras.callbacks.Callback):
    """Everything that a callback hears, and a draw from the global generators at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.heard.append(("epoch begins", epoch, random.random()))

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.heard.append(("batch begins", batch, random.random(), np.random.random()))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.heard.append(("batch ends", batch, dict(logs)))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.heard.append(("epoch ends", epoch, dict(logs)))

    def on_test_begin(self, logs: Any = None) -> None:
        self.heard.append(["test begins"])

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.heard.append(("test batch ends", batch, dict(logs)))

    def on_test_end(self, logs: Any = None) -> None:
        self.heard.append(("test ends", dict(logs)))


def killed_after(events: int) -> Strike:
    """Dies so many events after training began; an event is the begin of a batch or the end of an epoch."""
    return Strike("train_batch_begin", "epoch_end", after=events)


# The data.


def rows_of(parts: Any, rows: Any) -> tuple[Any, ...]:
    return tuple(keras.tree.map_structure(lambda part: part[rows], parts))


class Shuffles(keras.utils.PyDataset):
    """Shuffles in place after each epoch, with a generator of its own or the global one."""

    def __init__(self, parts: Any, own: bool, **options: Any) -> None:
        super().__init__(**options)
        self.parts, self.order = parts, np.arange(len(X))
        self.random = np.random.default_rng(5) if own else None

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, i: int) -> Any:
        rows = self.order[i * BATCH : (i + 1) * BATCH]
        return rows_of(self.parts, rows)

    def on_epoch_end(self) -> None:
        (self.random or np.random).shuffle(self.order)


def endless(parts: Any) -> Iterator[Any]:
    """Batches that never repeat."""
    generator = np.random.default_rng(6)
    while True:
        rows = generator.permutation(len(X))[:BATCH]
        yield rows_of(parts, rows)


def with_noise(*parts: Any) -> Any:
    """A random map, seeded."""
    noise = tf.random.uniform((), 0.9, 1.1, seed=4)
    return (keras.tree.map_structure(lambda part: part * noise, parts[0]), *parts[1:])


def _dataset(parts: Any, kind: str) -> Any:
    rows = tf.data.Dataset.from_tensor_slices(tuple(parts))
    if kind == "dataset":
        return rows.shuffle(64, seed=2).batch(BATCH).map(with_noise).prefetch(2)
    if kind == "dataset-split":
        return rows.shuffle(64, seed=2)
    if kind == "dataset-one-order":
        return rows.shuffle(64, seed=2, reshuffle_each_iteration=False).batch(BATCH)
    if kind == "dataset-repeat":
        return rows.shuffle(64, seed=2).repeat().batch(BATCH)
    blocks = tf.data.Dataset.range(4).shuffle(4, seed=3)
    return blocks.interleave(
        lambda i: rows.shard(4, i).shuffle(9, seed=8), cycle_length=2, num_parallel_calls=2
    ).batch(BATCH)


def arguments_of(cell: Cell) -> dict[str, Any]:
    """The arguments of ``fit`` that say what is trained on."""
    x: Any = (X, X[:, :2].copy()) if cell.model == "multi" else X
    y: Any = (Y, 1 - Y) if cell.model == "multi" else Y
    weights: Any = (WEIGHTS, WEIGHTS[::-1].copy()) if cell.model == "multi" else WEIGHTS
    parts = (x, y, weights) if cell.weights == "sample" else (x, y)
    found = _data(cell, parts)
    if cell.weights == "class":
        found["class_weight"] = {0: 1.0, 1: 2.5}
    if cell.validation != "none" and cell.data != "arrays-split":
        val = keras.tree.map_structure(lambda part: part[::2].copy(), parts)
        found["validation_data"] = val
        if cell.validation == "steps":
            endless = tf.data.Dataset.from_tensor_slices(val).shuffle(19, seed=9).repeat().batch(7)
            found |= {"validation_data": endless, "validation_steps": 2}
        if cell.validation == "dataset":
            found["validation_data"] = tf.data.Dataset.from_tensor_slices(val).shuffle(19, seed=9).batch(7)
    if cell.validation == "every-second":
        found["validation_freq"] = 2
    return found


def _data(cell: Cell, parts: Any) -> dict[str, Any]:
    kind, names = cell.data.partition("-")[0], ("x", "y", "sample_weight")
    if kind in ("arrays", "tensors"):
        if kind == "tensors":
            parts = keras.tree.map_structure(tf.constant, parts)
        more = {
            "arrays-unshuffled": {"shuffle": False},
            "arrays-split": {"validation_split": 0.2},
            "arrays-steps": {"steps_per_epoch": 3},
        }
        return {**dict(zip(names, parts, strict=False)), "batch_size": BATCH, **more.get(cell.data, {})}
    if cell.data == "dataset-split":  # one shuffle, which counts the iterators of both
        both = _dataset(parts, cell.data)
        return {"x": both.skip(20).batch(BATCH), "validation_data": both.take(20).batch(7)}
    if kind == "dataset":
        steps = {"steps_per_epoch": 4} if cell.data == "dataset-repeat" else {}
        return {"x": _dataset(parts, cell.data), **steps}
    if kind == "generator":
        return {"x": endless(parts), "steps_per_epoch": 4}
    if kind == "py":
        workers = {"workers": 3} if cell.data == "py-workers" else {}
        return {"x": Shuffles(parts, cell.data != "py-global", **workers)}
    if cell.data == "shuffled-mapped":
        return {"x": data.shuffled(*parts, batch_size=BATCH, seed=1).map(with_noise)}
    if cell.data == "shuffled-zipped":
        return {"x": tf.data.Dataset.zip(tuple(data.shuffled(p, batch_size=BATCH, seed=1) for p in parts))}
    if kind == "shuffled":
        return {"x": data.shuffled(*parts, batch_size=BATCH, seed=1)}

    def make_epoch(epoch: int) -> Any:
        return tf.data.Dataset.from_tensor_slices(tuple(parts)).shuffle(64, seed=epoch).batch(BATCH)

    return {"x": data.epochs(make_epoch)}


# The model.


MODELS = own_models()


def _network(cell: Cell) -> Any:
    if cell.model in MODELS:
        model = MODELS[cell.model]()
        model(X[:1])
        return model
    inputs = [keras.Input((6,)), keras.Input((2,))][: 1 + (cell.model == "multi")]
    joined = inputs[0] if len(inputs) == 1 else keras.layers.Concatenate()(inputs)
    hidden = keras.layers.Dense(4, activation="relu")(joined)
    hidden = keras.layers.Dropout(0.3)(keras.layers.BatchNormalization()(hidden))
    outputs = [
        keras.layers.Dense(1, activation="sigmoid", dtype="float32", name=n)(hidden)
        for n in ("a", "b")[: len(inputs)]
    ]
    return keras.Model(inputs, outputs) if len(inputs) > 1 else keras.Model(inputs[0], outputs[0])


def _optimizer(cell: Cell) -> Any:
    if cell.optimizer == "schedule":
        return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 12))
    options: dict[str, Any] = {
        "ema": {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 4},
        "accumulation": {"gradient_accumulation_steps": 3},
    }.get(cell.optimizer, {})
    inner = keras.optimizers.Adam(0.05, **options)
    if cell.optimizer == "scale":
        return keras.optimizers.LossScaleOptimizer(inner, initial_scale=4.0, dynamic_growth_steps=3)
    return inner


def _compiled(cell: Cell) -> Any:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16" if cell.optimizer == "scale" else "float32")
    try:
        keras.utils.set_random_seed(3)
        model = _network(cell)
    finally:
        keras.config.set_dtype_policy(before)
    outputs = 1 + (cell.model == "multi")
    metrics: Any = [[keras.metrics.BinaryAccuracy(name="accuracy")] for _ in range(outputs)]
    model.compile(
        _optimizer(cell),
        keras.losses.BinaryCrossentropy(),
        metrics=metrics if outputs > 1 else metrics[0],
        weighted_metrics=None if outputs > 1 else [keras.metrics.AUC(num_thresholds=9, name="auc")],
        run_eagerly=cell.mode == "eager",
        jit_compile=cell.mode == "jit",
        steps_per_execution=cell.steps_per_execution,
    )
    return model


def model_of(cell: Cell, anew: bool = False) -> Any:
    """Compiled, once for all runs; ``anew``, or where a model makes variables while it trains: for each run."""
    parts = {
        name: getattr(cell, name) for name in ("model", "optimizer", "mode", "steps_per_execution", "weights")
    }
    if Cell(**parts) == Cell(steps_per_execution=cell.steps_per_execution):
        return fresh_model(steps_per_execution=cell.steps_per_execution)
    if anew or cell.model in ("metric", "optimizers"):
        return _compiled(cell)

    def first(model: Any) -> None:
        # It reads a batch to build the model; the later ones of a model that is kept do not, but on TensorFlow.
        if BACKEND != "tensorflow":
            model.fit(**arguments_of(Cell(**parts)), epochs=1, verbose=0)

    return kept(_compiled, warm=first, cell=Cell(**parts))


# The run.


@dataclass
class Ended:
    """What a run ended with."""

    weights: list[bytes]
    optimizer: list[bytes]
    seeds: list[bytes]
    history: dict[str, list[float]]
    epochs: list[int]
    heard: list[Any]
    states: list[str]
    files: list[str]

    def differences(self, other: Ended) -> list[str]:
        return [name for name, value in vars(self).items() if value != getattr(other, name)]


def start(
    directory: Path,
    cell: Cell,
    *,
    kill: int | None = None,
    verbose: int = 0,
    anew: bool = False,
    epochs: int = EPOCHS,
) -> Ended | None:
    """One start of a script that saves per batch; None if it was killed."""
    model = model_of(cell, anew)
    heard = Heard()
    callbacks: list[Any] = [
        ModelCheckpointEnhanced(
            directory / f"{cell.name}.weights.h5", "loss", save_weights_only=True, save_freq=1
        ),
        heard,
        keras.callbacks.EarlyStopping("loss", patience=9),
    ]
    if cell.optimizer != "schedule":
        callbacks[1:1] = [PerBatch(0.05)] if cell.stop else [keras.callbacks.LearningRateScheduler(halve)]
    restored = restore_callbacks(directory, into=callbacks, model=model, missing_ok=True)
    strikes = [] if kill is None else [killed_after(kill)]
    if cell.stop is not None:
        strikes.append(Strike("train_batch_end", epoch=cell.stop[0], at=cell.stop[1], act=stop))
    try:
        history = model.fit(
            **arguments_of(cell),
            epochs=epochs,
            verbose=verbose,
            callbacks=[*callbacks, *strikes],
            initial_epoch=max(restored.initial_epoch, cell.initial_epoch),
        )
    except Killed:
        return None
    known = {id(v) for v in (*model.weights, *model.metrics_variables)}
    return Ended(
        bytes_of(model.weights),
        bytes_of(model.optimizer.variables),
        bytes_of(v for v in model.variables if id(v) not in known),
        history.history,
        history.epoch,
        heard.heard,
        states_of(callbacks),
        sorted(path.name for path in directory.iterdir()),
    )


def start_stock(directory: Path, cell: Cell, *, kill: int | None = None) -> list[bytes] | None:
    """The same with Keras's own BackupAndRestore: the weights at the end, None if it was killed."""
    model = model_of(cell)
    callbacks = [
        keras.callbacks.BackupAndRestore(directory),
        Heard(),
        keras.callbacks.EarlyStopping("loss", patience=9),
    ]
    if cell.optimizer != "schedule":
        callbacks.append(keras.callbacks.LearningRateScheduler(halve))
    killer = [] if kill is None else [killed_after(kill)]
    try:
        model.fit(
            **arguments_of(cell),
            epochs=EPOCHS,
            verbose=0,
            callbacks=[*callbacks, *killer],
            initial_epoch=cell.initial_epoch,
        )
    except Killed:
        return None
    return bytes_of(model.weights)
