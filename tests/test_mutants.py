"""Whatever is taken out of the package, a test fails: the tables of mutations are true."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mutants import MUTANTS, PACKAGE, tried

#: pytest's exit status if a test failed.
RED = 1
#: What ended a process that had to be ended, or crashed.
ENDED = (-signal.SIGALRM, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


#: Tried in the default suite too, so that the way of trying is tested: all others are heavy.
SOME = ("_store/commit-", "_format/statefile-", "cli/commands/prune-")


def mutants() -> Iterator[Any]:
    found = list(MUTANTS)
    some = {next(name for name in found if name.startswith(beginning)) for beginning in SOME}
    for name in found:
        yield pytest.param(name, marks=[] if name in some else pytest.mark.heavy)


@pytest.mark.parametrize("name", [*mutants()])
def test_every_line_is_needed(name: str) -> None:
    """The test that is named with it fails without it; a reader without a check may also crash or never end."""
    status, said = tried(name)
    readers = MUTANTS[name].module.startswith("_format/") and MUTANTS[name].module != "_format/statefile"
    assert status in ({RED, *ENDED} if readers else {RED}), f"{MUTANTS[name].test}: {said}"


@pytest.mark.parametrize("name", MUTANTS)
def test_the_table_is_up_to_date(name: str) -> None:
    """What is to be taken out is there, once, and so is its test."""
    mutant = MUTANTS[name]
    assert mutant.mutated()
    file, function = mutant.where
    assert f"def {function.partition('[')[0]}(" in Path(file).read_text(encoding="utf-8")


def test_no_step_is_forgotten() -> None:
    """Every line of the commit that changes or syncs a directory is in the table."""
    source = (PACKAGE / "_store/commit.py").read_text(encoding="utf-8")
    calls = "sync_directory|make_directories|rename|remove|remove_tree|write_bytes"
    steps = {line.strip() for line in re.findall(rf"^ +disk\.(?:{calls})\(.*\)$", source, re.MULTILINE)}
    assert len(steps) >= 12
    in_table = "\n".join(mutant.old for mutant in MUTANTS.values() if mutant.module == "_store/commit")
    assert {step for step in steps if step not in in_table} == set()


def test_the_storage_modules_load_no_heavy_library() -> None:
    """Each mutant is tried in a fraction of a second."""
    code = "import sys, callback_state._store.commit; print({'tensorflow', 'keras', 'numpy'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "set()", done.stderr
