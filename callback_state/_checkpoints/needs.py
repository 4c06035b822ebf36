"""What a state file would need beside data, told without building anything."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._format.opener import names_in
from .find import find
from .snapshot import Snapshot


@dataclass(frozen=True)
class Need:
    """One thing that only a trusted file's reader opens.

    Attributes:
        path: callback and attribute, ``"Scheduler.schedule"``.
        what: what it was when it was saved.
        names: the full names that reading it looks up, and may call; ``"?"`` for one that cannot be told.
    """

    path: str
    what: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        needs = f" needs {', '.join(self.names)}" if self.names else ""
        return f"{self.path} ({self.what}){needs}"


def untrusted(path: str | os.PathLike[str]) -> list[Need]:
    """What in a checkpoint is code or a foreign object, and what reading it would look up. Runs nothing.

    Args:
        path: a model file, a state file, or a directory (then its newest checkpoint).

    Returns:
        A :class:`Need` for each attribute and constructor argument of a callback that is stored by value; none
        of them is needed with ``into=`` where the callbacks there have their own. What the constructor had made,
        and nobody had changed, a restart makes again: it is not listed.

    Raises:
        CheckpointNotFoundError, CorruptCheckpointError, MismatchError: as :func:`restore_callbacks`.

    Example:
        >>> from callback_state import untrusted
        >>> [(need.path, need.what) for need in untrusted("scheduled")]
        [('Scheduler.schedule', 'function __main__.Scheduler.on_epoch_end.<locals>.<lambda>')]
    """
    found = find(os.fspath(path), None, missing_ok=False)
    assert found is not None
    return needs_of(found.snapshot)


def needs_of(snapshot: Snapshot) -> list[Need]:
    """As :func:`untrusted`, of a state file that was read."""
    # Those with True at the end are made again by a restart, see _callbacks/builders.py.
    nodes = [node for node in snapshot.state.nodes if node[0] in ("code", "value") and len(node) == 4]
    names = functools.cache(lambda index: names_in(snapshot.pickles[index]))  # many may share one entry
    found = [_need(snapshot, path, what, index, names) for _, index, what, path, *_ in nodes]
    for entry in snapshot.meta.callbacks:
        found += [
            _need(snapshot, f"{entry.key}({name}=)", data, index, names)
            for name, (_, data, index) in entry.arguments.items()
            if index is not None
        ]
    return found


def _need(snapshot: Snapshot, path: Any, what: Any, index: Any, names: Callable[[int], tuple[str, ...]]) -> Need:
    there = isinstance(index, int) and 0 <= index < len(snapshot.pickles)
    return Need(str(path), str(what), names(index) if there else ("?",))
