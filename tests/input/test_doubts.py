"""Where a run cannot be resumed exactly the user is told so, and nowhere else."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import TFEpochIterator
from tensorflow.python.eager import context
from tensorflow.python.framework import config as tf_config

from callback_state import data
from callback_state._input.doubts import has_python, of_data, of_draws, of_reading, of_step
from callback_state._input.draws import InputDraws
from callback_state._keras.epoch_iterator import EpochIterator
from callback_state._keras.randomness import take_generators

X = np.arange(32, dtype="float32").reshape(16, 2)
Y = np.arange(16, dtype="float32").reshape(16, 1)
AUTOTUNE = tf.data.AUTOTUNE
Dataset = tf.data.Dataset


@pytest.fixture(autouse=True)
def _no_global_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed that another test has set is gone, and comes back."""
    monkeypatch.setattr(context.context(), "_seed", None)


def epoch_iterator(x: Any, y: Any = None, **options: Any) -> EpochIterator:
    """What ``fit`` makes of its arguments."""
    strategy = options.pop("strategy", tf.distribute.get_strategy())
    return EpochIterator(TFEpochIterator(x=x, y=y, distribute_strategy=strategy, **options))


def doubts(x: Any, y: Any = None, **options: Any) -> list[str]:
    """Of the data that ``fit`` would be given."""
    made = epoch_iterator(x, y, **options)
    return [str(doubt) for doubt in of_data(made, options.get("shuffle", False))]


def python_reads(x: Any) -> bool:
    return has_python(epoch_iterator(x))


def rows() -> Any:
    """Four rows and their labels."""
    return Dataset.from_tensor_slices((X[:4], Y[:4]))


def noise(x: Any, y: Any) -> Any:
    """Adds seeded noise from an operation that counts its draws."""
    return x + tf.random.uniform([2], seed=5), y


def unseeded_noise(x: Any, y: Any) -> Any:
    return x + tf.random.normal([2]), y


def of_generator(generator: Any) -> Callable[..., Any]:
    """Adds noise from a generator whose state is a variable."""
    if isinstance(generator, keras.random.SeedGenerator):
        return lambda x, y: (x + keras.random.uniform([2], seed=generator), y)
    return lambda x, y: (x + generator.uniform([2]), y)


def sometimes_noisy(x: Any, y: Any) -> Any:
    """Draws in a function inside a function inside a function."""
    draw = tf.function(lambda: tf.random.uniform([2]))
    return tf.cond(x[0] > 0, lambda: x + tf.map_fn(lambda _: draw()[0], x), lambda: x), y


def stateless_noise(pair: Any, seed: Any) -> Any:
    """What the user is told to write."""
    return pair[0] + tf.random.stateless_uniform([2], seed=seed), pair[1]


def racing_options() -> Any:
    options = tf.data.Options()
    options.deterministic = False
    return options


def copies(x: Any, y: Any) -> Any:
    """What an interleave reads: a data set for each row."""
    return Dataset.from_tensors((x, y)).repeat(2)


def through(layer: Any) -> Any:
    """What a layer that takes images makes of batches of rows."""
    return lambda x, y: (layer(x[:, :, None, None], training=True)[:, :, 0, 0], y)


def through_numpy(x: Any, y: Any) -> Any:
    return tf.ensure_shape(tf.numpy_function(lambda v: v, [x], tf.float32), [2]), y


# Arrays and other kinds of data.


@pytest.mark.parametrize("shuffle", [True, "batch"])
def test_arrays_without_a_seed_are_named(shuffle: Any) -> None:
    """Keras shuffles them with an operation that a new process seeds anew."""
    (reason,) = doubts(X, Y, shuffle=shuffle)
    assert reason.startswith("arrays are shuffled without a seed")
    assert "keras.utils.set_random_seed(" in reason and "callback_state.data.shuffled(" in reason


def test_arrays_that_are_seeded_or_in_order_are_not_named() -> None:
    """Their order follows from the global seed, or from nothing."""
    assert doubts(X, Y, shuffle=False) == []
    tf.random.set_seed(3)
    assert doubts(X, Y, shuffle=True) == []


class Pairs(keras.utils.PyDataset):
    """Batches of two rows."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return X[2 * index : 2 * index + 2], Y[2 * index : 2 * index + 2]


class Endless(Pairs):
    """Never ends, and gives a batch by its number alone."""

    num_batches = None

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index % 4)


class EndlessShuffled(Endless):
    """Begins each epoch in another order."""

    def on_epoch_end(self) -> None:
        np.random.default_rng(3).shuffle(X)


def generate() -> Iterator[Any]:
    while True:
        yield X[:2], Y[:2]


@pytest.mark.parametrize("make", [Pairs, lambda: Pairs(workers=2), generate])
@pytest.mark.parametrize("shuffle", [True, False])
def test_data_read_by_python_are_not_named(make: Any, shuffle: bool) -> None:
    """What they draw from is saved, and Keras's own pipeline around them is not the user's."""
    assert doubts(make(), shuffle=shuffle) == []
    assert python_reads(make())


def test_data_of_an_unknown_kind_are_named() -> None:
    """Nobody knows what their order follows from."""
    read: Any = SimpleNamespace(kind="Loader", dataset=rows().batch(2), is_in_python=True)
    (doubt,) = of_data(read, False)
    assert doubt.what == "the order of the data of a Loader cannot be known" and "PyDataset" in doubt.cure
    assert has_python(read)


# Pipelines of tf.data.

SEED = "has no seed"
DRAWS = "draws without a seed"
VARIABLE = "changes a variable"
RACE = "is a race"
CACHE = "cache() after"


DOUBTFUL: dict[str, tuple[Callable[[], Any], str]] = {
    "shuffle": (lambda: rows().shuffle(4).batch(2), SEED),
    "shuffle far below": (lambda: rows().shuffle(4).repeat(2).batch(2).prefetch(1).map(lambda x, y: (x, y)), SEED),
    "shuffle in one of two": (lambda: rows().concatenate(rows().shuffle(2)).batch(2), SEED),
    "shuffle in a zip": (
        lambda: Dataset.zip((Dataset.range(4).shuffle(2), rows())).map(lambda i, row: row).batch(2),
        SEED,
    ),
    "list_files": (lambda: Dataset.list_files(__file__).map(lambda name: (X[:1], Y[:1])), SEED),
    "random": (lambda: Dataset.zip((Dataset.random(), rows())).map(lambda i, row: row).batch(2), SEED),
    "shuffle in an interleave": (lambda: rows().interleave(lambda x, y: copies(x, y).shuffle(2)).batch(2), DRAWS),
    "noise": (lambda: rows().map(unseeded_noise).batch(2), DRAWS),
    "noise from deep inside": (lambda: rows().map(sometimes_noisy).batch(2), DRAWS),
    "noise in a filter": (lambda: rows().filter(lambda x, y: tf.random.uniform([]) < 0.5).batch(2), DRAWS),
    "a SeedGenerator": (lambda: rows().map(of_generator(keras.random.SeedGenerator(1))).batch(2), VARIABLE),
    "a tf Generator": (lambda: rows().map(of_generator(tf.random.Generator.from_seed(1))).batch(2), VARIABLE),
    "a layer that augments": (
        lambda: rows().batch(2).map(through(keras.layers.RandomContrast(0.5, seed=1))),
        VARIABLE,
    ),
    "parallel noise": (lambda: rows().map(noise, num_parallel_calls=2).batch(2), RACE),
    "parallel noise in a flat_map": (
        lambda: rows().flat_map(lambda x, y: copies(x, y).map(noise, num_parallel_calls=2)).batch(2),
        RACE,
    ),
    "a map out of order": (
        lambda: rows().map(lambda x, y: (x, y), num_parallel_calls=2, deterministic=False).batch(2),
        RACE,
    ),
    "an interleave out of order": (
        lambda: rows().interleave(copies, num_parallel_calls=2, deterministic=False).batch(2),
        RACE,
    ),
    "batches out of order": (lambda: rows().batch(2, num_parallel_calls=2, deterministic=False), RACE),
    "options": (lambda: rows().batch(2).with_options(racing_options()), RACE),
    "shuffle and cache": (lambda: rows().shuffle(4, seed=1).batch(2).cache(), CACHE),
    "epochs of ours and cache": (lambda: data.shuffled(X, Y, batch_size=2, seed=1).cache(), CACHE),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_a_new_process_reads_otherwise_is_named(name: str) -> None:
    """By one reason, which says what to write."""
    make, text = DOUBTFUL[name]
    (reason,) = doubts(make())
    assert text in reason and reason.endswith(".") and "; " in reason


@pytest.mark.parametrize("name", list(DOUBTFUL)[::4])
def test_nothing_is_drawn_and_nothing_read(name: str) -> None:
    """Whoever asks leaves the generators as they were, and the pipeline reads what it would have read."""
    made = [epoch_iterator(DOUBTFUL[name][0]()) for _ in range(2)]
    before = repr(take_generators())
    list(of_data(made[0], False))
    has_python(made[0])
    assert repr(take_generators()) == before
    if DOUBTFUL[name][1] == CACHE:
        first, second = ([x.numpy().tolist() for x, _ in m.dataset] for m in made)
        assert first == second


HARMLESS: dict[str, Callable[[], Any]] = {
    "seeded shuffle": lambda: rows().shuffle(4, seed=1).batch(2).prefetch(AUTOTUNE),
    "shuffle once": lambda: rows().shuffle(4, seed=1, reshuffle_each_iteration=False).cache().batch(2),
    "cache and shuffle": lambda: rows().cache().shuffle(4, seed=1).batch(2).repeat(2),
    "a cache in a file": lambda: rows().shuffle(4, seed=1).cache("never-read").batch(2),
    "a cache that is read once": lambda: rows().shuffle(4, seed=1).cache().repeat().batch(2),
    "a cache of seeded noise": lambda: rows().map(noise).cache().shuffle(4, seed=1).batch(2),
    "interleave": lambda: (
        rows()
        .shuffle(4, seed=1)
        .interleave(copies, cycle_length=2, num_parallel_calls=AUTOTUNE)
        .shuffle(4, seed=2)
        .batch(2)
    ),
    "files": lambda: Dataset.list_files(__file__, seed=1).map(lambda name: (X[:1], Y[:1])),
    "records": lambda: tf.data.TFRecordDataset(["none"], num_parallel_reads=2).map(lambda r: (X[:1], Y[:1])),
    "seeded noise": lambda: rows().map(noise).batch(2),
    "stateless noise": lambda: (
        Dataset.zip((rows(), Dataset.random(seed=1).batch(2)))
        .map(stateless_noise, num_parallel_calls=AUTOTUNE)
        .batch(2)
    ),
    "deterministic options": lambda: rows().batch(2).with_options(tf.data.Options()),
    "Python": lambda: rows().map(through_numpy, num_parallel_calls=2).batch(2),
    "from_generator": lambda: Dataset.from_generator(
        generate, output_signature=(tf.TensorSpec((2, 2)), tf.TensorSpec((2, 1)))
    ),
    "ours": lambda: data.shuffled(X, Y, batch_size=2, seed=1).map(lambda x, y: (x / 2, y)).prefetch(2),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_a_new_process_reads_again_is_not_named(name: str) -> None:
    """Seeds, orders that are fixed, and caches below them."""
    assert doubts(HARMLESS[name]()) == []


SEEDABLE = [name for name, (_, text) in DOUBTFUL.items() if text in (SEED, DRAWS)]


@pytest.mark.filterwarnings("ignore:Seed 3 from outer graph:UserWarning")
@pytest.mark.parametrize("name", SEEDABLE)
def test_a_global_seed_is_a_seed(name: str) -> None:
    """TensorFlow then numbers what is unseeded, alike in each process."""
    tf.random.set_seed(3)
    assert doubts(DOUBTFUL[name][0]()) == []


@pytest.mark.parametrize("name", [name for name, (_, text) in DOUBTFUL.items() if text == RACE])
def test_determinism_that_is_enforced_ends_every_race(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow runs such maps one by one, whatever the data set says."""
    monkeypatch.setattr(tf_config, "is_op_determinism_enabled", lambda: True)
    assert doubts(DOUBTFUL[name][0]()) == []


@pytest.mark.parametrize("num_parallel_calls", [None, 2])
def test_the_global_generators_are_saved(num_parallel_calls: Any) -> None:
    """So a map may draw from them, as long as it draws in order."""
    keras.utils.set_random_seed(1)
    for noisy in (of_generator(tf.random.get_global_generator()), lambda x, y: (x + keras.random.uniform([2]), y)):
        found = doubts(rows().map(noisy, num_parallel_calls=num_parallel_calls).batch(2))
        assert [RACE in reason for reason in found] == ([] if num_parallel_calls is None else [True])


@pytest.mark.parametrize("options", [{"class_weight": dict.fromkeys(range(16), 1.0)}, {"steps_per_epoch": 1}])
def test_what_keras_adds_hides_nothing(options: Any) -> None:
    """Weights of classes are a map behind the user's pipeline."""
    (reason,) = doubts(rows().shuffle(3).batch(2), **options)
    assert reason.startswith("shuffle(3) has no seed")


def test_what_a_strategy_distributes_is_looked_into() -> None:
    """It keeps the pipeline that it was given."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    (reason,) = doubts(rows().shuffle(3).batch(2), strategy=strategy)
    assert SEED in reason
    assert doubts(rows().shuffle(3, seed=1).batch(2), strategy=strategy) == []


def test_the_place_is_named() -> None:
    """A map by its function and line, an operation by its name."""
    (reason,) = doubts(rows().map(unseeded_noise).batch(2))
    line = unseeded_noise.__code__.co_firstlineno
    assert reason.startswith(f"map(unseeded_noise, test_doubts.py:{line}) draws")
    assert "RandomStandardNormal" in reason


PYTHON: dict[str, tuple[Callable[[], Any], bool]] = {
    "none": (lambda: rows().batch(2), False),
    "arrays": (lambda: X, False),
    "numpy_function": (lambda: rows().map(through_numpy).batch(2), True),
    "py_function": (lambda: rows().map(lambda x, y: (tf.py_function(lambda v: v, [x], tf.float32), y)), True),
    "in an interleave": (lambda: rows().interleave(lambda x, y: copies(x, y).map(through_numpy)).batch(2), True),
    "from_generator": (HARMLESS["from_generator"], True),
    "ours": (HARMLESS["ours"], False),
    "after ours": (lambda: data.shuffled(X, Y, batch_size=2, seed=1).unbatch().map(through_numpy).batch(2), True),
}


@pytest.mark.parametrize("name", PYTHON)
def test_python_in_a_pipeline_is_known(name: str) -> None:
    """Wherever it is, but in data of ours, whose order is known."""
    make, expected = PYTHON[name]
    assert python_reads(make()) is expected


def repeated() -> Any:
    return rows().shuffle(4, seed=1).repeat(2).batch(2)


READING: dict[str, tuple[Any, bool, str]] = {
    "repeated": (repeated, False, ".repeat(...) before .shuffle(...)"),
    "Python": (HARMLESS["from_generator"], False, "callback_state.data.epochs(make_epoch)"),
    "divided": (Pairs, True, "leave out steps_per_epoch"),
    "repeated, one iterator": (repeated, True, ""),
    "Python, one iterator": (HARMLESS["from_generator"], True, ""),
    "PyDataset": (Pairs, False, ""),
    "endless PyDataset that shuffles": (EndlessShuffled, True, "(__len__), and leave out steps_per_epoch"),
    "endless PyDataset": (Endless, True, ""),
    "repeated before a shuffle": (lambda: rows().repeat(2).shuffle(4, seed=1).batch(2), False, ""),
}


@pytest.mark.parametrize("name", READING)
def test_what_cannot_be_passed_without_reading_is_named(name: str) -> None:
    """With the cure; what is read again from its beginning, or has no state, is not."""
    make, streams, cure = READING[name]
    found = of_reading(epoch_iterator(make()), streams=streams)
    assert [cure in doubt.cure for doubt in found] == [True] * bool(cure)


# The train step.


class Noise(keras.layers.Layer):
    """Adds noise from one of TensorFlow's stateful operations."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x + tf.random.normal(tf.shape(x), seed=5) if training else x


class DeepNoise(Noise):
    """Draws in a branch of a loop."""

    def call(self, x: Any, training: bool = False) -> Any:
        def body(i: Any, x: Any) -> Any:
            return i + 1, tf.cond(i > 0, lambda: x + tf.random.uniform(tf.shape(x)), lambda: x)

        return tf.while_loop(lambda i, x: i < 2, body, [0, x])[1]


class OwnGenerator(Noise):
    """Draws from a generator that Keras does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = tf.random.Generator.from_seed(1)

    def call(self, x: Any, training: bool = False) -> Any:
        return x + self.generator.normal(tf.shape(x))


class GlobalGenerator(Noise):
    """Draws from TensorFlow's global generator, which is saved."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x + tf.random.get_global_generator().normal(tf.shape(x))


class Stateless(Noise):
    """Draws as Keras does, and as TensorFlow's stateless operations do."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x: Any, training: bool = False) -> Any:
        x = x + keras.random.normal(tf.shape(x), seed=self.seeds)
        return x + tf.random.stateless_normal(tf.shape(x), seed=[1, 2]) + keras.random.normal(tf.shape(x))


def trained(*layers: Any, **options: Any) -> Any:
    """A model after a ``fit`` of three batches."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((2,)), *layers, keras.layers.Dense(1)])
    model.compile("sgd", "mse", **{"jit_compile": False, **options})
    model.fit(X[:6], Y[:6], batch_size=2, verbose=0)
    return model


WAYS: list[Any] = [{"steps_per_execution": 3}, {"jit_compile": True}]


@pytest.mark.parametrize("options", WAYS)
def test_an_operation_with_a_counter_is_named(options: dict[str, Any]) -> None:
    """By its place in the model, however Keras compiles the step; finding none would be another Keras."""
    (doubt,) = of_step(trained(Noise(name="grain"), **options).train_function)
    assert "/grain_1/" in doubt.what or "/grain/" in doubt.what
    assert "RandomStandardNormal" in doubt.what and "keras.random.SeedGenerator" in doubt.cure


@pytest.mark.parametrize("options", WAYS)
def test_what_keras_draws_is_not_named(options: dict[str, Any]) -> None:
    """Its seeds are saved."""
    layers = (keras.layers.Dropout(0.3), keras.layers.GaussianNoise(0.1), Stateless())
    assert of_step(trained(*layers, **options).train_function) == []


@pytest.mark.parametrize(("layer", "found"), [(DeepNoise, 1), (OwnGenerator, 1), (GlobalGenerator, 0)])
def test_branches_and_generators_are_seen(layer: Any, found: int) -> None:
    """What is in a branch of a loop, and what draws from a variable that is not saved."""
    tf.random.set_global_generator(tf.random.Generator.from_seed(1))
    assert len(of_step(trained(layer()).train_function)) == found


def test_a_step_that_runs_eagerly_has_nothing_to_name() -> None:
    """What its operations draw from is saved."""
    assert of_step(trained(Noise(), run_eagerly=True).train_function) == []


def test_a_step_on_several_devices_is_looked_into() -> None:
    """The step of each is in the graph."""
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        noisy, plain = trained(Noise()), trained()
    assert len(of_step(noisy.train_function)) == 1
    assert of_step(plain.train_function) == []


def test_a_step_of_the_users_own_is_looked_into() -> None:
    """What Keras compiles around it is the same."""

    class Own(keras.Sequential):
        def train_step(self, given: Any) -> Any:
            return super().train_step((given[0] + tf.random.uniform([2]), given[1]))

    model = Own([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(X, Y, verbose=0)
    assert len(of_step(model.train_function)) == 1


@pytest.mark.parametrize("function", [None, len, lambda: None, Noise, tf.function(lambda: tf.random.uniform([]))])
def test_a_step_of_another_kind_is_passed_over(function: Any) -> None:
    """Where nothing can be looked into, nothing is said; nothing is traced to see it."""
    assert of_step(function) == []


def test_many_operations_are_one_sentence() -> None:
    """Of which three are named."""
    (doubt,) = of_step(trained(*(Noise() for _ in range(5))).train_function)
    assert " and 2 more" in doubt.what and doubt.what.count("RandomStandardNormal") == 3


# What Python code draws from.


def watched(*batches: Callable[[], Any]) -> InputDraws:
    """What was noticed while these were trained on."""
    draws = InputDraws()
    for train in batches:
        draws.before()
        train()
        draws.after()
        random.random(), np.random.rand()  # a callback's, between two batches
    return draws


def nothing() -> None:
    pass


def test_a_generator_that_moves_is_noticed() -> None:
    """Each by its name, whenever it moved."""
    assert watched(nothing, random.random, np.random.rand, nothing).found == ("python", "numpy")
    assert watched(nothing, nothing, np.random.rand).found == ("numpy",)
    assert watched(nothing, lambda: np.random.default_rng(1).random(), nothing).found == ()
    assert watched(nothing, np.random.standard_normal).found == ("numpy",)


def test_the_first_batch_of_each_epoch_is_passed_over() -> None:
    """The order of the epoch may be drawn then."""
    draws = watched(nothing, nothing)
    draws.new_epoch()
    draws.before()
    random.random()
    draws.after()
    assert draws.found == () and not draws.done


@pytest.mark.parametrize(
    ("found", "texts"),
    [
        (("numpy",), ["draws from NumPy's global generator while", "numpy.random.default_rng(seed)"]),
        (("python",), ["draws from Python's random while", "random.Random(seed)"]),
        (("python", "numpy"), ["Python's random and NumPy's global generator", "random.Random(seed) and numpy"]),
    ],
)
def test_the_generators_are_named_with_the_cure(found: tuple[str, ...], texts: list[str]) -> None:
    """In one sentence."""
    reason = str(of_draws(found))
    assert all(text in reason for text in texts) and "\n" not in reason
