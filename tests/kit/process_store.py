"""Saves on, alternately under a fixed name and a template, until it is killed; a program for test_kills.py.

    python process_store.py DIRECTORY LAST

What it found goes to standard output as a line of JSON, then the beginning and the end of each save.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

from saves import NAME, Writer, listing

from callback_state._store import recover

#: Bytes of a model; large enough for a kill to hit its writing.
SIZE = 400_000


def model(number: int) -> bytes:
    """Models that differ in every block."""
    return random.Random(number).randbytes(SIZE)


def writers(directory: Path) -> tuple[Writer, Writer]:
    """One overwrites a file, the other keeps two, of the newest four numbers."""
    return Writer(directory, NAME, model=model), Writer(directory, "{epoch:06d}.keras", keep=4, model=model)


def loop(directory: Path, last: int) -> None:
    """Recover, say what is there, and save on until the number ``last``."""
    recover.recover_all(directory)
    fixed, numbered = both = writers(directory)
    hidden = [name for name in listing(directory) if name.startswith(".")]
    found = {"found": max(fixed.newest(), numbered.newest()), "hidden": hidden}
    os.write(1, json.dumps(found).encode() + b"\n")
    for number in range(found["found"] + 1, last + 1):
        writer = both[number % 2]
        os.write(1, b"begin %d\n" % number)
        writer.save(number)
        os.write(1, b"end %d\n" % number)


if __name__ == "__main__":
    loop(Path(sys.argv[1]), int(sys.argv[2]))
