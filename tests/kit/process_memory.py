"""Reads every hostile stream and table with little memory to take; prints what was not refused as it should be."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

import numpy
from hostile.arrays import ARRAYS
from hostile.bombs import BOMBS, MALFORMED
from hostile.files import sealed, sealed_tree
from hostile.tables import Liar
from hostile.values import NODES

from callback_state._format.decode import Decoder
from callback_state._format.statefile import unseal
from callback_state._format.table import PlainError, Table
from callback_state.exceptions import CallbackStateError

#: Bytes of address space beyond what the process has before it reads; the largest of the files has a million.
ROOM = 256 << 20


def files() -> dict[str, bytes]:
    streams = {name: sealed(make()) for name, make in (BOMBS | MALFORMED).items()}
    tables = {}
    for name, make in (NODES | ARRAYS).items():
        table = Liar().table(make())
        tables[name] = sealed_tree([table.nodes, table.root])
    return streams | tables


def main() -> int:
    made = files()
    numpy.zeros(1)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with contextlib.suppress(MemoryError):  # the control
        bytearray(2 * ROOM)
        print("the limit does not hold")
    for name, data in made.items():
        try:
            Decoder(Table.from_tree(unseal(data, name).tree)).value()
            print(f"{name}: was read")
        except (CallbackStateError, PlainError):
            continue
        except BaseException as error:
            print(f"{name}: {type(error).__name__}: {error}")
    print(f"{len(made)} files", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
