"""Objects that the constructor of a callback makes: they stay as long as nobody changes them."""

from __future__ import annotations

import collections
import functools
import itertools
import logging
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from play import play, tiny_model
from states import put_into, saved

from callback_state import (
    ModelCheckpointEnhanced,
    Restored,
    RestoreError,
    ResumeError,
    UntrustedError,
    restore_callbacks,
    stateful,
    untrusted,
)
from callback_state._callbacks.made import note_made
from callback_state.cli.doctor.findings import findings_in
from callback_state.cli.runs.recorded import newest_of


class Helper:
    """A class that nobody registered."""

    def __init__(self) -> None:
        self.scale, self.seen = 2.0, [[]]

    def see(self, what: Any) -> None:
        self.seen.append(what)


class Slotted:
    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen: list[Any] = []


@stateful
@dataclass
class Kept:
    """A class of plain data."""

    x: Any


class Table(dict[Any, Any]):
    """A subclass of a class that is written in C."""


@stateful
class Holder(keras.callbacks.Callback):
    """Holds what a function makes, and lets another one change it at the end of an epoch."""

    made: Any = None
    change: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.held, self.count, self.later = type(self).made(), 0, None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.count += 1
        if type(self).change is not None:
            type(self).change(self, epoch)


@pytest.fixture(autouse=True)
def _as_it_was() -> Any:
    yield
    Holder.made = Holder.change = None


def start(directory: Path, epochs: int, *, make: Any = Holder, **options: Any) -> tuple[Any, Restored, list[str]]:
    """One start of a script, in a loop that only plays fit: the callback, what was restored, the warnings."""
    callback, model = make(), tiny_model()
    callbacks = [callback, ModelCheckpointEnhanced(directory / "{epoch}.weights.h5", save_weights_only=True)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        restored = restore_callbacks(directory, into=callbacks, model=model, missing_ok=True, **options)
        play(callbacks, first=restored.initial_epoch, epochs=epochs, model=model)
    return callback, restored, [str(w.message) for w in caught if issubclass(w.category, UserWarning)]


def marks(callback: Any) -> list[bool]:
    """For each object in the state: whether the file says that it was as the constructor made it."""
    return [len(node) == 5 for node in saved(callback).state.nodes if node[0] in ("code", "value")]


def counter() -> Any:
    n = 0

    def count() -> int:
        nonlocal n
        n += 1
        return n

    return count


MADE: dict[str, Any] = {
    "ufunc": lambda: np.less,
    "function of NumPy": lambda: np.argmax,
    "function of a module of NumPy": lambda: np.linalg.norm,
    "logger": lambda: logging.getLogger("training"),
    "pattern": lambda: re.compile("a+"),
    "loss": keras.losses.MeanSquaredError,
    "schedule": lambda: keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9),
    "helper": Helper,
    "helpers in a dict": lambda: {"first": [Helper(), np.less], "n": 3},
    "lambda": lambda: lambda x: x,
    "closure": counter,
    "partial": lambda: functools.partial(np.clip, a_min=0, a_max=1),
}


@pytest.mark.parametrize("name", MADE)
def test_what_nobody_changes_stays(tmp_path: Path, name: str) -> None:
    """Neither trust nor a warning: the restored callback has the object that its constructor made."""
    Holder.made = staticmethod(MADE[name])
    at_first = start(tmp_path, 1)[2]
    held: list[Any] = []
    second, restored, then = start(tmp_path, 2, make=lambda: (c := Holder(), held.append(c.held))[0])
    assert (at_first, then) == ([], [])
    assert (restored.initial_epoch, second.count) == (1, 2)
    assert second.held is held[0] or second.held["first"][0] is held[0]["first"][0]


CHANGES: dict[str, tuple[Any, Any]] = {
    "attribute": (Helper, lambda held: setattr(held, "scale", 3.0)),
    "deep inside": (Helper, lambda held: held.seen[0].append(1)),
    "slot": (Slotted, lambda held: held.seen.append(1)),
    "item of a subclass": (Table, lambda held: held.update(a=1)),
    "iterator": (lambda: itertools.count(), next),
    "variable of a closure": (lambda: {"f": counter(), "n": 0}, lambda held: held["f"]()),
    "object that a method holds": (lambda: [Helper().seen.append], lambda held: held[0](1)),
    "object of a method of Python": (lambda: [Helper().see], lambda held: held[0](1)),
    "argument of a partial": (lambda: [functools.partial(max, [1])], lambda held: held[0].args[0].append(2)),
    "state of a loss": (keras.losses.MeanSquaredError, lambda held: setattr(held, "calls", 1)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_in_any_part_is_stored(name: str) -> None:
    """By value, as before: no change is lost, however deep it is."""
    make, change = CHANGES[name]
    Holder.made = staticmethod(make)
    callback = Holder()
    note_made([callback], is_new=True)
    assert marks(callback) == [True]
    change(callback.held)
    assert marks(callback) == [False]


@stateful
class Prepares(keras.callbacks.Callback):
    """Makes its helpers where it gets the model, as a callback must that needs the model for it."""

    def __init__(self) -> None:
        super().__init__()
        self.helper, self.function, self.count = None, None, 0

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self.helper, self.function = Helper(), lambda: 3

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.count += 1


def test_what_set_model_makes_is_made_again(tmp_path: Path) -> None:
    """It is not there yet at the restore: neither trust nor a warning, and the next set_model makes it."""
    at_first = start(tmp_path, 1, make=Prepares)[2]
    callback, restored, then = start(tmp_path, 2, make=Prepares)
    assert (at_first, then, restored.initial_epoch, callback.count) == ([], [], 1, 2)
    assert callback.helper.scale == 2.0 and callback.function() == 3


@stateful
class Fills(keras.callbacks.Callback):
    """Puts a helper beside state, where it gets the model."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, Any] = {"n": 0}

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self.held["helper"] = Helper()


def test_what_set_model_puts_beside_state_is_told_at_the_first_start(tmp_path: Path) -> None:
    """A restart cannot put the state back without it: the line that the warning gives cures that."""
    (said,) = start(tmp_path, 1, make=Fills)[2]
    assert "only from a trusted file" in said and '@stateful(exclude=("held",)) above class Fills' in said
    with pytest.raises(UntrustedError, match=r"Fills\.held\['helper'\]"):
        start(tmp_path, 2, make=Fills)


def test_what_nobody_makes_any_more_is_an_error(tmp_path: Path) -> None:
    """It says what works: to make it, or to trust the file."""
    Holder.made = staticmethod(Helper)
    start(tmp_path, 1)
    Holder.made = staticmethod(lambda: None)
    with pytest.raises(ResumeError, match=r"Holder\.held .*None now\. Set it in the constructor .*trusted=True"):
        start(tmp_path, 2)
    assert start(tmp_path, 2, trusted=True)[0].held.scale == 2.0


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (lambda: {"inner": Helper(), "n": 3}, dict, r"Holder\.held holds parts .* together with other state"),
        (lambda: Kept(Helper()), lambda: Kept(None), r"Holder\.held\.x was .*, and nothing is in its place now"),
    ],
    ids=["dict", "object"],
)
def test_a_part_that_nobody_makes_any_more_is_an_error(tmp_path: Path, before: Any, now: Any, words: str) -> None:
    """What is beside it is state, which can be put back only with it."""
    Holder.made = staticmethod(before)
    start(tmp_path, 1)
    Holder.made = staticmethod(now)
    with pytest.raises(RestoreError, match=words):
        start(tmp_path, 2)


def test_only_what_a_restart_lacks_is_listed(tmp_path: Path) -> None:
    """Not the objects that the constructor makes again, nor by the command; one that has changed is."""
    Holder.made = staticmethod(lambda: {"a": Helper(), "b": np.less, "c": lambda: 1})
    start(tmp_path, 1)
    assert untrusted(tmp_path) == [] and found_by_doctor(tmp_path) == []
    Holder.change = staticmethod(lambda self, epoch: self.held["a"].seen.append(1))
    start(tmp_path, 2)
    assert [need.path for need in untrusted(tmp_path)] == ["Holder.held['a']"]
    assert found_by_doctor(tmp_path) == [
        "Holder.held['a'], an object of class test_made.Helper, is stored by value"
    ]


def test_an_error_does_not_list_thousands(tmp_path: Path) -> None:
    """A file may refer to thousands of objects: the first are named, and how many there are."""
    Holder.made = staticmethod(dict)
    Holder.change = staticmethod(lambda self, epoch: self.held.update({i: Helper() for i in range(100)}))
    start(tmp_path, 1)
    with pytest.raises(UntrustedError, match=r"and 80 more, see untrusted\(\)") as caught:
        start(tmp_path, 2)
    assert len(caught.value.needs) == 100


def found_by_doctor(directory: Path) -> list[str]:
    return [found.what for found in findings_in(newest_of(str(directory))[0], "ckpt")]


def test_another_object_in_its_place_is_stored() -> None:
    """Also where it is equal, and where the first one is still held elsewhere."""
    Holder.made = staticmethod(Helper)
    callback = Holder()
    note_made([callback], is_new=True)
    callback.later, callback.held = callback.held, Helper()
    assert marks(callback) == [False, False]


def test_a_restored_object_is_not_taken_for_one_of_the_constructor(tmp_path: Path) -> None:
    """What changed in the first start, and was read on trust, is stored by the second one too."""
    Holder.made = staticmethod(Helper)
    Holder.change = staticmethod(lambda self, epoch: self.held.seen.append(epoch) if epoch == 0 else None)
    start(tmp_path, 1)
    start(tmp_path, 2, trusted=True)
    assert start(tmp_path, 3, trusted=True)[0].held.seen == [[], 0]


def test_functions_of_numpy_are_stored_by_their_public_names() -> None:
    """Also where the callback gets them while it trains; then the live one decides."""
    Holder.made = staticmethod(lambda: None)
    callback = Holder()
    callback.held = [np.less, np.argmax, np.linalg.norm]
    snapshot = saved(callback)
    names = [name.decode() for data in snapshot.pickles for name in re.findall(rb"numpy\.[\w.]+", data)]
    assert names == ["numpy.less", "numpy.argmax", "numpy.linalg.norm"]
    live = Holder()
    live.held = [np.less, np.argmax, np.linalg.norm]
    put_into(snapshot, live)
    rebuilt = Holder()
    put_into(snapshot, rebuilt, trusted=True)
    assert live.held == rebuilt.held == callback.held


class Later(Holder):
    """Gets one object at its first epoch, and another one at the next."""

    made = staticmethod(lambda: None)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_end(epoch, logs)
        if epoch == 0:
            self.held = Table()
        else:
            self.later = Table()


def test_an_object_that_was_read_on_trust_is_not_taken_for_one_of_set_model(tmp_path: Path) -> None:
    """Nobody makes it again: it is listed, and a restart without trust is refused."""
    start(tmp_path, 1, make=lambda: stateful(Later()))
    start(tmp_path, 2, make=lambda: stateful(Later()), trusted=True)
    assert [need.path for need in untrusted(tmp_path)] == ["Later.held", "Later.later"]


def test_one_line_names_all_that_changed_and_cures_what_is_on_disk(tmp_path: Path) -> None:
    """It is told when an object appears, with those that were told before; pasted, it lets a restore pass that was
    refused, and whose error has the line too."""
    said = start(tmp_path, 3, make=lambda: stateful(Later()))[2]
    assert [re.findall(r"with into=: ([\w., ]+)\. To", text)[0] for text in said] == ["Later.held", "Later.later"]
    assert said[0].endswith('stateful(Later(...), exclude=("held",)).')
    line = 'stateful(Later(...), exclude=("held", "later")).'
    assert said[1].endswith(line)
    with pytest.raises(UntrustedError, match=re.escape(line)):
        start(tmp_path, 4, make=lambda: stateful(Later()))
    cured, restored, _ = start(tmp_path, 3, make=lambda: stateful(Later(), exclude=("held", "later")))
    assert (restored.initial_epoch, cured.count, cured.held) == (3, 3, None)


def test_the_line_of_a_decorated_class_keeps_what_it_leaves_out_already(tmp_path: Path) -> None:
    """It replaces the decorator, which may have attributes of its own."""

    @stateful(exclude=("count",))
    class Decorated(Later):
        pass

    said = start(tmp_path, 1, make=Decorated)[2]
    assert said[0].endswith('@stateful(exclude=("count", "held")) above class Decorated.')


class Theirs:
    """A class of another package."""

    def __init__(self) -> None:
        self.n = 0


def test_a_class_of_somebody_else_becomes_plain_in_one_line(tmp_path: Path) -> None:
    """Its objects are saved by their attributes: no trust, no warning, and the state is back."""
    Holder.made = staticmethod(Theirs)
    Holder.change = staticmethod(lambda self, epoch: setattr(self.held, "n", self.held.n + 1))
    assert start(tmp_path, 1, make=lambda: stateful(Holder(), plain=(Theirs,)))[2] == []
    callback, _, said = start(tmp_path, 2, make=lambda: stateful(Holder(), plain=(Theirs,)))
    assert (callback.held.n, said) == (2, [])


@pytest.mark.parametrize("wrong", [Table, collections.Counter, 3, Holder], ids=repr)
def test_what_cannot_be_plain_is_refused(wrong: Any) -> None:
    """It says what was expected: an object that is more than its attributes would come back as less."""
    with pytest.raises(TypeError, match=r"plain= has .*expected"):
        stateful(Holder, plain=(wrong,))


class Trial:
    """An object as optuna gives it to a callback."""

    def __init__(self) -> None:
        self.number = 1


@stateful
class Pruning(keras.callbacks.Callback):
    def __init__(self, trial: Any, rate: Any) -> None:
        super().__init__()
        self.trial, self._rate = trial, rate


def test_arguments_that_the_script_gives_again_are_not_warned_of(tmp_path: Path) -> None:
    """A restart with into= has them, whatever they are."""

    def make() -> Any:
        return Pruning(Trial(), lambda epoch: 0.1)

    assert start(tmp_path, 1, make=make)[2] == start(tmp_path, 2, make=make)[2] == []
