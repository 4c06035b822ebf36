"""One compiled model that many runs share, put back to its beginning for each: runs without tracing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import keras
from harness import X_VAL, Y_VAL, Killed, Run, Strike, X, Y
from kept import kept

from callback_state._keras import randomness


def _small(ema: bool, steps_per_execution: int) -> Any:
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(4, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.05, use_ema=ema, ema_momentum=0.9),
        keras.losses.BinaryCrossentropy(),
        metrics=[keras.metrics.BinaryAccuracy(name="accuracy")],
        jit_compile=False,
        steps_per_execution=steps_per_execution,
    )
    return model


def _trained(model: Any) -> None:
    model.fit(X, Y, batch_size=16, validation_data=(X_VAL, Y_VAL), verbose=0)


def fresh_model(*, ema: bool = False, steps_per_execution: int = 1) -> Any:
    """A small model as a new process makes it; what an earlier run holds of it changes with it."""
    model = kept(_small, warm=_trained, ema=ema, steps_per_execution=steps_per_execution)
    keras.utils.set_random_seed(3)
    return model


def fit(directory: Path, make: harness.Make, **options: Any) -> Run | None:
    """One start of a script, as :func:`harness.fit`, with the shared model."""
    return harness.fit(directory, make, **{"model": fresh_model(), **options})


def forget() -> None:
    """The global generators as in a new process that is seeded: none of TensorFlow's or Keras's own made yet."""
    keras.utils.set_random_seed(11)
    if keras.backend.backend() == "tensorflow":
        from tensorflow.python.ops import stateful_random_ops

        stateful_random_ops.global_generator = None
    randomness._put_back_keras(None)  # Keras 3.7 keeps it


#: Arguments of :func:`start`: a checkpoint every two epochs of four batches each, or every three batches.
SAVING: dict[str, dict[str, Any]] = {
    "epochs": {"checkpoint": {"period": 2}},
    "batches": {"checkpoint": {"save_freq": 3}, "name": "{epoch}-{batch}"},
}


def start(
    directory: Path, make: Callable[[], list[Any]], *, kill: int | None = None, epochs: int = 6, **options: Any
) -> Run | None:
    """One start of a script, with the callbacks that ``make`` makes; None if it died, after ``kill`` steps."""

    def callbacks() -> list[Any]:
        return [*make(), *([] if kill is None else [Strike("train_batch_end", step=kill)])]

    try:
        return fit(directory, callbacks, epochs=epochs, **options)
    except Killed:
        return None
