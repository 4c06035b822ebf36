"""Runs programs one after the other, each in a process of its own that is forked from this one.

TensorFlow is imported once, and has no thread before it computes. What to run comes as JSON on the standard input:
of each program its path, its arguments, its directory, code that runs before it, and the 0-based (epoch, batch)
where its process is sent a SIGKILL, or null. Printed is, again as JSON, the exit status (negative: a signal), the
output, and the errors of each.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
import tempfile
from typing import Any

import keras
import sklearn.datasets
import sklearn.model_selection  # noqa: F401 - so that no program has to import it


def die_at(moment: tuple[int, int]) -> None:
    """Before this batch is trained, the process that calls this is no more."""

    def on_train_batch_begin(self: Any, batch: int, logs: Any = None) -> None:
        if (self._epoch, batch) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    keras.callbacks.ModelCheckpoint.on_train_batch_begin = on_train_batch_begin


def run(path: str, arguments: list[str], directory: str, before: str, dies_at: list[int] | None) -> None:
    """In the new process: the program, as if it had been started with these arguments in this directory."""
    os.makedirs(directory, exist_ok=True)
    os.chdir(directory)
    if dies_at is not None:
        die_at((dies_at[0], dies_at[1]))
    exec(before, {})
    sys.argv = [path, *arguments]
    runpy.run_path(path, run_name="__main__")


def finished(program: dict[str, Any]) -> tuple[int, str, str]:
    """The exit status of one program, its output, and its errors."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(errors.fileno(), 2)
                run(**program)
                status = 0
            finally:
                sys.excepthook(*sys.exc_info()) if status else None  # type: ignore[arg-type]
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        errors.seek(0)
        return status, output.read(), errors.read()


if __name__ == "__main__":
    print(json.dumps([finished(program) for program in json.load(sys.stdin)]))
