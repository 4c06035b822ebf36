"""A path of a user, which may be a URL, and the directory on this machine that stands for it.

One process has one near copy of a directory of a store, for all its readers and its writer.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from ..._shown import show_as
from ...exceptions import StoreError
from .. import lock, presence
from ..leaving import when_leaving
from .urls import is_url, public, split

if TYPE_CHECKING:
    from .holding import Holding

#: By the URL of the directory, without secrets.
_HOLDINGS: dict[str, Holding] = {}
#: The process that has made them.
_process = 0


def local(path: str | os.PathLike[str]) -> str:
    """The path on this machine that stands for a path or a URL. Nothing is fetched yet. Raises StoreError."""
    path = os.fspath(path)
    if not is_url(path):
        return path
    directory, name = split(path)
    near = _holding(directory).near
    return near.path(name) if name else near.directory


def pulled(path: str | os.PathLike[str]) -> str:
    """:func:`local`; the directory there is made like the store. A local path is returned as it is."""
    path = local(path)
    holding = holding_of(path) or holding_of(os.path.dirname(path))
    if holding is not None:
        holding.pull()
    return path


def holding_of(directory: str) -> Holding | None:
    """What keeps a directory like the one in a store; None if it stands for none.

    Raises StoreError in a process that was forked from the one that began to use the store.
    """
    near: Any = presence.source_of(directory)
    if near is None:
        return None
    holding = _HOLDINGS.get(near.url)
    if holding is None or holding.near is not near:
        raise StoreError(
            near.url,
            "expected to be used by the process that has opened it, found one that was forked from that: it has "
            "no connection and no lease. Start it anew (spawn), or save and restore in the first process only",
        )
    return holding


def hold(directory: str | os.PathLike[str]) -> Any:
    """:func:`.lock.hold`; of a directory in a store hold the lease too, and make the near copy like it."""
    holding = holding_of(os.fspath(directory))
    return lock.hold(directory) if holding is None else holding.hold()


def push(directory: str) -> None:
    """Put what has changed in a directory into the store for which it stands; for none of these do nothing.

    Raises StoreError, InUseError (the lease was lost), OSError.
    """
    holding = holding_of(directory)
    if holding is not None:
        holding.push()


def told_apart(error: Exception, path: str) -> Exception:
    """An error of this machine's disk under a path in a near copy, in words that do not blame the store for it."""
    holding = holding_of(os.path.dirname(os.path.abspath(path)))
    if holding is None or not isinstance(error, OSError) or error.errno is None:
        return error
    why = (
        f"{error.strerror}, on the disk of this machine: files are made in {holding.near.root} before they are "
        f"put into the store. Name another directory in the variable CALLBACK_STATE_CACHE"
    )
    return OSError(error.errno, why).with_traceback(error.__traceback__)


def _holding(url: str) -> Holding:
    global _process
    key = public(url)
    if key not in _HOLDINGS:
        from .holding import Holding

        if _process != os.getpid():
            _process = os.getpid()
            when_leaving(_leave_all)
        made = Holding(url)
        presence.register(made.near.directory, made.near)
        show_as(made.near.directory, key)
        _HOLDINGS[key] = made
    return _HOLDINGS[key]


def _leave_all() -> None:
    """The process ends: give back what it holds, and remove its near copies."""
    if _process != os.getpid():
        return
    for holding in _HOLDINGS.values():
        with contextlib.suppress(StoreError):  # the lease ends by itself
            holding.leave()


def _forget() -> None:
    """A forked child has neither the lease nor the thread in which fsspec works."""
    _HOLDINGS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
