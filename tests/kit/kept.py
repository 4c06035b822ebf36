"""Compiled models that many runs share, put back to their beginning for each: a run need not trace its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from callback_state._keras.randomness import put_back_generators, take_generators
from callback_state._keras.weights import put_back_variables, take_variables
from callback_state._loop import waiting

_KEPT: dict[Any, tuple[Any, list[Any], dict[str, Any]]] = {}


def kept(make: Callable[..., Any], *, warm: Callable[[Any], Any] | None = None, **options: Any) -> Any:
    """The model that a function makes, and the global generators, as they are when it has just made it.

    What an earlier run holds of the model changes with it: compare bytes, not models.

    Args:
        make: seeds the generators, builds and compiles; is called once for each set of options.
        warm: called once with the new model; what it changes is put back.
        options: for ``make``.
    """
    if keras.backend.backend() != "tensorflow" and warm is None:
        return make(**options)  # its first fit reads a batch more than the later ones, to build the metrics
    key = (make, *sorted(options.items()))
    if key not in _KEPT:
        model = make(**options)
        generators = take_generators()
        model.optimizer.build(model.trainable_variables)
        _KEPT[key] = (model, take_variables(model), generators)
        if warm is not None:
            warm(model)
    model, variables, generators = _KEPT[key]
    put_back_variables(variables)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.random.set_seed(generators["tensorflow_seed"])
    put_back_generators(generators)
    model.reset_metrics()
    waiting._of_models.pop(model, None)
    model.stop_training, model._initial_epoch, model.history = False, None, None
    return model
