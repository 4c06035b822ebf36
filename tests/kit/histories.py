"""What is done to a directory of checkpoints, and what must be there whatever goes wrong meanwhile."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from calls import Died, Disk, Fault
from disk import State
from saves import (
    SUFFIX,
    Arrays,
    Writer,
    arrays_in,
    blocks_of,
    listing,
    model_of,
    put,
    save,
    sealed,
    staged_name,
    whole,
)

from callback_state._format import statefile
from callback_state._store import commit, recover, staging


@dataclass(frozen=True)
class History:
    """A directory as it was, and one act of a writer.

    Args:
        template: the name of the model files.
        before: how many saves were made before.
        keep: how many of the newest are kept.
        act: ``save``, ``state`` (only the state is replaced), ``recover`` (of what a dead writer left), or
            ``again`` (the same bytes, whose only state is still the staged one, and no recovery before).
        model: the bytes of the models.
        arrays: the arrays files of the saves.
    """

    template: str
    before: int
    keep: int | None = None
    act: str = "save"
    model: Callable[[int], bytes] = model_of
    arrays: Callable[[int], Arrays] = lambda number: ()

    def writer(self, root: Path) -> Writer:
        return Writer(root / "a" / "b", self.template, self.keep, self.model, self.arrays)

    def prepare(self, root: Path) -> None:
        writer = self.writer(root)
        if self.before:
            writer.directory.mkdir(parents=True)
            put(writer.directory, writer.expected(self.before))
        if self.act in ("recover", "again"):  # as after a kill before the last rename of a save
            name, data = writer.name_of(self.before), self.model(self.before)
            os.rename(writer.directory / (name + SUFFIX), writer.directory / staged_name(data, name))
            put(writer.directory, {name + SUFFIX: sealed(0, b"older")})
        if self.act == "recover":
            put(writer.directory, {staged_name(b"never moved", name): sealed(9, b"never moved")})
            (writer.directory / f".{name}.tmp-{staging._host()}-{os.getpid()}-00000000").mkdir()
            put(writer.directory, arrays_in(name, (b"of an older state",)))

    def do(self, writer: Writer) -> int:
        """The act; the number that a reader must find afterwards."""
        if self.act == "save":
            writer.save(self.before + 1)
            return self.before + 1
        path = writer.path(self.before)
        if self.act == "again":
            save(path, self.before + 1, self.model(self.before), self.arrays(self.before + 1))
            return self.before + 1
        if self.act == "state":
            arrays = self.arrays(self.before + 1)
            data = sealed(self.before + 1, self.model(self.before), arrays)
            commit.commit_state(path, data, blocks_of(arrays).files())
            return self.before + 1
        assert recover.recover(path)
        return self.before

    def entitled(self, writer: Writer, number: int, done: bool) -> dict[str, int]:
        """The saves with names of their own that must be there when ``number`` is the newest."""
        if "{" not in self.template:
            return {}
        numbers = range(1 if self.keep is None else max(1, number - self.keep + (1 if done else 2)), number + 1)
        return {writer.name_of(n): n for n in numbers}


SAME = b"the same bytes in every save"


def one_changes(number: int) -> Arrays:
    """Two arrays files, of which one is another in each save."""
    return b"best weights", f"moving average {number}".encode()


HISTORIES = {
    "fixed-first": History("m.keras", 0),
    "fixed-later": History("m.keras", 1),
    "same-bytes": History("m.keras", 1, model=lambda number: SAME),
    "template-later": History("{epoch:03d}.keras", 2),
    "retention": History("{epoch:03d}.keras", 2, keep=1),
    "state-only": History("m.keras", 1, act="state"),
    "same-bytes-staged": History("m.keras", 1, act="again", model=lambda number: SAME),
    "recovery": History("m.keras", 2, act="recover"),
    "arrays-fixed": History("m.keras", 1, arrays=one_changes),
    "arrays-linked": History("{epoch:03d}.keras", 1, keep=1, arrays=lambda number: (b"best weights",)),
    "arrays-state-only": History("m.keras", 1, act="state", arrays=one_changes),
    "arrays-recovery": History("m.keras", 2, act="recover", arrays=one_changes),
}


class Lost(AssertionError):
    """What a reader found, and what he was entitled to."""


def seen(history: History, root: Path) -> tuple[int, dict[str, int], bool]:
    """The newest save that a reader finds, all of them, and whether the newest has its plain names."""
    writer = history.writer(root)
    found = whole(writer.directory)
    newest = max(found.values(), default=0)
    return newest, found, newest == 0 or _is_plain(writer.directory / _holding(found, newest))


def _holding(found: dict[str, int], number: int) -> str:
    return next(name for name, n in found.items() if n == number)


def _is_plain(model: Path) -> bool:
    state = model.with_name(model.name + SUFFIX)
    if not state.exists():
        return False
    digest = statefile.unseal(state.read_bytes(), str(state)).model_digest
    return digest == hashlib.sha256(model.read_bytes()).digest()


def goes_on(history: History, root: Path, newest: int) -> None:
    """Another process starts, recovers, saves on: nothing is lost and nothing is left over."""
    writer = history.writer(root)
    if recover.recover_all(writer.directory):
        raise Lost("recovery found a model file of which no state is left")
    if lost := _without_model(writer.directory):
        raise Lost(f"after recovery nobody can tell that {lost} are not all that is left of a model")
    again = seen(history, root)
    if again[0] != newest or not again[2]:
        raise Lost(f"found {newest}, after recovery {again}")
    last = newest
    for last in range(newest + 1, newest + 2 + (history.keep or 1)):
        writer.save(last)
    found = listing(writer.directory)
    if found != writer.expected(last) or len(os.listdir(writer.directory)) != len(found):
        raise Lost(f"after the save {last} there are {sorted(os.listdir(writer.directory))}")


def _without_model(directory: Path) -> list[str]:
    names = os.listdir(directory) if directory.is_dir() else []
    return [name for name in names if name.endswith(SUFFIX) and name.removesuffix(SUFFIX) not in names]


class Judge:
    """Looks at every state that a power cut may leave, once.

    Args:
        history: of the directory.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.known: dict[State, tuple[int, dict[str, int], bool]] = {}
        self.cases = 0

    def cuts(self, disk: Disk, root: Path) -> None:
        """Raises Lost if one of the states, laid out below ``root``, is not what was promised."""
        for state, promises in disk.cuts.items():
            if state not in self.known:
                self.known[state] = self._laid_out(state, root)
            newest, found, plain = self.known[state]
            for promise in promises:
                self.cases += 1
                if newest < promise[0] or not promise[1] <= found.items() or promise[2] > plain:
                    raise Lost(f"promised {promise}, found {newest}, {found}, plain names: {plain}")

    def _laid_out(self, state: State, root: Path) -> tuple[int, dict[str, int], bool]:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for path, data in sorted(state, key=lambda entry: entry[0]):
            if data is None:
                (root / path).mkdir()
            else:
                (root / path).write_bytes(data)
        try:
            found = seen(self.history, root)
            goes_on(self.history, root, found[0])
        except AssertionError as error:
            raise Lost(f"{error} in {sorted(name for name, _ in state)}") from error
        return found


@dataclass
class Act:
    """One act on a watched disk."""

    disk: Disk
    writer: Writer
    failed: bool


def act(history: History, root: Path, patch: pytest.MonkeyPatch, fault: Fault | None, **options: Any) -> Act:
    """Prepare a directory and act on it."""
    root.mkdir()
    history.prepare(root)
    writer = history.writer(root)
    disk = Disk(patch, root, fault, **options)
    disk.promise(history.before, history.entitled(writer, history.before, done=history.act != "save"))
    try:
        number = history.do(writer)
    except (OSError, Died):
        return Act(disk, writer, True)
    disk.promise(number, history.entitled(writer, number, done=True), plain=True)
    return Act(disk, writer, False)
