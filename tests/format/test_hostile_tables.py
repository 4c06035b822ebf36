"""Each check between a file and memory is needed: the tables that fire, crash or never end without it."""

from __future__ import annotations

import sys

import pytest
from hostile.arrays import ARRAYS
from hostile.columns import COLUMNS
from hostile.tables import Liar
from hostile.values import NODES

from callback_state._format.decode import Decoder
from callback_state._format.pickles import dump, parse
from callback_state._format.table import PlainError, Table

LIES = NODES | ARRAYS | COLUMNS


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("lie", LIES)
def test_a_table_that_lies_is_refused(lie: str) -> None:
    """By itself, without a file around it and without TensorFlow; not for want of memory."""
    table = Liar().table(LIES[lie]())
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
        ("column-of-an-exabyte", f"160 bytes are not {1 << 60} numbers"),
        ("column-of-an-exabyte-in-planes", f"4 planes of {1 << 60} numbers"),
        ("column-of-another-width", "40 bytes are not 20 numbers"),
        ("mixed-of-a-column-too-few", "1 columns in a mixed one of 3 values"),
        ("plane-that-is-a-bomb", "planes of too few bytes for 65536 numbers"),
        ("plane-that-is-padded-to-hide-a-bomb", "a plane that has not 65536 bytes"),
        ("mixed-of-an-exabyte-of-None", f"1 bytes are not {1 << 60} numbers"),
        ("dict-of-more-keys-than-values", "4 keys with 3 values"),
        ("dict-of-alike-keys", "more than 1000 keys of one hash"),
        ("texts-that-are-longer-than-the-text", "2 characters or bytes are not 3 parts of these lengths"),
    ],
)
def test_the_error_says_what_was_found(lie: str, message: str) -> None:
    """The check that is meant for it refuses it, not what would have failed later."""
    table = Liar().table(LIES[lie]())
    with pytest.raises(PlainError, match=message):
        Decoder(Table.from_tree([table.nodes, table.root])).value()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and a limit of the address space")
@pytest.mark.usefixtures("little_memory")
def test_there_is_little_memory() -> None:
    """The control: what takes more than there is to spare is not refused, but gets no memory."""
    with pytest.raises(MemoryError):
        bytearray(512 << 20)
