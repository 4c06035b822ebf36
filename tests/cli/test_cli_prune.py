"""``callback-state prune``: deletes what no rule keeps, and never what somebody may need."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import Died
from commands import put, put_run, run
from saves import raises
from states import flip, unfinish

from callback_state import latest_checkpoint, list_checkpoints
from callback_state._format.trust import Keys
from callback_state._store import commit, disk, lock
from callback_state._store.pair import SUFFIX
from callback_state.cli.runs import direction
from callback_state.cli.shell.exits import Exit

VALUES = [0.9, 0.1, 0.5, 0.3, 0.7]
NAMES = [f"00{epoch}.keras" for epoch in range(1, 6)]
T = {"template": "{epoch:03d}.keras"}


def left(directory: Path) -> list[str]:
    """The model files that are there; each must have its state, and no other file may be there."""
    names = sorted(os.listdir(directory))
    models = [name for name in names if name.endswith(".keras")]
    assert names == sorted([*models, *(name + SUFFIX for name in models)])
    return models


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (["--keep", "2"], "45"),
        (["--keep", "9"], "12345"),
        (["--keep-best", "2"], "245"),
        (["--keep", "1", "--keep-best", "2"], "245"),
        (["--keep-best", "1", "--mode", "max"], "15"),
        (["--keep-best", "1", "--monitor", "loss"], "15"),
        (["--keep-best", "1", "--monitor", "val_loss"], "25"),
        (["--keep-best", "1", "--monitor", "val_accuracy"], "35"),
    ],
    ids=["newest", "all", "best", "both", "mode", "another-series", "its-own", "a-larger-one"],
)
def test_what_no_rule_keeps_goes(options: list[str], kept: str, tmp_path: Path) -> None:
    """And no other; the newest stays always. A dry run prints the same, and deletes nothing."""
    for epoch, value in enumerate(VALUES):
        history = {
            "epochs": [*range(epoch + 1)],
            "series": {
                "loss": [0.1, np.float32(0.2), 0.3, 1 << 9000, 0.5][: epoch + 1],
                "val_accuracy": [0, 0.5, 1, 0.5, 0][: epoch + 1],
            },
        }
        put(tmp_path, NAMES[epoch], epoch, monitor=("val_loss", value), history=history, **T)
    expected = [name for name in NAMES if name[2] in kept]
    gone = [name for name in NAMES if name not in expected]
    dry = run("prune", tmp_path, *options, "--dry-run")
    assert (dry.status, dry.lines) == (Exit.OK, gone) and left(tmp_path) == NAMES
    done = run("prune", tmp_path, *options)
    assert (done.status, done.lines) == (Exit.OK, gone) and left(tmp_path) == expected
    assert f"would delete {len(gone)} of 5 checkpoints, " in dry.err
    assert f"deleted {len(gone)} of 5 checkpoints, " in done.err


@pytest.mark.parametrize("options", [[], ["--keep", "0"], ["--keep-best", "-1"], ["--monitor", "loss"]], ids=str)
def test_a_rule_is_needed(options: list[str], tmp_path: Path) -> None:
    """Without one, or with one that keeps nothing, nothing is done."""
    put_run(tmp_path, [1.0, 2.0])
    assert run("prune", tmp_path, *options).status == Exit.USAGE and len(left(tmp_path)) == 2


@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        (["--monitor", "nope"], "takes one of accident_rate, loss"),
        ([], "give --mode"),
        (["--monitor", "accident_rate"], "small or large values of 'accident_rate'"),
    ],
    ids=["no-such", "which", "only-a-part-of-its-name"],
)
def test_an_unknown_best_deletes_nothing(monitor: list[str], message: str, tmp_path: Path) -> None:
    """Where there is no value of the series, or it cannot be told which are better."""
    for epoch in range(3):
        history = {"epochs": [0], "series": {"loss": [0.5], "accident_rate": [0.5]}}
        put(tmp_path, NAMES[epoch], epoch, monitor=("anything", 0.5), history=history, **T)
    done = run("prune", tmp_path, "--keep-best", "1", *monitor)
    assert done.status == Exit.USAGE and message in done.err and len(left(tmp_path)) == 3


@pytest.mark.parametrize("where", ["{}", "{}//"])
def test_what_the_callback_was_told_is_heeded_wherever_it_stands(where: str, tmp_path: Path) -> None:
    """However the path is written, and while the state file still has the name of an interrupted save."""
    arguments = {"C": {"monitor": ("value", "val_loss", None), "mode": ("value", "max", None)}}
    for epoch, value in enumerate(VALUES[:3]):
        put(tmp_path, NAMES[epoch], epoch, {"C": {}}, arguments, monitor=("val_loss", value), **T)
    unfinish(tmp_path / NAMES[2])
    assert run("prune", where.format(tmp_path), "--keep-best", "1").lines == [NAMES[1]]


def test_each_run_is_pruned_by_itself(tmp_path: Path) -> None:
    """The newest of one is no reason to delete those of another."""
    put_run(tmp_path, VALUES)
    put_run(tmp_path, [0.5, 0.4], "b-{epoch}.keras")
    assert run("prune", tmp_path, "--keep", "1").lines == [*NAMES[:4], "b-1.keras"]
    assert left(tmp_path) == ["005.keras", "b-2.keras"]


@pytest.mark.parametrize("broken", [NAMES[4], NAMES[2], NAMES[0]])
@pytest.mark.parametrize("half", ["", SUFFIX], ids=["model", "state"])
def test_what_does_not_verify_stays(broken: str, half: str, tmp_path: Path) -> None:
    """As evidence; it does not count, so the newest whole ones stay beside it."""
    put_run(tmp_path, VALUES)
    flip(tmp_path / (broken + half))
    done = run("prune", tmp_path, "--keep", "2")
    whole = [name for name in NAMES if name != broken]
    assert done.lines == whole[:-2] and left(tmp_path) == sorted([*whole[-2:], broken])
    assert "left as it is: " in done.err and broken in done.err


def test_without_a_whole_checkpoint_nothing_is_deleted(tmp_path: Path) -> None:
    """What is there may be all that is left."""
    put_run(tmp_path, VALUES)
    for name in NAMES:
        flip(tmp_path / name)
    done = run("prune", tmp_path, "--keep", "1")
    assert done.status == Exit.NOT_FOUND and "nothing is deleted" in done.err and left(tmp_path) == NAMES


def test_a_finished_run_keeps_what_it_goes_on_from(tmp_path: Path) -> None:
    """With more epochs it goes on from its last one, of which only the end's file tells."""
    put_run(tmp_path, VALUES)
    put(tmp_path, "005.final.keras", 9, finished=True, goes_on_from="005.keras", monitor=("val_loss", 0.7), **T)
    assert run("prune", tmp_path, "--keep", "1").lines == NAMES[:4]
    assert left(tmp_path) == ["005.final.keras", "005.keras"]
    put(tmp_path, "006.keras", 10, **T)
    put(tmp_path, "007.keras", 11, **T)
    assert run("prune", tmp_path, "--keep", "1").lines == ["005.keras", "005.final.keras", "006.keras"]


def test_an_interim_file_is_one_of_its_run(tmp_path: Path) -> None:
    """The newest there is stays, also where it is that."""
    put_run(tmp_path, VALUES)
    put(tmp_path, "epoch.interim.keras", 9, batch=3, **T)
    assert run("prune", tmp_path, "--keep", "2").lines == NAMES[:4]
    assert left(tmp_path) == ["005.keras", "epoch.interim.keras"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """What it leads to stands in another directory, and is not this one's to delete."""
    put_run(tmp_path / "a", VALUES)
    put(tmp_path / "b", "old.keras", 0, **T)
    os.symlink(tmp_path / "b" / "old.keras", tmp_path / "a" / "000.keras")
    assert run("prune", tmp_path / "a", "--keep", "1").lines == NAMES[:4]
    assert left(tmp_path / "b") == ["old.keras"] and os.path.islink(tmp_path / "a" / "000.keras")


def test_a_staged_state_is_the_state(tmp_path: Path) -> None:
    """Of a save that was interrupted after its commit; the pair goes as a whole, or stays."""
    for number, name in enumerate(NAMES[:3]):
        put(tmp_path, name, number, **T)
    for name in (NAMES[0], NAMES[2]):
        unfinish(tmp_path / name)
    assert run("prune", tmp_path, "--keep", "1").lines == NAMES[:2]
    assert [os.path.basename(found.path) for found in list_checkpoints(tmp_path)] == [NAMES[2]]
    assert not [name for name in os.listdir(tmp_path) if NAMES[0] in name]


def test_the_directory_is_locked_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From before anything is verified until the last is deleted; not for a dry run."""
    put_run(tmp_path, VALUES)
    held: list[Any] = []
    delete = commit.delete
    monkeypatch.setattr(commit, "delete", lambda path: held.append(lock.locked_at(tmp_path)) or delete(path))
    assert run("prune", tmp_path, "--keep", "3").status == Exit.OK
    assert len(held) == 2 and None not in held and lock.locked_at(tmp_path) is None
    monkeypatch.setattr(lock, "hold", lambda directory: 1 / 0)
    assert run("prune", tmp_path, "--keep", "1", "--dry-run").status == Exit.OK


def test_what_is_deleted_is_named_though_the_deletion_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model file goes first: from then on the checkpoint is gone, whatever comes after."""
    put_run(tmp_path, VALUES)
    remove = disk.remove

    def refuse(path: str) -> None:
        if path.endswith(f"002.keras{SUFFIX}") or ".002.keras.state-" in path:
            raise PermissionError(13, "no", path)
        remove(path)

    monkeypatch.setattr(disk, "remove", refuse)
    done = run("prune", tmp_path, "--keep", "1")
    assert done.status == Exit.FAILED and done.lines == ["001.keras", "002.keras"] and "[Errno 13] no" in done.err
    assert lock.locked_at(tmp_path) is None
    assert os.path.basename(str(latest_checkpoint(tmp_path))) == "005.keras"


@pytest.mark.parametrize("name", ["prune", "repair"])
def test_no_directory_is_made(name: str, tmp_path: Path) -> None:
    """Where there is none."""
    options = ["--keep", "1"] if name == "prune" else []
    assert run(name, tmp_path / "none", *options).status == Exit.NOT_FOUND and not (tmp_path / "none").exists()


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
@pytest.mark.parametrize("target", ["005.keras", "001.keras", "nowhere.keras"])
@pytest.mark.parametrize("name", ["latest.keras", "006.keras"])
def test_a_link_is_no_checkpoint_of_its_own(name: str, target: str, tmp_path: Path) -> None:
    """It neither counts, so that the newest one stays beside it, nor goes."""
    put_run(tmp_path, VALUES)
    os.symlink(target, tmp_path / name)
    os.symlink(target + SUFFIX, tmp_path / (name + SUFFIX))
    assert run("prune", tmp_path, "--keep", "2").lines == NAMES[:3]
    assert {"004.keras", "005.keras", name} <= {*os.listdir(tmp_path)}


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_checkpoint_whose_state_is_a_link_is_none_of_its_own(tmp_path: Path) -> None:
    """What it leads to is the state of another one, or of another directory."""
    put_run(tmp_path, VALUES)
    (tmp_path / "copy.keras").write_bytes((tmp_path / NAMES[4]).read_bytes())
    os.symlink(NAMES[4] + SUFFIX, tmp_path / f"copy.keras{SUFFIX}")
    assert run("prune", tmp_path, "--keep", "1").lines == NAMES[:4]
    assert left(tmp_path) == [NAMES[4], "copy.keras"]


KEY = "0123456789abcdef"


@pytest.mark.parametrize("given", ["file", "environment"])
def test_with_a_key_only_what_is_rightly_signed_counts(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer or better one that anybody may have put there neither drives out the signed ones nor goes."""
    options = ["--key-file", str(tmp_path / "key")] if given == "file" else []
    (tmp_path / "key").write_text(KEY)
    directory = tmp_path / "ckpt"
    for number in range(1, 4):
        put_signed(directory, f"00{number}.keras", number, KEY)
    put_signed(directory, "008.keras", 8, "another key of somebody")
    put(directory, "009.keras", 9, monitor=("val_loss", 0.0), **T)
    if given == "environment":
        monkeypatch.setenv("CALLBACK_STATE_KEY", KEY)
    done = run("prune", directory, "--keep", "1", "--keep-best", "1", *options)
    assert done.lines == ["001.keras", "002.keras"]
    assert left(directory) == ["003.keras", "008.keras", "009.keras"]
    assert "008.keras: its state file is signed with another key" in done.err
    assert "009.keras: expected a state file that is signed" in done.err


def put_signed(directory: Path, name: str, number: int, key: str) -> None:
    keys = Keys.of(key)
    assert keys is not None
    put(directory, name, number, sign=keys.signer(name), monitor=("val_loss", 1 / number), **T)


@pytest.mark.parametrize("path", ["{}//", "{}/../{}", "link", "."])
def test_what_a_finished_run_goes_on_from_stays_by_whatever_path(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the directory is written in another way, or is reached through a link."""
    put_run(tmp_path / "ckpt", VALUES)
    put(tmp_path / "ckpt", "005.final.keras", 9, finished=True, goes_on_from="002.keras", **T)
    if path == "link":
        os.symlink("ckpt", tmp_path / "link")
    monkeypatch.chdir(tmp_path / "ckpt" if path == "." else tmp_path)
    assert run("prune", path.format("ckpt", "ckpt"), "--keep", "1").lines == [NAMES[0], *NAMES[2:]]
    assert left(tmp_path / "ckpt") == ["002.keras", "005.final.keras"]


def test_a_full_disk_can_be_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is when one has to: it locks and repairs and deletes without a byte to spare."""
    put_run(tmp_path, VALUES)
    monkeypatch.setattr(os, "write", raises(errno.ENOSPC))
    assert run("repair", tmp_path).status == Exit.OK
    assert run("prune", tmp_path, "--keep", "1").lines == NAMES[:4]
    assert left(tmp_path) == NAMES[4:]


@pytest.mark.parametrize("command", [("repair",), ("prune", "--keep", "2")], ids=lambda command: command[0])
@pytest.mark.parametrize("step", [0, 2, 3, 4, 6])
def test_a_deletion_that_was_killed_is_finished(
    step: int, command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next prune or repair; until then nothing is damaged, only something left over."""
    put_run(tmp_path, VALUES)
    steps = itertools.count()
    with monkeypatch.context() as patch:
        for name in ("rename", "remove", "sync_directory"):
            patch.setattr(disk, name, dying(getattr(disk, name), lambda: next(steps) == step))
        with pytest.raises(Died):
            run("prune", tmp_path, "--keep", "2")
    there = [name for name in NAMES if (tmp_path / name).exists()]
    verified = run("verify", tmp_path)
    assert verified.status == Exit.OK and "DAMAGED" not in verified.out
    name, *options = command
    assert run(name, tmp_path, *options).status == Exit.OK
    assert left(tmp_path) == (NAMES[3:] if name == "prune" else there)


def dying(function: Any, is_due: Any) -> Any:
    def call(*args: Any) -> Any:
        if is_due():
            raise Died
        return function(*args)

    return call


def test_what_goes_on_from_another_keeps_all_that_this_needs(tmp_path: Path) -> None:
    """One that stays only because another goes on from it keeps its own."""
    put_run(tmp_path, VALUES)
    put(tmp_path, "005.final.keras", 9, finished=True, goes_on_from="002.keras", **T)
    put(tmp_path, "006.keras", 10, **T)
    put(tmp_path, "end.keras", 11, template="end.keras", finished=True, goes_on_from="005.final.keras")
    assert run("prune", tmp_path, "--keep", "1").lines == [NAMES[0], *NAMES[2:]]
    assert left(tmp_path) == ["002.keras", "005.final.keras", "006.keras", "end.keras"]


def test_what_cannot_be_read_is_not_replaced_by_a_guess(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its callbacks may have been told otherwise than the name says."""
    put_run(tmp_path, VALUES)
    monkeypatch.setattr(direction, "state_bytes", lambda path: (_ for _ in ()).throw(OSError(5, "no")))
    done = run("prune", tmp_path, "--keep-best", "1")
    assert done.status == Exit.USAGE and "give --mode" in done.err and left(tmp_path) == NAMES
