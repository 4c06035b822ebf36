"""What a writer that holds a directory makes of what dead ones left in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from saves import DEAD, model_of, number_of, put, save, sealed, stage, staged_name

from callback_state._store.lock import NAME, hold
from callback_state._store.pair import SUFFIX
from callback_state._store.recover import UNTOUCHED, recover_all


def content(directory: Path) -> dict[str, bytes]:
    """All files, those in hidden directories too, but the lock's."""
    files = (path for path in directory.rglob("*") if path.is_file() and path.name != NAME)
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    """A directory that this process holds."""
    lock = hold(tmp_path)
    yield tmp_path
    lock.release()


@pytest.mark.skipif(os.name == "nt", reason="on Windows nobody can ask whether a process lives")
def test_every_name_is_recovered(held: Path) -> None:
    """Each by itself: one is completed, one undone, one was never there, one needs nothing."""
    save(held / "a.keras", 1)
    put(held, {"a.keras": model_of(2), staged_name(model_of(2), "a.keras"): sealed(2)})
    save(held / "b.weights.h5", 1)
    put(held, {staged_name(model_of(2), "b.weights.h5"): sealed(2)})
    stage(held / "b.weights.h5")
    put(held, {staged_name(model_of(3), "c.h5"): sealed(3)})
    stage(held / "c.h5", pid=os.getpid())
    save(held / "d.tmp-x.keras", 4)
    stage(held / "d.tmp-x.keras")
    save(held / "e.keras", 5)
    assert recover_all(held) == []
    expected = {"a.keras": 2, "b.weights.h5": 1, "d.tmp-x.keras": 4, "e.keras": 5}
    assert {name: number_of(held / name) for name in expected} == expected
    assert len(content(held)) == 8
    assert sorted(os.listdir(held)) == sorted([NAME, *expected, *(name + SUFFIX for name in expected)])


@pytest.mark.parametrize("whose", ["another host", "another container", "a process number in use again"])
@pytest.mark.parametrize("age", [UNTOUCHED + 60, UNTOUCHED - 60, -60], ids=["old", "recent", "later"])
def test_unknown_writers(held: Path, whose: str, age: float) -> None:
    """What nobody touched for long before the lock was taken goes, and with it what was staged; else nothing."""
    save(held / "m.keras", 1)
    put(held, {staged_name(model_of(2), "m.keras"): sealed(2)})
    host = {"another host": "elsewhere", "another container": "0a1b2c3d4e5f"}.get(whose)
    stage(held / "m.keras", pid=os.getppid() if host is None else DEAD, host=host, age=age)
    before = content(held)
    assert recover_all(held) == []
    if age > UNTOUCHED:
        assert content(held) == {"m.keras": model_of(1), "m.keras" + SUFFIX: sealed(1)}
    else:
        assert content(held) == before
    assert number_of(held / "m.keras") == 1


def test_one_writer_at_work_keeps_what_is_staged(held: Path) -> None:
    """The staged state may be his; an old staging directory goes all the same."""
    save(held / "m.keras", 1)
    put(held, {staged_name(model_of(2), "m.keras"): sealed(2)})
    at_work = stage(held / "m.keras", host="elsewhere")
    old = stage(held / "m.keras", pid=DEAD - 1, host="elsewhere", age=2 * UNTOUCHED)
    recover_all(held)
    assert at_work.exists() and not old.exists()
    assert len(content(held)) == 4


def test_a_file_in_an_old_directory_that_is_being_written(held: Path) -> None:
    """Counts as work: the directory itself does not change while a file in it grows."""
    old = stage(held / "m.keras", host="elsewhere", age=2 * UNTOUCHED)
    os.utime(old / "m.keras")
    recover_all(held)
    assert (old / "m.keras").read_bytes() == b"half a mod"


def test_without_the_lock_only_the_dead_are_swept(tmp_path: Path) -> None:
    """Where a file system has no locks nothing is proved of unknown writers, however old."""
    save(tmp_path / "m.keras", 1)
    stage(tmp_path / "m.keras", host="elsewhere", age=100 * UNTOUCHED)
    before = content(tmp_path)
    assert recover_all(tmp_path) == []
    assert content(tmp_path) == before


def test_evidence_is_left_as_it_is(held: Path) -> None:
    """A model without a state that matches it: whatever lies around may be all that is left."""
    put(held, {"lost.keras": model_of(1)})
    put(held, {staged_name(model_of(2), "lost.keras"): sealed(2)})
    stage(held / "lost.keras", age=2 * UNTOUCHED)
    save(held / "damaged.keras", 3)
    put(held, {("damaged.keras" + SUFFIX): sealed(3)[:-5]})
    stage(held / "damaged.keras", host="elsewhere", age=2 * UNTOUCHED)
    put(held, {"bare.keras": model_of(4)})
    before = content(held)
    assert recover_all(held) == [str(held / "damaged.keras"), str(held / "lost.keras")]
    assert content(held) == before


def test_a_damaged_state_does_not_keep_a_staged_one_from_its_place(held: Path) -> None:
    """The damaged file is replaced by the state that matches, as the interrupted commit would have done."""
    put(held, {"m.keras": model_of(2)})
    put(held, {("m.keras" + SUFFIX): sealed(1)[:-5]})
    put(held, {staged_name(model_of(2), "m.keras"): sealed(2)})
    assert recover_all(held) == []
    assert content(held) == {"m.keras": model_of(2), "m.keras" + SUFFIX: sealed(2)}


def test_what_others_have_there_stays(held: Path) -> None:
    """Hidden files and directories of other names, and states that have lost their model."""
    names = [
        ".m.keras.state-notes",
        ".m.keras.tmp-",
        ".m.keras.tmp-host-1-xyz",
        ".gitignore",
        ".tmp-host-12-0123abcd",
        ".notes.txt.state-" + "0" * 32,
        "m.keras" + SUFFIX,
        ".notes.txt.tmp-host-12-0123abcd/notes.txt",
        ".sub/.m.keras.state-" + "0" * 32,
    ]
    put(held, dict.fromkeys(names, b"mine"))
    assert recover_all(held) == []
    assert set(content(held)) == set(names)


def test_a_link_to_a_model_elsewhere_is_left_alone(held: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """That directory is another one, which this process does not hold."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    save(elsewhere / "m.keras", 1)
    put(elsewhere, {staged_name(model_of(2), "m.keras"): sealed(2)})
    (held / "m.keras").symlink_to(elsewhere / "m.keras")
    put(held, {staged_name(model_of(3), "m.keras"): sealed(3)})
    before = content(held), content(elsewhere)
    assert recover_all(held) == []
    assert (content(held), content(elsewhere)) == before
