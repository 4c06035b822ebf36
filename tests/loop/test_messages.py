"""What ``verbose=1`` says: a line for each save, a line for a resume, beside Keras's progress bar."""

from __future__ import annotations

import io
import logging
import re
import sys
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import Killed, Strike, X, Y
from reused import fresh_model

from callback_state import ModelCheckpointEnhanced, list_checkpoints, restore_callbacks, stateful
from callback_state._checkpoints.snapshot import Snapshot
from callback_state._loop import messages

SIZE = r"\d+(\.\d+)? kB"


@stateful
class Counts(keras.callbacks.Callback):
    """Has a state."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.count += 1


def start(
    directory: Path, *more: Any, name: str = "{epoch}.keras", verbose: int = 1, fit: Any = 0, **options: Any
) -> None:
    model = fresh_model()
    callbacks = [Counts(), ModelCheckpointEnhanced(directory / name, verbose=verbose, **options)]
    restored = restore_callbacks(directory, into=callbacks, model=model, missing_ok=True)
    model.fit(
        X,
        Y,
        batch_size=16,
        epochs=3,
        initial_epoch=restored.initial_epoch,
        verbose=fit,
        callbacks=[*callbacks, *more],
    )


def test_a_save_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The model, the states, how large, how long; started again, that nothing is left to train."""
    start(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for epoch, line in enumerate(lines, 1):
        saved = rf"Epoch {epoch}: saved .*/{epoch}\.keras \({SIZE}\) with Counts, ModelCheckpointEnhanced"
        assert re.fullmatch(rf"{saved} \({SIZE}\) in \d+ ms", line)
    start(tmp_path)
    assert capsys.readouterr().out.splitlines()[0].endswith("; all epochs are trained")


def test_without_verbose_nothing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither at saves nor at a resume."""
    with pytest.raises(Killed):
        start(tmp_path, Strike("epoch_begin", at=1), verbose=0)
    start(tmp_path, verbose=0)
    assert capsys.readouterr().out == ""


def test_a_best_value_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it was and is; and why nothing was saved."""

    class Losses(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["score"] = [3.0, 4.0, 2.0][epoch]

    start(tmp_path, Losses(), monitor="score", mode="min", save_best_only=True)
    one, two, three = capsys.readouterr().out.splitlines()
    assert re.match(r"Epoch 1: score improved from (None|inf) to 3\.00000, saved ", one)  # inf: Keras 3.7
    assert two == "Epoch 2: score did not improve from 3.00000"
    assert three.startswith("Epoch 3: score improved from 3.00000 to 2.00000, saved ")


class Worse(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["score"] = float(epoch)


def test_what_is_told_changes_nothing_that_is_saved(tmp_path: Path) -> None:
    """Also where the last epoch is not better, and only told of."""
    for verbose in (0, 1):
        directory = tmp_path / str(verbose)
        start(directory, Worse(), verbose=verbose, monitor="score", mode="min", save_best_only=True)
    saved = [{p.name for p in (tmp_path / v).iterdir()} for v in "01"]
    metas = [[Snapshot.open(c.path).meta for c in list_checkpoints(tmp_path / v)] for v in "01"]
    ends = [[(meta.finished, meta.exact_end) for meta in of_run] for of_run in metas]
    assert saved[0] == saved[1] and ends[0] == ends[1]


def test_a_resume_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was put back, what has no state yet, and where the run goes on, counted as Keras prints it."""
    with pytest.raises(Killed):
        start(tmp_path, Strike("epoch_begin", at=2))
    capsys.readouterr()
    start(tmp_path, stateful(Counts(), key="another"))
    assert capsys.readouterr().out.splitlines()[0] == (
        f"Resumed {tmp_path}/2.keras: restored Counts, ModelCheckpointEnhanced; new another; "
        f"goes on with epoch 3/3"
    )


def test_what_was_left_out_is_told() -> None:
    """With strict=False a callback of the checkpoint may be missing."""
    line = messages.resumed("2.keras", ["A"], ["B"], [], "goes on with epoch 3/3")
    assert line == "Resumed 2.keras: restored A; not restored B; goes on with epoch 3/3"


def test_keras_can_be_told_to_be_silent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Then the lines are in the log, where they always are."""
    keras.utils.disable_interactive_logging()
    try:
        with caplog.at_level(logging.INFO, "callback_state"):
            start(tmp_path)
    finally:
        keras.utils.enable_interactive_logging()
    assert capsys.readouterr().out == ""
    assert [record.getMessage()[:14] for record in caplog.records] == [f"Epoch {i}: saved" for i in (1, 2, 3)]


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def screen(written: str) -> list[str]:
    """What a terminal shows of that: a carriage return goes to the line's beginning, a backspace one back."""
    lines = []
    for text in re.sub(r"\x1b\[[0-9;]*m", "", written).split("\n"):
        line, at = [], 0
        for character in text:
            if character == "\r":
                at = 0
            elif character == "\b":
                at = max(0, at - 1)
            else:
                line[at : at + 1], at = [character], at + 1
        lines.append("".join(line).rstrip())
    return lines


def test_the_progress_bar_is_not_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal each line of ours stands alone, at saves within an epoch and at a resume there, so that grep
    finds them; the bar of each epoch ends at its last step."""
    options: dict[str, Any] = {"name": "{epoch}-{batch}.keras", "save_freq": 2, "fit": 1}
    with pytest.raises(Killed):
        start(tmp_path, Strike("train_batch_begin", at=3), **options)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    start(tmp_path, **options)
    lines = [line for line in screen(terminal.getvalue()) if line]
    resumed, *saved = [line for line in lines if "Resumed" in line or "saved" in line]
    assert resumed.startswith("Resumed ") and resumed.endswith("; goes on with epoch 1/3, batch 3")
    assert len(saved) == 5
    assert all(re.fullmatch(r"Epoch \d, batch \d: saved .* in \d+ ms", line) for line in saved)
    bars = [line for line in lines if "step" in line]
    assert sum(line.startswith("4/4") for line in bars) >= 3
    assert len(lines) == 1 + len(saved) + len(bars) + 3 + 2  # "Epoch 1/3", ..., and what is read again


class Gone(io.StringIO):
    encoding = "no such encoding"

    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [None, Gone()], ids=["none", "broken"])
def test_a_lost_stream_ends_no_training(monkeypatch: pytest.MonkeyPatch, stream: Any, caplog: Any) -> None:
    """The line is still in the log."""
    monkeypatch.setattr(sys, "stdout", stream)
    with caplog.at_level(logging.INFO, "callback_state"):
        messages.say("saved")
    assert [record.getMessage() for record in caplog.records] == ["saved"]


def test_a_name_that_cannot_be_printed_ends_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is spelled."""
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    messages.say("saved \u00e9\u4e16.keras")
    assert narrow.buffer.getvalue() == b"saved \\xe9\\u4e16.keras\n"  # type: ignore[attr-defined]
