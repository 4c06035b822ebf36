"""The commands that read state files alone see the checkpoints that verify, ls and a restart see."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import run
from recorded_runs import BEGAN, TEMPLATE, write, write_run
from states import unfinish

from callback_state._checkpoints.find import find
from callback_state._store.pair import SUFFIX
from callback_state.cli.runs import recorded as _recorded
from callback_state.cli.runs.recorded import newest_of, recorded
from callback_state.exceptions import CheckpointNotFoundError

LOOKING = [["doctor"], ["report", "-o", "r.html"], ["plot", "-o", "p.svg"]]


@pytest.mark.parametrize("command", LOOKING, ids=[command[0] for command in LOOKING])
def test_a_state_that_is_only_staged_is_read(tmp_path: Path, monkeypatch: Any, command: list[str]) -> None:
    """After a kill between the two renames of the very first commit there is a run to be looked at."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "ckpt", "m.keras", versions={})
    unfinish(tmp_path / "ckpt/m.keras")
    done = run(command[0], "ckpt", *command[1:])
    assert (done.status, done.err) == (0, "")


def test_the_newest_checkpoint_is_that_of_a_restart(tmp_path: Path) -> None:
    """Also where its state is only staged: it is neither left out nor left aside."""
    write_run(tmp_path, 3)
    unfinish(tmp_path / "003.keras")
    found = find(str(tmp_path), None, missing_ok=False)
    state, aside = newest_of(str(tmp_path))
    assert found is not None and state.path == found.model_path == str(tmp_path / "003.keras")
    assert aside == []
    assert [s.name for s in recorded(str(tmp_path)).states] == ["001.keras", "002.keras", "003.keras"]


def test_of_two_states_the_models_own_is_read(tmp_path: Path) -> None:
    """A commit over an old file was cut: the old state stands beside the new model, whose own is staged."""
    write(tmp_path, "m.keras", epoch=0, saved_at=BEGAN)
    old = (tmp_path / f"m.keras{SUFFIX}").read_bytes()
    write(tmp_path, "m.keras", epoch=7, saved_at=BEGAN + 1, model=b"newer")
    unfinish(tmp_path / "m.keras")
    (tmp_path / f"m.keras{SUFFIX}").write_bytes(old)
    assert newest_of(str(tmp_path))[0].meta.epoch == 7


@pytest.mark.parametrize("command", LOOKING, ids=[command[0] for command in LOOKING])
def test_a_link_to_a_checkpoint_is_followed(tmp_path: Path, monkeypatch: Any, command: list[str]) -> None:
    """Elsewhere its state is beside the file that it leads to; by the directory and by its name."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "elsewhere", "002.keras", versions={})
    (tmp_path / "ckpt").mkdir()
    (tmp_path / "ckpt/best.keras").symlink_to("../elsewhere/002.keras")
    for path in ("ckpt", "ckpt/best.keras"):
        done = run(command[0], path, *command[1:])
        assert (done.status, done.err) == (0, ""), path


def test_a_link_within_the_directory_adds_nothing(tmp_path: Path) -> None:
    """``latest.keras``, a link to the newest file, is no checkpoint of its own."""
    write_run(tmp_path, 3)
    (tmp_path / "latest.keras").symlink_to("003.keras")
    assert [state.name for state in recorded(str(tmp_path)).states] == ["001.keras", "002.keras", "003.keras"]


def test_a_run_that_is_deleted_while_it_is_read_is_not_found(tmp_path: Path, monkeypatch: Any) -> None:
    """An error that says so, whether all of its checkpoints go or only those that are asked for."""
    write(tmp_path, "m.keras", template=TEMPLATE)
    chosen = _recorded._chosen

    def chosen_and_deleted(*args: Any) -> Any:
        found = chosen(*args)
        shutil.rmtree(tmp_path)
        return found

    monkeypatch.setattr(_recorded, "_chosen", chosen_and_deleted)
    for look in (newest_of, recorded):
        write(tmp_path, "m.keras", template=TEMPLATE)
        with pytest.raises(CheckpointNotFoundError, match="it was deleted meanwhile"):
            look(str(tmp_path))
