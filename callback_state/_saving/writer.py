"""Writing the checkpoints of one ``fit``, going on where the disk fails, and the mark that a run has ended."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from .._callbacks.in_place import Held
from .._callbacks.taken import Taken, TakenState, take_state
from .._checkpoints.schema import Meta, Run
from .._checkpoints.snapshot import Snapshot
from .._format.room import Room
from .._format.trust import signer_of
from .._keras import hosts, weights
from .._keras.backend import backend
from .._keras.values import Values
from .._loop.messages import say, stopped
from .._store import commit, pair
from .._store.bucket import places
from .._units import moment
from .._warn import warn
from ..exceptions import CallbackStateError, InUseError, NotPicklableError, OverwriteError, StoreError, WriteError
from . import on_saved, together
from .directory import Directory
from .published import Published
from .rescue import Copy
from .save import Save
from .start import tell_of_directory


@dataclass
class _Last:
    """The last moment that was saved or noted."""

    path: str | None  # the model file; None if there is none, or if it is an interim file
    digest: str  # of the model
    state: TakenState
    meta: Meta | None = None  # None if nothing was saved
    run: Run | None = None


def _too_long(path: str) -> OSError:
    name = os.path.basename(path)
    return OSError(
        errno.ENAMETOOLONG,
        f"file name too long: {len(os.fsencode(name))} bytes, to which a save adds the endings of its "
        f"other files. Give filepath= a shorter name, for example '{{epoch:03d}}.keras'",
        path,
    )


def _late(path: str, error: Exception) -> WriteError:
    return WriteError(
        path,
        f"not saved beside training ({type(error).__name__}: {error}). The checkpoint before is unchanged. Remove "
        f"the cause, and start the script again; or pass on_save_error='warn' to train on",
    )


def _model_at(path: str) -> list[Any] | None:
    """The SHA-256, in hexadecimal digits, and the size of the model file of a checkpoint; None if it is not whole.

    Somebody may have removed it, or the directory may have gone away.
    """
    with contextlib.suppress(CallbackStateError, OSError):
        sealed = pair.open_pair(path).sealed
        return [sealed.model_digest.hex(), sealed.model_size]
    return None


class Writer:
    """Writes for a checkpoint callback.

    ``wrote_at`` is when it has written last, or begun, in seconds of ``time.monotonic``.
    """

    def __init__(self, checkpoint: Any, model: Any) -> None:
        self._checkpoint, self._model = checkpoint, model
        self.directory = Directory(checkpoint.root)
        self.published = Published(checkpoint, self.directory)
        self.wrote_at = time.monotonic()
        self._has_written = False
        self._last: _Last | None = None
        #: The newest file that was written, and its moment, in words.
        self.saved: str | None = None
        self._room = Room()  # for copies of the arrays of callbacks
        #: For copies of values, where they change in place; None as long as none has done so.
        self._room_of_values = None if backend().keeps_held else Room()

    def prepare(self, path: str, taken: Taken, *, interim: bool, beside: bool = False) -> Save:
        """Look at all that can be wrong, and hold what is to be written.

        An interim checkpoint goes when a regular one is there. The model has not changed since ``taken``.
        ``beside``: training goes on while the save runs, unless it needs the model.
        """
        checkpoint = self._checkpoint
        hosts.first(lambda: self._enter(path), "the directory before a save")
        values = Values(beside=beside, room=self._room_of_values)
        save = Save(checkpoint, self._model, path, taken, values, self._room, interim=interim)
        self.wrote_at = time.monotonic()
        return save

    def _enter(self, path: str) -> None:
        tell_of_directory(self._checkpoint)
        self.directory.hold()
        self.directory.refuse_to_replace(os.path.basename(path), self._checkpoint.own)

    def note(self, save: Save) -> None:
        """A save has run."""
        save.sha256 = bytes.fromhex(hosts.first(save.sha256.hex, "the digest of the model file"))
        meta, path, taken, checkpoint = save.meta, save.path, save.taken, self._checkpoint
        if taken.run.data is None and self._stands_still(meta):
            checkpoint.notices.warn_of_old_values(path, meta.model.iterations)
        checkpoint.own = checkpoint.own.noted(os.path.basename(path), save.sha256, save.identity, meta.epoch)
        self._last = _Last(None if save.interim else path, meta.model.digest, taken.state, meta, taken.run)
        self._has_written = True
        self.saved = f"{path} ({moment(meta.epoch, meta.batch)})"

    def _stands_still(self, meta: Meta) -> bool:
        """Whether batches were trained since the last save, and the optimizer has made no step."""
        before = None if self._last is None else self._last.meta
        if before is None or meta.batch is None or (before.epoch, before.batch) == (meta.epoch, meta.batch):
            return False
        return meta.model.iterations == before.model.iterations > 0

    def note_moved(self) -> None:
        """A value has changed while it was held: from now on values are copied."""
        self._room_of_values = Room()

    def write(self, path: str, taken: Taken, *, interim: bool, may_raise: bool = True) -> None:
        """Write both files and commit them, at once. If this fails, the checkpoint before is unchanged.

        Without ``may_raise`` a function of ``on_saved=`` that fails is only warned of.
        """
        save = self.prepare(path, taken, interim=interim)
        save.run()
        self.note(save)
        self.wrote_at = time.monotonic()
        self._hand_on(path, save.meta, may_raise=may_raise)

    def _hand_on(self, path: str, meta: Meta, *, may_raise: bool = True) -> None:
        error = None
        if hosts.is_first():
            self.published.announce(path, meta)
            error = self.published.call()
        self.tell(path, error, may_raise=may_raise)

    def leave(self) -> None:
        """The ``fit`` is over: what a store still lacks is put there, and others may write."""
        if self.directory.is_held:
            self.published.finish()
        self.directory.release()

    def tell(self, path: str, error: Exception | None, *, may_raise: bool = True) -> None:
        """In the thread that trains: what a function of ``on_saved=`` has raised, and what the store lacks."""

        def act() -> None:
            self.published.tell(path, may_raise=may_raise)
            on_saved.tell(error, path, may_raise=may_raise and self._checkpoint.on_save_error == "raise")

        hosts.first(act, "what is told of a save")

    def attempt(
        self, act: Callable[[], object], path: str, *, may_raise: bool = True, is_late: bool = False
    ) -> bool:
        """Do something that writes; return whether it succeeded. If the disk fails, warn, and let training go on.

        An error that is not the system's would come again at each save, and so would one with which a store
        refuses a request for good. It is raised, unless a save has succeeded before. (HDF5 reports a full disk
        in many ways; a directory that has gone away may come back in use.) An attribute that cannot be saved any
        more could be saved when training began, and its owner may let go of it. Without ``may_raise`` no error
        leaves. ``is_late``: the save was begun at an earlier event, so an error that leaves says which one it
        was.
        """
        raised = None
        try:
            act()
        except Exception as caught:
            raised = places.told_apart(caught, path)
        error = hosts.agreed(raised, "whether it was saved")
        if error is not None:
            is_too_long = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG
            is_refused = isinstance(error, StoreError) and error.lasts
            may_pass = isinstance(error, (OSError, NotPicklableError)) and not (is_too_long or is_refused)
            is_final = isinstance(error, OverwriteError) or (isinstance(error, InUseError) and error.lost)
            lasting = is_final or not (may_pass or self._has_written)
            if may_raise and (lasting or self._checkpoint.on_save_error == "raise"):
                if is_too_long:
                    raise _too_long(path) from error
                if is_late:
                    raise _late(path, error) from error
                raise error
            warn(
                f"{path}: not saved ({type(error).__name__}: {error}). The checkpoint before is unchanged, "
                f"training goes on, and the next save tries again. To end training instead, pass "
                f"on_save_error='raise'."
            )
            return False
        return True

    def write_copy(self, copy: Copy, name: str) -> None:
        """Write an interim save that was kept in memory, under this name, while an exception leaves ``fit``."""
        path = self.directory.path_of(name)
        with copy.put_in_place():
            write = partial(self.write, path, copy.taken, interim=True, may_raise=False)
            is_saved = self.attempt(write, path, may_raise=False)
        if is_saved and self._checkpoint.verbose and self.saved is not None:
            say(stopped("an exception", [self.saved], "fit raises it"))

    # The end of a run.

    def note_end(self, callbacks: list[Any]) -> None:
        """Note the last epoch, which is not saved, to find out whether the end of the run changes anything."""
        self._last = None
        with contextlib.suppress(NotPicklableError):  # the save of the end, which follows, tells
            digest = weights.digest_of(self._model)  # first: every process comes here
            self._last = _Last(None, digest, take_state(callbacks, self._model).settled())

    def adopt(self, path: str, callbacks: list[Any]) -> None:
        """Take over the checkpoint that a killed process has written of the present moment."""
        found = hosts.each(lambda: Snapshot.open(path), "the checkpoint of this moment")
        state = hosts.each(lambda: take_state(callbacks, self._model).settled(), "the state of this moment")
        self._last = _Last(path, weights.digest_of(self._model), state, found.meta, found.run)

    def mark_finished(self, epoch: int, callbacks: list[Any], held: Held) -> bool:
        """Mark the checkpoint of the last epoch as finished. If False, the end needs a checkpoint of its own."""
        last, path = self._last, self._saved_at(epoch)
        if last is None or path is None or not self._is_unchanged(callbacks):
            return False
        assert last.meta is not None and last.run is not None
        model = hosts.first(lambda: _model_at(path), "the last checkpoint")
        if model is None:
            self._last = replace(last, path=None)
            return False
        meta = replace(last.meta, finished=True)
        taken = together.take(callbacks, self._model, meta, last.run, held)

        def commit_state() -> None:
            data = taken.sealed(bytes.fromhex(model[0]), model[1], signer_of(self._checkpoint.keys, path))
            commit.commit_state(path, data, taken.arrays.files())

        hosts.first(commit_state, "the mark of the end")
        self._hand_on(path, meta)
        return True

    def end_of(self, epoch: int, callbacks: list[Any]) -> dict[str, Any]:
        """The fields of ``Meta`` with which a checkpoint of the end differs from others."""
        path = self._saved_at(epoch)
        return {
            "finished": True,
            "goes_on_from": None if path is None else os.path.basename(path),
            "exact_end": self._is_unchanged(callbacks),
        }

    def _is_unchanged(self, callbacks: list[Any]) -> bool:
        """Whether model and callbacks are as they were at the last moment that was saved or noted."""
        last = self._last
        is_same = last is not None and last.digest == weights.digest_of(self._model)
        if last is None or not hosts.all_agree(is_same, "whether the end has changed the model"):
            return False
        is_same = hosts.each(lambda: last.state == take_state(callbacks, self._model), "the state at the end")
        return hosts.all_agree(is_same, "whether the end has changed a callback")

    def _saved_at(self, epoch: int) -> str | None:
        """The checkpoint that was saved at the end of this 0-based epoch."""
        last = self._last
        if last is None or last.meta is None or last.meta.initial_epoch != epoch + 1:
            return None
        return last.path
