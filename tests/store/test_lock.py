"""One process at a time writes into a directory of checkpoints: with real processes."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

from callback_state import InUseError, list_checkpoints
from callback_state._store import lock
from callback_state._store.lock import NAME, hold, locked_at

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
#: Holds a directory until it is told to go; says "held" or the error.
HOLDER = """
import sys
from callback_state import InUseError
from callback_state._store.lock import hold
try:
    held = hold(sys.argv[1])
except InUseError as error:
    print(error)
else:
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "holder.py"
    path.write_text(HOLDER)
    return path


Start = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def start(script: Path) -> Iterator[Start]:
    """Starts another process that wants a directory."""
    started = []

    def start(directory: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, script, directory, "--key=secret"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def told_to_go(process: subprocess.Popen[str]) -> int:
    process.communicate("go\n", timeout=60)
    return process.returncode


def is_free(directory: Path, start: Start) -> bool:
    """Whether another process gets the directory."""
    process = start(directory)
    got = answer(process)
    assert told_to_go(process) == 0
    return got == "held"


def test_a_second_process_is_told_who_holds_the_directory(tmp_path: Path, start: Start) -> None:
    """Process, host, program and time, and what to do; arguments are not told, they may be secrets."""
    directory = tmp_path / "ckpt"
    first = start(directory)
    assert answer(first) == "held"
    with pytest.raises(InUseError) as caught:
        hold(directory)
    error = caught.value
    assert error.path == str(directory) and isinstance(error, RuntimeError)
    assert re.fullmatch(
        rf"expected to be the only run that writes here, found process {first.pid} on \S+ \(holder\.py\), "
        r"at work since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\. Each would delete and replace checkpoints of the "
        r"other\. Wait until it has ended, stop it, or choose another directory\.",
        error.message,
    )
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert told_to_go(first) == 0
    hold(directory).release()


def test_this_process_keeps_others_out(tmp_path: Path, start: Start) -> None:
    """And they get in when it lets go."""
    held = hold(tmp_path)
    refused = answer(start(tmp_path))
    assert refused.startswith(f"{tmp_path}: expected to be the only run")
    assert f"process {os.getpid()} on " in refused
    held.release()
    assert is_free(tmp_path, start)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_process_holds_nothing(tmp_path: Path, start: Start) -> None:
    """What it leaves behind is a file that nobody has locked, and that goes with the next holder."""
    directory = tmp_path / "ckpt"
    first = start(directory)
    assert answer(first) == "held"
    first.kill()
    first.wait()
    assert os.listdir(directory) == [NAME]
    held = hold(directory)
    assert str(os.getpid()) in (directory / NAME).read_text().split("\n")
    held.release()
    assert os.listdir(directory) == []


def test_a_process_that_forgets_to_release_leaves_nothing(tmp_path: Path, start: Start) -> None:
    """An ordinary end lets go and removes the file."""
    directory = tmp_path / "ckpt"
    process = start(directory)
    assert answer(process) == "held"
    assert told_to_go(process) == 0
    assert os.listdir(directory) == []


def test_the_holders_of_one_process_are_counted(tmp_path: Path, start: Start) -> None:
    """Several checkpoints of one fit, by whatever path: the last one lets go, and releasing twice is once."""
    link = tmp_path / "link"
    directory = tmp_path / "ckpt"
    directory.mkdir()
    link.symlink_to(directory, target_is_directory=True)
    first, second, third = hold(directory), hold(link), hold(str(directory) + os.sep)
    first.release()
    first.release()
    first.release()
    assert not is_free(directory, start)
    third.release()
    assert not is_free(directory, start)
    second.release()
    assert is_free(directory, start)
    assert os.listdir(directory) == []


def test_one_after_the_other_in_one_process(tmp_path: Path, start: Start) -> None:
    """Two fits of one script, and again after another process had it meanwhile."""
    for _ in range(3):
        held = hold(tmp_path / "ckpt")
        held.release()
    assert is_free(tmp_path / "ckpt", start)
    held = hold(tmp_path / "ckpt")
    assert not is_free(tmp_path / "ckpt", start)
    held.release()


def test_two_directories_are_two_locks(tmp_path: Path, start: Start) -> None:
    """Also where one lies in the other."""
    held = hold(tmp_path / "a")
    assert is_free(tmp_path / "b", start) and is_free(tmp_path / "a" / "c", start) and is_free(tmp_path, start)
    held.release()


def test_a_holder_that_is_forgotten_lets_go(tmp_path: Path, start: Start) -> None:
    """Also one in a cycle, when the collector comes by."""
    held: Any = hold(tmp_path)
    cycle = [held]
    cycle.append(cycle)
    del held, cycle
    gc.collect()
    assert is_free(tmp_path, start)


def test_threads_of_one_process_share_it(tmp_path: Path, start: Start) -> None:
    """However they meet, the directory is held until the last has let go, and free then."""
    barrier, problems = threading.Barrier(8), []

    def work() -> None:
        barrier.wait()
        try:
            for _ in range(50):
                held = hold(tmp_path / "ckpt")
                if locked_at(tmp_path / "ckpt") is None:
                    problems.append("held and not locked")
                held.release()
        except Exception as error:
            problems.append(repr(error))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert os.listdir(tmp_path / "ckpt") == [] and is_free(tmp_path / "ckpt", start)


@posix
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_releases_nothing(tmp_path: Path, start: Start) -> None:
    """Neither when it releases its copy, nor when it forgets it, nor when it ends; it holds nothing either."""
    held = hold(tmp_path)
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            held.release()
            del held
            gc.collect()
            lock._free_all()
            status = 3 if locked_at(tmp_path) is not None else 4
            with contextlib.suppress(InUseError):
                hold(tmp_path)
                status = 5
            os._exit(status)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4
    assert not is_free(tmp_path, start)
    held.release()
    assert is_free(tmp_path, start)


@posix
def test_a_child_that_outlives_its_killed_parent_does_not_block(tmp_path: Path, start: Start) -> None:
    """Workers that were forked while the directory was held, and are still there."""
    code = (
        "import os, sys, time\nfrom callback_state._store.lock import hold\n"
        "held = hold(sys.argv[1])\npid = os.fork()\n"
        "if pid == 0: time.sleep(600)\nprint(pid, flush=True)\ntime.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "ckpt"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    child = int(answer(process))
    try:
        assert not is_free(tmp_path / "ckpt", start)
        process.kill()
        process.wait()
        assert is_free(tmp_path / "ckpt", start)
        os.kill(child, 0)  # it was there all the time
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()  # type: ignore[union-attr]


def test_a_directory_removed_while_it_is_held(tmp_path: Path, start: Start) -> None:
    """Releasing does not complain; who asks again meanwhile gets a lock that keeps others out."""
    directory = tmp_path / "ckpt"
    first = hold(directory)
    shutil.rmtree(directory)
    second = hold(directory)
    assert not is_free(directory, start)
    first.release()
    assert not is_free(directory, start)
    second.release()
    assert os.listdir(directory) == [] and is_free(directory, start)
    third = hold(directory)
    shutil.rmtree(directory)
    third.release()
    assert not directory.exists()


def test_a_lock_file_removed_while_it_is_held(tmp_path: Path, start: Start) -> None:
    """By somebody who tidied up: who asks again locks anew, and another's file is left to him."""
    first = hold(tmp_path / "ckpt")
    os.unlink(tmp_path / "ckpt" / NAME)
    other = start(tmp_path / "ckpt")
    assert answer(other) == "held"
    first.release()
    assert os.listdir(tmp_path / "ckpt") == [NAME]
    assert told_to_go(other) == 0
    second = hold(tmp_path / "ckpt")
    os.unlink(tmp_path / "ckpt" / NAME)
    third = hold(tmp_path / "ckpt")
    assert not is_free(tmp_path / "ckpt", start)
    second.release()
    assert not is_free(tmp_path / "ckpt", start)
    third.release()
    assert is_free(tmp_path / "ckpt", start)


def test_a_directory_that_moves_while_it_is_held(tmp_path: Path, start: Start) -> None:
    """A file comes along that nobody has locked any more after the release, and that hinders nobody."""
    held = hold(tmp_path / "old")
    os.rename(tmp_path / "old", tmp_path / "new")
    assert not is_free(tmp_path / "new", start)
    held.release()
    assert is_free(tmp_path / "new", start)
    assert os.listdir(tmp_path / "new") == []
    assert not (tmp_path / "old").exists()


def test_the_file_is_no_checkpoint_and_can_be_copied(tmp_path: Path, start: Start) -> None:
    """It has no path in it, nobody lists it, and a copy of the directory is free at once."""
    held = hold(tmp_path / "ckpt")
    content = (tmp_path / "ckpt" / NAME).read_bytes()
    assert os.sep.encode() not in content and str(os.getpid()).encode() in content
    assert list_checkpoints(tmp_path / "ckpt") == []
    copy = Path(shutil.copytree(tmp_path / "ckpt", tmp_path / "copy"))
    assert is_free(copy, start) and os.listdir(copy) == []
    held.release()


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_is_read_only(tmp_path: Path) -> None:
    """Is an error of the system: no checkpoint could be written either."""
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError, match=re.escape(NAME)):
        hold(tmp_path)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_errors_of_the_system_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """As they are, and the next try finds nothing in its way."""
    true = os.open

    def failing(path: Any, *args: Any, **options: Any) -> int:
        if os.path.basename(os.fspath(path)) == NAME:
            raise OSError(number, os.strerror(number), path)
        return true(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing)
        with pytest.raises(OSError, match=re.escape(NAME)) as caught:
            hold(tmp_path)
    assert caught.value.errno == number and not isinstance(caught.value, InUseError)
    hold(tmp_path).release()


def test_a_record_that_cannot_be_written_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    """A broken disk: the error passes, and the lock is not kept by nobody."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refusing(errno.EIO))
        with pytest.raises(OSError, match="Input/output error"):
            hold(tmp_path / "ckpt")
    assert locked_at(tmp_path / "ckpt") is None
    assert is_free(tmp_path / "ckpt", start)


def refusing(number: int) -> Callable[..., int]:
    def refuse(fd: int, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.get)
def test_a_full_disk_can_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start, number: int
) -> None:
    """Others are kept out, and are not told by whom: that is when one has to delete something."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refusing(number))
        held = hold(tmp_path / "ckpt")
    assert locked_at(tmp_path / "ckpt") is not None
    assert "found another process." in answer(start(tmp_path / "ckpt"))
    held.release()
    assert is_free(tmp_path / "ckpt", start) and os.listdir(tmp_path / "ckpt") == []


@posix
def test_a_file_that_has_another_name_is_not_written(tmp_path: Path, start: Start) -> None:
    """It may be anybody's: it is locked as it is, and only its name here goes."""
    directory, other = tmp_path / "ckpt", tmp_path / "letter"
    directory.mkdir()
    other.write_text("precious")
    os.link(other, directory / NAME)
    held = hold(directory)
    assert not is_free(directory, start)
    held.release()
    # Older releases of filelock empty what they lock; of ours nothing is written.
    assert other.read_text() in ("precious", "") and os.listdir(directory) == [] and is_free(directory, start)


@posix
@pytest.mark.parametrize("number", sorted(lock._NO_LOCKS), ids=errno.errorcode.get)
def test_a_file_system_without_locks_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """And the run goes on, and leaves no file."""
    import fcntl

    def refuse(fd: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="its file system cannot lock files") as told:
        first = hold(tmp_path)
    assert len(told) == 1 and str(told[0].message).startswith(f"{tmp_path}: ")
    second = hold(tmp_path)  # a second warning would be an error here
    assert locked_at(tmp_path) is None and os.listdir(tmp_path) == []
    first.release()
    second.release()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "record",
    [b"", b"\n" * 5000, b"\n1\n2", b"\xff" * 200, b"\n1\nhost\nsince\nred \x1b[31m\n", b"\n1\n2\n3\n4\n5\n6\n"],
    ids=["empty", "lines", "short", "no-text", "control", "long"],
)
def test_a_record_is_believed_in_words_only(tmp_path: Path, start: Start, record: bytes) -> None:
    """Whatever stands in the file, the error is the same but for the name."""
    held = hold(tmp_path / "ckpt")
    (tmp_path / "ckpt" / NAME).write_bytes(record)
    refused = answer(start(tmp_path / "ckpt"))
    assert "expected to be the only run that writes here, found another process." in refused
    held.release()


def test_the_first_of_many_processes_wins(tmp_path: Path, start: Start) -> None:
    """Of those that start together one holds, however often; the others name it."""
    for _ in range(3):
        processes = [start(tmp_path / "ckpt") for _ in range(4)]
        answers = {process.pid: answer(process) for process in processes}
        winners = [pid for pid, said in answers.items() if said == "held"]
        assert len(winners) == 1
        losers = [said for said in answers.values() if said != "held"]
        assert all(f"found process {winners[0]} on " in said for said in losers), losers
        assert [told_to_go(process) for process in processes] == [0] * 4
        assert os.listdir(tmp_path / "ckpt") == []


def test_when_it_was_locked(tmp_path: Path) -> None:
    """By the clock of the file system; None where it is not held."""
    assert locked_at(tmp_path) is None
    held = hold(tmp_path)
    os.utime(tmp_path / NAME, (1.5, 1.5))
    assert locked_at(tmp_path) == 1.5
    held.release()
    assert locked_at(tmp_path) is None


def test_importing_the_module_does_not_import_the_library() -> None:
    """It takes longer than all of ours."""
    code = "import sys, callback_state._store.lock; print('filelock' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
