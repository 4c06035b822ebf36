"""A container that a callback shares with others and changes in place is filled again; any other is bound anew."""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from states import put_into, saved

from callback_state import RestoreError, stateful
from callback_state._callbacks.in_place import Held
from callback_state._callbacks.prepare import prepare_from
from callback_state._format.encode import same
from callback_state._format.trust import Trust


@stateful
class Shares(keras.callbacks.Callback):
    """Holds what the data hold too; its attributes are not named like the parameters."""

    def __init__(self, **values: Any) -> None:
        super().__init__()
        for name, value in values.items():
            setattr(self, f"_{name}", value)


def restored(make: Callable[[], Any], change: Callable[[Any], Any], live: Any = None) -> tuple[Any, Any, Any]:
    """The value at the save, and after the restore the live object and what the callback holds."""
    old = Shares(value=make())
    held = Held([old])
    replaced = change(old._value)
    if replaced is not None:
        old._value = replaced
    live = make() if live is None else live
    new = Shares(value=live)
    put_into(saved(old, held=held), new)
    return old._value, live, new._value


def grow(counts: Any) -> None:
    counts["b"].append(2)


def lambda_dict() -> Any:
    return defaultdict(lambda: [1], a=[1])


CHANGES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "list": (lambda: [1, 2, 3], lambda v: v.append(v.pop(0))),
    "dict": (lambda: {"a": 1, "b": 2}, lambda v: v.__setitem__("a", v.pop("a"))),
    "set": (lambda: {1, 2}, lambda v: v.update({-1, 7})),
    "deque": (lambda: deque([1, 2], 2), lambda v: v.append(3)),
    "OrderedDict": (lambda: OrderedDict(a=1, b=2), lambda v: v.move_to_end("a")),
    "Counter": (lambda: Counter(a=2), lambda v: v.update("aab")),
    "defaultdict": (lambda: defaultdict(list, a=[1]), grow),
    "defaultdict of a lambda": (lambda_dict, grow),
    "array": (lambda: np.arange(6).reshape(2, 3), lambda v: v.__setitem__((0, 1), 9)),
    "array of a view": (lambda: np.arange(12)[::2], lambda v: v.__setitem__(1, 9)),
    "bits of an array": (lambda: np.zeros(2), lambda v: v.__setitem__(0, -np.float64("nan"))),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_in_place_goes_into_the_live_object(name: str) -> None:
    """Order included: whoever holds the object too sees the stored content."""
    old, live, now = restored(*CHANGES[name])
    assert now is live
    assert same(live, old) if "lambda" not in name else live == old
    assert not isinstance(live, dict) or [*live] == [*old]


REBOUND: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Any]] = {
    "rebound": (lambda: [1, 2, 3], lambda v: v[1:] + v[:1], [7]),
    "subclass": (lambda: [1, 2], list.reverse, type("Mine", (list,), {})([7])),
    "another class": (lambda: {1: 2}, dict.clear, OrderedDict({7: 7})),
    "another length": (lambda: deque([1], 3), lambda v: v.append(2), deque([7], 2)),
    "another factory": (lambda: defaultdict(list), lambda v: v[1], defaultdict(int, {7: 7})),
    "no factory": (lambda: defaultdict(None, {1: 1}), dict.clear, defaultdict(list, {7: [7]})),
    "another dtype": (lambda: np.arange(2), lambda v: v.__setitem__(0, 9), np.full(2, 7.0)),
    "another shape": (lambda: np.arange(2), lambda v: v.__setitem__(0, 9), np.full(3, 7)),
    "nothing": (lambda: [1], list.clear, ()),
}


@pytest.mark.parametrize("name", REBOUND)
def test_what_was_bound_anew_or_does_not_fit_is_bound_anew(name: str) -> None:
    """The live object, which others may hold, is not touched."""
    make, change, live = REBOUND[name]
    before = copy.deepcopy(live)
    old, live, now = restored(make, change, live)
    assert now is not live and type(now) is type(old)
    assert now.tobytes() == old.tobytes() if isinstance(old, np.ndarray) else now == old
    assert type(live) is type(before) and repr(live) == repr(before)


def test_a_read_only_array_is_bound_anew() -> None:
    """Nobody can have changed it in place."""
    live = np.full(2, 7)
    live.flags.writeable = False
    _, live, now = restored(lambda: np.arange(2), lambda v: v.__setitem__(0, 9), live)
    assert now.tolist() == [9, 1] and live.tolist() == [7, 7]


@pytest.mark.parametrize(
    "through", [lambda v: v, np.asarray, lambda v: np.asarray(v)[1:]], ids=["it", "array", "view"]
)
def test_a_file_that_is_mapped_stays_as_it_is(tmp_path: Path, through: Callable[[Any], Any]) -> None:
    """Neither a memmap nor an array over its memory is written to."""
    path = tmp_path / "rows.bin"
    np.arange(4).tofile(path)
    live = through(np.memmap(path, dtype=np.arange(4).dtype))
    before = path.read_bytes()
    size = len(live)
    _, live, now = restored(lambda: np.zeros(size, np.arange(4).dtype), lambda v: v.__setitem__(0, 9), live)
    assert now is not live and now[0] == 9
    assert path.read_bytes() == before


def two(first: Any, second: Any) -> Any:
    """A callback and what noted it: both attributes are changed in place."""
    made = Shares(first=first, second=second)
    return made, Held([made])


def test_two_attributes_on_one_list_stay_on_one_list() -> None:
    """And a third one, which got the list later, holds it too."""
    rows = [1, 2]
    old, held = two(rows, rows)
    rows.append(3)
    old._third = {"also": old._first}
    live = [7]
    new = Shares(first=live, second=live)
    put_into(saved(old, held=held), new)
    assert new._first is new._second is new._third["also"] is live == [1, 2, 3]


@pytest.mark.parametrize("shared", [True, False])
def test_what_is_shared_now_and_was_not_is_bound_anew(shared: bool) -> None:
    """And the reverse: two attributes are on one object after the restore exactly if they were at the save."""
    rows = [1, 2]
    old, held = two(rows, rows if shared else [3, 4])
    old._first.append(5)
    live = [7], [8]
    new = Shares(first=live[0], second=live[1] if shared else live[0])
    put_into(saved(old, held=held), new)
    assert live == ([7], [8])
    assert (new._first is new._second) is shared and new._first == [1, 2, 5] and new._second == old._second


def test_arrays_over_one_memory_are_bound_anew() -> None:
    """A state file does not say whether they shared it."""
    old, held = two(np.array([1, 2]), np.array([3, 4]))
    old._first[0] = old._second[0] = 9
    live = np.full(3, 7)
    new = Shares(first=live[:2], second=live[1:])
    put_into(saved(old, held=held), new)
    assert live.tolist() == [7, 7, 7] and (new._first.tolist(), new._second.tolist()) == ([9, 2], [9, 4])


def test_an_error_puts_the_content_back() -> None:
    """If something cannot be set after the content was, the live object is as before."""
    old = Shares(value=[1, 2])
    held = Held([old])
    old._value.append(3)
    live = [7]
    new = Shares(value=live)
    prepared = prepare_from(saved(old, held=held), {"Shares": new}, model=None, trust=Trust(False))

    def fail() -> Any:
        raise OSError("as if")

    prepared.later.append(fail)
    with pytest.raises(RestoreError, match="as if"):
        prepared.put_back()
    assert live == [7] and new._value is live


def test_a_container_that_a_resume_has_bound_anew_is_not_noted_again() -> None:
    """What was once no longer the script's object is not taken for it after the next restart."""
    old = Shares(value=[1, 2])
    held = Held([old])
    old._value = [2, 1]
    new = Shares(value=[7])
    again = Held([new])  # as at the beginning of the training, before the state is put back for good
    put_into(saved(old, held=held), new)
    assert saved(new, held=again).meta.callbacks[0].in_place == []
