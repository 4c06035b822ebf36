"""The promise across real processes and real SIGKILLs."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from places import ENVIRONMENT, KIT
from programs import Program

SCRIPT, INSIDE = KIT / "process_script.py", KIT / "process_inside.py"


# One signal of each kind, at a moment that the program itself counts.

#: The script has a lambda, of which a run warns.
BY_VALUE = "import warnings; warnings.filterwarnings('ignore', 'stored by value', UserWarning)"


def result(directory: Path, saves: str, **strike: Any) -> Any:
    """How a run that saves inside its epochs ended: its exit status, and its result if it came to its end."""
    arguments = [str(directory), "2", "40", saves]
    done = Program(str(INSIDE), str(directory.parent), arguments, before=BY_VALUE, **strike).run()
    assert done.out.startswith("BEGINS"), done.err
    _, _, found = done.out.partition("RESULT")
    return done.status, json.loads(found) if found else None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize(
    ("number", "saves", "status"),
    [(signal.SIGKILL, "in batches", -signal.SIGKILL), (signal.SIGTERM, "on signals", 75)],
    ids=["killed", "told to stop"],
)
def test_a_process_that_died_is_resumed_as_the_same_run(
    tmp_path: Path, number: int, saves: str, status: int
) -> None:
    """Inside its second epoch, on a shuffled data set: weights, history, every hook with its logs and random
    draws, and the rows of the log are those of the whole run; a signal to stop ends the process with 75."""
    code, whole = result(tmp_path / "whole", saves)
    assert code == 0 and [row[0] for row in whole["rows"]] == ["epoch", "0", "1"]
    assert result(tmp_path / "struck", saves, struck_at=(1, 19), struck_by=number) == (status, None)
    assert result(tmp_path / "struck", saves) == (0, whole)
    assert sorted(os.listdir(tmp_path / "struck")) == sorted(os.listdir(tmp_path / "whole"))


# Many, at moments that nobody chose.


@contextmanager
def started(script: Path, *arguments: Any, options: tuple[str, ...] = ()) -> Iterator[Any]:
    """(the process of a script, a function that gives what it wrote to stderr)."""
    command = [sys.executable, "-W", "error::UserWarning", *options, str(script), *map(str, arguments)]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=ENVIRONMENT) as process,
    ):

        def written() -> str:
            errors.seek(0)
            return errors.read()

        yield process, written


def run(directory: Path, ending: str, *, kill_after: int | None = None) -> Any:
    """Run the script; kill it when it has reported that epoch, or return its result."""
    with started(SCRIPT, directory, ending) as (process, errors):
        for line in process.stdout:
            if line.startswith("RESULT"):
                return json.loads(line.removeprefix("RESULT"))
            if kill_after is not None and line.split()[1] == str(kill_after):
                process.kill()
        process.wait()
        assert kill_after is not None and process.returncode == -9, errors()
    return None


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("ending", "kills"), [(".keras", (2, 2, 5)), (".weights.h5", (4,))], ids=["keras", "weights-only"]
)
def test_a_killed_process_is_resumed_as_the_same_run(tmp_path: Path, ending: str, kills: tuple[int, ...]) -> None:
    """SIGKILL while training goes on, several times; a callback that draws from every global generator;
    classes of ``__main__``; validation_split. The last start prints what an uninterrupted run prints."""
    uninterrupted = run(tmp_path / "whole", ending)
    for kill in kills:
        assert run(tmp_path / "killed", ending, kill_after=kill) is None
    resumed = run(tmp_path / "killed", ending)
    assert resumed == uninterrupted
    assert uninterrupted["epochs"] == list(range(12))
    assert uninterrupted["wait"] != 0
    assert run(tmp_path / "killed", ending) == {**resumed}  # started once more: nothing is trained


class Ended(NamedTuple):
    """How a run ended: its exit code, its result if it came to its end, the seconds since it had begun."""

    code: int
    result: Any
    seconds: float


def run_inside(
    directory: Path,
    epochs: int,
    batches: int,
    *,
    after: float | None = None,
    saves: str = "in batches",
    sends: tuple[int, ...] = (signal.SIGKILL,),
) -> Ended:
    """Run the script that saves inside its epochs; send it signals so many seconds after it has begun."""
    ignored = ("-W", "ignore:stored by value:UserWarning")
    with started(INSIDE, directory, epochs, batches, saves, options=ignored) as (process, errors):
        begins, begun = process.stdout.readline(), time.monotonic()
        if after is not None:
            try:
                process.wait(after)
            except subprocess.TimeoutExpired:
                for number in sends:
                    process.send_signal(number)
        rest = process.stdout.read()
        code = process.wait()
        assert begins.startswith("BEGINS") and code in (0, 75, *(-number for number in sends)), errors()
        seconds = time.monotonic() - begun
    result = json.loads(rest.removeprefix("RESULT")) if rest.startswith("RESULT") else None
    return Ended(code, result, seconds)


def check_random_kills(directory: Path, epochs: int, batches: int, kills: int) -> None:
    """Kill a run so many times, each time at a random moment, and compare it with one that nobody killed."""
    _, uninterrupted, seconds = run_inside(directory / "whole", epochs, batches)
    moments = random.Random(3)
    for kill in range(kills):
        after = moments.uniform(0.1, 0.9) * seconds / kills
        ended = run_inside(directory / "killed", epochs, batches, after=after)
        assert ended.result is None, f"the run ended before kill {kill}: train longer"
    assert run_inside(directory / "killed", epochs, batches)[:2] == (0, uninterrupted)
    assert [row[0] for row in uninterrupted["rows"]] == ["epoch", *map(str, range(epochs))]


@pytest.mark.heavy
def test_thirty_random_kills(tmp_path: Path) -> None:
    """SIGKILL at random moments of a run that saves every seven batches: it ends as the run that nobody killed."""
    check_random_kills(tmp_path, epochs=20, batches=500, kills=30)


def check_random_signals(directory: Path, epochs: int, batches: int, stops: int) -> None:
    """Stop a run so many times by signals at random moments, and compare it with one that nobody stopped."""
    _, uninterrupted, seconds = run_inside(directory / "whole", epochs, batches, saves="on signals")
    moments, codes = random.Random(5), []
    for _ in range(stops):
        sends = moments.choice([(signal.SIGTERM,), (signal.SIGUSR1,), (signal.SIGTERM, signal.SIGTERM)])
        after = moments.uniform(0.1, 0.9) * seconds / stops
        ended = run_inside(directory / "stopped", epochs, batches, after=after, saves="on signals", sends=sends)
        assert ended.result is None, f"the run ended after {len(codes)} stops: train longer"
        codes.append(ended.code)
    assert run_inside(directory / "stopped", epochs, batches, saves="on signals")[:2] == (0, uninterrupted)
    saved = codes.count(75)
    print(f"{stops} signals: {saved} runs saved and stopped, {stops - saved} had not begun to train")
    assert saved >= stops // 2
    assert sorted(os.listdir(directory / "stopped")) == sorted(os.listdir(directory / "whole"))


@pytest.mark.heavy
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGUSR1, and SIGTERM ends a process there")
def test_fifty_random_signals(tmp_path: Path) -> None:
    """SIGTERM, SIGUSR1, or one right after the other, at random moments; the process exits with 75."""
    check_random_signals(tmp_path, epochs=40, batches=1000, stops=50)
