"""Checkpoints in a directory: at every instant, and after every crash, one of them is whole.

Three kinds of fault are put at every single step: an error of the system, the death of the process,
and a power cut on a disk that may forget or reorder whatever was not synced.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from callback_state import _atomic, _pair, _statefile, _store
from callback_state._pair import SUFFIX, Pair, Rejected, open_pair, peek, scan
from callback_state._store import commit_state, delete, recover, write
from callback_state.exceptions import (
    CallbackStateError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    MismatchError,
    UnsupportedFormatError,
)

NAME = "m.keras"
STATE = NAME + SUFFIX
SEAM = ("make_directory", "write_bytes", "sync_file", "sync_directory", "digest", "rename",
        "remove", "remove_tree")  # fmt: skip

Content = dict[str, bytes]


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sees without a power cut whether a sync is real; the seam is watched instead."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture(autouse=True)
def one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault at the n-th step needs steps in an order; test_atomic.py tests the two at the same time."""

    def sync_and_digest(path: str, meanwhile: Callable[[str], None]) -> tuple[bytes, int]:
        meanwhile(path)
        _atomic.sync_file(path)
        return _atomic.digest(path)

    monkeypatch.setattr(_atomic, "sync_and_digest", sync_and_digest)


def commit(path: Any, write_model: Callable[[str], Any], make_state: Callable[[bytes, int], bytes]) -> None:
    """Both steps of a save."""
    with write(path, write_model, make_state) as written:
        _store.commit(written)


def model_of(number: int) -> bytes:
    return f"model {number} ".encode() * 3


def sealed(number: int, model: bytes | None = None) -> bytes:
    """The state file of save ``number``."""
    model = model_of(number) if model is None else model
    return _statefile.seal([number], hashlib.sha256(model).digest(), len(model))


def save(path: Any, number: int, model: bytes | None = None) -> None:
    """Commit the checkpoint ``number``, with a model file of its own unless told otherwise."""
    data = model_of(number) if model is None else model
    commit(
        path,
        lambda p: _write(p, data),
        lambda digest, size: _statefile.seal([number], digest, size),
    )


def _write(path: str, data: bytes) -> None:
    # Like Keras: past the seam, and not synced.
    Path(path).write_bytes(data)


def number_of(path: Any) -> int:
    """Which save a checkpoint is of; the state must be the one of the very bytes of the model."""
    pair = open_pair(path)
    data = Path(pair.model_path).read_bytes()
    assert pair.sealed.model_digest == hashlib.sha256(data).digest()
    assert pair.sealed.model_size == len(data)
    (number,) = pair.sealed.tree  # type: ignore[misc]
    assert isinstance(number, int)
    return number


def put(directory: Path, files: Content) -> None:
    for name, data in files.items():
        (directory / name).write_bytes(data)


def listing(directory: Path) -> Content:
    """All files of a directory and below."""
    found = (path for path in directory.rglob("*") if not path.is_dir())
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def staged_name(model: bytes, name: str = NAME) -> str:
    return f".{name}.state-{hashlib.sha256(model).hexdigest()[:32]}"


# Committing


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.h5", "of {epoch} \u00e9.keras"])
def test_a_commit_leaves_the_two_files_and_nothing_else(tmp_path: Path, name: str) -> None:
    """The model under its own name, the state beside it, no hidden leftover."""
    for number in (1, 2):
        save(tmp_path / name, number)
        assert listing(tmp_path) == {name: model_of(number), name + SUFFIX: sealed(number)}
        assert number_of(tmp_path / name) == number


def test_the_model_is_written_under_its_own_base_name(tmp_path: Path) -> None:
    """Keras chooses the format by the suffix, and writes where no reader looks."""
    seen: list[str] = []
    commit(
        tmp_path / NAME,
        lambda path: (seen.append(path), _write(path, b"x"))[0],
        lambda digest, size: (seen.append(f"{size}"), sealed(1, b"x"))[1],
    )
    (path, size) = seen
    assert os.path.basename(path) == NAME
    assert os.path.basename(os.path.dirname(path)).startswith(f".{NAME}.tmp-")
    assert os.path.dirname(os.path.dirname(path)) == str(tmp_path)
    assert size == "1"


@pytest.mark.parametrize("path", [NAME, f"a/b/{NAME}", f"./{NAME}", f"a/../{NAME}"])
def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Without a directory part, in directories that are made, and around corners."""
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    save(path, 1)
    assert number_of(path) == 1
    assert open_pair(path).model_path == path
    assert open_pair(path).state_path == path + SUFFIX
    assert recover(path)
    assert [type(found) for found in scan(os.path.dirname(path))] == [Pair]


def test_a_writer_that_changes_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path means what it meant when the commit began."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    commit(
        NAME,
        lambda path: (_write(path, model_of(1)), os.chdir("other"))[0],
        lambda digest, size: sealed(1),
    )
    assert listing(tmp_path) == {NAME: model_of(1), STATE: sealed(1)}


@pytest.mark.skipif(os.name == "nt", reason="on Windows links need a privilege")
def test_a_link_is_followed(tmp_path: Path) -> None:
    """The file behind the link is replaced, not the link; its state lies beside the file."""
    (tmp_path / "real").mkdir()
    link = tmp_path / "latest.keras"
    link.symlink_to(Path("real") / NAME)
    for number in (1, 2):
        save(link, number)
        assert link.is_symlink()
        assert listing(tmp_path / "real") == {NAME: model_of(number), STATE: sealed(number)}
        assert number_of(link) == number_of(tmp_path / "real" / NAME) == number
    assert recover(link)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_new_files_have_the_permissions_of_the_umask(tmp_path: Path) -> None:
    """As if Keras had written the model in place."""
    before = os.umask(0o026)
    try:
        save(tmp_path / NAME, 1)
        assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {0o640}
        commit_state(tmp_path / NAME, sealed(1))
        assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {0o640}
    finally:
        os.umask(before)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("at", ["model", "state", "nothing-written"])
def test_an_error_while_writing_leaves_all_as_it_was(tmp_path: Path, error: Any, at: str) -> None:
    """Whatever the two functions raise comes through; the previous checkpoint is untouched."""

    def write_model(path: str) -> None:
        if at != "nothing-written":
            _write(path, b"half a mod")
        if at == "model":
            raise error("mine")

    def make_state(digest: bytes, size: int) -> bytes:
        raise error("mine")

    save(tmp_path / NAME, 1)
    before = listing(tmp_path)
    expected = FileNotFoundError if at == "nothing-written" else error
    with pytest.raises(expected):
        commit(tmp_path / NAME, write_model, make_state)
    assert listing(tmp_path) == before
    assert sorted(os.listdir(tmp_path)) == [NAME, STATE]


def test_only_the_state_is_replaced(tmp_path: Path) -> None:
    """``commit_state`` leaves the model file alone, and leaves nothing else behind."""
    save(tmp_path / NAME, 1)
    before = (tmp_path / NAME).stat()
    commit_state(tmp_path / NAME, sealed(2, model_of(1)))
    assert number_of(tmp_path / NAME) == 2
    assert (tmp_path / NAME).stat().st_mtime_ns == before.st_mtime_ns
    assert sorted(os.listdir(tmp_path)) == [NAME, STATE]


def test_the_old_state_goes_only_with_the_new_one(tmp_path: Path) -> None:
    """A model of the same bytes saved again gets the newer state."""
    save(tmp_path / NAME, 1, b"same")
    save(tmp_path / NAME, 2, b"same")
    assert number_of(tmp_path / NAME) == 2
    assert sorted(os.listdir(tmp_path)) == [NAME, STATE]


# Faults


class Died(BaseException):
    """The process ended here: nothing that it would have done later is done."""


class Faults:
    """The seam, every call counted; one of them fails, and after a death all later ones.

    Args:
        at: 0-based number of the call that fails; None for none.
        dies: whether the process ends there, else the call raises OSError.
        after: whether the call did its work before.
    """

    def __init__(self, patch: pytest.MonkeyPatch, at: int | None, dies: bool, after: bool) -> None:
        self.at, self.dies, self.after = at, dies, after
        self.calls: list[str] = []
        self.dead = self.inside = False
        for name in SEAM:
            patch.setattr(_atomic, name, self.wrap(name, getattr(_atomic, name)))

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            if self.dead:
                raise Died(name)
            if self.inside:  # a function of the seam that uses another one is one step
                return function(*args)
            self.calls.append(name)
            if len(self.calls) - 1 != self.at:
                return self.do(function, *args)
            if self.after:
                self.do(function, *args)
            self.dead = self.dies
            raise Died(name) if self.dies else OSError(5, f"injected into {name}")

        return call

    def do(self, function: Callable[..., Any], *args: Any) -> Any:
        self.inside = True
        try:
            return function(*args)
        finally:
            self.inside = False


SCENARIOS = {
    "first": (),
    "overwrite": ((1, None),),
    "same-bytes": ((1, model_of(2)),),
    "same-bytes-staged": ((1, model_of(2)), "staged"),
}


def prepare(directory: Path, scenario: str) -> int | None:
    """Puts a directory into the state before the save number 2; which save is there already."""
    steps = SCENARIOS[scenario]
    if not steps:
        return None
    save(directory / NAME, *steps[0])
    if "staged" in steps:
        # As after a kill before the last rename: another S, and the state that counts is staged.
        (directory / STATE).rename(directory / staged_name(model_of(2)))
        put(directory, {STATE: sealed(0)})
    return 1


def outcome(path: Path) -> int | None:
    """Which save is there; None if none is, not even a file."""
    try:
        return number_of(path)
    except CheckpointNotFoundError:
        if path.exists():
            raise
        return None


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("after", [False, True], ids=["instead", "after"])
@pytest.mark.parametrize("dies", [False, True], ids=["error", "death"])
def test_a_fault_at_every_step_leaves_the_old_or_the_new_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenario: str, dies: bool, after: bool
) -> None:
    """And what recovery finds is what a reader found; one more save later nothing else is left."""
    seen = set()
    for at in itertools.count():
        directory = tmp_path / str(at)
        directory.mkdir()
        path = directory / NAME
        old = prepare(directory, scenario)
        with monkeypatch.context() as patch:
            faults = Faults(patch, at, dies, after)
            try:
                save(path, 2)
                failed = False
            except (OSError, Died):
                failed = True
        found = outcome(path)
        assert found in ((old, 2) if failed else (2,)), faults.calls
        assert recover(path) is (found is not None), faults.calls
        assert outcome(path) == found, faults.calls
        save(path, 3)
        assert listing(directory) == {NAME: model_of(3), STATE: sealed(3)}, faults.calls
        assert len(os.listdir(directory)) == 2, faults.calls
        seen.add(found)
        if len(faults.calls) <= at:
            break
    # The loop went through all steps, and on both sides of the commit point.
    assert at >= 11
    assert seen == {old, 2}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_error_before_the_commit_point_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenario: str
) -> None:
    """Up to the rename of the model the directory is what it was, the hidden files included."""
    for at in itertools.count():
        directory = tmp_path / str(at)
        directory.mkdir()
        prepare(directory, scenario)
        before = listing(directory)
        with monkeypatch.context() as patch:
            faults = Faults(patch, at, dies=False, after=False)
            with pytest.raises(OSError, match="injected"):
                save(directory / NAME, 2)
        if scenario == "same-bytes-staged" and at > 4:
            # The state that counts was staged under this very name: it is replaced, never removed.
            before[staged_name(model_of(2))] = sealed(2)
        assert listing(directory) == before
        assert not [name for name in os.listdir(directory) if ".tmp-" in name]
        if faults.calls.count("rename") == 2:
            break
    assert at == 6


@pytest.mark.parametrize("after", [False, True], ids=["instead", "after"])
@pytest.mark.parametrize("dies", [False, True], ids=["error", "death"])
def test_a_fault_while_only_the_state_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: bool, after: bool
) -> None:
    """The old or the new state is there, whole, and the next recovery leaves nothing else."""
    for at in itertools.count():
        directory = tmp_path / str(at)
        directory.mkdir()
        save(directory / NAME, 1)
        with monkeypatch.context() as patch:
            faults = Faults(patch, at, dies, after)
            try:
                commit_state(directory / NAME, sealed(2, model_of(1)))
                allowed = {2}
            except (OSError, Died):
                allowed = {1, 2}
        assert number_of(directory / NAME) in allowed, faults.calls
        assert recover(directory / NAME)
        assert sorted(os.listdir(directory)) == [NAME, STATE]
        if len(faults.calls) <= at:
            break
    assert at == 5


@pytest.mark.parametrize("after", [False, True], ids=["instead", "after"])
def test_a_death_during_recovery_is_recovered_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """Recovery is a write like any other, and may be killed at every step."""
    for at in itertools.count():
        directory = tmp_path / str(at)
        directory.mkdir()
        stage = directory / f".{NAME}.tmp-{_atomic._host()}-{os.getpid()}-0123abcd"
        stage.mkdir()
        put(
            directory,
            {
                NAME: model_of(2),
                STATE: sealed(1),
                staged_name(model_of(2)): sealed(2),
                staged_name(b"gone"): sealed(3),
            },
        )
        with monkeypatch.context() as patch:
            faults = Faults(patch, at, dies=True, after=after)
            try:
                recover(directory / NAME)
            except Died:
                assert faults.calls
        assert number_of(directory / NAME) == 2
        assert recover(directory / NAME)
        assert listing(directory) == {NAME: model_of(2), STATE: sealed(2)}
        assert len(os.listdir(directory)) == 2
        if len(faults.calls) <= at:
            break
    assert at == 6


def test_a_process_that_really_ends(tmp_path: Path) -> None:
    """A writer killed in the middle of the model: the next one removes what it left."""
    save(tmp_path / NAME, 1)
    code = (
        "import os, sys\n"
        "from callback_state import _store\n"
        "def write_model(path):\n"
        "    open(path, 'wb').write(b'half')\n"
        "    os._exit(9)\n"
        "_store.write(sys.argv[1], write_model, None).__enter__()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / NAME)],
        env={**os.environ, "PYTHONPATH": str(Path(_store.__file__).parents[1])},
        timeout=60,
    )
    assert done.returncode == 9
    assert len(os.listdir(tmp_path)) == 3
    assert number_of(tmp_path / NAME) == 1
    assert recover(tmp_path / NAME)
    if os.name != "nt":  # there nobody can ask whether it lives
        assert sorted(os.listdir(tmp_path)) == [NAME, STATE]


# Power cuts


class Disk:
    """A directory on a disk that forgets or reorders what was not synced, over some commits.

    It watches the seam, and notes each change of a name in the directory, each sync, and each
    promise: "from now on the checkpoint is at least number n".

    Args:
        skip: ``(function, n)``: this sync, 0-based, is left out, to see whether anybody notices.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, directory: Path, skip: tuple[str, int] | None = None
    ) -> None:
        self.directory, self.skip = directory, skip
        self.log: list[tuple[str, Any]] = []
        self.durable: set[str] = set()
        self.counts = dict.fromkeys(SEAM, 0)
        for name in ("write_bytes", "sync_file", "sync_directory", "rename", "remove"):
            patch.setattr(_atomic, name, self.watch(name, getattr(_atomic, name)))

    def watch(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> None:
            path = os.path.abspath(args[0])
            function(*args)
            if name == "sync_file" and os.path.isdir(path):
                return  # it is how a directory is synced
            self.counts[name] += 1
            if self.skip != (name, self.counts[name] - 1):
                getattr(self, f"on_{name}")(path, *args[1:])

        return call

    def promise(self, number: int) -> None:
        self.log.append(("promise", number))

    def on_write_bytes(self, path: str, data: bytes) -> None:
        self.durable.add(path)

    def on_sync_file(self, path: str) -> None:
        self.durable.add(path)

    def on_sync_directory(self, path: str) -> None:
        self.log.append(("sync", None))

    def on_remove(self, path: str) -> None:
        self.log.append(("change", {os.path.basename(path): None}))

    def on_rename(self, path: str, target: str) -> None:
        data = Path(target).read_bytes()
        data = data if path in self.durable else data[: len(data) // 2]
        self.durable.add(os.path.abspath(target))
        changes: dict[str, bytes | None] = {os.path.basename(target): data}
        if os.path.dirname(path) == str(self.directory):
            changes[os.path.basename(path)] = None
        self.log.append(("change", changes))

    def crashes(self) -> Iterator[tuple[Content, int]]:
        """Each content that the directory can have after a power cut, and what was promised."""
        durable: Content = {}
        pending: list[dict[str, bytes | None]] = []
        promised = 0
        for kind, value in [*self.log, ("end", None)]:
            for kept in itertools.product([False, True], repeat=len(pending)):
                yield applied(durable, itertools.compress(pending, kept)), promised
            if kind == "change":
                pending.append(value)
            elif kind == "sync":
                durable, pending = applied(durable, pending), []
            elif kind == "promise":
                promised = value


def applied(content: Content, changes: Any) -> Content:
    content = dict(content)
    for change in changes:
        content.update(change)
    return {name: data for name, data in content.items() if data is not None}


def worst(disk: Disk, directory: Path) -> set[str]:
    """What is wrong in any state after a power cut: nothing, if all is well."""
    directory.mkdir(exist_ok=True)
    wrong, seen = set(), {}
    for content, promised in disk.crashes():
        key = frozenset(content.items())
        if key not in seen:
            seen[key] = after_cut(directory, content)
        if isinstance(seen[key], str):
            wrong.add(f"{seen[key]} after {promised}")
        elif seen[key] < promised:
            wrong.add(f"found {seen[key]} after {promised}")
    assert len(seen) > 5
    return wrong


def after_cut(directory: Path, content: Content) -> Any:
    """Which save a reader finds, 0 for none, or the name of the error that it meets."""
    for old in os.listdir(directory):
        os.unlink(directory / old)
    put(directory, content)
    try:
        return outcome(directory / NAME) or 0
    except CallbackStateError as error:
        return type(error).__name__


@pytest.fixture
def committed(tmp_path: Path) -> Callable[..., Disk]:
    """Three commits to one name, watched by a Disk."""

    def run(skip: tuple[str, int] | None = None) -> Disk:
        directory = tmp_path / "real"
        directory.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, directory, skip)
            for number in (1, 2, 3):
                save(directory / NAME, number)
                disk.promise(number)
        return disk

    return run


def test_no_power_cut_loses_a_checkpoint(
    tmp_path: Path, committed: Callable[..., Disk]
) -> None:
    """What was committed stays, and no model is ever beside the state of another."""
    assert worst(committed(), tmp_path / "cut") == set()


@pytest.mark.parametrize(
    "skip",
    [
        pytest.param(("sync_file", 1), id="of-the-model"),
        pytest.param(("write_bytes", 1), id="of-the-state"),
        pytest.param(("sync_directory", 3), id="before-the-model-moves"),
        pytest.param(("sync_directory", 4), id="before-the-old-state-goes"),
    ],
)
def test_the_simulated_disk_notices_a_sync_that_is_missing(
    tmp_path: Path, committed: Callable[..., Disk], skip: tuple[str, int]
) -> None:
    """Each of them is needed. (The last one only ends the use of the staged name early.)"""
    assert worst(committed(skip), tmp_path / "cut") != set()


def test_the_simulated_disk_notices_that_nothing_is_staged(
    tmp_path: Path, committed: Callable[..., Disk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state that replaces the old one before its model moves is beside the wrong model."""
    for module in (_pair, _store):
        monkeypatch.setattr(module, "staged_path", lambda model, digest: model + SUFFIX)
    assert "MismatchError after 1" in worst(committed(), tmp_path / "cut")


def killed_then_cut(tmp_path: Path, at: int, skip: tuple[str, int] | None) -> tuple[set[str], int]:
    """A writer killed at its call ``at``, another that recovers and saves, all with power cuts."""
    directory = tmp_path / "real"
    directory.mkdir(parents=True)
    path = directory / NAME
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, directory)
        save(path, 1)
        disk.promise(1)
        with pytest.MonkeyPatch.context() as second:
            faults = Faults(second, at, dies=True, after=True)
            try:
                save(path, 2)
            except Died:
                assert faults.calls
        if skip:
            disk.skip = (skip[0], disk.counts[skip[0]] + skip[1])
        assert recover(path)
        disk.promise(number_of(path))
        save(path, 3)
        disk.promise(3)
        return worst(disk, tmp_path / "cut"), len(faults.calls)


def all_killed_then_cut(tmp_path: Path, skip: tuple[str, int] | None = None) -> set[str]:
    wrong: set[str] = set()
    for at in itertools.count():
        found, calls = killed_then_cut(tmp_path / str(at), at, skip)
        wrong |= found
        if calls <= at:
            assert at >= 11
            return wrong
    raise AssertionError


def test_no_power_cut_after_a_kill_loses_a_checkpoint(tmp_path: Path) -> None:
    """Killed at every step, recovered, saved again, and the power cut at every instant of that."""
    assert all_killed_then_cut(tmp_path) == set()


def test_the_simulated_disk_notices_that_recovery_does_not_sync_first(tmp_path: Path) -> None:
    """The model that the dead writer renamed may not be there after a power cut."""
    wrong = all_killed_then_cut(tmp_path, ("sync_directory", 0))
    assert "MismatchError after 1" in wrong


# Several writers, and readers meanwhile


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, Callable[[], Any]], None]:
    """Lets something else happen just after the n-th call (1-based) of a function of the seam."""

    def install(name: str, n: int, action: Callable[[], Any]) -> None:
        function, calls = getattr(_atomic, name), itertools.count(1)

        def call(*args: Any) -> Any:
            result = function(*args)
            if next(calls) == n:
                action()
            return result

        monkeypatch.setattr(_atomic, name, call)

    return install


@pytest.mark.parametrize("moment", range(1, 4), ids=["staged", "model-moved", "finished"])
def test_another_writer_may_win(tmp_path: Path, between: Any, moment: int) -> None:
    """Whoever moved his model last has won, and his state is found."""
    between("rename", moment, lambda: save(tmp_path / NAME, 2))
    save(tmp_path / NAME, 1)
    assert number_of(tmp_path / NAME) == (1 if moment == 1 else 2)
    assert recover(tmp_path / NAME)
    assert sorted(os.listdir(tmp_path)) == [NAME, STATE]
    assert number_of(tmp_path / NAME) == (1 if moment == 1 else 2)


@pytest.mark.parametrize("moment", range(1, 4), ids=["staged", "model-moved", "finished"])
def test_another_writer_may_recover_meanwhile(
    tmp_path: Path, between: Any, moment: int
) -> None:
    """It may take the last step for the first one, and does not sweep what that one needs."""
    save(tmp_path / NAME, 1)
    found: list[bool] = []
    between("rename", moment, lambda: found.append(recover(tmp_path / NAME)))
    save(tmp_path / NAME, 2)
    assert found == [True]
    assert number_of(tmp_path / NAME) == 2
    assert sorted(os.listdir(tmp_path)) == [NAME, STATE]


def test_a_mount_that_renumbers_renamed_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the digest says that the model is still the one that was written."""
    numbers = itertools.count()
    monkeypatch.setattr(_atomic, "identity", lambda path: (next(numbers), 0, 0, 0))
    save(tmp_path / NAME, 1)
    assert sorted(os.listdir(tmp_path)) == [NAME, STATE]


def test_a_reader_between_two_steps_looks_again(tmp_path: Path, between: Any) -> None:
    """The model was replaced just after the reader took its digest: it finds the new pair."""
    save(tmp_path / NAME, 1)
    between("digest", 1, lambda: save(tmp_path / NAME, 2))
    assert number_of(tmp_path / NAME) == 2


def test_a_reader_may_miss_the_staged_state(tmp_path: Path, between: Any) -> None:
    """It was renamed between the reader's look at S and its look at the staged name."""
    put(tmp_path, {NAME: model_of(2), STATE: sealed(1), staged_name(model_of(2)): sealed(2)})
    between("read_bytes", 1, lambda: recover(tmp_path / NAME))
    assert number_of(tmp_path / NAME) == 2
    assert sorted(os.listdir(tmp_path)) == [NAME, STATE]


def test_a_reader_gives_up_when_it_changes_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks LOOKS times; and only once if nothing changed."""
    put(tmp_path, {NAME: model_of(2), STATE: sealed(1)})
    digest, looks = _atomic.digest, []
    changing = True

    def spy(path: str) -> Any:
        looks.append(path)
        if changing:
            (tmp_path / NAME).write_bytes(b"another " * len(looks))
        return digest(path)

    monkeypatch.setattr(_atomic, "digest", spy)
    with pytest.raises(MismatchError):
        open_pair(tmp_path / NAME)
    assert len(looks) == _pair.LOOKS
    changing = False
    looks.clear()
    with pytest.raises(MismatchError):
        open_pair(tmp_path / NAME)
    assert len(looks) == 1


# Opening


@pytest.mark.parametrize("given", [NAME, STATE], ids=["model", "state"])
@pytest.mark.parametrize("staged", [False, True], ids=["plain", "staged"])
def test_a_pair_is_opened_by_either_path(tmp_path: Path, given: str, staged: bool) -> None:
    """Its paths are the conventional ones, wherever the state lies."""
    put(tmp_path, {NAME: model_of(1), staged_name(model_of(1)) if staged else STATE: sealed(1)})
    expected = _statefile.unseal(sealed(1), "")
    assert open_pair(tmp_path / given) == Pair(
        str(tmp_path / NAME), str(tmp_path / STATE), expected
    )


def newer() -> bytes:
    """A state file of the next format."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_statefile, "FORMAT", _statefile.FORMAT + 1)
        return sealed(1)


BROKEN = {
    "nothing": ({}, CheckpointNotFoundError, NAME, "expected a model file, found nothing"),
    "no-state": (
        {NAME: model_of(1)},
        CheckpointNotFoundError,
        NAME,
        f"expected its state file {STATE} beside it, found none; put it back",
    ),
    "no-model": (
        {STATE: sealed(1)},
        CheckpointNotFoundError,
        NAME,
        f"expected the model file of {STATE}, found none; put it back",
    ),
    "other-model": (
        {NAME: model_of(1), STATE: sealed(2)},
        MismatchError,
        NAME,
        f"its state file {STATE} was written for the model file with SHA-256 "
        f"{hashlib.sha256(model_of(2)).hexdigest()[:12]}..., "
        f"found {hashlib.sha256(model_of(1)).hexdigest()[:12]}...",
    ),
    "empty-state": ({NAME: model_of(1), STATE: b""}, CorruptCheckpointError, STATE, "is empty"),
    "cut-state": (
        {NAME: model_of(1), STATE: sealed(1)[:-1]},
        CorruptCheckpointError,
        STATE,
        "cut short",
    ),
    "cut-staged-state": (
        {NAME: model_of(1), STATE: sealed(2), staged_name(model_of(1)): b"x"},
        CorruptCheckpointError,
        staged_name(model_of(1)),
        "1 bytes are too few",
    ),
    "lying-staged-state": (
        {NAME: model_of(1), staged_name(model_of(1)): sealed(2)},
        MismatchError,
        NAME,
        "was written for the model file with SHA-256",
    ),
    "newer-state": (
        {NAME: model_of(1), STATE: newer()},
        UnsupportedFormatError,
        STATE,
        "install a newer callback_state",
    ),
}


@pytest.mark.parametrize(("files", "error", "name", "words"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("given", [NAME, STATE], ids=["model", "state"])
def test_what_is_no_checkpoint_is_named(
    tmp_path: Path, files: Content, error: type[Exception], name: str, words: str, given: str
) -> None:
    """The error says which file is wrong or missing, and what to do."""
    put(tmp_path, files)
    with pytest.raises(error) as caught:
        open_pair(tmp_path / given)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert words in str(caught.value)
    assert type(caught.value) is error


def test_a_damaged_state_file_does_not_hide_a_staged_one(tmp_path: Path) -> None:
    """The state that verifies and holds the digest is the one that counts."""
    put(tmp_path, {NAME: model_of(1), STATE: b"junk", staged_name(model_of(1)): sealed(1)})
    assert number_of(tmp_path / NAME) == 1


def test_a_directory_is_no_model_file(tmp_path: Path) -> None:
    """The error says what it is."""
    with pytest.raises(CheckpointNotFoundError, match="expected a model file, found a directory"):
        open_pair(tmp_path)


# Scanning


def test_a_scan_finds_every_checkpoint_and_every_half(tmp_path: Path) -> None:
    """Sorted by name, each a Pair or Rejected with its error; nothing else there counts."""
    for number, name in enumerate(["b.keras", "a.weights.h5", "c.h5"]):
        save(tmp_path / name, number)
    put(tmp_path, {"d.keras": model_of(1), staged_name(model_of(1), "d.keras"): sealed(1)})
    put(tmp_path, {"e.keras": model_of(1), "e.keras" + SUFFIX: sealed(2)})
    put(tmp_path, {"f.keras": model_of(1), "g.h5" + SUFFIX: sealed(1)})
    put(tmp_path, {"log.csv": b"", "x.pkl": b"", SUFFIX: b"", ".h.keras": b"", "i" + SUFFIX: b""})
    save(tmp_path / "below" / "j.keras", 1)
    (tmp_path / "k.keras").mkdir()
    found = [
        (os.path.basename(item.model_path), int)
        if isinstance(item, Pair)
        else (os.path.basename(item.path), type(item.error))
        for item in scan(tmp_path)
    ]
    assert found == [
        ("a.weights.h5", int),
        ("b.keras", int),
        ("c.h5", int),
        ("d.keras", int),
        ("e.keras", MismatchError),
        ("f.keras", CheckpointNotFoundError),
        ("g.h5" + SUFFIX, CheckpointNotFoundError),
    ]
    assert scan(tmp_path)[1] == open_pair(tmp_path / "b.keras")


def test_a_file_that_cannot_be_read_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is rejected with what the system said."""
    for name in ("a.keras", "b.keras"):
        save(tmp_path / name, 1)
    digest = _atomic.digest

    def failing(path: str) -> Any:
        if path.endswith("a.keras"):
            raise PermissionError(13, "Permission denied", path)
        return digest(path)

    monkeypatch.setattr(_atomic, "digest", failing)
    rejected, pair = scan(tmp_path)
    assert isinstance(rejected, Rejected)
    assert isinstance(rejected.error, CorruptCheckpointError)
    assert "cannot be read: [Errno 13] Permission denied" in str(rejected.error)
    assert isinstance(pair, Pair)


def test_a_scan_changes_nothing(tmp_path: Path) -> None:
    """Readers leave recovery to the next writer."""
    put(tmp_path, {NAME: model_of(1), STATE: sealed(2), staged_name(model_of(1)): sealed(1)})
    before = listing(tmp_path)
    assert [type(found) for found in scan(tmp_path)] == [Pair]
    assert listing(tmp_path) == before


def test_a_peek_reads_states_and_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each model file with every state that may be its own; a damaged one says nothing."""
    put(tmp_path, {NAME: model_of(2), STATE: sealed(1), staged_name(model_of(2)): sealed(2)})
    put(tmp_path, {"n.keras": model_of(1), "o.keras" + SUFFIX: sealed(3), "p.h5" + SUFFIX: b""})
    monkeypatch.setattr(_atomic, "digest", lambda path: pytest.fail("a model file was read"))
    found = [(os.path.basename(path), [s.tree for s in states]) for path, states in peek(tmp_path)]
    assert found == [(NAME, [[1], [2]]), ("o.keras", [[3]]), ("p.h5", [])]


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_scan_needs_a_directory(tmp_path: Path, name: str) -> None:
    """A missing directory is not an empty one."""
    put(tmp_path, {"file": b""})
    with pytest.raises(CheckpointNotFoundError, match="expected a directory of checkpoints"):
        scan(tmp_path / name)
    assert scan(tmp_path) == []


# Recovery


def stage(directory: Path, *, host: str | None = None, pid: int, name: str = NAME) -> str:
    """A staging directory as a writer would have left it."""
    made = f".{name}.tmp-{host or _atomic._host()}-{pid}-0123abcd"
    (directory / made).mkdir()
    put(directory / made, {name: b"half a mod"})
    return made


@pytest.fixture(scope="module")
def dead_pid() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(timeout=60)
    return process.pid


@pytest.mark.skipif(os.name == "nt", reason="on Windows nobody can ask whether a process lives")
def test_recovery_finishes_and_sweeps(tmp_path: Path, dead_pid: int) -> None:
    """The staged state gets its name, and what dead writers left goes."""
    put(
        tmp_path,
        {
            NAME: model_of(2),
            STATE: sealed(1),
            staged_name(model_of(2)): sealed(2),
            staged_name(model_of(3)): sealed(3),
        },
    )
    stage(tmp_path, pid=dead_pid)
    assert recover(tmp_path / NAME)
    assert listing(tmp_path) == {NAME: model_of(2), STATE: sealed(2)}
    assert sorted(os.listdir(tmp_path)) == [NAME, STATE]


def test_recovery_after_a_first_save_that_died(tmp_path: Path) -> None:
    """There is no model yet, so nobody needs what was staged for one."""
    put(tmp_path, {staged_name(model_of(1)): sealed(1)})
    stage(tmp_path, pid=os.getpid())
    assert not recover(tmp_path / NAME)
    assert os.listdir(tmp_path) == []


def test_recovery_touches_nothing_when_nothing_matches(tmp_path: Path) -> None:
    """A model without its state: what lies around may be all that is left to find it by."""
    put(tmp_path, {NAME: model_of(1), STATE: sealed(2), staged_name(model_of(3)): sealed(3)})
    stage(tmp_path, pid=os.getpid())
    before = listing(tmp_path)
    assert not recover(tmp_path / NAME)
    assert listing(tmp_path) == before


def test_recovery_is_for_one_base_name(tmp_path: Path) -> None:
    """Whatever other names look like, their files stay."""
    save(tmp_path / NAME, 1)
    for other in ("n.keras", NAME + ".keras", "x" + NAME, "." + NAME, "mxkeras"):
        stage(tmp_path, pid=os.getpid(), name=other)
        put(tmp_path, {staged_name(b"x", other): sealed(2)})
    put(tmp_path, {f".{NAME}.state-notes": b"", f".{NAME}": b"", f".{NAME}.state-" + "g" * 32: b""})
    before = listing(tmp_path)
    assert recover(tmp_path / NAME)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("where", ["alive", "elsewhere"])
def test_recovery_leaves_a_writer_alone(tmp_path: Path, dead_pid: int, where: str) -> None:
    """While a process lives, or may live on another host, its files stay, the staged states too."""
    save(tmp_path / NAME, 1)
    put(tmp_path, {staged_name(model_of(2)): sealed(2)})
    if where == "alive":
        stage(tmp_path, pid=os.getppid())
    else:
        stage(tmp_path, pid=dead_pid, host="elsewhere")
    before = listing(tmp_path)
    assert recover(tmp_path / NAME)
    assert listing(tmp_path) == before


def test_recovery_sweeps_nothing_when_the_model_changed_meanwhile(
    tmp_path: Path, between: Any
) -> None:
    """The staged state may be that of the new model."""
    save(tmp_path / NAME, 1)
    put(tmp_path, {staged_name(model_of(2)): sealed(2)})
    between("digest", 1, lambda: put(tmp_path, {NAME: model_of(2)}))
    assert recover(tmp_path / NAME)
    assert number_of(tmp_path / NAME) == 2


def test_recovery_where_nothing_is(tmp_path: Path) -> None:
    """A first run has no directory yet; none is made."""
    assert not recover(tmp_path / "missing" / NAME)
    assert not recover(tmp_path / NAME)
    assert os.listdir(tmp_path) == []


# Deleting


def test_a_checkpoint_is_deleted_model_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in between, it leaves a state that nobody takes for a checkpoint."""
    save(tmp_path / NAME, 1)
    put(tmp_path, {staged_name(model_of(1)): sealed(1)})
    save(tmp_path / "n.keras", 2)
    with monkeypatch.context() as patch:
        Faults(patch, 1, dies=True, after=True)
        with pytest.raises(Died):
            delete(tmp_path / NAME)
    assert not (tmp_path / NAME).exists()
    assert (tmp_path / STATE).exists()
    for _ in range(2):
        delete(tmp_path / NAME)
        assert listing(tmp_path) == {"n.keras": model_of(2), "n.keras" + SUFFIX: sealed(2)}
    delete(tmp_path / "missing" / NAME)
