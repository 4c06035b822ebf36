"""Learning rates over steps, as a picture, or as sparklines if matplotlib is not installed."""

from __future__ import annotations

import math
import os
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .record import Record

_LEVELS = "▁▂▃▄▅▆▇█"
#: The most characters of a sparkline.
WIDTH = 60


def picture(
    records: dict[str, Record],
    path: str | os.PathLike[str] | None = None,
    *,
    marks: Iterable[tuple[int, int]] = (),
    parts_at: tuple[int, int] | None = None,
) -> Any:
    """Draw the learning rates of some records with their names; a text if matplotlib is not installed.

    ``marks`` are the steps (epoch, batch) at which a run was interrupted; from ``parts_at`` on the curves differ.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        text = "\n".join(_lines(records, marks, parts_at))
        if path is not None:
            Path(path).write_text(f"{text}\n", encoding="utf-8")
        return text
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="learning rate")
    steps = sorted({step for record in records.values() for step in record.steps})
    for i, (name, record) in enumerate(records.items()):
        wide = i == 0 and len(records) > 1  # so that the second line is seen on top of it
        axes.plot(
            [bisect_left(steps, step) for step in record.steps],
            record.learning_rate,
            label=name,
            linewidth=4 if wide else 1.5,
            alpha=0.35 if wide else 1,
        )
    for i, mark in enumerate(marks):
        label = "interrupted" if i == 0 else None
        axes.axvline(bisect_left(steps, mark), color="0.6", linestyle=":", label=label)
    if parts_at is not None:
        axes.axvline(bisect_left(steps, parts_at), color="tab:red", linestyle="--", label=f"part at {parts_at}")
    axes.legend()
    if path is not None:
        figure.savefig(path)
    return figure


def _lines(records: dict[str, Record], marks: Iterable[tuple[int, int]], parts_at: Any) -> Iterable[str]:
    width = max(map(len, records))
    for name, record in records.items():
        yield f"{name:>{width}} {sparkline(record.learning_rate)} {_range(record.learning_rate)}"
    if marks := list(marks):
        yield f"interrupted at {', '.join(map(str, marks))}"
    if parts_at is not None:
        yield f"part at {parts_at}"


def _range(values: list[float]) -> str:
    finite = [value for value in values if math.isfinite(value)]
    return f"{min(finite):.3g} to {max(finite):.3g}" if finite else "no number"


def sparkline(values: list[float]) -> str:
    """Draw values as blocks of eight heights, at most ``WIDTH`` of them; a value that is no number is a blank."""
    some = [values[i * len(values) // min(WIDTH, len(values))] for i in range(min(WIDTH, len(values)))]
    finite = [value for value in some if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    scale = (len(_LEVELS) - 1) / (high - low) if high > low else 0.0
    return "".join(_LEVELS[int((v - low) * scale + 0.5)] if math.isfinite(v) else " " for v in some)
