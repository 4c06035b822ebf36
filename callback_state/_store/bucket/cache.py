"""Large files of stores that are kept on this machine, so that a second start does not download them again.

A file is found by the store, the object and its version, and it counts only if it still has the SHA-256 that is in
its name. An entry goes when nobody has used it for ``KEPT`` seconds. Of one directory of a store the ``NEWEST``
entries stay until then; an older one goes when a newer one comes. An entry is a directory, whose time says when it
was used: the file in it may have another name elsewhere, and is not touched.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import time

from ...exceptions import StoreError
from .. import disk
from ..staging import is_running
from .lease import machine
from .objects import Stamp
from .urls import cache_directory

#: Seconds: thirty days.
KEPT = 30 * 24 * 3600
#: How many large files of one directory of a store are kept.
NEWEST = 4
_FILE = "content"


def _directory(url: str) -> str:
    return os.path.join(cache_directory(), "files", hashlib.sha256(url.encode()).hexdigest()[:32])


def _key(name: str, stamp: Stamp) -> str:
    return hashlib.sha256(f"{name}\0{stamp.size}\0{stamp.version}".encode()).hexdigest()[:32]


def find(url: str, name: str, stamp: Stamp, path: str) -> bool:
    """Give the kept file of a version of an object a second name, ``path``, which is new; whether there is one."""
    if not stamp.version:
        return False
    directory, key = _directory(url), _key(name, stamp)
    for entry in _entries(directory):
        found, _, digest = os.path.basename(entry).partition(".")
        if found != key:
            continue
        try:
            if disk.digest(os.path.join(entry, _FILE))[0].hex() == digest:
                _same(os.path.join(entry, _FILE), path)
                os.utime(entry)
                return True
            disk.remove_tree(entry)
        except OSError:  # another process has removed it, or the disk does not give it: it is downloaded
            continue
    return False


def keep(url: str, name: str, stamp: Stamp, path: str, digest: bytes) -> None:
    """Keep a file, which has this SHA-256, for this version of an object. A disk that refuses is no error."""
    if not stamp.version:
        return
    directory = _directory(url)
    entry = os.path.join(directory, f"{_key(name, stamp)}.{digest.hex()}")
    with contextlib.suppress(OSError):  # then the next start downloads it again
        if not os.path.exists(entry):
            new = f"{entry}.{secrets.token_hex(4)}"
            os.makedirs(new)
            _same(path, os.path.join(new, _FILE))
            os.rename(new, entry)
        os.utime(entry)
        _sweep(directory)


def drop(url: str, name: str, stamp: Stamp) -> None:
    """Keep the files of a version of an object no longer. Raises OSError."""
    key = _key(name, stamp)
    for entry in _entries(_directory(url)):
        if os.path.basename(entry).startswith(f"{key}."):
            disk.remove_tree(entry)


def _same(path: str, new: str) -> None:
    """Give a file a second name, or copy it where the system makes no such names."""
    try:
        disk.link(path, new)
    except OSError:
        shutil.copyfile(path, new)


def _entries(directory: str) -> list[str]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        names = []
    return [os.path.join(directory, name) for name in sorted(names)]


def _sweep(directory: str) -> None:
    entries = sorted(_entries(directory), key=os.path.getmtime, reverse=True)
    for entry in entries[NEWEST:]:
        disk.remove_tree(entry)
    everything = os.path.dirname(directory)
    for other in _entries(everything):
        for entry in _entries(other):
            if os.path.getmtime(entry) < time.time() - KEPT:
                disk.remove_tree(entry)
        with contextlib.suppress(OSError):  # it has entries
            os.rmdir(other)


# Near copies.

#: Stands in a near copy that has checkpoints which the store has not.
OWED = "owed"


def new_near(url: str) -> str:
    """A new directory for a near copy of this process. Those that dead processes have left are removed.

    Homes may be shared between hosts, so a name says on which one its process is. Raises StoreError.
    """
    try:
        return _new_near(os.path.join(cache_directory(), "near"))
    except OSError as error:
        raise StoreError(
            url,
            f"expected a directory of this machine for what is fetched and put, found that {cache_directory()} "
            f"cannot be used ({error}). Name another one in the variable CALLBACK_STATE_CACHE",
        ) from None


def _new_near(everything: str) -> str:
    os.makedirs(everything, mode=0o700, exist_ok=True)
    here = hashlib.sha256(machine().encode()).hexdigest()[:12]
    for path in _entries(everything):
        with contextlib.suppress(OSError):  # another process removes it too
            if _is_left(path, here):
                disk.remove_tree(path)
    made = os.path.join(everything, f"{here}-{os.getpid()}-{secrets.token_hex(6)}")
    os.mkdir(made, 0o700)
    return made


def _is_left(path: str, here: str) -> bool:
    """Whether nobody needs a near copy any more; ``here`` is how the names of this machine's begin."""
    where, _, rest = os.path.basename(path).partition("-")
    pid = rest.partition("-")[0]
    is_old = os.path.getmtime(path) < time.time() - KEPT
    if os.path.exists(os.path.join(path, OWED)):
        return is_old
    return (is_old and where != here) or (where == here and pid.isdecimal() and not is_running(int(pid)))


def owe(near: str, is_owed: bool) -> None:
    """Note whether the store lacks something that a near copy has: then that outlives its process."""
    path = os.path.join(near, OWED)
    if is_owed:
        with open(path, "ab"):
            return
    disk.remove(path)


def remove_near(near: str) -> None:
    """Remove a near copy, unless the store lacks something that it has."""
    if not os.path.exists(os.path.join(near, OWED)):
        with contextlib.suppress(OSError):  # the next process sweeps it
            disk.remove_tree(near)
