"""Persist what Keras callbacks know: a resumed run is the run that was never killed.

Wrap custom callbacks with ``@stateful``, save with ``ModelCheckpointEnhanced``, resume with
``restore_callbacks``. Importing this package imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import lazily
from .exceptions import (
    BackendError,
    CallbackStateError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    InUseError,
    MismatchError,
    NotPicklableError,
    NotRebuildableError,
    NotRegisteredError,
    RestoreError,
    ResumeError,
    StoppedBySignal,
    UnsupportedFormatError,
    UntrustedError,
    WriteError,
)

if TYPE_CHECKING:
    from . import data as data
    from ._adapter import adapter
    from ._checkpoint import ModelCheckpointEnhanced
    from ._find import load_meta
    from ._listing import Checkpoint, latest_checkpoint, list_checkpoints
    from ._needs import Need, untrusted
    from ._reopen import reopen
    from ._restore import restore_callbacks
    from ._restored import Restored
    from ._stateful import stateful

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "CallbackStateError",
    "Checkpoint",
    "CheckpointNotFoundError",
    "CorruptCheckpointError",
    "InUseError",
    "MismatchError",
    "ModelCheckpointEnhanced",
    "Need",
    "NotPicklableError",
    "NotRebuildableError",
    "NotRegisteredError",
    "RestoreError",
    "Restored",
    "ResumeError",
    "StoppedBySignal",
    "UnsupportedFormatError",
    "UntrustedError",
    "WriteError",
    "adapter",
    "latest_checkpoint",
    "list_checkpoints",
    "load_meta",
    "reopen",
    "restore_callbacks",
    "stateful",
    "untrusted",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "Checkpoint": "_listing",
        "ModelCheckpointEnhanced": "_checkpoint",
        "Need": "_needs",
        "Restored": "_restored",
        "adapter": "_adapter",
        "data": "",
        "latest_checkpoint": "_listing",
        "list_checkpoints": "_listing",
        "load_meta": "_find",
        "reopen": "_reopen",
        "restore_callbacks": "_restore",
        "stateful": "_stateful",
        "untrusted": "_needs",
    },
)
