"""Object stores in the memory of the test: a directory for each test, requests that are counted, and that fail."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from saves import Arrays, Writer, whole

from callback_state._store import presence, recover
from callback_state._store.bucket import places
from callback_state._store.bucket.objects import Bucket

_NUMBERS = itertools.count()


class Dead(BaseException):
    """Stands for SIGKILL at a request: nobody may catch it."""


def new_url() -> str:
    """The URL of a directory that no other test uses."""
    return f"memory://bucket{os.getpid()}/run{next(_NUMBERS)}"


def objects(url: str) -> dict[str, bytes]:
    """What a directory of the memory has: the bytes of each object, also of those that are no checkpoints."""
    fs = fsspec.filesystem("memory")
    root = url.removeprefix("memory:/")
    names = fs.ls(root, detail=False) if fs.exists(root) else []
    return {os.path.basename(name): fs.cat_file(name) for name in names}


def checkpoints(url: str) -> list[str]:
    """The names of the objects that are files of checkpoints."""
    return sorted(name for name in objects(url) if not name.startswith(".callback_state."))


def put(url: str, name: str, data: bytes) -> None:
    """Write an object as somebody else."""
    fsspec.filesystem("memory").pipe_file(f"{url.removeprefix('memory:/')}/{name}", data)


def die() -> None:
    """What a process knows is gone, and its threads have ended: the next call is that of a new process."""
    for holding in places._HOLDINGS.values():
        holding.lease._end.set()
    places._HOLDINGS.clear()
    presence._SOURCES.clear()


@contextmanager
def writing(url: str) -> Iterator[Any]:
    """Hold a directory as a run does; the directory on this machine. After a kill nothing is given back."""
    directory = places.local(url)
    held = places.hold(directory)
    recover.recover_all(directory)
    places.push(directory)
    try:
        yield directory
    except Dead:
        die()
        raise
    held.release()


def seen(url: str) -> dict[str, int]:
    """The checkpoints that a new process reads, by name."""
    die()
    return whole(Path(places.pulled(url)))


def arrays_of(number: int) -> Arrays:
    return (b"the same", f"of {number}".encode())


def saves(directory: str, template: str, numbers: range, keep: int | None = None, arrays: bool = False) -> None:
    writer = Writer(Path(directory), template, keep, arrays=arrays_of if arrays else lambda number: ())
    for number in numbers:
        writer.save(number)
        places.push(directory)


class Requests:
    """The requests of all stores, in their order: (verb, name). ``fault`` is called before and after each one."""

    def __init__(self, monkeypatch: Any, fault: Callable[[int, str, str], None] | None = None) -> None:
        self.seen: list[tuple[str, str]] = []
        self.fault = fault
        send = Bucket._try

        def counted(bucket: Bucket, verb: str, name: str, act: Callable[[], Any]) -> Any:
            number = len(self.seen)
            self.seen.append((verb, name))

            def acted() -> Any:
                if self.fault is not None:
                    self.fault(2 * number, verb, name)
                result = act()
                if self.fault is not None:
                    self.fault(2 * number + 1, verb, name)
                return result

            return send(bucket, verb, name, acted)

        monkeypatch.setattr(Bucket, "_try", counted)

    def kill_at(self, number: int) -> None:
        """Die before the request ``number // 2``, counted from now; if the number is odd, after it."""
        begin = 2 * len(self.seen)

        def fault(at: int, verb: str, name: str) -> None:
            if at - begin == number:
                raise Dead

        self.fault = fault
