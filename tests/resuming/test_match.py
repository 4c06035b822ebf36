"""Which live callback a stored state belongs to."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import keras
import pytest
from states import WHERE, saved

from callback_state import RestoreError, stateful
from callback_state._resuming.match import Matched, match


class Mode(enum.Enum):
    FAST = 1
    SLOW = 2


@dataclass(frozen=True)
class Options:
    size: int = 1
    mode: Mode = Mode.FAST


@stateful
class Steps(keras.callbacks.Callback):
    def __init__(self, rate: Any = 1, other: Any = None) -> None:
        super().__init__()
        self.step = 0


@stateful
class Other(keras.callbacks.Callback):
    def __init__(self, rate: Any = 1) -> None:
        super().__init__()


def keyed(key: str, callback: Any) -> Any:
    return stateful(callback, key=key)


def matched(old: list[Any], live: list[Any]) -> Matched:
    return match(WHERE, saved(*old).meta.callbacks, live)


def pairs(old: list[Any], live: list[Any]) -> dict[str, int]:
    """{stored key: 0-based position of the live callback}."""
    return {key: live.index(callback) for key, callback in matched(old, live).pairs.items()}


S = Steps


@pytest.mark.parametrize(
    ("old", "live", "expected"),
    [
        ([S(1)], [S(1)], {"Steps": 0}),
        ([S(1)], [S(2)], {"Steps": 0}),
        ([S(1), Other()], [Other(), S(1)], {"Steps": 1, "Other": 0}),
        ([S(1), S(2)], [S(1), S(2)], {"Steps": 0, "Steps_1": 1}),
        ([S(1), S(2)], [S(2), S(1)], {"Steps": 1, "Steps_1": 0}),
        ([S(1), S(2), S(3)], [S(3), S(1), S(2)], {"Steps": 1, "Steps_1": 2, "Steps_2": 0}),
        ([S(1), S(1)], [S(1), S(1)], {"Steps": 0, "Steps_1": 1}),
        ([S(1), S(2)], [S(2), S(9)], {"Steps": 1, "Steps_1": 0}),
        ([S(1), S(2)], [S(2)], {"Steps_1": 0}),
        ([S(2)], [S(1), S(2)], {"Steps": 1}),
        ([S(1), S(2)], [], {}),
        ([], [S(1)], {}),
        ([keyed("a", S(1)), keyed("b", S(1))], [keyed("b", S(5)), keyed("a", S(6))], {"a": 1, "b": 0}),
        ([keyed("a", S(1)), S(1)], [S(1), keyed("a", S(1))], {"a": 1, "Steps": 0}),
        ([S(Options(2)), S(Options(3))], [S(Options(3)), S(Options(2))], {"Steps": 1, "Steps_1": 0}),
        ([S(Mode.FAST), S(Mode.SLOW)], [S(Mode.SLOW), S(Mode.FAST)], {"Steps": 1, "Steps_1": 0}),
        (
            [keras.callbacks.EarlyStopping(patience=1), keras.callbacks.EarlyStopping(patience=2)],
            [keras.callbacks.EarlyStopping(patience=2), keras.callbacks.EarlyStopping(patience=1)],
            {"EarlyStopping": 1, "EarlyStopping_1": 0},
        ),
    ],
    ids=[
        "one",
        "one that changed",
        "two classes reordered",
        "two",
        "two reordered",
        "three reordered",
        "two alike",
        "one of two changed and reordered",
        "first removed",
        "one added before",
        "all removed",
        "first of all",
        "keys",
        "one key",
        "dataclasses",
        "enums",
        "stock",
    ],
)
def test_who_is_who(old: list[Any], live: list[Any], expected: dict[str, int]) -> None:
    """By key, then by unique configuration, then by elimination; what is left over has no partner."""
    assert pairs(old, live) == expected


def test_what_has_no_partner_is_listed() -> None:
    """Stored keys as missing, live ones as unexpected."""
    found = matched([S(1), S(2)], [S(2), Other()])
    assert (found.missing, found.unexpected) == (["Steps"], ["Other"])


@pytest.mark.parametrize(
    ("old", "live"),
    [
        ([S(1), S(2)], [S(3), S(4)]),
        ([S(1), S(1)], [S(1)]),
        ([S(1)], [S(1), S(1)]),
        ([S(1)], [S(2), S(3)]),
        ([S(1), S(1), S(2)], [S(2), S(1), S(1)]),
    ],
    ids=["both changed", "one of two alike removed", "one alike added", "one became two", "two alike reordered"],
)
def test_what_cannot_be_told_is_an_error(old: list[Any], live: list[Any]) -> None:
    """It names file, class and numbers, and asks for ``key=``; nothing is guessed."""
    with pytest.raises(RestoreError) as info:
        matched(old, live)
    for part in (WHERE, ".Steps were saved", f"{len(old)} callbacks", f"{len(live)} are here", "key=..."):
        assert part in str(info.value)


def test_what_changed_is_reported() -> None:
    """Key, argument, the old value and the new one, in words; also for values of classes and large ones."""
    live = S(Options(5), other=[1])
    (first, second) = matched([S(Options(2), other=[2])], [live]).changed
    assert (first.key, first.argument, first.now) == ("Steps", "rate", Options(5))
    assert str(second) == "Steps.other was [2], is [1]"
    assert matched([S(1, other=print)], [S(1, other=print)]).changed == []
    (change,) = matched([S(1, other=print)], [S(1, other=len)]).changed
    assert "print" in str(change) and "len" in str(change)
    (change,) = matched([S("x" * 70_000)], [S("y" * 70_000)]).changed
    assert len(str(change)) < 300


def test_unchanged_arguments_are_not_reported() -> None:
    """Of any plain kind: the file gives back what was put into it."""
    for value in (Options(), [Mode.FAST, {1: (2, float("nan"))}], {3, 1, 2}, 10**6000, b"\0", "\ud800"):
        assert matched([S(value)], [S(value)]).changed == []


def test_a_new_parameter_is_no_change() -> None:
    """Nothing is known of what it would have been."""
    entries = saved(S(1)).meta.callbacks
    del entries[0].arguments["other"]
    assert match(WHERE, entries, [S(1, other=5)]).changed == []


def _class_in(module: str, **options: Any) -> Any:
    cls = type("Moved", (keras.callbacks.Callback,), {"__module__": module, "__qualname__": "Moved"})
    return stateful(**options)(cls)


@pytest.mark.parametrize(
    ("before", "after"), [("__main__", "train"), ("train", "__main__"), ("old.place", "new.place")]
)
def test_a_class_is_known_in_another_module(before: str, after: str) -> None:
    """A script's ``__main__.C`` is ``train.C`` where that is the only one of its name."""
    assert pairs([_class_in(before)()], [_class_in(after)()]) == {"Moved": 0}


def test_two_classes_of_one_name_are_not_confused() -> None:
    """Neither is taken for a third in another module; the full name still counts."""
    a, b = _class_in("pkg_a"), _class_in("pkg_b")
    assert matched([_class_in("gone")()], [a(), b()]).missing == ["Moved"]
    assert pairs([b(), a()], [a(), b()]) == {"Moved": 1, "Moved_1": 0}


def test_a_renamed_class_is_found_by_its_alias_and_by_its_key() -> None:
    """``aliases=`` holds former full names and keys; a registered key outlives any renaming."""
    renamed = stateful(aliases=("pkg.Moved", "former key"))(
        type("Renamed", (keras.callbacks.Callback,), {"__module__": "elsewhere"})
    )
    assert pairs([_class_in("pkg")()], [renamed()]) == {"Moved": 0}
    assert pairs([_class_in("pkg", key="former key")()], [renamed()]) == {"former key": 0}
    other = stateful(key="kept")(type("Another", (keras.callbacks.Callback,), {"__module__": "x"}))
    assert pairs([_class_in("pkg", key="kept")()], [other()]) == {"kept": 0}
