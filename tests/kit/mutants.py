"""What is taken out of the package on purpose, and the test that fails each time.

``tests/mutations`` has a folder for each wing, and in it a table for each module: a line that matters, as a small
difference, below its name and the name of its test. ``checker`` stands for a case of the model checker in
test_crashes.py.
"""

from __future__ import annotations

import atexit
import functools
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from places import ENVIRONMENT, KIT, ROOT, TESTS

PACKAGE = ROOT / "callback_state"
CHECKER = "test_crashes.py::test_the_old_or_the_new_checkpoint_is_whole"


@dataclass(frozen=True)
class Mutant:
    """A text of a module (it must be there once), what stands in its place, and the test that notices."""

    name: str
    module: str
    old: str
    new: str
    test: str

    @property
    def where(self) -> tuple[str, str]:
        """The file of the test, and its function. Raises LookupError if the table is out of date."""
        file, _, function = self.test.partition("::")
        paths = [*TESTS.rglob(file)]
        if len(paths) != 1:
            raise LookupError(f"{self.module}.diff: {file} is there {len(paths)} times, not once")
        return str(paths[0]), function

    def mutated(self) -> str:
        """The text of the module with the one change. Raises LookupError if the table is out of date."""
        source = (PACKAGE / f"{self.module}.py").read_text(encoding="utf-8")
        found = source.count(f"\n{self.old}")
        if found != 1:
            raise LookupError(f"{self.module}.py has this {found} times, not once:\n{self.old}")
        return source.replace(f"\n{self.old}", f"\n{self.new}")


def table(module: str) -> list[Mutant]:
    """All mutants of a module."""
    text = (TESTS / "mutations" / f"{module}.diff").read_text(encoding="utf-8")
    return [_parsed(module, entry) for entry in text.removeprefix("== ").split("\n== ")]


def _parsed(module: str, entry: str) -> Mutant:
    head, *lines = entry.rstrip("\n").splitlines()
    name, test = head.split(": ", 1)
    if test.startswith("checker "):
        test = f"{CHECKER}[{test.removeprefix('checker ')}]"
    old = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    new = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    return Mutant(name, module, old, new, test)


def _tables() -> list[str]:
    folder = TESTS / "mutations"
    return [path.relative_to(folder).with_suffix("").as_posix() for path in sorted(folder.rglob("*.diff"))]


#: Wings that cannot be tried without TensorFlow.
TRAINING = ("_warn", "_keras", "_input", "_callbacks", "_loop", "_saving", "_resuming", "testing")
MUTANTS = {f"{mutant.module}-{mutant.name}": mutant for module in _tables() for mutant in table(module)}


@functools.cache
def _server(*libraries: str) -> Any:
    """The process that those that try mutants are forked from; it ends when its standard input is closed."""
    command = [sys.executable, str(KIT / "process_mutants.py"), *libraries]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    atexit.register(process.communicate)
    return process


def tried(name: str) -> tuple[int, str]:
    """The exit status of pytest with this mutant (negative: a signal), and what it said."""
    process = _server("keras") if MUTANTS[name].module.startswith(TRAINING) else _server()
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    status, said = json.loads(process.stdout.readline())
    return status, said
