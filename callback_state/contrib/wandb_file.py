"""The rows in the file of an offline run of wandb.

The file is a LevelDB log: seven bytes, then fragments in blocks of 32 KiB. Each fragment begins with its checksum,
its size and its kind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

START, _BLOCK, _HEAD = 7, 32768, 7
_WHOLE, _LAST = 1, 4


def rows(path: str, start: int = START) -> Iterator[tuple[int, int]]:
    """(step, offset at which its record ends) of each row of the history.

    Args:
        path: a file ``run-<id>.wandb``; its end may be missing.
        start: a byte offset at which a record begins.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    with open(path, "rb") as file:
        file.seek(start)
        data = file.read()
    for content, end in _records(data, start):
        record = Record()
        record.ParseFromString(content)
        if record.WhichOneof("record_type") == "history":
            yield record.history.step.num, end


def _records(data: bytes, start: int) -> Iterator[tuple[bytes, int]]:
    at, parts = 0, b""
    while at + _HEAD <= len(data):
        left = _BLOCK - (start + at) % _BLOCK
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        if left < _HEAD or kind == 0:  # the rest of a block is empty
            at += left
            continue
        if at + _HEAD + size > len(data):
            return
        parts += data[at + _HEAD : at + _HEAD + size]
        at += _HEAD + size
        if kind in (_WHOLE, _LAST):
            yield parts, start + at
            parts = b""


def cut(path: str, step: int) -> None:
    """Remove what follows the last row before ``step``, if a row with that step or a later one is there."""
    there = [*rows(path)]
    if any(number >= step for number, _ in there):
        os.truncate(path, max((end for number, end in there if number < step), default=START))
