"""TensorFlow: graphs, strategies, ``tf.data``. Its arrays are views of memory that no step writes over."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ...exceptions import BackendError
from .base import Backend


class TensorFlow(Backend):
    """Keras on TensorFlow."""

    name = "tensorflow"
    has_graphs = True
    reads_lazily = False

    def view(self, value: Any) -> Any:
        import numpy
        import tensorflow

        return numpy.asarray(tensorflow.convert_to_tensor(value))

    def check(self, model: Any) -> None:
        import tensorflow

        strategy = getattr(model, "distribute_strategy", None)
        if isinstance(strategy, tensorflow.distribute.MultiWorkerMirroredStrategy):
            raise BackendError(
                "MultiWorkerMirroredStrategy does not work on Keras 3: fit itself fails (keras issue 20585). For "
                "several machines use the JAX backend with keras.distribution.DataParallel; for several devices "
                "of one machine MirroredStrategy works."
            )

    def copy(self, value: Any) -> Any:
        import numpy

        # numpy() may give the memory of the variable itself, which changes.
        return numpy.array(value.numpy())

    def copies(self, variable: Any) -> tuple[Any, ...]:
        return tuple(getattr(variable.value, "values", (variable,)))

    def tensor(self, array: Any) -> Any:
        import tensorflow

        return tensorflow.constant(array)  # Keras's own makes none of texts

    def raw_variable(self, array: Any) -> Any:
        import tensorflow

        return tensorflow.Variable(array)

    def adder(self, variable: Any) -> Callable[[], object]:
        # On the variable inside, which takes a fifth of the time that Keras's takes.
        import tensorflow

        inner = variable.value
        return functools.partial(inner.assign_add, tensorflow.ones((), inner.dtype), read_value=False)

    def scope(self, model: Any) -> AbstractContextManager[Any]:
        scope: AbstractContextManager[Any] = model.distribute_strategy.scope()
        return scope
