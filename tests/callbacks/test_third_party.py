"""The hook on a real callback from PyPI: examples/third_party.py, killed within an epoch and started again."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

from programs import start

EXAMPLE = "third_party.py"

#: Few images, so that an epoch has twelve batches.
FEW = """
import sklearn.datasets as datasets
whole = datasets.load_digits(return_X_y=True)
datasets.load_digits = lambda return_X_y: [part[:768] for part in whole]
"""
#: "6.0/12.0 [00:00<00:02, 6.24batch/s, loss=1.86]", or "s/batch" where that is slow.
BAR = re.compile(r"([0-9.]+)/([0-9.]+) \[[^]]*?(?:(batch|epoch)/s|s/(batch|epoch))([^]]*)\]")


def bars(directory: Path, **options: Any) -> list[tuple[str, float, float, str]]:
    """What the bars of one start showed, one after the other: (unit, done, of, metrics)."""
    done = start(EXAMPLE, directory, before=FEW, environment={"COLUMNS": "120"}, **options)
    shown = [(m[3] or m[4], float(m[1]), float(m[2]), m[5]) for m in BAR.finditer(done.err)]
    return [bar for bar, _ in itertools.groupby(shown)]


def test_bars_go_on_where_they_were(tmp_path: Path) -> None:
    """Resumed at the 6th batch of the third epoch, both bars are there at once, and from then on show what
    the bars of a run that was not killed show."""
    whole = bars(tmp_path / "whole")
    died = bars(tmp_path / "killed", dies_at=33)  # the 9th of the third epoch
    assert died == whole[: len(died)]
    resumed = bars(tmp_path / "killed")
    there = resumed.index(("epoch", 2, 6, ""))
    assert resumed[there + 1] == ("batch", 6, 12, "")
    assert [bar[1] for bar in resumed[:there]] == [0, 0]
    rest = resumed[there + 2 :]
    assert rest == whole[-len(rest) :]
    assert rest[0][:3] == ("batch", 7, 12) and rest[-1][:3] == ("epoch", 6, 6)
