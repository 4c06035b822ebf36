"""The leaves of a table: what each is stored as, and that a generator stays the one it is."""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from plain_values import NUMPY, OTHERS, VALUES, again, decode, encode, identical, not_exact

from callback_state._format import pickles
from callback_state._format.decode import Decoder
from callback_state._format.encode import Encoder
from callback_state._format.pickles import dump, parse
from callback_state._format.table import PlainError, Table


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back_as_it_was(name: str) -> None:
    """Every plain kind survives: type, bits, order, flags; twice, so that nothing is worn off."""
    value = VALUES[name]
    assert identical(again(value), value)
    assert identical(again(again([value])), [value])


@pytest.mark.parametrize("name", VALUES)
def test_nodes_are_tuples_lists_and_exact_scalars(name: str) -> None:
    """So that a pickle without memo, which a subclass of str would spoil, can be written of every kind."""
    assert not_exact(encode([VALUES[name], {"a": VALUES[name]}])) == []


def test_the_comparison_of_these_tests_tells_values_apart() -> None:
    """No two of the values count as identical, nor a value and its copy of another type or sharing."""
    entries = list(VALUES.items())
    for i, (name, value) in enumerate(entries):
        for other, another in entries[i + 1 :]:
            assert not identical(value, another), (name, other)
    shared = [1]
    assert not identical([shared, shared], [[1], [1]])
    assert not identical(np.zeros((2, 2)), np.zeros((2, 2), order="F"))


GENERATORS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "random.Random": (lambda: random.Random(1), lambda g: g.random()),
    "RandomState": (lambda: np.random.RandomState(1), lambda g: g.randn()),
    **{
        f"Generator({name})": (
            lambda name=name: np.random.Generator(getattr(np.random, name)(1)),
            lambda g: g.integers(1 << 20),
        )
        for name in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
    },
    "PCG64": (lambda: np.random.PCG64(1), lambda g: g.random_raw()),
}


def _decoder(table: Table, live: Any) -> Any:
    from callback_state._format.decode import Decoder

    return Decoder(table, live=live)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_that_stands_in_the_place_is_kept_and_set_later(name: str) -> None:
    """The same object, whose state changes only when the actions run, and changes back when they are undone."""
    make, draw = GENERATORS[name]
    saved = make()
    draw(saved)
    table = encode({"g": saved})
    expected = [draw(saved) for _ in range(5)]
    live, untouched = make(), make()
    for _ in range(2):
        assert draw(live) == draw(untouched)
    decoder = _decoder(table, {"g": live})
    assert decoder.value()["g"] is live
    assert identical(live, untouched)
    undo = [action() for action in decoder.later]
    assert undo
    for take_back in reversed(undo):
        take_back()
    assert identical(live, untouched)
    for action in decoder.later:
        action()
    assert [draw(live) for _ in range(5)] == expected
    assert [draw(untouched) for _ in range(5)] != expected


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize(
    "live", [None, 5, random.SystemRandom(), np.random.MT19937(3)], ids=lambda live: type(live).__name__
)
def test_where_another_thing_stands_a_new_generator_is_made(name: str, live: Any) -> None:
    """A generator is only ever put into one of its own class."""
    saved = GENERATORS[name][0]()
    decoder = _decoder(encode([saved]), [live])
    assert identical(decoder.value(), [saved])
    assert decoder.later == []


@pytest.mark.parametrize("large", [0, pickles.LARGE])
def test_what_stands_under_a_key_of_bytes_is_kept(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where such a key is read as a view of the file."""
    monkeypatch.setattr(pickles, "LARGE", large)
    live, saved = random.Random(1), random.Random(2)
    table = Encoder().table({b"key": saved})
    tree = parse(dump([table.nodes, table.root]), views=True)
    decoder = Decoder(Table.from_tree(tree), live={b"key": live})
    assert decoder.value()[b"key"] is live
    for action in decoder.later:
        action()
    assert live.random() == random.Random(2).random()


def test_two_generators_are_not_put_into_one() -> None:
    """What was apart when it was saved is apart when it comes back, even if the places share one now."""
    one = random.Random(0)
    a, b = _decoder(encode([random.Random(1), random.Random(2)]), [one, one]).value()
    assert (a is one) != (b is one)


def test_generators_that_share_a_bit_generator_go_on_sharing_it() -> None:
    """In place and made anew: what one draws the other does not draw again."""
    bits = np.random.PCG64(1)
    table = encode([bits, np.random.Generator(bits), np.random.Generator(bits)])
    for live in ([None] * 3, [bits, np.random.Generator(bits), np.random.default_rng(0)]):
        made, first, second = _decoder(table, live).value()
        assert first.bit_generator is made is second.bit_generator
    assert made is bits


def test_what_a_generator_spawns_goes_on() -> None:
    """Children spawned after a restore are those that would have been spawned; in place too."""
    saved = np.random.default_rng(5)
    saved.bit_generator.seed_seq.spawn(2)
    table = encode([saved])
    expected = [s.generate_state(2).tolist() for s in saved.bit_generator.seed_seq.spawn(2)]
    for live in (None, np.random.default_rng(5)):
        decoder = _decoder(table, [live])
        (made,) = decoder.value()
        for action in decoder.later:
            action()
        assert [s.generate_state(2).tolist() for s in made.bit_generator.seed_seq.spawn(2)] == expected


@pytest.mark.parametrize(
    "value",
    [
        np.array([object()]),
        np.array([{}])[0:0],
        np.zeros(1).view(np.recarray),
        np.ma.array([1]),
        np.array([(1,)], [("a", "O")]),
        np.array([(1,)], [(("title", "a"), "i4")]),
        np.rec.array([(1,)], [("a", "i4")])[0],
        np.dtype("O"),
        np.dtype((np.record, [("a", "i4")])),
        random.SystemRandom(),
        np.random.SeedSequence(1, pool_size=8),
    ],
    ids=[
        "objects",
        "no objects",
        "recarray",
        "masked",
        "object field",
        "titles",
        "record",
        "object dtype",
        "record dtype",
        "SystemRandom",
        "large pool",
    ],
)
def test_what_would_come_back_as_something_else_is_not_plain(value: Any) -> None:
    """Refused by name, instead of stored with a part left out."""
    with pytest.raises(PlainError, match="is not a plain kind"):
        encode(value)


@pytest.mark.parametrize("kind", [dt.datetime, dt.time])
def test_a_moment_in_a_zone_of_another_class_goes_to_the_fallback_whole(kind: Any) -> None:
    """Its rules are code, not data."""

    class Zone(dt.tzinfo):
        def utcoffset(self, moment: Any) -> dt.timedelta:
            return dt.timedelta(0)

    moment = kind.fromisoformat("2020-01-01T10:00" if kind is dt.datetime else "10:00").replace(tzinfo=Zone())
    table = Encoder(lambda encoder, value, path: ("mine", value is moment)).table(moment)
    assert table.nodes == [("mine", True)]


def test_what_lies_between_the_fields_of_an_array_is_not_stored() -> None:
    """Left-over memory would make equal states differ, and would get into the file."""
    dtype = np.dtype({"names": ["a"], "formats": ["u1"], "offsets": [2], "itemsize": 4})
    dirty, clean = np.full(12, 7, "u1").view(dtype), np.zeros(3, dtype)
    clean["a"] = 7
    assert dirty.tobytes() != clean.tobytes()
    assert encode(dirty) == encode(clean)
    assert encode(dirty[0]) == encode(clean[0])


def test_a_string_dtype_is_not_plain() -> None:
    """NumPy 2's strings of any length are Python objects."""
    if not hasattr(np, "dtypes") or not hasattr(np.dtypes, "StringDType"):
        pytest.skip("this NumPy has none")
    with pytest.raises(PlainError):
        encode(np.array(["a"], np.dtypes.StringDType()))


def _leaf(*node: Any) -> Table:
    """A table of one leaf, its nested tuples and dicts made nodes."""
    table = encode(list(node[1:]))
    return Table([*table.nodes, (node[0], *table.nodes[table.root[0]][1])], (len(table.nodes),))


_MT = np.random.MT19937(1).state
_PHILOX = np.random.Philox(1).state


def _frozen(whole: Any, **changed: Any) -> Any:
    from callback_state._format.generators import _frozen as frozen

    return frozen({**whole, **changed})


HOSTILE = {
    "bytearray of a size": ("bytearray", 1 << 50),
    "bytearray of a small size": ("bytearray", 10),
    "UUID of a list": ("UUID", [1] * 16),
    "Fraction of an exponent": ("Fraction", "1e999999999", 1),
    "Fraction over 0": ("Fraction", 1, 0),
    "Decimal of words": ("Decimal", "abc"),
    "UUID of a text": ("UUID", "x" * 16),
    "UUID too short": ("UUID", b"x"),
    "date that is none": ("date", "2020-02-31"),
    "date of a number": ("date", 5),
    "datetime in no zone": ("datetime", "2020-01-01", 0, "x"),
    "fold of 7": ("datetime", "2020-01-01", 7, None),
    "timedelta too large": ("timedelta", 1 << 70, 0, 0),
    "range of step 0": ("range", 1, 2, 0),
    "int of a text": ("int", "5"),
    "path of bytes": ("Path", b"a"),
    "array of no dtype": ("array", "zzz", (1,), "C", b"\0", True),
    "array of objects": ("array", "|O", (1,), "C", b"\0" * 8, True),
    "array too large": ("array", "<f8", (1 << 40,), "C", b"\0" * 8, True),
    "array of a negative shape": ("array", "<f8", (-1, -1), "C", b"\0" * 8, True),
    "array of empty texts": ("array", "<U0", (1 << 50,), "C", b"", True),
    "array of nothing, of a huge shape": ("array", "<f8", (0, 1 << 70), "C", b"", True),
    "array in no order": ("array", "<f8", (1,), "Q", b"\0" * 8, True),
    "array of a text": ("array", "<f8", (1,), "C", "x" * 8, True),
    "array of a float shape": ("array", "<f8", (1.0,), "C", b"\0" * 8, True),
    "dtype of a text with commas": ("dtype", "<i4,<i4"),
    "dtype of a name of ml_dtypes that is none": ("dtype", "float_"),
    "dtype of a class of ml_dtypes that is none": ("dtype", "finfo"),
    "dtype of objects inside": ("dtype", ("struct", (("a", "|O", 0),), 8)),
    "struct with an offset outside": ("dtype", ("struct", (("a", "<i4", 1 << 20),), 8)),
    "struct of a huge size": ("dtype", ("struct", (("a", "<i4", 0),), 1 << 70)),
    "subarray of a huge shape": ("dtype", ("subarray", "<i4", (1 << 40, 1 << 40))),
    "MT19937 that reads outside": (
        "BitGenerator",
        "MT19937",
        _frozen(_MT, state={**_MT["state"], "pos": 1 << 30}),
        None,
    ),
    "MT19937 that reads before": (
        "BitGenerator",
        "MT19937",
        _frozen(_MT, state={**_MT["state"], "pos": -5}),
        None,
    ),
    "MT19937 of a short key": (
        "BitGenerator",
        "MT19937",
        _frozen(_MT, state={"key": np.zeros(3, "u4"), "pos": 1}),
        None,
    ),
    "Philox that reads outside": ("BitGenerator", "Philox", _frozen(_PHILOX, buffer_pos=1 << 30), None),
    "RandomState that reads outside": (
        "RandomState",
        _frozen(np.random.RandomState(1).get_state(legacy=False), state={**_MT["state"], "pos": 700}),
    ),
    "bit generator that is none": ("BitGenerator", "SeedSequence", (), None),
    "bit generator of no name": ("BitGenerator", [], (), None),
    "Generator of a list": ("Generator", []),
    "Random of version 9": ("Random", 9, (1,) * 625, None),
    "Random of a short state": ("Random", 3, (1,) * 5, None),
    "Random that reads outside": ("Random", 3, (*(1,) * 624, 1 << 20), None),
    "Random with a half pair of a text": ("Random", 3, (1,) * 625, "x"),
    "SeedSequence of a text": ("SeedSequence", "x", (), 0),
    "SeedSequence of a negative count": ("SeedSequence", 1, (), -1),
    "unknown kind": ("system", "true"),
    "too few parts": ("complex", 1.0),
    "too many parts": ("complex", 1.0, 2.0, 3.0),
    "a part too many for a generator": ("Generator", None, None),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_data_are_refused(name: str) -> None:
    """A leaf that no encoder wrote is a PlainError: no other error, no endless loop, no memory for the asking."""
    with pytest.raises(PlainError):
        decode(_leaf(*HOSTILE[name]))


def test_numpy_is_not_loaded_to_look_at_values() -> None:
    """A process without NumPy encodes and decodes without it."""
    code = (
        "import sys, random, datetime\n"
        "from callback_state._format.decode import copy\n"
        "copy([1, random.Random(3), datetime.date(2020, 1, 1), {2: 3}])\n"
        "print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_there_are_values_of_both_sorts() -> None:
    """The tables of values are those that the package's documentation lists, not empty by mistake."""
    assert len(NUMPY) > 60 and len(OTHERS) > 60
