"""Starts of the examples that follow articles: what they print, what they leave, and how they are compared."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import yaml
from places import KIT, ROOT

from callback_state._checkpoints.snapshot import Snapshot
from callback_state._store.pair import SUFFIX
from examples import path_of

#: A process can be forked where no library has begun threads; and the tests run side by side as it is.
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
#: What a state file says that is the same whenever it was written.
SAID = ("epoch", "batch", "finished", "history", "model", "monitor", "training_args")


@dataclass(frozen=True)
class Start:
    """One start of an example in a directory; ``dies_at`` is the 0-based (epoch, batch) that is not trained."""

    name: str
    directory: Path
    dies_at: tuple[int, int] | None = None
    arguments: Sequence[str] = ()
    before: str = ""

    def program(self) -> dict[str, Any]:
        """What tests/process_examples.py needs to know of it."""
        return {
            "path": str(path_of(self.name)),
            "directory": str(self.directory),
            "arguments": list(self.arguments),
            "before": self.before,
            "dies_at": self.dies_at,
        }


def run_all(*starts: Start) -> list[list[str]]:
    """The lines that each printed, one start after the other, each in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(KIT / "process_examples.py")],
        input=json.dumps([start.program() for start in starts]),
        capture_output=True,
        text=True,
        env={**os.environ, **ENVIRONMENT},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for start, (status, _, errors) in zip(starts, found, strict=True):
        assert status == (0 if start.dies_at is None else -9), f"{start}: {errors}"
    return [printed(output) for _, output, _ in found]


def printed(output: str) -> list[str]:
    """The lines of an output; of Keras's without how long a step took."""
    return [re.sub(r"^(\d+/\d+) - .*?/step", r"\1", line) for line in output.splitlines()]


def contents(directory: Path) -> dict[str, list[Any]]:
    """What the checkpoints in a directory and below say of their run, by name: all but when they were written."""
    found: dict[str, list[Any]] = {}
    for path in directory.rglob(f"*{SUFFIX}"):
        name = str(path.relative_to(directory)).removesuffix(SUFFIX)
        snapshot = Snapshot.open(str(directory / name))
        meta = snapshot.meta
        seeds = [states.tolist() for states in snapshot.run.seeds.seeds]
        found[name] = [*(getattr(meta, key) for key in SAID), meta.trace.learning_rate, seeds]
    return found


def read_as_anyone(path: Path) -> dict[str, Any]:
    """As anyone reads it who has h5py and PyYAML, and nothing of ours."""
    meta = {}
    with h5py.File(path) as f:
        for k in f["meta"].keys():  # noqa: SIM118 - that a group has keys() is part of the claim
            meta[k] = list(f["meta"][k])
        meta["training_args"] = yaml.safe_load(f["meta"].attrs["training_args"])
    return meta


def files_below(directory: Path) -> list[str]:
    """The names of all that is in a directory and below."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def lines_of_code(name: str) -> int:
    """How many lines of an example are neither empty, nor comment, nor docstring."""
    tree = ast.parse(path_of(name).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            del node.body[0]
    spans = [(node.lineno, node.end_lineno) for node in ast.walk(tree) if isinstance(node, (ast.expr, ast.stmt))]
    return len({line for span in spans for line in span})
