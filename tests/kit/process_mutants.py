"""Tries mutants of the package, each in a process of its own that is forked from this one.

    python process_mutants.py [LIBRARY ...]

Imports the libraries once. Reads a name on each line of the standard input; answers with a line of JSON: the exit
status of pytest (negative: a signal), and what it said.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from mutants import MUTANTS, PACKAGE, Mutant
from places import TESTS

#: Seconds after which one that does not end is ended.
PATIENCE = 60
OPTIONS = ["-x", "-q", "--tb=line", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]


def run(place: Path, mutant: Mutant) -> int:
    """In the new process: the one test, with a copy of the package that has the one change."""
    signal.alarm(PATIENCE)
    output = os.open(place / "output", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    package = place / PACKAGE.name
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / f"{mutant.module}.py").write_text(mutant.mutated(), encoding="utf-8")
    sys.path.insert(0, str(place))
    sys.dont_write_bytecode = True
    os.chdir(TESTS)
    status = pytest.main([*OPTIONS, f"--basetemp={place / 'tmp'}", "::".join(mutant.where)])
    assert sys.modules[f"{PACKAGE.name}.{mutant.module.replace('/', '.')}"].__file__ == str(
        package / f"{mutant.module}.py"
    )
    return int(status)


def tried(mutant: Mutant) -> tuple[int, str]:
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        child = os.fork()
        if child == 0:
            status = 100
            try:
                status = run(place, mutant)
            finally:
                sys.excepthook(*sys.exc_info()) if status == 100 else None
                sys.stderr.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return status, (place / "output").read_text()[-2000:]


if __name__ == "__main__":
    for library in sys.argv[1:]:
        importlib.import_module(library)
    for line in sys.stdin:
        print(json.dumps(tried(MUTANTS[line.strip()])), flush=True)
