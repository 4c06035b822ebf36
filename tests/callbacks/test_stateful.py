"""``@stateful``: what it decorates, what a constructor was given, and which class a name means."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest

from callback_state import NotRegisteredError, stateful
from callback_state._callbacks.arguments import LARGE_ARGUMENT, argument_of, describe, mark_of
from callback_state._callbacks.capture import state_of
from callback_state._callbacks.stateful import find_class, registration_of

Callback = keras.callbacks.Callback


def given(callback: Any) -> dict[str, Any]:
    """What a constructor was given: the data, or (kind,) where that is not kept."""
    return {name: a.data if a.kind == "value" else (a.kind,) for name, a in mark_of(callback).arguments.items()}


class Bare(Callback):
    def __init__(self, a: Any, b: Any = 2) -> None:
        super().__init__()
        self.a, self.b = a, b


@stateful
class Every(Callback):
    def __init__(self, a: Any, /, b: Any, c: Any = 3, *rest: Any, d: Any, e: Any = 5, **more: Any) -> None:
        super().__init__()


@stateful
class Parent(Callback):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale


@stateful
class Child(Parent):
    def __init__(self, name: str) -> None:
        super().__init__(scale=len(name))
        self.name = name


class Undecorated(Parent):
    def __init__(self, x: int, y: int = 2) -> None:
        super().__init__(x + y)


@stateful
class OwnNew(Callback):
    def __new__(cls, size: int, *, fill: int = 0) -> OwnNew:
        made = super().__new__(cls)
        made.table = [fill] * size  # type: ignore[attr-defined]
        return made

    def __init__(self, size: int, *, fill: int = 0) -> None:
        super().__init__()


@stateful
class Slots(Callback):
    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count


@stateful
@dataclass
class Data(Callback):
    width: int = 3
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__init__()


ABC = {"a": 1, "b": 2, "c": 3}
CALLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "positional-only and keyword-only": (lambda: Every(1, 2, d=4), {**ABC, "*rest": (), "d": 4, "e": 5}),
    "**kwargs": (lambda: Every(1, b=2, d=4, e=6, f=7), {**ABC, "*rest": (), "d": 4, "e": 6, "f": 7}),
    "*args": (lambda: Every(1, 2, 3, 4, 5, d=6), {**ABC, "*rest": (4, 5), "d": 6, "e": 5}),
    "a keyword like a positional": (lambda: Every(1, 2, d=4, a=9), {**ABC, "*rest": (), "d": 4, "e": 5, "**a": 9}),
    "decorated parent": (lambda: Parent(2.5), {"scale": 2.5}),
    "decorated child": (lambda: Child("abc"), {"name": "abc"}),
    "undecorated child": (lambda: Undecorated(1), {"x": 1, "y": 2}),
    "own __new__": (lambda: OwnNew(3, fill=1), {"size": 3, "fill": 1}),
    "__slots__": (lambda: Slots(4), {"count": 4}),
    "dataclass": (lambda: Data(words=("a",)), {"width": 3, "words": ("a",)}),
}


@pytest.mark.parametrize("name", CALLS)
def test_arguments_are_those_of_the_call(name: str) -> None:
    """By parameter, defaults included, of the class that was called and of no parent."""
    make, expected = CALLS[name]
    assert given(make()) == expected


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c)), lambda c: copy.deepcopy(copy.copy(c))],
    ids=["copy", "deepcopy", "pickle", "both"],
)
@pytest.mark.parametrize("original", [Parent(2.5), Child("abc"), Undecorated(4)], ids=lambda c: type(c).__name__)
def test_a_copy_remembers_what_the_original_was_given(original: Any, copied: Any) -> None:
    """Not that it was made by ``__new__`` without arguments; its state is its own."""
    made = copied(original)
    assert given(made) == given(original) != {}
    made.scale = -1
    assert state_of(made) == {"scale": -1} | state_of(made)
    assert original.scale != -1


def test_arguments_are_copied_before_the_constructor_can_change_them() -> None:
    """A list that the constructor empties is remembered full."""

    @stateful
    class Greedy(Callback):
        def __init__(self, items: list[int], table: dict[str, Any]) -> None:
            super().__init__()
            self.first = items.pop()
            table["x"]["y"] = 5

    assert given(Greedy([1, 2], {"x": {"y": 1}})) == {"items": [1, 2], "table": {"x": {"y": 1}}}


def test_a_large_argument_is_kept_as_its_digest() -> None:
    """Above 64 kB: equal values have equal digests, others do not, and the file stays small."""
    small, large = np.zeros(LARGE_ARGUMENT // 8 - 100), np.zeros(LARGE_ARGUMENT // 8 + 1)
    assert argument_of(small).kind == "value"
    kept = argument_of(large)
    assert kept.kind == "digest" and len(kept.data) == 64
    assert kept.equals(large) and kept.equals(large.copy())
    changed = large.copy()
    changed[7] = 1
    assert not kept.equals(changed) and not kept.equals(small) and not kept.equals(print)
    assert argument_of(["x" * 70_000]).data != argument_of(["x" * 70_000, 1]).data


def test_an_opaque_argument_is_known_by_identity() -> None:
    """A function is what it was as long as it is that function; nothing else is, None least of all."""

    def schedule(epoch: int) -> float:
        return 0.1

    kept = argument_of(schedule)
    assert (kept.kind, kept.data) == ("opaque", describe(schedule))
    assert kept.equals(schedule) and not kept.equals(None) and not kept.equals(lambda epoch: 0.1)


class Tracker:
    def __init__(self) -> None:
        self.n = 0


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ([print, len], lambda v: v.append(max)),
        ({"f": print, "n": 1}, lambda v: v.update(n=2)),
        (Tracker(), lambda v: setattr(v, "n", 1)),
        ([Tracker()], lambda v: setattr(v[0], "n", 1)),
        ([Tracker()], lambda v: v.__setitem__(0, Tracker())),
    ],
    ids=["list of functions", "dict with a function", "object", "object in a list", "another object"],
)
def test_an_opaque_argument_that_changed_is_no_configuration_any_more(value: Any, change: Any) -> None:
    """What the constructor was given and then altered is state, also where it cannot be copied."""
    kept = argument_of(value)
    assert kept.kind == "opaque" and kept.equals(value)
    change(value)
    assert not kept.equals(value)


def test_a_variable_is_never_mere_configuration() -> None:
    """Its value changes without the variable becoming another, alone and in a list."""
    variable = keras.Variable([1.0])
    assert not argument_of(variable).equals(variable)
    held = [variable, print]
    assert not argument_of(held).equals(held)


def test_a_wrong_call_is_the_constructor_s_own_error() -> None:
    """Recording the arguments does not change what Python says."""
    with pytest.raises(TypeError, match=r"__init__\(\) missing 1 required positional argument: 'scale'"):
        Parent()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        Parent(z=1)  # type: ignore[call-arg]


def test_it_decorates_with_and_without_arguments() -> None:
    """A class either way is itself, registered; a plain class too."""

    @stateful()
    class One(Callback):
        pass

    @stateful(key="two", exclude=["x"], version=3, aliases=("old.Two",))
    class Two(Callback):
        pass

    @stateful
    class Held:
        pass

    assert registration_of(One).key is None  # type: ignore[union-attr]
    found = registration_of(Two)
    assert found is not None
    assert (found.key, found.exclude, found.version, found.aliases) == ("two", {"x"}, 3, ("old.Two",))
    assert find_class("two", callbacks=True).cls is Two is find_class("old.Two", callbacks=True).cls
    assert find_class(f"{__name__}.{Held.__qualname__}", callbacks=False).cls is Held


def test_it_takes_an_instance_of_somebody_else_s_class() -> None:
    """The instance comes back, its attributes that are named like arguments taken for them."""
    bare = Bare(1)
    assert stateful(bare, key="bare", exclude=("b",)) is bare
    assert given(bare) == {"a": 1, "b": 2}
    assert (mark_of(bare).key, mark_of(bare).exclude, mark_of(bare).registered) == ("bare", {"b"}, True)
    stateful(bare, exclude=("c",))
    assert (mark_of(bare).key, mark_of(bare).exclude) == ("bare", {"b", "c"})
    assert not mark_of(Bare(1)).registered


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exclude": "sock"}, r"exclude='sock': expected a sequence of names; write exclude=\('sock',\)"),
        ({"aliases": "a.B"}, r"aliases='a.B': .*write aliases=\('a.B',\)"),
        ({"exclude": (3,)}, "expected names"),
        ({"version": 0}, "version=0: expected an integer from 1"),
        ({"version": "2"}, "version='2'"),
        ({"version": True}, "version=True"),
    ],
    ids=["exclude text", "aliases text", "exclude number", "version 0", "version text", "version bool"],
)
@pytest.mark.parametrize("target", [Bare, Bare(1), None], ids=["class", "instance", "factory"])
def test_options_of_the_wrong_type_are_refused(target: Any, options: Any, message: str) -> None:
    """The classical slip ``exclude="sock"`` would exclude the attributes s, o, c and k."""
    with pytest.raises(TypeError, match=message):
        stateful(target, **options)
    assert registration_of(Bare) is None


@pytest.mark.parametrize("options", [{"version": 2}, {"migrate": dict}, {"aliases": ("a",)}], ids=str)
def test_what_belongs_to_a_class_is_refused_for_an_instance(options: Any) -> None:
    """It would be forgotten with the instance."""
    with pytest.raises(TypeError, match="belong to a class"):
        stateful(Bare(1), **options)


def test_what_is_neither_class_nor_callback_is_refused() -> None:
    """A number, a function, an object of a plain class, with what was expected."""
    for thing in (5, "Parent", len, Tracker()):
        with pytest.raises(TypeError, match="expected a class, or an instance of a Keras callback"):
            stateful(thing)


def test_versions_of_plain_classes_are_refused() -> None:
    """They are not stored for the objects that callbacks hold, so they must not seem to work."""
    with pytest.raises(TypeError, match="version= and migrate= are only for callbacks"):
        stateful(version=2)(type("Held", (), {}))


CELL = """
from callback_state import stateful
import keras
@stateful
class Cell(keras.callbacks.Callback):
    revision = {revision}
    def __init__(self, n):
        super().__init__()
        self.n = n
"""


def _run_cell(module: str, revision: int) -> Any:
    space: dict[str, Any] = {"__name__": module}
    exec(CELL.format(revision=revision), space)
    return space["Cell"]


def test_two_classes_of_one_name_are_told_apart_by_a_key() -> None:
    """The bare name is an error that says so; each full name is fine; a key cures it."""
    a, b = _run_cell("cells_a", 1), _run_cell("cells_b", 1)
    with pytest.raises(NotRegisteredError, match=r"cells_a\.Cell, .*cells_b\.Cell.*@stateful\(key=\.\.\.\)"):
        find_class("gone.Cell", callbacks=True)
    assert find_class("cells_a.Cell", callbacks=True).cls is a
    stateful(key="b")(b)
    assert find_class("b", callbacks=True).cls is b
    stateful(key="b")(a)
    with pytest.raises(NotRegisteredError, match="several registered classes have this name"):
        find_class("b", callbacks=True)
    stateful(a)


def test_a_class_that_is_not_registered_is_named() -> None:
    """With what to import or write; an importable class is not enough, nor is one of the other sort."""
    with pytest.raises(NotRegisteredError, match=r'class gone\.Gone, .*aliases=\("gone\.Gone",\)'):
        find_class("gone.Gone", callbacks=True)
    for name in ("collections.OrderedDict", "keras.callbacks.EarlyStopping", f"{__name__}.Bare"):
        with pytest.raises(NotRegisteredError):
            find_class(name, callbacks=True)
    with pytest.raises(NotRegisteredError):
        find_class(f"{__name__}.Parent", callbacks=False)


def test_the_error_of_a_class_that_is_not_registered_has_the_line_for_somebody_else_s() -> None:
    """Their class cannot be decorated where it is defined."""
    with pytest.raises(NotRegisteredError, match=r"somebody else's, write stateful\(Sender\) before"):
        find_class("their.package.Sender", callbacks=True)
