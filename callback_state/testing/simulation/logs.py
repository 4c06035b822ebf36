"""The logs of a simulated run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

#: A function from (epoch, batch), both 0-based, to the logs after that step.
Logs = Callable[[int, int], dict[str, Any]]


def logs_of(given: Any, epochs: int, steps: int) -> Logs:
    """Make a function from (epoch, batch) to logs: of a function, of series, or of None, then a loss that falls.

    Series are a dict or a ``keras.callbacks.History``, and have one value an epoch or one a step.
    """
    if given is None:
        return lambda epoch, batch: {"loss": 1.0 / (1 + epoch * steps + batch)}
    series = getattr(given, "history", given)
    if isinstance(series, Mapping):
        for name, values in series.items():
            if not hasattr(values, "__len__"):
                raise TypeError(f"logs[{name!r}] is {values!r:.50}; expected a list, one value an epoch or a step")
        per_step = {name: _per_step(name, list(values), epochs, steps) for name, values in series.items()}
        return lambda epoch, batch: {name: values(epoch, batch) for name, values in per_step.items()}
    if callable(given):
        return _checked(given)
    raise TypeError(
        f"logs: expected a function of (epoch, batch), a dict of lists or a History, found {given!r:.100}"
    )


def _per_step(name: str, values: list[Any], epochs: int, steps: int) -> Callable[[int, int], Any]:
    if len(values) == epochs:
        return lambda epoch, batch: values[epoch]
    if len(values) == epochs * steps:
        return lambda epoch, batch: values[epoch * steps + batch]
    raise ValueError(
        f"logs[{name!r}] has {len(values)} values; expected {epochs}, one for each epoch, or {epochs * steps}, "
        f"one for each step"
    )


def _checked(function: Any) -> Logs:
    def logs(epoch: int, batch: int) -> dict[str, Any]:
        found = function(epoch, batch)
        if not isinstance(found, Mapping):
            raise TypeError(
                f"logs({epoch}, {batch}) returned {found!r:.100}; expected a dict such as {{'loss': 0.5}}"
            )
        return dict(found)

    return logs


def pythonified(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Convert logs as Keras does before it passes them to callbacks: sorted, flat, numbers as Python floats."""
    heard: dict[str, Any] = {}
    for name, value in sorted(logs.items()):
        if isinstance(value, Mapping):
            heard.update(pythonified(value))
        elif type(value) is float:
            heard[name] = value
        else:
            try:
                heard[name] = float(value)
            except (TypeError, ValueError):
                heard[name] = value
    return heard
