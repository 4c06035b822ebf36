"""Processes of JAX that train one model together, on this machine."""

from __future__ import annotations

import atexit
import functools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from places import ENVIRONMENT, KIT
from programs import ALONE

#: Seconds after which the processes are killed.
PATIENCE = 90
EPOCHS, STEPS = 3, 6


class Ended(NamedTuple):
    """How one process ended: its exit status (negative: a signal), where it began, its result, its errors."""

    status: int
    begins: str
    lines: list[str]
    seconds: float  # of its fit
    result: Any  # None if it did not come to its end
    errors: str


def train(directory: Path, processes: int, kind: str, **options: Any) -> list[Ended]:
    """Start processes that train together and save into a directory, and wait for their end.

    ``kind``: "data" (DataParallel) or "model" (ModelParallel). What the options mean is in process_hosts.py.
    """
    directory.mkdir(exist_ok=True)
    given = {"kind": kind, "epochs": EPOCHS, "filepath": "{epoch}.keras", **options}
    server = _server()
    line = {"processes": processes, "port": _free_port(), "directory": str(directory), "patience": PATIENCE}
    server.stdin.write(json.dumps({**line, "options": given}) + "\n")
    server.stdin.flush()
    return [_ended(*found) for found in json.loads(server.stdout.readline())]


@functools.cache
def _server() -> Any:
    """The process that the others are forked from; it ends when its standard input is closed."""
    environment = {**ENVIRONMENT, **ALONE, "KERAS_BACKEND": "jax"}
    environment["XLA_FLAGS"] = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    # TensorFlow takes five seconds, and nothing needs it.
    program = (
        "import runpy, sys; sys.modules['tensorflow'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    command = [sys.executable, "-c", program, str(KIT / "process_hosts.py")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    atexit.register(process.communicate)
    return process


def _ended(status: int, output: str, errors: str) -> Ended:
    said, _, found = output.partition("RESULT")
    words = dict(line.partition(" ")[::2] for line in said.splitlines())
    seconds = float(words.get("SECONDS", 0))
    return Ended(
        status, words.get("BEGINS", ""), said.splitlines(), seconds, json.loads(found) if found else None, errors
    )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def results(ended: list[Ended]) -> list[Any]:
    """What the processes ended with; all of them came to their end."""
    for rank, one in enumerate(ended):
        assert one.status == 0 and one.result is not None, f"process {rank}: {one.status}: {one.errors[-3000:]}"
    return [one.result for one in ended]


def names(directory: Path) -> list[str]:
    """The files of a directory."""
    return sorted(os.listdir(directory))
