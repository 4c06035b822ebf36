"""What a backend is asked, with the answers that fit most of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..classes import is_keras


class Backend:
    """One backend of Keras. A *value* is a variable of Keras, or a variable or tensor of the backend.

    Attributes:
        name: as Keras calls it. Its module has the same name.
        has_graphs: whether the train step is a graph of TensorFlow, which can be looked into.
        reads_lazily: whether Keras reads data through Python generators. Of one that is never read, the iterator
            over the data is never made, and Python draws the order of arrays.
        draws_first: whether a batch is drawn before callbacks hear that it begins.
        needs_step: whether ``fit`` fails in an epoch in which no step runs (Keras 3.7 to 3.15).
        hears_steps: whether Keras's iterator over the data hears an exception of a step.
        keeps_held: whether a value that is held stays as it is while training goes on.
    """

    name = ""
    has_graphs = False
    reads_lazily = True
    draws_first = False
    needs_step = False
    hears_steps = True
    keeps_held = True

    # Values.

    def view(self, value: Any) -> Any:
        """The value as an array, on a CPU without a copy; valid until the next assignment or step."""
        import numpy

        return numpy.asarray(self.inner(value))

    def inner(self, value: Any) -> Any:
        """What the backend has in a variable of Keras; anything else as it is."""
        return value.value if is_keras(value, "Variable") else value

    def held(self, value: Any) -> Any:
        """The value as an array that stays as it is while training goes on: without a copy if that is safe."""
        return self.view(value) if self.keeps_held else self.copy(value)

    def copy(self, value: Any) -> Any:
        """The value as an array of its own."""
        import numpy

        return numpy.array(self.view(value))

    def kept(self, value: Any) -> Any:
        """The value of a variable, to be assigned again, whatever happens to it meanwhile."""
        return self.copy(value)

    def copies(self, variable: Any) -> tuple[Any, ...]:
        """The copies of a variable, one on each device of a strategy; the variable itself if there is only one."""
        return (variable,)

    def check(self, model: Any) -> None:
        """Raise BackendError if a model is distributed in a way that cannot train here."""

    def sync(self, model: Any) -> None:
        """Let the variables have the values that the last step has made."""

    def has_buffers(self, cls: type) -> bool:
        """Whether objects of this class are modules of the backend with buffers, which Keras does not know."""
        return False

    def buffers(self, module: Any) -> dict[str, Any]:
        """The buffers of such a module, as variables by their names."""
        return {}

    def drop_step(self, model: Any) -> bool:
        """A step has failed. Whether the variables have no values any more; they are about to get others."""
        return False

    def doubts(self, model: Any) -> list[tuple[str, str]]:
        """Why a resumed run may differ, as far as settings and the model tell, each with its cure."""
        return []

    def reads_ahead(self) -> bool:
        """Whether Keras draws batches before the training needs them."""
        return not self.reads_lazily

    def tensor(self, array: Any) -> Any:
        """A new tensor."""
        import keras

        return keras.ops.convert_to_tensor(array)

    def raw_variable(self, array: Any) -> Any:
        """A new variable of the backend itself, not of Keras."""
        import keras

        return keras.Variable(array, dtype=str(array.dtype))

    def adder(self, variable: Any) -> Callable[[], object]:
        """A function that adds 1 to a variable of Keras."""
        return lambda: variable.assign_add(1)

    def scope(self, model: Any) -> AbstractContextManager[Any]:
        """Where the variables of the optimizer of a model are made."""
        return nullcontext()
