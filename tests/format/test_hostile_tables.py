"""Each check between a file and memory is needed: the tables that fire, crash or never end without it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hostile.arrays import ARRAYS
from hostile.bombs import BOMBS, MALFORMED
from hostile.files import sealed, sealed_tree
from hostile.tables import Liar
from hostile.values import NODES

from callback_state._format.decode import Decoder
from callback_state._format.pickles import dump, parse
from callback_state._format.statefile import unseal
from callback_state._format.table import PlainError, Table
from callback_state.exceptions import CallbackStateError


@pytest.mark.parametrize("lie", NODES | ARRAYS)
def test_a_table_that_lies_is_refused(lie: str) -> None:
    """By itself, without a file around it and without TensorFlow."""
    table = Liar().table((NODES | ARRAYS)[lie]())
    tree = parse(dump([table.nodes, table.root]))
    with pytest.raises(PlainError):
        Decoder(Table.from_tree(tree)).value()


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ("reference-beyond-the-end", "no node 1000000"),
        ("dict-with-a-key-too-many", "a dict with a key too many"),
        ("reference-below-zero", "no node -1"),
        ("tuple-of-a-thousand-levels", "immutable values nested deeper than"),
        ("array-of-a-long-product", "malformed: ValueError: not a shape"),
        ("array-of-a-shape-that-is-true", "malformed: ValueError: not a shape"),
        ("BitGenerator-that-seeds-the-global-one", "no bit generator 'seed'"),
        ("tuple-in-itself", "immutable values nested deeper than"),
    ],
)
def test_the_error_says_what_was_found(lie: str, message: str) -> None:
    """The check that is meant for it refuses it, not what would have failed later."""
    table = Liar().table((NODES | ARRAYS)[lie]())
    with pytest.raises(PlainError, match=message):
        Decoder(Table.from_tree([table.nodes, table.root])).value()


#: Bytes of address space beyond what the process has before it reads; the largest of the files has a million.
ROOM = 256 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and a limit of the address space")
def test_no_file_takes_the_memory_of_the_machine() -> None:
    """Every hostile stream and table, where there are 256 MB to spare: refused, not out of memory."""
    import resource

    tables = [Liar().table(make()) for make in (NODES | ARRAYS).values()]
    files = [sealed(make()) for make in (BOMBS | MALFORMED).values()]
    files += [sealed_tree([table.nodes, table.root]) for table in tables]
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, hard))
    try:
        with pytest.raises(MemoryError):  # the control
            bytearray(2 * ROOM)
        for data in files:
            with pytest.raises((CallbackStateError, PlainError)):
                Decoder(Table.from_tree(unseal(data, "m").tree)).value()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
