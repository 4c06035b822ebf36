"""A process that saves in a loop is killed at any microsecond, again and again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from places import ENVIRONMENT, KIT
from process_store import writers
from saves import whole

PROGRAM = KIT / "process_store.py"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="on Windows nobody can ask whether a process lives")


@dataclass
class Start:
    """What one process did: what it found, the last save that began, and the last that ended."""

    found: int
    begun: int
    ended: int

    @property
    def was_saving(self) -> bool:
        return self.begun > self.ended


def start(directory: Path, saves: int, microseconds: int | None, last: int = 10**6) -> Start:
    """Start the program, and kill it so many microseconds after it began its n-th save (None: never)."""
    command = [sys.executable, str(PROGRAM), str(directory), str(last)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline())]
        marks = []
        for line in process.stdout:
            marks.append(line.split())
            if microseconds is not None and len(marks) == 2 * saves - 1:
                wait(microseconds)
                process.send_signal(signal.SIGKILL)
                marks += [rest.split() for rest in process.stdout]
                break
    assert process.returncode == (0 if microseconds is None else -signal.SIGKILL)
    found = lines[0]["found"]
    assert lines[0]["hidden"] == []
    numbers = {mark: [int(n) for name, n in marks if name == mark] for mark in (b"begin", b"end")}
    return Start(found, max(numbers[b"begin"], default=found), max(numbers[b"end"], default=found))


def wait(microseconds: int) -> None:
    """A sleep would end late: the moment of the kill is part of the test."""
    end = time.perf_counter_ns() + 1000 * microseconds
    while time.perf_counter_ns() < end:
        pass


def read(directory: Path) -> tuple[int, int]:
    """The newest save of each writer; every model file in the directory belongs to a whole checkpoint."""
    fixed, numbered = writers(directory)
    found = whole(directory)
    assert all(number % 2 == (not fixed.owns(name)) for name, number in found.items())
    return fixed.newest(), numbered.newest()


@pytest.mark.parametrize("kills", [10, pytest.param(300, marks=pytest.mark.heavy)], ids=["some", "many"])
def test_a_kill_at_any_microsecond(tmp_path: Path, kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A reader finds the old or the new checkpoint, and the next start recovers and goes on."""
    chance = random.Random(time.time_ns())
    ended = before = hits = 0
    duration = one_save(tmp_path / "timed")
    for _ in range(kills):
        one = start(tmp_path / "run", chance.randint(1, 2), chance.randrange(int(1.5 * duration)))
        assert one.found == before, "another checkpoint after recovery than the reader found before it"
        assert one.begun - one.ended <= 1
        ended = one.ended
        newest = read(tmp_path / "run")
        before = max(newest)
        assert before in (ended, one.begun)
        assert min(newest) >= before - 1, "the checkpoint before the last save is gone"
        hits += one.was_saving
    with capsys.disabled():
        print(f"\n{kills} kills, {hits} while it saved, {before} saves", end=" ")
    assert 3 * hits >= kills, f"only {hits} of {kills} kills hit a save"
    end = before + 4
    one = start(tmp_path / "run", 0, None, end)
    assert (one.found, one.ended) == (before, end)
    fixed, numbered = writers(tmp_path / "run")
    odd, even = [n for n in range(end - 3, end + 1) if n % 2], [n for n in range(end - 3, end + 1) if n % 2 == 0]
    names = {fixed.name_of(even[-1])} | {numbered.name_of(n) for n in odd}
    assert set(whole(tmp_path / "run")) == names
    assert len(os.listdir(tmp_path / "run")) == 2 * len(names)


def one_save(directory: Path) -> int:
    """Microseconds of a save of the program here."""
    writer = writers(directory)[0]
    writer.save(1)
    begin = time.perf_counter_ns()
    for number in (2, 3, 4):
        writer.save(number)
    return (time.perf_counter_ns() - begin) // 3000
