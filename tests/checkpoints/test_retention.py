"""Which checkpoints of a run are deleted."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callback_state._checkpoints.retention import surplus

Written = Sequence[tuple[str, float | None]]
values = st.none() | st.floats() | st.integers(0, 3).map(float)
runs = st.lists(values, min_size=1, max_size=12).map(lambda vs: [(f"{i:03}", v) for i, v in enumerate(vs)])
rules = st.none() | st.integers(1, 5)
NAN = float("nan")


def kept(written: Written, newest: int | None = None, best: int | None = None) -> str:
    """The names of what stays, in one text."""
    gone = surplus(written, newest=newest, best=best, better=operator.lt)
    return "".join(name for name, _ in written if name not in gone)


@pytest.mark.parametrize(
    ("values", "newest", "best", "expected"),
    [
        ([3, 1, 2], None, None, "abc"),
        ([3, 1, 2], 2, None, "bc"),
        ([3, 1, 2], 9, None, "abc"),
        ([3, 1, 2], None, 1, "bc"),
        ([1, 2, 3], None, 1, "ac"),
        ([1, 2, 3, 4], 1, 2, "abd"),
        ([1, None, 3, 4], None, 1, "abd"),
        ([None, None, None], None, 1, "abc"),
        ([None, 1, None, 2], 1, 1, "bd"),
        ([1, 1, 1, 1], None, 1, "ad"),
        ([NAN, NAN, 2, NAN], None, 1, "cd"),
        ([2, NAN, NAN], None, 2, "ac"),
        ([5], 1, 1, "a"),
    ],
    ids=[
        "no rule",
        "newest",
        "fewer than may be kept",
        "best",
        "the newest always",
        "both",
        "no value",
        "no value at all",
        "no value, but a rule of its own",
        "of equals the first",
        "NaN is never best",
        "NaN after the best",
        "one",
    ],
)
def test_what_is_kept(values: list[float | None], newest: int | None, best: int | None, expected: str) -> None:
    """The newest so many, the best so many, and in any case the last one."""
    assert kept(list(zip("abcdef", values, strict=False)), newest, best) == expected


@given(runs, rules, rules)
def test_no_more_and_no_less_is_kept_than_was_asked_for(
    written: Written, newest: int | None, best: int | None
) -> None:
    """At most newest + best + 1 stay; the last one always; without a rule all; with a looser rule no fewer.

    Those without a value, of which no rule speaks where only the best are kept, stay besides.
    """
    gone = surplus(written, newest=newest, best=best, better=operator.lt)
    stay = [name for name, _ in written if name not in gone]
    assert written[-1][0] in stay
    assert [name for name, _ in written if name in gone] == gone
    if newest is None and best is None:
        assert gone == []
    else:
        unjudged = sum(value is None for _, value in written) if newest is None else 0
        assert len(stay) <= (newest or 1) + (best or 0) + unjudged
        assert len(stay) >= min(len(written), newest or 1)
        more = surplus(written, newest=newest and newest + 1, best=best and best + 1, better=operator.lt)
        assert set(more) <= set(gone)


@given(runs, st.integers(1, 5))
def test_nothing_better_is_deleted(written: Written, best: int) -> None:
    """No value that is deleted is better than one that is kept for its value."""
    gone = set(surplus(written, newest=None, best=best, better=operator.lt))
    stay = [v for name, v in written[:-1] if name not in gone]
    lost = [v for name, v in written if name in gone and v is not None]
    assert not any(v is not None and w < v for v in stay for w in lost)
    valued = [v for _, v in written if v is not None and v == v]
    assert len([v for v in stay if v is not None]) >= min(best, len(valued)) - 1


def test_the_newest_are_kept_without_knowing_what_is_better() -> None:
    """Inside the first epoch nobody has decided yet whether smaller or larger is."""
    written = [("a", 1.0), ("b", 2.0), ("c", 3.0)]
    assert surplus(written, newest=2, best=None, better=None) == ["a"]
