"""A near copy in use: by readers, who want it as the store is now, and by a writer, who alone changes that."""

from __future__ import annotations

import contextlib
import os
import secrets

from ..._warn import warn
from ...exceptions import InUseError, StoreError
from .. import lock
from . import cache
from .kinds import file_of
from .lease import Lease
from .near import Near
from .push import is_as_known, push


class Holding:
    """A near copy, its lease, and how many of this process hold it."""

    def __init__(self, url: str) -> None:
        self.near = Near(url)
        self.lease = Lease(self.near.bucket)
        self.owed = False  # whether the store lacks what was committed here
        self._count = 0

    def pull(self) -> None:
        """Make the near copy like the store, unless this process writes: nobody else does. Raises StoreError."""
        with self.near.guard:
            if not self._count and not self.owed:
                self.near.pull()

    def hold(self) -> Held:
        """Become the writer. Raises InUseError, StoreError."""
        with self.near.guard:
            if not self._count:
                self.lease.acquire()
                try:
                    self._begin()
                    held = Held(self, lock.hold(self.near.directory))
                except BaseException:
                    self.lease.release()
                    raise
            else:
                held = Held(self, lock.hold(self.near.directory))
            self._count += 1
            return held

    def _begin(self) -> None:
        if self.owed and not is_as_known(self.near):
            aside = os.path.join(self.near.root, f"not in the store {secrets.token_hex(4)}")
            os.rename(self.near.directory, aside)
            self.owed = False
            warn(
                f"{self.near.url}: another run has written there since. What the store lacked stays in {aside}, "
                f"and is not put there any more."
            )
        if not self.owed:
            self.near.pull()
        with contextlib.suppress(StoreError):  # a policy may forbid to list them; the docs name the rule for that
            self.near.bucket.abort_uploads(lambda name: file_of(name) is not None)

    def push(self) -> None:
        """Put what has changed here into the store. Raises StoreError, InUseError, OSError."""
        with self.near.guard:
            try:
                if self._count:
                    self.lease.check()
                put = push(self.near)
            except (OSError, InUseError):
                self.owed = True
                cache.owe(self.near.root, True)
                raise
            if self.owed:
                self.owed = False
                cache.owe(self.near.root, False)
            self.near.keep_put(put)
            self._index()

    def _index(self, *, at_once: bool = False) -> None:
        with contextlib.suppress(StoreError):  # a listing then needs more requests, and nothing else
            self.near.write_index(at_once=at_once)

    def let_go(self) -> None:
        """One holder less; after the last one others may write."""
        with self.near.guard:
            self._count -= 1
            if not self._count:
                with contextlib.suppress(StoreError, InUseError):  # who has lost the lease writes nothing
                    self.lease.check()
                    self._index(at_once=True)
                self.lease.release()

    def leave(self) -> None:
        """The process ends."""
        if self._count:
            self._count = 0
            self.lease.release()
        cache.remove_near(self.near.root)


class Held:
    """A directory in a store that this process holds, until :meth:`release`."""

    def __init__(self, holding: Holding, held: lock.Held) -> None:
        self._holding: Holding | None = holding
        self._held = held

    @property
    def is_in_place(self) -> bool:
        return self._holding is not None and self._held.is_in_place

    def release(self) -> None:
        """Release it. A second call does nothing."""
        holding, self._holding = self._holding, None
        if holding is not None:
            self._held.release()
            holding.let_go()
