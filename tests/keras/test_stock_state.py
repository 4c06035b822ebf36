"""A value that no stock callback can hold is refused at the restore, not met in the middle of training."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from callback_state._keras.stock_callbacks import state_for

WRONG: dict[str, tuple[Any, ...]] = {
    "wait": ("3", 1.5, True, [], 2**63, None),
    "_global_train_batch": (b"", float("nan"), {}),
    "best": ("0.5", b"1", [], 10**400),
    "keys": ("loss", ("loss",), [None], {"loss": 1}),
    "_ema_weights_in_model": (1, None, "True"),
}
RIGHT: dict[str, tuple[Any, ...]] = {
    "wait": (0, -1, np.int64(7)),
    "best": (0, 0.5, float("-inf"), float("nan"), None, np.float32(1), np.array(2.0)),
    "keys": ([], ["loss", "val_loss"]),
    "_ema_weights_in_model": (False,),
    "best_weights": (None, [np.ones(2)]),
    "anything": ("else",),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_what_no_callback_holds_is_refused(name: str, value: Any) -> None:
    """The error has the name and the value."""
    live = SimpleNamespace(**dict.fromkeys(WRONG, 0))
    with pytest.raises(ValueError, match=rf"^{name}: expected "):
        state_for(live, {name: value})


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in RIGHT.items() for value in values])
def test_what_a_callback_holds_is_taken(name: str, value: Any) -> None:
    """Numbers of NumPy too, and None where the live callback has None."""
    assert state_for(SimpleNamespace(**dict.fromkeys(WRONG, 0)), {name: value})[name] is value
    assert state_for(SimpleNamespace(), {name: None}) == {name: None}


def test_no_batch_yet_is_what_this_keras_keeps_for_it() -> None:
    """A file of another Keras, and one that is restored into a callback that has seen batches."""
    made = keras.callbacks.ModelCheckpoint("m.keras")
    begun = made._last_batch_seen
    made._last_batch_seen = 7
    assert state_for(made, {"_last_batch_seen": None}) == {"_last_batch_seen": begun}
