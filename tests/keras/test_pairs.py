"""Data that know where they are: their place is taken after any batch, and put back before an iterator is made."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callback_state import ResumeError
from callback_state._keras.pairs import Made, Pair, Tracked


class Numbers:
    """An iterator from 0 to 9 that knows where it is."""

    def __init__(self) -> None:
        self.state = {"next": 0}

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if self.state["next"] == 10:
            raise StopIteration
        self.state["next"] += 1
        return self.state["next"] - 1

    def get_state(self) -> dict[str, int]:
        return self.state

    def set_state(self, state: dict[str, int]) -> None:
        self.state = state


class Source:
    """Each iterator over it has a state of its own."""

    def __init__(self) -> None:
        self.made = 0

    def __iter__(self) -> Iterator[int]:
        self.made += 1
        return Numbers()


class Loader:
    """Its state goes on from one iterator to the next: each has an order that follows from how many there were."""

    def __init__(self) -> None:
        self.epoch, self.at, self.following = 0, 0, (0, 0)

    def __iter__(self) -> Iterator[int]:
        (epoch, self.at), self.following = self.following, (0, 0)
        self.epoch = epoch or self.epoch + 1
        return self._batches()

    def _batches(self) -> Iterator[int]:
        while self.at < 10:
            self.at += 1
            yield 100 * self.epoch + self.at - 1

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "at": [self.at]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.following = state["epoch"], state["at"].pop()  # it may do with it what it likes


def tracked(data: Any, *, is_ahead: bool = False, seen: int = 0) -> Tracked:
    return Tracked(data, Pair.of(data), is_ahead=is_ahead, seen=lambda: seen)


@pytest.mark.parametrize("data", [Source, Loader])
@given(before=st.integers(0, 10))
def test_an_iterator_begins_at_the_place(data: Any, before: int) -> None:
    """What is left of an epoch is the same, whatever the first process has drawn; it is told when it begins."""
    first = tracked(data())
    batches = iter(first)
    for _ in range(before):
        next(batches)
    state, other, told = first.state_after(before), tracked(data()), []
    other.begin_at(before, state, lambda: told.append(other.drawn))
    assert ([*other], told) == ([*batches], [before]) and other.drawn == 10
    assert next(iter(other)) == next(iter(first))  # the next one is another iterator, from the beginning


@given(before=st.integers(0, 9), ahead=st.integers(0, 9))
def test_a_place_that_was_read_over_is_known(before: int, ahead: int) -> None:
    """Where more is read than the training has got, the state after each batch is kept from there on."""
    first = tracked(Source(), is_ahead=True, seen=before)
    batches = iter(first)
    for _ in range(min(10, before + ahead)):
        next(batches)
    assert first.state_after(before) == {"next": before}
    assert [*first._states] == [*range(max(0, before - 1), min(10, before + ahead) + 1)]
    assert first.state_after(before + ahead + 1) is None


def test_a_place_that_is_not_known_is_none() -> None:
    """Before the first iterator, and where another number of batches was drawn than is asked for."""
    first = tracked(Source())
    assert first.state_after(0) is None
    next(iter(first))
    assert (first.state_after(0), first.state_after(1)) == (None, {"next": 1})


@pytest.mark.parametrize("drawn", [4, 10, 11])
def test_the_iterator_that_follows_is_the_next_one(drawn: int) -> None:
    """Between two epochs the next iterator is that which the first process makes next, also of one that ended."""
    first = tracked(Loader())
    batches = iter(first)
    for _ in range(drawn):
        next(batches, None)
    assert first.carries and first.has_ended is (drawn == 11)
    other = tracked(Loader())
    state = first.state_after(first.drawn)
    if not first.has_ended:
        other.follow(state, had_ended=False)
        assert [*other] == [*first]


def test_an_epoch_without_a_batch_leaves_its_iterator_behind() -> None:
    """An iterator that nobody asks for is made at the end of the epoch, not for the next one."""
    other = tracked(Source())
    other.begin_at(10, {"next": 10}, lambda: None)
    other.begin()
    assert [*other] == [*range(10)]
    other.begin()
    assert other.data.made == 2


def test_who_has_no_pair_is_none() -> None:
    """Both methods are needed."""
    assert Pair.of([1]) is None and Pair.of(type("Half", (), {"get_state": lambda self: 1})()) is None


def test_a_state_stays_as_it_is() -> None:
    """Neither does it change with the data, nor do the data change it."""
    data = Loader()
    state = tracked(data)
    next(iter(state))
    taken = state.state_after(1)
    Pair.of(data).set(taken)  # type: ignore[union-attr]
    data.at = 7
    assert taken == {"epoch": 1, "at": [1]}


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        ({}, True),
        ({"load_state_dict": lambda self, state: None}, True),
        ({"state_dict": lambda self: object(), "load_state_dict": lambda self, state: None}, False),
        ({"load_state_dict": lambda self, state: state["missing"]}, False),
    ],
)
def test_a_pair_is_tried(methods: dict[str, Any], expected: bool) -> None:
    """Methods that raise, or after which the state is another one, are no pair."""
    pair = Pair.of(type("Data", (Loader,), methods)())
    assert pair is not None and pair.works() is expected


class Stream:
    """Made anew by a method of its own; it may count a batch too late."""

    def __init__(self, *, late: bool = False) -> None:
        self.at, self.late = 0, late

    def batches(self) -> Iterator[Any]:
        while True:
            number = self.at
            self.at += not self.late
            yield np.array([number])
            self.at += self.late

    def state_dict(self) -> int:
        return self.at

    def load_state_dict(self, state: int) -> None:
        self.at = state


def peeked(stream: Stream, *, is_ahead: bool = False) -> tuple[Tracked, Iterator[Any]]:
    """A stream of which two batches were read before, and its first iterator."""
    generator = stream.batches()
    first = [next(generator), next(generator)]
    options = {"proves": True, "first": lambda: itertools.chain(first, generator), "peeked": 2}
    found = Tracked(Made(stream.batches), Pair.of(stream), is_ahead=is_ahead, seen=lambda: 0, **options)
    return found, iter(found)


@pytest.mark.parametrize("is_ahead", [False, True])
def test_what_was_read_before_is_read_once(is_ahead: bool) -> None:
    """No state is known among the batches that were read before; from then on each one leads to the next batch."""
    stream = Stream()
    found, batches = peeked(stream, is_ahead=is_ahead)
    read, states = [], []
    for seen in range(1, 5):
        read.append(next(batches)[0])
        states.append(found.state_after(seen))
    assert (read, states) == ([0, 1, 2, 3], [None, 2, 3, 4])
    found.begin_at(3, states[2], lambda: None)
    assert [next(batches)[0] for batches in [iter(found)] for _ in range(2)] == [3, 4]


def test_a_state_is_proved() -> None:
    """By the batch that followed the first one that is known; a stream that counts too late leads to another."""
    for late in (False, True):
        found, batches = peeked(Stream(late=late))
        assert (next(batches)[0], next(batches)[0], found.proof) == (0, 1, None)
        next(batches)
        assert found.proof is not None and found.proof.state == 2 - late
        other, _ = peeked(Stream(late=late))
        if not late:
            other.prove(found.proof)
            assert other.proof is found.proof
            continue
        with pytest.raises(
            ResumeError, match=r"Stream.state_dict/load_state_dict.*Count a batch before you yield"
        ):
            other.prove(found.proof)


def test_batches_of_objects_prove_nothing() -> None:
    """What is in them has no bytes."""
    data = Made(lambda: iter([np.array([object()])] * 3))
    found = Tracked(data, Pair.of(Stream()), is_ahead=False, seen=lambda: 0, proves=True)
    assert len([*found]) == 3 and found.proof is None
