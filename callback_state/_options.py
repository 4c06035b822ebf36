"""The arguments of ``ModelCheckpointEnhanced``, judged when it is made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import keras

from ._build import copy
from ._plain import PlainError
from .exceptions import BackendError

__all__ = ["as_dict", "check_backend", "check_options"]


def check_backend() -> None:
    """Raises BackendError if Keras runs on another backend than TensorFlow."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise BackendError(
            f"callback_state supports the TensorFlow backend of Keras; this process runs on {backend!r}. "
            f'Set KERAS_BACKEND="tensorflow" before Keras is imported.'
        )


def check_options(filepath: str, save_freq: Any, **counts: int | None) -> None:
    """Raises ValueError for arguments that are wrong, or do not go together."""
    if "://" in filepath:
        raise ValueError(f"filepath={filepath!r}: expected a path of this machine, found a URL")
    if "{" in os.path.dirname(filepath):
        raise ValueError(
            f"filepath={filepath!r}: expected placeholders in the name of the file only, found one in its "
            f"directory, where a restart would not look. Write them into the name: 'ckpt/{{epoch:03d}}.keras'."
        )
    for name, value in counts.items():
        if value is not None and (type(value) is not int or value < 1):
            raise ValueError(f"{name}={value!r}: expected an integer from 1, or None")
    if counts["period"] is not None and save_freq != "epoch":
        raise ValueError(f"period goes with save_freq='epoch', found save_freq={save_freq!r}")


def as_dict(training_args: Any) -> dict[str, Any]:
    """The user's arguments as a dict of plain data.

    Raises:
        TypeError: they are not.
    """
    try:
        args = {} if training_args is None else training_args
        args = args if isinstance(args, Mapping) else vars(args)
        return dict(copy(dict(args)))
    except (PlainError, TypeError) as error:
        raise TypeError(
            f"training_args: {error}. Pass a dict or a namespace of numbers, strings and lists of them."
        ) from error
