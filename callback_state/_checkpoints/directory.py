"""The checkpoints of a directory, damaged ones included, each run by itself.

What opens a whole checkpoint is imported only when that is asked for: it is a third of the time of a listing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .._format.pickles import ReadError, parse_first
from .._format.statefile import Sealed, unseal_first
from .._format.trust import Keys
from .._store import arrays, pair
from .._store.staging import hidden
from ..exceptions import CallbackStateError, CheckpointNotFoundError, CorruptCheckpointError, MismatchError
from .names import template_of
from .schema import Meta
from .summary import Summary


@dataclass(frozen=True)
class Listed:
    """A checkpoint, or what is left of one."""

    path: str  # of the model file
    size: int  # bytes of all its files; other checkpoints may have the same arrays file
    saved_at: int  # nanoseconds since 1970; where no state file says so, when a file was last changed
    summary: Summary | None = None  # None where no state file can be read
    callbacks: tuple[str, ...] = ()  # their keys
    signed: bool = False  # rightly or wrongly
    meta: Meta | None = None  # where the checkpoint was verified; its state is not kept
    problem: CallbackStateError | None = None  # why it is no whole checkpoint

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def verified(self) -> bool | None:
        """Whether the checkpoint is whole; None if the model file was not read."""
        return False if self.problem is not None else None if self.meta is None else True


@dataclass(frozen=True)
class Run:
    """The checkpoints that have one template; ``template`` is None for those that do not say theirs."""

    template: str | None
    checkpoints: list[Listed] = field(default_factory=list)

    @property
    def whole(self) -> list[Listed]:
        """Those that are not known to be damaged, oldest first."""
        return [checkpoint for checkpoint in self.checkpoints if checkpoint.problem is None]

    @property
    def newest(self) -> Listed | None:
        return self.whole[-1] if self.whole else None


def files_of(path: str) -> list[tuple[str, list[str]]]:
    """The model files of a directory, or the one at a path, each with the state files that may be its own.

    In a directory those without one are left out. Raises CheckpointNotFoundError if there is no such directory.
    """
    if os.path.isdir(path):
        return pair.states(path)
    model = path.removesuffix(pair.SUFFIX)
    near = pair.states(os.path.dirname(path)) if any(map(os.path.lexists, (model, model + pair.SUFFIX))) else []
    own = [own for found, own in near if os.path.basename(found) == os.path.basename(model)]
    return [(model, own[0] if own else [])]


def runs_in(directory: str, checkpoints: list[Listed]) -> list[Run]:
    """The checkpoints of a directory by run, each run oldest first; bare model files of a run's name included."""
    known = [*dict.fromkeys(c.summary.template for c in checkpoints if c.summary is not None)]
    lost = [look(os.path.join(directory, name), []) for name in _bare(directory) if template_of(name, known)]
    runs: dict[str | None, Run] = {}
    for checkpoint in sorted([*checkpoints, *filter(None, lost)], key=lambda c: (c.saved_at, c.name)):
        said = None if checkpoint.summary is None else checkpoint.summary.template
        template = template_of(checkpoint.name, known) if said is None else said
        runs.setdefault(template, Run(template)).checkpoints.append(checkpoint)
    return list(runs.values())


def _bare(directory: str) -> list[str]:
    """The model files without a state file; the state file of a link is elsewhere."""
    names = {*os.listdir(directory or os.curdir)}
    models = [n for n in names if n.endswith(pair.MODEL_SUFFIXES) and not n.startswith(".")]
    staged = {found.base for n in names if (found := hidden(n)) is not None and found.is_state}
    bare = [name for name in models if name + pair.SUFFIX not in names and name not in staged]
    return [name for name in bare if not os.path.islink(os.path.join(directory, name))]


def look(model: str, states: list[str], *, verify: bool = False, keys: Keys | None = None) -> Listed | None:
    """One checkpoint; None where a writer has deleted it meanwhile.

    ``states`` are the state files that may be its own, as :func:`files_of` gives them. With ``verify`` the model
    file is read, else only its size is looked at, where one state file is there. ``keys`` is what it has to be
    signed with.
    """
    given = states
    for _ in range(pair.LOOKS):
        states, seen = glance_again(model, states)
        found = _look_once(model, states, seen, verify, keys)
        if not given or found.problem is None:
            return found
        if is_deleted(model):
            return None
        if all(map(os.path.lexists, states)):
            break
    return found


def is_deleted(model: str) -> bool:
    """Whether a checkpoint has gone. A deletion that goes on may have left a staged state of it."""
    return not any(map(os.path.lexists, (model, model + pair.SUFFIX)))


def glance_again(model: str, states: list[str]) -> tuple[list[str], Glance | CallbackStateError]:
    """:func:`glance`, and the state files of the model: others, if a writer has renamed those that were listed."""
    seen = glance(states)
    for _ in range(pair.LOOKS):
        if not isinstance(seen, CallbackStateError) or all(map(os.path.lexists, states)):
            break
        states = files_of(model)[0][1]
        seen = glance(states)
    return states, seen


def _look_once(
    model: str, states: list[str], seen: Glance | CallbackStateError, verify: bool, keys: Keys | None
) -> Listed:
    problem: CallbackStateError | None = None
    meta = None
    try:
        if states and (verify or len(states) > 1):
            from .snapshot import Snapshot

            meta = Snapshot.open(model, keys).meta
        else:
            _check_size(model, states, seen)
    except CallbackStateError as error:
        problem = error
    except OSError as error:
        problem = CorruptCheckpointError(model, f"cannot be read: {error}")
    sealed = None if isinstance(seen, CallbackStateError) else seen.sealed
    paths = [] if sealed is None else arrays.paths_of(model, sealed.blocks)
    size = sum(file.st_size for file in _stats([model, *states[:1], *paths]))
    signed = sealed is not None and sealed.signature is not None
    if meta is not None:  # the state that was verified, which may be another one by now
        summary, callbacks = Summary.of(meta), tuple(entry.key for entry in meta.callbacks)
    elif not isinstance(seen, CallbackStateError):
        summary, callbacks = seen.summary, seen.callbacks
    else:
        changed_at = max((file.st_mtime_ns for file in _stats([model, *states])), default=0)
        return Listed(model, size, changed_at, problem=problem)
    return Listed(model, size, summary.saved_at, summary, callbacks, signed, meta, problem)


class Glance(NamedTuple):
    """The beginning of a state file whose digests are right: its moment, the keys of its callbacks, its seal."""

    summary: Summary
    callbacks: tuple[str, ...]
    sealed: Sealed


def glance(states: list[str]) -> Glance | CallbackStateError:
    """The beginning of the newest of some state files that can be read, or why none can."""
    found: list[Glance] = []
    problem: CallbackStateError = CheckpointNotFoundError("", "")
    for state in reversed(states):
        try:
            data = pair.state_bytes(state, to_list=True)
            sealed = unseal_first(data, state)
            found.append(Glance(Summary.from_node(sealed.tree, state), _keys_in(data, state), sealed))
        except CallbackStateError as error:
            problem = error
        except OSError as error:
            problem = CorruptCheckpointError(state, f"cannot be read: {error}")
    return max(found, key=lambda seen: seen.summary.saved_at) if found else problem


def _keys_in(data: bytes, state: str) -> tuple[str, ...]:
    """The second node is the dict of the states."""
    with contextlib.suppress(ReadError):
        match parse_first(data, skip=1):
            case ("dict", [*flat]) if len(flat) % 2 == 0 and all(type(key) is str for key in flat[::2]):
                return tuple(map(str, flat[::2]))
    raise CorruptCheckpointError(
        state, "no state file of this package (its second node is not that of the states)"
    )


def _check_size(model: str, states: list[str], seen: Glance | CallbackStateError) -> None:
    """Raise CallbackStateError if it is not whole, as far as can be told without reading the model file."""
    if not states or not os.path.isfile(model):
        raise _half(model, states)
    if isinstance(seen, CallbackStateError):
        raise seen
    sealed, size = seen.sealed, os.path.getsize(model)
    if sealed.model_size != size:
        raise MismatchError(
            model,
            f"has {size} bytes, its state file was written for a model file of {sealed.model_size}: it was "
            "cut short or replaced. Use another checkpoint, or a copy of this file",
        )
    arrays.check(model, sealed.blocks, only_size=True)


def _half(model: str, states: list[str]) -> CallbackStateError:
    if states:
        name = os.path.basename(states[0])
        what = f"expected the model file of {name}, found none; put it back, or delete that if nobody misses it"
    elif os.path.lexists(model):
        name = os.path.basename(model) + pair.SUFFIX
        what = f"expected its state file {name} beside it, found none; put it back"
    else:
        what = "expected a model file, found nothing; check the path"
    return CheckpointNotFoundError(model, what)


def _stats(paths: list[str]) -> Iterator[os.stat_result]:
    for path in paths:
        with contextlib.suppress(OSError):  # missing, which is told elsewhere
            yield os.stat(path)
