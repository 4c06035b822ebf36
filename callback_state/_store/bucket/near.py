"""The near copy of one directory of a store: a directory on this machine that has the same names.

Small files are fetched at once. A model or an arrays file is fetched when somebody opens it; until then an empty
file of its size has its name, so that names and sizes are right. A near copy belongs to one process. It is private
to it, and goes with it: after a crash the store is what counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from ..._format.statefile import TRAILER_SIZE, model_digest_in
from ..._units import size_of
from ...exceptions import StoreError
from .. import disk
from ..pair import SUFFIX
from . import cache, index
from .index import Entry
from .kinds import Kind, file_of
from .objects import Bucket, Stamp

#: How many small files are fetched at a time.
AT_ONCE = 16
#: The index is written when so many states are not in it.
UNINDEXED = 8
#: How many of the newest checkpoints stay on this machine whole; of older ones the store has the large files.
WHOLE = 2
#: Bytes: of a larger file the log says that it is fetched.
LARGE = 1 << 26
_NONE = Stamp(0, "")
_LOG = logging.getLogger("callback_state")

Identity = tuple[int, int, int, int]


class Near:
    """A near copy.

    Attributes:
        url: of the directory, without secrets.
        directory: where the files are, an absolute path. It is missing as long as the store has none.
        number: the same for this URL in each process.
    """

    def __init__(self, url: str) -> None:
        self.bucket = Bucket(url)
        self.url = self.bucket.url
        self.number = int.from_bytes(hashlib.sha256(self.url.encode()).digest()[:7], "big")
        self.root = cache.new_near(self.url)
        self.directory = os.path.join(self.root, "files")
        self.guard = threading.RLock()  # held while files come, go, or are put
        self._far: dict[str, Stamp] = {}  # what the store has, as far as this process knows
        self._same: dict[str, Identity] = {}  # the local files that are those of the store
        self._away: dict[str, Identity] = {}  # those that are empty as yet, as they were made
        self._gone: set[str] = set()  # what this process has removed, and the store has as yet
        self._turns: Counter[str] = Counter()
        self._newest: list[str] = []  # the models that were put or fetched last
        self._indexed: set[tuple[str, Stamp]] = set()

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def local(self) -> dict[str, Identity]:
        """The files of checkpoints that are here, with what identifies their content."""
        names = os.listdir(self.directory) if os.path.isdir(self.directory) else []
        found = ((name, disk.identity(self.path(name))) for name in sorted(names) if file_of(name) is not None)
        return {name: identity for name, identity in found if identity is not None}

    def known(self) -> dict[str, Stamp]:
        """What the store has, as far as this process knows."""
        return dict(self._far)

    def is_same(self, name: str) -> bool:
        """Whether the local file is the one that the store has."""
        return name in self._same and self._same[name] == disk.identity(self.path(name))

    # From the store.

    def pull(self) -> None:
        """Make the near copy like the store. Raises StoreError."""
        with self.guard:
            found = self.listed()
            for name in self.local().keys() - found.keys():
                disk.remove(self.path(name))
            changed = [n for n, stamp in found.items() if self._far.get(n) != stamp or not self.is_same(n)]
            if found:
                os.makedirs(self.directory, exist_ok=True)
            else:
                with contextlib.suppress(OSError):  # it is not there
                    os.rmdir(self.directory)
            self._far, self._gone = found, set()
            for name in [*self._same.keys() - found.keys(), *changed]:
                self._same.pop(name, None)
                self._away.pop(name, None)
            self._bring(changed)

    def gone(self) -> set[str]:
        """What this process has removed, and the store has as yet; what others have removed comes back here."""
        missing = self._far.keys() - self.local().keys()
        if others := sorted(missing - self._gone):
            os.makedirs(self.directory, exist_ok=True)
            self._bring(others)
        self._gone &= self._far.keys()
        return missing & self._gone

    def _bring(self, names: list[str]) -> None:
        large = {name for name in names if (file := file_of(name)) is not None and file.is_large}
        for name in large:
            self._make_empty(name, self._far[name].size)
        self._fetch_small([name for name in names if name not in large])

    def listed(self) -> dict[str, Stamp]:
        """What the store has. Raises StoreError."""
        found = self.bucket.list()
        self._index = found.get(index.NAME, _NONE)
        return {name: stamp for name, stamp in found.items() if file_of(name) is not None}

    def _make_empty(self, name: str, size: int) -> None:
        new = self._part()
        with open(new, "xb") as file:
            file.truncate(size)
        self._put_in_place(new, name)
        self._away[name] = self._same[name]

    def _fetch_small(self, names: list[str]) -> None:
        """Fetch states: one request for all that the index has in the right version, one for each other."""
        entries = self._read_index() if len(names) > UNINDEXED else {}
        known = [e for n in names if (e := entries.get(n)) is not None and e.stamp == self._far[n]]
        for entry in known:
            new = self._part()
            with open(new, "xb") as file:
                file.write(entry.data)
            self._put_in_place(new, entry.name)
            self._away[entry.name] = self._same[entry.name]  # who opens the checkpoint reads the object itself
            self._indexed.add((entry.name, entry.stamp))
        rest = {*names} - {entry.name for entry in known}
        with ThreadPoolExecutor(AT_ONCE, "callback_state fetch") as pool:
            for _ in pool.map(self._fetch, sorted(rest)):
                pass

    def _read_index(self) -> dict[str, Entry]:
        if 0 < self._index.size <= index.MOST:
            with contextlib.suppress(FileNotFoundError):  # another process writes here, or has tidied up
                return index.unpack(self.bucket.get(index.NAME))
        return {}

    def _fetch(self, name: str) -> None:
        """Fetch one object; one that was deleted meanwhile is not there."""
        new = self._part()
        try:
            self.bucket.get_file(name, new, self._far[name].size)
        except FileNotFoundError:
            for path in (new, self.path(name)):
                disk.remove(path)
            for known in (self._far, self._same, self._away):
                known.pop(name, None)
            return
        self._put_in_place(new, name)
        self._away.pop(name, None)

    def _part(self) -> str:
        return os.path.join(self.root, f"part-{secrets.token_hex(8)}")

    def _put_in_place(self, new: str, name: str) -> None:
        os.replace(new, self.path(name))
        identity = disk.identity(self.path(name))
        assert identity is not None
        self._same[name] = identity
        self._turns[name] += 1

    # What readers ask, see presence.py.

    def is_away(self, name: str) -> bool:
        """Whether the content of a file is only in the store."""
        return name in self._away and self._away[name] == disk.identity(self.path(name))

    def turn(self, name: str) -> int:
        return self._turns[name]

    def goes(self, name: str) -> None:
        self._gone.add(name)

    def be_here(self, name: str) -> None:
        """Fetch the content of a file, from the cache of this machine or from the store. Raises StoreError."""
        if not self.is_away(name):
            return
        with self.guard:
            if not self.is_away(name):
                return
            stamp, file, new = self._far[name], file_of(name), self._part()
            if file is not None and file.is_large and cache.find(self.url, name, stamp, new):
                self._put_in_place(new, name)
                self._away.pop(name, None)
                return
            if stamp.size >= LARGE:
                _LOG.info("Fetching %s/%s (%s)", self.url, name, size_of(stamp.size))
            self._fetch(name)
            if file is not None and file.is_large and name in self._same:
                cache.keep(self.url, name, stamp, self.path(name), disk.digest(self.path(name))[0])

    # To the store; see push.py for the order.

    def put(self, name: str) -> None:
        """Put a file into the store. Raises StoreError; FileNotFoundError if it has gone meanwhile."""
        path = self.path(name)
        self._gone.discard(name)
        identity = disk.identity(path)
        if identity is None:  # a thread of this process has deleted it
            return
        file, stamp, twin = file_of(name), None, self._twin(name, identity)
        if twin is None or not self.bucket.copy(twin, name):
            self.bucket.put_file(name, path)
        if file is not None and file.kind is not Kind.STAGED:
            stamp = self.bucket.stat(name)
            if stamp is None or stamp.size != identity[2]:
                raise StoreError(
                    f"{self.url}/{name}", f"expected the {identity[2]} bytes that were put, found {stamp}"
                )
        self._far[name], self._same[name] = stamp or Stamp(identity[2], ""), identity
        self._away.pop(name, None)

    def _twin(self, name: str, identity: Identity) -> str | None:
        """Another name in the store of the very same arrays file. Its every tenth link is a fresh one, as here."""
        file = file_of(name)
        if file is None or file.kind is not Kind.ARRAYS:
            return None
        return next((n for n, same in self._same.items() if n in self._far and same == identity), None)

    def put_bytes(self, name: str, data: bytes) -> None:
        """Put an object that has no file here. Raises StoreError."""
        self.bucket.put(name, data)
        self._gone.add(name)
        self._far[name] = Stamp(len(data), "")

    def delete(self, name: str) -> None:
        """Delete an object. Raises StoreError."""
        self.bucket.delete(name)
        for known in (self._far, self._same, self._away, self._turns):
            known.pop(name, None)

    def keep_put(self, names: Iterable[str]) -> None:
        """Keep the models that were put for a later start; let go of the large files of older checkpoints."""
        for name in names:
            file, stamp = file_of(name), self._far.get(name)
            if file is None or file.kind is not Kind.MODEL or stamp is None or not self.is_same(name):
                continue
            digest = self._digest_of(name)
            if digest is not None:
                cache.keep(self.url, name, stamp, self.path(name), digest)
            self._newest = [*(n for n in self._newest if n != name), name]
        for name in self._newest[:-WHOLE]:
            self._let_go(name)
        self._newest = self._newest[-WHOLE:]

    def _digest_of(self, model: str) -> bytes | None:
        with contextlib.suppress(OSError):  # the state may have gone meanwhile
            return model_digest_in(disk.read_end(self.path(model + SUFFIX), TRAILER_SIZE))
        return None

    def _let_go(self, model: str) -> None:
        """Empty the large files of a checkpoint that the store has. What identifies them stays the same."""
        for name, identity in self.local().items():
            file, stamp = file_of(name), self._far.get(name)
            is_ours = file is not None and file.base == model and file.is_large
            if not is_ours or stamp is None or not self.is_same(name) or self.is_away(name):
                continue
            cache.drop(self.url, name, stamp)
            path = self.path(name)
            if os.stat(path).st_nlink > 1:  # another near copy, or another checkpoint, has it too
                continue
            self._away[name] = identity
            self._turns[name] += 1
            os.truncate(path, 0)
            os.truncate(path, stamp.size)
            os.utime(path, ns=(identity[3], identity[3]))

    def write_index(self, *, at_once: bool = False) -> None:
        """Write the index anew, if many states are not in it. Raises StoreError."""
        states = {n: s for n, s in self._far.items() if (file := file_of(n)) and file.kind is Kind.STATE}
        known = [(name, stamp) for name, stamp in sorted(states.items()) if stamp.version]
        missing = {*known} - self._indexed
        if len(known) <= UNINDEXED or len(missing) < (1 if at_once else UNINDEXED):
            return
        entries = []
        for name, stamp in reversed(known):
            with contextlib.suppress(OSError):  # deleted meanwhile
                data = disk.read_bytes(self.path(name))
                if len(data) == stamp.size and self.is_same(name):
                    entries.append(Entry(name, stamp, data))
        self.bucket.put(index.NAME, index.pack(entries))
        self._indexed = {(entry.name, entry.stamp) for entry in entries}
