"""The promise across real processes and real SIGKILLs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("process_script.py")


def run(directory: Path, ending: str, *, kill_after: int | None = None) -> Any:
    """Run the script; kill it when it has reported that epoch, or return its result."""
    command = [sys.executable, "-W", "error::UserWarning", str(SCRIPT), str(directory), ending]
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])},
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("RESULT"):
                    return json.loads(line.removeprefix("RESULT"))
                if kill_after is not None and line.split()[1] == str(kill_after):
                    process.kill()
        errors.seek(0)
        assert kill_after is not None and process.returncode == -9, errors.read()
    return None


@pytest.mark.parametrize(
    ("ending", "kills"), [(".keras", (2, 2, 5)), (".weights.h5", (4,))],
    ids=["keras", "weights-only"],
)
def test_a_killed_process_is_resumed_as_the_same_run(
    tmp_path: Path, ending: str, kills: tuple[int, ...]
) -> None:
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
