"""What a state file says is checked once, when it is read; the error says which part is wrong."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from states import META, RUN

from callback_state._checkpoints.doubt import Doubt
from callback_state._checkpoints.schema import (
    Contents,
    DataState,
    Place,
    SavedArgument,
    SavedCallback,
    SchemaError,
    SourceState,
    Start,
)
from callback_state._checkpoints.snapshot import check_states
from callback_state._checkpoints.trace import Trace
from callback_state._format.encode import Encoder
from callback_state._format.table import Table

SOURCE = SourceState(0, 1, True, 3, 1, 5, [2], [{"python": 1}], Place({"next": 3}, False, [b"generator"], None))
CALLBACK = SavedCallback(
    "A", "a.A", 1, {"x": SavedArgument("value", 3, None)}, {"log": 3}, ["rows"], {"1.keras": "5" * 64}
)
PLAIN = {"meta": META, "run": RUN}


def full() -> Contents:
    """Contents in which every part is there."""
    found = Contents.of(copy.deepcopy(PLAIN))
    meta = replace(
        found.meta,
        batch=1,
        goes_on_from="1.keras",
        callbacks=[CALLBACK],
        starts=[Start(1, 0, 0, 7, 0, 0, 2)],
        trace=Trace([0, 1], [None, 0.5], [1, 2], {"A": {"wait": [None, 3], "best": [0.5, True]}}),
        doubts=[Doubt("perhaps", "look", "little")],
    )
    return Contents(meta, replace(found.run, data=DataState(SOURCE, SOURCE, [{}], [["rows"]], ["numpy"])))


def plain(**parts: Any) -> dict[str, Any]:
    """Plain data of :func:`full`, with these values at ``meta__epoch`` and the like."""
    made = copy.deepcopy(full().to_plain())
    for path, value in parts.items():
        *steps, last = [int(step) if step.isdigit() else step for step in path.split("__")]
        at: Any = made
        for step in steps:
            at = at[step]
        if value is ...:
            del at[last]
        else:
            at[last] = value
    return made


def test_columns_that_many_callbacks_share_are_refused() -> None:
    """A small file in which a thousand callbacks share one long list would take minutes to draw."""
    shared = [1, 2]
    with pytest.raises(SchemaError, match=r"\.meta\.trace\.numbers: two of its lists are one"):
        Contents.of(plain(meta__trace__numbers={"A": {"x": shared}, "B": {"x": shared}}))


@pytest.mark.parametrize(
    ("count", "stride"), [(0, 1), (1, 1), (1024, 1), (1025, 2), (2048, 2), (2049, 4), (10_000, 16), (100_000, 128)]
)
def test_a_long_run_has_numbers_of_some_of_its_epochs(count: int, stride: int) -> None:
    """At most 1,024, at equal distances, and the first one is always among them."""
    trace = Trace([*range(count)])
    assert trace.stride == stride and trace.noted == [*range(0, count, stride)] and len(trace.noted) <= 1024


def test_all_goes_to_plain_data_and_back() -> None:
    """Field by field, and the plain data are dicts, lists, tuples and scalars of exactly these types."""
    assert Contents.of(full().to_plain()) == full()
    assert Contents.of(plain()).to_plain() == plain()
    starts, callback = plain()["meta"]["starts"], plain()["meta"]["callbacks"][0]
    numbers = {"at": 1, "epoch": 0, "batch": 0, "from": 7, "due_epoch": 0, "due_batch": 0, "beside": 2}
    assert starts == {name: [number] for name, number in numbers.items()}
    assert callback["class"] == "a.A" and type(callback["arguments"]["x"]) is tuple


def test_a_key_that_is_not_known_is_ignored() -> None:
    """A later release may say more."""
    assert Contents.of(plain(meta__later=1, run__data__training__later=1)) == full()


@pytest.mark.parametrize(("batch", "goes_on"), [(None, (4, 0)), (0, (3, 1)), (5, (3, 6))], ids=repr)
def test_where_a_run_goes_on_follows_from_the_moment(batch: int | None, goes_on: tuple[int, int]) -> None:
    """With the next epoch after its end, else with the next batch of the same one."""
    meta = replace(full().meta, epoch=3, batch=batch)
    assert (meta.initial_epoch, meta.first_batch) == goes_on


@pytest.mark.parametrize(
    ("path", "wrong", "message"),
    [
        ("meta", None, r"\.meta: expected dict, found None"),
        ("run", [], r"\.run: expected dict, found list"),
        ("meta", ..., r"\.meta is missing"),
        ("meta__saved_at", ..., r"\.meta\.saved_at is missing"),
        ("meta__epoch", True, r"\.meta\.epoch: expected int, found bool"),
        ("meta__epoch", -1, r"\.meta\.epoch is less than 0"),
        ("meta__batch", -1, r"\.meta\.batch is less than 0"),
        ("meta__epoch", 1 << 70_000, r"\.meta\.epoch: a number of more than 63 bits"),
        ("meta__model__iterations", 1 << 63, r"\.meta\.model\.iterations: a number of more than 63 bits"),
        ("meta__monitor", ("loss",), r"\.meta\.monitor: expected 2 items, found 1"),
        ("meta__monitor", ("loss", 1 << 70), r"\.meta\.monitor\[1\]: a number of more"),
        ("meta__monitor", ["loss", 1.0], r"\.meta\.monitor: expected tuple, found list"),
        *(
            ("meta__goes_on_from", name, r"\.meta\.goes_on_from: expected the bare name of a model file, found")
            for name in ("../1.keras", "/1.keras", "a\\1.keras", "C:1.keras", "..", ".x.keras", "1.txt", "")
        ),
        ("meta__epoch", 10**9, r"\.meta\.epoch: expected at most 100000000, found 1000000000"),
        ("meta__batch", 10**12, r"\.meta\.batch: expected at most 10000000000, found 1000000000000"),
        ("meta__versions", {"keras": 3}, r"\.meta\.versions\.keras: expected str, found int"),
        ("meta__versions", {3: "keras"}, r"\.meta\.versions: a key: expected str, found int"),
        ("meta__history__series", {"loss": ()}, r"\.meta\.history\.series\.loss: expected list, found tuple"),
        ("meta__doubts__0", None, r"\.meta\.doubts\[0\]: expected dict, found None"),
        ("meta__starts__at", [], r"\.meta\.starts: its lists differ in length"),
        ("meta__starts__beside", ..., r"\.meta\.starts\.beside is missing"),
        ("meta__starts__beside", [None], r"\.meta\.starts\.beside\[0\]: expected int, found None"),
        ("meta__starts__from", ["x"], r"\.meta\.starts\.from\[0\]: expected int or None, found str"),
        ("meta__starts__from", 7, r"\.meta\.starts\.from: expected list, found int"),
        ("meta__trace__ended_at", [1, 1 << 63], r"\.meta\.trace\.ended_at\[1\]: a number of more than 63 bits"),
        ("meta__trace__ended_at", [-(1 << 63), 1], r"\.meta\.trace\.ended_at\[0\]: a number of more than 63 bits"),
        ("meta__trace__ended_at", [1, True], r"\.meta\.trace\.ended_at\[1\]: expected int, found bool"),
        ("meta__trace__epochs", [0], r"\.meta\.trace: its lists differ in length"),
        ("meta__trace__learning_rate", ["fast", 1.0], r"\.learning_rate\[0\]: expected float or None, found str"),
        ("meta__trace__numbers", ..., r"\.meta\.trace\.numbers is missing"),
        ("meta__trace__numbers__A__wait", [1], r"\.meta\.trace\.numbers: expected lists of 2 items"),
        (
            "meta__trace__numbers__A__wait",
            [1, "x"],
            r"\.numbers\.A\.wait\[1\]: expected int or float or bool or None",
        ),
        ("meta__trace__numbers__A", {str(i): [1, 2] for i in range(17)}, r"\.numbers\.A: more than 16 numbers"),
        ("meta__trace__numbers", {str(i): {} for i in range(1001)}, r"\.numbers: more than 1000 callbacks"),
        ("meta__callbacks__0__arguments__x", ("value", 3), r"\.arguments\.x: expected 3 items, found 2"),
        ("meta__callbacks__0__arguments__x", ("code", 3, None), r"expected value, digest or opaque, found 'code'"),
        ("meta__callbacks__0__outside", ..., r"\.meta\.callbacks\[0\]\.outside is missing"),
        (
            "meta__callbacks__0__files",
            {"1.keras": "0" * 63},
            r"\.files\.1\.keras: expected a SHA-256 in hex digits",
        ),
        ("meta__callbacks__0__files", {"1.keras": None}, r"\.files\.1\.keras: expected str, found None"),
        ("meta__run_id", "A" * 32, r"\.meta\.run_id: expected 32 hex digits, found 'AAA"),
        ("meta__run_id", ..., r"\.meta\.run_id is missing"),
        ("run__metrics", [[]], r"\.run\.metrics\[0\]: expected tuple, found list"),
        ("run__seconds", 1, r"\.run\.seconds: expected float, found int"),
        ("run__data__drawn_from", ..., r"\.run\.data\.drawn_from is missing"),
        ("run__data__training", None, r"\.run\.data\.training: expected dict, found None"),
        ("run__data__training__before", 10**12, r"\.run\.data\.training: expected 0 to \d+ iterators"),
        ("run__data__training__made", -1, r"\.run\.data\.training: expected 0 to \d+ iterators"),
        ("run__data__validation__passes", [10**12], r"\.run\.data\.validation: expected 0 to \d+ iterators"),
        ("run__data__training__seen", 10**12, r"\.run\.data\.training: expected 0 to \d+ batches"),
        ("run__data__training__batches", 10**12, r"\.run\.data\.training: expected 0 to \d+ batches"),
        ("run__data__training__goes_on", 1, r"\.training\.goes_on: expected bool, found int"),
        ("run__data__training__batches", "5", r"\.training\.batches: expected int or None, found str"),
        ("run__data__validation__passes", [None], r"\.validation\.passes\[0\]: expected int, found None"),
        ("run__data__validation__generators", [[]], r"\.validation\.generators\[0\]: expected dict, found list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_part_that_is_wrong_is_named(path: str, wrong: Any, message: str) -> None:
    """With its path, what was expected there and what was found."""
    with pytest.raises(SchemaError, match=message):
        Contents.of(plain(**{path: wrong}))


def test_what_nobody_could_read_is_not_written() -> None:
    """A save fails with the same error as a restore would."""
    contents = full()
    with pytest.raises(SchemaError, match=r"\.meta\.epoch: a number of more"):
        Contents(replace(contents.meta, epoch=1 << 70), contents.run).to_plain()


def callbacks(count: int, arguments: Any = None) -> list[dict[str, Any]]:
    return [
        {"key": f"A{i}", "class": "A", "version": 1, "arguments": arguments or {}, "outside": None}
        | {"in_place": [], "files": {}}
        for i in range(count)
    ]


NODES = [("list", [])]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([*callbacks(1), *callbacks(1)], "two have one key"),
        (callbacks(1001), "more than 1000"),
        (callbacks(2, {"x": ("value", 1, None)}), "two share their arguments"),
        ([callbacks(1, {"x": ("value", (NODES, (0,)), None)})[0] | {"key": k} for k in "ab"], "two share"),
    ],
    ids=["key", "many", "arguments", "table"],
)
def test_callbacks_that_would_take_years_to_compare_are_refused(entries: Any, message: str) -> None:
    """A few bytes can say that a thousand callbacks have the same thousand arguments."""
    with pytest.raises(SchemaError, match=message):
        Contents.of(plain(meta__callbacks=entries))
    assert len(Contents.of(plain(meta__callbacks=callbacks(1000))).meta.callbacks) == 1000


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ([], "expected a dict"),
        ({1: {}}, "whose keys are texts"),
        ({"A": []}, "expected a dict"),
        ({"A": {1: 2}}, "whose keys are texts"),
        ({"A": 3}, "expected a dict"),
        ({"B": {}}, "not of the callbacks"),
        ({}, "not of the callbacks"),
    ],
    ids=repr,
)
def test_states_are_dicts_of_the_callbacks_that_are_described(states: Any, message: str) -> None:
    """Of each key its attributes, by their names."""
    with pytest.raises(SchemaError, match=message):
        check_states(Encoder().table(states), {"A"})
    check_states(Encoder().table({"A": {"x": 1}}), {"A"})


def test_two_callbacks_do_not_share_a_state() -> None:
    """What is put back into one would be put back into the other."""
    one: dict[str, Any] = {}
    with pytest.raises(SchemaError, match="two callbacks share one"):
        check_states(Encoder().table({"A": one, "B": one}), {"A", "B"})


@pytest.mark.parametrize("root", [(1,), (-1,), [0], 0, None, (0, 0), ("0",)], ids=repr)
def test_a_root_that_is_no_reference_is_refused(root: Any) -> None:
    """Of a table with one node, which is a dict."""
    with pytest.raises(SchemaError, match="expected a dict"):
        check_states(Table([("dict", [])], root), set())
