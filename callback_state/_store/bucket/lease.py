"""Who writes into a directory of a store: one process, which says so in the object ``.callback_state.lease``.

The object is made only if there is none, and it has an end. Its holder renews it. So the lease of a process that
died ends by itself, and one that died on this host is known to be dead at once. Clocks of two hosts may differ: a
process that waits counts the seconds by its own clock, and only whether the object changes meanwhile.

A lease that was lost is noticed before the next write, not at it. So in the worst case two writers put something
within the same seconds; the reading rule still finds a whole checkpoint then.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass

from ..._warn import warn
from ...exceptions import InUseError, StoreError
from ..staging import is_running
from .objects import Bucket, Stamp

NAME = ".callback_state.lease"
#: Seconds that a lease lasts if nobody renews it; it is renewed after a third of them.
SECONDS = 60.0
#: Seconds: one that ended so long ago is not waited for. Clocks of two hosts differ by less, also by time zones.
LONG_AGO = 24 * 3600
#: The part of its time for which one waits longer than a lease lasts, as a renewal takes time.
_MARGIN = 0.1
#: Bytes: what is larger is not read.
_MOST = 4096


@dataclass(frozen=True)
class Record:
    """What the object says. Anybody may have written it: it is only compared, and shown."""

    owner: str  # random
    number: int  # grows with each holder
    host: str
    machine: str  # where process numbers are those of the same processes
    pid: int
    program: str
    seconds: float
    until: float  # seconds since 1970, by the clock of the holder

    @classmethod
    def of(cls, data: bytes) -> Record | None:
        """None if it is no record of ours."""
        try:
            found = json.loads(data)
            record = cls(**found)
        except (ValueError, TypeError, RecursionError):
            return None
        kinds = [type(value) for value in asdict(record).values()]
        is_ours = kinds == [str, int, str, str, int, str, float, float] and 0 < record.pid < 1 << 31
        return record if is_ours else None

    def __str__(self) -> str:
        said = f"process {self.pid} on {self.host} ({self.program})"
        return said if said.isprintable() and len(said) < 300 else "another process"


class Lease:
    """The lease of one directory; it holds nothing until :meth:`acquire`."""

    def __init__(self, bucket: Bucket, seconds: float | None = None) -> None:
        self._bucket, self._seconds = bucket, SECONDS if seconds is None else seconds
        self._guard = threading.Lock()
        self._end = threading.Event()
        self._record: Record | None = None  # None where nothing is held, or the store has no lease
        self._renewed = 0.0  # by time.monotonic
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Hold the lease. If somebody else holds it, wait until it ends.

        Raises InUseError if it was renewed meanwhile. A store that cannot make an object only if there is none has
        no lease, and a warning says so once.
        """
        record = self._new(0)
        for _ in range(10):
            # Some stores do not heed the condition, so one looks first.
            made = self._found() is None and self._bucket.create(NAME, _dumped(record))
            if made is None:
                warn(
                    f"{self._bucket.url}: this store cannot make an object only if there is none, so nothing "
                    f"keeps a second run from writing here too. Make sure that no other run writes here."
                )
                return
            if made or self._is_own(record):
                self._hold(record)
                return
            found = self._found()
            if found is None:  # it has just been released
                continue
            other, stamp = found
            self._wait_for(other, stamp)
            record = self._new(0 if other is None else other.number)
            if self._bucket.replace(NAME, _dumped(record), stamp) and self._is_own(record):
                self._hold(record)
                return
        raise InUseError(self._bucket.url, "expected to be the only run that writes here, found others that begin")

    def check(self) -> None:
        """Raise InUseError if another process has taken the lease; renew it, if that is due. Raises StoreError."""
        if self._record is not None and time.monotonic() - self._renewed > self._seconds / 3:
            self._renew()
        if self._record is not None and self._end.is_set():
            raise self._lost()

    def release(self) -> None:
        """Let others write. A store that does not answer is left alone: the lease ends by itself."""
        thread, self._thread = self._thread, None
        record, self._record = self._record, None
        lost = self._end.is_set()
        self._end.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        if record is None or lost:
            return
        try:
            if self._is_own(record):
                self._bucket.delete(NAME)
        except StoreError as error:
            warn(f"{error}. The lease of this run was not given back; it ends in {self._seconds:.0f} s.")

    def _new(self, before: int) -> Record:
        number = max(before + 1, time.time_ns() // 1_000_000)
        program = os.path.basename(sys.argv[0] if sys.argv else "") or "python"
        until = time.time() + self._seconds
        place = (socket.gethostname(), machine(), os.getpid(), program)
        return Record(secrets.token_hex(16), number, *place, float(self._seconds), until)

    def _hold(self, record: Record) -> None:
        self._record, self._renewed = record, time.monotonic()
        self._end.clear()
        self._thread = threading.Thread(target=self._keep, name="callback_state lease", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        """Renew, in a thread of its own: between two saves hours may pass."""
        while not self._end.wait(self._seconds / 3):
            try:
                self._renew()
            except StoreError:  # tried again; the check before the next write tells
                continue

    def _renew(self) -> None:
        with self._guard:
            record = self._record
            if record is None or self._end.is_set():
                return
            new = Record(**{**asdict(record), "until": time.time() + self._seconds})
            began = time.monotonic()
            for _ in range(2):  # the answer to the last renewal may have been lost
                found = self._found()
                if found is None or found[0] is None or found[0].owner != record.owner:
                    self._end.set()
                    return
                if self._bucket.replace(NAME, _dumped(new), found[1]):
                    self._record, self._renewed = new, began
                    return
            self._end.set()

    def _wait_for(self, other: Record | None, stamp: Stamp) -> None:
        """Return when a lease has ended. Raises InUseError if its holder renews it."""
        seconds = self._seconds if other is None else min(max(other.seconds, 0.0), 10 * SECONDS)
        if other is not None and (_is_dead(other) or other.until + LONG_AGO < time.time()):
            return
        end = time.monotonic() + seconds * (1 + _MARGIN)
        who = "another process" if other is None else f"{other}"
        warn(
            f"{self._bucket.url}: {who} writes here, or has died less than {seconds:.0f} s ago. Waiting for up to "
            f"{seconds * (1 + _MARGIN):.0f} s, until that is known."
        )
        while time.monotonic() < end:
            time.sleep(min(1.0, seconds / 10))
            now = self._bucket.stat(NAME)
            if now is None:
                return
            if now != stamp:
                raise InUseError(
                    self._bucket.url,
                    f"expected to be the only run that writes here, found {who}. Each would delete and replace "
                    f"checkpoints of the other. Wait until it has ended, stop it, or choose another directory.",
                )

    def _found(self) -> tuple[Record | None, Stamp] | None:
        """What the object says, and its stamp; None if there is none."""
        stamp = self._bucket.stat(NAME)
        if stamp is None:
            return None
        try:
            return (Record.of(self._bucket.get(NAME)) if stamp.size <= _MOST else None), stamp
        except FileNotFoundError:
            return None

    def _is_own(self, record: Record) -> bool:
        found = self._found()
        return found is not None and found[0] is not None and found[0].owner == record.owner

    def _lost(self) -> InUseError:
        found = self._found()
        who = "nobody" if found is None else "another process" if found[0] is None else f"{found[0]}"
        error = InUseError(
            self._bucket.url,
            f"expected to hold the lease, found that it has passed to {who} while this process was not heard of. "
            f"Nothing more is written there. Stop one of the two runs, and start this script again",
        )
        error.lost = True
        return error


def _dumped(record: Record) -> bytes:
    return json.dumps(asdict(record)).encode()


def machine() -> str:
    """A name for the set of processes that this process can ask whether they run."""
    parts: list[str] = [socket.gethostname()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            parts.append(os.readlink(path) if os.path.islink(path) else _first_line(path))
        except OSError:  # no Linux
            parts.append("")
    return " ".join(parts)


def _first_line(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:
        return file.readline().strip()


def _is_dead(other: Record) -> bool:
    """Whether a holder was a process of this host that has ended. This process holds no lease that it asks for."""
    return other.machine == machine() and (other.pid == os.getpid() or not is_running(other.pid))
