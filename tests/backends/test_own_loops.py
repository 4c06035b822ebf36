"""A training loop as one writes it for the backend that runs here: the example is killed, and ends as if not."""

from __future__ import annotations

import os
from pathlib import Path

import keras
import pytest
from articles import contents, files_below
from commands import run
from programs import start

BACKEND = keras.backend.backend()
EXAMPLE = {"tensorflow": "custom_loop.py"}.get(BACKEND, f"custom_loop_{BACKEND}.py")
#: On another backend nothing of TensorFlow may be needed.
BEFORE = "" if BACKEND == "tensorflow" else "import sys; sys.modules['tensorflow'] = None"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def test_an_own_loop_that_was_killed_twice_ends_as_if_nobody_had(tmp_path: Path) -> None:
    """Once inside an epoch, once after the last batch of one: weights, optimizer, seeds, history and the states of
    the callbacks are byte for byte those of a whole run, and so is what it prints of each epoch."""
    whole = start(EXAMPLE, tmp_path / "whole", before=BEFORE).lines
    start(EXAMPLE, tmp_path / "killed", before=BEFORE, dies_at=(1, 8))
    again = start(EXAMPLE, tmp_path / "killed", before=BEFORE, dies_at=(2, 0)).lines
    resumed = start(EXAMPLE, tmp_path / "killed", before=BEFORE).lines
    assert "initial_epoch=1, batch=4" in again[0] and "initial_epoch=1, batch=19" in resumed[0]
    assert again[1:] == whole[2:3] and resumed[1:] == whole[2:]
    saved = contents(tmp_path / "whole")
    assert len(saved) == 3 and saved == contents(tmp_path / "killed")
    for name in saved:
        done = run("diff", tmp_path / "whole" / name, tmp_path / "killed" / name)
        assert done.status == 0, done.out
    assert files_below(tmp_path / "whole") == files_below(tmp_path / "killed")
