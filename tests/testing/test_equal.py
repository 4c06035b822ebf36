"""The state of one callback: looked at, compared with the path of the first difference, written and read."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from callback_state import stateful
from callback_state.testing import assert_picklable, assert_state_equal, roundtrip, state_of


@dataclasses.dataclass
class Best:
    value: float
    where: tuple[int, int]


@stateful(exclude=("lock",))
class Holds(keras.callbacks.Callback):
    """Holds a bit of everything."""

    def __init__(self, rate: float = 0.1) -> None:
        super().__init__()
        self.rate, self.step, self.window = rate, 0, deque([1.0, 2.0], maxlen=3)
        self.array, self.variable = np.arange(6.0).reshape(2, 3), keras.Variable([1.0, 2.0])
        self.nested: dict[str, Any] = {"a": [1, {"b": np.float32(0.5)}]}
        self.lock = threading.Lock()


def test_the_state_is_what_a_checkpoint_saves() -> None:
    """Neither configuration, nor what is excluded, nor Keras's own."""
    assert set(state_of(Holds())) == {"step", "window", "array", "variable", "nested"}
    moved = Holds()
    moved.rate = 0.2
    assert state_of(moved)["rate"] == 0.2
    assert state_of(keras.callbacks.ReduceLROnPlateau())["wait"] == 0


def test_an_unregistered_callback_has_none() -> None:
    """The error says how to register it."""

    class Own(keras.callbacks.Callback):
        pass

    for function in (state_of, roundtrip):
        with pytest.raises(TypeError, match=r"neither a stock Keras callback nor registered.*@stateful"):
            function(Own())
    with pytest.raises(AssertionError, match=r"Own cannot be saved: .*@stateful"):
        assert_picklable(Own())


def test_a_roundtrip_makes_a_new_one_with_the_same_state() -> None:
    """Through the bytes of a state file; nothing is shared with the first."""
    first = Holds(0.3)
    first.step = 7
    first.variable.assign([3.0, 4.0])
    again = roundtrip(first)
    assert type(again) is Holds and again is not first and again.rate == 0.3
    assert_state_equal(again, first)
    again.nested["a"].append(1)
    assert len(first.nested["a"]) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: setattr(c, "step", 1), "Holds.step is 1, expected 0"),
        (lambda c: setattr(c, "step", 0.0), "Holds.step is 0.0, expected 0"),
        (lambda c: c.window.append(3.0), r"Holds.window has 3 items, expected 2"),
        (lambda c: c.array.__setitem__((1, 2), 9), r"Holds.array\[1, 2\] is 9.0, expected 5.0"),
        (lambda c: setattr(c, "array", c.array.astype("f4")), "Holds.array is an array of float32 .*float64"),
        (lambda c: c.variable.assign([1.0, 3.0]), r"Holds.variable\[1\] is 3.0, expected 2.0"),
        (lambda c: c.nested["a"][1].update(b=np.float32(0.25)), r"Holds.nested\['a'\]\[1\]\['b'\] is .*0.25"),
        (lambda c: c.nested.update(c=1), r"Holds.nested\['c'\] is 1, expected nothing of this name"),
        (lambda c: c.nested.clear(), r"Holds.nested has no 'a', expected \[1, "),
        (lambda c: setattr(c, "more", 5), "Holds.more is 5, expected None"),
    ],
    ids=range(10),
)
def test_the_first_difference_is_named_by_its_path(change: Any, message: str) -> None:
    """Whatever it is nested in."""
    found, expected = Holds(), Holds()
    assert_state_equal(found, expected)
    change(found)
    with pytest.raises(AssertionError, match=message):
        assert_state_equal(found, expected)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (float("nan"), float("nan")),
        (np.array([np.nan, 1.0]), np.array([np.nan, 1.0])),
        (tf.constant([1.0]), tf.constant([1.0])),
        ([1, (2, {3})], [1, (2, {3})]),
        (Best(1.0, (2, 3)), Best(1.0, (2, 3))),
        (keras.Variable(1.0), keras.Variable(1.0)),
        (len, len),
    ],
    ids=range(7),
)
def test_equal_values_are_equal(a: Any, b: Any) -> None:
    """NaN too, and variables by their value."""
    assert_state_equal(a, b)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (0.0, -0.0, "value is 0.0, expected -0.0"),
        (1, True, "value is 1, expected True"),
        (np.float32(1), 1.0, "value is .*1.0"),
        ([1, 2], (1, 2), r"value is \[1, 2\], expected \(1, 2\)"),
        (Best(1.0, (2, 3)), Best(1.0, (2, 4)), r"value.where\[1\] is 3, expected 4"),
        ({1}, {2}, r"value is \{1\}"),
        (np.zeros((2, 3)), np.zeros((3, 2)), r"an array of float64 \(2, 3\), expected float64 \(3, 2\)"),
        (np.zeros((2, 3)), np.zeros((2, 3), order="F"), "order in memory"),
    ],
    ids=range(8),
)
def test_other_values_are_not(a: Any, b: Any, message: str) -> None:
    """Of another type, another sign, another shape."""
    with pytest.raises(AssertionError, match=message):
        assert_state_equal(a, b)


def test_a_cycle_ends() -> None:
    """Values that contain themselves are compared once."""
    a: list[Any] = [1]
    b: list[Any] = [1]
    a.append(a)
    b.append(b)
    assert_state_equal(a, b)


def test_what_cannot_be_pickled_is_named() -> None:
    """The attribute, and the line that cures it."""
    callback = Holds()
    assert_picklable(callback)
    callback.window = threading.Lock()
    with pytest.raises(AssertionError, match=r"Holds cannot be saved: Holds.window.*exclude=\(\"window\",\)"):
        assert_picklable(callback)
