"""What a ``fit`` does with a restored run follows from its epochs and from what the checkpoint says."""

from __future__ import annotations

from typing import Any

import pytest
from states import contents

from callback_state._keras.fit import Fit
from callback_state._loop.running import Entry
from callback_state._resuming.mode import Mode, choose, in_words, is_the_finished

#: What the state file says: in epoch 1 of 4, after the last of 4, finished, an end of its own, a mark taken off.
META: dict[str, dict[str, Any]] = {
    "epoch": {"epoch": 1, "epochs": 4, "last": False, "finished": False},
    "batch": {"epoch": 1, "batch": 2, "epochs": 4, "last": False, "finished": False},
    "last": {"epoch": 3, "epochs": 4, "last": True, "finished": False},
    "finished": {"epoch": 3, "epochs": 4, "last": True, "finished": True},
    "end": {"epoch": 3, "epochs": 4, "finished": True, "goes_on_from": "4.keras", "exact_end": False},
    "unmarked": {"epoch": 3, "epochs": 4, "finished": False, "goes_on_from": "4.keras"},
    "stopped": {"epoch": 1, "epochs": 4, "last": True, "finished": True},
}


def meta(name: str) -> Any:
    plain = {"batch": None, "goes_on_from": None, "exact_end": True, "last": True}
    return contents({**plain, **META[name]})[0]


def fit(epochs: int, initial_epoch: int) -> Fit:
    return Fit(initial_epoch, epochs, False, True, None, None, None)


@pytest.mark.parametrize(
    ("name", "epochs", "mode"),
    [
        ("epoch", 4, Mode.RESUME),
        ("epoch", 2, Mode.NOTHING),
        ("batch", 4, Mode.RESUME),
        ("last", 4, Mode.END),
        ("last", 3, Mode.NOTHING),
        ("last", 6, Mode.RESUME),
        ("finished", 4, Mode.NOTHING),
        ("finished", 6, Mode.EXTEND),
        ("end", 4, Mode.NOTHING),
        ("end", 6, Mode.EXTEND),
        ("unmarked", 4, Mode.NOTHING),
        ("unmarked", 5, Mode.EXTEND),
        ("stopped", 4, Mode.NOTHING),
        ("stopped", 5, Mode.EXTEND),
    ],
)
def test_the_mode_follows_from_the_epochs(name: str, epochs: int, mode: Mode) -> None:
    """A run goes on, is extended beyond its end, lacks only its end, or has nothing to do."""
    found = meta(name)
    assert choose(found, fit(epochs, found.initial_epoch), begins=None) is mode
    assert choose(found, None, begins=None) is Mode.RESUME  # a loop of one's own says by itself what it trains


def test_the_epoch_that_the_model_was_told_of_comes_first() -> None:
    """``BackupAndRestore`` sets it on the model, and Keras prefers it to ``initial_epoch``."""
    assert choose(meta("epoch"), fit(4, 2), begins=4) is Mode.NOTHING
    assert choose(meta("last"), fit(4, 4), begins=1) is Mode.END


@pytest.mark.parametrize(
    ("mode", "inside", "entry", "words"),
    [
        (Mode.RESUME, False, Entry.EPOCH, "goes on with epoch 3/4"),
        (Mode.RESUME, True, Entry.BATCH, "goes on with epoch 2/4, batch 4"),
        (Mode.EXTEND, False, Entry.EPOCH, "goes on with epoch 3/4"),
        (Mode.END, False, Entry.END, "all epochs are trained"),
        (Mode.NOTHING, False, Entry.NOTHING, "all epochs are trained"),
    ],
)
def test_where_the_fit_enters_follows_from_the_mode(mode: Mode, inside: bool, entry: Entry, words: str) -> None:
    """Only where epochs are left can it enter inside one; the words count from 1 as Keras does."""
    assert mode.entry(inside=inside) is entry
    assert mode.trains is (entry in (Entry.EPOCH, Entry.BATCH))
    assert in_words(mode, meta("batch" if inside else "epoch"), 4) == words


def test_the_finished_fit_is_known_by_its_epochs() -> None:
    """Another number of epochs is another ``fit``."""
    assert is_the_finished(meta("finished"), fit(4, 4))
    assert not any(is_the_finished(*pair) for pair in [(meta("finished"), fit(5, 4)), (meta("last"), fit(4, 4))])
