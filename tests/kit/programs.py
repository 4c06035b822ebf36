"""Programs, in processes of their own that are forked from one: examples and scripts, some of them killed."""

from __future__ import annotations

import ast
import atexit
import functools
import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from places import ENVIRONMENT, KIT, ROOT

#: A process can be forked where no library has begun threads; and the tests run side by side as it is.
ALONE = {"TF_NUM_INTRAOP_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Done(NamedTuple):
    """How a program ended: its exit status (negative: a signal), and what it printed."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of its output; of Keras's without how long a step took."""
        return [re.sub(r"^(\d+/\d+) - .*?/step", r"\1", line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class Program:
    """One start of a program.

    Args:
        path: of the program.
        directory: where it is started.
        arguments: of the command line.
        before: code that runs before it, in the same process.
        environment: what is in it more than in ours.
        struck_at: when its process gets a signal, before a batch is trained: that many batches have begun, or the
            0-based epoch and batch.
        struck_by: the signal.
    """

    path: str
    directory: str
    arguments: Sequence[str] = ()
    before: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    struck_at: int | tuple[int, int] | None = None
    struck_by: int = signal.SIGKILL

    def run(self) -> Done:
        """Start it, and wait for its end."""
        process = _server()
        process.stdin.write(json.dumps(asdict(self)) + "\n")
        process.stdin.flush()
        return Done(*json.loads(process.stdout.readline()))


@functools.cache
def _server() -> Any:
    """The process that the others are forked from; it ends when its standard input is closed."""
    command = [sys.executable, "-W", "error::UserWarning", str(KIT / "process_programs.py")]
    environment = {**ENVIRONMENT, **ALONE}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    atexit.register(process.communicate)
    return process


def path_of(name: str) -> Path:
    """Of an example."""
    return ROOT / "examples" / name


def start(name: str, directory: Path, *, dies_at: int | tuple[int, int] | None = None, **options: Any) -> Done:
    """Run an example in a directory; with ``dies_at`` it gets a SIGKILL there, else it must end well."""
    done = Program(str(path_of(name)), str(directory), struck_at=dies_at, **options).run()
    assert done.status == (0 if dies_at is None else -signal.SIGKILL), done.err
    return done


def lines_of_code(name: str) -> int:
    """How many lines of an example are neither empty, nor comment, nor docstring."""
    tree = ast.parse(path_of(name).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            del node.body[0]
    spans = [(node.lineno, node.end_lineno) for node in ast.walk(tree) if isinstance(node, (ast.expr, ast.stmt))]
    return len({line for span in spans for line in span})
