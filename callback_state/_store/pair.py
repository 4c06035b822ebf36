"""Reading a checkpoint, which is a pair: a model file ``M`` and its state file ``S``.

Where callbacks have large arrays, these are in files of their own, which count as a part of the state. A model
file and a state are a pair if the state contains the SHA-256 of the model file. Names and times do not count. If
``S`` has another digest, the staged state with the right one is the other half (see :mod:`.staging`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from .._format.statefile import TRAILER_SIZE, Sealed, check_end, model_size_in, unseal
from .._format.trust import Keys
from ..exceptions import CallbackStateError, CheckpointNotFoundError, CorruptCheckpointError, MismatchError
from . import arrays, disk, presence
from .staging import all_staged, hidden, staged_path

SUFFIX = ".callbacks.pkl"
MODEL_SUFFIXES = (".keras", ".weights.h5", ".h5")
#: How often a reader looks again because a writer changed the files meanwhile.
LOOKS = 10

#: Of a file with more bytes the end is read first, as it may be no state file.
LARGE = 1 << 26

Path = str | os.PathLike[str]
Read = Callable[[bytes, str], Sealed]


@dataclass(frozen=True)
class Pair:
    """A checkpoint that verified."""

    model_path: str
    state_path: str  # the name S, also while the state is staged
    sealed: Sealed
    #: That of M before it was read. As long as it is the same, so is the file.
    identity: object = field(default=None, compare=False)


def state_bytes(path: str, *, to_list: bool = False) -> bytes:
    """The bytes of a state file. Raises CorruptCheckpointError (large, and no state file) or OSError.

    ``to_list``: in the near copy of a store, those that its index gives are enough.
    """
    if not to_list:
        presence.be_here(path)
    size = os.path.getsize(path)
    if size > LARGE:
        check_end(disk.read_end(path, TRAILER_SIZE), size, path)
        if disk.is_hollow(path, size):
            raise CorruptCheckpointError(
                path,
                f"expected a state file, found {size} bytes, of which the disk holds hardly any: the rest was "
                f"never written; use another checkpoint",
            )
    try:
        return disk.read_bytes(path)
    except MemoryError:
        raise CorruptCheckpointError(path, f"{size} bytes are more than this machine has memory for") from None


def open_pair(path: Path, read: Read = unseal, *, keys: Keys | None = None) -> Pair:
    """The checkpoint at a path, verified: its model file is hashed, and its state has that digest.

    So are its arrays files, of which the state has the digests too. The path is that of the model file or the
    state file; links are followed. With ``keys``, the state has to be signed. A writer may work at the same time.
    Not guaranteed: that ``M`` is still that file when the caller loads it. Compare ``identity`` afterwards, or
    ``sealed.model_digest`` with the bytes that were loaded.

    Raises CheckpointNotFoundError, which says which file is missing, MismatchError, UntrustedError, OSError, or
    what ``read`` raises.
    """
    model = os.fspath(path).removesuffix(SUFFIX)
    model = os.path.realpath(model) if os.path.islink(model) else model
    arrive(model)
    identity = disk.identity(model)
    _, sealed = look(model, read)
    if keys is not None:
        keys.check(sealed, model)
    return Pair(model, model + SUFFIX, sealed, identity)


def model_of(state: str) -> str:
    """The path of the model file of a state file, by its name, which may be that of a staged state."""
    directory, name = os.path.split(state)
    found = hidden(name)
    return state.removesuffix(SUFFIX) if found is None else os.path.join(directory, found.base)


def states(directory: Path) -> list[tuple[str, list[str]]]:
    """The model files of a directory that have a state file, or had one; sorted by name. No file is read.

    Each model file, which may be missing, has the paths of the states that may be its own, ``S`` first. Raises
    CheckpointNotFoundError if there is no such directory.
    """
    directory = os.fspath(directory)
    try:
        names = {*os.listdir(directory or os.curdir)}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointNotFoundError(
            directory, "expected a directory of checkpoints, found none; check the path"
        ) from error
    staged: dict[str, list[str]] = {}
    for name in sorted(names):
        found = hidden(name)
        if found is not None and found.is_state:
            staged.setdefault(found.base, []).append(name)
    listed = []
    for model in _models(directory, names):
        base = os.path.basename(model)
        own = [base + SUFFIX] if base + SUFFIX in names else []
        paths = [os.path.join(directory, name) for name in (*own, *staged.get(base, ()))]
        if os.path.islink(model):
            target = os.path.realpath(model)
            others = all_staged(target) if os.path.isdir(os.path.dirname(target)) else []
            paths = [path for path in (target + SUFFIX, *others) if os.path.lexists(path)]
        if paths:
            listed.append((model, paths))
    return listed


def _models(directory: str, names: set[str]) -> list[str]:
    """The paths of the model files among some names, and of those whose state is among them."""
    models = {name.removesuffix(SUFFIX) for name in names}
    models = {m for m in models if m.endswith(MODEL_SUFFIXES) and not m.startswith(".")}
    paths = (os.path.join(directory, name) for name in sorted(models))
    return [path for path in paths if not os.path.isdir(path)]


def arrive(model: str) -> None:
    """Let a model file that is only in a store be fetched, if a state that may be its own is there."""
    if presence.is_away(model) and _may_have(model, os.path.getsize(model)):
        presence.be_here(model)


def has_digest(model: str, digest: bytes) -> bool:
    # Asked only where the file has another number now: a rename keeps it, except on some mounts.
    with contextlib.suppress(FileNotFoundError):
        return disk.digest(model)[0] == digest
    return False


def look(model: str, read: Read = unseal) -> tuple[str, Sealed]:
    """The reading rule: the path of the state of ``M``, and its content."""
    for _ in range(LOOKS):
        before = _now(model)
        try:
            return _look_once(model, read)
        except CallbackStateError as error:
            problem = error
        # A writer between two steps changes one of the two files. If both are as before, nobody is writing.
        if before == _now(model):
            break
    raise problem


def _now(model: str) -> object:
    """What changes when somebody changes one of the two files, or lets go of the content of one."""
    return disk.identity(model), disk.identity(model + SUFFIX), presence.turn(model)


def _look_once(model: str, read: Read) -> tuple[str, Sealed]:
    if not os.path.isfile(model):
        raise _no_model(model)
    arrive(model)
    try:
        # A large file takes long to hash, so its size comes first.
        size = os.path.getsize(model)
        digest, size = disk.digest(model) if _may_have(model, size) else (None, size)
    except FileNotFoundError:
        raise _no_model(model) from None
    problem: CallbackStateError = CheckpointNotFoundError(
        model,
        f"expected its state file {os.path.basename(model)}{SUFFIX} beside it, found none; "
        "put it back, or load the model alone with Keras",
    )
    for path in (model + SUFFIX, *([] if digest is None else [staged_path(model, digest)])):
        try:
            sealed = read(state_bytes(path), path)
            if sealed.model_digest == digest:
                arrays.check(model, sealed.blocks)
                return path, sealed
            problem = _mismatch(model, sealed, digest, size)
        except CallbackStateError as error:
            problem = error
        except disk.NoFileError as error:
            problem = CorruptCheckpointError(path, str(error.strerror))
        except FileNotFoundError:
            continue
    raise problem


def _may_have(model: str, size: int) -> bool:
    """Whether one of the states that may belong to a model file was written for one of this size."""

    def is_of(path: str) -> bool:
        with contextlib.suppress(FileNotFoundError, disk.NoFileError):
            return model_size_in(disk.read_end(path, TRAILER_SIZE)) == size
        return False

    return is_of(model + SUFFIX) or any(map(is_of, all_staged(model)))


def _mismatch(model: str, sealed: Sealed, digest: bytes | None, size: int) -> MismatchError:
    if size == sealed.model_size:
        guess = (
            "in as many bytes: the model file was changed or damaged since, or is of another save. "
            "Use another checkpoint, or a copy of this one"
        )
    else:
        guess = (
            f"in {size} bytes instead of {sealed.model_size}: it was cut short, or belongs to another model file. "
            "Put the two files of one save together, or use another checkpoint"
        )
    found = "another" if digest is None else digest.hex()[:12]
    return MismatchError(
        model,
        f"its state file {os.path.basename(model)}{SUFFIX} was written for the model file with "
        f"SHA-256 {sealed.model_digest.hex()[:12]}..., found {found}... {guess}",
    )


def _no_model(model: str) -> CheckpointNotFoundError:
    if os.path.isdir(model):
        return CheckpointNotFoundError(model, "expected a model file, found a directory")
    if os.path.lexists(model + SUFFIX):
        return CheckpointNotFoundError(
            model,
            f"expected the model file of {os.path.basename(model)}{SUFFIX}, found none; "
            "put it back beside its state file, or delete that",
        )
    found = "no regular file, but a pipe, a socket or a device" if os.path.lexists(model) else "nothing"
    return CheckpointNotFoundError(model, f"expected a model file, found {found}; check the path")
