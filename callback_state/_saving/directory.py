"""The directory of one checkpoint callback: its lock, and the files in it that are deleted."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import Any

from .._checkpoints.names import interim_name
from .._checkpoints.schema import Meta
from .._checkpoints.snapshot import Snapshot
from .._keras import hosts
from .._store import commit, disk, recover
from .._store.bucket import places
from .._store.pair import SUFFIX
from .._units import time_of
from .._warn import warn
from ..exceptions import CallbackStateError, HostError, OverwriteError
from .ledger import Ledger
from .own import Own, run_at, short


class Directory:
    """Where one checkpoint callback writes. The directory need not exist yet."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.absolute = os.path.abspath(path)  # now: later the working directory may have gone away
        self.beside = 0  # how many checkpoints of the callback's name were there when the fit began
        self._lock: Any = None

    def hold(self) -> None:
        """Lock the directory, unless it is locked; then complete or undo what a dead process has left.

        A directory that has gone away stays locked until another one is locked in its place.
        """
        if self._lock is None or not self._lock.is_in_place:
            held = places.hold(self.path)
            self.release()
            self._lock = held
            recover.recover_all(self.path)
            places.push(self.path)

    @property
    def is_held(self) -> bool:
        return self._lock is not None

    def release(self) -> None:
        """Let other processes write here."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def path_of(self, name: str) -> str:
        """The path of a model file, given its bare name."""
        return os.path.normpath(os.path.join(self.path, name))

    def has(self, name: str) -> bool:
        """Whether one of the two files of a checkpoint exists: a kill may have come between them."""
        path = self.path_of(name)
        return os.path.lexists(path) or os.path.lexists(path + SUFFIX)

    def has_replaced(self, ledger: Ledger, own: Own) -> bool:
        """Whether a kill has left an interim file of this run that is older than its last save."""
        if not ledger.stamp or ledger.interim is not None:
            return False

        def look() -> bool:
            meta = self.meta_of(interim_name(ledger.template))
            return meta is not None and meta.run_id == own.run and meta.saved_at < ledger.stamp

        return bool(hosts.first(look, "an older interim file"))

    def meta_of(self, name: str) -> Meta | None:
        """What the checkpoint of this name says; None if there is none that is whole."""
        with contextlib.suppress(CallbackStateError, OSError):
            return Snapshot.open(self.path_of(name)).meta
        return None

    def check_shared(self) -> None:
        """Raise HostError if the processes of this training do not see one and the same directory here."""
        if hosts.count() == 1 or places.holding_of(self.absolute) is not None:  # a store is shared
            return
        name = hosts.first(lambda: f".shared-{secrets.token_hex(8)}", "the name of a file")
        path = os.path.join(self.path, name)
        hosts.first(lambda: disk.write_bytes(path, b""), "a file in the directory")
        is_seen = hosts.all_agree(os.path.exists(path), "whether all see the file")
        hosts.first(lambda: disk.remove(path), "the end of the file")
        if not is_seen:
            raise HostError(
                f"{self.absolute}: expected one directory that all {hosts.count()} processes see, found that some "
                f"do not see what process 0 writes there. At a restart every process reads the checkpoint: give "
                f"filepath= a directory on a file system that all machines share."
            )

    def moment_of(self, name: str) -> list[Any] | None:
        """The run, epoch and batch of the checkpoint of this name; None if there is none that is whole."""
        meta = self.meta_of(name)
        return None if meta is None else [meta.run_id, meta.epoch, meta.batch]

    def look_at_due(self, checkpoint: Any) -> None:
        """Find out the digest of the model file that the restored state was saved with."""
        ledger = checkpoint.ledger
        if ledger.due is not None and hosts.is_first():
            checkpoint.own = checkpoint.own.completed(ledger.due, self.path_of(ledger.due), ledger.stamp)

    def may_delete(self, name: str, checkpoint: Any) -> bool:
        """Whether a checkpoint of this name is there that was not found to be foreign."""
        foreign = checkpoint.notices.foreign
        return bool(hosts.first(lambda: name not in foreign and self.has(name), "a file to be deleted"))

    def delete(self, checkpoint: Any) -> None:
        """Delete the checkpoints that are to go, if this run has written them; others are warned of once."""
        ledger, notices = checkpoint.ledger, checkpoint.notices
        gone = ledger.gone if hosts.is_first() else ()
        for name in [name for name in gone if name not in notices.foreign and self.has(name)]:
            path = self.path_of(name)
            try:
                until = ledger.stamp if name == ledger.replaced else None
                why = checkpoint.own.why_foreign(name, path, until=until)
                if why is None:
                    commit.delete(path)
                else:
                    notices.foreign |= {name}
                    warn(f"{path}: not deleted: {why}. It stays; remove it by hand.")
            except OSError as error:
                if name not in notices.undeleted:
                    notices.undeleted |= {name}
                    warn(f"{path}: not deleted, tried again at the next save: {error}")
        written = (name for name, _ in ledger.written)
        checkpoint.own = checkpoint.own.only([*written, *ledger.surplus, ledger.interim, ledger.replaced])

    def refuse_to_replace(self, name: str, own: Own) -> None:
        """Raise OverwriteError if a run that was restored is about to replace a checkpoint of another run."""
        path = self.path_of(name)
        if not own.is_resumed or own.is_as_left(name, path):
            return
        found = run_at(path)
        if found is not None and found.run_id != own.run:
            raise OverwriteError(
                path,
                f"expected no checkpoint or one of {short(own.run)}, which was restored, found one of "
                f"{short(found.run_id)}, saved {time_of(found.saved_at)}. Move the files of one run to another "
                f"directory, or choose another filepath.",
            )
