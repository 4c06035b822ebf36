"""Large arrays, whose bytes lie in *arrays files* beside the state file.

A *block* is the bytes of one array of at least a megabyte (``arrays.LARGE``). Each callback that has such arrays
has an arrays file of its own. So if the arrays of one callback change, those of another are not written again. The
file holds its blocks one after the other, and nothing else. Its name is made from their digests. So a file of that
name never changes, and one that is there need not be written again.

The state file has a list of all blocks, see :mod:`.statefile`: of each the number of its arrays file, its size and
its SHA-256, 44 bytes. In the table of nodes, an array has the number of its block in the place of its bytes.

This module opens no file: :mod:`.._store.arrays` does.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

from .room import Room
from .table import Node, PlainError, Stored

_ENTRY = struct.Struct("<IQ32s")
ENTRY_SIZE = _ENTRY.size
#: The beginning of a path such as ``['Key']['attribute'][0]`` or ``Key.attribute[0]``.
_HEAD = re.compile(r"\[?['\"]?([^'\"\[\].]*)")


class Entry(NamedTuple):
    """What a state file says of one block."""

    file: int  # the 0-based number of its arrays file
    size: int  # bytes
    digest: bytes  # SHA-256


@dataclass(frozen=True)
class ArraysFile:
    """What a state file says of one arrays file: its blocks, in their order."""

    blocks: tuple[Entry, ...]

    @cached_property
    def digest(self) -> bytes:
        """The SHA-256 of the digests of the blocks, one after the other."""
        return hashlib.sha256(b"".join(block.digest for block in self.blocks)).digest()

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each block begins in the file, in bytes, and at last where the file ends."""
        return (0, *accumulate(block.size for block in self.blocks))

    @property
    def size(self) -> int:
        """Bytes."""
        return self.starts[-1]


def pack(entries: Iterable[Entry]) -> bytes:
    return b"".join(_ENTRY.pack(*entry) for entry in entries)


def unpack(data: bytes | memoryview) -> tuple[Entry, ...]:
    """The reverse of :func:`pack`. Raises ValueError where no release can have written that."""
    if len(data) % ENTRY_SIZE:
        raise ValueError(f"the list of blocks has {len(data)} bytes, which is no multiple of {ENTRY_SIZE}")
    entries = tuple(Entry(*fields) for fields in _ENTRY.iter_unpack(data))
    files = 0
    for i, entry in enumerate(entries):
        if entry.file > files or not entry.size:
            raise ValueError(f"block {i} is of {entry.size} bytes in arrays file {entry.file} of {files}")
        files = max(files, entry.file + 1)
    return entries


def files_of(entries: Iterable[Entry]) -> list[ArraysFile]:
    """The arrays files of a list of blocks, by their numbers."""
    files: list[list[Entry]] = []
    for entry in entries:
        if entry.file == len(files):
            files.append([])
        files[entry.file].append(entry)
    return [ArraysFile(tuple(blocks)) for blocks in files]


def places(entries: Iterable[Entry]) -> list[tuple[int, int]]:
    """For each block the number of its arrays file, and its own number in that file; both 0-based."""
    counts: dict[int, int] = {}
    found = []
    for entry in entries:
        place = counts.get(entry.file, 0)
        found.append((entry.file, place))
        counts[entry.file] = place + 1
    return found


# Writing.


class Block:
    """The bytes of one live array, in its own memory, until :meth:`release`; afterwards only their digest.

    Two are equal if the bytes are. The digest is taken when it is first asked for: until then the array must not
    change, or :meth:`copy` comes first.
    """

    def __init__(self, array: Any, order: str, group: str) -> None:
        import numpy

        contiguous = numpy.ascontiguousarray(array.T if order == "F" else array)
        self._is_copy = not numpy.may_share_memory(contiguous, array)
        self._bytes: Any = contiguous.reshape(-1).view("u1")
        self.size, self.group = int(self._bytes.nbytes), group

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and (self.size, self.digest) == (other.size, other.digest)

    @cached_property
    def digest(self) -> bytes:
        return hashlib.sha256(self.memory).digest()

    @property
    def memory(self) -> memoryview:
        return memoryview(self._bytes)

    def copy(self, room: Room) -> None:
        """Go on with a copy of the array, which may change now."""
        if not self._is_copy and self._bytes is not None:
            self._bytes, self._is_copy = room.copy(self._bytes), True

    def release(self) -> None:
        """Take the digest, and let go of the memory."""
        if self._bytes is not None:
            self.digest  # noqa: B018
            self._bytes = None


@dataclass(frozen=True)
class LiveFile:
    """An arrays file that a save needs: what the state file says of it, and its bytes."""

    described: ArraysFile
    blocks: tuple[Block, ...]


class Blocks:
    """The large arrays of one save, by their numbers. They are the live arrays, which must not change until
    :meth:`copied` or :meth:`release`."""

    def __init__(self) -> None:
        self.all: list[Block] = []

    def add(self, array: Any, order: str, path: str) -> int:
        """Note an array without Python objects, which errors call ``path``; returns its number."""
        found = _HEAD.match(path)
        self.all.append(Block(array, order, "" if found is None else found[1]))
        return len(self.all) - 1

    @property
    def size(self) -> int:
        return sum(block.size for block in self.all)

    def copied(self, room: Room) -> None:
        """Copy the arrays into a room, which is the caller's to clear, so that they may change meanwhile."""
        for block in self.all:
            block.copy(room)

    def release(self) -> None:
        """Keep only the digests of the arrays, for comparisons."""
        for block in self.all:
            block.release()

    def entries(self) -> tuple[Entry, ...]:
        """What the state file says of them. This takes the digests."""
        numbers: dict[str, int] = {}
        return tuple(
            Entry(numbers.setdefault(block.group, len(numbers)), block.size, block.digest) for block in self.all
        )

    def files(self) -> list[LiveFile]:
        """The arrays files that the state file refers to. This takes the digests."""
        entries = self.entries()
        found: list[list[Block]] = [[] for _ in {entry.file for entry in entries}]
        for entry, block in zip(entries, self.all, strict=True):
            found[entry.file].append(block)
        return [LiveFile(*pair) for pair in zip(files_of(entries), map(tuple, found), strict=True)]


# Reading.


def attached(
    nodes: list[Node], entries: tuple[Entry, ...], open_: Callable[[int], Callable[[memoryview], None]]
) -> list[Node]:
    """Nodes whose large arrays have :class:`Stored` in the place of the number of a block.

    ``open_`` gives what reads the block of a number. Raises PlainError unless each block is that of one array.
    """
    numbers = sorted(node[4] for node in nodes if _is_apart(node))
    if numbers != [*range(len(entries))]:
        raise PlainError("", f"{len(numbers)} arrays refer to {len(entries)} blocks, and not one to each")
    if not entries:
        return nodes
    return [
        (*node[:4], Stored(entries[node[4]].size, open_(node[4])), *node[5:]) if _is_apart(node) else node
        for node in nodes
    ]


def _is_apart(node: Any) -> bool:
    return type(node) is tuple and len(node) == 6 and node[0] == "array" and type(node[4]) is int
