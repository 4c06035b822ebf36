"""A process that saves checkpoints without Keras into a store: ``process_bucket.py URL FIRST LAST KEEP SIZE``.

It recovers, then saves the numbers from FIRST to LAST, each with a model of SIZE bytes, and keeps the newest KEEP
(0: one file that each save replaces). It prints the number of each save that is in the store.
"""

from __future__ import annotations

import random
import sys
import warnings
from pathlib import Path

from saves import Writer, whole

from callback_state._store import recover
from callback_state._store.bucket import places


def model_of(number: int, size: int) -> bytes:
    """Bytes that belong to this number."""
    return random.Random(number).randbytes(size) + b"%d" % number


def main(url: str, first: str, last: str, keep: str, size: str) -> None:
    warnings.simplefilter("error")
    directory = places.local(url)
    held = places.hold(directory)
    recover.recover_all(directory)
    places.push(directory)
    print("whole", whole(Path(directory)), flush=True)
    template = "{epoch:04d}.keras" if int(keep) else "m.keras"
    writer = Writer(Path(directory), template, int(keep) or None, lambda number: model_of(number, int(size)))
    for number in range(int(first), int(last) + 1):
        writer.save(number)
        places.push(directory)
        print("saved", number, flush=True)
    held.release()


if __name__ == "__main__":
    main(*sys.argv[1:])
