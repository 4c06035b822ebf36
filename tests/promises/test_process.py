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
from pathlib import Path
from typing import Any

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
    [(signal.SIGKILL, "in batches", -signal.SIGKILL), (signal.SIGTERM, "on signals", 75)],
    ids=["killed in an epoch", "told to stop"],
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

KILL = ((signal.SIGKILL,),)
STOPS = ((signal.SIGTERM,), (signal.SIGUSR1,), (signal.SIGTERM, signal.SIGTERM)) if os.name != "nt" else ()


def run_inside(
    directory: Path, saves: str, after: float = 3600, sends: tuple[int, ...] = ()
) -> tuple[int, Any, float]:
    """Run the script, and send it signals so many seconds after it has begun: its exit code, its result if it came
    to its end, and the seconds since it had begun."""
    command = [sys.executable, "-W", "error::UserWarning", "-W", "ignore:stored by value:UserWarning"]
    command += [str(SCRIPT), str(directory), "20", "500", saves]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=ENVIRONMENT) as process,
    ):
        assert process.stdout is not None
        begins, begun = process.stdout.readline(), time.monotonic()
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            for number in sends:
                process.send_signal(number)
        _, _, found = process.stdout.read().partition("RESULT")
        code, seconds = process.wait(), time.monotonic() - begun
        errors.seek(0)
        assert begins.startswith("BEGINS") and code in (0, 75, *(-number for number in sends)), errors.read()
    return code, json.loads(found) if found else None, seconds


@pytest.mark.heavy
@pytest.mark.parametrize(("saves", "kinds"), [("in batches", KILL), ("after epochs", KILL), ("on signals", STOPS)])
def test_thirty_random_signals(tmp_path: Path, saves: str, kinds: Any) -> None:
    """At random moments of a run, one or one right after the other: it ends as the run that nobody struck."""
    _, whole, seconds = run_inside(tmp_path / "whole", saves)
    moments, codes = random.Random(3), []
    for _ in range(30):
        after = moments.uniform(0.1, 0.9) * seconds / 30
        code, result, _ = run_inside(tmp_path / "struck", saves, after, moments.choice(kinds))
        assert result is None, f"the run ended after {len(codes)} signals: train longer"
        codes.append(code)
    assert kinds is KILL or codes.count(75) >= 15, "most had not begun to train"
    assert run_inside(tmp_path / "struck", saves)[:2] == (0, whole)
    assert sorted(os.listdir(tmp_path / "struck")) == sorted(os.listdir(tmp_path / "whole"))
