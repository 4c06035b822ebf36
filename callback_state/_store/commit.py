"""Writing a checkpoint, so that its files appear as one, and deleting it.

:mod:`.pair` says how a pair is read, :mod:`.staging` what the hidden files beside it are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .._format.blocks import LiveFile
from .._format.statefile import TRAILER_SIZE, model_digest_in
from . import arrays as _arrays
from . import disk
from .pair import SUFFIX, Path, has_digest
from .recover import recover, sweep, sweep_arrays
from .staging import refuse_link, staged_path, staging

#: The model files whose last save or deletion in this process failed.
_FAILED: set[str] = set()


@dataclass(frozen=True)
class Written:
    """The files of a checkpoint, durable in a staging directory, and the path that the model will get."""

    new_model: str
    model: str
    digest: bytes
    arrays: list[tuple[str, str]]  # of each arrays file that is not in its place: where it is, and its path


@contextlib.contextmanager
def write(
    model_path: Path,
    write_model: Callable[[str], tuple[bytes, int] | None],
    make_state: Callable[[bytes, int], bytes],
    *,
    link: bool = True,
    arrays: Iterable[LiveFile] = (),
) -> Iterator[Written]:
    """Write the files of a checkpoint into a staging directory, for :func:`commit` within the block.

    Missing directories are made. If the path is a link, it is followed, or without ``link`` the write is refused
    with an OSError (ELOOP) before anything is written. It is always refused where the name of the state or of an
    arrays file is a link. ``arrays`` are those that the state refers to. ``write_model`` writes the model file at
    the given path and closes it. It returns the SHA-256 (32 bytes) and the size (bytes) if the file is on the
    disk; after None the file is synced and read here. ``make_state`` makes a sealed state from these two. If
    anything raises, no checkpoint has changed.
    """
    if not link:
        refuse_link(os.fspath(model_path))
    model = os.path.realpath(model_path)
    disk.make_directories(os.path.dirname(model))
    refuse_link(model + SUFFIX)  # no script gives its path
    _finish_failed(os.path.dirname(model))
    try:
        with staging(model) as stage:
            new_model = os.path.join(stage, os.path.basename(model))
            digest, size = write_model(new_model) or disk.sync_and_digest(new_model)
            staged = _arrays.stage(stage, model, arrays)
            disk.write_bytes(new_model + SUFFIX, make_state(digest, size))
            yield Written(new_model, model, digest, staged)
    except BaseException:
        _FAILED.add(model)
        _sweep_arrays(model)
        raise
    _sweep_arrays(model)


def _sweep_arrays(model: str) -> None:
    """Remove the arrays files that no state of a model refers to any more, or those of a save that failed."""
    try:
        sweep_arrays(model, disk.identity(model))
    except OSError:  # tried again before the next save
        _FAILED.add(model)


def commit(written: Written) -> None:
    """Put a checkpoint in its place. At every instant either the old or the new one is whole.

    This is the order of writes. Steps 1 to 3 are :func:`write`, step 8 is the end of its block:

    1. Make the staging directory.
    2. Write the model there under its own name, and sync it. Write the arrays files that are not in their place
       there, or make hard links to the same arrays of another checkpoint, once these have been read and have the
       right digests; and sync them.
    3. Write the state there, which contains the digests of the model and of the arrays, and sync it.
    4. Rename the arrays files to their own names, which contain their digests, so that none of another content is
       replaced. Rename the state to its staged name, and sync the directory: all of it is durable before the model
       moves.
    5. Rename the model to ``M``. This is the commit point.
    6. Sync the directory, before the old ``S`` is replaced.
    7. If ``M`` is still the file just written, rename the staged state to ``S``, and sync the directory.
       Else another writer was later, and the staged state stays.
    8. Remove the staging directory, then the arrays files of ``M`` that no state of ``M`` contains. Old
       checkpoints are deleted only after the return: the model, then its state, then its arrays.

    Readers follow one rule, and so does recovery: ``S`` counts if it contains the digest of ``M``, else the staged
    state with that digest does. See :func:`.pair.open_pair` and :func:`.recover.recover`.

    Not guaranteed: which of two writers of one ``M`` wins, and that two at the very same step leave a pair.

    Raises:
        OSError: before step 5 the previous checkpoint is as it was; from step 5 on the new one is there.
    """
    model, new_model, digest = written.model, written.new_model, written.digest
    directory, staged = os.path.dirname(model), staged_path(model, digest)
    identity = disk.identity(new_model)
    # If the same bytes are saved again, this may be the only state of the old model.
    used = os.path.exists(staged)
    try:
        for new_arrays, path in written.arrays:
            disk.rename(new_arrays, path)
        disk.rename(new_model + SUFFIX, staged)
        disk.sync_directory(directory)
        disk.rename(new_model, model)
    except BaseException:
        # An error alone does not say whether the model has moved. Its place does.
        if os.path.exists(new_model) and not used:
            with contextlib.suppress(OSError):
                disk.remove(staged)
        raise
    disk.sync_directory(directory)
    if disk.identity(model) == identity or has_digest(model, digest):
        # The recovery of another writer may have taken this step already.
        with contextlib.suppress(FileNotFoundError):
            disk.rename(staged, model + SUFFIX)
        disk.sync_directory(directory)


def _finish_failed(directory: str) -> None:
    """Before a save: recover what failed saves of this process left, so that it does not pile up."""
    failed = [*_FAILED]  # saves in other threads add to it meanwhile
    for model in [model for model in failed if os.path.dirname(model) == directory]:
        with contextlib.suppress(OSError):  # tried again before the next save
            recover(model)
            _FAILED.discard(model)


def commit_state(model_path: Path, data: bytes, arrays: Iterable[LiveFile] = ()) -> None:
    """Replace only the state file of a model file, with a sealed state for the same model; durable on return.

    ``arrays`` are the arrays files that the new state refers to, unless they are those of the old one, which have
    been verified. After an OSError either the old or the new state file is there, whole.
    """
    model = os.path.realpath(model_path)
    with staging(model) as stage:
        new_state = os.path.join(stage, os.path.basename(model) + SUFFIX)
        staged = _arrays.stage(stage, model, arrays)
        disk.write_bytes(new_state, data)
        for new_arrays, path in staged:
            disk.rename(new_arrays, path)
        if staged:
            disk.sync_directory(os.path.dirname(model))
        disk.rename(new_state, model + SUFFIX)
        disk.sync_directory(os.path.dirname(model))
    _sweep_arrays(model)


def delete(model_path: Path) -> None:
    """Remove a checkpoint if it is there: the model file, then its state, then its arrays. Raises OSError.

    Of a link only the link itself is removed, never what it leads to.

    First the state gets its staged name. So if the process is killed, :func:`.recover.recover` either finds the
    pair whole and keeps it, or finds a staged state without a model and removes it. A state without a model under
    the name ``S`` is different: its model was lost, and the state stays.
    """
    directory, name = os.path.split(model_path)
    model = os.path.join(os.path.realpath(directory), name)
    if not os.path.isdir(os.path.dirname(model)):
        return
    is_link = os.path.islink(model)
    try:
        _stage_again(model)
        disk.remove(model)
        disk.sync_directory(os.path.dirname(model))
        if is_link:
            return
        disk.remove(model + SUFFIX)
        sweep(model, None)
    except BaseException:
        _FAILED.add(model)
        raise


def _stage_again(model: str) -> None:
    """Give the state of a checkpoint its staged name. A file that is no state file keeps its name."""
    digest = None
    if os.path.islink(model):
        return
    with contextlib.suppress(FileNotFoundError, disk.NoFileError):
        digest = model_digest_in(disk.read_end(model + SUFFIX, TRAILER_SIZE))
    if digest is not None:
        disk.rename(model + SUFFIX, staged_path(model, digest))
        disk.sync_directory(os.path.dirname(model))
