"""Whatever is taken out of the storage modules or the readers, a test turns red: the tables are true."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import Any

import pytest
from mutants import CHECKS, MUTANTS, PACKAGE, PROTOCOL, STORAGE, Mutant
from places import KIT, TESTS

#: pytest's exit status if tests failed.
RED = 1
#: What ended a process that had to be ended, or crashed.
ENDED = (-signal.SIGALRM, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


def try_all(mutants: list[Mutant]) -> dict[str, dict[str, Any]]:
    """What became of each, by two processes without TensorFlow."""
    names = [mutant.name for mutant in mutants]
    command = [sys.executable, str(KIT / "process_mutants.py")]
    halves = names[::2], names[1::2]
    processes = [subprocess.Popen([*command, *half], stdout=subprocess.PIPE, text=True) for half in halves]
    said = "".join(process.communicate(timeout=600)[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    return {line["name"]: line for line in map(json.loads, said.splitlines())}


def judge(name: str, tried: dict[str, dict[str, Any]]) -> None:
    # Without a check of the readers the process may be ended by what it reads, or never end.
    noticed = {RED} if MUTANTS[name].module in STORAGE else {RED, *ENDED}
    assert tried[name]["status"] in noticed, f"{MUTANTS[name].test}: {tried[name]['said']}"


@pytest.fixture(scope="module")
def protocol() -> dict[str, dict[str, Any]]:
    return try_all(PROTOCOL)


@pytest.fixture(scope="module")
def checks() -> dict[str, dict[str, Any]]:
    return try_all(CHECKS)


@pytest.mark.parametrize("name", [mutant.name for mutant in PROTOCOL])
def test_every_step_of_the_protocol_is_needed(protocol: dict[str, dict[str, Any]], name: str) -> None:
    """The model checker finds each sync, rename or order that is missing."""
    judge(name, protocol)


@pytest.mark.heavy
@pytest.mark.parametrize("name", [mutant.name for mutant in CHECKS])
def test_every_check_is_needed(checks: dict[str, dict[str, Any]], name: str) -> None:
    """The test that is named with it turns red without it."""
    judge(name, checks)


@pytest.mark.parametrize("mutant", CHECKS, ids=lambda mutant: mutant.name)
def test_the_table_is_up_to_date(mutant: Mutant) -> None:
    """What is to be taken out is there, once, and so is its test."""
    assert mutant.mutated()
    file, name = mutant.test.split("::")
    assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8")


def test_no_step_is_forgotten() -> None:
    """Every line of the commit that changes or syncs a directory is in the table."""
    source = (PACKAGE / "_store/commit.py").read_text(encoding="utf-8")
    calls = "sync_directory|make_directories|rename|remove|remove_tree|write_bytes"
    steps = {line.strip() for line in re.findall(rf"^ +disk\.(?:{calls})\(.*\)$", source, re.MULTILINE)}
    assert len(steps) >= 12
    in_table = "\n".join(mutant.old for mutant in PROTOCOL if mutant.module == "_store/commit")
    assert {step for step in steps if step not in in_table} == set()


def test_the_storage_modules_load_no_heavy_library() -> None:
    """Each mutant is tried in a fraction of a second."""
    code = "import sys, callback_state._store.commit; print({'tensorflow', 'keras', 'numpy'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "set()", done.stderr
