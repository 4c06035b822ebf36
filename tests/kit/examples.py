"""The programs of examples/, started in processes of their own, and killed there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from places import ROOT

#: Runs a program, and sends its process a SIGKILL at a training step of this number.
_DIES = """
import os, runpy, signal
import keras

steps = 0

def on_train_batch_begin(self, batch, logs=None):
    global steps
    steps += 1
    if steps == {step}:
        os.kill(os.getpid(), signal.SIGKILL)

keras.callbacks.ModelCheckpoint.on_train_batch_begin = on_train_batch_begin
runpy.run_path({path!r}, run_name="__main__")
"""


def path_of(name: str) -> Path:
    return ROOT / "examples" / name


def start(name: str, directory: Path, *, dies_at: int | None = None, **environment: str) -> Any:
    """Run an example in a directory, if asked until its training step of this number, counted from 1."""
    directory.mkdir(exist_ok=True)
    path = str(path_of(name))
    program = [path] if dies_at is None else ["-c", _DIES.format(path=path, step=dies_at)]
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", *program],
        cwd=directory,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
    )
    assert done.returncode == (0 if dies_at is None else -9), done.stderr
    return done


def is_short(name: str) -> bool:
    """Whether it is a complete program of less than sixty lines."""
    return len(path_of(name).read_text(encoding="utf-8").splitlines()) < 60
