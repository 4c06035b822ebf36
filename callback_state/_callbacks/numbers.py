"""The plain numbers among the state of a callback, whose course over a run is kept for pictures."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any

from .._checkpoints.trace import MAX_NUMBERS
from .._checkpoints.typed import BITS
from .._format.classes import attributes
from .capture import state_among
from .stock import adapter_of

Number = int | float | bool


def numbers_of(callback: Any, known: Collection[str] = ()) -> dict[str, Number]:
    """The attributes of a callback that are state and hold one number, by their names: at most sixteen.

    Those that are ``known`` come first, so that a course goes on. Private attributes of Keras are left out.
    """
    adapter, _ = adapter_of(type(callback))
    private = {name for name in adapter.state if name.startswith("_")} if adapter is not None else set()
    plain = {name: plain_number(value) for name, value in attributes(callback).items() if name not in private}
    found = state_among(callback, {name: number for name, number in plain.items() if number is not None})
    names = [*(name for name in known if name in found), *(name for name in found if name not in known)]
    room = {*known, *[name for name in names if name not in known][: MAX_NUMBERS - len(known)]}
    return {name: found[name] for name in names if name in room}


def plain_number(value: Any) -> Number | None:
    """An int, a float, a truth value, or a NumPy scalar, as Python has them; None for anything else.

    So is an int that no run reaches, and a number that no Python number is as exact as.
    """
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        value = value.item()
    if type(value) not in (int, float, bool) or (type(value) is int and value.bit_length() > BITS):
        return None
    number: Number = value
    return number
