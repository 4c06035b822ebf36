"""The factory of a proof: it makes new callbacks and a new model for each run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from ..simulation.drive import listed
from ..simulation.standin import StandIn

Make = Callable[[], Any]


class Factory:
    """Makes new callbacks and a new model (or a stand-in) for each run, and checks that they are new."""

    def __init__(
        self, make: Make, optimizer: Any, model: Make | None = None, ignored: frozenset[str] = frozenset()
    ) -> None:
        if not callable(make):
            raise TypeError(f"make_callbacks={make!r:.100}: expected a function that returns new callbacks")
        if isinstance(optimizer, keras.optimizers.Optimizer):
            raise TypeError(
                "optimizer: one object would keep its state from run to run; pass a function that returns a new "
                "one, such as lambda: keras.optimizers.SGD(0.1)"
            )
        if model is not None and (isinstance(model, keras.Model) or not callable(model)):
            raise TypeError(f"model={model!r:.90}: expected a function that returns a new model, compiled")
        if model is not None and optimizer is not None:
            raise ValueError("optimizer= is for the stand-in; a model= has its own")
        self.make, self.optimizer, self.make_model, self.ignored = make, optimizer, model, ignored
        self.pickled = b""
        self._made: list[Any] = []

    def callbacks(self) -> list[Any]:
        made = self.make()
        callbacks = listed(made, "make_callbacks() returned")
        if not callbacks:
            raise ValueError("make_callbacks() returned no callback, so nothing would be tested")
        for callback in callbacks:
            if any(callback is other for other in self._made):
                raise ValueError(
                    f"make_callbacks() returned the same {type(callback).__name__} object again: it would keep "
                    f"its state, and nothing would be tested. Make a new one inside the function"
                )
        self._made += callbacks
        return callbacks

    def model(self) -> Any:
        if self.make_model is None:
            return StandIn(self.optimizer)
        model = self.make_model()
        if not (isinstance(model, keras.Model) and model.built and getattr(model, "optimizer", None) is not None):
            raise TypeError(f"model= returned {model!r:.100}; expected a new keras.Model, built and compiled")
        if any(model is other for other in self._made):
            raise ValueError(
                "model= returned the same model again: it would keep the changes of the last run. Make a new one"
            )
        self._made.append(model)
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        return model
