"""The global generators of Python, NumPy, TensorFlow and Keras are taken and put back exactly."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from reused import forget
from tensorflow.python.eager import context
from tensorflow.python.ops import stateful_random_ops

from callback_state._format.decode import copy
from callback_state._keras import randomness


@pytest.fixture(autouse=True)
def generators() -> Iterator[None]:
    """Every test starts with seeded generators, none of TensorFlow's or Keras's own made yet."""
    forget()
    yield
    forget()


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
    taken = copy(randomness.take_generators())
    first = [draw(), draw()]
    assert draw() not in first
    # As in a new process: the counters inside TensorFlow's eager kernels, which nobody can read, are 0.
    keras.utils.set_random_seed(11)
    randomness.put_back_generators(taken)
    assert [draw(), draw()] == first


def test_generators_that_were_not_there_are_taken_away() -> None:
    """What was not made when the state was taken is made anew after it, not gone on with."""
    taken = copy(randomness.take_generators())
    first = DRAWS["keras"]()
    keras.utils.set_random_seed(11)
    for draw in DRAWS.values():
        draw()
    randomness.put_back_generators(taken)
    assert stateful_random_ops.global_generator is None
    assert DRAWS["keras"]() == first


@pytest.mark.parametrize("but", [[], ["python"], ["numpy"], ["numpy", "python"]], ids=" ".join)
def test_generators_that_threads_go_on_with_are_left(but: list[str]) -> None:
    """Those that are named stay where they are, all others are put back."""
    names = ["python", "numpy", "tensorflow eager", "keras"]
    for name in names:
        DRAWS[name]()
    taken = copy(randomness.take_generators())
    first = {name: DRAWS[name]() for name in names}
    keras.utils.set_random_seed(11)
    DRAWS["keras"]()  # to make it draws from Python's
    random.seed(12)
    np.random.seed(13)
    left = copy(randomness.take_generators())
    own = {"python": DRAWS["python"](), "numpy": DRAWS["numpy"]()}
    random.setstate(randomness.unpacked(left["python"]))
    np.random.set_state(left["numpy"])
    randomness.put_back_generators(taken, but=but)
    assert {name: DRAWS[name]() for name in names} == {**first, **{name: own[name] for name in but}}


def test_asking_makes_no_generator() -> None:
    """Neither TensorFlow's nor Keras's global generator comes into being because a state was taken."""
    taken = randomness.take_generators()
    assert taken["tensorflow_generator"] is None and taken["keras"] is None
    assert stateful_random_ops.global_generator is None
    assert randomness.keras_generator() is None


def test_generator_of_another_algorithm_is_replaced() -> None:
    """A run that chose Threefry goes on with Threefry where the process has Philox by default."""
    tf.random.set_global_generator(tf.random.Generator.from_seed(5, alg="threefry"))
    chosen = tf.random.get_global_generator()
    taken = copy(randomness.take_generators())
    tf.random.set_global_generator(tf.random.Generator.from_seed(6))
    randomness.put_back_generators(taken)
    made = tf.random.get_global_generator()
    assert made is not chosen and made.algorithm == chosen.algorithm
    assert made.state.numpy().tobytes() == chosen.state.numpy().tobytes()


def test_process_without_any_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no seed was ever set, TensorFlow has no eager generator, and state is taken all the same."""
    monkeypatch.delattr(context.context(), "_rng")
    monkeypatch.setattr(context.context(), "_seed", None)
    taken = copy(randomness.take_generators())
    assert taken["tensorflow_eager"] is None and taken["tensorflow_seed"] is None
    first = random.random()
    randomness.put_back_generators(taken)
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
    taken = randomness.take_generators()
    monkeypatch.setattr(context.context(), "_seed", now)
    with pytest.warns(UserWarning, match=cure) as caught:
        randomness.tell_of_seed(taken)
    assert len(caught) == 1


FORGED: dict[str, tuple[str, Any]] = {
    "a seed that is none": ("tensorflow_seed", "3"),
    "a position outside the buffer": ("numpy", lambda state: (*state[:2], 10**6, *state[3:])),
    "a buffer that is too short": ("numpy", lambda state: (state[0], state[1][:9], *state[2:])),
    "a state of Python that is none": ("python", lambda state: (state[0], state[1][:9], state[2])),
    "a generator of TensorFlow that is none": ("tensorflow_generator", (1, [1])),
    "words of Keras that are none": ("keras", "words"),
    "too few words of Keras": ("keras", np.zeros(1, "uint32")),
}


@pytest.mark.parametrize("kind", FORGED)
def test_generators_that_no_run_has_taken_are_refused(kind: str) -> None:
    """Before one of them changes; what a run has taken is not."""
    taken = randomness.take_generators()
    randomness.check_generators(taken)
    name, value = FORGED[kind]
    forged = {**taken, name: value(taken[name]) if callable(value) else value}
    with pytest.raises(ValueError, match="Error"):
        randomness.check_generators(forged)
    with pytest.raises(ValueError, match="KeyError"):
        randomness.check_generators({key: value for key, value in taken.items() if key != name})
    assert repr(randomness.take_generators()) == repr(taken)
