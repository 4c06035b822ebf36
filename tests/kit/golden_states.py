"""The states of the checkpoints in ``golden/``: written once by ``golden/write.py``, read by every later release.

An entry is never changed, as the files cannot be; a new kind of state gets a new entry.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import pathlib
import random
import uuid
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import keras
import numpy as np
from places import GOLDEN

from callback_state import stateful

#: The files of every writer, by their directory.
FILES = {
    f"{directory.parent.name}/{directory.name}": directory
    for directory in sorted(GOLDEN.glob("keras-*/*"))
    if directory.is_dir()
}

#: The states of which other backends than TensorFlow have written files.
ELSEWHERE = ("numbers", "arrays", "generators", "training_args", "variables", "signed numbers")
#: What the first of two processes has written.
TWO_PROCESSES = GOLDEN / "two-processes" / "1.keras"

#: The states of which there is a signed file too, ``"signed numbers"``.
SIGNED = ("numbers", "an object by value", "code by value", "inside an epoch")
#: What signs them.
KEY = b"the key of the golden files"


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


@stateful
@dataclasses.dataclass
class Record:
    step: int
    losses: list[float]


class Pair(NamedTuple):
    first: Any
    second: Any


@stateful
class Window:
    """A plain class whose objects callbacks hold."""

    def __init__(self, size: int) -> None:
        self.items: collections.deque[float] = collections.deque(maxlen=size)


@stateful
class Holds(keras.callbacks.Callback):
    """Has a value that it did not have when it was made."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.value = name, None

    def on_train_begin(self, logs: Any = None) -> None:
        if self.name == "classes" and self.value is None:  # objects of the classes that a file may fill
            self.value = values("classes", made=False)
        if self.name == "variables":
            self.value = self.value or keras.Variable([0.0, 0.0])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.name == "variables":
            self.value.assign([0.5, epoch + 1.0])
        else:
            self.value = values(self.name)


def values(name: str, *, made: bool = True) -> Any:
    """The value of this name, anew."""
    return classes(made) if name == "classes" else VALUES[name]()


def classes(made: bool) -> list[Any]:
    window = Window(3)
    window.items.extend([0.5, 0.25] if made else [])
    record = Record(7, [1.0, 0.5]) if made else Record(0, [])
    return [Mood.BAD if made else Mood.GOOD, record, Pair(1, [2]) if made else Pair(0, []), window]


def drawn(generator: Any, draw: str) -> Any:
    getattr(generator, draw)()
    return generator


def cycle() -> list[Any]:
    inner: list[Any] = [1]
    outer: dict[str, Any] = {"a": inner, "b": inner}
    inner.append(outer)
    return [outer, inner]


def arrays() -> dict[str, Any]:
    struct = np.dtype([("a", "<i2"), ("b", "<f4", (2,))])
    return {
        **{code: np.array([1, 0, 1]).astype(code) for code in ("?", "b", "<u8", "<f2", "<f4", "<f8", "<c8")},
        "big endian": np.arange(3, dtype=">u4"),
        "texts": np.array(["a", "bcd", ""]),
        "bytes": np.array([b"ab", b"c"]),
        "dates": np.array(["2020-01-01", "NaT"], "M8[s]"),
        "struct": np.array([(1, (2, 3)), (4, (5, 6))], struct),
        "F order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "0-d": np.array(2.5),
        "empty": np.zeros((0, 3), "f4"),
        "not finite": np.array([np.nan, -0.0, np.inf]),
    }


VALUES: dict[str, Callable[[], Any]] = {
    "numbers": lambda: [None, True, 5, 3**400, -(1 << 70), 0.1, -0.0, float("inf"), float("nan"), 1 - 2j],
    "texts": lambda: ["", "a\0\u20ac\U0001f600", "\ud800", b"\0\xff", bytearray(b"ab")],
    "containers": lambda: [
        [1, [2]],
        (1, (2, ())),
        {1, "a"},
        frozenset({1, frozenset({2})}),
        {1: "a", (1, 2): [], None: 2, b"x": {}},
        collections.OrderedDict(b=1, a=2),
        collections.deque([1, 2], maxlen=5),
        collections.Counter("abca"),
        collections.defaultdict(list, a=[1]),
        range(3, 30, 4),
    ],
    "times and numbers of other modules": lambda: [
        dt.datetime(2020, 1, 2, 3, 4, 5, 6, dt.timezone(dt.timedelta(hours=1), "CET")),
        dt.date(1, 2, 3),
        dt.timedelta(-1, 2, 3),
        Decimal("-1.50E+1000"),
        Fraction(-3, 10**30),
        uuid.UUID(int=7),
        pathlib.PurePosixPath("/a/b"),
        pathlib.PureWindowsPath("c:\\a"),
    ],
    "arrays": arrays,
    "numpy scalars and dtypes": lambda: [
        np.float64(-0.0),
        np.float32(0.1),
        np.int64(-3),
        np.bool_(True),
        np.complex64(1 - 2j),
        np.str_("a"),
        np.bytes_(b"a"),
        np.datetime64("2020-01-01", "D"),
        np.dtype("<f4"),
        np.dtype([("a", "<i2")]),
    ],
    "generators": lambda: [
        random.Random(3),
        drawn(random.Random(3), "random"),
        drawn(np.random.default_rng(5), "random"),
        np.random.Generator(np.random.Philox(5)),
        np.random.RandomState(4),
        np.random.SeedSequence(3),
        drawn(np.random.RandomState(4), "randn"),
    ],
    "shared and cyclic": cycle,
}


@stateful(version=1)
class Older(keras.callbacks.Callback):
    """Counts steps; a later version counts them by epoch, see ``test_golden.py``."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1


class Opaque:
    """Not registered, so pickled by value."""

    def __init__(self, value: Any) -> None:
        self.value = value


@stateful
class ByValue(keras.callbacks.Callback):
    """Holds what is stored by value: an object of a module, or code."""

    def __init__(self, code: bool) -> None:
        super().__init__()
        self.code, self.held = code, None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.held = eval("lambda x: x + 7", {"__name__": "golden"}) if self.code else Opaque(7)


SHARED = cycle()


@stateful
class Shares(keras.callbacks.Callback):
    """Two of them hold one object."""

    def __init__(self) -> None:
        super().__init__()
        self.value: Any = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.value = SHARED


def stock() -> list[Any]:
    return [
        keras.callbacks.EarlyStopping("loss", patience=9, min_delta=1e-3, mode="min"),
        keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=9.0),
        keras.callbacks.TerminateOnNaN(),
    ]


#: By name: what makes the callbacks, and whatever else ``ModelCheckpointEnhanced`` gets.
STATES: dict[str, tuple[Callable[[], list[Any]], dict[str, Any]]] = {
    **{name: (lambda name=name: [Holds(name)], {}) for name in (*VALUES, "classes", "variables")},
    "shared by two callbacks": (lambda: [Shares(), Shares()], {}),
    "stock callbacks": (stock, {}),
    "inside an epoch": (stock, {"save_freq": 3}),
    "an older version": (lambda: [Older()], {}),
    "an object by value": (lambda: [ByValue(code=False)], {}),
    "code by value": (lambda: [ByValue(code=True)], {}),
    "training_args": (list, {"training_args": {"rate": 1e-5, "layers": [1, None, "é"]}}),
}
STATES |= {f"signed {name}": STATES[name] for name in SIGNED}
