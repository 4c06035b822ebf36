"""Each check between a file and memory is needed: the tables that fire, crash or never end without it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hostile.arrays import ARRAYS
from hostile.tables import Liar
from hostile.values import NODES
from places import KIT

from callback_state._format.decode import Decoder
from callback_state._format.pickles import dump, parse
from callback_state._format.table import PlainError, Table

MEMORY = KIT / "process_memory.py"


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


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and a limit of the address space")
def test_no_file_takes_the_memory_of_the_machine() -> None:
    """Every hostile stream and table, in a process that has 256 MB to spare: refused, not out of memory."""
    done = subprocess.run([sys.executable, MEMORY], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr[-2000:]
    assert int(done.stderr.split()[-2]) > 200
