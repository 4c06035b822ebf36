"""Which model files are a run's own: no run deletes what it has not written, or replaces another run's files.

A name proves nothing: somebody may have copied checkpoints of another run into the directory, or run the script
anew. So each run has an identity, which is in each of its state files, and for each name the digest of the model
file that the run has written is kept. The identity alone proves nothing either: a copied directory has it too.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from .._checkpoints.directory import Glance, glance
from .._checkpoints.summary import Summary
from .._format.statefile import unseal_first
from .._store import disk, pair
from ..exceptions import CallbackStateError

Identity = tuple[object, object]


@dataclass(frozen=True)
class Own:
    """What one checkpoint callback knows of its own run. It never changes; each method makes a new one.

    It is not the callback's state: the digests of two runs differ, also where the runs are the same.
    """

    run: str = ""  # 32 random hex digits from the first start of the run; empty before that
    digests: dict[str, str] = field(default_factory=dict)  # by name, the SHA-256 (hex) of each model file
    is_resumed: bool = False  # whether this process has restored the run
    epoch: int = -1  # the last 0-based epoch of which this process has saved something
    fits: int = 0  # how many fits of the run this process has begun, also those that had nothing to train
    extends: bool = False  # whether the last of them added epochs to a finished run
    #: What identifies both files of a name as this process has left them.
    left: dict[str, Identity] = field(default_factory=dict)

    def of(self, run: str | None, *, is_resumed: bool) -> Own:
        """This one, if it is of that run; else one that has written nothing. None: the run begins here."""
        run = run or new_run()
        if self.run == run:
            return self if not is_resumed else replace(self, is_resumed=True)
        return Own(run, is_resumed=is_resumed)

    def noted(self, name: str, digest: bytes, identity: Identity, epoch: int = -1) -> Own:
        """The model file of this name was written with this SHA-256, in a 0-based epoch.

        ``identity`` is what :func:`identity_of` gave then.
        """
        left = {**self.left, name: identity}
        return replace(self, digests={**self.digests, name: digest.hex()}, left=left, epoch=epoch)

    def only(self, names: Iterable[str | None]) -> Own:
        """What is known of these names."""
        names = {*names}
        digests = {name: digest for name, digest in self.digests.items() if name in names}
        return replace(self, digests=digests, left={name: of for name, of in self.left.items() if name in names})

    def is_as_left(self, name: str, path: str) -> bool:
        """Whether both files at the path are as this process has left them, as far as the system tells."""
        return name in self.left and self.left[name] == identity_of(path)

    def why_foreign(self, name: str, path: str, *, until: int | None = None) -> str | None:
        """Why the checkpoint at a path is not the one that this run has written; None if it is.

        With ``until`` (nanoseconds since 1970) each save of this run until then is the run's own, as the interim
        file has no digest that lasts. Raises OSError if a file cannot be read.
        """
        if os.path.islink(path) or os.path.islink(path + pair.SUFFIX):
            return "it is a link"
        if self.is_as_left(name, path):
            return None
        try:
            found = _looked_at(path)
        except CallbackStateError as error:
            return str(error)
        if found.summary.run_id != self.run:
            return f"it is of another run ({short(found.summary.run_id)})"
        if until is not None:
            return None if found.summary.saved_at <= until else "it was saved later than this run's last save"
        if found.sealed.model_digest.hex() != self.digests.get(name):
            return "it is not the file that this run has written"
        return None

    def completed(self, name: str, path: str, stamp: int) -> Own:
        """With the digest of the last save, which the state file of that very save cannot say.

        ``stamp`` is the time of that save, in nanoseconds since 1970.
        """
        if name in self.digests or os.path.islink(path):
            return self
        found = glance([path + pair.SUFFIX])
        if not isinstance(found, Glance) or (found.summary.run_id, found.summary.saved_at) != (self.run, stamp):
            return self
        return replace(self, digests={**self.digests, name: found.sealed.model_digest.hex()})


def new_run() -> str:
    """The identity of a run that begins."""
    return secrets.token_hex(16)


def run_at(path: str) -> Summary | None:
    """What the state file of the model file at a path says of its run; None if there is none that can be read."""
    real = os.path.realpath(path)
    found = glance([real + pair.SUFFIX]) if os.path.lexists(real) else None
    return found.summary if isinstance(found, Glance) else None


def short(run: str) -> str:
    """The identity of a run, for messages."""
    return f"run {run[:8]}"


def _looked_at(path: str) -> Glance:
    """The state of the model file at a path, or one that has lost its model file. Raises CallbackStateError."""
    if os.path.lexists(path):
        state, sealed = pair.look(path, unseal_first)
        return Glance(Summary.from_node(sealed.tree, state), (), sealed)
    found = glance([path + pair.SUFFIX])
    if isinstance(found, Glance):
        return found
    raise found


def identity_of(path: str) -> Identity:
    """What identifies both files of a checkpoint, as they are now."""
    return disk.identity(path), disk.identity(path + pair.SUFFIX)
