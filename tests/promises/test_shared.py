"""Promise 14: a container that a callback shares with the data is shared again in the resumed run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from harness import X, Y
from reused import SAVING, fresh_model, start

from callback_state import ModelCheckpointEnhanced, stateful


@stateful
class Turns(keras.callbacks.Callback):
    """Turns the rows that the data read: the very object, or a new one."""

    def __init__(self, rows: Any, *, in_place: bool) -> None:
        super().__init__()
        self.order, self.in_place = rows, in_place

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        turned = (
            np.roll(self.order, 1) if isinstance(self.order, np.ndarray) else self.order[-1:] + self.order[:-1]
        )
        if self.in_place:
            self.order[:] = turned
        else:
            self.order = turned


class Rows(keras.utils.PyDataset):
    """Four batches, in the order of the rows."""

    def __init__(self, rows: Any) -> None:
        super().__init__()
        self.rows = rows

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return X[self.rows][16 * index :][:16], Y[self.rows][16 * index :][:16]


def run(directory: Path, kind: Any, in_place: bool, **options: Any) -> Any:
    rows = kind(range(64))
    data = {"x": Rows(rows), "y": None, "batch_size": None, "shuffle": False, "validation_data": None}
    found = start(directory, lambda: [Turns(rows, in_place=in_place)], epochs=5, **data, **options)
    assert found is None or (found.callbacks[1].order is rows) == in_place
    return found


@pytest.mark.parametrize(
    ("kind", "in_place", "saving", "kill"),
    [(list, True, "epochs", 11), (np.array, True, "batches", 15), (list, False, "batches", 10)],
    ids=["list", "array", "rebound"],
)
def test_the_data_see_what_the_callback_changes(
    tmp_path: Path, kind: Any, in_place: bool, saving: str, kill: int
) -> None:
    """After a restart as before it; and a callback that binds a new object leaves the data alone."""
    whole = run(tmp_path / "whole", kind, in_place, **SAVING[saving])
    run(tmp_path / "killed", kind, in_place, kill=kill, **SAVING[saving])
    resumed = run(tmp_path / "killed", kind, in_place, **SAVING[saving])
    assert resumed.restored.initial_epoch > 0 and whole.differences(resumed) == []


def test_a_generator_that_reads_what_a_callback_changes_is_a_doubt(tmp_path: Path) -> None:
    """Its input threads read ahead, so no restart can find the same moment; an unchanged list is no doubt."""
    rows, still = [*range(64)], [*range(4)]

    def batches() -> Any:
        while True:
            for i in still:
                yield X[rows[16 * i :][:16]], Y[rows[16 * i :][:16]]

    made = [
        Turns(rows, in_place=True),
        stateful(Keeps(still)),
        ModelCheckpointEnhanced(tmp_path / "{epoch}.keras"),
    ]
    with pytest.warns(UserWarning, match=r"^Turns\.order changes while a Python generator reads it.*PyDataset"):
        fresh_model().fit(batches(), steps_per_epoch=4, epochs=2, verbose=0, callbacks=made)


class Keeps(keras.callbacks.Callback):
    def __init__(self, rows: Any) -> None:
        super().__init__()
        self.order = rows
