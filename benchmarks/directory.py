"""What is measured of a directory of checkpoints: listing many, finding the newest, verifying a large one."""

from __future__ import annotations

import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fits

from callback_state import ModelCheckpointEnhanced, latest_checkpoint, list_checkpoints
from callback_state._format.statefile import seal, unseal
from callback_state._store.pair import SUFFIX, open_pair

MANY = 1000


def seconds(act: Callable[[], object], rounds: int) -> float:
    """The median; the files are in the memory of the system by then."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def saved_at(moment: int, tree: Any) -> Any:
    """The same state, of another moment: so say its summary and its ``meta``."""
    summary, *nodes = tree[0]
    for _, flat in (node for node in nodes if node[0] == "dict" and "saved_at" in node[1]):
        flat[flat.index("saved_at") + 1] = moment
    return [[(summary[0], moment, *summary[2:]), *nodes], *tree[1:]]


@contextmanager
def many() -> Iterator[tuple[Path, int]]:
    """A directory of a thousand checkpoints of a real run, and the bytes of each state file."""
    model = fits.dense(8, 4)
    x, y = fits.data(model, 32)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        path = directory / "m.keras"
        callbacks = [fits.Ramp(100), fits.Window(), fits.Best(), ModelCheckpointEnhanced(str(path), period=100)]
        model.fit(x, y, epochs=100, verbose=0, callbacks=callbacks, validation_data=(x, y), shuffle=False)
        data, state = path.read_bytes(), unseal(Path(f"{path}{SUFFIX}").read_bytes(), "m")
        for i in range(MANY - 1):
            copy = data + b"%d" % i  # a file of its own digest
            (directory / f"{i}.keras").write_bytes(copy)
            sealed = seal(saved_at(i, state.tree), hashlib.sha256(copy).digest(), len(copy))
            (directory / f"{i}.keras{SUFFIX}").write_bytes(sealed)
        yield directory, len(sealed)


def listing_times(rounds: int) -> tuple[float, float, float, int]:
    """Seconds to list a thousand, the same verified, to find the newest; bytes of a state file."""
    with many() as (directory, size):
        assert len(list_checkpoints(directory, verify=False)) == MANY
        listed = seconds(lambda: list_checkpoints(directory, verify=False), rounds)
        verified = seconds(lambda: list_checkpoints(directory), rounds)
        return listed, verified, seconds(lambda: latest_checkpoint(directory), rounds), size


def verify_times(rounds: int, megabytes: int = 256) -> tuple[float, float]:
    """Seconds to verify one checkpoint, and of SHA-256 alone over the same bytes in memory."""
    with tempfile.TemporaryDirectory() as name:
        path, data = os.path.join(name, "m.keras"), os.urandom(1 << 20) * megabytes
        Path(path).write_bytes(data)
        Path(path + SUFFIX).write_bytes(seal([], hashlib.sha256(data).digest(), len(data)))
        ours, alone = [], []
        for _ in range(rounds):  # in turn: the machine's speed drifts
            ours.append(seconds(lambda: open_pair(path), 1))
            alone.append(seconds(lambda: hashlib.sha256(data), 1))
        return statistics.median(ours), statistics.median(alone)
