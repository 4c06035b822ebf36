"""Several processes that train together restore the same checkpoint, each with what it had saved itself."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from .._checkpoints.find import Found, find
from .._checkpoints.snapshot import Snapshot
from .._format.trust import Trust
from .._keras import hosts
from .._shown import shown
from .._store.bucket.places import local
from ..exceptions import RestoreError


def found_by_all(path: str, callbacks: list[Any] | None, missing_ok: bool, trust: Trust) -> Found | None:
    """The checkpoint to restore. Of several processes the first finds it, and all open the same one."""
    found = None

    def look() -> list[str] | None:
        nonlocal found
        found = find(path, callbacks, missing_ok=missing_ok, keys=trust.keys)
        return None if found is None else [shown(os.path.abspath(found.model_path)), found.fields.hex()]

    told = hosts.first(look, "the checkpoint to restore")
    if told is None or hosts.count() == 1:
        return found

    def own() -> Found:
        opened = found or find(local(told[0]), None, missing_ok=False, keys=trust.keys)
        assert opened is not None
        if opened.fields.hex() != told[1]:
            raise RestoreError(
                f"{told[0]}: expected the checkpoint that process 0 of this training sees there, found another "
                f"one on process {hosts.index()}. Give all of them a directory on a file system that they share."
            )
        return replace(opened, snapshot=opened.snapshot.of_process(hosts.index(), hosts.count()))

    return hosts.each(own, "the checkpoint of each process")


def opened_by_all(path: str, trust: Trust) -> Snapshot:
    """The checkpoint of which all know the path."""

    def own() -> Snapshot:
        return Snapshot.open(path, trust.keys).of_process(hosts.index(), hosts.count())

    return hosts.each(own, "the checkpoint of the last epoch")


def doubts_of(snapshot: Snapshot) -> list[str]:
    """What cannot be exact if another number of processes goes on."""
    saved, here = snapshot.processes, hosts.count()
    if saved == here:
        return []
    return [
        f"saved by {saved} processes, restored by {here}: each goes on with the random generators and the place "
        f"in the data of the first, and batches are divided in another way (restart with {saved} processes)"
    ]
