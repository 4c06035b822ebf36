"""What a run consists of besides weights, optimizer and callbacks is taken and put back exactly."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from harness import X, Y
from tensorflow.python.eager import context
from tensorflow.python.ops import stateful_random_ops

from callback_state import _runstate
from callback_state._build import copy


@pytest.fixture(autouse=True)
def generators() -> Iterator[None]:
    """Every test starts with seeded generators, none of TensorFlow's or Keras's own made yet."""
    forget()
    yield
    forget()


def forget() -> None:
    keras.utils.set_random_seed(11)
    stateful_random_ops.global_generator = None
    _runstate._put_back_keras_generator(None)  # Keras 3.7 keeps it


def draw_numpy() -> list[float]:
    return [*np.random.normal(size=3), *np.random.permutation(7)]


def draw_tensorflow_generator() -> list[float]:
    return [*tf.random.get_global_generator().normal([3]).numpy()]


DRAWS: dict[str, Callable[[], list[Any]]] = {
    "python": lambda: [random.random(), random.gauss(0, 1)],
    "numpy": draw_numpy,
    "numpy, one gauss left over": lambda: [np.random.randn()],
    "tensorflow eager": lambda: [*tf.random.normal([3]).numpy()],
    "tensorflow generator": draw_tensorflow_generator,
    "keras": lambda: [*keras.random.normal([3]).numpy()],
}


# TensorFlow makes its generator from the clock: untouched, it is no part of a run that can be repeated.
USES = [(n, used) for n in DRAWS for used in (True, False) if (n, used) != ("tensorflow generator", False)]


@pytest.mark.parametrize(
    ("name", "used"), USES, ids=[f"{n}, {'used before' if used else 'untouched'}" for n, used in USES]
)
def test_draws_after_put_back_are_those_after_take(name: str, used: bool) -> None:
    """Each global generator goes on where it stood, also one that was not made yet."""
    draw = DRAWS[name]
    if used:
        draw()
    taken = copy(_runstate.take_generators())
    first = [draw(), draw()]
    assert draw() not in first
    # As in a new process: the counters inside TensorFlow's eager kernels, which nobody can read, are 0.
    keras.utils.set_random_seed(11)
    _runstate.put_back_generators(taken)
    assert [draw(), draw()] == first


def test_generators_that_were_not_there_are_taken_away() -> None:
    """What was not made when the state was taken is made anew after it, not gone on with."""
    taken = copy(_runstate.take_generators())
    first = DRAWS["keras"]()
    keras.utils.set_random_seed(11)
    for draw in DRAWS.values():
        draw()
    _runstate.put_back_generators(taken)
    assert stateful_random_ops.global_generator is None
    assert DRAWS["keras"]() == first


@pytest.mark.parametrize("but", [[], ["python"], ["numpy"], ["numpy", "python"]], ids=" ".join)
def test_generators_that_threads_go_on_with_are_left(but: list[str]) -> None:
    """Those that are named stay where they are, all others are put back."""
    names = ["python", "numpy", "tensorflow eager", "keras"]
    for name in names:
        DRAWS[name]()
    taken = copy(_runstate.take_generators())
    first = {name: DRAWS[name]() for name in names}
    keras.utils.set_random_seed(11)
    DRAWS["keras"]()  # to make it draws from Python's
    random.seed(12)
    np.random.seed(13)
    left = copy(_runstate.take_generators())
    own = {"python": DRAWS["python"](), "numpy": DRAWS["numpy"]()}
    random.setstate(_runstate._unpacked(left["python"]))
    np.random.set_state(left["numpy"])
    _runstate.put_back_generators(taken, but=but)
    assert {name: DRAWS[name]() for name in names} == {**first, **{name: own[name] for name in but}}


def test_asking_makes_no_generator() -> None:
    """Neither TensorFlow's nor Keras's global generator comes into being because a state was taken."""
    taken = _runstate.take_generators()
    assert taken["tensorflow_generator"] is None and taken["keras"] is None
    assert stateful_random_ops.global_generator is None
    assert _runstate._keras_generator() is None


def test_generator_of_another_algorithm_is_replaced() -> None:
    """A run that chose Threefry goes on with Threefry where the process has Philox by default."""
    tf.random.set_global_generator(tf.random.Generator.from_seed(5, alg="threefry"))
    chosen = tf.random.get_global_generator()
    taken = copy(_runstate.take_generators())
    tf.random.set_global_generator(tf.random.Generator.from_seed(6))
    _runstate.put_back_generators(taken)
    made = tf.random.get_global_generator()
    assert made is not chosen and made.algorithm == chosen.algorithm
    assert made.state.numpy().tobytes() == chosen.state.numpy().tobytes()


def test_process_without_any_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no seed was ever set, TensorFlow has no eager generator, and state is taken all the same."""
    monkeypatch.delattr(context.context(), "_rng")
    monkeypatch.setattr(context.context(), "_seed", None)
    taken = copy(_runstate.take_generators())
    assert taken["tensorflow_eager"] is None and taken["tensorflow_seed"] is None
    first = random.random()
    _runstate.put_back_generators(taken)
    assert random.random() == first


@pytest.mark.parametrize(
    ("saved", "now", "cure"),
    [
        (11, 12, r"Call keras\.utils\.set_random_seed\(11\) before"),
        (11, None, r"Call keras\.utils\.set_random_seed\(11\) before"),
        (None, 12, r"Do not call keras\.utils\.set_random_seed or tf\.random\.set_seed before"),
    ],
    ids=["another", "none now", "none then"],
)
def test_other_seed_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, saved: int | None, now: int | None, cure: str
) -> None:
    """Another global seed than the run's is named in a warning with the line that cures it."""
    monkeypatch.setattr(context.context(), "_seed", saved)
    taken = _runstate.take_generators()
    monkeypatch.setattr(context.context(), "_seed", now)
    with pytest.warns(UserWarning, match=cure) as caught:
        _runstate.put_back_generators(taken)
    assert len(caught) == 1


def test_private_places_exist() -> None:
    """Every private place that is used exists in this Keras and TensorFlow, and is what it was."""
    from keras.src.backend.common import global_state
    from keras.src.random import seed_generator

    tf.random.set_seed(3)
    assert context.global_seed() == 3
    assert isinstance(context.context()._rng, random.Random)
    before = context.context()._rng.getstate()
    tf.random.normal([1])
    assert context.context()._rng.getstate() != before
    made = tf.random.get_global_generator()
    assert stateful_random_ops.global_generator is made
    assert isinstance(made.algorithm, int)
    keras_generator = seed_generator.global_seed_generator()
    assert global_state.get_global_attribute("global_seed_generator") is keras_generator
    assert _runstate._keras_generator() is keras_generator
    assert _runstate._tensorflow_generator() is made


# Seeds of a model.


def dropouts() -> Any:
    return keras.Sequential([
        keras.Input((6,)), keras.layers.Dropout(0.3), keras.layers.Dense(4), keras.layers.GaussianNoise(1.0),
        keras.layers.Dropout(0.5), keras.layers.Dense(1),
    ])


def images() -> Any:
    return keras.Sequential([
        keras.Input((4, 4, 1)), keras.layers.RandomFlip("horizontal"), keras.layers.RandomTranslation(0.2, 0.2),
        keras.layers.SpatialDropout2D(0.5), keras.layers.Flatten(), keras.layers.Dense(1),
    ])


def nested() -> Any:
    inputs = keras.Input((6,))
    inner = keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(3)])
    outputs = keras.layers.Dense(1)(keras.layers.AlphaDropout(0.2)(inner(inputs)))
    return keras.Model(inputs, outputs)


@keras.saving.register_keras_serializable("test_runstate")
class Subclassed(keras.Model):
    """Holds a SeedGenerator of its own, and one in a layer that a list holds."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = keras.random.SeedGenerator(4)
        self.parts = [keras.layers.Dropout(0.4), keras.layers.Dense(1)]

    def call(self, x: Any, training: Any = None) -> Any:
        if training:
            x = x + keras.random.normal(keras.ops.shape(x), seed=self.noise)
        for part in self.parts:
            x = part(x, training=training) if isinstance(part, keras.layers.Dropout) else part(x)
        return x


def subclassed() -> Any:
    model = Subclassed()
    model(X[:2])
    return model


MODELS = {"dropouts": dropouts, "images": images, "nested": nested, "subclassed": subclassed}


def outputs(model: Any) -> list[bytes]:
    """What the model gives in training: another thing each time, as its seeds go on."""
    x = X[:4] if model.input_shape[-1] == 6 else np.ones((4, 4, 4, 1), "float32")
    return [model(x, training=True).numpy().tobytes() for _ in range(2)]


@pytest.mark.parametrize("name", MODELS)
def test_seeds_put_back_give_the_same_masks(name: str) -> None:
    """Dropout, noise and augmentation, nested or held in a list, go on where they stood."""
    model = MODELS[name]()
    if name == "subclassed":
        model.input_shape = (None, 6)
    outputs(model)
    taken = copy(_runstate.take_seeds(model))
    first = outputs(model)
    assert first[0] != first[1]
    assert outputs(model) != first
    _runstate.put_back_seeds(model, taken)
    assert outputs(model) == first


@pytest.mark.parametrize("name", MODELS)
def test_seeds_fit_the_same_model_made_again(name: str) -> None:
    """Seeds are known by their order, not by names, which Keras counts by process."""
    model, other = MODELS[name](), MODELS[name]()
    for variable in _runstate._seed_variables(model):
        variable.assign(variable + 5)
    _runstate.put_back_seeds(other, copy(_runstate.take_seeds(model)))
    assert [v.numpy().tolist() for v in _runstate._seed_variables(other)] == [
        v.numpy().tolist() for v in _runstate._seed_variables(model)
    ]
    assert len(_runstate._seed_variables(model)) >= 2


def test_metrics_and_weights_are_no_seeds() -> None:
    """Only the states of SeedGenerators are taken: not weights, batch statistics, or metrics."""
    model = keras.Sequential([
        keras.Input((6,)), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.Dense(1),
    ])
    model.compile("sgd", "mse", metrics=["mae"])
    model.fit(X[:4], Y[:4], verbose=0)
    taken = _runstate.take_seeds(model)
    assert [array.shape for array in taken["seeds"]] == [(1, 2)]
    assert taken["replicas"] == {}
    assert len(model.metrics_variables) > 2


def test_seeds_of_another_model_change_nothing() -> None:
    """Seeds of a model with more or fewer generators are refused before any of them is set."""
    model = dropouts()
    before = [v.numpy().tolist() for v in _runstate._seed_variables(model)]
    for other in ([], _runstate.take_seeds(nested())["seeds"], [np.zeros((3, 3), "uint32")]):
        with pytest.raises(ValueError, match="seed generators"):
            _runstate.put_back_seeds(model, {"seeds": other, "replicas": {}})
    assert [v.numpy().tolist() for v in _runstate._seed_variables(model)] == before


def test_other_number_of_devices_is_warned_of() -> None:
    """What each of two devices had for itself does not fit on one: a warning says whose is taken."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.BatchNormalization()])
    taken = {**_runstate.take_seeds(model), "replicas": {0: np.ones((2, 6), "float32")}}
    with pytest.warns(UserWarning, match="on 2 devices, this one is on 1"):
        _runstate.put_back_seeds(model, taken)


# The digest of a model.


class Holder:
    """Has weights, as a model does."""

    def __init__(self, *values: Any) -> None:
        self.weights = [keras.Variable(value, dtype=str(value.dtype)) for value in values]


def values() -> list[Any]:
    return [np.arange(6, dtype="float32").reshape(2, 3), np.zeros(0, "float32"), np.asarray(3, "int32")]


CHANGES: dict[str, Callable[[list[Any]], Any]] = {
    "order": lambda v: v[0].sort() or v.reverse(),
    "shape": lambda v: v.__setitem__(0, v[0].reshape(3, 2)),
    "empty shape": lambda v: v.__setitem__(1, np.zeros((0, 2), "float32")),
    "dtype": lambda v: v.__setitem__(0, v[0].view("int32")),
    "one fewer": lambda v: v.pop(),
    "sign of zero": lambda v: v[0].__setitem__((0, 0), -0.0),
    "smallest bit": lambda v: v[0].view("uint32").__setitem__((1, 2), v[0].view("uint32")[1, 2] ^ 1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_digest_changes(name: str) -> None:
    """One bit, a shape, a dtype, the order or the number of the variables: the digest is another."""
    changed = values()
    CHANGES[name](changed)
    assert _runstate.digest_of(Holder(*changed)) != _runstate.digest_of(Holder(*values()))


def test_digest_changes_with_any_bit() -> None:
    """Whichever bit of a variable is flipped, the digest differs from all others."""
    variable = Holder(np.arange(2, dtype="float32"))
    seen = {_runstate.digest_of(variable)}
    for bit in range(64):
        data = bytearray(np.arange(2, dtype="float32").tobytes())
        data[bit // 8] ^= 1 << bit % 8
        variable.weights[0].assign(np.frombuffer(bytes(data), "float32"))
        seen.add(_runstate.digest_of(variable))
    assert len(seen) == 65


def test_digest_survives_a_round_trip_and_knows_no_names() -> None:
    """A model made again with the same values has the same digest, whatever its layers are called."""
    model, other = dropouts(), dropouts()
    for m in (model, other):
        m.compile(keras.optimizers.Adam(0.1), "mse")
        m.optimizer.build(m.trainable_variables)
    assert _runstate.digest_of(model) != _runstate.digest_of(other)
    other.set_weights(model.get_weights())
    assert _runstate.digest_of(model) == _runstate.digest_of(other)
    other.optimizer.variables[-1].assign_add(np.ones(other.optimizer.variables[-1].shape))
    assert _runstate.digest_of(model) != _runstate.digest_of(other)


def test_variables_taken_are_copies() -> None:
    """What was taken does not change with the variable, and putting it back reaches seeds and metrics."""
    model = dropouts()
    model.compile(keras.optimizers.Adam(0.1), "mse", metrics=["mae"])
    model.fit(X, Y, verbose=0)
    taken = _runstate.take_variables(model)
    before = [(v.numpy().tobytes()) for v, _ in taken]
    model.fit(X, Y, verbose=0)
    changed = [v.numpy().tobytes() for v, _ in taken]
    assert sum(a != b for a, b in zip(before, changed, strict=True)) > len(model.weights)
    _runstate.put_back_variables(taken)
    assert [v.numpy().tobytes() for v, _ in taken] == before
    held = {id(v) for v, _ in taken}
    assert {id(v) for v in (*model.variables, *model.optimizer.variables)} <= held


# History.


def test_history_goes_on() -> None:
    """A History that got saved epochs appends to them, and what was saved stays as it was."""
    saved = {"epochs": [0, 1], "series": {"loss": [3.0, 2.0]}}
    model = dropouts()
    model.history = history = keras.callbacks.History()
    history.set_model(model)
    history.on_train_begin()
    _runstate.put_back_history(model, saved)
    history.on_epoch_end(2, {"loss": 1.0})
    assert _runstate.history_of(model) == {"epochs": [0, 1, 2], "series": {"loss": [3.0, 2.0, 1.0]}}
    assert saved == {"epochs": [0, 1], "series": {"loss": [3.0, 2.0]}}


def test_model_without_history_has_an_empty_one() -> None:
    """A model that was never in a ``fit`` has no epochs and no series."""
    assert _runstate.history_of(dropouts()) == {"epochs": [], "series": {}}
