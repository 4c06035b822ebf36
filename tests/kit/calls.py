"""Every system call on a directory, watched, failed, or the last one that the process makes.

The calls are made for real as well. Beside them goes the model of what a power cut would leave, see disk.py.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from disk import File, Folder, State, after_cut, read

from callback_state._store import arrays, commit, staging
from callback_state._store import disk as seam

#: What a reader is entitled to: the newest save, those saves that must all be there, and whether the newest
#: must have its plain names.
Promise = tuple[int, frozenset[tuple[str, int]], bool]


class Died(BaseException):
    """The process ended here: nothing that it would have done later is done."""


@dataclass
class Fault:
    """What happens to one system call, counted from 0.

    Args:
        at: its number.
        error: the number of an error; None for the end of the process; 0 for a write that is cut short.
        after: whether the call does its work before.
        lasting: whether all later calls of its kind fail too.
    """

    at: int
    error: int | None = None
    after: bool = False
    lasting: bool = False
    kind: str = ""

    def strikes(self, number: int, kind: str) -> bool:
        if number == self.at:
            self.kind = kind
        return number == self.at or (self.lasting and number > self.at and kind == self.kind)


class Now:
    """An executor that does at once what it is given: a fault at the n-th call needs an order of calls."""

    def __init__(self, workers: int) -> None:
        pass

    def __enter__(self) -> Now:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except OSError as error:
            future.set_exception(error)
        return future


class Disk:
    """The system calls of one process below a directory.

    Args:
        patch: where they are watched.
        root: the directory, as it is now and durable so.
        fault: what happens to one of them.
        watch_cuts: whether to note what a power cut may leave.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, root: Path, fault: Fault | None = None, watch_cuts: bool = False
    ) -> None:
        self.root, self.fault, self.watch_cuts = str(root), fault, watch_cuts
        self.calls: list[str] = []
        self.dead = False
        self.paths: dict[int, str] = {}
        self.top = read(root)
        self.promised: Promise = (0, frozenset(), False)
        self.cuts: dict[State, set[Promise]] = {}
        for name in ("open", "write", "fsync", "close", "link", "mkdir", "rmdir", "unlink", "replace"):
            patch.setattr(os, name, _watched(self, name, getattr(os, name)))
        patch.setattr(seam, "ThreadPoolExecutor", Now)
        patch.setattr(seam.shutil, "rmtree", _remove_tree)
        listdir = os.listdir
        patch.setattr(os, "listdir", lambda path=".": sorted(listdir(path)))
        patch.setattr(seam, "_DURABLE", set())
        commit._FAILED.clear()
        arrays._SERVED.clear()
        # The same name in every run, so that the same state is looked at once.
        numbers = itertools.count(1)
        patch.setattr(staging.secrets, "token_hex", lambda size: f"{next(numbers):0{2 * size}x}")

    def restart(self) -> None:
        """Another process begins, which no fault strikes."""
        self.dead, self.fault = False, None
        seam._DURABLE.clear()
        commit._FAILED.clear()
        arrays._SERVED.clear()

    def promise(self, newest: int, all_of: dict[str, int], plain: bool = False) -> None:
        """From now on this is what a reader must find, also after a power cut."""
        self.promised = (newest, frozenset(all_of.items()), plain)
        self._note()
        self.promised = (newest, frozenset(all_of.items()), False)

    def _note(self) -> None:
        if self.watch_cuts:
            for state in after_cut(self.top):
                self.cuts.setdefault(state, set()).add(self.promised)

    def step(self, kind: str, real: Callable[[], Any], note: Callable[[], None]) -> Any:
        """One call: it happens, or what was planned for it."""
        if self.dead:
            raise Died(kind)
        self.calls.append(kind)
        fault = self.fault
        struck = fault is not None and fault.strikes(len(self.calls) - 1, kind)
        result = None
        if fault is None or not struck or fault.after:
            try:
                result = real()
                note()
                self._note()
            except OSError:
                if not struck:
                    raise
        if fault is None or not struck:
            return result
        if hasattr(result, "close"):  # nobody gets it
            result.close()
        if fault.error is None:
            self.dead = True
            raise Died(kind)
        raise OSError(fault.error, f"{os.strerror(fault.error)} (injected into {kind})")

    # What each call changes. Arguments are paths below the root.

    def node(self, path: str) -> Any:
        node: Any = self.top
        for part in path.split("/") if path else ():
            node = node.names[part]
        return node

    def _parent(self, path: str) -> tuple[Folder, str]:
        folder, _, name = path.rpartition("/")
        return self.node(folder), name

    def added(self, path: str, node: Any) -> None:
        folder, name = self._parent(path)
        folder.change({name: node})

    def moved(self, source: str, target: str) -> None:
        (old, name), (new, other) = self._parent(source), self._parent(target)
        node = old.names[name]
        if old is new:
            old.change({name: None, other: node})
        else:
            old.change({name: None})
            new.change({other: node})

    def written(self, path: str, data: bytes) -> None:
        self.node(path).data += data

    def synced(self, path: str) -> None:
        node = self.node(path)
        if isinstance(node, Folder):
            node.durable, node.pending = dict(node.names), []
        elif not node.lost:
            node.durable = node.data


def _watched(disk: Disk, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        by_fd = name in ("write", "fsync", "close")
        path = disk.paths.get(args[0]) if by_fd else _below(disk, args[0])
        if path is None or "dir_fd" in options:
            return real(*args, **options)
        return CALLS[name](disk, path, lambda *other: real(*(other or args), **options), args)

    return call


def _below(disk: Disk, path: Any) -> str | None:
    """The path below the root, or None."""
    path = os.path.abspath(path)
    if path == disk.root:
        return ""
    return path.removeprefix(disk.root + os.sep) if path.startswith(disk.root + os.sep) else None


def _remove_tree(path: str) -> None:
    """As ``shutil.rmtree``, whose calls are others in every Python."""
    for name in sorted(os.listdir(path)):
        os.unlink(os.path.join(path, name))
    os.rmdir(path)


def _open(disk: Disk, path: str, real: Any, args: Any) -> Any:
    if args[1] & seam._NO_WAIT:  # by a reader, who closes it in a way that is not watched
        return disk.step("open", real, lambda: None)
    new = bool(args[1] & os.O_CREAT)
    opened: list[int] = []

    def act() -> int:
        opened.append(real())
        disk.paths[opened[0]] = path
        return opened[0]

    try:
        return disk.step("create" if new else "open", act, lambda: disk.added(path, File()) if new else None)
    except BaseException:
        for fd in opened:  # nobody learns its number
            os.close(fd)
        raise


def _write(disk: Disk, path: str, real: Any, args: Any) -> Any:
    fault, data = disk.fault, bytes(args[1])
    if fault is not None and fault.error == 0 and fault.strikes(len(disk.calls), "write"):
        disk.calls.append("write")
        data = data[: max(1, len(data) // 3)]
        disk.written(path, data)
        return real(args[0], data)
    return disk.step("write", real, lambda: disk.written(path, data))


def _fsync(disk: Disk, path: str, real: Any, args: Any) -> Any:
    try:
        return disk.step("fsync", lambda: None, lambda: disk.synced(path))
    except OSError:
        node = disk.node(path)
        if isinstance(node, File):
            node.lost = True
        raise


def _close(disk: Disk, path: str, real: Any, args: Any) -> Any:
    del disk.paths[args[0]]
    return real()


CALLS: dict[str, Callable[[Disk, str, Any, Any], Any]] = {
    "open": _open,
    "write": _write,
    "fsync": _fsync,
    "close": _close,
    "mkdir": lambda d, path, real, args: d.step("mkdir", real, lambda: d.added(path, Folder())),
    "rmdir": lambda d, path, real, args: d.step("rmdir", real, lambda: d.added(path, None)),
    "unlink": lambda d, path, real, args: d.step("unlink", real, lambda: d.added(path, None)),
    "replace": lambda d, path, real, args: d.step("rename", real, lambda: d.moved(path, _below(d, args[1]) or "")),
    "link": lambda d, path, real, args: d.step(
        "link", real, lambda: d.added(_below(d, args[1]) or "", d.node(path))
    ),
}


def between(patch: pytest.MonkeyPatch, name: str, n: int, action: Callable[[], Any], module: Any = seam) -> None:
    """Let an action happen just after the n-th call (1-based) of a function of ``disk``, or of another module."""
    function, calls = getattr(module, name), itertools.count(1)

    def call(*args: Any) -> Any:
        result = function(*args)
        if next(calls) == n:
            action()
        return result

    patch.setattr(module, name, call)
