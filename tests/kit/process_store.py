"""Saves in a process without Keras, to be killed or to have its disk fail; a program for other tests.

    python process_store.py loop DIRECTORY LAST      saves on, alternately under a fixed name and a template
    python process_store.py fill DIRECTORY           saves while the file system fills up, and when there is room
    python process_store.py limit DIRECTORY          saves while files may not grow beyond a limit

What it found goes to standard output, a line of JSON each.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

from saves import NAME, Writer, listing

from callback_state._store import commit, recover

#: Bytes of a model; large enough for a kill to hit its writing.
SIZE = 400_000


def model(number: int) -> bytes:
    """Models that differ in every block."""
    return random.Random(number).randbytes(SIZE)


def small(number: int) -> bytes:
    return model(number)[:100_000]


def say(**what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def writers(directory: Path) -> tuple[Writer, Writer]:
    """One overwrites a file, the other keeps two, of the newest four numbers."""
    return Writer(directory, NAME, model=model), Writer(directory, "{epoch:06d}.keras", keep=4, model=model)


def loop(directory: Path, last: int) -> None:
    """Recover, say what is there, and save on until the number ``last``."""
    recover.recover_all(directory)
    fixed, numbered = both = writers(directory)
    hidden = [name for name in listing(directory) if name.startswith(".")]
    say(found=max(fixed.newest(), numbered.newest()), hidden=hidden)
    for number in range(max(fixed.newest(), numbered.newest()) + 1, last + 1):
        writer = both[number % 2]
        os.write(1, b"begin %d\n" % number)
        writer.save(number)
        os.write(1, b"end %d\n" % number)


def attempt(writer: Writer, number: int) -> str:
    """Save; what the system said, empty if nothing."""
    try:
        writer.save(number)
    except OSError as error:
        return os.strerror(error.errno or 0)
    return ""


def report(writer: Writer, number: int, **what: Any) -> None:
    error = attempt(writer, number)
    say(error=error, number=number, newest=writer.newest(), names=sorted(os.listdir(writer.directory)), **what)


def fill(directory: Path) -> None:
    """Leave less and less room for the second save, and make room for the third."""
    for left in range(0, 260_000, 4096):
        place = directory / "run"
        writer = Writer(place, NAME, model=small)
        writer.save(1)
        ballast(directory / "ballast", left)
        report(writer, 2, left=left)
        report(writer, 3, left=left)
        (directory / "ballast").unlink()
        report(writer, 4, left=None)
        commit.delete(writer.path(4))


def ballast(path: Path, left: int) -> None:
    """A file that takes all room of the file system but so many bytes."""
    free = os.statvfs(path.parent)
    path.write_bytes(b"x" * max(0, free.f_bavail * free.f_frsize - left))


def limit(directory: Path) -> None:
    """No file may grow beyond a limit; then it may."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    writer = Writer(directory, NAME, model=small)
    writer.save(1)
    for number, size in enumerate((0, 1, 50, 100, 4096, 65_536, 99_999), 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        error = attempt(writer, 2 * number)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        say(error=error, newest=writer.newest(), names=sorted(os.listdir(directory)), left=size)
        report(writer, 2 * number + 1, left=None)


if __name__ == "__main__":
    command, place, *rest = sys.argv[1:]
    COMMANDS = {"loop": loop, "fill": fill, "limit": limit}
    COMMANDS[command](Path(place), *map(int, rest))
