"""Callbacks made again from a state file alone."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import pytest
from states import WHERE, saved

from callback_state import CallbackStateError, NotRebuildableError, NotRegisteredError, stateful
from callback_state._callbacks.capture import keyed
from callback_state._checkpoints.schema import SavedArgument
from callback_state._format.trust import Trust
from callback_state._resuming.rebuild import rebuild

Callback = keras.callbacks.Callback
MADE: list[Any] = []


@stateful
@dataclass
class Options:
    size: int = 1
    where: Any = None


@stateful
class Every(Callback):
    def __init__(self, a: Any, /, b: Any, c: Any = 3, *rest: Any, d: Any, e: Any = 5, **more: Any) -> None:
        super().__init__()
        self.got = (a, b, c, rest, d, e, more)
        MADE.append(self)


@stateful
class Takes(Callback):
    def __init__(self, value: Any = None, path: Any = None, fn: Any = None) -> None:
        super().__init__()
        self.value, self.path, self.fn = value, path, fn
        MADE.append(self)


def remade(*callbacks: Any, trusted: bool = False) -> Any:
    found = rebuild(saved(*callbacks), trust=Trust(trusted), directory="")
    return next(iter(found.values())) if len(callbacks) == 1 else found


@pytest.mark.parametrize(
    "make",
    [
        lambda: Every(1, 2, d=4),
        lambda: Every(1, b=2, d=4, e=6, f=7, a=8),
        lambda: Every(1, 2, 3, 4, 5, d=6, g=[1]),
        lambda: Every([1], {"x": (2,)}, d=None),
    ],
    ids=["defaults", "keywords", "extra positional", "containers"],
)
def test_a_constructor_gets_the_arguments_that_it_got(make: Any) -> None:
    """Of every kind of parameter, each where it belongs."""
    original = make()
    made = remade(original)
    assert type(made) is Every and made is not original
    assert made.got == original.got


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("/etc/passwd", "/etc/passwd"),
        ("~/x", "~/x"),
        ("a/../../b", "a/../../b"),
        ("c:\\x", "c:\\x"),
        ("http://x.y", "http://x.y"),
        (b"/etc/x", "/etc/x"),
        (pathlib.Path("a"), "a"),
        (pathlib.PureWindowsPath("a"), "a"),
        (["x", ("y", "/z")], "/z"),
        ({"path": "z"}, "z"),
        ({"log_dir": "z"}, "z"),
        (Options(where="/z"), "/z"),
        (frozenset({"s3://b"}), "s3://b"),
        ({"/key": 1}, "/key"),
        ([pathlib.Path("q")], "q"),
    ],
    ids=repr,
)
def test_paths_and_addresses_are_refused_without_trust(value: Any, what: str) -> None:
    """Wherever they stand in an argument; with trust they are taken."""
    with pytest.raises(NotRebuildableError) as info:
        remade(Takes(value))
    assert f"Takes: value is a path or a URL ({what!r})" in str(info.value)
    assert remade(Takes(value), trusted=True).value == value


@pytest.mark.parametrize("value", ["val_loss", "a text, with words", "1.5", "", "a.b", 5, None, ["x"]], ids=repr)
def test_other_texts_are_taken(value: Any) -> None:
    """A metric's name is no path."""
    assert remade(Takes(value)).value == value


def test_an_argument_called_a_path_is_refused() -> None:
    """Whatever it looks like; None is none."""
    with pytest.raises(NotRebuildableError, match="path is a path or a URL"):
        remade(Takes(path="x"))
    assert remade(Takes(path=None)).path is None


def test_all_reasons_are_named_in_one_error_and_nothing_is_made() -> None:
    """Path, function, variable, digest; of all callbacks; trust is no way out, as two are not in the file."""
    snapshot = saved(
        Every(1, 2, d=4),
        Takes("/x", fn=print),
        Takes(keras.Variable([1.0])),
        Takes(np.zeros(10_000)),
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
    )
    MADE.clear()
    with pytest.raises(NotRebuildableError) as info:
        rebuild(snapshot, trust=Trust(), directory="")
    assert MADE == []
    for part in (
        WHERE,
        "Takes: value is a path or a URL ('/x')",
        "Takes: fn was builtin_function_or_method builtins.print",
        "Takes_1: value was an object of class",
        "Takes_2: value was too large to be saved",
        "LearningRateScheduler: schedule was function",
        "into=[...]",
    ):
        assert part in str(info.value)
    assert "Every" not in str(info.value) and "trusted=True" not in str(info.value)


def test_trust_is_offered_where_it_helps() -> None:
    """What the error says works: with trust the same callbacks are made."""
    snapshot = saved(Takes("/x", fn=print), keras.callbacks.LearningRateScheduler(_double))
    with pytest.raises(NotRebuildableError, match=r"fn was .*schedule was .*Or pass trusted=True"):
        rebuild(snapshot, trust=Trust(), directory="")
    made = rebuild(snapshot, trust=Trust(True), directory="")
    assert (made["Takes"].fn, made["LearningRateScheduler"].schedule) == (print, _double)


def _double(epoch: int) -> float:
    return 2.0 * epoch


def test_with_trust_functions_are_taken_and_the_rest_is_named() -> None:
    """What was never stored stays a reason, and trust is not offered as its cure."""
    assert remade(Takes(fn=len), trusted=True).fn is len
    with pytest.raises(NotRebuildableError, match="too large") as info:
        remade(Takes(np.zeros(10_000)), trusted=True)
    assert "trusted=True" not in str(info.value)


def test_keys_given_by_the_user_are_given_again() -> None:
    """The next checkpoint of the rebuilt callbacks has the same keys."""
    made = remade(stateful(Takes(1), key="mine"), Takes(2), stateful(keras.callbacks.EarlyStopping(), key="stop"))
    assert list(keyed(list(made.values()))) == ["mine", "Takes", "stop"]
    assert [c.value for c in list(made.values())[:2]] == [1, 2]


def _changing(source: str) -> Any:
    space: dict[str, Any] = {"__name__": "changing", "Callback": Callback, "stateful": stateful, "MADE": MADE}
    exec(
        f"@stateful\nclass Changing(Callback):\n    def __init__(self, {source}):\n"
        f"        self.got = {{k: v for k, v in locals().items() if k not in ('self', '__class__')}}\n"
        f"        super().__init__(); MADE.append(self)\n",
        space,
    )
    return space["Changing"]


@pytest.mark.parametrize(
    ("before", "call", "after", "named"),
    [
        ("a, b=1", "1", "a", "no parameter b now"),
        ("a", "1", "b=2", "no parameter a now"),
        ("a", "1", "a, new", "parameter new is new and has no default"),
        ("a", "1", "a, *, new", "parameter new is new and has no default"),
        ("*rest", "1, 2", "a=3", r"no parameter \*args now"),
        ("**more", "x=2", "a=3", "no parameter x now"),
        ("a", "1", "a, *, b=undefined()", None),
    ],
    ids=["gone", "renamed", "new and required", "new keyword", "*args gone", "**kwargs gone", "broken class"],
)
def test_a_constructor_that_changed_is_named(before: str, call: str, after: str, named: str | None) -> None:
    """Which parameter, of which constructor, and ``into=``; nothing is made, not even the callbacks before it."""
    old = eval(f"cls({call})", {"cls": _changing(before)})
    snapshot = saved(Every(1, 2, d=3), old)
    if named is None:
        with pytest.raises(NameError):
            _changing(after)
        return
    _changing(after)
    MADE.clear()
    with pytest.raises(NotRebuildableError, match=named) as info:
        rebuild(snapshot, trust=Trust(), directory="")
    assert "Changing: the constructor Changing(" in str(info.value) and "into=[...]" in str(info.value)
    assert MADE == []


@pytest.mark.parametrize(
    ("before", "call", "after", "expected"),
    [
        ("a", "1", "a, new=5", {"a": 1, "new": 5}),
        ("a, *rest", "1, 2, 3", "a, new=5, *rest", {"a": 1, "new": 5, "rest": (2, 3)}),
        ("a, *rest", "1, 2, 3", "a, *others", {"a": 1, "others": (2, 3)}),
        ("a, b", "1, 2", "b, a", {"b": 2, "a": 1}),
        ("a, b", "1, 2", "a, /, *, b", {"a": 1, "b": 2}),
        ("a, b=4", "1", "a, b=9", {"a": 1, "b": 4}),
        ("a, b", "1, 2", "a, **more", {"a": 1, "more": {"b": 2}}),
        ("a, /, **more", "1, x=2", "a, x, /, **more", {"a": 1, "x": 2, "more": {}}),
    ],
    ids=[
        "new with default",
        "new before *args",
        "*args renamed",
        "reordered",
        "other kinds",
        "default changed",
        "moved into **kwargs",
        "moved out of **kwargs",
    ],
)
def test_a_constructor_that_still_takes_it_gets_it(before: str, call: str, after: str, expected: Any) -> None:
    """Every argument arrives under its name, and none in another's place."""
    snapshot = saved(eval(f"cls({call})", {"cls": _changing(before)}))
    _changing(after)
    assert rebuild(snapshot, trust=Trust(), directory="")["Changing"].got == expected


def test_an_error_of_a_constructor_is_named() -> None:
    """What it said, whose it was, and the way out; an error of this package stays as it is."""

    @stateful
    class Fails(Callback):
        wrong: Any = None

        def __init__(self) -> None:
            if self.wrong is not None:
                raise self.wrong

    snapshot = saved(Fails())
    Fails.wrong = OSError("no disk")
    with pytest.raises(NotRebuildableError, match=r"Fails: .*\(OSError: no disk\).*into="):
        rebuild(snapshot, trust=Trust(), directory="")
    Fails.wrong = CallbackStateError("as it is")
    with pytest.raises(CallbackStateError, match=r"^as it is$"):
        rebuild(snapshot, trust=Trust(), directory="")


def test_the_line_for_a_class_of_somebody_else_works() -> None:
    """Its instance was given to stateful when it was saved: the error says what makes it from the file."""

    class Theirs(Callback):  # type: ignore[misc]
        def __init__(self, value: int) -> None:
            super().__init__()
            self.value = value

    snapshot = saved(stateful(Theirs(3), key="mine"))
    with pytest.raises(NotRegisteredError, match=r"write stateful\(Theirs\) before"):
        rebuild(snapshot, trust=Trust(), directory="")
    stateful(Theirs)
    assert rebuild(snapshot, trust=Trust(), directory="")["mine"].value == 3


def test_a_class_that_is_not_registered_any_more_is_named() -> None:
    """Of the callback, and of an argument's class; nothing is made, and nothing is imported."""
    snapshot = saved(Every(1, 2, d=3), Takes(Options(3)))
    MADE.clear()
    entries = snapshot.meta.callbacks
    entries[1] = replace(entries[1], class_="gone.Gone")
    said = r"gone\.Gone, which is not registered here.* write stateful\(Gone\) before;.*into=\[\.\.\.\]"
    with pytest.raises(NotRegisteredError, match=said):
        rebuild(snapshot, trust=Trust(), directory="")
    for name in ("os.system", "keras.callbacks.Callback", "keras.callbacks.CallbackList", "keras.layers.Dense"):
        entries[1] = replace(entries[1], class_=name)
        with pytest.raises(NotRegisteredError):
            rebuild(snapshot, trust=Trust(), directory="")
    assert MADE == []

    @dataclass
    class Loose:
        x: int = 1

    with pytest.raises(NotRegisteredError, match="Loose, which is not registered here"):
        remade(Takes(Loose()))


def test_arguments_that_no_release_wrote_are_damage() -> None:
    """A malformed table in an argument is an error of the package, trusted or not."""
    nodes: list[Any] = [[], [5], [("list", [(0, 0)])], [("object", 1, [])], [("Path",)], [("dict", [1])]]
    nodes += ["x", [("Path", [(0,)])]]
    for bad in [(some, (0,)) for some in nodes] + [(), ([],), (1, 2, 3)]:
        snapshot = saved(Takes([1]))
        snapshot.meta.callbacks[0].arguments["value"] = SavedArgument("value", bad, None)
        for trusted in (False, True):
            with pytest.raises(CallbackStateError):
                rebuild(snapshot, trust=Trust(trusted), directory="")
