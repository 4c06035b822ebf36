"""``callback-state diff``: each difference of two checkpoints, with both values, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import described, put, run
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
    return tuple(
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


def of(**attributes: Any) -> dict[str, Any]:
    """A checkpoint with one callback C that has these attributes."""
    return {"states": {"C": attributes}}


def at(path: str, *sides: Any) -> dict[str, Any]:
    """One difference; a side may be missing at the end."""
    return {"path": path, **dict(zip("ab", sides, strict=False))}


ITERATED = {"digest": "d", "iterations": 0, "variables": [], "optimizes": True, "configuration": {}}
TUPLE = {"$type": "tuple", "items": [1]}
RATES = [{"states": {"C": {}}, "arguments": {"C": {"rate": ("value", rate, None)}}} for rate in (1, 2)]
EXTRA = [{"run": {"extra": {"paths": [], "values": [seed], "replicas": {}, "trained": {}}}} for seed in (1, 2)]
ARGUMENTS = [{"training_args": {"a": [1, 2]}}, {"training_args": {"a": [1, 3], "b": 0}}]
DIFFERENT: dict[str, tuple[Any, Any, str, list[Any]]] = {
    "epoch": ({"epoch": 1}, {"epoch": 2}, "moment", [at("epoch", 1, 2), at("initial_epoch", 2, 3)]),
    "batch": ({"batch": None}, {"batch": 3}, "moment", [at("batch", None, 3), at("initial_epoch", 2, 1)]),
    "version": (
        {"versions": {"keras": "3.7"}},
        {"versions": {"keras": "4"}},
        "versions",
        [at("keras", "3.7", "4")],
    ),
    "arguments": (*ARGUMENTS, "training_args", [at("a[1]", 2, 3), {"path": "b", "b": 0}]),
    "weights": ({}, {"model": ITERATED}, "model", [at("digest", "", "d")]),
    "state": (of(x=1, y=[1]), of(x=2, y=[1]), "C", [at("x", 1, 2)]),
    "int-or-float": (of(x=1), of(x=1.0), "C", [at("x", 1, 1.0)]),
    "list-or-tuple": (of(x=[1]), of(x=(1,)), "C", [at("x", [1], TUPLE)]),
    "sign-of-zero": (of(x=0.0), of(x=-0.0), "C", [at("x", 0.0, -0.0)]),
    "inside": (of(x={"c": (1, [2])}), of(x={"c": (1, [3])}), "C", [at("x.c[1][0]", 2, 3)]),
    "appeared": (of(x=1), of(y=1), "C", [at("x", 1), {"path": "y", "b": 1}]),
    "callbacks": ({"states": {"A": {}, "C": {}}}, {"states": {"C": {}}}, "A", [at("", "package.A")]),
    "configuration": (*RATES, "C", [at("rate=", 1, 2)]),
    "extra variables": (*EXTRA, "run", [at("extra.values[0]", 1, 2)]),
}


@pytest.mark.parametrize(("a", "b", "part", "found"), DIFFERENT.values(), ids=DIFFERENT)
def test_a_difference_is_named(a: Any, b: Any, part: str, found: Any, tmp_path: Path) -> None:
    """By its part and path, with both values, down to the bit and the type."""
    assert compared(tmp_path, a, b)["differences"] == {part: found}


def saving(*stamps: int) -> dict[str, Any]:
    """The states of checkpoint callbacks that saved at these times."""
    return {f"C{i}": {"ledger": Ledger("m.keras", (("m.keras", None),), stamp=s)} for i, s in enumerate(stamps)}


START = {"at": 1, "epoch": 0, "batch": 0, "from": None, "due": None, "beside": 0}
SAME: dict[str, tuple[Any, Any]] = {
    "nothing": ({}, {}),
    "moments-of-saves": ({"saved_at": 5, "states": saving(5, 3)}, {"saved_at": 6, "states": saving(6, 4)}),
    "seconds": ({"run": {"seconds": 1.0}}, {"run": {"seconds": 2.0}}),
    "starts": ({"starts": []}, {"starts": [START]}),
    "trace": tuple(
        {"trace": {"epochs": [0], "learning_rate": [0.5], "ended_at": [at], "numbers": {}}} for at in (1, 2)
    ),
    "NaN": (of(x=float("nan")), of(x=float("nan"))),
    "order-of-a-set": (of(x={0, 8}), of(x={8, 0})),  # two orders in Python's table
}


@pytest.mark.parametrize(("a", "b"), SAME.values(), ids=SAME)
def test_what_is_the_same_is_no_difference(a: Any, b: Any, tmp_path: Path) -> None:
    """Also where the clock was another, and where a value does not equal itself."""
    assert compared(tmp_path, a, b)["same"] is True
    done = run("diff", tmp_path / "a", tmp_path / "b")
    assert done.status == Exit.OK and done.lines[2:] == ["no difference"]


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
    done = run("diff", *paths, "--all")
    assert done.status == Exit.DIFFERENT
    assert sum(line.endswith(" (they differ in something that is not shown here)") for line in done.lines) == 2


EVENTS = [
    {"files": {f"train/events.out.tfevents.{at}.host": 88}, "at": at} for at in (1_500_000_000, 1_600_000_000)
]


def test_what_may_differ_between_two_equal_runs_counts_only_with_all(tmp_path: Path) -> None:
    """Names of event files, private counters of Keras, digests of what is stored by value; it is said how many."""
    paths = []
    for i in range(2):
        board = described("keras.callbacks.TensorBoard", "TensorBoard") | {"outside": EVENTS[i]}
        states = {"TensorBoard": {"_global_train_batch": i}, "C": {"f": Raw("code", 0, "function f", "C.f")}}
        given = {"pickles": (CODE + bytes([i]),), "callbacks": [board, described("package.C", "C")]}
        paths.append(put(tmp_path / str(i), "m.keras", 1, states, **given))
    done = run("diff", *paths)
    assert done.status == Exit.OK and done.lines[2:] == ["no difference"]
    assert "5 more in files, private counters or digests" in " ".join(done.err.split())
    assert run("diff", *paths, "--json").json["same"] is True
    found = run("diff", *paths, "--all", "--json").json["differences"]
    assert sorted(one["path"].split("[")[0] for of in found.values() for one in of) == [
        "_global_train_batch",
        "f",
        "outside.at",
        "outside.files",
        "outside.files",
    ]


def test_a_private_attribute_of_the_users_counts(tmp_path: Path) -> None:
    """Whatever its name, it may be the state of a schedule."""
    assert compared(tmp_path, of(_step=1), of(_step=2))["differences"] == {"C": [at("_step", 1, 2)]}


def test_epochs_count_from_one_for_people_and_from_zero_for_programs(tmp_path: Path) -> None:
    """As in file names: 007.keras is epoch 7. Where a run goes on follows from the moment."""
    paths = two(tmp_path, {"epoch": 1}, {"epoch": 2, "batch": 3})
    lines = run("diff", *paths).lines
    assert lines[3:] == ["moment (epochs and batches from 1)", "  epoch  2 -> 3", "  batch  None -> 4"]
    found = run("diff", *paths, "--json").json["differences"]["moment"]
    assert found[:2] == [at("epoch", 1, 2), at("batch", None, 3)]


def series(**values: list[Any]) -> dict[str, Any]:
    return {"history": {"epochs": [*range(len(next(iter(values.values()))))], "series": values}}


OTHER = {"epoch": 0, "series": {"loss": [1.0, None], "acc": [None, 1.0]}}
HISTORIES: dict[str, tuple[Any, Any, Any, str]] = {
    "longer": (series(loss=[1.0]), series(loss=[1.0, 2.0]), None, "the same in all epochs that both have"),
    "other-values": (
        series(loss=[1.0, 2.0, 3.0], acc=[1, 1, 1]),
        series(loss=[1.0, 5.0, 6.0], acc=[1, 1, 2]),
        {"epoch": 1, "series": {"loss": [2.0, 5.0]}},
        "different from epoch 2 on:",
    ),
    "other-series": (series(loss=[1.0]), series(acc=[1.0]), OTHER, "loss  1.0 -> None"),
}


@pytest.mark.parametrize(("a", "b", "first", "line"), HISTORIES.values(), ids=HISTORIES)
def test_the_first_epoch_that_differs_is_named(a: Any, b: Any, first: Any, line: str, tmp_path: Path) -> None:
    """With the series and both values; a longer history is told from another one."""
    lengths = [len(side["history"]["epochs"]) for side in (a, b)]
    assert compared(tmp_path, a, b)["history"] == {"epochs": lengths, "first": first}
    assert line in [text.strip() for text in run("diff", tmp_path / "a", tmp_path / "b").lines]


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
