"""Persist what Keras callbacks know: a resumed run is the run that was never killed.

Wrap custom callbacks with ``@stateful``, save with ``ModelCheckpointEnhanced``, resume with
``restore_callbacks``. Importing this package imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import lazily
from ._version import __version__ as __version__
from .exceptions import (
    BackendError,
    CallbackStateError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    HostError,
    InUseError,
    MismatchError,
    NotPicklableError,
    NotRebuildableError,
    NotRegisteredError,
    OverwriteError,
    RestoreError,
    ResumeError,
    StoppedBySignal,
    StoreError,
    UnsupportedFormatError,
    UntrustedError,
    WriteError,
)

if TYPE_CHECKING:
    from . import data as data
    from ._callbacks.adapter import adapter
    from ._callbacks.stateful import stateful
    from ._checkpoints.find import load_meta
    from ._checkpoints.listing import Checkpoint, latest_checkpoint, list_checkpoints
    from ._checkpoints.needs import Need, untrusted
    from ._checkpoints.peek import Peek, peek
    from ._checkpoints.reopen import reopen
    from ._resuming.restore import restore_callbacks
    from ._resuming.restored import Restored
    from ._saving.checkpoint import ModelCheckpointEnhanced

__all__ = [
    "BackendError",
    "CallbackStateError",
    "Checkpoint",
    "CheckpointNotFoundError",
    "CorruptCheckpointError",
    "HostError",
    "InUseError",
    "MismatchError",
    "ModelCheckpointEnhanced",
    "Need",
    "NotPicklableError",
    "NotRebuildableError",
    "NotRegisteredError",
    "OverwriteError",
    "Peek",
    "RestoreError",
    "Restored",
    "ResumeError",
    "StoppedBySignal",
    "StoreError",
    "UnsupportedFormatError",
    "UntrustedError",
    "WriteError",
    "adapter",
    "latest_checkpoint",
    "list_checkpoints",
    "load_meta",
    "peek",
    "reopen",
    "restore_callbacks",
    "stateful",
    "untrusted",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "Checkpoint": "_checkpoints.listing",
        "ModelCheckpointEnhanced": "_saving.checkpoint",
        "Need": "_checkpoints.needs",
        "Peek": "_checkpoints.peek",
        "Restored": "_resuming.restored",
        "adapter": "_callbacks.adapter",
        "data": "",
        "latest_checkpoint": "_checkpoints.listing",
        "list_checkpoints": "_checkpoints.listing",
        "load_meta": "_checkpoints.find",
        "peek": "_checkpoints.peek",
        "reopen": "_checkpoints.reopen",
        "restore_callbacks": "_resuming.restore",
        "stateful": "_callbacks.stateful",
        "untrusted": "_checkpoints.needs",
    },
)
