"""With what status the commands exit: one list for all of them, which each ``--help`` shows its part of."""

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

__all__ = ["Exit", "exit_of"]


class Exit(enum.IntEnum):
    """A status, and in ``meaning`` what it says."""

    meaning: str

    def __new__(cls, number: int, meaning: str) -> Exit:
        member = int.__new__(cls, number)
        member._value_, member.meaning = number, meaning
        return member

    OK = 0, "all is as it should be"
    DIFFERENT = 1, "the two are not the same"
    USAGE = 2, "the command line cannot be understood"
    DAMAGED = 3, "a checkpoint is damaged, not complete, or of a newer release"
    UNTRUSTED = 4, "a checkpoint is not signed, or not with a given key"
    NOT_FOUND = 5, "there is no checkpoint"
    IN_USE = 6, "another process writes into the directory"
    FAILED = 7, "the system refused something: a permission, a full disk"
    LOSS = 8, "a restart would lose something"
    INTERRUPTED = 130, "ended by Ctrl-C"
    CLOSED = 141, "nobody reads the output any more"


#: What any command may exit with.
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
    """The status for an error."""
    return next((status for kind, status in _OF_ERRORS if isinstance(error, kind)), Exit.FAILED)
