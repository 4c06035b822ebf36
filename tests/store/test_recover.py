"""Recovery and deletion: what dead writers left goes, what may be needed stays."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from calls import between
from saves import DEAD, NAME, STATE, listing, model_of, number_of, put, save, sealed, stage, staged_name

from callback_state._store.commit import delete
from callback_state._store.lock import NAME as LOCK
from callback_state._store.lock import hold
from callback_state._store.pair import SUFFIX
from callback_state._store.recover import UNTOUCHED, recover, recover_all

pytestmark = pytest.mark.usefixtures("quick_disk")


def content(directory: Path) -> dict[str, bytes]:
    """All files, those in hidden directories too, but the lock's."""
    files = (path for path in directory.rglob("*") if path.is_file() and path.name != LOCK)
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
    assert sorted(os.listdir(held)) == sorted([LOCK, *expected, *(name + SUFFIX for name in expected)])


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


# One name, whether the directory is held or not.


def test_recovery_touches_nothing_when_nothing_matches(tmp_path: Path) -> None:
    """A model without its state: what lies around may be all that is left to find it by."""
    put(tmp_path, {NAME: model_of(1), STATE: sealed(2), staged_name(model_of(3)): sealed(3)})
    stage(tmp_path / NAME, pid=os.getpid())
    before = listing(tmp_path)
    assert not recover(tmp_path / NAME)
    assert listing(tmp_path) == before


def test_recovery_is_for_one_base_name(tmp_path: Path) -> None:
    """Whatever other names look like, their files stay."""
    save(tmp_path / NAME, 1)
    for other in ("n.keras", NAME + ".keras", "x" + NAME, "." + NAME, "mxkeras"):
        stage(tmp_path / other, pid=os.getpid())
        put(tmp_path, {staged_name(b"x", other): sealed(2)})
    put(tmp_path, {f".{NAME}.state-notes": b"", f".{NAME}": b"", f".{NAME}.state-" + "g" * 32: b""})
    before = listing(tmp_path)
    assert recover(tmp_path / NAME)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("where", ["alive", "elsewhere"])
def test_recovery_leaves_a_writer_alone(tmp_path: Path, where: str) -> None:
    """While a process lives, or may live on another host, its files stay, the staged states too."""
    save(tmp_path / NAME, 1)
    put(tmp_path, {staged_name(model_of(2)): sealed(2)})
    if where == "alive":
        stage(tmp_path / NAME, pid=os.getppid())
    else:
        stage(tmp_path / NAME, host="elsewhere")
    before = listing(tmp_path)
    assert recover(tmp_path / NAME)
    assert listing(tmp_path) == before


def test_recovery_sweeps_nothing_when_the_model_changed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The staged state may be that of the new model."""
    save(tmp_path / NAME, 1)
    put(tmp_path, {staged_name(model_of(2)): sealed(2)})
    between(monkeypatch, "digest", 1, lambda: put(tmp_path, {NAME: model_of(2)}))
    assert recover(tmp_path / NAME)
    assert number_of(tmp_path / NAME) == 2


def test_a_state_that_is_staged_while_recovery_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its writer began after recovery had looked for writers: it is nobody's leftover."""
    save(tmp_path / NAME, 1)
    new = {staged_name(model_of(2)): sealed(2)}
    between(monkeypatch, "stagings", 1, lambda: put(tmp_path, new), sys.modules["callback_state._store.recover"])
    assert recover(tmp_path / NAME)
    assert listing(tmp_path) == {NAME: model_of(1), STATE: sealed(1)} | new


def test_recovery_where_nothing_is(tmp_path: Path) -> None:
    """A first run has no directory yet; none is made."""
    assert not recover(tmp_path / "missing" / NAME)
    assert not recover(tmp_path / NAME)
    assert os.listdir(tmp_path) == []


# Deleting


def test_a_checkpoint_is_deleted_model_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in between, it leaves a staged state of no model, which the next writer removes."""
    save(tmp_path / NAME, 1)
    put(tmp_path, {staged_name(model_of(1)): sealed(1)})
    save(tmp_path / "n.keras", 2)
    with monkeypatch.context() as patch:
        between(patch, "remove", 1, lambda: sys.exit("died"))
        with pytest.raises(SystemExit):
            delete(tmp_path / NAME)
    assert {staged_name(model_of(1)), "n.keras", "n.keras" + SUFFIX} == {*listing(tmp_path)}
    assert not recover(tmp_path / NAME) and {"n.keras", "n.keras" + SUFFIX} == {*listing(tmp_path)}
    for state in (sealed(1), b"no state file", sealed(1)[:-1]):
        put(tmp_path, {NAME: model_of(1), STATE: state})
        delete(tmp_path / NAME)
        assert listing(tmp_path) == {"n.keras": model_of(2), "n.keras" + SUFFIX: sealed(2)}
    for _ in range(2):
        delete(tmp_path / NAME)
        assert listing(tmp_path) == {"n.keras": model_of(2), "n.keras" + SUFFIX: sealed(2)}
    delete(tmp_path / "missing" / NAME)
