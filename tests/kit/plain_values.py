"""Values of every plain kind, strategies that nest them, and a comparison that shares no code with the package."""

from __future__ import annotations

import datetime as dt
import enum
import pathlib
import random
import struct
import typing
import uuid
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from callback_state._format.decode import Decoder
from callback_state._format.encode import Encoder
from callback_state._format.pickles import dump, parse
from callback_state._format.table import Table


class Color(enum.Enum):
    RED = 1
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Word(str, enum.Enum):
    YES = "yes"


Point = namedtuple("Point", "x y")


class Named(typing.NamedTuple):
    name: Any
    value: Any = 0


@dataclass
class Plain:
    x: Any = None
    y: Any = field(default_factory=list)


@dataclass(frozen=True)
class Frozen:
    x: Any = None


@dataclass
class Slotted:
    __slots__ = ("__hidden", "x")
    x: Any


@dataclass(frozen=True)
class Strict:
    """Its constructor must not run when it is restored."""

    x: Any

    def __post_init__(self) -> None:
        if "made" in RAN:
            raise AssertionError("__post_init__ was run")


RAN: set[str] = set()
T = typing.TypeVar("T")


@dataclass
class Generic(typing.Generic[T]):
    x: T


class Child(Plain):
    """A dataclass by inheritance, with an attribute that is no field."""

    def __init__(self, x: Any) -> None:
        super().__init__(x)
        self.more = [x]


CLASSES = {
    f"{c.__module__}.{c.__qualname__}": c
    for c in (Color, Level, Access, Word, Point, Named, Plain, Frozen, Slotted, Strict, Generic, Child)
}


def find_class(name: str, live: Any) -> type:
    return CLASSES[name]


def encode(value: Any) -> Table:
    return Encoder().table(value)


def decode(table: Table, **options: Any) -> Any:
    return Decoder(table, find_class=find_class, **options).value()


def again(value: Any) -> Any:
    """There and back, by way of bytes, so that nothing of the original can be used again."""
    table = encode(value)
    return decode(Table.from_tree(parse(dump([table.nodes, table.root]))))


def _slotted() -> Slotted:
    made = Slotted(5)
    made._Slotted__hidden = [1]
    return made


def _drawn(generator: Any, draw: str, *arguments: float) -> Any:
    getattr(generator, draw)(*arguments)
    return generator


def _spawned() -> Any:
    generator = np.random.default_rng(7)
    generator.bit_generator.seed_seq.spawn(3)
    return generator


def _read_only() -> Any:
    array = np.arange(3)
    array.flags.writeable = False
    return array


_NAN = struct.unpack(">d", bytes.fromhex("7ff8000000000abc"))[0]
_STRUCT = np.dtype({"names": ["a", "b"], "formats": ["<i2", ("<f4", (2,))], "offsets": [0, 4], "itemsize": 16})

ARRAYS = {
    **{f"array of {code}": np.array([1, 0, 1]).astype(code) for code in "?bBhHiIlLefdgFDG"},
    "big endian": np.arange(3, dtype=">u4"),
    "texts": np.array(["a", "bcd", "", "\0x"]),
    "byte texts": np.array([b"ab", b"\0c"]),
    "datetime64": np.array(["2020-01-01", "NaT"], "M8[25s]"),
    "timedelta64": np.array([5, 7], "m8[ns]"),
    "bfloat16": np.array([1.5, -0.0], ml_dtypes.bfloat16),
    "float8_e5m2": np.array([1.5, 2], ml_dtypes.float8_e5m2),
    "float8_e4m3fn": np.array([1.5, 2], ml_dtypes.float8_e4m3fn),
    "int4": np.array([1, -2], ml_dtypes.int4),
    "uint2": np.array([1, 2], ml_dtypes.uint2),
    "raw": np.array([b"ab\0"], "V3"),
    "structured": np.array([(1, (2, 3)), (4, (5, 6))], _STRUCT),
    "structured in structured": np.zeros(2, [("a", [("b", "M8[D]"), ("c", ml_dtypes.bfloat16)])]),
    "no fields": np.zeros(3, np.dtype([])),
    "F order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "transposed": np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1),
    "strided": np.arange(10)[::3],
    "0-d": np.array(2.5),
    "0-d structured": np.array((1, (2, 3)), _STRUCT),
    "empty": np.zeros((0, 3), "f4"),
    "empty F": np.zeros((2, 0, 3), "i8", "F"),
    "read-only": _read_only(),
    "NaNs": np.array([np.nan, _NAN, -0.0, np.inf]),
}
NUMPY = {
    **ARRAYS,
    "float64": np.float64(-0.0),
    "float32": np.float32(0.1),
    "int64": np.int64(-3),
    "bool_": np.bool_(True),
    "complex64": np.complex64(1 - 2j),
    "longdouble": np.longdouble(1) / 3,
    "str_": np.str_("a\0b\0"),
    "empty str_": np.str_(""),
    "bytes_": np.bytes_(b"a\0\0"),
    "datetime64 scalar": np.datetime64("NaT", "D"),
    "timedelta64 scalar": np.timedelta64(5, "h"),
    "bfloat16 scalar": ml_dtypes.bfloat16(1.5),
    "void": np.void(b"ab\0"),
    "record of a structured array": np.array([(1, (2, 3))], _STRUCT)[0],
    "dtype": np.dtype("f4"),
    "structured dtype": _STRUCT,
    "subarray dtype": np.dtype(("<i4", (2, 3))),
    "bfloat16 dtype": np.dtype(ml_dtypes.bfloat16),
    "dtype of empty texts": np.dtype("U0"),
    "SeedSequence": np.random.SeedSequence(3, spawn_key=(1, 2)),
    **{
        f"Generator({b})": np.random.Generator(getattr(np.random, b)(5))
        for b in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
    },
    "PCG64": np.random.PCG64(8),
    "Philox in its buffer": _drawn(np.random.Generator(np.random.Philox(3)), "random"),
    "spawned Generator": _spawned(),
    "RandomState": np.random.RandomState(4),
    "RandomState with half a pair": _drawn(np.random.RandomState(4), "randn"),
}
OTHERS = {
    "None": None,
    "True": True,
    "int": 5,
    "huge int": 3**40000,
    "huge negative int": -(1 << 9000),
    "float": 0.1,
    "-0.0": -0.0,
    "inf": float("inf"),
    "NaN": _NAN,
    "text": "a\0\u20ac",
    "lone surrogate": "\ud800",
    "bytes": b"\0\xff",
    "bytearray": bytearray(b"ab"),
    "complex": complex(-0.0, _NAN),
    "range": range(3, 30, 4),
    "slice": slice(None, 3, [1]),
    "Ellipsis": ...,
    "NotImplemented": NotImplemented,
    "date": dt.date(1, 2, 3),
    "datetime": dt.datetime(2020, 1, 2, 3, 4, 5, 6, fold=1),
    "datetime in a named zone": dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1), "CET")),
    "datetime UTC": dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc),
    "time": dt.time(1, 2, 3, 4, fold=1),
    "timedelta": dt.timedelta(-1, 2, 3),
    "UTC": dt.timezone.utc,
    "zone of seconds": dt.timezone(dt.timedelta(seconds=-3601)),
    "Decimal": Decimal("-1.50E+1000"),
    "sNaN": Decimal("sNaN12"),
    "-0": Decimal("-0"),
    "Fraction": Fraction(-3, 10**30),
    "Fraction of NumPy ints": Fraction(np.int64(3), np.int64(6)),
    "UUID": uuid.UUID(int=7),
    "Path": pathlib.Path("a/../b"),
    "PurePosixPath": pathlib.PurePosixPath("/a"),
    "PureWindowsPath": pathlib.PureWindowsPath("c:\\a"),
    "path with a surrogate": pathlib.Path("a\udcff"),
    "Random": random.Random(3),
    "Random with half a pair": _drawn(random.Random(3), "gauss", 0, 1),
    "Enum": Color.BLUE,
    "IntEnum": Level.HIGH,
    "Flag": Access.READ | Access.WRITE,
    "no Flag": Access(0),
    "Enum of texts": Word.YES,
    "list": [1, [2]],
    "tuple": (1, (2, ())),
    "set": {1, "a"},
    "frozenset": frozenset({1, frozenset({2})}),
    "dict": {1: "a", (1, 2): [], frozenset({3}): None, Color.RED: 1, None: 2, 1.5: 3, b"x": {}},
    "dict with a key that Python does not print": {10**6000: [1]},
    "OrderedDict": OrderedDict(b=1, a=2),
    "Counter": Counter("abca"),
    "Counter below 0": Counter(a=-3),
    "deque": deque([1, 2], maxlen=5),
    "deque without end": deque([[]]),
    "deque of length 0": deque(maxlen=0),
    "defaultdict": defaultdict(list, a=[1]),
    "defaultdict of nothing": defaultdict(None, a=1),
    "SimpleNamespace": SimpleNamespace(a=1, b=[2]),
    "dataclass": Plain(1, [Plain(2)]),
    "frozen dataclass": Frozen(Frozen((1,))),
    "slots": _slotted(),
    "dataclass by inheritance": Child(3),
    "generic dataclass": Generic[int](3),
    "namedtuple": Point(1, [2]),
    "NamedTuple": Named("a", Point(1, 2)),
    "frozen dataclasses in a frozenset": frozenset({Frozen(1), Frozen((2, 3))}),
    "frozen dataclasses as keys": {Frozen(Frozen(1)): Frozen(frozenset({Frozen(2)}))},
    "frozenset of tuples of frozen dataclasses": Plain(frozenset({(Frozen(1), frozenset({Frozen("a")}))})),
    "set of enums": {Color.RED, Level.LOW, Access.READ},
}
VALUES = {**OTHERS, **NUMPY}


ATOMS = (
    type(None),
    bool,
    int,
    str,
    bytes,
    float,
    complex,
    range,
    type(...),
    type(NotImplemented),
    dt.date,
    dt.time,
    dt.timedelta,
    dt.tzinfo,
    Decimal,
    Fraction,
    uuid.UUID,
    pathlib.PurePath,
    np.generic,
    np.dtype,
)


def identical(a: Any, b: Any) -> bool:
    """Whether two values are the same down to types, bits, order and sharing."""
    there: dict[int, int] = {}
    back: dict[int, int] = {}
    kept, todo = [], [(a, b)]
    while todo:
        x, y = todo.pop()
        (what, parts), (what_else, other_parts) = _apart(x), _apart(y)
        if type(x) is not type(y) or what != what_else or len(parts) != len(other_parts):
            return False
        kept += [x, y, parts, other_parts]  # an id is only a name as long as its object lives
        if not isinstance(x, ATOMS):
            if id(x) in there or id(y) in back:
                if there.get(id(x)) != id(y) or back.get(id(y)) != id(x):
                    return False
                continue
            there[id(x)], back[id(y)] = id(y), id(x)
        todo += zip(parts, other_parts, strict=True)
    return True


def _apart(x: Any) -> tuple[Any, list[Any]]:
    """What a value is, to be compared with ==, and its parts."""
    if isinstance(x, enum.Enum):
        return id(x), []
    if isinstance(x, (float, complex, np.longdouble)) and not isinstance(x, (np.float64, np.complex128)):
        x = complex(x) if isinstance(x, complex) else x
        return (repr(x), _bits(x)), []
    if isinstance(x, np.ndarray):
        fortran = x.flags.f_contiguous and not x.flags.c_contiguous
        return (x.dtype, x.shape, _raw(x), fortran, x.flags.writeable), []
    if isinstance(x, (np.str_, np.bytes_)):  # whose own repr leaves zeros at the end out
        return (str.__repr__(x) if isinstance(x, str) else bytes.__repr__(x)), []
    if isinstance(x, np.generic):
        return (x.dtype, _raw(np.array(x))), []
    if isinstance(x, np.random.Generator):
        return "Generator", [x.bit_generator]
    if isinstance(x, np.random.BitGenerator):
        return _state(x.state), [x.seed_seq]
    if isinstance(x, np.random.SeedSequence):
        return repr(x.state), []
    if isinstance(x, np.random.RandomState):
        return _state(x.get_state(legacy=False)), []
    if isinstance(x, random.Random):
        return x.getstate(), []
    if isinstance(x, slice):
        return "slice", [x.start, x.stop, x.step]
    return _container(x)


def _container(x: Any) -> tuple[Any, list[Any]]:
    if isinstance(x, dict):
        return getattr(x, "default_factory", "dict"), [part for pair in x.items() for part in pair]
    if isinstance(x, (set, frozenset)):
        return "set", sorted(x, key=_text)
    if isinstance(x, (list, tuple, deque)):
        return getattr(x, "maxlen", "sequence"), list(x)
    if type(x) in CLASSES.values() or isinstance(x, SimpleNamespace):
        slots = ("_Slotted__hidden", "x") if type(x) is Slotted else ()
        names = [n for n in (*getattr(x, "__dict__", ()), *slots) if hasattr(x, n)]
        names = [n for n in names if not n.startswith("__")]  # __orig_class__
        return names, [getattr(x, name) for name in names]
    assert isinstance(x, (*ATOMS, bytearray)), type(x)
    return (x if type(x) is int else repr(x)), []


def _raw(x: Any) -> Any:
    """The bytes of an array, those between the fields of a structured one left out."""
    return x.tobytes("A") if x.dtype.names is None else [_raw(x[name]) for name in x.dtype.names]


def _bits(x: Any) -> bytes:
    if isinstance(x, np.longdouble):
        return x.tobytes()[:10]
    return struct.pack(">dd", x.real, x.imag)


def _state(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _state(value) for key, value in state.items()}
    return state.tobytes() if isinstance(state, np.ndarray) else state


def _text(x: Any) -> str:
    if isinstance(x, (set, frozenset)):
        return f"{{{', '.join(sorted(map(_text, x)))}}}"
    if isinstance(x, tuple):
        return f"({', '.join(map(_text, x))})"
    return f"{type(x).__name__} {_text(x.x) if isinstance(x, Frozen) else repr(x)}"


# Strategies.

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.integers(1, 9).map(lambda n: n << 8190)
)
_atoms = (
    _scalars
    | st.complex_numbers()
    | st.dates()
    | st.datetimes(timezones=st.just(dt.timezone.utc) | st.none())
    | st.times()
    | st.timedeltas()
    | st.decimals().filter(lambda d: not d.is_snan())  # which has no hash
    | st.fractions()
    | st.uuids()
    | st.sampled_from([*Color, *Level, *Access, Word.YES, ..., range(3), pathlib.PurePath("a")])
)
_hashable = st.recursive(
    _atoms,
    lambda of: (
        st.lists(of, max_size=3).map(tuple)
        | st.frozensets(of, max_size=3)
        | st.builds(Frozen, of)
        | st.builds(Named, of, of)
    ),
    max_leaves=5,
)
# A deep copy of a read-only array can be written to.
_writeable = [array for array in ARRAYS.values() if array.flags.writeable]
_leaves = _atoms | st.sampled_from(_writeable) | st.binary().map(bytearray)


def _containers(of: Any) -> Any:
    dicts = st.dictionaries(_hashable, of, max_size=3)
    lists = st.lists(of, max_size=4)
    return (
        lists
        | lists.map(tuple)
        | lists.map(deque)
        | dicts
        | dicts.map(OrderedDict)
        | dicts.map(lambda d: defaultdict(list, d))
        | st.frozensets(_hashable, max_size=3)
        | st.sets(_hashable, max_size=3)
        | st.builds(Plain, of, lists)
        | st.builds(Child, of)
        | st.builds(lambda x: SimpleNamespace(x=x), of)
        | st.builds(Point, of, of)
        | of.map(lambda x: [x, x])
    )


def _tied(value: Any) -> Any:
    """The value, every list in it made to contain the whole."""
    todo, seen = [value], set()
    while todo:
        item = todo.pop()
        if id(item) not in seen and not isinstance(item, ATOMS):
            seen.add(id(item))
            todo += _apart(item)[1]
            if type(item) is list:
                item.append(value)
    return value


plain = st.recursive(_leaves, _containers, max_leaves=12)
cyclic = plain.map(_tied)
tables = (plain | cyclic).map(encode)
