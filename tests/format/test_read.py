"""Plain data to bytes and back: our interpreter reads what our writer writes, and nothing else."""

from __future__ import annotations

import contextlib
import enum
import gc
import math
import os
import pickle
import pickletools
import random
import subprocess
import sys
import threading
from collections import OrderedDict, namedtuple
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import ROOT

from callback_state._format import pickles
from callback_state._format.pickles import MAX_DEPTH, MAX_INT, ReadError, dump, parse

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**40), 2**40)
    | st.integers(min_value=2**2040, max_value=2**2100)
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
)
trees = st.recursive(scalars, lambda inner: st.lists(inner) | st.lists(inner).map(tuple), max_leaves=20)


#: Two trees are the same, types, signs and NaN included, if our writer writes the same bytes.
written_as = dump


def nested(levels: int, kind: type, bottom: Any = ()) -> Any:
    tree = bottom
    for _ in range(levels):
        tree = kind((tree,))
    return tree


@given(trees)
def test_a_tree_comes_back(tree: Any) -> None:
    """Whatever is written is read back, with its types, NaN and lone surrogates; plain pickle reads the same."""
    assert written_as(parse(dump(tree))) == written_as(pickle.loads(dump(tree))) == written_as(tree)


BIG = [
    pytest.param(list(range(2500)), id="list-of-several-batches"),
    pytest.param(list(range(1001)), id="batch-of-one"),
    pytest.param(tuple(range(1001)), id="long-tuple"),
    pytest.param([1.5] * 30_000, id="several-frames"),
    pytest.param(nested(MAX_DEPTH - 1, lambda x: [*x, 1, 2, 3], []), id="as-many-marks-as-there-may-be"),
    pytest.param(["\udc80", "\ud800x", "\U0001f600"], id="lone-surrogates"),
    pytest.param(["x" * n for n in (255, 256, 70_000)], id="texts-of-every-length-field"),
    pytest.param([b"x" * n for n in (255, 256, 65_535, 65_536, 300_000)], id="bytes-out-of-frame"),
    pytest.param([2**31 - 1, -(2**31), 2**31, 255, 256, 65_535, 65_536, -1], id="int-limits"),
    pytest.param([2**2039, -(2**2039), 2**2040, -(2**2040) - 1], id="long-ints"),
    pytest.param((1 << (8 * MAX_INT - 1)) - 1, id="largest-int"),
    pytest.param(nested(MAX_DEPTH - 1, list), id="deepest-list"),
    pytest.param(nested(MAX_DEPTH - 1, tuple), id="deepest-tuple"),
    pytest.param(nested(MAX_DEPTH, tuple, 0), id="deepest-tuple-of-a-number"),
    pytest.param([math.nan, math.inf, -math.inf, -0.0, 5e-324], id="special-floats"),
]


@pytest.mark.parametrize("tree", BIG)
def test_large_and_odd_values_come_back(tree: Any) -> None:
    """Batches, frames, length fields and limits: each at its edge and just beyond."""
    data = dump(tree)
    assert written_as(parse(data)) == data
    assert written_as(parse(memoryview(data))) == data
    assert written_as(pickle.loads(data)) == data


def test_the_writer_emits_only_what_the_reader_knows() -> None:
    """Every opcode in our own pickles has an entry, and every entry occurs in our own pickles."""
    small = [None, True, False, 1, 300, b"x", [1], (), ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4))]
    data = [dump(small), *(dump(param.values[0]) for param in BIG)]
    seen = {ord(op.code) for d in data for op, _, _ in pickletools.genops(d)}
    known = {*pickles._VALUES, *pickles._STEPS, pickles.STOP, 0x80}
    assert seen <= known
    # Length fields of 8 bytes are for 4 GiB and more; the long int of 4 is in BIG.
    assert known - seen == {0x8D, 0x8E}


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


class Float(float):
    __slots__ = ()


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        pytest.param(1j, "builtins.complex", id="complex"),
        pytest.param({}, "builtins.dict", id="dict"),
        pytest.param({1}, "builtins.set", id="set"),
        pytest.param(bytearray(b"x"), "builtins.bytearray", id="bytearray"),
        pytest.param(len, "builtins.builtin_function_or_method", id="function"),
        pytest.param(int, "builtins.type", id="class"),
        pytest.param(Colour.RED, f"{__name__}.Colour", id="enum"),
        pytest.param(Text("x"), f"{__name__}.Text", id="subclass-of-str"),
        pytest.param(Float(1), f"{__name__}.Float", id="subclass-of-float"),
        pytest.param(Point(1, 2), f"{__name__}.Point", id="namedtuple"),
        pytest.param(OrderedDict(), "collections.OrderedDict", id="ordered-dict"),
        pytest.param(threading.Lock(), "_thread.lock", id="lock"),
    ],
)
def test_another_type_is_refused_by_the_writer(value: Any, name: str) -> None:
    """Only the exact types go in; the error says where the other one is, and what it is."""
    with pytest.raises(TypeError) as caught:
        dump([0, (1, value)])
    assert str(caught.value).startswith("tree[1][1]: expected exactly None, bool, int")
    assert f"found {name}" in str(caught.value)


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        pytest.param(nested(MAX_DEPTH, list), "nested deeper than 100", id="deep-list"),
        pytest.param(nested(MAX_DEPTH + 1, tuple, 0), "nested deeper than 100", id="deep-tuple"),
        pytest.param(CYCLE, "nested deeper than 100", id="cycle"),
        pytest.param([1 << (8 * MAX_INT - 1)], r"tree\[0\]: an int of more", id="large-int"),
        pytest.param(-1 << (8 * MAX_INT), "tree: an int of more", id="large-negative-int"),
    ],
)
def test_the_writer_keeps_to_the_limits_of_the_reader(tree: Any, message: str) -> None:
    """Nothing is written that could not be read again."""
    with pytest.raises(ValueError, match=message):
        dump(tree)


def same_as_pickle_or_refused(data: bytes) -> None:
    try:
        tree = parse(data)
    except ReadError as error:
        assert 0 <= error.offset <= len(data)
        assert str(error).startswith(f"at byte {error.offset}: ")
    else:
        assert written_as(tree) == written_as(pickle.loads(data))


opcodes = st.sampled_from([bytes([op]) for op in (*pickles._VALUES, *pickles._STEPS)])
operands = st.sampled_from([b"", b"\0", b"\1", b"\1\0\0\0", b"\xff" * 8, b"\3abc", b"\2\0\0\0ab"])


@settings(max_examples=300)
@given(st.lists(st.tuples(opcodes, operands), max_size=30))
def test_opcodes_in_any_order_are_read_as_pickle_does_or_refused(steps: Any) -> None:
    """A stream of known opcodes in any order either means what pickle thinks, or is refused."""
    same_as_pickle_or_refused(b"\x80\x04" + b"".join(map(b"".join, steps)) + b".")


@given(trees, st.integers())
def test_damaged_pickles_are_read_as_pickle_does_or_refused(tree: Any, seed: int) -> None:
    """Some bytes exchanged, inserted or cut out: ReadError, or exactly what pickle reads."""
    chance = random.Random(seed)
    for _ in range(20):
        data = bytearray(dump(tree))
        for _ in range(chance.randint(1, 3)):
            at = chance.randint(0, len(data))
            data[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        same_as_pickle_or_refused(bytes(data))


@given(trees)
def test_a_pickle_cut_short_or_continued_is_refused(tree: Any) -> None:
    """STOP is the last byte: no prefix is a whole pickle, and no byte may follow."""
    data = dump(tree)
    for length in {0, 1, 2, 3, len(data) // 2, len(data) - 1}:
        with pytest.raises(ReadError):
            parse(data[:length])
    with pytest.raises(ReadError, match="1 bytes follow the end"):
        parse(data + b".")


HEAD = b"\x80\x04"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "at byte 0: expected 2 more bytes, found 0", id="empty"),
        pytest.param(b"\x80\x05N.", "at byte 0: expected the header", id="protocol-5"),
        pytest.param(b"N.", "at byte 0: expected the header", id="protocol-0"),
        pytest.param(HEAD + b"N", "at byte 3: expected 1 more bytes", id="no-stop"),
        pytest.param(HEAD + b".", "at byte 2: expected one value at the end", id="nothing"),
        pytest.param(HEAD + b"NN.", "expected one value at the end, found 2", id="two-values"),
        pytest.param(HEAD + b"(N.", "expected one value at the end, found 1", id="open-mark"),
        pytest.param(HEAD + b"cos\nsystem\n.", "at byte 2: opcode 0x63", id="global"),
        pytest.param(HEAD + b"\x8c\2os\x8c\6system\x93.", "opcode 0x93", id="stack-global"),
        pytest.param(HEAD + b"NN)R.", "opcode 0x52", id="reduce"),
        pytest.param(HEAD + b"Nb.", "opcode 0x62", id="build"),
        pytest.param(HEAD + b"\x82\1.", "opcode 0x82", id="extension"),
        pytest.param(HEAD + b"}.", "opcode 0x7d", id="dict"),
        pytest.param(HEAD + b"]\x94h\0.", "opcode 0x94", id="memo"),
        pytest.param(HEAD + b"N2.", "opcode 0x32", id="dup"),
        pytest.param(HEAD + b"Nx.", "opcode 0x78", id="unknown"),
        pytest.param(HEAD + HEAD + b"N.", "at byte 2: opcode 0x80", id="second-header"),
        pytest.param(HEAD + b"a.", "more values than there are", id="append-to-nothing"),
        pytest.param(HEAD + b"Na.", "needs a list", id="append-without-list"),
        pytest.param(HEAD + b"NNa.", "needs a list", id="append-to-none"),
        pytest.param(HEAD + b")Na.", "needs a list", id="append-to-tuple"),
        pytest.param(HEAD + b"](Na.", "needs a list", id="append-below-a-mark"),
        pytest.param(HEAD + b"]Ne.", "needs a mark", id="appends-without-mark"),
        pytest.param(HEAD + b"((e.", "needs a list", id="appends-below-a-mark"),
        pytest.param(HEAD + b"Nt.", "needs a mark", id="tuple-without-mark"),
        pytest.param(HEAD + b"N\x86.", "more values than there are", id="pair-of-one"),
        pytest.param(HEAD + b"N(N\x86.", "more values than there are", id="pair-below-a-mark"),
        pytest.param(HEAD + b"\x8c\1\xff.", "a text that is not UTF-8", id="utf-8"),
        pytest.param(HEAD + b"\x8c\5abc.", "expected 5 more bytes, found 4", id="text-length"),
        pytest.param(HEAD + b"B\xff\xff\xff\xff.", "expected 4294967295", id="bytes-length"),
        pytest.param(HEAD + b"\x8e" + b"\xff" * 8 + b".", "expected 18446744", id="bytes-length-8"),
        pytest.param(HEAD + b"\x8d" + b"\xff" * 8 + b".", "expected 18446744", id="text-length-8"),
        pytest.param(HEAD + b"\x8b\xff\xff\xff\xff.", "an int of 4294967295 b", id="negative-size"),
        pytest.param(HEAD + b"\x8b\0\0\1\0.", "expected 65536 more bytes", id="int-length"),
        pytest.param(HEAD + b"\x8b\1\0\1\0.", "an int of 65537 bytes", id="int-too-large"),
        pytest.param(HEAD + b"J\1\0.", "expected 4 more bytes, found 3", id="short-int"),
        pytest.param(HEAD + b"G\1\0.", "expected 8 more bytes", id="short-float"),
        pytest.param(HEAD + b"\x95" + b"\xff" * 8 + b"N.", "a frame of 1844674", id="frame-length"),
        pytest.param(HEAD + b"\x95" + bytes(8) + b"N.", "a frame of 0 bytes", id="empty-frame"),
        pytest.param(
            HEAD + b"\x95\x0b" + bytes(7) + b"\x95\2" + bytes(7) + b"N.",
            "at byte 11: a frame inside a frame",
            id="frame-in-frame",
        ),
        pytest.param(HEAD + b"\x95\2" + bytes(7) + b"M\1\0.", "found 1", id="across-a-frame"),
        pytest.param(HEAD + b"]" * 101 + b"a" * 100 + b".", "nested deeper", id="deep-lists"),
        pytest.param(HEAD + b"N" + b"\x85" * 101 + b".", "at byte 103: nested", id="deep-tuples"),
        pytest.param(HEAD + b"]N" + b"\x85" * 99 + b"aNa\x85.", "nested deeper", id="deep-then-shallow"),
        pytest.param(HEAD + b"(" * 999 + b"t" * 999 + b".", "nested deeper", id="deep-marks"),
        pytest.param(HEAD + b"(" * 101, "at byte 102: nested deeper", id="marks-that-stay-open"),
    ],
)
def test_a_hostile_stream_is_refused_with_its_offset(data: bytes, message: str) -> None:
    """Whatever a stream wants beyond plain data, the error says at which byte and why."""
    with pytest.raises(ReadError) as caught:
        parse(data)
    assert message in str(caught.value)


def test_depth_is_counted_through_appends() -> None:
    """A list that is filled after it was put away somewhere cannot be reached any more."""
    tree = HEAD + b"](" + b"]" + b"N" + b"\x85" * 97 + b"a" + b"e" + b"."
    assert written_as(parse(tree)) == written_as([[nested(97, tuple, None)]])
    with pytest.raises(ReadError, match="nested deeper"):
        parse(tree.replace(b"N", b"N\x85\x85"))


def test_data_too_large_for_the_memory_is_an_error_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """No MemoryError leaves the reader."""

    def exhausted(parser: pickles._Parser) -> None:
        raise MemoryError

    monkeypatch.setitem(pickles._STEPS, ord("]"), exhausted)
    with pytest.raises(ReadError, match="at byte 2: the data does not fit into memory"):
        parse(dump([]))


def test_the_collector_of_garbage_is_as_it_was() -> None:
    """It rests while a file is parsed, well or not, and only if it was at work."""
    for data in (dump([]), b"nonsense"):
        for enable in (gc.disable, gc.enable):
            enable()
            at_work = gc.isenabled()
            with contextlib.suppress(ReadError):
                parse(data)
            assert gc.isenabled() is at_work
    assert gc.isenabled()


def test_an_error_can_be_pickled() -> None:
    """Errors cross process borders, as every error should."""
    error = pickle.loads(pickle.dumps(ReadError(3, "words")))
    assert (error.offset, error.message, str(error)) == (3, "words", "at byte 3: words")


def test_the_bottom_modules_load_no_heavy_library() -> None:
    """Reading, sealing and storing need neither TensorFlow nor Keras nor NumPy."""
    heavy = {"tensorflow", "keras", "numpy", "h5py", "cloudpickle", "filelock"}
    code = (
        "import sys\n"
        "from callback_state._format import pickles, statefile\n"
        "from callback_state._store import commit, lock, recover\n"
        f"print(sorted(set(sys.modules) & {heavy!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
