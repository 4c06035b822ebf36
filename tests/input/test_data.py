"""Data that are entered at any epoch and batch: what is read follows from the two numbers alone."""

from __future__ import annotations

import doctest
import gc
import hashlib
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from callback_state import data
from callback_state._input import enterable, passes
from callback_state._keras.randomness import take_generators

COUNTS = st.integers(1, 40)
SIZES = st.integers(1, 12)
SEEDS = st.integers(0, 2**64 - 1)
EPOCHS = st.integers(0, 2**63)
FROZEN = [3, 5, 2, 9, 7, 0, 8, 6, 1, 4]
DIGEST = "3685a3cbf134cb0d52c140d4766ece8a4c1d8ad3ec87bc7dd059cd1349617e62"
slow = settings(deadline=None, max_examples=15)
slower = settings(deadline=None, max_examples=2)


def read(dataset: Any) -> list[Any]:
    """The batches as plain lists."""
    return [tf.nest.map_structure(lambda tensor: tensor.numpy().tolist(), batch) for batch in dataset]


def rest(dataset: Any, epoch: int, first: int = 0) -> list[Any]:
    return read(batch for _, batch in dataset.batches(epoch, first))


def numbers(count: int = 20, size: int = 3, seed: int = 1) -> Any:
    return data.shuffled(np.arange(count), batch_size=size, seed=seed)


def made(epoch: int) -> Any:
    """An epoch of a user: shuffled, filtered by a condition that needs AutoGraph, with seeded random numbers."""

    def odd(v: Any) -> Any:
        if v % 2 == 1:
            return v
        return -v

    noise = (
        tf.data.Dataset.range(20)
        .shuffle(20, seed=epoch)
        .map(lambda v: (odd(v), tf.random.uniform([], seed=epoch)))
    )
    return noise.batch(3).prefetch(2)


def made_from(epoch: int, batch: int) -> Any:
    return tf.data.Dataset.range(100 * epoch + 3 * batch, 100 * epoch + 20).batch(3)


def unknown(epoch: int) -> Any:
    return tf.data.Dataset.range(100 * epoch, 100 * epoch + 20 + epoch).filter(lambda v: True).batch(3)


KINDS: dict[str, Callable[[], Any]] = {
    "shuffled": numbers,
    "epochs": lambda: data.epochs(made),
    "epochs with batch": lambda: data.epochs(made_from),
}


class Seen(keras.callbacks.Callback):
    """How many passes had begun when each epoch ended."""

    def __init__(self, dataset: Any) -> None:
        super().__init__()
        self.dataset, self.begun = dataset, []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.begun.append(self.dataset._callback_state_passes.begun)


def model() -> Any:
    keras.utils.set_random_seed(1)
    made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    made.compile("sgd", "binary_crossentropy", jit_compile=False)
    return made


X = np.random.default_rng(0).random((20, 4))
Y = (X[:, :1] > 0.5).astype("float32")


@slow
@given(COUNTS, SIZES, SEEDS, EPOCHS)
def test_every_epoch_is_a_permutation(count: int, size: int, seed: int, epoch: int) -> None:
    """Each row is read once an epoch, in batches of which only the last may be smaller."""
    batches = rest(numbers(count, size, seed), epoch)
    assert sorted(row for batch in batches for row in batch) == list(range(count))
    assert {len(batch) for batch in batches[:-1]} <= {size}
    assert len(batches) == -(-count // size)


@slow
@given(COUNTS, SIZES, EPOCHS, st.data())
def test_an_epoch_is_entered_at_any_batch(count: int, size: int, epoch: int, draw: Any) -> None:
    """From a batch on is the end of the epoch; an entered pass is that, and then what comes before."""
    train = numbers(count, size)
    whole = rest(train, epoch)
    first = draw.draw(st.integers(0, len(whole) - 1))
    assert rest(train, epoch, first) == whole[first:]
    train.enter(epoch, first)
    assert read(train) == whole[first:] + whole[:first]


@slower
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=4))
@pytest.mark.parametrize("kind", KINDS)
def test_entering_needs_no_order(kind: str, positions: list[tuple[int, int]]) -> None:
    """Whatever was read before, an entered pass reads its epoch, and the pass after it the next one."""
    train = KINDS[kind]()
    for epoch, first in positions:
        whole = rest(KINDS[kind](), epoch)
        train.enter(epoch, first)
        assert read(train) == whole[first:] + whole[:first]
        assert read(train) == rest(train, epoch + 1)


def test_epochs_and_seeds_differ() -> None:
    """Two epochs have two orders, and so have two seeds."""
    orders = [data.order_of(1000, seed, epoch).tolist() for seed in range(5) for epoch in range(5)]
    assert len({tuple(order) for order in orders}) == 25


def test_the_order_is_frozen() -> None:
    """On every machine and with every NumPy: a file that was saved years ago is resumed with the same order."""
    assert data.order_of(10, 1, 0).tolist() == FROZEN
    order = data.order_of(100_000, 2**64 - 1, 12345)
    assert hashlib.sha256(order.astype("<i8").tobytes()).hexdigest() == DIGEST


def test_no_generator_is_drawn_from() -> None:
    """Making, entering and reading shuffled data leave every global generator of the process where it was."""
    keras.utils.set_random_seed(5)
    before = repr(take_generators())
    train = numbers()
    train.enter(3, 2)
    read(train), rest(train, 1)
    assert repr(take_generators()) == before


@pytest.mark.parametrize("kind", KINDS)
def test_an_iterator_that_nobody_reads_is_no_pass(kind: str) -> None:
    """A pass begins when its first element is read, with every stage of tf.data that may follow."""
    train = KINDS[kind]()
    staged = train.map(lambda *batch: batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    iterators = [iter(staged) for _ in range(3)]
    assert train._callback_state_passes.begun == 0
    next(iterators[2])
    assert train._callback_state_passes.begun == 1
    next(iterators[0])
    assert train._callback_state_passes.begun == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_pass_outlives_what_made_it(kind: str) -> None:
    """The dataset, its maps and the rest of an entered pass live as long as an iterator does."""
    whole = rest(KINDS[kind](), 2)
    train = KINDS[kind]()
    train.enter(2, 5)
    iterator = iter(train.prefetch(1))
    batches = [next(iterator)]
    del train
    gc.collect()
    batches += list(iterator)
    assert read(batches) == whole[5:] + whole[:5]


def test_data_that_nobody_holds_are_released() -> None:
    """TensorFlow keeps the functions that datasets call; the data are not kept with them."""
    train = numbers()
    read(train), rest(train, 0)
    there = weakref.ref(train)
    del train
    gc.collect()
    assert there() is None


@pytest.mark.parametrize(
    ("eager", "options", "begun"),
    [
        (False, {}, [1, 2, 3]),
        (True, {"class_weight": {0: 1.0, 1: 2.0}}, [1, 2, 3]),
        (True, {"steps_per_epoch": 2}, [1, 1, 1]),
    ],
    ids=["plain", "class_weight", "steps_per_epoch"],
)
def test_fit_reads_the_epochs_in_order(eager: bool, options: dict[str, Any], begun: list[int]) -> None:
    """0, 1, 2, ..., although Keras makes two iterators an epoch; with few steps one pass lasts several epochs."""
    train = data.shuffled(X, Y, batch_size=3, seed=1)
    network = model()
    network.run_eagerly = eager
    seen = Seen(train)
    network.fit(train, epochs=3, shuffle=False, verbose=0, callbacks=[seen], **options)
    assert seen.begun == begun


def test_fit_trains_as_on_the_same_rows() -> None:
    """Weights are bit for bit those of a fit on arrays that lie in that order, floats of 64 bits included."""
    order = data.order_of(20, 1, 0)
    ours, theirs = model(), model()
    ours.fit(data.shuffled(X, Y, np.arange(20.0), batch_size=3, seed=1), shuffle=False, verbose=0)
    theirs.fit(X[order], Y[order], sample_weight=np.arange(20.0)[order], batch_size=3, shuffle=False, verbose=0)
    assert [v.numpy().tobytes() for v in ours.variables] == [v.numpy().tobytes() for v in theirs.variables]


def test_validation_evaluate_and_predict() -> None:
    """Each evaluation is one pass, with the metrics of the arrays; a second fit goes on with the next epoch."""
    train, held_out = (data.shuffled(X, Y, batch_size=4, seed=seed) for seed in (1, 2))
    network = model()
    for begun in (2, 4):
        network.fit(train, validation_data=held_out, epochs=2, shuffle=False, verbose=0)
        assert train._callback_state_passes.begun == held_out._callback_state_passes.begun == begun
    ours, theirs = network.evaluate(held_out, verbose=0), network.evaluate(X, Y, batch_size=4, verbose=0)
    assert ours == pytest.approx(theirs, rel=1e-5)  # the same sum in another order
    assert network.predict(train.map(lambda x, y: x), verbose=0).shape == (20, 1)


def test_structures_as_fit_takes_them() -> None:
    """Dicts, lists, tuples and tensors, floats as floatx; a later change of the array is not seen."""
    array = np.arange(4.0)
    x = {"a": [array, tf.range(4)], "b": (np.array(["p", "q", "r", "s"]),)}
    train = data.shuffled(x, batch_size=4, seed=1)
    array += 100
    (batch,) = list(train)
    order = data.order_of(4, 1, 0)
    assert batch["a"][0].numpy().tolist() == order.tolist() and batch["a"][0].dtype == tf.float32
    assert batch["a"][1].numpy().tolist() == order.tolist() and isinstance(batch["a"], tuple)
    assert batch["b"][0].numpy().tolist() == [b"pqrs"[i : i + 1] for i in order]


def test_known_lengths_are_known_to_keras() -> None:
    """The number of batches is known before anything is read, also after a map."""
    assert [int(KINDS[kind]().map(lambda *batch: batch).cardinality()) for kind in KINDS] == [7, 7, 7]


def test_epochs_whose_length_is_not_known_may_differ() -> None:
    """Each is read to its end; an entered pass is what is left of it."""
    train = data.epochs(unknown)
    assert [len(read(train)) for _ in range(3)] == [7, 7, 8]
    train.enter(2, 6)
    assert read(train) == [[218, 219, 220], [221]]
    assert read(train) == rest(train, 3)


def pipelines() -> dict[str, Callable[[], Any]]:
    """Pipelines with seeded stateful random operations, each made anew."""
    range_ = tf.data.Dataset.range

    def drawn(v: Any) -> Any:
        return v, tf.random.uniform([], seed=5)

    return {
        "map and batch": lambda: range_(24).map(drawn).batch(2),
        "filter": lambda: range_(40).map(drawn).filter(lambda v, u: u > 0.5).batch(2),
        "shuffle": lambda: range_(24).shuffle(5, seed=3).map(drawn).batch(2).prefetch(2),
        "interleave": lambda: range_(4).interleave(lambda i: range_(6), cycle_length=3, num_parallel_calls=2),
        "sample": lambda: tf.data.Dataset.sample_from_datasets([range_(20), range_(9)], seed=2).map(drawn),
    }


@pytest.mark.parametrize("name", pipelines())
def test_skipping_draws_what_reading_draws(name: str) -> None:
    """``Dataset.skip`` leaves seeded stateful operations where reading on would have left them."""
    train = data.epochs(lambda epoch: pipelines()[name]())
    whole = rest(train, 0)
    assert [rest(train, 0, first) for first in (1, 5)] == [whole[1:], whole[5:]]


def test_a_parameter_that_binds_a_value_is_not_the_batch() -> None:
    """Only a second parameter that is named so, or has no default, is given the batch."""
    binding = data.epochs(lambda epoch, size=2: tf.data.Dataset.range(6).batch(size))
    assert rest(binding, 0, 1) == [[2, 3], [4, 5]]
    given_it = data.epochs(lambda epoch, batch=0: tf.data.Dataset.range(2 * batch, 6).batch(2))
    assert rest(given_it, 0, 1) == [[2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("epoch", "batch", "complaint"),
    [(-1, 0, "epoch must"), (0.5, 0, "epoch must"), (0, -1, "batch must"), (0, "1", "batch"), (0, 7, "no batch")],
)
def test_an_entry_that_cannot_be_changes_nothing(epoch: Any, batch: Any, complaint: str) -> None:
    """The error names the argument, and the next pass is what it would have been."""
    train = numbers()
    train.enter(4, 2)
    with pytest.raises(ValueError, match=complaint):
        train.enter(epoch, batch)
    assert read(train)[:5] == rest(train, 4, 2)


def test_batches_after_the_end() -> None:
    """After the last batch nothing is left; beyond it there is nothing to begin with, and it is said at once."""
    assert rest(numbers(), 0, 7) == []
    with pytest.raises(ValueError, match="has 7 batches"):
        numbers().batches(0, 8)
    with pytest.raises(ValueError, match="epoch must"):
        numbers().batches(-1)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"x": X, "y": Y[:5]}, r"\[20, 5\]"),
        ({"x": X[:0]}, r"at least one; they have \[0\]"),
        ({"x": np.float32(1)}, r"\[None\]"),
        ({"x": {"a": None}}, "NoneType cannot be read"),
        ({"x": X, "sample_weight": Y}, "needs y"),
        ({"x": X, "batch_size": 0}, "batch_size must be 1 or more"),
        ({"x": X, "batch_size": 2.5}, "batch_size must be an integer"),
        ({"x": X, "seed": 2**64}, "below"),
        ({"x": X, "seed": -1}, "seed must be"),
    ],
)
def test_arguments_that_are_no_data(arguments: dict[str, Any], complaint: str) -> None:
    """What cannot be shuffled is an error when it is passed, not when it is read."""
    with pytest.raises(ValueError, match=complaint):
        data.shuffled(**{"batch_size": 2, "seed": 1, **arguments})


RANGE = tf.data.Dataset.range


@pytest.mark.parametrize(
    ("make_epoch", "complaint"),
    [
        (lambda epoch: [1, 2], "must return a tf.data.Dataset"),
        (lambda epoch: RANGE(0), "no elements"),
        (lambda epoch: RANGE(3).repeat(), "never ends"),
    ],
)
def test_an_epoch_that_is_none_is_an_error_at_once(make_epoch: Any, complaint: str) -> None:
    """What epoch 0 shows to be wrong is raised where the function is passed."""
    with pytest.raises(ValueError, match=complaint):
        data.epochs(make_epoch)


@pytest.mark.parametrize(
    ("later", "complaint"),
    [
        (lambda: None, "must return a tf.data.Dataset; it returned None"),
        (lambda: RANGE(8), "from batch 0 on: make_epoch returned 8 batches; epoch 0 had 9 from there on"),
        (lambda: RANGE(9).map(lambda v: (v, v)), "returned elements of"),
        (lambda: RANGE(9).batch(1), "returned elements of"),
        (lambda: RANGE(9).map(lambda v: tf.cast(v, tf.int32)), "returned elements of"),
        (lambda: RANGE(8).filter(lambda v: True), "expected to contain 9 elements but contained only 8"),
        (lambda: {}["my key"], "KeyError: 'my key'"),
        (lambda: next(iter(())), "StopIteration"),
    ],
)
def test_a_later_epoch_that_is_wrong_is_an_error(later: Any, complaint: str) -> None:
    """Not a shorter epoch, not other data: TensorFlow's error quotes ours, or the user's own."""
    train = data.epochs(lambda epoch: later() if epoch == 1 else RANGE(9))
    assert len(read(train)) == 9
    with pytest.raises(tf.errors.OpError, match=complaint):
        read(train)


@pytest.mark.parametrize("module", [data, enterable, passes])
def test_the_examples_run(module: Any) -> None:
    """The examples in the docstrings give what they say."""
    assert doctest.testmod(module, extraglobs={"np": np, "data": data}).failed == 0
