"""The hook for somebody else's callback class: what its state is, and what it does outside the process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from harness import Run
from reused import SAVING, start

from callback_state import CallbackStateError, NotPicklableError, ResumeError, adapter, stateful
from callback_state._callbacks.adapter import given_to
from callback_state._callbacks.capture import (
    class_of,
    configuration,
    is_registered,
    outside_of,
    pick_up,
    state_of,
    wind_back,
)
from callback_state._callbacks.stock import ADAPTERS, adapter_of


def make_class(base: Any = keras.callbacks.Callback) -> Any:
    """Somebody else's class, new for each test."""

    class Board(base):
        def __init__(self, name: str = "run", every: int = 1) -> None:
            super().__init__()
            self.run, self.every, self.steps = name, every, 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.steps += 1

    return Board


# What is state.


def test_every_attribute_that_changes() -> None:
    """Without ``state``, as with ``@stateful``: what still equals a constructor's argument is configuration."""
    cls = adapter(make_class())
    callback = cls("a", every=2)
    callback.every = 3
    assert is_registered(callback)
    assert state_of(callback) == {"run": "a", "steps": 0, "every": 3}
    assert {name: a.data for name, a in configuration(callback).items()} == {"name": "a", "every": 2}


def test_the_named_attributes_only() -> None:
    """With ``state``, nothing else is saved, and those named are, whatever the constructor was given."""
    callback = adapter(make_class(), state=("steps", "every"))()
    callback.socket = object()
    assert state_of(callback) == {"every": 1, "steps": 0}
    none = adapter(make_class(), state=())()  # such as somebody else's progress bar
    assert is_registered(none) and state_of(none) == {}


def test_subclasses_inherit() -> None:
    """A subclass that says nothing is what its base is; one with ``@stateful`` adds its attributes."""

    def outside(callback: Any) -> int:
        return 7

    cls = adapter(make_class(), state=("steps",), outside=outside)

    class Derived(cls):
        more = 1

    @stateful
    class Decorated(cls):
        def __init__(self) -> None:
            super().__init__()
            self.more = [1]

    assert is_registered(Derived()) and state_of(Derived()) == {"steps": 0}
    assert state_of(Decorated()) == {"steps": 0, "run": "run", "every": 1, "more": [1]}
    assert outside_of(Derived()) == outside_of(Decorated()) == 7
    assert given_to(Derived) is None


def test_a_class_derived_from_a_stock_one() -> None:
    """The stock part of its state, and of what is outside, is known; the adapter speaks of the rest."""

    class Mine(keras.callbacks.CSVLogger):
        def __init__(self, filename: str) -> None:
            super().__init__(filename)
            self.rows, self.lines = 0, 0

    adapter(Mine, state=("rows",))
    assert state_of(Mine("x.csv")) == {"keys": None, "rows": 0}
    assert adapter_of(Mine)[0].outside is ADAPTERS["CSVLogger"].outside
    assert outside_of(Mine("there/is/none.csv")) == {"size": None, "end": None, "header": True}
    adapter(Mine, outside=lambda c: "mine")
    assert state_of(Mine("x.csv")) == {"keys": None, "rows": 0, "lines": 0}
    assert outside_of(Mine("x.csv")) == "mine"


def test_a_decorated_class_keeps_its_name() -> None:
    """The key and the other options of ``@stateful`` hold, in whichever order the two are given."""
    for first, second in ((adapter, stateful_board), (stateful_board, adapter)):
        cls = make_class()
        first(cls)
        second(cls)
        assert class_of(cls()) == "board"
        assert given_to(cls) is not None


def stateful_board(cls: Any) -> Any:
    return stateful(cls, key="board", version=2)


# What is wrong.

WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "an instance": (keras.callbacks.Callback(), {}, r"expected a class; write adapter\(Callback, \.\.\.\)"),
    "no callback": (dict, {}, r"adapter\(dict\): expected a class derived from keras.callbacks.Callback"),
    "Callback": (keras.callbacks.Callback, {}, "Keras's own .* derive a class"),
    "stock": (keras.callbacks.CSVLogger, {}, r"adapter\(CSVLogger\): Keras's own .* adapter\(Derived, \.\.\.\)"),
    "state, a string": (None, {"state": "n"}, r"state='n': expected .* write state=\('n',\)"),
    "exclude, a string": (None, {"exclude": b"n"}, r"exclude=b'n': .* write exclude=\(b'n',\)"),
    "no names": (None, {"state": [1]}, r"state=\(1,\): expected names, that is, strings"),
    "outside": (None, {"outside": {"n": 1}}, r"outside={'n': 1}: expected a function; write outside=my_outside"),
    "wind_back": (None, {"wind_back": 1}, "wind_back=1: expected a function"),
    "pick_up": (None, {"pick_up": "f"}, "pick_up='f': expected a function"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_a_type_error_that_says_what_to_write(name: str) -> None:
    """And the class is not registered."""
    given, options, message = WRONG[name]
    cls = make_class() if given is None else given
    with pytest.raises(TypeError, match=message):
        adapter(cls, **options)
    assert given is not None or not is_registered(cls())


def test_what_outside_raises() -> None:
    """It is an error of ours that names callback and function, with the original as its cause."""
    cls = adapter(make_class(), outside=lambda c: 1 / 0, wind_back=lambda c, t: t["n"], pick_up=lambda c, t: t.n)
    with pytest.raises(CallbackStateError, match=r"Board: outside= .* raised ZeroDivisionError: ") as raised:
        outside_of(cls())
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    with pytest.raises(ResumeError, match=r"Board: wind_back= .* raised KeyError: 'n'"):
        wind_back(cls(), {})
    with pytest.raises(ResumeError, match=r"Board: pick_up= .* raised AttributeError"):
        pick_up(cls(), {})


class Opaque:
    pass


@stateful
class Plain:
    pass


@pytest.mark.parametrize(
    ("given", "where"),
    [(Opaque(), "Board.outside"), ({"a": [Opaque()]}, r"Board.outside\['a'\]\[0\]"), (Plain(), "Board.outside")],
    ids=["object", "inside", "plain class"],
)
def test_outside_gives_plain_data(given: Any, where: str) -> None:
    """Anything else is an error that says where it is, in whatever file it would not be readable."""
    cls = adapter(make_class(), outside=lambda c: given)
    with pytest.raises(NotPicklableError, match=rf"{where}.*: .*numbers, text, lists"):
        outside_of(cls())


def test_outside_is_a_copy() -> None:
    """What the callback changes later was not taken."""
    sizes = {"rows": [1, 2], "array": np.arange(3)}
    taken = outside_of(adapter(make_class(), outside=lambda c: sizes)())
    sizes["rows"].append(3)
    sizes["array"][0] = 9
    assert taken["rows"] == [1, 2] and taken["array"].tolist() == [0, 1, 2]


def test_where_nothing_was_taken_nothing_is_done() -> None:
    """A checkpoint from before there was an adapter, or an ``outside`` that gave None, calls nothing."""
    called: list[Any] = []

    def act(callback: Any, taken: Any) -> None:
        called.append(taken)

    callback = adapter(make_class(), outside=lambda c: None, wind_back=act, pick_up=act)()
    for function in (wind_back, pick_up):
        function(callback, outside_of(callback))
    assert called == []
    callback = adapter(make_class(), wind_back=act, pick_up=act)()
    for function in (wind_back, pick_up):
        function(callback, outside_of(callback))
    assert called == [None, None]


# Whole runs.

SERVER: dict[str, list[int]] = {}
HEARD: list[str] = []


class Board(keras.callbacks.Callback):
    """Sends steps to a server that lives longer than the process, and shows them in a window of its own."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run, self.shown, self.window = run, 0, Opaque()

    def on_train_begin(self, logs: Any = None) -> None:
        HEARD.append("on_train_begin")
        self.shown = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.shown += 1
        SERVER.setdefault(self.run, []).append(self.shown)


def wind_back_board(board: Board, taken: dict[str, int]) -> None:
    HEARD.append("wind_back")
    assert board.model is not None
    del SERVER[board.run][taken["steps"] :]


def pick_up_board(board: Board, taken: dict[str, int]) -> None:
    HEARD.append("pick_up")
    board.shown = taken["shown"]


adapter(
    Board,
    state=(),
    outside=lambda board: {"steps": len(SERVER[board.run]), "shown": board.shown},
    wind_back=wind_back_board,
    pick_up=pick_up_board,
)


def start_board(directory: Path, **options: Any) -> Run | None:
    HEARD.clear()
    return start(directory, lambda: [Board(directory.name)], epochs=4, **options)


@pytest.fixture(autouse=True)
def server() -> Iterator[None]:
    SERVER.clear()
    yield


@pytest.mark.parametrize("saving", SAVING)
def test_each_step_is_sent_once(tmp_path: Path, saving: str) -> None:
    """Killed after steps that no checkpoint knows, twice: the server has each step once, in its order."""
    for kill in (11, 14):
        assert start_board(tmp_path, kill=kill, **SAVING[saving]) is None
        assert SERVER[tmp_path.name] == list(range(1, kill + 1))
    run = start_board(tmp_path, **SAVING[saving])
    assert run is not None and run.restored.report.restored[1:] == ("Board",)
    assert SERVER[tmp_path.name] == list(range(1, 17))
    assert HEARD == ["wind_back", "on_train_begin", "pick_up"]


def test_an_error_of_an_adapter_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resume is refused before the first step, and can be had again once the reason is gone."""
    assert start_board(tmp_path, kill=7) is None
    sent = SERVER.pop(tmp_path.name)
    with pytest.raises(ResumeError, match=r"Board: wind_back= .* KeyError"):
        start_board(tmp_path)
    SERVER[tmp_path.name] = sent
    assert start_board(tmp_path) is not None
    assert SERVER[tmp_path.name] == list(range(1, 17))
