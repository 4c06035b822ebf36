"""The arguments of ``ModelCheckpointEnhanced``, checked when it is made."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from .._checkpoints.template import fixed, parts_of, split
from .._format.decode import Decoder
from .._format.encode import Encoder
from .._format.table import PlainError
from .._store.bucket import urls

#: The attributes that keep the arguments of the callback that are its own, not Keras's.
ARGUMENTS = (
    *("callbacks", "period", "max_to_keep", "keep_best", "training_args", "keys"),
    *("save_every", "save_on_signal", "exit_code", "save_on_exception", "on_save_error"),
    *("save_on_background", "on_saved"),
)

_UNITS = {None: 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def check_options(
    filepath: str,
    save_weights_only: Any,
    save_freq: Any,
    exit_code: Any,
    on_save_error: Any,
    save_on_background: Any,
    counts: dict[str, int | None],
) -> None:
    """Raises ValueError for arguments that are wrong, or do not go together."""
    try:
        directory, _ = split(filepath)
    except ValueError as error:
        raise ValueError(f"filepath={urls.public(filepath)!r}: {error}.") from None
    if urls.is_url(filepath):
        urls.split(directory)
        urls.check_library(directory)
    if filepath.endswith(".weights.h5") and not save_weights_only:
        # Keras's own callback writes a whole model there, which load_weights cannot read.
        raise ValueError(
            f"filepath={urls.public(filepath)!r}: expected save_weights_only=True with it, found "
            f"{save_weights_only!r}. For whole models write '.keras'"
        )
    for name, value in counts.items():
        if value is not None and (type(value) is not int or value < 1):
            raise ValueError(f"{name}={value!r}: expected an integer from 1, or None")
    if type(save_freq) is bool or (isinstance(save_freq, int) and save_freq < 1):
        raise ValueError(f"save_freq={save_freq!r}: expected 'epoch', or a number of batches from 1")
    if save_freq == "epoch" and any(part.field == "batch" for part in parts_of(filepath)):
        raise ValueError(
            f"filepath={urls.public(filepath)!r}: expected no {{batch}} with save_freq='epoch', as the end of an "
            f"epoch has no batch. Leave it out, or pass a number of batches as save_freq"
        )
    for name in ("max_to_keep", "keep_best"):
        if counts[name] is not None and fixed(filepath) is not None:
            raise ValueError(
                f"{name}={counts[name]}: expected a filepath with placeholders, found {filepath!r}, one file that "
                f"each save replaces. Write, for example, 'ckpt/{{epoch:03d}}.keras', or leave {name} out"
            )
    if counts["period"] is not None and save_freq != "epoch":
        raise ValueError(f"period={counts['period']}: expected save_freq='epoch' with it, found {save_freq!r}")
    if exit_code is not None and (type(exit_code) is not int or not 0 <= exit_code <= 255):
        raise ValueError(f"exit_code={exit_code!r}: expected an integer from 0 to 255, or None")
    if on_save_error not in ("warn", "raise"):
        raise ValueError(f"on_save_error={on_save_error!r}: expected 'warn' or 'raise'")
    if not isinstance(save_on_background, bool):
        raise ValueError(f"save_on_background={save_on_background!r}: expected True or False")


def seconds_of(duration: Any) -> float | None:
    """A time span in seconds; None for None.

    It is a number of seconds, a ``timedelta``, or a text such as ``"10min"``. Raises ValueError if it is none of
    these, or not positive.
    """
    if duration is None:
        return None
    if isinstance(duration, timedelta):
        duration = duration.total_seconds()
    found = re.fullmatch(r"\s*([0-9.]+)\s*(s|sec|m|min|h|d)?\s*", duration) if isinstance(duration, str) else None
    try:
        seconds = float(found[1]) * _UNITS[found[2]] if found else float(duration)
    except (TypeError, ValueError):
        seconds = 0.0
    if isinstance(duration, bool) or not 0 < seconds < math.inf:
        raise ValueError(
            f"save_every={duration!r}: expected a positive number of seconds, a timedelta, or a text such "
            f"as '90s', '10min' or '2h'"
        )
    return seconds


def as_dict(training_args: Any) -> dict[str, Any]:
    """A copy of the user's arguments as a dict of plain data, which a reader can make from the file alone."""
    try:
        args = {} if training_args is None else training_args
        args = args if isinstance(args, Mapping) else vars(args)
        return dict(Decoder(Encoder().table(dict(args)), find_class=_no_class).value())
    except (PlainError, TypeError) as error:
        raise TypeError(
            f"training_args: {error}. Pass a dict or a namespace of numbers, strings and lists of them."
        ) from error


def _no_class(name: str, live: Any) -> type:
    raise PlainError("", f"an object of class {name}, which could not be made from the file alone")
