"""The index of a store, ``.callback_state.index``: many small objects in one, so a listing needs few requests.

It says nothing new. Each entry counts only for the very version of an object that the store lists, and only to
list checkpoints: who opens a checkpoint, or deletes one, reads the object itself. A damaged index is no index.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import NamedTuple

from .objects import Stamp

NAME = ".callback_state.index"
#: Bytes: a larger index is not read, and no larger one is written.
MOST = 1 << 25
_DIGEST = hashlib.sha256().digest_size


class Entry(NamedTuple):
    """An object: its name, the version that the store gave it, and its content."""

    name: str
    stamp: Stamp
    data: bytes


def pack(entries: Iterable[Entry]) -> bytes:
    """An index of these objects, of the first ones where all would be too large."""
    kept, size = [], 0
    for entry in entries:
        size += len(entry.data) + len(entry.name) + len(entry.stamp.version) + 64
        if size > MOST // 2:
            break
        kept.append(entry)
    head = json.dumps([[e.name, e.stamp.size, e.stamp.version, len(e.data)] for e in kept]).encode()
    body = b"".join((len(head).to_bytes(8, "big"), head, *(entry.data for entry in kept)))
    return body + hashlib.sha256(body).digest()


def unpack(packed: bytes) -> dict[str, Entry]:
    """The entries of an index by name; none if it is damaged, or somebody else has written something else."""
    body, digest = packed[:-_DIGEST], packed[-_DIGEST:]
    if len(packed) > MOST or len(body) < 8 or hashlib.sha256(body).digest() != digest:
        return {}
    at = 8 + int.from_bytes(body[:8], "big")
    try:
        lines = json.loads(body[8:at])
    except (ValueError, RecursionError):
        return {}
    found: dict[str, Entry] = {}
    for line in lines if isinstance(lines, list) else ():
        match line:
            case [str(name), int(size), str(version), int(length)] if (
                size == length and 0 <= length <= len(body) - at
            ):
                found[name] = Entry(name, Stamp(size, version), body[at : at + length])
                at += length
            case _:
                return {}
    return found
