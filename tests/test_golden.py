"""Checkpoints of older releases, Pythons, Kerases and NumPys stay readable."""

from __future__ import annotations

import shutil
from pathlib import Path

import keras
import pytest
from harness import Batches, PerBatch, fit

from callback_state import latest_checkpoint, list_checkpoints, load_meta, restore_callbacks

GOLDEN = sorted(path for path in (Path(__file__).parent / "golden").iterdir() if path.is_dir())


@pytest.mark.parametrize("directory", GOLDEN, ids=lambda path: path.name)
def test_an_old_checkpoint_goes_on_here(directory: Path, tmp_path: Path) -> None:
    """Its values are what was written, and a run goes on from it on this Keras."""
    restored = restore_callbacks(directory)
    assert (restored["PerBatch"].step, restored.initial_epoch) == (8, 2)
    assert len(restored["Batches"].seen) == 8
    early, plateau = restored["EarlyStopping"], restored["ReduceLROnPlateau"]
    assert early.wait == 1 and early.best == min(restored.history["val_loss"]) and early.min_delta == -1e-3
    assert plateau.wait in (0, 1) and plateau.patience == 1
    assert load_meta(directory)["epochs"] == [0, 1]
    moved = Path(shutil.copytree(directory, tmp_path / "ckpt"))

    def make() -> list[keras.callbacks.Callback]:
        return [
            PerBatch(0.02), Batches(), keras.callbacks.EarlyStopping(patience=9, min_delta=1e-3),
            keras.callbacks.ReduceLROnPlateau(patience=1),
        ]

    resumed = fit(moved, make, epochs=4, checkpoint={"max_to_keep": 1})
    assert resumed.restored.initial_epoch == 2
    assert resumed.epochs == [0, 1, 2, 3]


@pytest.mark.parametrize("directory", GOLDEN, ids=lambda path: path.name)
def test_an_old_checkpoint_is_listed(directory: Path) -> None:
    """Verified or not, with what it says of its moment, though it has no summary at its beginning."""
    listed = [list_checkpoints(directory, verify=verify) for verify in (True, False)]
    assert listed[0] == listed[1] != []
    last = listed[0][-1]
    assert last.path == latest_checkpoint(directory)
    assert (last.epoch, last.batch, last.monitor[0]) == (1, None, "val_loss")
    assert last.monitor[1] == load_meta(directory)["val_loss"][-1]
