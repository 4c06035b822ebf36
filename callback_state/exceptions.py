"""The errors of the package: one tree, each error with the fields that a program needs.

Every message says where the problem is, what was expected, what was found, and what to do next.
"""

from __future__ import annotations

import sys

from ._shown import shown


class CallbackStateError(Exception):
    """Base class of all errors that this package raises on purpose."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(shown(arg) if isinstance(arg, str) else arg for arg in args))


class BackendError(CallbackStateError, RuntimeError):
    """Keras runs on a backend that this package does not support."""


class _PathError(CallbackStateError):
    """An error about one file, directory or attribute, which the field ``path`` names."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, message)
        self.path = shown(path)
        self.message = shown(message)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class CheckpointNotFoundError(_PathError, FileNotFoundError):
    """There is no checkpoint at ``path``, or one of its two files is missing."""


class CorruptCheckpointError(_PathError, ValueError):
    """The file at ``path`` is damaged, or it is not a state file."""


class UnsupportedFormatError(_PathError, ValueError):
    """The state file at ``path`` has a format that this release does not know."""


class MismatchError(_PathError, ValueError):
    """The model file at ``path`` is not the one that its state file belongs to."""


class InUseError(_PathError, RuntimeError):
    """Another process, or another thread, writes checkpoints into the directory at ``path``.

    ``lost`` is true if this process wrote there, and the lease of the object store has passed to another one.
    """

    lost = False


class UntrustedError(_PathError, PermissionError):
    """The file at ``path`` has to be trusted before it can be read: it holds code, or it is not signed.

    ``needs`` holds what :func:`untrusted` returns for the file.
    """

    needs: tuple[object, ...] = ()


class WriteError(_PathError, OSError):
    """The checkpoint at ``path`` was not saved: its new file is not what was meant, or could not be written."""


class StoreError(_PathError, OSError):
    """The object store at the URL ``path`` does not do what was asked of it, or a library for it is missing.

    ``lasts`` says whether the same request would be refused again, as where there is no such bucket.
    """

    lasts = False


class OverwriteError(_PathError, FileExistsError):
    """A run that was restored would replace the checkpoint at ``path``, which another run has written."""


class NotPicklableError(_PathError, TypeError):
    """The attribute at ``path``, for example ``"Scheduler.pool.lock"``, cannot be saved."""


class RestoreError(CallbackStateError, ValueError):
    """The checkpoint is whole, but it does not fit the callbacks or the model."""


class NotRegisteredError(RestoreError, LookupError):
    """The checkpoint names a class that is not registered in this process, or that is ambiguous."""


class NotRebuildableError(RestoreError):
    """A callback cannot be made from the file alone; pass a new one with ``into=``."""


class ResumeError(CallbackStateError, RuntimeError):
    """``fit`` was about to go on from another state than that of the restored checkpoint."""


class HostError(CallbackStateError, RuntimeError):
    """Another process of the same training has failed; the message has its number and its error."""


class StoppedBySignal(CallbackStateError):
    """The run was saved and stopped because of the signal ``name``. Start the script again to go on."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name}: the run was saved and stopped; start its script again to go on"


# The public place, for pickles and tracebacks: so this file can move.
for _error in [*globals().values()]:
    if isinstance(_error, type) and issubclass(_error, CallbackStateError):
        _error.__module__ = "callback_state"


def unsupported_keras(found: str) -> ResumeError:
    """Make the error for a Keras whose internals are not as expected; ``found`` says what is different."""
    version = sys.modules["keras"].__version__
    return ResumeError(
        f"keras {version}: {found}. This release of callback_state does not support this Keras; install a "
        f"newer callback_state or an older Keras."
    )
