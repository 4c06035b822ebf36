"""A file system that is full, or files that may not grow: saves fail, nothing is lost, and nothing piles up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mounts import MOUNT, UNSHARE, why_not_mount
from places import ENVIRONMENT, KIT
from saves import NAME, STATE

PROGRAM = KIT / "process_store.py"


def run(*command: Any) -> list[dict[str, Any]]:
    """The lines that the program printed."""
    done = subprocess.run(list(map(str, command)), env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_file_system_that_fills_up(tmp_path: Path) -> None:
    """Two megabytes, of which less and less are free: the save before stays, and the save after succeeds."""
    if reason := why_not_mount(tmp_path):
        pytest.skip(reason)
    lines = run(*UNSHARE, MOUNT, tmp_path, sys.executable, PROGRAM, "fill", tmp_path)
    full = [line for line in lines if line["left"] is not None]
    assert {line["error"] for line in full} == {"", "No space left on device"}
    assert sum(line["error"] != "" for line in full) > 40
    judge(lines)
    assert os.listdir(tmp_path) == [], "it was mounted here"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit of the size of files")
def test_files_that_may_not_grow(tmp_path: Path) -> None:
    """The limit of the process, in the middle of the model, of the state, and at nothing; then it is lifted."""
    lines = run(sys.executable, PROGRAM, "limit", tmp_path)
    assert [line["error"] for line in lines] == ["File too large", ""] * 7
    judge(lines)


def judge(lines: list[dict[str, Any]]) -> None:
    """A save that failed left the one before; one that did not is there; never anything else."""
    newest = 1
    for line in lines:
        if line.get("number") == 2:
            newest = 1
        if line["error"] == "":
            newest = line["number"]
        assert line["newest"] == newest, line
        assert line["names"] == [NAME, STATE], line
        if line["left"] is None:
            assert line["error"] == "", line
