"""``callback-state diff``: each difference of two checkpoints, with both values, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import put, run
from hostile.tables import Raw
from hypothesis import given, settings
from plain_values import plain
from test_cli_show import CODE, view

from callback_state._format.table import MISSING
from callback_state._saving.ledger import Ledger
from callback_state.cli.shell.exits import Exit
from callback_state.cli.values.differences import differences, same


def two(directory: Path, a: dict[str, Any], b: dict[str, Any]) -> tuple[Path, Path]:
    """Two checkpoints of one moment; each of them with options of ``commands.put``."""
    return tuple(  # type: ignore[return-value]
        put(directory / name, "m.keras", 1, options.pop("states", {"C": {"x": 1}}), **options)
        for name, options in (("a", a), ("b", b))
    )


def compared(directory: Path, a: dict[str, Any], b: dict[str, Any]) -> Any:
    """What ``diff --json`` says; its status, and that of the other way, fit."""
    paths = two(directory, a, b)
    done, again = run("diff", *paths, "--json"), run("diff", *reversed(paths))
    assert done.err == again.err == ""
    assert done.status == again.status == (Exit.OK if done.json["same"] else Exit.DIFFERENT)
    return done.json


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        (
            {"epoch": 1},
            {"epoch": 2},
            {"moment": [{"path": "epoch", "a": 1, "b": 2}, {"path": "initial_epoch", "a": 2, "b": 3}]},
        ),
        ({"batch": 2, "epoch": 1}, {"batch": 3, "epoch": 1}, {"moment": [{"path": "batch", "a": 2, "b": 3}]}),
        (
            {"versions": {"keras": "3.7"}},
            {"versions": {"keras": "3.15"}},
            {"versions": [{"path": "keras", "a": "3.7", "b": "3.15"}]},
        ),
        (
            {"training_args": {"a": [1, 2]}},
            {"training_args": {"a": [1, 3], "b": 0}},
            {"training_args": [{"path": "a[1]", "a": 2, "b": 3}, {"path": "b", "b": 0}]},
        ),
        (
            {},
            {"model": {"digest": "d", "iterations": 0, "variables": [], "optimizes": True}},
            {"model": [{"path": "digest", "a": "", "b": "d"}]},
        ),
        (
            {"states": {"C": {"x": 1, "y": [1]}}},
            {"states": {"C": {"x": 2, "y": [1]}}},
            {"C": [{"path": "x", "a": 1, "b": 2}]},
        ),
        ({"states": {"C": {"x": 1}}}, {"states": {"C": {"x": 1.0}}}, {"C": [{"path": "x", "a": 1, "b": 1.0}]}),
        (
            {"states": {"C": {"x": [1]}}},
            {"states": {"C": {"x": (1,)}}},
            {"C": [{"path": "x", "a": [1], "b": {"$type": "tuple", "items": [1]}}]},
        ),
        (
            {"states": {"C": {"x": 0.0}}},
            {"states": {"C": {"x": -0.0}}},
            {"C": [{"path": "x", "a": 0.0, "b": -0.0}]},
        ),
        (
            {"states": {"C": {"a b": {"c": (1, [2])}}}},
            {"states": {"C": {"a b": {"c": (1, [3])}}}},
            {"C": [{"path": "a b.c[1][0]", "a": 2, "b": 3}]},
        ),
        (
            {"states": {"C": {"x": 1}}},
            {"states": {"C": {"y": 1}}},
            {"C": [{"path": "x", "a": 1}, {"path": "y", "b": 1}]},
        ),
        (
            {"states": {"A": {}, "B": {}}},
            {"states": {"B": {}, "D": {}}},
            {"A": [{"path": "", "a": "package.A"}], "D": [{"path": "", "b": "package.D"}]},
        ),
        (
            {"arguments": {"C": {"rate": ("value", 1, None)}}},
            {"arguments": {"C": {"rate": ("value", 2, None)}}},
            {"C": [{"path": "rate=", "a": 1, "b": 2}]},
        ),
        (
            {"run": {"seeds": {"seeds": [1], "replicas": {}}}},
            {"run": {"seeds": {"seeds": [2], "replicas": {}}}},
            {"run": [{"path": "seeds.seeds[0]", "a": 1, "b": 2}]},
        ),
    ],
    ids=[
        "epoch",
        "batch",
        "version",
        "arguments",
        "weights",
        "state",
        "int-or-float",
        "list-or-tuple",
        "sign-of-zero",
        "inside",
        "appeared",
        "callbacks",
        "configuration",
        "seeds",
    ],
)
def test_a_difference_is_named(a: Any, b: Any, found: Any, tmp_path: Path) -> None:
    """By its part and path, with both values, down to the bit and the type."""
    assert compared(tmp_path, a, b)["differences"] == found


def saving(*stamps: int) -> dict[str, Any]:
    """The states of checkpoint callbacks that saved at these times."""
    return {f"C{i}": {"ledger": Ledger("m.keras", (("m.keras", None),), stamp=s)} for i, s in enumerate(stamps)}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({}, {}),
        ({"saved_at": 5, "states": saving(5, 3)}, {"saved_at": 6, "states": saving(6, 4)}),
        ({"run": {"seconds": 1.0}}, {"run": {"seconds": 2.0}}),
        ({"starts": []}, {"starts": [{"at": 1, "epoch": 0, "batch": 0, "from": None, "due": None, "beside": 0}]}),
        (
            {"trace": {"epochs": [0], "learning_rate": [0.5], "ended_at": [1]}},
            {"trace": {"epochs": [0], "learning_rate": [0.5], "ended_at": [2]}},
        ),
        ({"states": {"C": {"x": float("nan")}}}, {"states": {"C": {"x": float("nan")}}}),
        ({"states": {"C": {"x": {0, 8}}}}, {"states": {"C": {"x": {8, 0}}}}),  # two orders in Python's table
    ],
    ids=["nothing", "moments-of-saves", "seconds", "starts", "trace", "NaN", "order-of-a-set"],
)
def test_what_is_the_same_is_no_difference(a: Any, b: Any, tmp_path: Path) -> None:
    """Also where the clock was another, and where a value does not equal itself."""
    assert compared(tmp_path, a, b)["same"] is True
    done = run("diff", tmp_path / "a", tmp_path / "b")
    assert done.status == Exit.OK and len(done.lines) == 2


def test_arrays_and_code_differ_by_their_bytes(tmp_path: Path) -> None:
    """Where shape, numbers or words are the same, it is said that the difference is not shown."""
    paths = [
        put(
            tmp_path / name,
            "m.keras",
            1,
            {"C": {"x": np.array(order), "f": Raw("code", 0, "function f", "C.f")}},
            pickles=(CODE + name.encode(),),
        )
        for name, order in (("a", [1, 2, 3]), ("b", [1, 3, 2]))
    ]
    done = run("diff", *paths)
    assert done.status == Exit.DIFFERENT
    assert sum(line.endswith(" (they differ in something that is not shown here)") for line in done.lines) == 2


def series(**values: list[Any]) -> dict[str, Any]:
    return {"history": {"epochs": [*range(len(next(iter(values.values()))))], "series": values}}


@pytest.mark.parametrize(
    ("a", "b", "found", "line"),
    [
        (
            series(loss=[1.0, 2.0]),
            series(loss=[1.0, 2.0, 3.0]),
            {"epochs": [2, 3], "first": None},
            "  the same in all epochs that both have",
        ),
        (
            series(loss=[1.0, 2.0, 3.0], acc=[1, 1, 1]),
            series(loss=[1.0, 5.0, 6.0], acc=[1, 1, 2]),
            {"epochs": [3, 3], "first": {"epoch": 1, "series": {"loss": [2.0, 5.0]}}},
            "  different from epoch 1 on:",
        ),
        (
            series(loss=[1.0]),
            series(acc=[1.0]),
            {"epochs": [1, 1], "first": {"epoch": 0, "series": {"loss": [1.0, None], "acc": [None, 1.0]}}},
            "    loss  1.0 -> None",
        ),
    ],
    ids=["longer", "other-values", "other-series"],
)
def test_the_first_epoch_that_differs_is_named(a: Any, b: Any, found: Any, line: str, tmp_path: Path) -> None:
    """With the series and both values; a longer history is told from another one."""
    assert compared(tmp_path, a, b)["history"] == found
    assert line.strip() in [text.strip() for text in run("diff", tmp_path / "a", tmp_path / "b").lines]


def test_differences_are_printed_in_pairs(tmp_path: Path) -> None:
    """A line each, under the part that they are of; of very many the first ones."""
    paths = two(tmp_path, {"states": {"C": {"x": 1, "y": [0] * 100}}}, {"states": {"C": {"x": 2, "y": [1] * 100}}})
    done = run("diff", *paths)
    assert done.lines[:5] == [f"A  {paths[0]}", f"B  {paths[1]}", "", "C", "  x      1 -> 2"]
    assert done.lines[-1] == "  and 81 more; --json has all"


def test_directories_are_compared_by_their_newest(tmp_path: Path) -> None:
    """That is: two runs."""
    for name, step in (("a", 1), ("b", 2)):
        put(tmp_path / name, "1.keras", 1, {"C": {"step": 0}})
        put(tmp_path / name, "2.keras", 2, {"C": {"step": step}})
    found = run("diff", tmp_path / "a", tmp_path / "b", "--json").json
    assert found["a"].endswith("2.keras") and found["differences"] == {"C": [{"path": "step", "a": 1, "b": 2}]}


@given(plain, plain)
@settings(max_examples=100, deadline=None)
def test_any_two_values_differ_where_they_do(a: Any, b: Any) -> None:
    """Nowhere if they are the same; else each place that is named has two values that are not."""
    left, right = view(a), view(b)
    assert [*differences(left, view(a))] == []
    assert all(one.a is MISSING or one.b is MISSING or not same(one.a, one.b) for one in differences(left, right))
