"""A script that trains in a loop of fits resumes as the uninterrupted one, or a restart is refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import Killed, Strike, X, Y, bytes_of, states_of
from reused import forget, fresh_model

from callback_state import ModelCheckpointEnhanced, ResumeError, restore_callbacks, stateful

FITS, EPOCHS = 3, 2  # of each fit
#: The (initial_epoch, epochs) of each fit, as a script may write them, from the epoch that was restored.
Loop = Callable[[int], Iterator[tuple[int, int]]]


def whole(restored: int) -> Iterator[tuple[int, int]]:
    """As the documentation says."""
    for i in range(FITS):
        yield max(i * EPOCHS, restored), (i + 1) * EPOCHS


def rest(restored: int) -> Iterator[tuple[int, int]]:
    """Leaves out the fits that are done."""
    return ((first, last) for first, last in whole(restored) if first < last)


def again(restored: int) -> Iterator[tuple[int, int]]:
    """Each fit trains the same epochs."""
    return ((0, EPOCHS) for _ in range(FITS))


@stateful
class Waits(keras.callbacks.Callback):
    """Counts batches, those of one fit and all."""

    def __init__(self) -> None:
        super().__init__()
        self.of_this, self.of_all = 0, 0

    def on_train_begin(self, logs: Any = None) -> None:
        self.of_this = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.of_this += 1
        self.of_all += 1


def start(where: Path, loop: Loop, kill: int | None = None, *, strict: bool = True, **options: Any) -> Any:
    """One start of the script; None if it is killed after so many batches."""
    forget()
    model = fresh_model()
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=1, factor=0.9, min_delta=1)
    callbacks = [
        Waits(),
        plateau,
        keras.callbacks.EarlyStopping("loss", patience=50, min_delta=1),
        ModelCheckpointEnhanced(str(where / "{epoch:03d}.keras"), **options),
    ]
    restored = restore_callbacks(where, into=callbacks, model=model, missing_ok=True, strict=strict)
    killer = [] if kill is None else [Strike("train_batch_end", after=kill)]
    histories = []
    try:
        for first, last in loop(restored.initial_epoch):
            history = model.fit(
                X, Y, batch_size=16, verbose=0, initial_epoch=first, epochs=last, callbacks=[*callbacks, *killer]
            )
            histories.append(history.history)
    except Killed:
        return None
    return bytes_of(model.variables), bytes_of(model.optimizer.variables), states_of(callbacks), histories[-1]


# The fits have batches 0 to 7, 8 to 15 and 16 to 23.
@pytest.mark.parametrize(
    ("kill", "options"),
    [(8, {}), (14, {}), (18, {}), (7, {"save_every": 1e-6}), (13, {"save_every": 1e-6})],
    ids=["first epoch of the second", "second epoch", "third", "inside the first", "inside the second"],
)
def test_a_loop_of_fits_is_resumed_exactly(tmp_path: Path, kill: int, options: dict[str, Any]) -> None:
    """If a restart runs it from its beginning, wherever it was killed: each fit begins anew what it began anew."""
    expected = start(tmp_path / "whole", whole, **options)
    assert start(tmp_path / "parts", whole, kill, **options) is None
    assert start(tmp_path / "parts", whole, **options) == expected


@pytest.mark.parametrize(("loop", "kill"), [(rest, 18), (again, 14)], ids=["the rest", "the same epochs"])
@pytest.mark.filterwarnings("ignore:.*begins with epoch 1 again")
def test_another_loop_is_refused(tmp_path: Path, loop: Loop, kill: int) -> None:
    """With the line to write: it is not known which fit was interrupted, or what it begins anew."""
    assert start(tmp_path, loop, kill) is None
    with pytest.raises(ResumeError, match=r"initial_epoch=max\(i, restored\.initial_epoch\)"):
        start(tmp_path, loop)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert start(tmp_path, loop, strict=False) is not None
    assert any("In a loop of fits" in str(warning.message) for warning in told)


def test_a_loop_that_goes_on_after_its_first_fit_is_told(tmp_path: Path) -> None:
    """The first fit after the restart looks like more epochs of a finished run; the second shows the loop."""
    assert start(tmp_path, rest, 8) is None
    with pytest.warns(UserWarning, match="not the first fit since the restart"):
        start(tmp_path, rest)


def test_fits_with_the_same_epochs_are_told_at_the_second(tmp_path: Path) -> None:
    """Long before anything is killed."""
    with pytest.warns(UserWarning, match=r"begins with epoch 1 again.*In a loop of fits"):
        start(tmp_path, again)
