"""The adapters of Keras's own callbacks, and the adapter of any class.

No name of a private Keras module gets into a file. ``monitor_op``, which Keras keeps as a private function, is
stored as the word "less" or "greater".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .._keras.classes import stock_name
from .._keras.stock_callbacks import STOCK
from . import csv_log, event_files
from .adapter import Adapter, given_to
from .stateful import own_registration

#: What the callbacks that write outside the process do there.
_OUTSIDE: dict[str, dict[str, Any]] = {
    "CSVLogger": {
        "outside": csv_log.outside,
        "note": csv_log.note,
        "wind_back": csv_log.wind_back,
        "pick_up": csv_log.pick_up,
    },
    "TensorBoard": {
        "outside": event_files.outside,
        "began": event_files.began,
        "note": event_files.note,
        "wind_back": event_files.wind_back,
    },
}

ADAPTERS = {name: Adapter(**vars(stock), **_OUTSIDE.get(name, {})) for name, stock in STOCK.items()}


def adapter_of(cls: type) -> tuple[Adapter | None, bool]:
    """The adapter of a class, from the table and from ``adapter(...)``; and whether it is one of Keras's own."""
    stock = next(filter(None, map(stock_name, cls.__mro__)), "")
    found = ADAPTERS.get(stock)
    for base in reversed(cls.__mro__):
        said = given_to(base)
        if said is not None:
            found = said if found is None else said.over(found)
        elif found is not None and found.closed and own_registration(base) is not None:
            found = replace(found, closed=False)  # a subclass with @stateful: what it adds is state
    return found, stock_name(cls) is not None


def direction_of(callback: Any) -> str | None:
    """Which values the callback takes as better: ``"less val_loss"``; None if that is not decided yet."""
    name = getattr(callback.monitor_op, "__name__", None)
    return f"{name} {callback.monitor}" if name in ("less", "greater") else None


def set_direction(callback: Any, decided: str | None) -> None:
    """Put a decision back into a callback, with the sign that ``min_delta`` gets from it.

    Nothing changes if the callback has decided already (an older Keras decides in ``on_train_begin``), or if its
    configuration now says something else.
    """
    direction, _, monitor = (decided or "").partition(" ")
    modes = {"less": ("min", "auto"), "greater": ("max", "auto")}.get(direction, ())
    # Keras 3.7 has no attribute mode in a ModelCheckpoint, but always a decision.
    if callback.monitor_op is not None or callback.monitor != monitor or callback.mode not in modes:
        return
    import keras

    callback.monitor_op = getattr(keras.ops, direction)
    if direction == "less":
        callback.min_delta = -abs(callback.min_delta)
