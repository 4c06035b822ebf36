"""What many numbers cost in a state file: beside plain pickle, over 10,000 epochs, and in a report.

All times are of the processor, the least of a few rounds, so another process on the machine counts little.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy

from callback_state._callbacks.taken import take
from callback_state._checkpoints.schema import History, Meta, Start
from callback_state._checkpoints.trace import Trace
from callback_state._format.decode import Decoder
from callback_state._format.encode import Encoder
from callback_state._format.statefile import seal, unseal
from callback_state._format.table import Table
from callback_state._store.pair import SUFFIX
from callback_state.testing.proof.states import META, RUN

MILLION = 1_000_000
#: When a run began, in seconds since 1970.
BEGAN = 1_700_000_000


def least(rounds: int, act: Callable[[], Any]) -> float:
    """The least processor seconds of a few rounds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        act()
        times.append(time.process_time() - start)
    return min(times)


def losses(count: int) -> list[float]:
    """As Keras gives them: floats that were computed in 32 bits."""
    noise = numpy.random.default_rng(1).random(count)
    return [float(value) for value in (1 / (1 + numpy.arange(count) / 500) + noise / 20).astype("f4")]


def rates(count: int) -> list[Any]:
    """A schedule in which no two epochs are alike."""
    return [float(value) for value in (numpy.cos(numpy.arange(count) / count) / 100).astype("f4")]


def saved(value: Any) -> bytes:
    table = Encoder().table(value)
    return seal([table.nodes, table.root], bytes(32), 0)


def restored(data: bytes) -> Any:
    return Decoder(Table.from_tree(unseal(data, "").tree)).value()


def dict_times(rounds: int, keys: Callable[[int], Any]) -> tuple[float, float, float, float]:
    """Seconds to save and to restore a dict of a million floats, and the same of plain pickle."""
    value = {keys(i): i / 7 for i in range(MILLION)}
    ours, theirs = saved(value), pickle.dumps(value)
    acts = (
        lambda: saved(value),
        lambda: restored(ours),
        lambda: pickle.dumps(value),
        lambda: pickle.loads(theirs),
    )
    save, restore, dump, load = (least(rounds, act) for act in acts)
    return save, restore, dump, load


def history_times(rounds: int) -> tuple[float, float]:
    """Seconds to save and to restore four series of 100,000 batch values."""
    value = {name: [random.random() for _ in range(100_000)] for name in ("loss", "acc", "rate", "norm")}
    data = saved(value)
    return least(rounds, lambda: saved(value)), least(rounds, lambda: restored(data))


def numbers(epochs: int) -> dict[str, dict[str, Any]]:
    """What the course keeps of two stock callbacks, the checkpoint and a schedule of one's own."""
    best = numpy.minimum.accumulate(losses(epochs)).tolist()
    wait = [i % 7 for i in range(epochs)]
    zeros = [0] * epochs
    return {
        "EarlyStopping": {"wait": wait, "stopped_epoch": zeros, "best": best, "best_epoch": [*range(epochs)]},
        "ReduceLROnPlateau": {"best": [*best], "cooldown_counter": [*zeros], "wait": [*wait]},
        "ModelCheckpointEnhanced": {"best": [*best]},
        "WarmupCosine": {"step": [*range(0, 32 * epochs, 32)], "rate": [rate * 1.1 for rate in rates(epochs)]},
    }


def run_of(epochs: int, series: int, starts: int) -> Meta:
    """What a state file says of a long run."""
    names = [f"{kind}{i}" for i in range(series // 2) for kind in ("m", "val_m")]
    first = Start(BEGAN * 10**9, 0, 0, None, None, None, 0)
    again = (Start((BEGAN + 9 * i + 9) * 10**9, i, 0, (BEGAN + 9 * i) * 10**9, i, 0, 1) for i in range(1, starts))
    jitter = numpy.random.default_rng(2).integers(0, 2, epochs).tolist()
    trace = Trace([*range(epochs)], rates(epochs), [BEGAN + 9 * i + n for i, n in enumerate(jitter)])
    return replace(
        META,
        saved_at=(BEGAN + 10 * epochs) * 10**9,
        epoch=epochs - 1,
        epochs=epochs,
        history=History([*range(epochs)], {name: losses(epochs) for name in names}),
        trace=replace(trace, numbers=numbers(len(trace.noted))),
        starts=[first, *again][:starts],
    )


def sealed(meta: Meta) -> bytes:
    """The state file of a model file of five bytes."""
    return take([], None, meta, RUN).sealed(hashlib.sha256(b"model").digest(), 5)


def epochs_cost(rounds: int) -> tuple[int, float]:
    """Of 10,000 epochs of four series: bytes of the state file, and seconds that it costs more than one of 10."""
    long, short = (run_of(epochs, 4, 1) for epochs in (10_000, 10))
    extra = least(rounds, lambda: sealed(long)) - least(rounds, lambda: sealed(short))
    return len(sealed(long)), extra


def report_time() -> float:
    """Seconds of ``callback-state report`` over a million values and 100,000 starts, the whole process."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "m.keras"
        path.write_bytes(b"model")
        Path(f"{path}{SUFFIX}").write_bytes(sealed(run_of(100_000, 10, 100_000)))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "callback_state", "report", name, "-o", os.path.join(name, "report.html")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
