"""Which backend runs Keras, and what its variables and tensors are: the only file that asks.

A question about a value is answered without importing Keras or its backend: where they are not loaded, the value
is not theirs.
"""

from __future__ import annotations

import functools
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .._version import __version__
from ..exceptions import BackendError
from .classes import derives_from, is_keras


def versions() -> dict[str, str]:
    """The software that runs here, by name, as the state file records it."""
    import keras
    import numpy
    import tensorflow

    return {
        "callback_state": __version__,
        "python": platform.python_version(),
        "keras": keras.__version__,
        "tensorflow": tensorflow.__version__,
        "numpy": numpy.__version__,
        "platform": sys.platform,
    }


def check_backend() -> None:
    """Raises BackendError if Keras runs on another backend than TensorFlow."""
    import keras

    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise BackendError(
            f"callback_state supports the TensorFlow backend of Keras; this process runs on {backend!r}. "
            f'Set KERAS_BACKEND="tensorflow" before Keras is imported.'
        )


def is_variable(value: Any) -> bool:
    """Whether ``value`` is a variable of Keras or of its backend."""
    return is_variable_class(type(value))


def is_variable_class(cls: type) -> bool:
    """Whether objects of this class are variables of Keras or of its backend."""
    tensorflow = sys.modules.get("tensorflow")
    return derives_from(cls, "Variable") or (tensorflow is not None and issubclass(cls, tensorflow.Variable))


def is_module_class(cls: type) -> bool:
    """Whether objects of this class are modules of the backend, which hold variables of the backend."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and issubclass(cls, tensorflow.Module)


def is_tensor(value: Any) -> bool:
    """Whether ``value`` is a tensor that has a value."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(value, tensorflow.Tensor) and hasattr(value, "numpy")


def value_of(value: Any) -> Any:
    """The value of a variable or tensor, as an array of its own."""
    import numpy

    # numpy() may give the memory of the variable itself, which changes.
    return numpy.array(value.numpy())


def values_of(variables: Iterable[Any]) -> Iterator[Any]:
    """The values of variables as arrays, without a copy on a CPU; each is valid until the next assignment."""
    import numpy
    import tensorflow

    for variable in variables:
        yield numpy.asarray(tensorflow.convert_to_tensor(variable))


def copies_of(variable: Any) -> tuple[Any, ...]:
    """The copies of a variable, one on each device of a strategy; the variable itself where there is only one."""
    return tuple(getattr(variable.value, "values", (variable,)))


def backend_variables_of(variable: Any) -> tuple[Any, ...]:
    """The variables of the backend behind one of Keras or of the backend: one for each device of a strategy."""
    return tuple(v.value if is_keras(v, "Variable") else v for v in copies_of(variable))


def adder(variable: Any) -> Callable[[], object]:
    """A function that adds 1 to a variable of Keras.

    It works on the variable of the backend, which takes a fifth of the time that Keras's takes.
    """
    import tensorflow

    inner = variable.value
    return functools.partial(inner.assign_add, tensorflow.ones((), inner.dtype), read_value=False)


def raw_variable(array: Any) -> Any:
    """A new variable of the backend itself, not of Keras."""
    import tensorflow

    return tensorflow.Variable(array)


def tensor(array: Any) -> Any:
    """A new tensor of the backend."""
    import tensorflow

    return tensorflow.constant(array)
