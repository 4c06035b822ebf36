"""Every system call of a save: the process ends there, the call fails, the power is cut.

All of them are enumerated, for each history of a directory, and each time a reader must find the old or the
new checkpoint whole, the next process must recover and go on, and nothing may be left over.
"""

from __future__ import annotations

import errno
import functools
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from calls import Fault, Now
from histories import HISTORIES, Act, History, Judge, Lost, act, goes_on, seen
from pages import part
from places import ROOT

from callback_state._store import disk as _atomic
from callback_state._store import recover

CASES = """\
Every call of a save that opens, writes, syncs, renames or removes a file was made to fail, to be the last one, and
to be followed by a power cut, on a simulated disk that forgets what was not synced: in each of
{} cases the old or the new checkpoint is whole afterwards, and the next save works.
"""
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EINTR)


def acts(history: History, base: Path, **fault: object) -> Iterator[Act]:
    """The act of a history with a fault at every call, until there is no call left to strike."""
    for at in itertools.count():
        with pytest.MonkeyPatch.context() as patch:
            done = act(history, base / f"{len(os.listdir(base))}", patch, Fault(at, **fault))
        if len(done.disk.calls) <= at:
            return
        yield done


def old_or_new(history: History, done: Act) -> int:
    """Which of the two a reader finds after an act."""
    newest, found, _ = seen(history, Path(done.disk.root))
    allowed = {history.before, history.before + (history.act != "recover")}
    kept = history.entitled(done.writer, history.before, done=history.act != "save")
    if newest not in (allowed if done.failed else {max(allowed)}) or not kept.items() <= found.items():
        raise Lost(f"found {newest} of {sorted(allowed)}, {found} of {kept} after {done.disk.calls}")
    return newest


def deaths(history: History, base: Path) -> int:
    """The process ends instead of, or just after, each call."""
    cases = 0
    for after in (False, True):
        for done in acts(history, base, after=after):
            goes_on(history, Path(done.disk.root), old_or_new(history, done))
            cases += 1
    return cases


def errors(history: History, base: Path) -> int:
    """Each call fails, once or from then on, or writes too little; the same process goes on.

    Also one that did its work and fails all the same, as on a network.
    """
    cases = 0
    kinds: list[dict[str, Any]] = [
        *({"error": number} for number in ERRORS),
        *({"error": number, "lasting": True} for number in (errno.ENOSPC, errno.EIO)),
        {"error": errno.EIO, "after": True},
        *({"error": 0, "lasting": lasting} for lasting in (False, True)),
    ]
    for kind in kinds:
        for done in acts(history, base, **kind):
            number = kind["error"]
            fault, root = done.disk.fault, Path(done.disk.root)
            if number == 0 and (fault is None or fault.kind != "write"):
                continue  # only a write can be short
            if number == 0 and done.failed:
                raise Lost("a short write was not continued")
            newest = old_or_new(history, done)
            left = hidden(done.writer.directory)
            if not set(left) <= set(excused(history, done, newest)):
                raise Lost(f"{fault} left {left}")
            done.writer.save(newest + 1)
            if seen(history, root)[0] != newest + 1 or still_left(done, left) or unneeded(done):
                raise Lost(f"after {fault} and another save: {os.listdir(done.writer.directory)}")
            goes_on(history, root, newest + 1)
            cases += 1
    return cases


def hidden(directory: Path) -> list[str]:
    return [name for name in os.listdir(directory) if name.startswith(".")] if directory.is_dir() else []


def excused(history: History, done: Act, newest: int) -> list[str]:
    """What an act that failed may leave: what it could not remove, and after the commit point a staged state."""
    could_not_remove = done.disk.fault is not None and done.disk.fault.kind in ("unlink", "rmdir")
    staged = newest > history.before or history.act in ("recover", "again") or history.model(1) == history.model(2)
    return [
        name
        for name in hidden(done.writer.directory)
        if could_not_remove or (staged and ".state-" in name) or (history.act == "recover" and ".tmp-" in name)
    ]


def still_left(done: Act, left: list[str]) -> set[str]:
    """What ought to be gone: after a save that failed all, after one that only could not clean up what is new."""
    return set(hidden(done.writer.directory)) - (set() if done.failed else set(left))


def unneeded(done: Act) -> list[str]:
    """The arrays files that no state refers to; one that could not be removed may stay until the next process."""
    could_not_remove = done.disk.fault is not None and done.disk.fault.kind == "unlink"
    names = [] if could_not_remove else recover.leftovers(done.writer.directory)
    return [name for name in names if name.endswith(".arrays")]


def cuts(history: History, base: Path) -> int:
    """The power is cut at each instant of the act."""
    judge = judge_of(history)
    before = judge.cases
    with pytest.MonkeyPatch.context() as patch:
        done = act(history, base / "0", patch, None, watch_cuts=True)
    judge.cuts(done.disk, base / "cut")
    return judge.cases - before


def cuts_after(history: History, base: Path, **fault: object) -> int:
    """After a fault at each call, while somebody recovers and saves again."""
    judge = judge_of(history)
    before = judge.cases
    for at in itertools.count():
        with pytest.MonkeyPatch.context() as patch:
            done = act(history, base / f"{at}", patch, Fault(at, **fault), watch_cuts=True)
            if len(done.disk.calls) <= at:
                return judge.cases - before
            next_process(history, done)
        judge.cuts(done.disk, base / "cut")
    raise AssertionError


def next_process(history: History, done: Act) -> None:
    disk, writer = done.disk, history.writer(Path(done.disk.root))
    struck_dead = disk.dead
    disk.restart()
    newest = old_or_new(history, done)
    assert recover.recover_all(writer.directory) == []
    # After an error the new one may have been seen and not be durable.
    disk.promise(newest if struck_dead or not done.failed else history.before, {}, plain=struck_dead)
    writer.save(newest + 1)
    disk.promise(newest + 1, history.entitled(writer, newest + 1, done=True), plain=True)


@functools.cache
def judge_of(history: History) -> Judge:
    return Judge(history)


CHECKS = {
    "deaths": deaths,
    "errors": errors,
    "cuts": cuts,
    "cuts-after-deaths": functools.partial(cuts_after, after=True),
    "cuts-after-errors": functools.partial(cuts_after, error=errno.EIO),
}


@functools.cache
def cases(check: str, history: str) -> int:
    """How many cases there are, all of them looked at. Raises Lost at the first that is wrong."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as base, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: None)
        patch.setattr(_atomic, "ThreadPoolExecutor", Now)
        patch.setattr(_atomic, "READ_SIZE", 4096)
        return CHECKS[check](HISTORIES[history], Path(os.path.realpath(base)))


pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows syncs no directories")


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("check", CHECKS)
def test_the_old_or_the_new_checkpoint_is_whole(check: str, history: str) -> None:
    """Whatever happens at whichever call: one of the two is found, and the next process goes on with it."""
    assert cases(check, history) > 7


@pytest.mark.heavy  # it may run in another process than the cases, and look at all of them again
def test_the_readme_says_how_many_cases() -> None:
    """The number in the README is the number of cases that were looked at."""
    total = sum(cases(check, history) for check in CHECKS for history in HISTORIES)
    part("cases", CASES.format(f"{total:,}"), ROOT / "docs" / "durability.rst")
