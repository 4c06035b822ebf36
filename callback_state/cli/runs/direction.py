"""Whether small or large values of a monitored series are better, as far as the files say."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, cast

import click

from ..._checkpoints.directory import Listed, Run, files_of
from ..._format.decode import Decoder
from ..._format.statefile import unseal
from ..._format.table import Table, two_by_two
from ..._store.pair import state_bytes
from ...exceptions import CallbackStateError

Better = Callable[[Any, Any], bool]
_BETTER: dict[str, Better] = {"min": operator.lt, "max": operator.gt}
_DECIDED = {"less": "min", "greater": "max"}
#: Only whole names count: "accident_rate" contains "acc", and "glossary" contains "loss".
_LARGER = frozenset({"acc", "accuracy", "val_acc", "val_accuracy"})
_SMALLER = re.compile("(.*_)?loss", re.DOTALL)

mode_option = click.option(
    "--mode",
    type=click.Choice(["min", "max"]),
    help="Whether the smallest or the largest monitored value is the best; by default as the checkpoints say.",
)


def best_of(run: Run, better: Better | None) -> Listed | None:
    """The checkpoint with the best monitored value; the earliest of equal ones. NaN is never the best."""
    if better is None:
        return None
    best: tuple[float, Listed] | None = None
    for checkpoint in run.whole:
        value = None if checkpoint.summary is None else checkpoint.summary.monitor_value
        if value is not None and value == value and (best is None or better(value, best[0])):
            best = value, checkpoint
    return None if best is None else best[1]


def better_in(run: Run, mode: str | None, monitor: str | None = None) -> Better | None:
    """Tell whether one value of ``monitor`` (by default that of the run) is better; None if nothing says it."""
    newest = run.newest
    if mode is not None or newest is None or newest.summary is None:
        return None if mode is None else _BETTER[mode]
    monitor = newest.summary.monitor_name if monitor is None else monitor
    said = _said(newest, monitor)
    if said is not None and not said:
        said = _by_name(monitor)
    return _BETTER[said.pop()] if said is not None and len(said) == 1 else None


def _said(checkpoint: Listed, monitor: str) -> set[str] | None:
    """The modes that the callbacks of a checkpoint use for a series; None if the file cannot be read.

    Only this part of the file is decoded: the random generators would import NumPy.
    """
    try:
        ((_, (path, *_)),) = files_of(checkpoint.path)
        nodes, root, states, *_ = cast(Any, unseal(state_bytes(path), path).tree)
        meta = _dict(nodes, _dict(nodes, root)["meta"])
        described = Decoder(Table(nodes, meta["callbacks"])).value()
        told = {_told(entry["arguments"], monitor) for entry in described}
        decided = {_decided(_dict(nodes, ref), monitor) for ref in _dict(nodes, states).values()}
    except (CallbackStateError, OSError, ValueError, TypeError, LookupError):  # damage is reported elsewhere
        return None
    return {*filter(None, told | decided)}


def _dict(nodes: Any, ref: Any) -> dict[Any, Any]:
    return dict(two_by_two(nodes[ref[0]][1]))


def _told(arguments: dict[str, Any], monitor: str) -> str | None:
    given = {name: arguments[name][1] for name in ("monitor", "mode") if name in arguments}
    return given["mode"] if given.get("monitor") == monitor and given.get("mode") in ("min", "max") else None


def _decided(attributes: dict[Any, Any], monitor: str) -> str | None:
    """The mode in an attribute such as ``"less val_loss"``, which the adapters of stock callbacks write."""
    direction, _, series = str(attributes.get("monitor_op")).partition(" ")
    return _DECIDED.get(direction) if series == monitor else None


def _by_name(monitor: str) -> set[str]:
    if _SMALLER.fullmatch(monitor):
        return {"min"}
    return {"max"} if monitor in _LARGER else set()
