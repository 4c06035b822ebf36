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
from plain_values import VALUES, again, encode, identical

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
    decoder = Decoder(table, live={"g": live})
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
    decoder = Decoder(encode([saved]), live=[live])
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
    a, b = Decoder(encode([random.Random(1), random.Random(2)]), live=[one, one]).value()
    assert (a is one) != (b is one)


def test_generators_that_share_a_bit_generator_go_on_sharing_it() -> None:
    """In place and made anew: what one draws the other does not draw again."""
    bits = np.random.PCG64(1)
    table = encode([bits, np.random.Generator(bits), np.random.Generator(bits)])
    for live in ([None] * 3, [bits, np.random.Generator(bits), np.random.default_rng(0)]):
        made, first, second = Decoder(table, live=live).value()
        assert first.bit_generator is made is second.bit_generator
    assert made is bits


def test_what_a_generator_spawns_goes_on() -> None:
    """Children spawned after a restore are those that would have been spawned; in place too."""
    saved = np.random.default_rng(5)
    saved.bit_generator.seed_seq.spawn(2)
    table = encode([saved])
    expected = [s.generate_state(2).tolist() for s in saved.bit_generator.seed_seq.spawn(2)]
    for live in (None, np.random.default_rng(5)):
        decoder = Decoder(table, live=[live])
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
