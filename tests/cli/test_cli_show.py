"""``callback-state show``: every value of a checkpoint, in words and as JSON, none of them built."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import put, run
from hostile.tables import Raw, Ref
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_values import VALUES, Plain, cyclic, encode, plain
from recorded_runs import doubt, variable
from test_cli import STEERS

from callback_state._format.encode import Encoder
from callback_state._units import age_of, size_of
from callback_state.cli.shell.exits import Exit
from callback_state.cli.shell.output import printable
from callback_state.cli.values.phrases import words
from callback_state.cli.values.view import MAX_DEPTH, Viewer

CODE = b"\x80\x04\x8c\x02os\x8c\x06system\x93."


def view(value: Any) -> Any:
    table = encode(value)
    return Viewer(table.nodes).of(table.root, "C.x")


def shown(directory: Path, value: Any, **options: Any) -> tuple[Any, str]:
    """An attribute as ``show --json`` has it, and the line that ``show`` prints of it."""
    path = put(directory, "m.keras", 1, {"C": {"attribute": value}}, **options)
    data, text = run("show", path, "--json"), run("show", path)
    assert (data.status, text.status, data.err, text.err) == (0, 0, "", "")
    (line,) = [line for line in text.lines if line.strip().startswith("attribute ")]
    return data.json["callbacks"][0]["state"]["attribute"], line.strip().removeprefix("attribute  ")


@pytest.mark.parametrize("name", VALUES)
def test_a_value_of_every_kind_is_shown(name: str) -> None:
    """As JSON that any reader takes, in one printable line, and the same each time."""
    found = view(VALUES[name])
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found and view(VALUES[name]) == found
    line = words(found)
    assert line and len(line) <= 200 and "\n" not in line


@pytest.mark.parametrize(
    ("value", "data", "line"),
    [
        (None, None, "None"),
        (True, True, "True"),
        (1, 1, "1"),
        (-0.0, -0.0, "-0.0"),
        ("a'", "a'", '"a\'"'),
        ([1, [2]], [1, [2]], "[1, [2]]"),
        ({"a": {}}, {"a": {}}, "{'a': {}}"),
        ((1,), {"$type": "tuple", "items": [1]}, "(1,)"),
        ({3, 1}, {"$type": "set", "items": [1, 3]}, "{1, 3}"),
        ({1: "a"}, {"$type": "dict", "items": [[1, "a"]]}, "{1: 'a'}"),
        ({"$type": 1}, {"$type": "dict", "items": [["$type", 1]]}, "{'$type': 1}"),
        (float("inf"), {"$type": "float", "value": "inf"}, "inf"),
        (b"\0\x1b", {"$type": "bytes", "size": 2, "hex": "001b"}, "bytes(2: 001b)"),
        (np.float32(0.5), {"$type": "scalar", "dtype": "float32", "value": 0.5}, "float32(0.5)"),
        (1 << 9000, {"$type": "int", "hex": hex(1 << 9000)}, None),
        (
            Plain(1, "b"),
            {"$type": "object", "class": "plain_values.Plain", "fields": {"x": 1, "y": "b"}},
            "plain_values.Plain(x=1, y='b')",
        ),
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_a_value_is_shown_as(value: Any, data: Any, line: str | None, tmp_path: Path) -> None:
    """Plain JSON where that says it all; else an object that names the kind."""
    found, text = shown(tmp_path, value)
    assert json.dumps(found) == json.dumps(data) and (line is None or text == line)


ARRAYS: list[tuple[str, Any, tuple[Any, Any, Any], str]] = [
    ("numbers", np.array([[1, 2], [3, 6]], "int32"), (1, 6, 3.0), "<array int32 2x2, min 1, max 6, mean 3>"),
    ("NaN", np.array([1, math.nan, 3.0], "f4"), (1.0, 3.0, 2.0), "<array float32 3, min 1, max 3, mean 2, NaN 1>"),
    ("only-NaN", np.array([math.nan]), (None, None, None), "NaN 1"),
    ("empty", np.zeros((0, 3)), (None, None, None), "<array float64 0x3, sha256 e3b0c442>"),
    ("infinite", np.array([1, math.inf]), (1.0, *[{"$type": "float", "value": "inf"}] * 2), "max inf, mean inf"),
    ("truth", np.array([True, False]), (False, True, 0.5), "min False, max True, mean 0.5"),
    ("texts", np.array(["a", "\x1b"]), (None, None, None), "<array <U1 2, sha256 "),
    ("complex", np.array([1j]), (None, None, None), "<array complex128 1, sha256 "),
    ("times", np.array(["2020-01-01"], "M8[D]"), (None, None, None), "<array datetime64[D] 1, sha256 "),
    ("0-d", np.array(2.5), (2.5, 2.5, 2.5), "<array float64 0-d, min 2.5"),
    ("large", np.full(5, np.iinfo("u8").max), (2**64 - 1, 2**64 - 1, 2.0**64), "max 18446744073709551615"),
    ("small floats", VALUES["bfloat16"], (0.0, 1.5, 0.75), "<array bfloat16 2, min -0, max 1.5, mean 0.75"),
    ("overflowing", np.full(9, 3e38, "f4"), (3e38, 3e38, 3e38), "mean 3e+38"),
]


@pytest.mark.parametrize(("array", "numbers", "line"), [case[1:] for case in ARRAYS], ids=[c[0] for c in ARRAYS])
def test_an_array_is_told_by_its_numbers(array: Any, numbers: Any, line: str, tmp_path: Path) -> None:
    """dtype, shape, min, max and mean; NaN are counted, and what has no numbers has its digest."""
    found, text = shown(tmp_path, array)
    assert (found["dtype"], found["shape"]) == (str(array.dtype), [*array.shape])
    for name, expected in zip(("min", "max", "mean"), numbers, strict=True):
        assert found[name] == (pytest.approx(expected) if isinstance(expected, float) else expected)
    assert found.get("nan", 0) == (np.isnan(array).sum() if array.dtype.kind == "f" else 0)
    assert len(found["sha256"]) == 64 and line in text


def test_what_is_shared_or_cyclic_is_shown_once() -> None:
    """Then it is named; so nothing is endless, and what is the same object can be told from an equal one."""
    inner: list[Any] = [1]
    inner.append(inner)
    assert view({"a": inner, "b": inner, "c": [1]}) == {
        "a": [1, {"$type": "same", "as": "C.x['a']"}],
        "b": {"$type": "same", "as": "C.x['a']"},
        "c": [1],
    }
    assert words({"$type": "same", "as": "C.x"}) == "<same as C.x>"


def test_what_lies_deep_is_cut_off() -> None:
    """A list within a thousand others; Python itself would not write it as JSON."""
    made: Any = []
    for _ in range(1000):
        made = [made]
    found, depth = view(made), 0
    while isinstance(found, list):
        (found,), depth = found, depth + 1
    assert (found, depth) == ({"$type": "deeper"}, MAX_DEPTH)


def test_a_tower_of_shared_parts_stays_small() -> None:
    """Each level twice the one below: shown in full it would have 2**60 parts."""
    made: Any = (1,)
    for _ in range(45):
        made = (made, made)
    assert len(json.dumps(view(made))) < 10_000


def test_parts_that_are_shared_too_often_are_refused(tmp_path: Path) -> None:
    """Each array would look at the same thousands of numbers anew; a small file could keep it busy for hours."""
    shape = (1,) * 20_000
    arrays = [Raw("array", "<f4", Ref(shape), "C", bytes(4), True) for _ in range(20)]
    path = put(tmp_path, "m.keras", 1, {"C": {"x": arrays}})
    done = run("show", path)
    assert done.status == Exit.DAMAGED and "shared too often" in done.err


@pytest.mark.parametrize(
    ("node", "data", "line"),
    [
        (variable(np.array([0.5], "f4")), "value", "variable <array float32"),
        (Raw("variable", None, "optimizer", 3), "index", "<variable 3 of the optimizer>"),
        (Raw("tensor", Ref(np.array([0.5], "f4"))), "value", "tensor <array float32 1"),
        (
            Raw("variables", "an object of class keras.SeedGenerator", [Ref(np.array([1]))]),
            "values",
            "<an object of class keras.SeedGenerator> [<array int64",
        ),
        (Raw("reference", "an object of class keras.Model"), "to", "<an object of class keras.Model>"),
        (Raw("callback", "an object of class C", ["wait", 3]), "fields", "an object of class C(wait=3)"),
        (Raw("code", 0, "function f", "C.attribute"), "needs", "<function f, by value>"),
        (Raw("value", 7, "an object of class C", "C.attribute"), "sha256", "<an object of class C, by value>"),
    ],
    ids=["variable", "of-the-model", "tensor", "of-a-part", "part", "callback", "code", "of-no-place"],
)
def test_what_is_not_plain_is_shown(node: Raw, data: str, line: str, tmp_path: Path) -> None:
    """By what it is; variables by their values."""
    found, text = shown(tmp_path, node, pickles=(CODE,))
    assert data in found and text.startswith(line)


def test_what_needs_trust_is_named(tmp_path: Path) -> None:
    """With the names that reading it would look up; it is not read."""
    node = Raw("code", 0, "function f", "C.schedule")
    arguments = {"C": {"fn": ("opaque", "function g", 0), "path": ("opaque", "a file", None)}}
    path = put(tmp_path, "m.keras", 1, {"C": {"schedule": node}}, arguments, pickles=(CODE,))
    found = run("show", path, "--json").json
    assert found["needs"] == [
        {"path": "C.schedule", "what": "function f", "names": ["os.system"]},
        {"path": "C(fn=)", "what": "function g", "names": ["os.system"]},
    ]
    assert found["callbacks"][0]["configuration"]["path"] == {"$type": "unsaved", "to": "a file"}
    text = run("show", path)
    assert "C.schedule (function f) needs os.system" in text.out and "<a file>" in text.out


def test_configuration_is_shown(tmp_path: Path) -> None:
    """Values, also those with a table of their own, and digests of large ones."""
    table = Encoder(canonical=True).table((1, "b"))
    arguments = {
        "C": {
            "rate": ("value", 0.5, None),
            "layers": ("value", (table.nodes, table.root), None),
            "weights": ("digest", "ab" * 32, None),
        }
    }
    path = put(tmp_path, "m.keras", 1, {"C": {}}, arguments)
    assert run("show", path, "--json").json["callbacks"][0]["configuration"] == {
        "rate": 0.5,
        "layers": {"$type": "tuple", "items": [1, "b"]},
        "weights": {"$type": "large", "sha256": "ab" * 32},
    }
    lines = [line.split() for line in run("show", path).lines]
    for line in (["rate", "0.5"], ["layers", "(1,", "'b')"], ["weights", "<large", "abababab>"]):
        assert line in lines


def test_the_run_is_shown(tmp_path: Path) -> None:
    """Moment, versions, monitored value, model, arguments, history, starts and doubts."""
    start = {"at": 10**18, "epoch": 2, "batch": 5, "from": 4, "due": (2, 5), "beside": 0}
    path = put(
        tmp_path,
        "m.keras",
        2 * 10**18,
        epoch=2,
        batch=6,
        initial_epoch=2,
        epochs=9,
        monitor=("loss", 0.25),
        training_args={"rate": 0.5},
        versions={"keras": "3.15.1"},
        doubts=[doubt("tf.random in the step")],
        starts=[start],
        history={"epochs": [0, 1], "series": {"loss": [1.0, 0.5]}},
        model={"digest": "d", "iterations": 12, "variables": ["a"], "optimizes": True, "configuration": {}},
    )
    text = run("show", path).out
    for line in (
        r"saved +2033-05-18 03:33:20 UTC",
        r"after +epoch 3/9, batch 7 \(from 1\)",
        r"restart +goes on with epoch 3, batch 8",
        r"monitors +loss 0.25",
        r"model +\d+ B, variables: 1, steps: 12",
        r"versions +keras 3.15.1",
        r"doubt +tf.random in the step",
        r"started +2001-09-09 01:46:40 UTC, with epoch 3, batch 6",
        r"rate +0.5",
        r"loss +0.5",
    ):
        assert re.search(line, text)
    found = run("show", path, "--json").json
    assert found["moment"]["batch"] == 6 and found["history"] == {"epochs": [0, 1], "series": {"loss": [1.0, 0.5]}}
    assert found["starts"] == [{**start, "due": {"$type": "tuple", "items": [2, 5]}}]


@pytest.mark.parametrize("what", ["versions", "training_args", "attributes", "arguments", "callbacks", "needs"])
def test_a_crafted_file_prints_a_page_and_no_book(what: str, tmp_path: Path) -> None:
    """Of 900 or 100,000 of one kind only the first are printed, and how many there are."""
    many = {f"name{i}": "x" * 100 for i in range(900 if what in ("callbacks", "needs") else 100_000)}
    states: Any = {"C": {}}
    if what in ("callbacks", "needs"):
        states = {name: {"held": Raw("code", 0, "f", f"{name}.held")} if what == "needs" else {} for name in many}
    elif what == "attributes":
        states = {"C": many}
    arguments = {"C": dict.fromkeys(many, ("value", 1, None))} if what == "arguments" else None
    more = {what: many} if what in ("versions", "training_args") else {}
    found = run("show", put(tmp_path, "m.keras", 1, states, arguments, pickles=(CODE,), **more))
    assert (found.status, found.err) == (0, "") and len(found.out) < 60_000 and len(found.lines) < 600
    assert re.search(r"and \d+ more", found.out)


def test_a_crafted_file_does_not_flood_the_doctor(tmp_path: Path) -> None:
    """The first of 5,000 objects that need trust are named."""
    held = {f"name{i}": Raw("value", 0, "an object", f"C.name{i}") for i in range(5000)}
    path = put(tmp_path, "m.keras", 1, {"C": held}, pickles=(CODE,))
    assert re.search(r"\nand \d+ more; --json has all\n", run("doctor", path).out)
    assert len(run("doctor", path).lines) < 400


def test_the_end_of_a_run_is_shown(tmp_path: Path) -> None:
    """And what it goes on from with more epochs."""
    path = put(tmp_path, "m.keras", 1, finished=True, goes_on_from="007.keras", epochs=None)
    text = run("show", path).out
    assert re.search(
        r"restart +trains nothing, as the run has finished; with a larger epochs= it goes on from 007.keras\n",
        text,
    )


def test_of_a_directory_the_newest_is_shown(tmp_path: Path) -> None:
    """The newest that verifies; one that does not is named on standard error."""
    put(tmp_path, "1.keras", 1)
    put(tmp_path, "2.keras", 2).write_bytes(b"changed")
    done = run("show", tmp_path)
    assert done.status == Exit.OK and done.lines[0].endswith("1.keras") and "left aside: " in done.err
    assert run("show", tmp_path / "2.keras").status == Exit.DAMAGED
    assert run("show", tmp_path / "1.keras.callbacks.pkl").lines[0].endswith("1.keras")


@given(plain | cyclic)
@settings(max_examples=150, deadline=None)
def test_any_plain_value_is_shown(value: Any) -> None:
    """Never an error, always strict JSON, and no character that steers a terminal."""
    found = view(value)
    json.loads(json.dumps(found, allow_nan=False))
    assert not STEERS.search(printable(words(found, 10_000)))


@given(st.text())
def test_any_text_becomes_printable(text: str) -> None:
    """And stays what it was where it was."""
    found = printable(text)
    assert found.isprintable() and (found == text or not text.isprintable())


SIZES = {0: "0 B", 999: "999 B", 1000: "1 kB", 999_600: "1 MB", 1234567: "1.23 MB", 5 * 10**15: "5000 TB"}
AGES = {0: "0 s", -5: "0 s", 119: "119 s", 120: "2 min", 7199: "119 min", 7200: "2 h", 172800: "2 d"}


def test_sizes_and_ages_are_told_in_one_unit() -> None:
    """Sizes in three digits and decimal units, ages in the largest unit of which there are two."""
    assert {size: size_of(size) for size in SIZES} == SIZES
    assert {seconds: age_of(10**18, 1e9 + seconds) for seconds in AGES} == AGES


def test_steps_that_are_not_known_are_left_out(tmp_path: Path) -> None:
    """A model whose own train_step holds its optimizers says 0 of them, which would be wrong."""
    model = {"digest": "", "iterations": 0, "variables": ["a"], "optimizes": False, "configuration": {}}
    put(tmp_path, "m.keras", 1, model=model)
    (line,) = [line for line in run("show", tmp_path).lines if line.startswith("  model ")]
    assert line.endswith("variables: 1")
