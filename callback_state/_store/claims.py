"""Which of the files in a directory of logs one run has begun: a note beside them, as their names do not tell.

Several runs may log to one directory. The note of a run is the hidden file ``.callback_state-<run>`` there, so two
runs never write the same note. It stands in the directory and not in a checkpoint, for two reasons. A run that is
killed has begun files after its last checkpoint. And a state file, which anybody can have written, gives no right
to a file that the directory does not give.

Each line is a JSON list: the name of a file, its number (inode), and the number of the directory of the run's
checkpoints. A copied directory of checkpoints has the identity of the run too; its number tells the two apart.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass

from . import disk, presence

_PREFIX = ".callback_state-"
#: Bytes; a hundred thousand lines. A longer note is not one of ours.
_MOST = 1 << 24


@dataclass(frozen=True)
class Owner:
    """A run that writes logs: its identity, and the directories of its checkpoints."""

    run: str  # 32 hex digits
    directories: frozenset[int]  # the numbers of the directories
    epoch: int = 0  # the 0-based epoch that is logged next

    @classmethod
    def of(cls, run: str, paths: Collection[str], epoch: int = 0) -> Owner:
        """The run whose checkpoints are in these directories; one that is missing is left out."""
        numbers = (presence.number_of(path) or _number(path) for path in paths)
        return cls(run, frozenset(number for number in numbers if number is not None), epoch)


def claim(directory: str, names: Collection[str], owner: Owner) -> None:
    """Note, durably, that the run has begun these files in a directory. Raises OSError.

    ``names`` are relative to the directory. A file that is missing, or a run without a directory, is not noted.
    """
    numbers = {name: _number(os.path.join(directory, name)) for name in names}
    lines = [
        json.dumps([name, number, checkpoints])
        for name, number in numbers.items()
        for checkpoints in sorted(owner.directories)
        if number is not None
    ]
    if lines:
        # A kill may have torn the last line: it ends here.
        disk.append(_note(directory, owner), "\n".join(["", *lines, ""]).encode())


def claimed(directory: str, owner: Owner) -> set[str]:
    """The names of the files in a directory that this very run has begun. What is not sure is not among them.

    Where the file is the very one that was noted, the directory of the checkpoints must be so too: else it is a
    copy, with which another training goes on. Where both are others, the logs were moved with the checkpoints.
    """
    noted: dict[str, set[tuple[int, int]]] = {}
    for name, number, checkpoints in _lines(_note(directory, owner)):
        noted.setdefault(name, set()).add((number, checkpoints))
    return {name for name, found in noted.items() if _is_own(os.path.join(directory, name), found, owner)}


def _is_own(path: str, noted: set[tuple[int, int]], owner: Owner) -> bool:
    number = _number(path)
    if number is None:
        return False
    here = {checkpoints for known, checkpoints in noted if known == number}
    return not here or not here.isdisjoint(owner.directories)


def _lines(path: str) -> list[tuple[str, int, int]]:
    """The lines of a note that are whole; none if it cannot be read."""
    try:
        if os.path.islink(path) or os.stat(path).st_size > _MOST:
            return []
        return [*filter(None, map(_line, disk.read_bytes(path).split(b"\n")))]
    except OSError:
        return []


def _line(data: bytes) -> tuple[str, int, int] | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if type(found) is not list or [*map(type, found)] != [str, int, int]:
        return None
    return found[0], found[1], found[2]


def _note(directory: str, owner: Owner) -> str:
    return os.path.join(directory, _PREFIX + owner.run)


def _number(path: str) -> int | None:
    """The number of a file or directory; None if there is none. A link is followed, as a script means it."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return None
