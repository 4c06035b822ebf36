"""``tqdm.keras.TqdmCallback``: its bars go on where they were."""

from __future__ import annotations

import time
from typing import Any

from .._callbacks.adapter import adapter


def register() -> None:
    """Describe ``tqdm.keras.TqdmCallback``, so that its bars go on where they were. Call it before ``fit``.

    Example:
        >>> from callback_state import contrib
        >>> contrib.tqdm.register()
    """
    from tqdm.keras import TqdmCallback

    adapter(TqdmCallback, state=(), outside=_shown, pick_up=_show)


def _bars(callback: Any) -> dict[str, Any]:
    """The bars by their names. With verbose=0 there is none for batches; with verbose=2 an epoch makes it."""
    bars = {"epochs": callback.epoch_bar, "batches": getattr(callback, "batch_bar", None)}
    return {name: bar for name, bar in bars.items() if bar is not None}


def _shown(callback: Any) -> dict[str, list[float]]:
    """How much is done, and how many seconds that took."""
    return {name: [bar.n, bar.format_dict["elapsed"]] for name, bar in _bars(callback).items()}


def _show(callback: Any, taken: dict[str, list[float]]) -> None:
    for name, bar in _bars(callback).items():
        if name in taken:
            bar.n, seconds = taken[name]
            bar.initial, bar.last_print_n, bar.start_t = 0, bar.n, time.time() - seconds
            bar.refresh()
