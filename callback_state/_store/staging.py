"""The hidden files beside a model file ``M``, whose name is *base*: those of a save that is not complete.

* ``.<base>.tmp-<host>-<pid>-<random>/``, the *staging directory* of one save;
* ``.<base>.state-<32 hex digits>``, a *staged state*: the digits begin the SHA-256 of its model.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import socket
import threading
from collections.abc import Iterator
from typing import NamedTuple

from . import disk

_HIDDEN = re.compile(r"\.(?P<base>.+)\.(?:tmp-[\w.]*-[0-9]+-[0-9a-f]{8}|state-(?P<digits>[0-9a-f]{32}))", re.ASCII)
#: The staging directories that this process uses. Another one with the number of this process is older.
_ACTIVE: set[str] = set()
#: Held while a staging directory is made, and while an arrays file is removed because there is none. So no save
#: counts on a file that goes.
BEGINS = threading.Lock()


class Hidden(NamedTuple):
    """What the name of a hidden file says."""

    base: str  # the name of the model file
    is_state: bool  # a staged state; else a staging directory


def hidden(name: str) -> Hidden | None:
    """What a name says; None if it is not that of a hidden file of a save."""
    match = _HIDDEN.fullmatch(name)
    return None if match is None else Hidden(match["base"], match["digits"] is not None)


def staged_path(model: str, digest: bytes) -> str:
    """The path of the staged state of a model file whose SHA-256 is ``digest``."""
    directory, base = os.path.split(model)
    return os.path.join(directory, f".{base}.state-{digest.hex()[:32]}")


def all_staged(model: str) -> list[str]:
    """The paths of all staged states of a model file. Raises OSError if its directory cannot be read."""
    directory, base = os.path.split(model)
    names = os.listdir(directory or os.curdir)
    return [os.path.join(directory, name) for name in names if hidden(name) == (base, True)]


@contextlib.contextmanager
def staging(path: str) -> Iterator[str]:
    """A new directory ``.<base>.tmp-<host>-<pid>-<random>`` beside a file, for the time of a ``with`` block.

    It is no error if it cannot be removed at the end: everything of value has been renamed out of it, and the next
    process finds it with :func:`stagings`. Raises OSError if it cannot be made.
    """
    stage = f"{_stem(path)}{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with BEGINS:
            _ACTIVE.add(stage)
            disk.make_directory(stage)
        yield stage
    finally:
        try:
            with contextlib.suppress(OSError):
                disk.remove_tree(stage)
        finally:
            _ACTIVE.discard(stage)


def stagings(path: str) -> tuple[list[str], list[str]]:
    """The staging directories beside a file: (those that a dead process left, all others).

    Only processes of this host can be asked whether they run; on Windows only an earlier process with the number
    of this one is known to be dead. Not guaranteed: that a number still belongs to the same process; that two
    containers with one host name, which do not see each other's processes, take each other for alive.
    """
    directory, stem = os.path.split(_stem(path))
    found = [os.path.join(directory, n) for n in os.listdir(directory) if n.startswith(stem)]
    dead = [stage for stage in found if _is_dead(stage, _stem(path) + _host())]
    return dead, [stage for stage in found if stage not in dead]


def refuse_link(path: str) -> None:
    """Raise OSError (ELOOP) if there is a link at a path that is about to be replaced."""
    if os.path.islink(path):
        raise OSError(
            errno.ELOOP,
            f"expected a name without a link, found a link to {os.readlink(path)}, where a save would "
            f"replace what somebody else has there; remove the link",
            path,
        )


def _stem(path: str) -> str:
    directory, base = os.path.split(path)
    return os.path.join(directory, f".{base}.tmp-")


def _host() -> str:
    return re.sub(r"[^\w.]", "_", socket.gethostname(), flags=re.ASCII)


def _is_dead(stage: str, stem: str) -> bool:
    tail = re.fullmatch(r"-([1-9][0-9]{0,8})-[0-9a-f]{8}", stage.removeprefix(stem))
    if tail is None:
        return False
    pid = int(tail[1])
    if pid == os.getpid():
        return stage not in _ACTIVE
    return not is_running(pid)


def is_running(pid: int) -> bool:
    """Whether a process of this host runs; true if that cannot be told."""
    if disk.WINDOWS:  # signal 0 would not ask there, it would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def cut(path: str, size: int, kept: bytes = b"", *, anew: bool = False) -> None:
    """Cut a file, which is no link, after ``size`` bytes and append ``kept``; durable on return.

    ``anew`` makes a new file also where the old one could be cut. A writer that still has the old one open then
    writes into a file without a name. So it is for a file that has another name too, perhaps in a backup: there it
    stays as it is. After an OSError the file is as it was.
    """
    if not kept and not anew and os.stat(path).st_nlink == 1:
        os.truncate(path, size)
        disk.sync_file(path)
        return
    for stage in stagings(path)[0]:
        disk.remove_tree(stage)
    with staging(path) as stage:
        new = os.path.join(stage, os.path.basename(path))
        with open(path, "rb") as source, open(new, "xb") as target:
            while size and (chunk := source.read(min(size, disk.READ_SIZE))):
                target.write(chunk)
                size -= len(chunk)
            target.write(kept)
        shutil.copymode(path, new)
        disk.sync_file(new)
        disk.rename(new, path)
    disk.sync_directory(os.path.dirname(path))
