"""What is measured of the command line: whole processes, from their start to their end."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import directory

FEW = 5


def seconds(*argv: str) -> float:
    """One process, its output thrown away."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *argv], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def ls_times(rounds: int) -> tuple[float, float, float]:
    """Seconds for ``callback-state ls`` of a few checkpoints and of a thousand, and for an interpreter alone."""
    with directory.many() as (many, _), tempfile.TemporaryDirectory() as few:
        for name in sorted(os.listdir(many))[: 2 * FEW]:
            shutil.copy(many / name, Path(few) / name)
        times = [
            (seconds("-m", "callback_state", "ls", few), seconds("-m", "callback_state", "ls", str(many)),
             seconds("-c", "pass"))
            for _ in range(rounds + 1)
        ]
    small, large, bare = (statistics.median(column) for column in zip(*times[1:], strict=True))
    return small, large, bare
