"""The command line where standard output or error is closed or full: a status, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import put_run

from callback_state.cli.shell.exits import Exit

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a shell and /dev/full")


def shell(line: str, directory: Path) -> tuple[int, str]:
    """The status of a command in a shell, and what it printed, on whichever stream is left."""
    line = line.replace("CS", f"{sys.executable} -m callback_state")
    done = subprocess.run(["sh", "-c", line], cwd=directory, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("command", "streams"), [("doctor", ">&- 2>&-"), ("verify", "2>/dev/full")], ids=str)
def test_nobody_listens_and_the_status_tells(command: str, streams: str, tmp_path: Path) -> None:
    """A closed stream takes everything, as with ``print``, and messages that cannot be written are given up."""
    put_run(tmp_path / "ckpt", [3.0, 2.0])
    told = shell(f"CS {command} ckpt", tmp_path)
    assert told[0] in (Exit.OK, Exit.LOSS) and told[1]
    assert shell(f"CS {command} ckpt {streams}", tmp_path) == (told[0], "" if streams.startswith(">") else told[1])


def test_prune_has_done_its_work(tmp_path: Path) -> None:
    """Its status is 0 where the deletions are done, whether or not anybody was told."""
    put_run(tmp_path / "ckpt", [3.0, 2.0, 1.0])
    assert shell("CS prune ckpt --keep 1 >&- 2>/dev/full", tmp_path)[0] == 0
    assert sorted(os.listdir(tmp_path / "ckpt"))[-2:] == ["003.keras", "003.keras.callbacks.pkl"]
    assert not (tmp_path / "ckpt/001.keras").exists()


def test_data_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    """A full disk takes no listing: the status says so, also where the message finds no place either."""
    put_run(tmp_path / "ckpt", [3.0])
    status, printed = shell("CS ls ckpt >/dev/full", tmp_path)
    assert (status, printed) == (Exit.FAILED, "callback-state: [Errno 28] No space left on device\n")
    assert shell("CS ls ckpt >/dev/full 2>/dev/full", tmp_path) == (Exit.FAILED, "")
