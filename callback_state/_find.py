"""Finding checkpoints: the newest in a directory, all of them, and what they say of the run.

None of this needs TensorFlow.
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from dataclasses import dataclass
from typing import Any

from . import _pair
from ._snapshot import Snapshot
from .exceptions import CallbackStateError, CheckpointNotFoundError, CorruptCheckpointError

__all__ = ["Checkpoint", "Found", "find", "latest_checkpoint", "list_checkpoints", "load_meta"]


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint of a directory that verifies.

    Attributes:
        path: the model file.
        epoch: the 0-based epoch in or after which it was saved.
        batch: the 0-based batch after which it was saved; None at the end of an epoch.
        finished: whether the run had ended.
        monitor: (name of the monitored series, its value or None).
        saved_at: nanoseconds since 1970, growing along a run.
    """

    path: str
    epoch: int
    batch: int | None
    finished: bool
    monitor: tuple[str, float | None]
    saved_at: int


@dataclass(frozen=True)
class Found:
    """A checkpoint that verified, opened."""

    model_path: str
    snapshot: Snapshot

    @property
    def saved_at(self) -> int:
        saved_at: int = self.snapshot.meta["saved_at"]
        return saved_at

    @classmethod
    def open(cls, path: str) -> Found:
        pair = _pair.open_pair(path)
        return cls(pair.model_path, Snapshot.read(pair.state_path, pair.sealed))


def find(path: str, callbacks: list[Any] | None, *, missing_ok: bool) -> Found | None:
    """The checkpoint at ``path``, or the newest in that directory; None where there is none.

    Args:
        path: a model file, a state file, or a directory.
        callbacks: where a checkpoint callback is among them, only what it wrote counts in a directory.
        missing_ok: whether None is an answer.
    """
    try:
        if not os.path.isdir(path):
            return Found.open(path)
        return _newest(path, _templates(callbacks))
    except CheckpointNotFoundError:
        if missing_ok and not _is_half_there(path):
            return None
        raise


def _is_half_there(path: str) -> bool:
    """A model without its state, or the reverse, is something lost, not something that never was."""
    return not os.path.isdir(path) and os.path.exists(path)


def _templates(callbacks: list[Any] | None) -> set[str]:
    return {
        c.template
        for c in callbacks or ()
        if hasattr(type(c), "template")  # ours, told without importing Keras
    }


def _newest(directory: str, templates: set[str]) -> Found | None:
    """The newest that verifies; what is older is not read, as it may be terabytes."""
    candidates = sorted(_candidates(directory), key=lambda c: c.saved_at, reverse=True)
    _warn_of_bare(directory, templates)
    mine = [c for c in candidates if not templates or c.template in (None, *templates)]
    _warn_of_others(directory, candidates, templates)
    found: Found | None = None
    errors: list[CallbackStateError] = []
    for candidate in mine:
        if found is not None and found.saved_at > candidate.saved_at:
            break
        try:
            opened = Found.open(candidate.path)
        except CallbackStateError as error:
            errors.append(error)
            warnings.warn(f"left aside: {error}", stacklevel=4)
        else:
            found = max(found or opened, opened, key=lambda f: f.saved_at)
    if found is None and errors:
        raise CorruptCheckpointError(
            directory, f"none of {len(errors)} checkpoints verifies; the first: {errors[0]}"
        )
    if found is None:
        raise CheckpointNotFoundError(
            directory,
            "no checkpoint here: expected model files (.keras, .h5, .weights.h5), each with its "
            ".callbacks.pkl. Pass missing_ok=True for a run that may be the first.",
        )
    return found


@dataclass(frozen=True)
class _Candidate:
    """A model file or a state file, and what its state says before anything is verified against it."""

    path: str
    saved_at: float
    template: str | None


def _candidates(directory: str) -> list[_Candidate]:
    found = []
    for path, states in _pair.peek(directory):
        # Damaged: first, so that it is opened, warned of, and left aside.
        best = _Candidate(path, float("inf"), None)
        with contextlib.suppress(CorruptCheckpointError):
            metas = [Snapshot.read(path, sealed).meta for sealed in states]
            newest = max(metas, key=lambda meta: meta["saved_at"], default=None)
            if newest is not None:
                best = _Candidate(path, newest["saved_at"], newest["template"])
        found.append(best)
    return found


def _warn_of_bare(directory: str, templates: set[str]) -> None:
    for template in sorted(templates):
        whole, bare = names_of(template, directory)
        if whole and bare:
            warnings.warn(
                f"{directory}: left aside: {', '.join(bare)} of this run's name, without state files",
                stacklevel=5,
            )


def _warn_of_others(directory: str, found: list[_Candidate], templates: set[str]) -> None:
    others = {c.template for c in found if c.template is not None} - templates
    if templates and others and not any(c.template in templates for c in found):
        warnings.warn(
            f"{directory}: has checkpoints named {', '.join(sorted(others))}, and none named "
            f"{', '.join(sorted(templates))}: nothing to restore for this run.",
            stacklevel=5,
        )


def names_of(template: str, directory: str) -> tuple[list[str], list[str]]:
    """The model files of a directory whose names a template gives: those with a state file, and without.

    Only names are read.
    """
    parts = re.split(r"(\{[^}]*\})", template)
    pattern = re.compile("".join(map(_pattern_of, parts)))
    try:
        names = set(os.listdir(directory or os.curdir))
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    models = sorted(name for name in names if pattern.fullmatch(name))
    with_state = [name for name in models if name + _pair.SUFFIX in names]
    return with_state, [name for name in models if name + _pair.SUFFIX not in names]


def _pattern_of(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    return r"\d+" if re.match(r"\{(epoch|batch)\b", part) else ".+"


def refuse_to_begin_anew(path: str, callbacks: list[Any]) -> None:
    """A run that would begin anew and write over what is there has lost its checkpoints, not none.

    Raises:
        CheckpointNotFoundError: the checkpoint callback's directory is another one and has checkpoints,
            or the model files are there and their state files are not.
    """
    for callback in callbacks:
        if not hasattr(type(callback), "template"):
            continue
        directory = os.path.dirname(callback.filepath) or os.curdir
        whole, bare = names_of(callback.template, directory)
        if whole and not _is_same(path, directory):
            raise CheckpointNotFoundError(
                path,
                f"expected a checkpoint, found none; but {directory}, where ModelCheckpointEnhanced in into= "
                f"writes, has {len(whole)}, which a new run would write over. "
                f"Write restore_callbacks({directory!r}, ...).",
            )
        if bare and not whole:
            raise CheckpointNotFoundError(
                directory,
                f"has {len(bare)} model files of this run's name without state files ({', '.join(bare[:3])}), "
                f"which a new run would write over. Put the .callbacks.pkl files back, or, if the models "
                f"are of another run, move them or choose another filepath.",
            )


def _is_same(path: str, directory: str) -> bool:
    return os.path.realpath(path) == os.path.realpath(directory)


def _scan(directory: str) -> tuple[list[Found], list[tuple[str, CallbackStateError]]]:
    found: list[Found] = []
    rejected: list[tuple[str, CallbackStateError]] = []
    for item in _pair.scan(directory):
        if isinstance(item, _pair.Rejected):
            # A model file without a state file is somebody else's.
            if os.path.exists(f"{item.path.removesuffix(_pair.SUFFIX)}{_pair.SUFFIX}"):
                rejected.append((item.path, item.error))
            continue
        try:
            found.append(Found(item.model_path, Snapshot.read(item.state_path, item.sealed)))
        except CallbackStateError as error:
            rejected.append((item.state_path, error))
    return found, rejected


def list_checkpoints(directory: str | os.PathLike[str]) -> list[Checkpoint]:
    """The checkpoints of a directory that verify, oldest first; a damaged one is warned of.

    Args:
        directory: where to look; not in directories below it.

    Raises:
        CheckpointNotFoundError: there is no such directory.

    Example:
        >>> import tempfile
        >>> from callback_state import list_checkpoints
        >>> list_checkpoints(tempfile.mkdtemp())
        []
    """
    found, rejected = _scan(os.fspath(directory))
    for path, error in rejected:
        warnings.warn(f"{path}: left aside: {error}", stacklevel=2)
    listed = [
        Checkpoint(f.model_path, m["epoch"], m["batch"], m["finished"], m["monitor"], m["saved_at"])
        for f in found
        for m in (f.snapshot.meta,)
    ]
    return sorted(listed, key=lambda checkpoint: checkpoint.saved_at)


def latest_checkpoint(directory: str | os.PathLike[str]) -> str | None:
    """The path of the newest model file in a directory that verifies; None where there is none.

    Example:
        >>> import tempfile
        >>> from callback_state import latest_checkpoint
        >>> latest_checkpoint(tempfile.mkdtemp()) is None
        True
    """
    if not os.path.isdir(directory):
        return None
    checkpoints = list_checkpoints(directory)
    return checkpoints[-1].path if checkpoints else None


def load_meta(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a checkpoint says of its run: ``epochs`` (0-based), one list per series, ``training_args``.

    Args:
        path: a model file, a state file, or a directory (then its newest checkpoint). An HDF5 file that
            has lost its state file still has its own copy, which is read then.

    Raises:
        CheckpointNotFoundError, CorruptCheckpointError, MismatchError: as :func:`restore_callbacks`.

    Example:
        >>> from callback_state import load_meta
        >>> load_meta("ckpt/010.keras")["epochs"][-1] + 1  # doctest: +SKIP
        10
    """
    path = os.fspath(path)
    if path.endswith(".h5") and os.path.exists(path) and not os.path.exists(path + _pair.SUFFIX):
        from ._modelfile import read_meta

        meta = read_meta(path)
        if meta is not None:
            return meta
    found = find(path, None, missing_ok=False)
    assert found is not None
    history = found.snapshot.meta["history"]
    return {
        **history["series"], "epochs": history["epochs"],
        "training_args": found.snapshot.meta["training_args"],
    }
