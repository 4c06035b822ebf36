"""Runs programs one after the other, each in a process of its own that is forked from this one.

TensorFlow is imported once, and has no thread before it computes. What to run comes as a line of JSON on the
standard input: the fields of a ``Program`` of programs.py. The answer is a line of JSON: the exit status, negative
for a signal, the output, and the errors.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import tempfile
from typing import Any

import keras
import sklearn.datasets
import sklearn.model_selection  # noqa: F401 - so that no program has to import it


def signal_at(moment: int | list[int], number: int) -> None:
    """Before this batch is trained, the process gets a signal.

    Args:
        moment: how many batches have begun, or the 0-based epoch and batch.
        number: of the signal.
    """
    begun = 0

    def on_train_batch_begin(self: Any, batch: int, logs: Any = None) -> None:
        nonlocal begun
        begun += 1
        if moment in (begun, [len(self.model.history.epoch), batch] if isinstance(moment, list) else None):
            os.kill(os.getpid(), number)

    keras.callbacks.ModelCheckpoint.on_train_batch_begin = on_train_batch_begin


def run(
    path: str,
    directory: str,
    arguments: list[str],
    before: str,
    environment: dict[str, str],
    struck_at: int | list[int] | None,
    struck_by: int,
) -> None:
    """In the new process: the program, as if it had been started with these arguments in this directory."""
    os.makedirs(directory, exist_ok=True)
    os.chdir(directory)
    os.environ.update(environment)
    if struck_at is not None:
        signal_at(struck_at, struck_by)
    exec(before, {})
    sys.argv = [path, *arguments]
    sys.path[0] = os.path.dirname(path)
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
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        errors.seek(0)
        return status, output.read(), errors.read()


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(finished(json.loads(line))), flush=True)
