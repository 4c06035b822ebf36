"""Warnings point at the line of the script, each once."""

from __future__ import annotations

import ast
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import pytest
from harness import Batches, Killed, Strike, X, Y
from keras.callbacks import EarlyStopping
from places import ROOT
from reused import fresh_model

from callback_state import CorruptCheckpointError, ModelCheckpointEnhanced, list_checkpoints, restore_callbacks

PACKAGE = ROOT / "callback_state"
#: The calls of Python that warn.
WARNS = {"warn", "warn_explicit"}


def told(act: Callable[[], object]) -> list[tuple[str, int, str]]:
    """The file, the line and the text of each warning of ours, in a process that shows all of them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        act()
    return [(one.filename, one.lineno, str(one.message)) for one in caught if one.category is UserWarning]


def line_here() -> int:
    """The line that calls this."""
    frame: FrameType | None = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def test_one_place_warns() -> None:
    """No other module of the package calls warnings.warn, which would point at a line of ours."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in WARNS and ast.unparse(node.value) == "warnings"
    }
    assert found == {"_warn.py"}


def test_a_warning_of_fit_points_at_the_line_that_calls_fit(tmp_path: Path) -> None:
    """It comes from below Keras's own frames: at the start, and at a save."""

    class Counts(keras.callbacks.Callback):
        """It changes, and nobody saves it."""

        count = 0

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.count += 1

    (tmp_path / "1.weights.h5").write_bytes(b"")
    callbacks = [Counts(), ModelCheckpointEnhanced(tmp_path / "{epoch}.weights.h5", save_weights_only=True)]
    line = 0

    def script() -> None:
        nonlocal line
        line = line_here() + 1
        fresh_model().fit(X, Y, verbose=0, callbacks=callbacks)

    found = told(script)
    assert {(name, at) for name, at, _ in found} == {(__file__, line)}
    texts = [text for *_, text in found]
    assert len(texts) == len({*texts}) == 2
    for part in ("without state files", "count changed while training ran"):
        assert sum(part in text for text in texts) == 1, texts


def test_a_warning_of_a_restore_points_at_the_line_that_restores(tmp_path: Path) -> None:
    """As does one of the functions that list checkpoints."""
    save(tmp_path)
    at = [line_here() + 1]
    found = told(lambda: restore_callbacks(tmp_path, into=[EarlyStopping("loss", patience=5), Batches()]))
    next(tmp_path.glob("*.pkl")).write_bytes(b"")
    at.append(line_here() + 1)
    found += told(lambda: list_checkpoints(tmp_path))
    assert [(name, line) for name, line, _ in found] == [(__file__, line) for line in at]
    assert "patience was 3, is 5" in found[0][2] and "left aside" in found[1][2]


def save(directory: Path, epochs: int = 1) -> None:
    model = fresh_model()
    stopping = EarlyStopping("loss", patience=3)
    checkpoint = ModelCheckpointEnhanced(directory / "{epoch}.weights.h5", save_weights_only=True)
    callbacks = [stopping, Batches(), checkpoint]
    model.fit(X, Y, batch_size=16, epochs=epochs, verbose=0, callbacks=callbacks)


def test_an_error_is_not_warned_of_too(tmp_path: Path) -> None:
    """Three damaged checkpoints, and none that is whole: one error, and no warning with the same words."""
    save(tmp_path, 3)
    for path in tmp_path.glob("*.pkl"):
        path.write_bytes(b"")

    def restore() -> None:
        with pytest.raises(CorruptCheckpointError, match="none of 3 checkpoints verifies; the first: "):
            restore_callbacks(tmp_path, into=[Batches()])

    assert told(restore) == []


def test_the_seed_is_told_once(tmp_path: Path) -> None:
    """A run that goes on inside an epoch puts the generators back twice."""
    checkpoint: Any = {"filepath": tmp_path / "m.weights.h5", "save_weights_only": True, "save_freq": 2}
    callbacks = [ModelCheckpointEnhanced(**checkpoint), Strike("train_batch_end", at=2)]
    with pytest.raises(Killed):
        fresh_model().fit(X, Y, batch_size=16, verbose=0, callbacks=callbacks)
    model = fresh_model()
    keras.utils.set_random_seed(5)
    callbacks = [ModelCheckpointEnhanced(**checkpoint)]
    restore_callbacks(tmp_path, into=callbacks, model=model, strict=False)
    found = told(lambda: model.fit(X, Y, batch_size=16, verbose=0, callbacks=callbacks))
    assert [text for *_, text in found if "global seed" in text] == [found[0][2]]
