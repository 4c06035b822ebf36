"""The errors of the package: one tree, each with the fields that a program needs to act on it.

Every message says where, what was expected, what was found and what to do next.
"""

from __future__ import annotations

import sys

__all__ = [
    "BackendError",
    "CallbackStateError",
    "CheckpointNotFoundError",
    "CorruptCheckpointError",
    "InUseError",
    "MismatchError",
    "NotPicklableError",
    "NotRebuildableError",
    "NotRegisteredError",
    "RestoreError",
    "ResumeError",
    "StoppedBySignal",
    "UnsupportedFormatError",
    "UntrustedError",
    "WriteError",
]


class CallbackStateError(Exception):
    """Base class of everything that this package raises on purpose."""

    __module__ = "callback_state"


class BackendError(CallbackStateError, RuntimeError):
    """Keras runs on a backend on which an exact resume is not supported."""

    __module__ = "callback_state"


class _FileError(CallbackStateError):
    """An error about one path, kept in the field ``path``."""

    __module__ = "callback_state"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, message)
        self.path = path
        self.message = message

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class CheckpointNotFoundError(_FileError, FileNotFoundError):
    """There is no checkpoint at ``path``: nothing at all, or one of its two files is missing."""

    __module__ = "callback_state"


class CorruptCheckpointError(_FileError, ValueError):
    """The file at ``path`` is not a state file, or is one that was damaged."""

    __module__ = "callback_state"


class UnsupportedFormatError(_FileError, ValueError):
    """The state file at ``path`` was written in a format that this release does not know."""

    __module__ = "callback_state"


class MismatchError(_FileError, ValueError):
    """The model file at ``path`` is not the one that its state file was written for."""

    __module__ = "callback_state"


class InUseError(_FileError, RuntimeError):
    """Another process writes checkpoints into the directory at ``path``."""

    __module__ = "callback_state"


class UntrustedError(_FileError, PermissionError):
    """The file at ``path`` needs code to be run, or is not signed, and the caller did not say that he trusts it.

    ``needs`` holds what :func:`untrusted` lists of it.
    """

    needs: tuple[object, ...] = ()

    __module__ = "callback_state"


class WriteError(_FileError, OSError):
    """What was read back of a new file for ``path`` is not what was meant; it was not committed."""

    __module__ = "callback_state"


class NotPicklableError(CallbackStateError, TypeError):
    """The attribute at ``path``, for example ``"Scheduler.pool.lock"``, cannot be saved."""

    __module__ = "callback_state"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, message)
        self.path = path
        self.message = message

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class RestoreError(CallbackStateError, ValueError):
    """The checkpoint is sound but cannot be put into what it was to be put into."""

    __module__ = "callback_state"


class NotRegisteredError(RestoreError, LookupError):
    """A class that the checkpoint names is not registered in this process, or is ambiguous."""

    __module__ = "callback_state"


class NotRebuildableError(RestoreError):
    """A callback cannot be made from the file alone; ``into=`` is the way."""

    __module__ = "callback_state"


class ResumeError(CallbackStateError, RuntimeError):
    """``fit`` was about to go on from something else than the checkpoint that was restored."""

    __module__ = "callback_state"


class StoppedBySignal(CallbackStateError):
    """A run was saved and stopped because of the signal ``name``; started again, it goes on."""

    __module__ = "callback_state"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name}: the run was saved and stopped; start its script again to go on"


def unsupported_keras(found: str) -> ResumeError:
    """The error for a Keras that is not written as it was; ``found`` says where."""
    version = sys.modules["keras"].__version__
    return ResumeError(
        f"keras {version}: {found}. This release of callback_state does not support this Keras; install a "
        f"newer callback_state or an older Keras."
    )
