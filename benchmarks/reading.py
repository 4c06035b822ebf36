"""What is measured of reading a state file: large arrays, and how soon a hostile one is refused."""

from __future__ import annotations

import hashlib
import io
import statistics
import time
from collections.abc import Callable

import numpy

from callback_state._format.decode import Decoder
from callback_state._format.encode import Encoder
from callback_state._format.pickles import ReadError, parse
from callback_state._format.statefile import seal, unseal
from callback_state._format.table import Table

#: Pickles of a million bytes that are refused at their end, or hold as much as they can.
HOSTILE = {
    "lists that stay open": b"]" * 1_000_000,
    "a long tuple and a name": b"(" + b"N" * 999_990 + b"t" + b"cos\nsystem\n.",
    "small numbers": b"](" + b"\x8a\1\1" * 333_000 + b"ex",
}


def seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def array_times(rounds: int, megabytes: int = 400) -> tuple[float, float, float]:
    """Seconds to read an array from a state file in memory, without its SHA-256, and by ``numpy.load``."""
    array = numpy.arange(megabytes << 17, dtype="f8")
    table = Encoder().table(array)
    data = seal([table.nodes, table.root], hashlib.sha256(b"").digest(), 0)
    file = io.BytesIO()
    numpy.save(file, array)
    saved = file.getvalue()

    def read() -> None:
        assert Decoder(Table.from_tree(unseal(data, "").tree)).value().nbytes == array.nbytes

    ours, judged, theirs = [], [], []
    for _ in range(rounds):  # in turn: the machine's speed drifts
        ours.append(seconds(read))
        judged.append(seconds(lambda: hashlib.sha256(data)))
        theirs.append(seconds(lambda: numpy.load(io.BytesIO(saved))))
    whole, digest = statistics.median(ours), statistics.median(judged)
    return whole, whole - digest, statistics.median(theirs)


def refusal_times(rounds: int) -> float:
    """Processor seconds until the slowest of a few hostile pickles of a megabyte is refused."""
    times = []
    for body in HOSTILE.values():
        for _ in range(rounds):
            start = time.process_time()
            try:
                parse(b"\x80\x04" + body)
            except ReadError:
                times.append(time.process_time() - start)
    return max(times)
