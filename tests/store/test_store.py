"""Writing checkpoints: what is there after a commit, and beside other writers.

What faults and power cuts leave is in test_crashes.py.
"""

from __future__ import annotations

import itertools
import os
import random
import stat
from pathlib import Path
from typing import Any

import pytest
from calls import between
from saves import NAME, STATE, Writer, commit, listing, model_of, number_of, save, sealed, staged_name, write_model

from callback_state._store import commit as _store
from callback_state._store import disk
from callback_state._store.commit import commit_state
from callback_state._store.pair import SUFFIX, open_pair, states
from callback_state._store.recover import recover

pytestmark = pytest.mark.usefixtures("quick_disk")


# Committing


def test_the_model_is_written_under_its_own_base_name(tmp_path: Path) -> None:
    """Keras chooses the format by the suffix, and writes where no reader looks."""
    seen: list[str] = []
    commit(
        tmp_path / NAME,
        lambda path: (seen.append(path), write_model(path, b"x"))[0],
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
    assert [os.path.realpath(model) for model, _ in states(os.path.dirname(path))] == [os.path.realpath(path)]


def test_a_writer_that_changes_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means what it meant when the commit began."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    commit(
        NAME, lambda path: (write_model(path, model_of(1)), os.chdir("other"))[0], lambda digest, size: sealed(1)
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

    def write_half(path: str) -> None:
        if at != "nothing-written":
            write_model(path, b"half a mod")
        if at == "model":
            raise error("mine")

    def make_state(digest: bytes, size: int) -> bytes:
        raise error("mine")

    save(tmp_path / NAME, 1)
    before = listing(tmp_path)
    expected = FileNotFoundError if at == "nothing-written" else error
    with pytest.raises(expected):
        commit(tmp_path / NAME, write_half, make_state)
    assert listing(tmp_path) == before
    assert sorted(os.listdir(tmp_path)) == [NAME, STATE]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit of the size of files")
@pytest.mark.parametrize("size", [0, 1, 50, 100, 4096, 65_536, 99_999])
def test_files_that_may_not_grow(tmp_path: Path, size: int) -> None:
    """A real limit, at nothing, in the state, in the model: nothing is lost, and the next save succeeds."""
    import resource

    writer = Writer(tmp_path, NAME, model=lambda number: random.Random(number).randbytes(100_000))
    writer.save(1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            writer.save(2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert listing(tmp_path) == writer.expected(1) and sorted(os.listdir(tmp_path)) == [NAME, STATE]
    writer.save(3)
    assert listing(tmp_path) == writer.expected(3) and sorted(os.listdir(tmp_path)) == [NAME, STATE]


def test_only_the_state_is_replaced(tmp_path: Path) -> None:
    """``commit_state`` leaves the model file alone, and leaves nothing else behind."""
    save(tmp_path / NAME, 1)
    before = (tmp_path / NAME).stat()
    commit_state(tmp_path / NAME, sealed(2, model_of(1)))
    assert number_of(tmp_path / NAME) == 2
    assert (tmp_path / NAME).stat().st_mtime_ns == before.st_mtime_ns
    assert sorted(os.listdir(tmp_path)) == [NAME, STATE]


# After a save that failed


def fail(path: Path) -> None:
    """A save that fails just after its commit point, and leaves a staged state."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match="mine"):
        between(patch, "rename", 2, lambda: _raise(OSError("mine")))
        save(path, 1)
    assert [name for name in os.listdir(path.parent) if ".state-" in name] == [staged_name(model_of(1), path.name)]


def _raise(error: Exception) -> None:
    raise error


def test_what_a_failed_save_left_is_swept_before_the_next_one(tmp_path: Path) -> None:
    """Also if the next one has another name; in another directory nothing is done."""
    for directory in ("a", "b"):
        (tmp_path / directory).mkdir()
        fail(tmp_path / directory / "1.keras")
    for number in (2, 3):
        save(tmp_path / "a" / "2.keras", number)
        assert listing(tmp_path / "a") == {
            "1.keras": model_of(1),
            "1.keras" + SUFFIX: sealed(1),
            "2.keras": model_of(number),
            "2.keras" + SUFFIX: sealed(number),
        }
    assert set(os.listdir(tmp_path / "b")) == {"1.keras", staged_name(model_of(1), "1.keras")}
    assert {os.path.realpath(tmp_path / "b" / "1.keras")} == {
        path for path in _store._FAILED if path.startswith(os.path.realpath(tmp_path))
    }


def test_a_sweep_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not keep the next save from its place."""
    fail(tmp_path / "1.keras")
    with monkeypatch.context() as patch:
        patch.setattr(_store, "recover", lambda path: _raise(OSError("cannot be read")))
        save(tmp_path / NAME, 2)
    assert number_of(tmp_path / NAME) == 2
    assert len(os.listdir(tmp_path)) == 4
    save(tmp_path / NAME, 3)
    assert sorted(os.listdir(tmp_path)) == ["1.keras", "1.keras" + SUFFIX, NAME, STATE]


# Several writers


@pytest.mark.parametrize("moment", range(1, 4), ids=["staged", "model-moved", "finished"])
def test_another_writer_may_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """Whoever moved his model last has won, and his state is found."""
    between(monkeypatch, "rename", moment, lambda: save(tmp_path / NAME, 2))
    save(tmp_path / NAME, 1)
    assert number_of(tmp_path / NAME) == (1 if moment == 1 else 2)
    assert recover(tmp_path / NAME)
    assert sorted(os.listdir(tmp_path)) == [NAME, STATE]
    assert number_of(tmp_path / NAME) == (1 if moment == 1 else 2)


@pytest.mark.parametrize("moment", range(1, 4), ids=["staged", "model-moved", "finished"])
def test_another_writer_may_recover_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """It may take the last step for the first one, and does not sweep what that one needs."""
    save(tmp_path / NAME, 1)
    found: list[bool] = []
    between(monkeypatch, "rename", moment, lambda: found.append(recover(tmp_path / NAME)))
    save(tmp_path / NAME, 2)
    assert found == [True]
    assert number_of(tmp_path / NAME) == 2
    assert sorted(os.listdir(tmp_path)) == [NAME, STATE]


def test_a_mount_that_renumbers_renamed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the digest says that the model is still the one that was written."""
    numbers = itertools.count()
    monkeypatch.setattr(disk, "identity", lambda path: (next(numbers), 0, 0, 0))
    save(tmp_path / NAME, 1)
    assert sorted(os.listdir(tmp_path)) == [NAME, STATE]


@pytest.mark.skipif(os.name == "nt", reason="on Windows links need a privilege")
@pytest.mark.parametrize("target", ["elsewhere/precious.keras", "precious.keras", "nowhere.keras"])
def test_a_link_that_the_caller_did_not_mean_is_not_written_through(tmp_path: Path, target: str) -> None:
    """The save fails before anything is written, and the deletion removes the link alone."""
    directory = tmp_path / "ckpt"
    for path in (tmp_path / "elsewhere" / "precious.keras", directory / "precious.keras"):
        save(path, 1)
    (directory / "elsewhere").symlink_to(tmp_path / "elsewhere")
    link = directory / NAME
    link.symlink_to(target)

    def files() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and not p.is_symlink()}

    before = files()
    with (
        pytest.raises(OSError, match=f"found a link to {target}.*remove the link"),
        _store.write(link, lambda path: 1 / 0, lambda digest, size: b"", link=False),
    ):
        pass
    assert files() == before and link.is_symlink()
    _store.delete(link)
    assert files() == before and not link.is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="on Windows links need a privilege")
@pytest.mark.parametrize("link", [False, True])
def test_a_link_in_the_place_of_a_state_is_refused(tmp_path: Path, link: bool) -> None:
    """Also where the caller means the link of the model: nobody gives the path of a state."""
    (tmp_path / f"{NAME}{SUFFIX}").symlink_to("somewhere")
    with (
        pytest.raises(OSError, match=r"found a link to somewhere.*remove the link"),
        _store.write(tmp_path / NAME, lambda path: 1 / 0, lambda digest, size: b"", link=link),
    ):
        pytest.fail("the block is not entered")
    assert os.listdir(tmp_path) == [f"{NAME}{SUFFIX}"]
