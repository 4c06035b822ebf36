"""A disk that keeps only what was synced: what it may still have after a power cut.

Of a file, all that was synced, and of the rest nothing, half or all; of the names in a directory, those that
were synced, and of the later changes any selection. A rename within a directory is one change, one between two
directories is two. What lies in a hidden (staging) directory is there or not, as a whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: What a directory holds: a file's content, or None for a directory, by the path below the root.
State = frozenset[tuple[str, bytes | None]]


@dataclass
class File:
    data: bytes = b""
    durable: bytes = b""
    lost: bool = False  # a sync failed: no later one is worth anything

    def after_cut(self, hidden: bool) -> list[bytes]:
        if self.data == self.durable:
            return [self.data]
        half = self.data[: len(self.data) // 2]
        return [half] if hidden else [self.durable, half, self.data]


@dataclass
class Folder:
    names: dict[str, Any] = field(default_factory=dict)
    durable: dict[str, Any] = field(default_factory=dict)
    pending: list[dict[str, Any]] = field(default_factory=list)

    def change(self, change: dict[str, Any]) -> None:
        self.pending.append(change)
        self.names = applied(self.names, [change])

    def after_cut(self, hidden: bool) -> Iterator[dict[str, Any]]:
        """The names that may be left."""
        if hidden:
            yield from (self.durable, self.names)
        else:
            for kept in itertools.product([False, True], repeat=len(self.pending)):
                yield applied(self.durable, itertools.compress(self.pending, kept))


def applied(names: dict[str, Any], changes: Any) -> dict[str, Any]:
    names = dict(names)
    for change in changes:
        names.update(change)
    return {name: node for name, node in names.items() if node is not None}


def after_cut(folder: Folder, prefix: str = "", hidden: bool = False) -> Iterator[State]:
    """Everything that a folder may hold after a power cut."""
    for names in folder.after_cut(hidden):
        parts: list[list[State]] = []
        for name, node in names.items():
            path = prefix + name
            if isinstance(node, File):
                parts.append([frozenset({(path, data)}) for data in node.after_cut(hidden)])
            else:
                inside = after_cut(node, path + "/", name.startswith(".") and ".tmp-" in name)
                parts.append([state | {(path, None)} for state in inside])
        for choice in itertools.product(*parts):
            yield frozenset().union(*choice)


def read(path: Path) -> Folder:
    names = {p.name: read(p) if p.is_dir() else File(p.read_bytes(), p.read_bytes()) for p in path.iterdir()}
    return Folder(dict(names), dict(names))
