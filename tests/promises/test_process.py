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

SCRIPT = KIT / "process_inside.py"


# One signal of each kind, at a moment that the program itself counts.

#: The script has a lambda, of which a run warns.
BY_VALUE = "import warnings; warnings.filterwarnings('ignore', 'stored by value', UserWarning)"


def result(directory: Path, saves: str, **strike: Any) -> Any:
    """How a run that saves inside its epochs ended: its exit status, and its result if it came to its end."""
    arguments = [str(directory), "2", "40", saves]
    done = Program(str(SCRIPT), str(directory.parent), arguments, before=BY_VALUE, **strike).run()
    assert done.out.startswith("BEGINS"), done.err
    _, _, found = done.out.partition("RESULT")
    return done.status, json.loads(found) if found else None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize(
    ("number", "saves", "status"),
    [
        (signal.SIGKILL, "in batches", -signal.SIGKILL),
        (signal.SIGKILL, "after epochs", -signal.SIGKILL),
        (signal.SIGTERM, "on signals", 75),
    ],
    ids=["killed in an epoch", "killed between saves", "told to stop"],
)
def test_a_process_that_died_is_resumed_as_the_same_run(
    tmp_path: Path, number: int, saves: str, status: int
) -> None:
    """Struck in its second epoch, on a shuffled data set: weights, history, every hook with its logs and random
    draws, the rows of the log and the files are those of the whole run; a signal to stop ends it with 75."""
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
    saves: str,
    after: float | None = None,
    sends: tuple[int, ...] = (signal.SIGKILL,),
) -> Ended:
    """Run the script that saves inside its epochs; send it signals so many seconds after it has begun."""
    ignored = ("-W", "ignore:stored by value:UserWarning")
    with started(SCRIPT, directory, epochs, batches, saves, options=ignored) as (process, errors):
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


@pytest.mark.heavy
@pytest.mark.parametrize("saves", ["in batches", "after epochs"])
def test_thirty_random_kills(tmp_path: Path, saves: str) -> None:
    """SIGKILL at random moments of a run: it ends as the run that nobody killed."""
    _, uninterrupted, seconds = run_inside(tmp_path / "whole", 20, 500, saves=saves)
    moments = random.Random(3)
    for kill in range(30):
        after = moments.uniform(0.1, 0.9) * seconds / 30
        ended = run_inside(tmp_path / "killed", 20, 500, saves=saves, after=after)
        assert ended.result is None, f"the run ended before kill {kill}: train longer"
    assert run_inside(tmp_path / "killed", 20, 500, saves=saves)[:2] == (0, uninterrupted)
    assert [row[0] for row in uninterrupted["rows"]] == ["epoch", *map(str, range(20))]


@pytest.mark.heavy
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGUSR1, and SIGTERM ends a process there")
def test_fifty_random_signals(tmp_path: Path) -> None:
    """SIGTERM, SIGUSR1, or one right after the other, at random moments; the process exits with 75."""
    _, uninterrupted, seconds = run_inside(tmp_path / "whole", 40, 1000, saves="on signals")
    moments, codes = random.Random(5), []
    for _ in range(50):
        sends = moments.choice([(signal.SIGTERM,), (signal.SIGUSR1,), (signal.SIGTERM, signal.SIGTERM)])
        after = moments.uniform(0.1, 0.9) * seconds / 50
        ended = run_inside(tmp_path / "stopped", 40, 1000, after=after, saves="on signals", sends=sends)
        assert ended.result is None, f"the run ended after {len(codes)} stops: train longer"
        codes.append(ended.code)
    assert run_inside(tmp_path / "stopped", 40, 1000, saves="on signals")[:2] == (0, uninterrupted)
    assert codes.count(75) >= 25, "most had not begun to train"
    assert sorted(os.listdir(tmp_path / "stopped")) == sorted(os.listdir(tmp_path / "whole"))
