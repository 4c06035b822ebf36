"""``callback-state repair``: what an interrupted save has left is finished or undone, and that is told."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from commands import put, run
from saves import DEAD, stage
from states import model_of, put_staged

from callback_state import list_checkpoints
from callback_state._store import staging
from callback_state._store.pair import SUFFIX
from callback_state.cli.shell.exits import Exit


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def test_a_save_that_had_committed_is_finished(tmp_path: Path) -> None:
    """The model file is in its place, and its state gets its name."""
    model = put(tmp_path, "m.keras", 1)
    model.write_bytes(model_of(2))
    put_staged(model, 2)
    done = run("repair", tmp_path)
    assert (done.status, done.out, done.err) == (Exit.OK, "finished  m.keras\n", "")
    assert names(tmp_path) == ["m.keras", f"m.keras{SUFFIX}"]
    assert [found.epoch for found in list_checkpoints(tmp_path)] == [2]


def test_a_save_that_had_not_committed_is_undone(tmp_path: Path) -> None:
    """What it had written goes, and the checkpoint before is as it was."""
    model = put(tmp_path, "m.keras", 1)
    leftovers = sorted([stage(model).name, put_staged(model, 2).name])
    done = run("repair", tmp_path)
    assert done.status == Exit.OK and done.lines == [f"removed   {name}" for name in leftovers]
    assert names(tmp_path) == ["m.keras", f"m.keras{SUFFIX}"]
    assert [found.epoch for found in list_checkpoints(tmp_path)] == [1]


def test_evidence_is_left(tmp_path: Path) -> None:
    """Where no state is that of the model, nothing is touched, and the status says that."""
    model = put(tmp_path, "m.keras", 1)
    model.write_bytes(b"another model")
    staged = put_staged(model, 2)
    before = names(tmp_path)
    done = run("repair", tmp_path)
    assert done.status == Exit.DAMAGED and names(tmp_path) == before
    assert f"m.keras: none of its state files is whole; left as it is, with {staged.name}" in done.err


def test_what_somebody_may_be_at_is_left(tmp_path: Path) -> None:
    """A staging directory of another host in which something has changed within the last hour."""
    model = put(tmp_path, "m.keras", 1)
    kept = stage(model, host="elsewhere")
    done = run("repair", tmp_path)
    assert done.status == Exit.OK and kept.exists() and f"{kept.name}: left as it is" in done.err
    old = time.time() - 4000
    for path in (kept, kept / "m.keras"):
        os.utime(path, (old, old))
    assert run("repair", tmp_path).lines == [f"removed   {kept.name}"] and not kept.exists()


def test_nothing_to_repair_is_told(tmp_path: Path) -> None:
    """And nothing is changed."""
    put(tmp_path, "m.keras", 1)
    (tmp_path / ".hidden").write_text("of somebody else")
    before = names(tmp_path)
    done = run("repair", tmp_path)
    assert (done.status, done.out, done.err) == (Exit.OK, "", "callback-state: nothing to repair\n")
    assert names(tmp_path) == before


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
@pytest.mark.parametrize("host", [None, "elsewhere"], ids=["here", "elsewhere"])
@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_only_has_the_name_of_a_staging_directory_goes(kind: str, host: str | None, tmp_path: Path) -> None:
    """A link goes itself, and nothing behind it."""
    model = put(tmp_path, "m.keras", 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "letter").write_text("precious")
    path = model.with_name(f".{model.name}.tmp-{host or staging._host()}-{DEAD}-0123abcd")
    if kind == "link":
        path.symlink_to(elsewhere, target_is_directory=True)
    else:
        path.write_text("no directory")
    old = time.time() - 4000
    os.utime(path, (old, old), follow_symlinks=False)
    done = run("repair", tmp_path)
    assert (done.status, done.lines) == (Exit.OK, [f"removed   {path.name}"])
    assert names(tmp_path) == ["elsewhere", "m.keras", f"m.keras{SUFFIX}"] and names(elsewhere) == ["letter"]
