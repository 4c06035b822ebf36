"""Putting into the store what a near copy has, in an order that leaves a whole checkpoint there at every instant.

Of one checkpoint: what is named by its content, the staged state, the model (the commit point), the state; then
the staged state goes. So the reading rule finds the old pair or the new one whenever the writer dies.

Deletions come last: while something has still to be put, nothing goes. A checkpoint that is deleted first gets its
staged state; then its state goes, its model, and the staged one. A kill between leaves a whole pair, or leftovers
that recovery sweeps. All this is as on a disk, see :mod:`..commit`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..._format.statefile import TRAILER_SIZE, model_digest_in
from .. import disk
from ..pair import SUFFIX
from ..staging import staged_path
from .kinds import Kind, file_of

if TYPE_CHECKING:
    from .near import Near


def push(near: Near) -> list[str]:
    """Make the store like the near copy; return the names that were put. Raises StoreError, InUseError, OSError.

    What was put before an error counts, and is not put again.
    """
    put = []
    for base, names in _changed(near):
        _put_checkpoint(near, base, names)
        put += names
    gone = near.gone()
    for base in sorted({_base(name) for name in gone}):
        _delete(near, base, {name for name in gone if _base(name) == base})
    return put


def is_as_known(near: Near) -> bool:
    """Whether nobody else has changed the store. Raises StoreError."""
    found, known = near.listed(), near.known()
    return found.keys() == known.keys() and all(
        found[name].size == stamp.size and stamp.version in ("", found[name].version)
        for name, stamp in known.items()
    )


def _base(name: str) -> str:
    found = file_of(name)
    assert found is not None
    return found.base


def _changed(near: Near) -> list[tuple[str, list[str]]]:
    """The names that the store has not, or not so, by checkpoint; those saved first come first."""
    changed: dict[str, list[str]] = {}
    local = near.local()
    for name in local:
        if not near.is_same(name):
            changed.setdefault(_base(name), []).append(name)

    def saved_at(base: str) -> tuple[int, str]:
        return max((local[name][-1] for name in (base, base + SUFFIX) if name in local), default=0), base

    return [(base, changed[base]) for base in sorted(changed, key=saved_at)]


def _put_checkpoint(near: Near, base: str, names: Iterable[str]) -> None:
    """Put the files of one checkpoint that have changed."""

    def order(name: str) -> tuple[Kind, str]:
        found = file_of(name)
        assert found is not None
        return found.kind, name

    names = sorted(names, key=order)
    staged = None
    if base in names and base + SUFFIX in names:
        data = disk.read_bytes(near.path(base + SUFFIX))
        digest = model_digest_in(data[-TRAILER_SIZE:])
        staged = None if digest is None else os.path.basename(staged_path(base, digest))
    for name in names:
        if name == base and staged is not None:
            near.put_bytes(staged, data)
        near.put(name)


def _delete(near: Near, base: str, gone: set[str]) -> None:
    """Delete files of one checkpoint: all of them, or those that it does not need any more."""
    state, staged = base + SUFFIX, None
    if base in gone and state in gone:
        try:
            data = near.bucket.get(state)
        except FileNotFoundError:
            data = b""
        digest = model_digest_in(data[-TRAILER_SIZE:])
        if digest is not None:
            staged = os.path.basename(staged_path(base, digest))
            near.put_bytes(staged, data)
            gone = gone | {staged}
    first = [name for name in (*((state,) if staged is not None else ()), base, state) if name in gone]
    for name in dict.fromkeys((*first, *sorted(gone, key=_comes_last))):
        near.delete(name)


def _comes_last(name: str) -> tuple[bool, str]:
    """What a state refers to goes after all states."""
    found = file_of(name)
    return found is not None and found.kind is Kind.ARRAYS, name
