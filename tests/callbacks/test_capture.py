"""State and configuration of live callbacks; putting state back, all of it or nothing."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest
from states import put_into, saved, tree_of

from callback_state import RestoreError, adapter, stateful
from callback_state._callbacks.capture import is_registered, keyed, state_of
from callback_state._format.classes import attributes
from callback_state._format.statefile import seal

Callback = keras.callbacks.Callback


@stateful(exclude=("cache",))
class Steps(Callback):
    def __init__(self, rate: float = 0.1, limits: Any = (1, 2), step: int = 0) -> None:
        super().__init__()
        self.rate, self.limits, self.step = rate, limits, step
        self.seen: list[int] = []
        self.cache = {"a": 1}


class MoreSteps(Steps):
    """Undecorated child: its parent's registration holds."""

    def __init__(self, rate: float = 0.1) -> None:
        super().__init__(rate)
        self.more = 1


@stateful(exclude=("more",))
class EvenMoreSteps(MoreSteps):
    pass


class Stopping(keras.callbacks.EarlyStopping):
    """A subclass of a stock callback, which nobody decorated."""

    def __init__(self, scale: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.scale, self.total = scale, 0


def test_what_still_equals_an_argument_is_configuration() -> None:
    """And nothing else is: an attribute that moved away is state, and is configuration again if it comes back."""
    steps = Steps()
    assert state_of(steps) == {"seen": []}
    steps.step, steps.limits = 3, [1, 2]
    assert state_of(steps) == {"seen": [], "step": 3, "limits": [1, 2]}
    steps.step, steps.limits = 0, (1, 2)
    assert state_of(steps) == {"seen": []}


def test_an_argument_changed_in_place_is_state() -> None:
    """Also where the attribute is the very object that the constructor was given."""
    limits = [1, 2]
    steps = Steps(limits=limits)
    limits.append(3)
    assert steps.limits is limits and state_of(steps)["limits"] == [1, 2, 3]


def test_a_generator_that_was_drawn_from_is_state() -> None:
    """Given to the constructor, unchanged it is configuration; a draw later it is not."""
    steps = Steps(rate=np.random.default_rng(1))
    assert "rate" not in state_of(steps)
    steps.rate.random()  # type: ignore[attr-defined]
    assert "rate" in state_of(steps)


def test_a_function_kept_under_another_name_is_configuration() -> None:
    """``self._fn = fn`` needs no trust."""

    @stateful
    class Calls(Callback):
        def __init__(self, fn: Any) -> None:
            super().__init__()
            self._fn = fn

    assert state_of(Calls(lambda: 1)) == {}


def test_excluded_attributes_are_no_state() -> None:
    """Those of the class, of its parents, and of the instance, together."""
    assert set(state_of(MoreSteps())) == {"limits", "more", "seen", "step"}
    assert set(state_of(EvenMoreSteps())) == {"limits", "seen", "step"}
    assert set(state_of(stateful(EvenMoreSteps(), exclude=("seen",)))) == {"limits", "step"}
    assert set(state_of(stateful(keras.callbacks.TerminateOnNaN(), exclude=("x",)))) == set()


def test_what_is_excluded_now_is_not_put_back() -> None:
    """A file from before the exclusion does not bring the attribute back."""
    old = Steps()
    old.seen.append(1)
    live = stateful(Steps(), exclude=("seen",))
    put_into(saved(old), live)
    assert live.seen == []


def test_an_undecorated_subclass_of_a_stock_callback_has_both_states() -> None:
    """Its own attributes and the parent's; its own parameters are configuration from the first look on."""
    stopping = Stopping(2.0, patience=3)
    assert is_registered(stopping)
    assert state_of(stopping)["total"] == 0 and "scale" not in state_of(stopping)
    stopping.scale, stopping.wait = 3.0, 2
    assert {"scale", "wait"} <= set(state_of(stopping)) and "patience" not in state_of(stopping)


@pytest.mark.parametrize(
    ("callbacks", "expected"),
    [
        ([Steps(), Steps(), Steps()], ["Steps", "Steps_1", "Steps_2"]),
        ([Steps(), MoreSteps(), Steps()], ["Steps", "MoreSteps", "Steps_1"]),
        ([stateful(Steps(), key="a"), Steps(), stateful(Steps(), key="b")], ["a", "Steps", "b"]),
        ([stateful(Steps(), key="Steps"), Steps()], ["Steps", "Steps_1"]),
        ([stateful(Steps(), key="Steps_1"), Steps(), Steps()], ["Steps_1", "Steps", "Steps_2"]),
        ([keras.callbacks.TerminateOnNaN(), Steps()], ["TerminateOnNaN", "Steps"]),
    ],
    ids=["three of a class", "two classes", "given", "given like the class", "given like the second", "stock"],
)
def test_names_of_callbacks(callbacks: list[Any], expected: list[str]) -> None:
    """The class's name, numbered from the second on; a given key as it was given."""
    assert list(keyed(callbacks)) == expected
    assert list(keyed(callbacks).values()) == callbacks


def test_a_key_of_the_class() -> None:
    """``@stateful(key=...)`` names every instance of that class and none of its children."""

    @stateful(key="warm")
    class Warmup(Callback):
        pass

    class Child(Warmup):
        pass

    assert list(keyed([Warmup(), Warmup(), Child()])) == ["warm", "warm_1", "Child"]


def test_two_callbacks_of_one_key_are_an_error() -> None:
    """It names the key."""
    with pytest.raises(RestoreError, match=r"two callbacks have the key 'a': give each its own with key="):
        keyed([stateful(Steps(), key="a"), stateful(MoreSteps(), key="a")])


def test_configuration_that_moved_here_becomes_configuration_again() -> None:
    """Restored into callbacks that have already trained, an attribute saved at its argument's value returns."""
    old, live = Steps(step=5), Steps(step=6)
    live.step, live.rate = 99, -1.0
    put_into(saved(old), live)
    assert (live.step, live.rate) == (6, 0.1)


# All or nothing.


@stateful
class Touchy(Callback):
    """Refuses to be told a bad value."""

    def __init__(self) -> None:
        super().__init__()
        self.first: Any = 1
        self.rng = random.Random(1)
        self.weight = keras.Variable([1.0])

    @property
    def value(self) -> Any:
        return self.__dict__["value"]

    @value.setter
    def value(self, value: Any) -> None:
        if value == "bad":
            raise RuntimeError("bad value")
        self.__dict__["value"] = value


def _look(callback: Any) -> Any:
    """Everything that a callback holds, generators and variables by value."""
    found = dict(vars(callback))
    found["rng"], found["weight"] = callback.rng.getstate(), callback.weight.numpy().tolist()
    return found


def _saved_touchy(value: Any) -> Any:
    old = Touchy()
    old.first, old.new = 2, [3]  # type: ignore[attr-defined]
    old.rng.random()
    old.weight.assign([2.0])
    old.__dict__["value"] = value
    return saved(old, keras.callbacks.EarlyStopping())


@pytest.mark.parametrize("before", [{}, {"value": 0}, {"zebra": 1}], ids=str)
def test_a_setter_that_raises_undoes_everything(before: dict[str, Any]) -> None:
    """Of every callback: attributes set, added, directions decided. The error names the attribute."""
    snapshot = _saved_touchy("bad")
    live, stopping = Touchy(), keras.callbacks.EarlyStopping()
    vars(live).update(before)
    look, stock = _look(live), dict(vars(stopping))
    for order in ([0, 1], [1, 0]):
        keys, callbacks = ["Touchy", "EarlyStopping"], [live, stopping]
        with pytest.raises(RestoreError, match=r"Touchy\.value cannot be set: RuntimeError: bad value"):
            put_into(snapshot, *[callbacks[i] for i in order], keys=[keys[i] for i in order])
        assert _look(live) == look and list(vars(live)) == list(look)
        assert vars(stopping) == stock
    put_into(_saved_touchy("good"), live, stopping)
    assert (live.first, live.new, live.value) == (2, [3], "good")  # type: ignore[attr-defined]


@pytest.mark.parametrize("failing", range(3))
def test_a_variable_that_refuses_undoes_everything(failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables and generators that were set before it get their values back; at each place in the order."""
    olds, lives = [Touchy() for _ in range(3)], [Touchy() for _ in range(3)]
    for i, old in enumerate(olds):
        old.weight.assign([5.0 + i])
        old.rng.seed(7 + i)
        old.first = i
    snapshot = saved(*olds)
    looks = [_look(live) for live in lives]
    weight = lives[failing].weight

    def refuse(value: Any) -> None:
        raise ValueError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(weight, "assign", refuse)
        with pytest.raises(RestoreError, match="a variable or generator cannot be set: ValueError: no room"):
            put_into(snapshot, *lives)
    assert [_look(live) for live in lives] == looks
    put_into(snapshot, *lives)
    assert [live.weight.numpy().tolist() for live in lives] == [[5.0], [6.0], [7.0]]
    assert [live.rng.random() for live in lives] == [random.Random(7 + i).random() for i in range(3)]


# What cannot be state.


@pytest.mark.parametrize(
    ("callback", "name"),
    [
        (lambda: keras.callbacks.ModelCheckpoint("a.keras"), "filepath"),
        (lambda: keras.callbacks.CSVLogger("a.csv"), "filename"),
        (lambda: keras.callbacks.EarlyStopping(), "patience"),
        (lambda: Steps(), "_model"),
        (lambda: Steps(), "set_model"),
        (lambda: Steps(), "__class__"),
        (lambda: Steps(), 5),
    ],
    ids=["path", "file name", "configuration", "model", "hook", "class", "number"],
)
def test_a_file_cannot_set_what_is_no_state(callback: Any, name: Any) -> None:
    """Paths and configuration of stock callbacks, the model, special names: refused, whatever a file holds."""
    snapshot = saved(callback())
    (root,) = snapshot.state.root
    (i,) = snapshot.state.nodes[root][1][1]
    snapshot.state.nodes[i] = ("dict", [*snapshot.state.nodes[i][1], name, "evil"])
    live = callback()
    before = attributes(live)
    with pytest.raises(RestoreError, match=f"{name} is not an attribute that can be state"):
        put_into(snapshot, live)
    assert attributes(live) == before


# Versions.


def _versioned(version: int, migrate: Any = None) -> Any:
    @stateful(key="versioned", version=version, migrate=migrate)
    class Versioned(Callback):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

    return Versioned()


def test_an_older_state_is_migrated() -> None:
    """With the version that it has, on a copy; the result is what is put in."""
    old = _versioned(2)
    old.steps = 5
    seen = []

    def migrate(state: dict[str, Any], version: int) -> dict[str, Any]:
        seen.append((dict(state), version))
        state["count"] = state.pop("steps")
        return state

    live = _versioned(3, migrate)
    put_into(saved(old), live)
    assert seen == [({"count": 0, "steps": 5}, 2)]
    assert live.count == 5 and not hasattr(live, "steps")


@pytest.mark.parametrize(
    ("saved_version", "here", "message"),
    [
        (3, _versioned(2), "has version 3, and the class here knows version 2 only. Use the newer code"),
        (
            1,
            _versioned(2),
            r"has version 1, and the class here has version 2 and no function .*@stateful\(version=2, migrate=",
        ),
        (1, _versioned(2, lambda s, v: s["gone"]), r"could not convert it to version 2: KeyError: 'gone'"),
        (1, _versioned(2, lambda s, v: None), r"could not convert it to version 2: TypeError"),
        (1, _versioned(2, lambda s, v: {"_model": 1}), "_model is not an attribute that can be state"),
    ],
    ids=["newer", "no migrate", "migrate raises", "migrate returns nothing", "migrate returns nonsense"],
)
def test_a_state_of_another_version_is_refused(saved_version: int, here: Any, message: str) -> None:
    """With both numbers and what to do; nothing has changed."""
    old = _versioned(saved_version)
    old.count = 9
    with pytest.raises(RestoreError, match=message):
        put_into(saved(old), here)
    assert here.count == 0


# Secrets.


class Client:
    """An object with a secret, of a class that nobody registered."""

    def __init__(self, token: str) -> None:
        self.token, self.calls = token, 0


class Sends(Callback):
    """Keeps its arguments under their names, with an underscore, or not at all."""

    def __init__(self, client: Any, secret_word: str = "", *more: Any, **options: Any) -> None:
        super().__init__()
        self.client, self._secret_word, self.n = client, secret_word, 0


OUT = ("client", "secret_word", "more", "header")


def _by_instance() -> Any:
    return lambda *args, **options: stateful(Sends(*args, **options), exclude=OUT)


def _by_class() -> Any:
    return stateful(exclude=OUT)(type("Decorated", (Sends,), {}))


def _by_adapter() -> Any:
    return adapter(type("Adapted", (Sends,), {}), exclude=OUT)


@pytest.mark.parametrize("register", [_by_instance, _by_class, _by_adapter])
def test_an_excluded_argument_is_nowhere_in_the_file(register: Any) -> None:
    """Neither its name nor its value: an object that changes, a text, one of several, and an option."""
    make = register()

    def made() -> Any:
        callback = make(Client("sk-SECRET-1"), "sk-SECRET-2", "sk-SECRET-3", header={"key": "sk-SECRET-4"}, kept=5)
        callback.client.calls += 1
        return callback

    data = seal(tree_of(made()), bytes(32), 0)
    assert [word for word in (b"SECRET", b"secret_word", b"client", b"header") if word in data] == []
    live = made()
    put_into(saved(made()), live)
    assert live.client.token == "sk-SECRET-1"


def test_an_excluded_argument_of_a_stock_callback_is_nowhere_in_the_file() -> None:
    """What Keras's own class keeps under the name of its argument."""
    monitor = keras.callbacks.RemoteMonitor(headers={"key": "sk-SECRET"})
    data = seal(tree_of(stateful(monitor, exclude=("headers",))), bytes(32), 0)
    assert b"SECRET" not in data and b"headers" not in data
