"""A run's note says which files of a directory it has begun; what is not sure is not among them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from callback_state._store.claims import Owner, claim, claimed

NOTE = f".callback_state-{'a' * 32}"


def owner(*directories: Path, run: str = "a") -> Owner:
    return Owner.of(run * 32, [str(directory) for directory in directories])


def made(directory: Path, *names: str) -> Path:
    directory.mkdir(exist_ok=True)
    for name in names:
        (directory / name).write_bytes(b"steps")
    return directory


def test_a_run_has_what_it_has_noted(tmp_path: Path) -> None:
    """Over several calls; another run has nothing of it, and a file that is gone is nobody's."""
    made(tmp_path, "one", "two", "three")
    claim(str(tmp_path), ["one", "gone"], owner(tmp_path))
    claim(str(tmp_path), ["two"], owner(tmp_path))
    assert claimed(str(tmp_path), owner(tmp_path)) == {"one", "two"}
    assert claimed(str(tmp_path), owner(tmp_path, run="b")) == set()
    (tmp_path / "one").unlink()
    assert claimed(str(tmp_path), owner(tmp_path)) == {"two"}


def test_a_copy_of_the_checkpoints_has_nothing(tmp_path: Path) -> None:
    """The file is the one that was noted, and the directory of the checkpoints is not."""
    logs, here, there = (made(tmp_path / name, "one") for name in ("logs", "here", "there"))
    claim(str(logs), ["one"], owner(here))
    assert claimed(str(logs), owner(there)) == set()
    assert claimed(str(logs), owner(there, here)) == {"one"}


def test_what_was_moved_together_is_the_runs_own(tmp_path: Path) -> None:
    """On another disk all numbers are others."""
    logs, here, there = (made(tmp_path / name, "one") for name in ("logs", "here", "there"))
    claim(str(logs), ["one"], owner(here))
    shutil.copytree(logs, tmp_path / "moved")
    assert claimed(str(tmp_path / "moved"), owner(there)) == {"one"}


def test_a_run_without_a_directory_notes_nothing(tmp_path: Path) -> None:
    """There is no checkpoint from which it could go on."""
    made(tmp_path, "one")
    claim(str(tmp_path), ["one"], owner(tmp_path / "missing"))
    assert os.listdir(tmp_path) == ["one"]


NOTES: dict[str, Callable[[str, int], bytes]] = {
    "no JSON": lambda name, number: name.encode(),
    "bytes that are no text": lambda name, number: b"\xff\xfe",
    "a list that is short": lambda name, number: json.dumps([name, number]).encode(),
    "other types": lambda name, number: json.dumps([name, float(number), True]).encode(),
    "no list": lambda name, number: json.dumps({name: number}).encode(),
    "too deep": lambda name, number: b"[" * 100_000,
    "too long": lambda name, number: json.dumps([name, number, number]).encode() + b" " * (1 << 24),
}


@pytest.mark.parametrize("kind", NOTES)
def test_a_note_that_is_none_permits_nothing(tmp_path: Path, kind: str) -> None:
    """Whatever stands in it; a line that a kill has torn does not spoil the next one."""
    made(tmp_path, "one", "two")
    (tmp_path / NOTE).write_bytes(NOTES[kind]("one", tmp_path.stat().st_ino))
    assert claimed(str(tmp_path), owner(tmp_path)) == set()
    claim(str(tmp_path), ["two"], owner(tmp_path))
    assert claimed(str(tmp_path), owner(tmp_path)) == (set() if kind == "too long" else {"two"})


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_note_that_is_a_link_is_neither_read_nor_written(tmp_path: Path) -> None:
    """Nor is one that is no file."""
    made(tmp_path, "one")
    claim(str(tmp_path), ["one"], owner(tmp_path))
    (tmp_path / NOTE).rename(tmp_path / "real")
    before = (tmp_path / "real").read_bytes()
    (tmp_path / NOTE).symlink_to("real")
    assert claimed(str(tmp_path), owner(tmp_path)) == set()
    with pytest.raises(OSError, match="symbolic links"):
        claim(str(tmp_path), ["one"], owner(tmp_path))
    assert (tmp_path / "real").read_bytes() == before
    (tmp_path / NOTE).unlink()
    os.mkfifo(tmp_path / NOTE)
    assert claimed(str(tmp_path), owner(tmp_path)) == set()
    with pytest.raises(OSError):
        claim(str(tmp_path), ["one"], owner(tmp_path))
