"""What a writer that holds a directory makes of what dead ones left in it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from places import ROOT

from callback_state._format import statefile
from callback_state._store import disk, recover, staging
from callback_state._store.lock import NAME, hold
from callback_state._store.pair import SUFFIX, open_pair
from callback_state._store.recover import UNTOUCHED, recover_all
from callback_state._store.staging import staged_path

posix = pytest.mark.skipif(os.name == "nt", reason="on Windows nobody can ask whether a process lives")


def model_of(number: int) -> bytes:
    return f"model {number} ".encode() * 3


def state_of(number: int) -> bytes:
    model = model_of(number)
    return statefile.seal([number], hashlib.sha256(model).digest(), len(model))


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def put_pair(directory: Path, name: str, number: int) -> None:
    put(directory / name, model_of(number))
    put(directory / (name + SUFFIX), state_of(number))


def put_staged(directory: Path, name: str, number: int) -> None:
    """The staged state of a save."""
    digest = hashlib.sha256(model_of(number)).digest()
    put(Path(staged_path(str(directory / name), digest)), state_of(number))


def put_stage(directory: Path, name: str, *, pid: int, host: str | None = None, age: float = 0.0) -> Path:
    """A staging directory that nobody has touched for ``age`` seconds."""
    stage = directory / f".{name}.tmp-{host or staging._host()}-{pid}-0123abcd"
    put(stage / name, b"half a mod")
    for path in (stage / name, stage):
        then = os.stat(path).st_mtime - age
        os.utime(path, (then, then))
    return stage


def number_of(path: Path) -> object:
    (number,) = open_pair(path).sealed.tree  # type: ignore[misc]
    return number


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


@pytest.fixture(scope="module")
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(timeout=60)
    return process.pid


#: Saves number 2 over number 1, and ends without any clean-up at the n-th call of the seam.
KILLED = """
import os, sys
from callback_state._store import commit as _store, disk as _atomic
sys.path[:0] = ["tests/store", "tests/kit"]
from test_recover import model_of, state_of
path, at, after = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "after"
calls = 0
def dying(true):
    def step(*args):
        global calls
        calls += 1
        here = calls == at  # a step may take others
        if here and not after: os._exit(9)
        result = true(*args)
        if here: os._exit(9)
        return result
    return step
for name in ("make_directory", "write_bytes", "sync_file", "sync_directory", "rename", "remove_tree"):
    setattr(_atomic, name, dying(getattr(_atomic, name)))
def write_model(staged):
    with open(staged, "wb") as file: file.write(model_of(2))
with _store.write(path, write_model, lambda digest, size: state_of(2)) as written:
    _store.commit(written)
"""


@posix
@pytest.mark.parametrize(
    ("when", "steps"),
    [
        pytest.param("before", (6, 100), id="one"),
        pytest.param("before", range(1, 100), id="before", marks=pytest.mark.heavy),
        pytest.param("after", range(1, 100), id="after", marks=pytest.mark.heavy),
    ],
)
def test_a_save_that_was_killed_anywhere_is_completed_or_undone(
    tmp_path: Path, when: str, steps: Iterable[int]
) -> None:
    """By process death at each step: then the old or the new checkpoint is there, and nothing hidden."""
    found = []
    for at in steps:
        directory = tmp_path / str(at)
        put_pair(directory, "m.keras", 1)
        put_pair(directory, "n.keras", 7)
        process = [sys.executable, "-c", KILLED, str(directory / "m.keras"), str(at), when]
        code = subprocess.run(process, cwd=ROOT, timeout=60, check=False).returncode
        lock = hold(directory)
        assert recover_all(directory) == []
        lock.release()
        number = number_of(directory / "m.keras")
        assert content(directory) == {
            "m.keras": model_of(number),
            "m.keras" + SUFFIX: state_of(number),  # type: ignore[arg-type]
            "n.keras": model_of(7),
            "n.keras" + SUFFIX: state_of(7),
        }
        found.append(number)
        if code == 0:
            break
        assert code == 9
    assert found == sorted(found) and found[0] == 1 and found[-1] == 2 and len(found) >= min(8, len([*steps]))


@posix
def test_every_name_is_recovered(held: Path, dead: int) -> None:
    """Each by itself: one is completed, one undone, one was never there, one needs nothing."""
    put_pair(held, "a.keras", 1)
    put(held / "a.keras", model_of(2))
    put_staged(held, "a.keras", 2)
    put_pair(held, "b.weights.h5", 1)
    put_staged(held, "b.weights.h5", 2)
    put_stage(held, "b.weights.h5", pid=dead)
    put_staged(held, "c.h5", 3)
    put_stage(held, "c.h5", pid=os.getpid())
    put_pair(held, "d.tmp-x.keras", 4)
    put_stage(held, "d.tmp-x.keras", pid=dead)
    put_pair(held, "e.keras", 5)
    assert recover_all(held) == []
    expected = {"a.keras": 2, "b.weights.h5": 1, "d.tmp-x.keras": 4, "e.keras": 5}
    assert {name: number_of(held / name) for name in expected} == expected
    assert len(content(held)) == 8
    assert sorted(os.listdir(held)) == sorted([NAME, *expected, *(name + SUFFIX for name in expected)])


@pytest.mark.parametrize("whose", ["another host", "another container", "a process number in use again"])
@pytest.mark.parametrize("age", [UNTOUCHED + 60, UNTOUCHED - 60, -60], ids=["old", "recent", "later"])
def test_unknown_writers(held: Path, dead: int, whose: str, age: float) -> None:
    """What nobody touched for long before the lock was taken goes, and with it what was staged; else nothing."""
    put_pair(held, "m.keras", 1)
    put_staged(held, "m.keras", 2)
    host = {"another host": "elsewhere", "another container": "0a1b2c3d4e5f"}.get(whose)
    put_stage(held, "m.keras", pid=os.getppid() if host is None else dead, host=host, age=age)
    before = content(held)
    assert recover_all(held) == []
    if age > UNTOUCHED:
        assert content(held) == {"m.keras": model_of(1), "m.keras" + SUFFIX: state_of(1)}
    else:
        assert content(held) == before
    assert number_of(held / "m.keras") == 1


def test_one_writer_at_work_keeps_what_is_staged(held: Path, dead: int) -> None:
    """The staged state may be his; an old staging directory goes all the same."""
    put_pair(held, "m.keras", 1)
    put_staged(held, "m.keras", 2)
    at_work = put_stage(held, "m.keras", pid=dead, host="elsewhere")
    old = put_stage(held, "m.keras", pid=dead + 1, host="elsewhere", age=2 * UNTOUCHED)
    recover_all(held)
    assert at_work.exists() and not old.exists()
    assert len(content(held)) == 4


def test_a_file_in_an_old_directory_that_is_being_written(held: Path, dead: int) -> None:
    """Counts as work: the directory itself does not change while a file in it grows."""
    stage = put_stage(held, "m.keras", pid=dead, host="elsewhere", age=2 * UNTOUCHED)
    os.utime(stage / "m.keras")
    recover_all(held)
    assert (stage / "m.keras").read_bytes() == b"half a mod"


def test_without_the_lock_only_the_dead_are_swept(tmp_path: Path, dead: int) -> None:
    """Where a file system has no locks nothing is proved of unknown writers, however old."""
    put_pair(tmp_path, "m.keras", 1)
    put_stage(tmp_path, "m.keras", pid=dead, host="elsewhere", age=100 * UNTOUCHED)
    before = content(tmp_path)
    assert recover_all(tmp_path) == []
    assert content(tmp_path) == before


def test_evidence_is_left_as_it_is(held: Path, dead: int) -> None:
    """A model without a state that matches it: whatever lies around may be all that is left."""
    put(held / "lost.keras", model_of(1))
    put_staged(held, "lost.keras", 2)
    put_stage(held, "lost.keras", pid=dead, age=2 * UNTOUCHED)
    put_pair(held, "damaged.keras", 3)
    put(held / ("damaged.keras" + SUFFIX), state_of(3)[:-5])
    put_stage(held, "damaged.keras", pid=dead, host="elsewhere", age=2 * UNTOUCHED)
    put(held / "bare.keras", model_of(4))
    before = content(held)
    assert recover_all(held) == [str(held / "damaged.keras"), str(held / "lost.keras")]
    assert content(held) == before


def test_a_damaged_state_does_not_keep_a_staged_one_from_its_place(held: Path) -> None:
    """The damaged file is replaced by the state that matches, as the interrupted commit would have done."""
    put(held / "m.keras", model_of(2))
    put(held / ("m.keras" + SUFFIX), state_of(1)[:-5])
    put_staged(held, "m.keras", 2)
    assert recover_all(held) == []
    assert content(held) == {"m.keras": model_of(2), "m.keras" + SUFFIX: state_of(2)}


def test_what_others_have_there_stays(held: Path, dead: int) -> None:
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
    for name in names:
        put(held / name, b"mine")
    assert recover_all(held) == []
    assert set(content(held)) == set(names)


def test_a_link_to_a_model_elsewhere_is_left_alone(held: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """That directory is another one, which this process does not hold."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    put_pair(elsewhere, "m.keras", 1)
    put_staged(elsewhere, "m.keras", 2)
    (held / "m.keras").symlink_to(elsewhere / "m.keras")
    put_staged(held, "m.keras", 3)
    before = content(held), content(elsewhere)
    assert recover_all(held) == []
    assert (content(held), content(elsewhere)) == before


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """Is not made."""
    assert recover_all(tmp_path / "missing") == []
    assert os.listdir(tmp_path) == []


class Died(BaseException):
    """The process ends, as far as that can be had without another one."""


def stop_at(patch: pytest.MonkeyPatch, at: int) -> None:
    """Let the n-th change of the directory be the point of death."""
    calls = iter(range(1, 1000))

    def dying(true: Callable[..., None]) -> Callable[..., None]:
        def step(*args: str) -> None:
            if next(calls) == at:
                raise Died
            true(*args)

        return step

    for name in ("rename", "remove", "remove_tree", "sync_directory"):
        patch.setattr(disk, name, dying(getattr(disk, name)))


def test_a_death_at_each_step_of_it_is_recovered_from(
    tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovery is a writer too: stopped anywhere, the next one ends where it would have."""
    for at in range(1, 50):
        directory = tmp_path / str(at)
        put_pair(directory, "m.keras", 1)
        put(directory / "m.keras", model_of(2))
        put_staged(directory, "m.keras", 2)
        put_staged(directory, "m.keras", 3)
        put_stage(directory, "m.keras", pid=dead, host="elsewhere", age=2 * UNTOUCHED)
        lock = hold(directory)
        with monkeypatch.context() as patch, contextlib.suppress(Died):
            stop_at(patch, at)
            recover_all(directory)
            break
        assert number_of(directory / "m.keras") == 2
        assert recover_all(directory) == []
        assert content(directory) == {"m.keras": model_of(2), "m.keras" + SUFFIX: state_of(2)}
        lock.release()
    assert 5 < at < 49


def test_recovery_of_one_name_knows_nothing_of_the_others(held: Path) -> None:
    """``recover`` is as it was: for the name it is given."""
    put_staged(held, "a.keras", 1)
    put_staged(held, "b.keras", 1)
    assert not recover.recover(held / "a.keras")
    assert [name for name in content(held) if name.startswith(".")] == [
        f".b.keras.state-{hashlib.sha256(model_of(1)).hexdigest()[:32]}"
    ]
