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


def seconds(*argv: str, compiled: str) -> float:
    """One process, its output thrown away; modules are compiled into a directory, as an installation has them."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
    start = time.perf_counter()
    subprocess.run([sys.executable, *argv], check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start


def ls_times(rounds: int) -> tuple[float, float, float]:
    """Seconds for ``callback-state ls`` of a few checkpoints and of a thousand, and for an interpreter alone."""
    with directory.many() as (many, _), tempfile.TemporaryDirectory() as made:
        few = Path(made) / "few"
        few.mkdir()
        for name in sorted(os.listdir(many))[: 2 * FEW]:
            shutil.copy(many / name, few / name)
        listings = [("-m", "callback_state", "ls", str(where)) for where in (few, many)]
        commands = [*listings, ("-c", "pass")]
        times = [[seconds(*argv, compiled=made) for argv in commands] for _ in range(rounds + 1)]
    small, large, bare = (statistics.median(column) for column in zip(*times[1:], strict=True))
    return small, large, bare
