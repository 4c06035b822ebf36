"""The exit statuses of all commands; each ``--help`` shows its own."""

from __future__ import annotations

import enum

from ...exceptions import (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    InUseError,
    MismatchError,
    UnsupportedFormatError,
    UntrustedError,
)


class Exit(enum.IntEnum):
    """An exit status; ``meaning`` says in words what it means."""

    meaning: str

    def __new__(cls, number: int, meaning: str) -> Exit:
        member = int.__new__(cls, number)
        member._value_, member.meaning = number, meaning
        return member

    OK = 0, "everything is as it should be"
    DIFFERENT = 1, "the two are not the same"
    USAGE = 2, "the command line is wrong"
    DAMAGED = 3, "a checkpoint is damaged, incomplete, or was written by a newer release"
    UNTRUSTED = 4, "a checkpoint is not signed, or not with one of the given keys"
    NOT_FOUND = 5, "there is no checkpoint"
    IN_USE = 6, "another process writes into the directory"
    FAILED = 7, "the system refused something, for example a permission or space on the disk"
    LOSS = 8, "a restart would lose something"
    INTERRUPTED = 130, "stopped by Ctrl-C"
    CLOSED = 141, "the output was closed before everything was printed"


#: The statuses that any command may have.
ALWAYS = (Exit.OK, Exit.USAGE, Exit.FAILED, Exit.INTERRUPTED, Exit.CLOSED)
_OF_ERRORS: tuple[tuple[type[Exception], Exit], ...] = (
    (CheckpointNotFoundError, Exit.NOT_FOUND),
    (UntrustedError, Exit.UNTRUSTED),
    (InUseError, Exit.IN_USE),
    (CorruptCheckpointError, Exit.DAMAGED),
    (MismatchError, Exit.DAMAGED),
    (UnsupportedFormatError, Exit.DAMAGED),
)


def exit_of(error: BaseException) -> Exit:
    return next((status for kind, status in _OF_ERRORS if isinstance(error, kind)), Exit.FAILED)
