"""Large arrays beside the state file: what is noted of them, what comes back, and lists that lie."""

from __future__ import annotations

import hashlib
import struct
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_values import ARRAYS, cyclic, decode, identical, plain

from callback_state._format import arrays, blocks, kinds
from callback_state._format.blocks import Blocks, Entry, attached, files_of, pack, places, unpack
from callback_state._format.decode import Decoder
from callback_state._format.encode import Encoder
from callback_state._format.pickles import dump, parse
from callback_state._format.room import Room
from callback_state._format.statefile import TRAILER_SIZE, seal, unseal
from callback_state._format.table import PlainError, Table
from callback_state.exceptions import CorruptCheckpointError

MODEL = hashlib.sha256(b"a model").digest()


def encoded(value: Any) -> tuple[list[Any], Blocks]:
    """The tree of a value, as it comes back from a file, and its large arrays."""
    collected = Blocks()
    table = Encoder(blocks=collected).table(value)
    tree: Any = parse(dump([table.nodes, table.root]))
    return tree, collected


def decoded(tree: Any, collected: Blocks) -> Any:
    """The value, whose large arrays are read from their memory."""

    nodes = attached(tree[0], collected.entries(), lambda number: partial(_fill, collected.all[number]))
    return decode(Table(nodes, tree[1]))


def _fill(block: blocks.Block, memory: memoryview) -> None:
    memory[:] = block.memory


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return (a.dtype, a.shape, a.tobytes(), a.flags.writeable, a.flags.fnc) == (
        b.dtype,
        b.shape,
        b.tobytes(),
        b.flags.writeable,
        b.flags.fnc,
    )


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


ROWS = np.arange(600_000, dtype="<f4").reshape(200, 3, 1000)
LARGE = {
    "rows": ROWS,
    "columns": np.asfortranarray(ROWS),
    "every other": ROWS[::2],
    "transposed": ROWS.transpose(1, 0, 2),
    "one value many times": np.broadcast_to(np.float32(2.5), (600_000,)).copy()[::-1],
    "read only": read_only(ROWS.copy()),
    "times": np.arange(140_000).astype("<M8[s]"),
    "texts": np.full(70_000, "cats", "<U4"),
    "struct": np.zeros(140_000, np.dtype({"names": ["a"], "formats": ["<f8"], "itemsize": 12})),
    "truth": np.ones(1 << 20, bool),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_array_comes_back(name: str) -> None:
    """With its type, shape, order of memory and bytes; it owns its memory, so that it can be resized in place."""
    array = LARGE[name]
    tree, collected = encoded({"x": array, "small": ROWS[0]})
    found = decoded(tree, collected)
    assert same(found["x"], array) and found["x"].flags.owndata
    assert [block.size for block in collected.all] == [array.nbytes]
    assert len(dump(tree)) < 2 * ROWS[0].nbytes


@given(value=plain | cyclic | st.sampled_from([*ARRAYS.values()]))
@settings(max_examples=60, deadline=None)
def test_any_plain_value_survives_with_its_arrays_apart(value: Any) -> None:
    """Where each array that has bytes counts as large."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(arrays, "LARGE", 1)
        tree, collected = encoded([value, value])
    assert identical(decoded(tree, collected), [value, value])


def test_only_arrays_of_a_megabyte_are_apart() -> None:
    """A smaller one stays in the state file; without a place for them all do."""
    small, large = np.zeros(arrays.LARGE - 1, "u1"), np.zeros(arrays.LARGE, "u1")
    assert arrays.LARGE == 1 << 20
    assert [len(encoded(value)[1].all) for value in (small, large)] == [0, 1]
    kind, *_, data, _ = kinds.encode(large) or ()
    assert (kind, data) == ("array", bytes(arrays.LARGE))


def test_an_array_in_two_places_is_one_block() -> None:
    """And one array afterwards."""
    tree, collected = encoded([ROWS, ROWS])
    first, second = decoded(tree, collected)
    assert first is second and len(collected.all) == 1


def test_each_callback_has_a_file_of_its_own() -> None:
    """By the beginning of the path, which is the callback's key: one that changes leaves the others alone."""
    average, best = np.zeros(300_000), [np.ones(300_000), np.full(300_000, 2.0)]
    _, collected = encoded({"Average": {"value": average}, "EarlyStopping": {"best_weights": best}})
    before = [file.described for file in collected.files()]
    assert [len(file.blocks) for file in before] == [1, 2]
    average[3] = 1
    _, collected = encoded({"Average": {"value": average}, "EarlyStopping": {"best_weights": best}})
    after = [file.described for file in collected.files()]
    assert before[0].digest != after[0].digest and before[1] == after[1]


@pytest.mark.parametrize("path", ["['Average']['value'][0]", "Average.value[0]", "Average", "['Average'].x"])
def test_a_path_begins_with_its_callback(path: str) -> None:
    """As the encoder writes it, and as people read it."""
    collected = Blocks()
    collected.add(ROWS, "C", path)
    assert collected.all[0].group == "Average"


def test_the_name_of_a_file_comes_from_its_digests() -> None:
    """Anybody can compute it from the state file, or from the file of arrays itself."""
    collected = Blocks()
    for value in (ROWS, ROWS + 1):
        collected.add(value, "C", "A.x")
    (file,) = collected.files()
    digests = [hashlib.sha256(value.tobytes()).digest() for value in (ROWS, ROWS + 1)]
    assert file.described.digest == hashlib.sha256(b"".join(digests)).digest()
    assert file.described.size == 2 * ROWS.nbytes
    assert b"".join(block.memory for block in file.blocks) == ROWS.tobytes() + (ROWS + 1).tobytes()


# The memory of live arrays


def test_the_memory_is_that_of_the_array() -> None:
    """Nothing is copied; what is not in one piece is, once."""
    live, pieces = ROWS.copy(), ROWS[::2]
    collected = Blocks()
    for array in (live, pieces):
        collected.add(array, "C", "A.x")
    whole, copied = collected.all
    assert np.may_share_memory(np.frombuffer(whole.memory, "u1"), live)
    assert not np.may_share_memory(np.frombuffer(copied.memory, "u1"), pieces)


def test_copied_arrays_may_change() -> None:
    """What is written beside training is what was there at the quiet point; each array is copied once."""
    live, room = ROWS.copy(), Room()
    collected, before = Blocks(), live.copy()
    collected.add(live, "C", "A.x")
    collected.copied(room)
    (spare,) = [np.frombuffer(block.memory, "u1") for block in collected.all]
    live += 1
    collected.copied(room)
    assert [np.may_share_memory(spare, np.frombuffer(block.memory, "u1")) for block in collected.all] == [True]
    assert collected.entries()[0].digest == hashlib.sha256(before).digest()


@pytest.mark.parametrize("beside", [True, False])
def test_no_memory_piles_up_over_saves(beside: bool) -> None:
    """Neither that of an array which grows from save to save, nor that of one which is not in one piece."""
    room, held = Room(), []
    for more in range(4):
        collected = Blocks()
        for array in (np.zeros(len(ROWS) + more, "u1"), ROWS[::2]):
            collected.add(array, "C", "A.x")
        if beside:
            collected.copied(room)
        held += [weakref.ref(block._bytes) for block in collected.all]
        collected.release()
        room.clear()
    assert sum(array() is not None for array in held) == beside


def test_what_was_released_compares_by_its_digest() -> None:
    """Later states are compared with the one that was saved, which holds no array any more."""
    live = ROWS.copy()

    def taken() -> Blocks:
        collected = Blocks()
        collected.add(live, "C", "A.x")
        return collected

    saved = taken()
    saved.release()
    assert saved.all == taken().all and saved.entries() == taken().entries()
    live[0] = -1
    assert saved.all != taken().all


# What the state file says


lists = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 1 << 63), st.binary(min_size=32, max_size=32)))


@given(lists)
def test_a_list_of_blocks_comes_back(made: list[tuple[int, int, bytes]]) -> None:
    """Sealed, read, and sorted into files."""
    seen: list[int] = []
    entries = []
    for file, size, digest in made:
        seen += [file] if file not in seen else []
        entries.append(Entry(seen.index(file), size, digest))
    assert unpack(pack(entries)) == tuple(entries)
    assert unseal(seal([1], MODEL, 7, blocks=tuple(entries)), "").blocks == tuple(entries)
    files = files_of(entries)
    assert [files[file].blocks[place] for file, place in places(entries)] == entries
    assert sum(len(file.blocks) for file in files) == len(entries)


ENTRY = Entry(0, 5, bytes(32))


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param(pack([ENTRY])[:-1], id="cut"),
        pytest.param(pack([ENTRY]) + b"\0", id="longer"),
        pytest.param(pack([ENTRY._replace(file=1)]), id="a file is left out"),
        pytest.param(pack([ENTRY, ENTRY._replace(file=2)]), id="a later file is left out"),
        pytest.param(pack([ENTRY._replace(file=2**32 - 1)]), id="billions of files"),
        pytest.param(pack([ENTRY._replace(size=0)]), id="an empty block"),
    ],
)
def test_a_list_that_no_release_writes_is_refused(listed: bytes) -> None:
    """Behind digests that are right."""
    payload = dump([1])
    fields = struct.pack(
        "<8sHHQ32s32sQ", b"\x89CBST\r\n\x1a", 1, 2, len(payload), _sha(payload + listed), MODEL, 7
    )
    with pytest.raises(CorruptCheckpointError, match="this package never wrote that"):
        unseal(payload + listed + fields + _sha(fields), "m.keras.callbacks.pkl")


def test_a_flag_without_a_list_and_a_list_without_a_flag_are_damage() -> None:
    """The list is between payload and trailer, and nothing else may be there."""
    payload = dump([1])
    for flags, listed in ((2, b""), (0, pack([ENTRY]))):
        fields = struct.pack(
            "<8sHHQ32s32sQ", b"\x89CBST\r\n\x1a", 1, flags, len(payload), _sha(payload + listed), MODEL, 7
        )
        with pytest.raises(CorruptCheckpointError, match="bytes before the trailer, found"):
            unseal(payload + listed + fields + _sha(fields), "m.keras.callbacks.pkl")


def _sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_every_flipped_bit_of_a_list_is_found() -> None:
    """The digest and the signature cover it."""
    fields: list[bytes] = []
    sign: Any = lambda given: (fields.append(given), bytes(32))[1]  # noqa: E731
    data = seal([1], MODEL, 7, sign, blocks=(ENTRY, ENTRY))
    assert _sha(dump([1]) + pack([ENTRY, ENTRY])) in fields[0]
    for at in range(len(data) - TRAILER_SIZE - 32):
        with pytest.raises(CorruptCheckpointError):
            unseal(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], "")


def numbered(*numbers: Any) -> list[Any]:
    return [
        ("list", [(1,)]),
        *(("array", "|u1", (len(numbers) + 1,), "C", n, True) for n in numbers),
        ("tuple", [5]),
    ]


@pytest.mark.parametrize(
    ("numbers", "count"), [((0, 0), 1), ((0,), 2), ((0, 1), 1), ((0, 2), 2), ((-1,), 1), ((), 1), ((0,), 0)]
)
def test_each_block_is_that_of_one_array(numbers: tuple[int, ...], count: int) -> None:
    """No block is read twice, none is left out, and no array refers to one that is not there."""
    with pytest.raises(PlainError, match="and not one to each"):
        attached(numbered(*numbers), (ENTRY,) * count, lambda number: pytest.fail("opened"))


@pytest.mark.parametrize(
    ("dtype", "shape", "said"),
    [
        ("|u1", (4,), "5 bytes are not an array"),
        ("|u1", (6,), "5 bytes are not an array"),
        ("|u1", (1 << 62, 1 << 62), "5 bytes are not an array"),
        ("|O", (5,), "not a dtype"),
        (("subarray", "|u1", (5,)), (1,), "adds dimensions"),
    ],
    ids=str,
)
def test_an_array_that_is_not_of_its_block_is_refused(dtype: Any, shape: tuple[int, ...], said: str) -> None:
    """Before any memory is taken, and before the file is opened."""
    table = Encoder().table([dtype, shape])
    nodes = [*table.nodes, ("array", *table.nodes[0][1], "C", 0, True)]

    def open_(number: int) -> Callable[[memoryview], None]:
        return lambda memory: pytest.fail("read")

    with pytest.raises(PlainError, match=said):
        Decoder(Table(attached(nodes, (ENTRY,), open_), (len(nodes) - 1,))).value()
