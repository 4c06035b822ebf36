"""Whatever attribute of a user's data set has changed is saved, and put back; data themselves are left alone."""

from __future__ import annotations

import copy
import random
from collections import OrderedDict, deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callback_state._format.encode import Encoder
from callback_state._input import dataset_state
from callback_state._input.dataset_state import Attributes

Change = Callable[[Any], Any]


class Data:
    """Stands for a ``PyDataset``."""

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


def drawn(generator: Any) -> Any:
    return generator.random()


#: A value, and what changes it: in place, or it returns the new value.
CHANGES: dict[str, tuple[Callable[[], Any], Change]] = {
    "number": (lambda: 1, lambda v: v + 1),
    "type of a number": (lambda: 1, lambda v: 1.0),
    "sign of zero": (lambda: 0.0, lambda v: -0.0),
    "text": (lambda: "a", lambda v: "b"),
    "nothing": (lambda: None, lambda v: 0),
    "list": (lambda: [1, 2, 3], list.reverse),
    "list of pairs": (lambda: [("a.png", 1), ("b.png", 2)], list.reverse),
    "list of pairs of pairs": (lambda: [((1,), 2), ((3,), 4)], list.reverse),
    "dict": (lambda: {"a": 1}, lambda v: v.update(a=2)),
    "order of a dict": (lambda: OrderedDict(a=1, b=2), lambda v: v.move_to_end("a")),
    "deque": (lambda: deque([1, 2], 2), lambda v: v.append(3)),
    "set": (lambda: {1, 2}, lambda v: v.add(3)),
    "array": (lambda: np.arange(5), lambda v: v.__setitem__(0, 9)),
    "dtype of an array": (lambda: np.zeros(2, "int32"), lambda v: np.zeros(2, "float32")),
    "shape of an array": (lambda: np.zeros((2, 3)), lambda v: v.reshape(3, 2)),
    "generator": (lambda: np.random.default_rng(1), drawn),
    "old generator": (lambda: np.random.RandomState(1), lambda v: v.shuffle([1, 2, 3])),
    "generator of Python": (lambda: random.Random(1), drawn),
}


def changed(name: str) -> tuple[Any, Attributes]:
    """A data set that has changed in one of two attributes since ``fit`` began."""
    make, change = CHANGES[name]
    dataset = Data(value=make(), other=7)
    found = Attributes(dataset)
    result = change(dataset.value)
    if type(result) is type(dataset.value) or not name.endswith(("generator", "Python")):
        dataset.value = dataset.value if result is None else result
    return dataset, found


def text(value: Any) -> str:
    """Equal if and only if the values are, all bits of them; what a generator was made from is no matter."""
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    return repr(Encoder(canonical=True).table(value))


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_is_saved_and_put_back(name: str) -> None:
    """Only that attribute, and a data set made again has it then."""
    dataset, found = changed(name)
    taken = found.take()
    assert list(taken) == ["value"] and found.lost == set()
    again = Data(value=CHANGES[name][0](), other=8)
    assert text(again.value) != text(dataset.value)
    Attributes(again).put_back(taken)
    assert text(again.value) == text(dataset.value) and again.other == 8
    assert type(again.value) is type(dataset.value)


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_as_it_was_is_not_saved(name: str) -> None:
    """Nor is what was replaced by its like."""
    make = CHANGES[name][0]
    dataset = Data(value=make())
    found = Attributes(dataset)
    assert found.take() == {}
    dataset.value = make()
    assert found.take() == {}


def test_what_changed_once_is_saved_from_then_on() -> None:
    """A data set that is made again may begin with something else than this one did."""
    dataset = Data(epoch=0)
    found = Attributes(dataset)
    for epoch, expected in [(0, {}), (1, {"epoch": 1}), (0, {"epoch": 0})]:
        dataset.epoch = epoch
        assert found.take() == expected


def test_what_was_put_back_is_saved_from_then_on() -> None:
    """Although it has not changed since: a second restart needs it too."""
    dataset = Data(order=[1, 2], other=3)
    found = Attributes(dataset)
    found.put_back({"order": [1, 2]})
    assert found.take() == {"order": [1, 2]}


def test_what_was_taken_does_not_change_with_the_data_set() -> None:
    """Copies are taken and given, so that a checkpoint stays what it was."""
    dataset = Data(order=[1])
    found = Attributes(dataset)
    dataset.order.append(2)
    taken = found.take()
    dataset.order.append(3)
    assert taken == {"order": [1, 2]}
    found.put_back(taken)
    dataset.order.append(4)
    assert taken == {"order": [1, 2]} and found.take() == {"order": [1, 2, 4]}


def test_attributes_that_were_made_meanwhile_are_saved() -> None:
    """Such as one that ``on_epoch_begin`` makes."""
    dataset = Data()
    found = Attributes(dataset)
    dataset.made = (1, 2)
    assert found.take() == {"made": (1, 2)}


# What is not saved.


def test_what_cannot_be_saved_is_named() -> None:
    """Another object of a class that is not plain."""
    dataset = Data(file=SimpleNamespace, pool=object(), same=object())
    found = Attributes(dataset)
    assert found.take() == {} and found.lost == set()
    dataset.pool = object()
    dataset.same = dataset.same
    assert found.take() == {} and found.lost == {"pool"}


def test_large_arrays_are_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not looked at, which would take as long as reading them; the limit is 256 MiB."""
    assert dataset_state._LARGE == 2**28
    monkeypatch.setattr(dataset_state, "_LARGE", 80)
    dataset = Data(large=np.zeros(11), small=np.zeros(10))
    found = Attributes(dataset)
    dataset.large[0] = dataset.small[0] = 1
    assert list(found.take()) == ["small"]


@pytest.mark.parametrize(
    ("data", "change"),
    [
        ([np.zeros(3)], lambda v: v[0].fill(1)),
        ({"x": np.zeros(3)}, lambda v: v["x"].fill(1)),
        ((1, [object()]), lambda v: v[1].append(2)),
        (deque([np.zeros(1)]), lambda v: v[0].fill(1)),
        ([[[[1]]]], lambda v: v[0][0][0].append(1)),
        ({"a": {"b": {"c": {"d": 0}}}}, lambda v: v["a"]["b"]["c"].update(d=1)),
    ],
    ids=["list", "dict", "tuple", "deque", "deep list", "deep dict"],
)
def test_containers_of_other_things_are_data(data: Any, change: Change) -> None:
    """Of arrays, of objects, and of more than three levels: they may be of any size."""
    dataset = Data(data=data, epoch=0)
    found = Attributes(dataset)
    change(data)
    dataset.epoch = 1
    assert found.take() == {"epoch": 1} and found.lost == set()


SCALARS = st.sampled_from([None, True, 0, 1, 1.0, -0.0, 0.0, float("nan"), "", "a", b"a", 2**70])
FLAT = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(st.sampled_from("xy"), SCALARS))
VALUES = st.dictionaries(st.sampled_from("abc"), st.one_of(FLAT, st.lists(FLAT, max_size=2)))


@settings(deadline=None, max_examples=40)
@given(before=VALUES, after=VALUES)
def test_data_set_that_is_made_again_becomes_what_it_was(before: Any, after: Any) -> None:
    """Whatever plain values it had when ``fit`` began, and has now."""
    dataset = Data(**copy.deepcopy(before))
    found = Attributes(dataset)
    vars(dataset).update(copy.deepcopy(after))
    taken = found.take()
    again = Data(**copy.deepcopy(before))
    Attributes(again).put_back(taken)
    assert text(dict(sorted(vars(again).items()))) == text(dict(sorted(vars(dataset).items())))
    assert not any(name in before and text(taken[name]) == text(before[name]) for name in taken)


# What is shared with others.


def test_a_list_that_was_changed_in_place_stays_the_live_one() -> None:
    """Whoever holds it too, such as a callback, sees the content, also through another attribute."""
    rows = [1, 2, 3]
    dataset = Data(rows=rows, order=[0, 1])
    found = Attributes(dataset)
    rows.reverse()
    dataset.view, dataset.order = (rows,), dataset.order[::-1]
    taken = found.take()
    assert found.in_place(taken) == ["rows"]
    live, order = [1, 2, 3], [0, 1]
    again = Data(rows=live, order=order)
    Attributes(again).put_back(taken, {}, ["rows"])
    assert again.rows is again.view[0] is live == [3, 2, 1]
    assert order == [0, 1] and again.order == [1, 0]


def test_a_list_that_does_not_fit_is_replaced() -> None:
    """Here it may be longer."""
    live = deque([1], 3)
    again = Data(rows=live)
    Attributes(again).put_back({"rows": deque([2], 2)}, {}, ["rows"])
    assert again.rows is not live and again.rows == deque([2]) and live == deque([1])
    assert (again.rows.maxlen, live.maxlen) == (2, 3)
