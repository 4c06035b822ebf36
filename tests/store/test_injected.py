"""The kernel fails single calls of a real process that saves, by way of ``strace -e inject``."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from saves import NAME, STATE
from test_kills import ENVIRONMENT, PROGRAM

from callback_state._store import recover

#: Calls by the names that they have on one machine or another.
CALLS = {
    "write": "write,?pwrite64,?writev",
    "fsync": "fsync,?fdatasync",
    "rename": "?rename,?renameat,renameat2",
    "open": "?open,openat",
    "unlink": "?unlink,?rmdir,unlinkat",
    "mkdir": "?mkdir,mkdirat",
}


class Traced:
    """A process that saves when it is told to, and whose calls can be made to fail."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(60)
        command = [sys.executable, str(PROGRAM), "obey", str(directory), str(theirs.fileno())]
        self.process = subprocess.Popen(command, env=ENVIRONMENT, pass_fds=[theirs.fileno()])
        theirs.close()

    def close(self) -> None:
        self.channel.close()
        assert self.process.wait(60) == 0

    def ask(self, order: bytes) -> str:
        self.channel.send(order)
        answer = self.channel.recv(10_000)
        assert answer, "the process has ended"
        return answer.decode()

    def save(self) -> str:
        """What the system said to it; empty if nothing."""
        return self.ask(b"s").removeprefix("-")

    def report(self) -> tuple[int, list[str]]:
        """By how many the newest checkpoint is newer than at the last report, and all names."""
        answer = json.loads(self.ask(b"r"))
        return answer["new"], answer["names"]

    @contextmanager
    def injected(self, calls: str, error: str, when: int, threads: bool) -> Iterator[Path]:
        """One call of each thread fails; a file that says which. Skips the test where nobody may trace."""
        log = self.directory.parent / "strace.txt"
        command = ["strace", *(["-f"] if threads else []), "-p", str(self.process.pid), "-o", str(log)]
        command += ["-e", f"trace={calls}", "-e", f"inject={calls}:error={error}:when={when}"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            said = strace.stderr.readline()
            if "attached" not in said:
                pytest.skip(f"strace cannot attach: {said.strip()}")
            try:
                yield log
            finally:
                strace.send_signal(signal.SIGINT)
                strace.stderr.read()


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[Traced]:
    if not sys.platform.startswith("linux"):
        pytest.skip("strace is for Linux")
    if shutil.which("strace") is None:
        pytest.skip("there is no program strace")
    process = Traced(tmp_path / "run")
    try:
        yield process
    finally:
        process.channel.close()
        process.process.wait(60)


@pytest.mark.parametrize("error", ["ENOSPC", pytest.param("EIO", marks=pytest.mark.heavy)])
@pytest.mark.parametrize("call", CALLS)
def test_every_call_of_a_real_save_fails_once(traced: Traced, call: str, error: str) -> None:
    """The old or the new checkpoint is there, the next save works, and afterwards nothing is left over."""
    assert (traced.save(), traced.report()) == ("", (1, [NAME, STATE]))
    struck = 0
    for threads in (False, True):
        for when in range(1, 100):
            with traced.injected(CALLS[call], error, when, threads) as log:
                said = traced.save()
            if "(INJECTED)" not in log.read_text():
                assert (said, traced.report()[0]) == ("", 1)
                break
            struck += 1
            assert traced.report()[0] in ((0, 1) if said else (1,))
            assert said or call in ("unlink", "open"), "an error was not passed on"
            assert (traced.save(), traced.report()[0]) == ("", 1)
        assert when < 99
    assert struck >= {"write": 2, "fsync": 4, "rename": 3, "open": 4, "unlink": 1, "mkdir": 1}[call]
    names = traced.report()[1]
    traced.close()
    left = {name for name in names if name not in (NAME, STATE)}
    assert left == set() or (call in ("unlink", "open") and all(".tmp-" in name for name in left))
    assert recover.recover_all(traced.directory) == []
    assert sorted(os.listdir(traced.directory)) == [NAME, STATE]
