"""Older state files are completed, and nothing that a file says is changed by that."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from states import META, RUN

from callback_state._checkpoints.schema import SHAPE, check, complete
from callback_state._checkpoints.summary import Summary

ENTRY = {"key": "A", "class": "a.A", "version": 1, "arguments": {}}
#: What was added later, and what it is in a file that does not say it.
LATER = {
    ("meta", "stops"): False,
    ("meta", "data"): {},
    ("meta", "doubts"): [],
    ("meta", "model", "variables"): [],
    ("meta", "callbacks", 0, "outside"): None,
    ("run", "metrics"): [],
    ("run", "logs"): {},
    ("run", "data"): None,
    ("meta", "model", "optimizes"): True,
    ("run", "seconds"): 0.0,
    ("meta", "starts"): [],
    ("meta", "trace"): {"epochs": [], "learning_rate": [], "ended_at": []},
}
SOURCE = {
    "before": 0,
    "made": 1,
    "goes_on": True,
    "seen": 3,
    "steps": 1,
    "batches": 5,
    "passes": [],
    "generators": [{}],
}
NOW = {
    ("meta", "stops"): True,
    ("meta", "data"): {"batches": 3},
    ("meta", "doubts"): ["perhaps"],
    ("meta", "model", "variables"): ["a (2,) float32"],
    ("meta", "callbacks", 0, "outside"): {"log": 3},
    ("run", "metrics"): [("loss/total", 1)],
    ("meta", "model", "optimizes"): False,
    ("meta", "starts"): [{"at": 1, "epoch": 0, "batch": 0, "from": None, "due": (0, 0), "beside": 0}],
    ("meta", "trace"): {"epochs": [0], "learning_rate": [None], "ended_at": [1]},
    ("run", "seconds"): 2.5,
    ("run", "logs"): {"loss": 1.0},
    ("run", "data"): {"training": SOURCE, "validation": None, "attributes": [{}], "drawn_from": ["numpy"]},
}


def old() -> Any:
    """What a release before resumes inside an epoch wrote, but for one callback."""
    model = {"digest": "", "iterations": 0}
    return copy.deepcopy({"meta": {**META, "model": model, "callbacks": [ENTRY]}, "run": RUN})


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


@given(known=st.sets(st.sampled_from(list(LATER))))
def test_what_is_not_said_is_added_and_nothing_else(known: set[Any]) -> None:
    """Whichever of the later keys a file has: they stay, the others get what holds for an older file."""
    decoded = old()
    for path in known:
        at(decoded, path[:-1])[path[-1]] = copy.deepcopy(NOW[path])
    before = copy.deepcopy(decoded)
    done = complete(decoded)
    check(done, SHAPE, "")
    for path, default in LATER.items():
        assert at(done, path) == (NOW[path] if path in known else default)
        assert type(at(done, path)) is type(NOW[path] if path in known else default)
        at(done, path[:-1]).pop(path[-1])
        at(before, path[:-1]).pop(path[-1], None)
    assert done == before


def test_two_files_do_not_share_what_was_added() -> None:
    """What one restore appends to is not in the next."""
    first, second = complete(old()), complete(old())
    first["meta"]["model"]["variables"].append("a")
    assert second["meta"]["model"]["variables"] == []


@pytest.mark.parametrize("part", ["meta", "run"])
@pytest.mark.parametrize("wrong", [None, [], "text", 3], ids=["none", "list", "text", "number"])
def test_parts_of_another_type_are_refused(part: str, wrong: Any) -> None:
    """With the error that a wrong shape has."""
    decoded = {**old(), part: wrong}
    with pytest.raises(TypeError, match=rf"^\.{part}: expected dict, found {type(wrong).__name__}$"):
        complete(decoded)


def test_parts_that_are_missing_are_refused() -> None:
    """A file without one was written by no release."""
    for part in ("meta", "run"):
        decoded = old()
        del decoded[part]
        with pytest.raises(KeyError, match=part):
            complete(decoded)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("made",), None),
        (("goes_on",), 1),
        (("seen",), 1.5),
        (("steps",), "1"),
        (("batches",), "5"),
        (("before",), None),
        (("passes",), None),
        (("generators",), {}),
        (("generators", 0), []),
    ],
    ids=lambda value: str(value[-1]) if isinstance(value, tuple) else "",
)
@pytest.mark.parametrize("source", ["training", "validation"])
def test_how_far_data_were_read_is_judged(source: str, path: tuple[Any, ...], wrong: Any) -> None:
    """Of the training data and of the validation data alike; the error says where."""
    decoded = complete(old())
    saved = decoded["run"]["data"] = {**copy.deepcopy(NOW["run", "data"]), "validation": copy.deepcopy(SOURCE)}
    check(decoded, SHAPE, "")
    at(saved[source], path[:-1])[path[-1]] = wrong
    with pytest.raises(TypeError, match=rf"\.run\.data\.{source}\.{path[0]}"):
        check(decoded, SHAPE, "")


@pytest.mark.parametrize("key", ["training", "validation", "attributes", "drawn_from"])
def test_what_is_missing_of_the_data_is_named(key: str) -> None:
    """A file that says something of the data says all."""
    decoded = complete(old())
    decoded["run"]["data"] = copy.deepcopy(NOW["run", "data"])
    del decoded["run"]["data"][key]
    with pytest.raises(KeyError, match=key):
        check(decoded, SHAPE, "")


@pytest.mark.parametrize("path", [("epoch",), ("saved_at",), ("model", "iterations"), ("monitor",)], ids=".".join)
def test_numbers_that_no_run_reaches_are_refused(path: tuple[str, ...]) -> None:
    """Python refuses to write an integer of thousands of digits: whoever shows it would fail."""
    decoded = complete(old())
    huge = 1 << 70_000
    at(decoded["meta"], path[:-1])[path[-1]] = ("loss", huge) if path == ("monitor",) else huge
    with pytest.raises(ValueError, match=r"\.meta\..*more than 63 bits"):
        check(decoded, SHAPE, "")
    if path in (("epoch",), ("saved_at",), ("monitor",)):
        assert Summary.from_node(Summary.of(decoded["meta"]).node()) is None


@pytest.mark.parametrize("due", [(), (1,), (1, 2, 3), (1, None), ("a", 1)], ids=repr)
def test_what_a_start_was_due_to_go_on_with_is_an_epoch_and_a_batch(due: Any) -> None:
    """Two integers, as every reader takes them apart; anything else is no state file of this package."""
    decoded = complete(old())
    decoded["meta"]["starts"] = [{**NOW["meta", "starts"][0], "due": due}]
    with pytest.raises((TypeError, ValueError), match=r"meta\.starts\.due"):
        check(decoded, SHAPE, "")
