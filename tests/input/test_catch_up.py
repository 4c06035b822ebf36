"""Batches are read again without training: just as many as there were, at their own speed, and it is shown."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras.src.trainers.data_adapters.generator_data_adapter import GeneratorDataAdapter

from callback_state import ResumeError
from callback_state._input.catch_up import Reader
from callback_state._keras.epoch_iterator import replace_stream

COUNTS = st.integers(0, 500)
HEADING = "Reading up to the batch of the checkpoint:\n"


def reader(expected: int, verbose: bool = False) -> Reader:
    return Reader(expected, verbose=verbose)


# Iterators.


@given(n=COUNTS, more=st.integers(0, 9))
def test_just_as_many_are_drawn(n: int, more: int) -> None:
    """The next batch is the one after those that were to be read."""
    made, batches = reader(n), iter(range(n + more))
    made.draw(batches, n, 1)
    assert made.drawn == n and list(batches) == list(range(n, n + more))


@given(n=COUNTS, missing=st.integers(1, 12), at_once=st.integers(1, 9))
def test_only_the_last_execution_may_find_fewer(n: int, missing: int, at_once: int) -> None:
    """Of several steps at once some may be missing, but not all: that is an error with both numbers."""
    made, batches = reader(n + missing), iter(range(n))
    if missing < at_once:
        made.draw(batches, n + missing, at_once)
    else:
        with pytest.raises(ResumeError, match=f"ended after {n} batches, .*taken after {n + missing}:"):
            made.draw(batches, n + missing, at_once)
    assert made.drawn == n


def test_what_was_passed_in_another_way_is_not_drawn() -> None:
    """Data that were entered at the batch are there already."""
    made, batches = reader(3), iter(range(9))
    made.drawn = 3
    made.draw(batches, 3, 1)
    assert next(batches) == 0 and made.drawn == 3


# Python generators.


def counted(given_out: list[int], end: int = 1000) -> Iterator[Any]:
    for i in range(end):
        given_out.append(i)
        yield ([float(i)],)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 150, 999, 1000])
def test_no_thread_reads_a_generator_ahead(n: int) -> None:
    """It has given exactly as many as were read, or as Keras looked at before."""
    given_out: list[int] = []
    adapter = GeneratorDataAdapter(counted(given_out))
    looked_at, threads = len(given_out), threading.active_count()
    replace_stream(adapter, reader(n).read)
    assert given_out == list(range(max(n, looked_at)))
    assert threading.active_count() == threads
    rest = [batch[0][0] for batch in adapter.generator()]
    assert rest == list(range(n, 1000))


def test_generator_is_gone_on_with_once() -> None:
    """The next iterator gets what is left; later ones what they would have got."""
    streams: list[Iterator[int]] = []

    def make() -> Iterator[int]:
        streams.append(iter(range(10 * len(streams), 10 * len(streams) + 5)))
        return streams[-1]

    adapter = SimpleNamespace(generator=make)
    made = reader(2)
    replace_stream(adapter, made.read)
    assert made.drawn == 2 and len(streams) == 1
    assert [list(adapter.generator()) for _ in range(3)] == [[2, 3, 4], [*range(10, 15)], [*range(20, 25)]]


@pytest.mark.parametrize("there", [0, 3, 9])
def test_generator_that_ends_is_refused(there: int) -> None:
    """Both numbers are named, and the adapter is as it was."""

    def make() -> Iterator[int]:
        return iter(range(there))

    adapter = SimpleNamespace(generator=make)
    with pytest.raises(ResumeError, match=f"ended after {there} batches, .*taken after 10:"):
        replace_stream(adapter, reader(10).read)
    assert adapter.generator is make


# What is shown.


@pytest.mark.parametrize("n", [1, 3, 250])
def test_bar_is_shown_once_and_gets_full(capsys: pytest.CaptureFixture[str], n: int) -> None:
    """One heading above one bar, which ends with all batches, also where they are drawn in pieces."""
    made, batches = reader(n, verbose=True), itertools.count()
    for _ in range(n):
        made.draw(batches, 1, 1)
    shown = capsys.readouterr().out
    assert shown.startswith(HEADING) and shown.count(HEADING) == 1
    assert f"{n}/{n}" in shown and f"{n + 1}/" not in shown


def test_bar_moves_while_many_are_read() -> None:
    """About a hundred times, however many batches are drawn at once."""
    added: list[int] = []
    made = reader(5000, verbose=True)
    made._bar = SimpleNamespace(add=added.append)
    made.draw(itertools.count(), 5000, 1)
    assert added == [50] * 100


@pytest.mark.parametrize(("n", "verbose"), [(5, False), (0, True)], ids=["silent", "nothing to read"])
def test_nothing_is_shown(capsys: pytest.CaptureFixture[str], n: int, verbose: bool) -> None:
    """Neither where ``fit`` shows no bar, nor where nothing has to be read."""
    made = reader(n, verbose)
    made.draw(itertools.count(), n, 1)
    made.read(itertools.count)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
