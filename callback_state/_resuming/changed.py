"""A model that is built or compiled with other arguments than in the saved run: what was, is, and holds."""

from __future__ import annotations

from typing import Any

from .._checkpoints.schema import Meta
from .._keras.backend import backend, backend_in, versions
from .._keras.configuration import Configuration
from .._warn import warn
from .match import Change

#: Characters of a value in the warning.
LONG = 200
#: The numbers of an optimizer that stand in a variable, so that the restored one holds.
_RESTORED = ("learning_rate", "initial_scale")


def changes_of(meta: Meta, now: Configuration) -> list[Change]:
    """What differs between the configuration in a checkpoint and that of the model here."""
    saved = meta.model.configuration
    # Another Keras may write more of the same layer.
    is_same = meta.versions.get("keras", "").split(".")[:2] == versions()["keras"].split(".")[:2]
    found = []
    for part in now.keys() & saved.keys():
        was, here = saved[part], now[part]
        names = was.keys() | here.keys() if is_same else was.keys() & here.keys()
        different = [name for name in sorted(names) if repr(was.get(name)) != repr(here.get(name))]
        found += [Change(part, name, was.get(name), here.get(name)) for name in different]
    return sorted(found, key=lambda change: (change.key, change.argument))


def is_restored(change: Change) -> bool:
    """Whether the checkpoint's value holds, not that of the script."""
    is_number = isinstance(change.saved, float) and isinstance(change.now, float)
    return "optimizer " in change.key and change.argument in _RESTORED and is_number


def warn_of_changes(path: str, changes: list[Change]) -> None:
    """Warn once of all changes, and say which value holds; ``path`` is the model file."""
    new = [change for change in changes if not is_restored(change)]
    old = [change for change in changes if is_restored(change)]
    parts = []
    if new:
        parts.append(f"The new values hold: {'; '.join(map(_short, new))}")
    if old:
        parts.append(f"The restored values hold: {'; '.join(map(_short, old))}")
    rates = [_rate(change.now) for change in old if change.argument == "learning_rate"]
    if rates:
        parts.append(f"To set the rate, write model.optimizer.learning_rate = {rates[0]} after restore_callbacks")
    if parts:
        warn(
            f"{path}: the model is built or compiled with other arguments than in the saved run. "
            f"{'. '.join(parts)}."
        )


def tell_of_backend(path: str, meta: Meta) -> None:
    """Warn if the checkpoint at this path was saved on another backend."""
    saved, here = backend_in(meta.versions), backend().name
    if saved != here:
        warn(
            f"{path}: saved on the backend {saved}, restored on {here}. Weights, optimizer, callbacks and history "
            f"are those of the checkpoint. What is computed and drawn from now on has other bits than it would "
            f"have had on {saved}."
        )


def _short(change: Change) -> str:
    if change.argument == "learning_rate":
        return f"{change.key}.learning_rate was {_rate(change.saved)}, is {_rate(change.now)}"
    return f"{change.key}.{change.argument} was {change.saved!r:.{LONG}}, is {change.now!r:.{LONG}}"


def _rate(rate: Any) -> str:
    """A rate as the script has it: Keras keeps it in 32 bits."""
    return f"{rate:.7g}" if isinstance(rate, float) else repr(rate)
