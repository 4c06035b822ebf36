"""Custom callbacks, end to end: trained, killed, restored from real files, and gone on with."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import fractions
import importlib
import pathlib
import random
import signal
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from harness import Killed, Strike, X, Y
from programs import Program
from reused import fresh_model

from callback_state import ModelCheckpointEnhanced, NotPicklableError, UntrustedError, restore_callbacks, stateful
from callback_state._format.encode import Encoder

KILL = 2


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"


class Point(NamedTuple):
    x: int
    y: float


@dataclasses.dataclass
class Window:
    values: list[float]
    size: int = 3


@stateful
class Plain:
    """A plain class whose objects callbacks hold."""

    def __init__(self, start: int) -> None:
        self.total = start


class Foreign:
    """A class that nobody registered."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Foreign) and other.value == self.value

    __hash__ = None  # type: ignore[assignment]


def moved(generator: Any) -> Any:
    generator.random()
    return generator


#: What an attribute is when the callback is made, and what it becomes in an epoch.
KINDS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "none": (lambda: 1, lambda: None),
    "bool": (lambda: False, lambda: True),
    "int": (lambda: 0, lambda: 10**30),
    "float": (lambda: 0.0, lambda: 0.1 + 0.2),
    "inf": (lambda: 0.0, lambda: float("inf")),
    "complex": (lambda: 0j, lambda: 1.5 - 2j),
    "str": (lambda: "", lambda: "é\udc80\0"),
    "bytes": (lambda: b"", lambda: b"\0\xff"),
    "bytearray": (bytearray, lambda: bytearray(b"ab")),
    "list": (list, lambda: [1, [2.5, ("a", None)], {"k": [b"v"]}]),
    "tuple": (tuple, lambda: (1, (2, [3]))),
    "dict": (dict, lambda: {"a": 1, (1, "b"): {2: [3]}, None: {}}),
    "set": (set, lambda: {1, "a", (2, 3)}),
    "frozenset": (frozenset, lambda: frozenset({1, 2})),
    "deque": (lambda: collections.deque(maxlen=3), lambda: collections.deque([1, 2, 3], maxlen=3)),
    "OrderedDict": (collections.OrderedDict, lambda: collections.OrderedDict(b=1, a=2)),
    "defaultdict": (lambda: collections.defaultdict(list), lambda: collections.defaultdict(list, {"a": [1]})),
    "Counter": (collections.Counter, lambda: collections.Counter("aab")),
    "datetime": (lambda: None, lambda: datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.timezone.utc)),
    "timedelta": (lambda: None, lambda: datetime.timedelta(days=1, microseconds=5)),
    "Decimal": (lambda: None, lambda: decimal.Decimal("0.10")),
    "Fraction": (lambda: None, lambda: fractions.Fraction(1, 3)),
    "Enum": (lambda: Colour.RED, lambda: Colour.BLUE),
    "path": (lambda: None, lambda: pathlib.PurePosixPath("a/b")),
    "named tuple": (lambda: Point(0, 0.0), lambda: Point(1, 2.5)),
    "dataclass": (lambda: Window([]), lambda: Window([1.0, 2.0], 7)),
    "plain class": (lambda: Plain(0), lambda: Plain(9)),
    "numpy scalar": (lambda: np.float32(0), lambda: np.float32(0.1)),
    "numpy array": (lambda: np.zeros(0), lambda: np.asfortranarray(np.arange(6, dtype="int16").reshape(2, 3))),
    "dtype": (lambda: None, lambda: np.dtype([("a", "<f4"), ("b", "S3")])),
    "numpy generator": (lambda: np.random.default_rng(1), lambda: moved(np.random.default_rng(1))),
    "numpy legacy generator": (lambda: np.random.RandomState(0), lambda: np.random.RandomState(5)),
    "python generator": (lambda: random.Random(0), lambda: moved(random.Random(2))),
    "range": (lambda: range(0), lambda: range(1, 9, 2)),
}


@stateful
class Everything(keras.callbacks.Callback):
    """Has an attribute of every plain kind, which changes in the first epoch."""

    def __init__(self) -> None:
        super().__init__()
        for name, (first, _) in KINDS.items():
            setattr(self, name, first())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name, (_, later) in KINDS.items():
            setattr(self, name, later())


def text_of(value: Any) -> str:
    """A text that is equal if and only if the values are."""
    if dataclasses.is_dataclass(value):  # whose attributes have no order
        value = (type(value).__name__, *dataclasses.astuple(value))  # type: ignore[arg-type]
    return repr(Encoder(canonical=True).table(value))


def checkpoint(directory: Path, **options: Any) -> ModelCheckpointEnhanced:
    return ModelCheckpointEnhanced(directory / "{epoch}.weights.h5", save_weights_only=True, **options)


def train(directory: Path, callbacks: list[Any], *, kill: int | None = KILL, model: Any = None) -> Any:
    """Train, and die when epoch ``kill`` begins."""
    model = fresh_model() if model is None else model
    killer = [] if kill is None else [Strike("epoch_begin", at=kill)]
    with contextlib.suppress(Killed):
        model.fit(X, Y, batch_size=32, verbose=0, epochs=4, callbacks=[checkpoint(directory), *callbacks, *killer])
    return model


def go_on(directory: Path, callbacks: list[Any], *, model: Any = None, **options: Any) -> Any:
    """Restore into new callbacks, without going on."""
    model = fresh_model() if model is None else model
    return restore_callbacks(directory, into=[checkpoint(directory), *callbacks], model=model, **options)


# Attributes.


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """(a callback that was trained and killed, one that was restored and went on for an epoch)"""
    directory = tmp_path_factory.mktemp("everything")
    trained, restored = Everything(), Everything()
    train(directory, [trained])
    go_on(directory, [restored])
    return trained, restored


@pytest.mark.parametrize("name", KINDS)
def test_attribute_of_every_plain_kind(everything: Any, name: str) -> None:
    """What the attribute had become is what a new callback has, in value, type and order."""
    trained, restored = (getattr(callback, name) for callback in everything)
    assert text_of(restored) == text_of(trained)
    assert type(restored) is type(trained)
    assert text_of(restored) != text_of(KINDS[name][0]())


def test_all_kinds_are_rebuilt(tmp_path: Path) -> None:
    """The callback is made from the file alone, too, where its constructor makes what is not data."""
    trained = Everything()
    train(tmp_path, [trained])
    rebuilt = restore_callbacks(tmp_path)["Everything"]
    assert [n for n in KINDS if text_of(getattr(rebuilt, n)) != text_of(getattr(trained, n))] == []


@stateful
class Holder(keras.callbacks.Callback):
    """Holds what it is given, and changes it."""

    def __init__(self, name: str = "", held: Any = None) -> None:
        super().__init__()
        self.name = name
        self.mine = held if held is not None else []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.mine.append(epoch)


def test_objects_shared_by_two_callbacks_stay_shared(tmp_path: Path) -> None:
    """Two callbacks that append to one list append to one list afterwards."""
    shared: list[int] = []
    train(tmp_path, [Holder("a", shared), Holder("b", shared)])
    one, other = Holder("a", []), Holder("b", [])
    go_on(tmp_path, [one, other])
    assert one.mine == [0, 0, 1, 1]
    assert one.mine is other.mine


def test_cycles_come_back(tmp_path: Path) -> None:
    """A list that holds itself, and callbacks that hold each other, do so again."""
    one, other = Holder("a"), Holder("b")
    one.mine.append(one.mine)
    one.friend, other.friend = other, one
    train(tmp_path, [one, other])
    new, friend = Holder("a"), Holder("b")
    new.friend, friend.friend = friend, new
    go_on(tmp_path, [new, friend])
    assert new.mine[0] is new.mine and new.mine[1:] == [0, 1]
    assert new.friend is friend and friend.friend is new


@stateful
class Slotted(keras.callbacks.Callback):
    """Keeps its state in slots."""

    __slots__ = ("count", "never", "values")

    def __init__(self) -> None:
        super().__init__()
        self.count, self.values = 0, []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.count += 1
        self.values.append(logs["loss"])


def test_slots(tmp_path: Path) -> None:
    """Slots are attributes like others; an empty one stays empty."""
    trained, restored = Slotted(), Slotted()
    train(tmp_path, [trained])
    go_on(tmp_path, [restored])
    assert restored.count == KILL and restored.values == trained.values
    assert not hasattr(restored, "never")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)], ids=["same order", "another order"])
def test_several_instances_of_one_class(tmp_path: Path, order: tuple[int, ...]) -> None:
    """Each gets its own state back, told apart by its arguments."""
    trained = [Holder(name, [name]) for name in "abc"]
    train(tmp_path, trained)
    new = [Holder("abc"[i], ["abc"[i]]) for i in order]
    go_on(tmp_path, new)
    assert [c.mine for c in new] == [["abc"[i], 0, 1] for i in order]


# Where the class is defined.


def local_class() -> Any:
    @stateful
    class Local(keras.callbacks.Callback):
        """Defined in a function, where every call makes another class."""

        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.count += 1

    return Local


def test_class_defined_in_a_function(tmp_path: Path) -> None:
    """It is known by its name, and restored into an instance of the class that the function makes now."""
    train(tmp_path, [local_class()()])
    new = local_class()()
    go_on(tmp_path, [new])
    assert new.count == KILL
    assert restore_callbacks(tmp_path)[1].count == KILL


CELL = """
import keras
from callback_state import stateful

@stateful
class InCell(keras.callbacks.Callback):
    def __init__(self, start=0):
        super().__init__()
        self.count = start
    def on_epoch_end(self, epoch, logs=None):
        self.count += 1
"""


def test_class_defined_in_a_notebook(tmp_path: Path) -> None:
    """A cell that is run again replaces its class; instances of the old one and the new one are restored."""
    notebook: dict[str, Any] = {"__name__": "__main__"}
    exec(CELL, notebook)
    old_class, old = notebook["InCell"], notebook["InCell"](3)
    train(tmp_path, [old])
    exec(CELL, notebook)
    new = notebook["InCell"](3)
    assert type(new) is not old_class
    go_on(tmp_path, [new])
    assert new.count == old.count == 3 + KILL
    rebuilt = restore_callbacks(tmp_path)["InCell"]
    assert type(rebuilt) is type(new) and rebuilt.count == 3 + KILL


SCRIPT = """
import keras
from callback_state import ModelCheckpointEnhanced, restore_callbacks, stateful

@stateful
class Schedule(keras.callbacks.Callback):
    def __init__(self, peak):
        super().__init__()
        self.peak, self.steps, self.window = peak, 0, []
    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        self.window = [*self.window, logs["loss"]][-3:]

def build():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("adam", "mse", run_eagerly=True)
    return model

if __name__ == "__main__":
    from harness import X, Y
    build().fit(X, Y, batch_size=32, epochs=4, verbose=0, callbacks=[
        ModelCheckpointEnhanced("{epoch}.weights.h5", save_weights_only=True), Schedule(0.5)])
"""


def test_class_of_a_script_is_that_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that was killed by SIGKILL is restored by a program that imports it: ``__main__.Schedule`` is
    ``train_once.Schedule``, with ``into=`` and from the file alone."""
    (tmp_path / "train_once.py").write_text(SCRIPT)
    done = Program(str(tmp_path / "train_once.py"), str(tmp_path), struck_at=(KILL, 0)).run()
    assert done.status == -signal.SIGKILL, done.err
    monkeypatch.syspath_prepend(tmp_path)
    script = importlib.import_module("train_once")
    new, model = script.Schedule(0.5), script.build()
    saver = ModelCheckpointEnhanced(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    restored = restore_callbacks(tmp_path, into=[new, saver], model=model)
    assert (new.steps, len(new.window), restored.initial_epoch) == (4, 3, 2)
    rebuilt = restore_callbacks(tmp_path, model=script.build())["Schedule"]
    assert (rebuilt.peak, rebuilt.steps, rebuilt.window) == (0.5, 4, new.window)


# Variables.


class Penalised(keras.layers.Layer):
    """Adds a loss whose weight is a variable."""

    def build(self, shape: Any) -> None:
        self.kl_weight = self.add_weight(shape=(), initializer="zeros", trainable=False, name="kl")

    def call(self, x: Any) -> Any:
        self.add_loss(self.kl_weight * keras.ops.mean(x**2))
        return x


def weighted() -> Any:
    """A model with a variable that a callback sets: the weight of one part of its loss."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((6,)), Penalised(), keras.layers.Dense(1)])
    model.compile("adam", "mse", run_eagerly=True)
    return model


@stateful
class Anneal(keras.callbacks.Callback):
    """Raises the weight of a part of the loss, in a variable that the model reads."""

    def __init__(self, weight: Any = None) -> None:
        super().__init__()
        self.weight = weight

    def on_train_begin(self, logs: Any = None) -> None:
        self.weight = self.model.layers[0].kl_weight

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.weight.assign_add(0.25)


@pytest.mark.filterwarnings("ignore:.*Nothing was restored from them")
@pytest.mark.parametrize("given", [True, False], ids=["in the constructor", "in on_train_begin"])
def test_variable_of_the_model_stays_that_variable(tmp_path: Path, given: bool) -> None:
    """After the restore the callback changes the variable that the new model reads, from the value saved."""

    def make(model: Any) -> Any:
        return Anneal(model.layers[0].kl_weight if given else None)

    model = weighted()
    train(tmp_path, [make(model)], model=model)
    model = weighted()
    anneal = make(model)
    restored = go_on(tmp_path, [anneal], model=model)
    weight = model.layers[0].kl_weight
    assert float(weight.numpy()) == 0.25 * KILL
    model.fit(
        X,
        Y,
        batch_size=32,
        verbose=0,
        epochs=4,
        initial_epoch=restored.initial_epoch,
        callbacks=[checkpoint(tmp_path), anneal],
    )
    assert anneal.weight is weight
    assert float(weight.numpy()) == 1.0


@stateful
class Own(keras.callbacks.Callback):
    """Has variables of its own."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.total = (keras.Variable if kind == "keras" else tf.Variable)([0.0, 0.0])
        self.parts = {"a": [tf.Variable(1)]}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.total.assign_add([1.0, 2.0])
        self.parts["a"][0].assign_add(1)


@pytest.mark.parametrize("kind", ["keras", "tensorflow"])
def test_value_goes_into_the_variable_held_now(tmp_path: Path, kind: str) -> None:
    """A Keras or TensorFlow variable of the callback's own, also in a container, stays the one it is."""
    train(tmp_path, [Own(kind)])
    new = Own(kind)
    total, part = new.total, new.parts["a"][0]
    go_on(tmp_path, [new])
    assert new.total is total and new.parts["a"][0] is part
    assert total.numpy().tolist() == [2.0, 4.0] and int(part.numpy()) == 1 + KILL


# What cannot be saved.


class Pool:
    def __init__(self) -> None:
        self.lock = threading.Lock()


def locked(**options: Any) -> Any:
    @stateful(**options)
    class Locked(keras.callbacks.Callback):
        def __init__(self, *, later: bool = False) -> None:
            super().__init__()
            self.later, self.count, self.pool = later, 0, None if later else Pool()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.count += 1
            if self.later and epoch == 1:
                self.pool = Pool()

    return Locked


def test_unpicklable_attribute_is_an_error_when_training_starts(tmp_path: Path) -> None:
    """It names callback, path and the line that cures it, before the first batch; that line does cure it."""
    batches: list[int] = []
    heard = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: batches.append(batch))
    with pytest.raises(NotPicklableError, match=r'exclude=\("pool",\)') as raised:
        fresh_model().fit(X, Y, verbose=0, callbacks=[locked()(), heard, checkpoint(tmp_path)])
    assert raised.value.path == "Locked.pool.lock"
    assert batches == [] and list(tmp_path.iterdir()) == []
    cured = locked(exclude=("pool",))
    train(tmp_path, [cured()])
    new = cured()
    pool = new.pool
    go_on(tmp_path, [new])
    assert new.count == KILL and new.pool is pool


@pytest.mark.filterwarnings("ignore:.*Nothing was restored from them")
def test_one_that_appears_later_fails_the_save(tmp_path: Path) -> None:
    """The save fails and names it; the checkpoint before is intact, and no temporary file is left."""
    cls = locked()
    train(tmp_path, [cls(later=True)], kill=1)
    intact = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(intact) == ["1.weights.h5", "1.weights.h5.callbacks.pkl"]
    with pytest.raises(NotPicklableError) as raised:
        train(tmp_path, [cls(later=True)], kill=None)
    assert raised.value.path == "Locked.pool.lock"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(intact)
    new = cls(later=True)
    assert go_on(tmp_path, [new]).initial_epoch == 1
    assert new.count == 1


# What is stored by value.


@stateful
class ByValue(keras.callbacks.Callback):
    """Holds an object of a class that is neither plain nor registered, and code."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function, self.foreign, self.count = function, Foreign(0), 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.count, self.foreign = self.function(self.count), Foreign(epoch + 7)


def test_other_objects_are_warned_of_with_into_too(tmp_path: Path) -> None:
    """There into= is no way without trust; the warning says what is."""
    callbacks = [ByValue(len), checkpoint(tmp_path)]
    restore_callbacks(tmp_path, into=callbacks, missing_ok=True)
    with pytest.warns(
        UserWarning, match=r"also with into=: ByValue\.foreign\. .* @stateful, or exclude"
    ) as caught:
        for _ in range(2):
            fresh_model().fit(X, Y, batch_size=32, verbose=0, epochs=0, callbacks=callbacks)
    assert len(caught) == 1


@pytest.mark.filterwarnings("ignore:stored by value")
def test_other_objects_come_back_on_trust_only(tmp_path: Path) -> None:
    """Without trust an error names the attribute, and nothing is half restored; with trust they are there."""
    step = 2
    train(tmp_path, [ByValue(lambda count: count + step)])
    new = ByValue(lambda count: count + 100)
    with pytest.raises(UntrustedError, match=r"ByValue\.foreign is an object of class .*Foreign.*trusted=True"):
        go_on(tmp_path, [new])
    assert new.count == 0 and new.foreign == Foreign(0)
    go_on(tmp_path, [new], trusted=True)
    assert new.count == KILL * step and new.foreign == Foreign(KILL - 1 + 7)
    assert new.function(0) == 100  # the user's own, now
    rebuilt = restore_callbacks(tmp_path, trusted=True)["ByValue"]
    assert (rebuilt.count, rebuilt.function(0)) == (KILL * step, step)


def test_somebody_elses_callback(tmp_path: Path) -> None:
    """An instance of a class that is not ours to decorate is registered by ``stateful(instance)``."""
    module = types.ModuleType("elsewhere")
    exec(CELL.replace("@stateful\n", "").replace("InCell", "Theirs"), module.__dict__)
    trained = stateful(module.Theirs(5), key="theirs", exclude=("sock",))
    trained.sock = threading.Lock()
    train(tmp_path, [trained])
    new = stateful(module.Theirs(5), key="theirs", exclude=("sock",))
    restored = go_on(tmp_path, [new])
    assert restored["theirs"] is new and new.count == 5 + KILL
