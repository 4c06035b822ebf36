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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from places import ENVIRONMENT, ROOT
from saves import raises

from callback_state import InUseError, list_checkpoints
from callback_state._store import lock
from callback_state._store.lock import NAME, hold, locked_at

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
#: Reads a directory from each line and holds it, or releases the last one at an empty line.
#: Answers "held", "released" or the error.
HOLDER = """
import sys
from callback_state import InUseError
from callback_state._store import lock
lock.PATIENCE = float(sys.argv[2])
for line in sys.stdin:
    try:
        if line.strip():
            held = lock.hold(line.rstrip("\\n"))
        else:
            held.release()
    except InUseError as error:
        print(error, flush=True)
    else:
        print("held" if line.strip() else "released", flush=True)
"""


class Other:
    """Another process that wants directories; with little patience it waits for nobody."""

    def __init__(self, script: Path, patience: float = 0) -> None:
        command = [sys.executable, str(script), "--key=secret", str(patience)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, **pipes, text=True, cwd=ROOT, env=ENVIRONMENT)

    def ask(self, directory: Path) -> None:
        self.process.stdin.write(f"{directory}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        return str(self.process.stdout.readline()).strip()

    def hold(self, directory: Path | str) -> str:
        self.ask(directory)
        return self.answer()

    def release(self) -> None:
        assert self.hold("") == "released"

    def is_refused(self, directory: Path) -> bool:
        """Whether it does not get the directory; what it gets it gives back."""
        held = self.hold(directory) == "held"
        if held:
            self.release()
        return not held


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "holder.py"
    path.write_text(HOLDER)
    return path


@pytest.fixture(scope="module")
def other(script: Path) -> Iterator[Other]:
    """One for all tests; it holds nothing between them."""
    other = Other(script)
    yield other
    other.process.communicate()
    assert other.process.returncode == 0


def test_a_second_process_is_told_who_holds_the_directory(tmp_path: Path, other: Other) -> None:
    """Process, host, program and time, and what to do; arguments are not told, they may be secrets."""
    directory = tmp_path / "ckpt"
    assert other.hold(directory) == "held"
    with pytest.raises(InUseError) as caught:
        hold(directory)
    other.release()
    error = caught.value
    assert error.path == str(directory) and isinstance(error, RuntimeError)
    assert re.fullmatch(
        rf"expected to be the only run that writes here, found process {other.process.pid} on \S+ \(holder\.py\), "
        r"at work since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\. Each would delete and replace checkpoints of the "
        r"other\. Wait until it has ended, stop it, or choose another directory\.",
        error.message,
    )
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    hold(directory).release()


def test_this_process_keeps_others_out(tmp_path: Path, other: Other) -> None:
    """And they get in when it lets go; then it gets the directory again."""
    for _ in range(2):
        held = hold(tmp_path)
        refused = other.hold(tmp_path)
        assert refused.startswith(f"{tmp_path}: expected to be the only run")
        assert f"process {os.getpid()} on " in refused
        held.release()
        assert not other.is_refused(tmp_path)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("end", ["killed", "ended"])
def test_a_process_that_has_ended_holds_nothing(tmp_path: Path, script: Path, end: str) -> None:
    """A killed one leaves a file that nobody has locked, which goes with the next holder; another one no file."""
    directory, other = tmp_path / "ckpt", Other(script)
    assert other.hold(directory) == "held"
    if end == "killed":
        other.process.kill()
    other.process.communicate()
    assert os.listdir(directory) == ([NAME] if end == "killed" else [])
    held = hold(directory)
    assert str(os.getpid()) in (directory / NAME).read_text().split("\n")
    held.release()
    assert os.listdir(directory) == []


def test_the_holders_of_one_process_are_counted(tmp_path: Path, other: Other) -> None:
    """Several checkpoints of one fit, by whatever path: the last one lets go, and releasing twice is once."""
    link = tmp_path / "link"
    directory = tmp_path / "ckpt"
    directory.mkdir()
    link.symlink_to(directory, target_is_directory=True)
    first, second, third = hold(directory), hold(link), hold(str(directory) + os.sep)
    for held in (first, first, first, third):
        held.release()
        assert other.is_refused(directory)
    second.release()
    assert not other.is_refused(directory)
    assert os.listdir(directory) == []


def test_two_directories_are_two_locks(tmp_path: Path, other: Other) -> None:
    """Also where one lies in the other."""
    held = hold(tmp_path / "a")
    assert [other.is_refused(tmp_path / name) for name in ("a", "b", "a/c", "")] == [True, False, False, False]
    held.release()


def test_a_holder_that_is_forgotten_lets_go(tmp_path: Path, other: Other) -> None:
    """Also one in a cycle, when the collector comes by."""
    held: Any = hold(tmp_path)
    cycle = [held]
    cycle.append(cycle)
    del held, cycle
    gc.collect()
    assert not other.is_refused(tmp_path)


def in_a_thread(act: Callable[[], Any]) -> Any:
    """What a function returns, or the error that it raises, in a thread that has ended."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(act)
    return future.exception() or future.result()


def test_a_second_thread_is_refused(tmp_path: Path) -> None:
    """The error names the thread that holds it; one that let go or has ended holds nothing."""
    held = hold(tmp_path)
    refused = in_a_thread(lambda: hold(tmp_path))
    assert isinstance(refused, InUseError) and refused.path == str(tmp_path)
    assert f"found the thread 'MainThread' of this process, {os.getpid()}. Each would delete" in refused.message
    hold(tmp_path).release()  # of the same thread
    held.release()
    left = in_a_thread(lambda: hold(tmp_path))
    held = hold(tmp_path)
    left.release()
    assert isinstance(in_a_thread(lambda: hold(tmp_path)), InUseError)
    held.release()
    in_a_thread(lambda: hold(tmp_path)).release()
    assert os.listdir(tmp_path) == []


def test_of_many_threads_one_holds_it(tmp_path: Path, other: Other) -> None:
    """However they meet, and it is free when the last has let go."""
    barrier, inside, problems, got = threading.Barrier(8), set(), [], []

    def work() -> None:
        barrier.wait()
        for _ in range(50):
            with contextlib.suppress(InUseError):
                held = hold(tmp_path / "ckpt")
                inside.add(threading.current_thread())
                if len(inside) > 1 or locked_at(tmp_path / "ckpt") is None:
                    problems.append("held by two, or held and not locked")
                inside.clear()
                held.release()
                got.append(held)

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work) for _ in range(8)]:
            future.result()
    assert problems == [] and got
    assert os.listdir(tmp_path / "ckpt") == [] and not other.is_refused(tmp_path / "ckpt")


def test_a_lock_that_cannot_be_released_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is raised at the end of a run whose directory has gone away."""
    held = hold(tmp_path / "ckpt")
    lock_file = lock._LOCKS[next(iter(lock._LOCKS))].file
    with monkeypatch.context() as patch:
        patch.setattr(type(lock_file), "_release", raises(errno.ESTALE))
        patch.setattr(os, "stat", raises(errno.ESTALE))
        with pytest.warns(UserWarning, match="its lock could not be released .*Until this process has ended"):
            held.release()
    lock_file.release(force=True)


@posix
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_releases_nothing(tmp_path: Path, other: Other) -> None:
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
    assert other.is_refused(tmp_path)
    held.release()
    assert not other.is_refused(tmp_path)


@posix
def test_a_child_that_outlives_its_killed_parent_does_not_block(tmp_path: Path, other: Other) -> None:
    """Workers that were forked while the directory was held, and are still there."""
    code = (
        "import os, sys, time\nfrom callback_state._store.lock import hold\n"
        "held = hold(sys.argv[1])\npid = os.fork()\n"
        "if pid == 0: time.sleep(600)\nprint(pid, flush=True)\ntime.sleep(600)"
    )
    command = [sys.executable, "-c", code, tmp_path / "ckpt"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        try:
            assert other.is_refused(tmp_path / "ckpt")
            process.kill()
            process.wait()
            hold(tmp_path / "ckpt").release()
            os.kill(child, 0)  # it was there all the time
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_directory_removed_while_it_is_held(tmp_path: Path, other: Other) -> None:
    """Releasing does not complain; who asks again meanwhile gets a lock that keeps others out."""
    directory = tmp_path / "ckpt"
    first = hold(directory)
    shutil.rmtree(directory)
    second = hold(directory)
    assert other.is_refused(directory)
    first.release()
    assert other.is_refused(directory)
    second.release()
    assert os.listdir(directory) == [] and not other.is_refused(directory)
    third = hold(directory)
    shutil.rmtree(directory)
    third.release()
    assert not directory.exists()


def test_a_lock_file_removed_while_it_is_held(tmp_path: Path, other: Other) -> None:
    """By somebody who tidied up: who asks again locks anew, and the file of another process is left to it."""
    first = hold(tmp_path / "ckpt")
    os.unlink(tmp_path / "ckpt" / NAME)
    assert other.hold(tmp_path / "ckpt") == "held"
    first.release()
    assert os.listdir(tmp_path / "ckpt") == [NAME]
    other.release()
    second = hold(tmp_path / "ckpt")
    os.unlink(tmp_path / "ckpt" / NAME)
    third = hold(tmp_path / "ckpt")
    second.release()
    assert other.is_refused(tmp_path / "ckpt")
    third.release()
    assert not other.is_refused(tmp_path / "ckpt")


def test_a_directory_that_moves_while_it_is_held(tmp_path: Path, other: Other) -> None:
    """A file comes along that nobody has locked any more after the release, and that hinders nobody."""
    held = hold(tmp_path / "old")
    os.rename(tmp_path / "old", tmp_path / "new")
    assert other.is_refused(tmp_path / "new")
    held.release()
    assert not other.is_refused(tmp_path / "new")
    assert os.listdir(tmp_path / "new") == []
    assert not (tmp_path / "old").exists()


def test_the_file_is_no_checkpoint_and_can_be_copied(tmp_path: Path, other: Other) -> None:
    """It has no path in it, nobody lists it, and a copy of the directory is free at once."""
    held = hold(tmp_path / "ckpt")
    content = (tmp_path / "ckpt" / NAME).read_bytes()
    assert os.sep.encode() not in content and str(os.getpid()).encode() in content
    assert list_checkpoints(tmp_path / "ckpt") == []
    copy = Path(shutil.copytree(tmp_path / "ckpt", tmp_path / "copy"))
    assert not other.is_refused(copy) and os.listdir(copy) == []
    held.release()


@pytest.mark.parametrize(("call", "number"), [("open", errno.EACCES), ("write", errno.EIO)], ids=["open", "write"])
def test_errors_of_the_system_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: Other, call: str, number: int
) -> None:
    """As they are; the lock is kept by nobody, and the next try finds nothing in its way."""
    true = os.open

    def failing(path: Any, *args: Any, **options: Any) -> int:
        return true(path, *args, **options) if os.path.basename(path) != NAME else raises(number)()

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing if call == "open" else raises(number))
        with pytest.raises(OSError, match=os.strerror(number)) as caught:
            hold(tmp_path)
    assert caught.value.errno == number and not isinstance(caught.value, InUseError)
    assert locked_at(tmp_path) is None and not other.is_refused(tmp_path)
    hold(tmp_path).release()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.get)
def test_a_full_disk_can_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: Other, number: int
) -> None:
    """Others are kept out, and are not told by whom: that is when one has to delete something."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", raises(number))
        held = hold(tmp_path / "ckpt")
    assert locked_at(tmp_path / "ckpt") is not None
    assert "found another process." in other.hold(tmp_path / "ckpt")
    held.release()
    assert not other.is_refused(tmp_path / "ckpt") and os.listdir(tmp_path / "ckpt") == []


@posix
def test_a_file_that_has_another_name_is_not_written(tmp_path: Path, other: Other) -> None:
    """It may be anybody's: it is locked as it is, and only its name here goes."""
    directory, letter = tmp_path / "ckpt", tmp_path / "letter"
    directory.mkdir()
    letter.write_text("precious")
    os.link(letter, directory / NAME)
    held = hold(directory)
    assert other.is_refused(directory)
    held.release()
    # Older releases of filelock empty what they lock; of ours nothing is written.
    assert letter.read_text() in ("precious", "") and os.listdir(directory) == []
    assert not other.is_refused(directory)


@posix
@pytest.mark.parametrize("number", sorted(lock._NO_LOCKS), ids=errno.errorcode.get)
def test_a_file_system_without_locks_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """And the run goes on, and leaves no file."""
    import fcntl

    monkeypatch.setattr(fcntl, "flock", raises(number))
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
def test_a_record_is_believed_in_words_only(tmp_path: Path, other: Other, record: bytes) -> None:
    """Whatever stands in the file, the error is the same but for the name."""
    held = hold(tmp_path / "ckpt")
    (tmp_path / "ckpt" / NAME).write_bytes(record)
    refused = other.hold(tmp_path / "ckpt")
    assert "expected to be the only run that writes here, found another process." in refused
    held.release()


def test_the_first_of_many_processes_wins(tmp_path: Path, script: Path) -> None:
    """Of those that ask together one holds, however often; the others name it, or no other one: it may not have
    written yet who it is."""
    others = [Other(script, patience=lock.PATIENCE) for _ in range(3)]
    for _ in range(3):
        for one in others:
            one.ask(tmp_path / "ckpt")
        answers = {one: one.answer() for one in others}
        (winner,) = [one for one, said in answers.items() if said == "held"]
        named = re.compile(f"found (process {winner.process.pid} on |another process)")
        assert all(named.search(said) for one, said in answers.items() if one is not winner)
        winner.release()
        assert os.listdir(tmp_path / "ckpt") == []
    for one in others:
        one.process.communicate()


def test_when_it_was_locked(tmp_path: Path) -> None:
    """By the clock of the file system; None where it is not held."""
    assert locked_at(tmp_path) is None
    held = hold(tmp_path)
    os.utime(tmp_path / NAME, (1.5, 1.5))
    assert locked_at(tmp_path) == 1.5
    held.release()
    assert locked_at(tmp_path) is None


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
@pytest.mark.parametrize("is_there", [True, False], ids=["a file", "nothing"])
def test_what_a_link_in_the_place_of_the_lock_leads_to_stays(tmp_path: Path, is_there: bool) -> None:
    """It is not written, not made, and does not become the lock."""
    precious = tmp_path / "precious.txt"
    if is_there:
        precious.write_text("precious")
    directory = tmp_path / "ckpt"
    directory.mkdir()
    (directory / lock.NAME).symlink_to("../precious.txt")
    held = lock.hold(directory)
    assert not (directory / lock.NAME).is_symlink()
    held.release()
    assert precious.exists() == is_there and (not is_there or precious.read_text() == "precious")
