"""The seam to the backend that runs Keras: the only file that asks which one it is.

What a backend does in its own way stands in :mod:`.backends`. A question about a value is answered without
importing Keras or its backend: where they are not loaded, the value is not theirs.
"""

from __future__ import annotations

import functools
import importlib
import platform
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from .._version import __version__
from .backends.base import Backend
from .classes import derives_from, is_keras
from .installed import KNOWN, check_name
from .torch_tensors import Buffer

#: The class of the tensors of each library.
_TENSORS = {"tensorflow": "Tensor", "jax": "Array", "torch": "Tensor"}


@functools.cache
def backend() -> Backend:
    """The backend that runs Keras in this process. Raises BackendError if it is not known here."""
    import keras

    name = keras.backend.backend()
    check_name(name)
    module = importlib.import_module(f".backends.{name}", __package__)
    found: Backend = getattr(module, KNOWN[name])()
    return found


def versions() -> dict[str, str]:
    """The software that runs here, by name, as the state file records it."""
    import keras
    import numpy

    name = backend().name
    return {
        "callback_state": __version__,
        "python": platform.python_version(),
        "keras": keras.__version__,
        name: str(sys.modules[name].__version__),
        "numpy": numpy.__version__,
        "platform": sys.platform,
    }


def backend_in(versions: dict[str, str]) -> str:
    """The backend that wrote what :func:`versions` had said."""
    return next((name for name in KNOWN if name in versions), "tensorflow")


def is_variable(value: Any) -> bool:
    """Whether ``value`` is a variable of Keras or of its backend."""
    return is_variable_class(type(value))


def is_variable_class(cls: type) -> bool:
    """Whether objects of this class are variables of Keras or of its backend."""
    tensorflow = sys.modules.get("tensorflow")
    is_of_tensorflow = tensorflow is not None and issubclass(cls, tensorflow.Variable)
    return derives_from(cls, "Variable") or is_of_tensorflow or cls is Buffer


def is_module_class(cls: type) -> bool:
    """Whether objects of this class are modules of the backend, which hold variables of the backend."""
    tensorflow = sys.modules.get("tensorflow")
    return (tensorflow is not None and issubclass(cls, tensorflow.Module)) or backend().has_buffers(cls)


def is_tensor(value: Any) -> bool:
    """Whether ``value`` is a tensor that has a value, of the backend or of another one that is loaded."""
    kinds = (getattr(sys.modules.get(name), kind, None) for name, kind in _TENSORS.items())
    return isinstance(value, tuple(filter(None, kinds))) and not _is_symbolic(value)


def _is_symbolic(value: Any) -> bool:
    """Whether a tensor stands in a graph or a trace, and has no value."""
    tensorflow, jax = sys.modules.get("tensorflow"), sys.modules.get("jax")
    if tensorflow is not None and isinstance(value, tensorflow.Tensor):
        return not hasattr(value, "numpy")
    return jax is not None and isinstance(value, jax.core.Tracer)


def value_of(value: Any) -> Any:
    """The value of a variable or tensor, as an array of its own."""
    import numpy

    return numpy.array(value) if isinstance(value, numpy.ndarray) else backend().copy(value)


def values_of(variables: Iterable[Any]) -> Iterator[Any]:
    """The values of variables as arrays, without a copy on a CPU; each is valid until the next assignment."""
    return map(backend().view, variables)


def copies_of(variable: Any) -> tuple[Any, ...]:
    """The copies of a variable, one on each device of a strategy; the variable itself where there is only one."""
    return backend().copies(variable)


def backend_variables_of(variable: Any) -> tuple[Any, ...]:
    """The variables of the backend behind one of Keras or of the backend: one for each device of a strategy."""
    return tuple(v.value if is_keras(v, "Variable") else v for v in copies_of(variable))
