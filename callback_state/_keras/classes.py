"""Is this Keras's? One answer for classes, functions and objects, without importing Keras."""

from __future__ import annotations

import functools
import inspect
import sys
from types import ModuleType
from typing import Any

from .._format.classes import is_from, public
from .installed import KNOWN


def is_of_keras(written: Any) -> bool:
    """Whether a class or function stands in Keras's own code."""
    return is_from(written, "keras")


def is_overridden(owner: Any, method: str) -> bool:
    """Whether a method of an object is not Keras's own."""
    return method in vars(owner) or not is_of_keras(getattr(type(owner), method))


def public_name(written: Any) -> str | None:
    """The full public name of what its library keeps in a private module, such as ``"keras.activations.relu"``.

    None if it has no such name, or is of another library than Keras, TensorFlow, NumPy and this one.
    """
    of_numpy = numpy_name(written)
    if of_numpy is not None:
        return of_numpy
    module = str(getattr(written, "__module__", None))
    package = module.partition(".")[0]
    if package == "callback_state":
        ours = sys.modules[package]
        name = getattr(written, "__name__", "")
        return f"{package}.{name}" if name in ours.__all__ and getattr(ours, name) is written else None
    if public(module) == module:
        return None
    if package == "keras":
        name, found = _names_of_keras().get(id(written), ("", None))
        return name if found is written else None
    # TensorFlow notes on each part of its interface the names that it exports it by.
    names = getattr(inspect.unwrap(written), "_tf_api_names", None) or ()
    return f"{package}.{names[0]}" if names else None


@functools.cache
def _names_of_keras() -> dict[int, tuple[str, Any]]:
    """The classes and functions of Keras's public modules by their ``id``, each with its shortest name."""
    found: dict[int, tuple[str, Any]] = {}
    modules = [("keras", sys.modules["keras"])]
    seen = set()
    for place, module in modules:  # grows meanwhile
        for name, part in vars(module).items():
            if name.startswith("_") or name in ("src", "api"):
                continue
            if not isinstance(part, ModuleType):
                if is_of_keras(part):
                    found.setdefault(id(part), (f"{place}.{name}", part))
            elif part.__name__.partition(".")[0] == "keras" and id(part) not in seen:
                seen.add(id(part))
                modules.append((f"{place}.{name}", part))
    return found


def numpy_name(value: Any) -> str | None:
    """The full public name of a function of NumPy, such as ``"numpy.less"``; None for anything else."""
    name = getattr(value, "__name__", None)
    if not isinstance(name, str) or not is_from(type(value), "numpy"):
        return None
    for module in ("numpy", str(getattr(value, "__module__", None))):
        if getattr(sys.modules.get(module), name, None) is value and "._" not in f"{module}.{name}":
            return f"{module}.{name}"
    return None


def derives_from_keras(cls: type) -> bool:
    """Whether a class is one of Keras or of its backend, or derives from one."""
    return any(is_from(base, "keras", *KNOWN) for base in cls.__mro__)


def is_keras(value: Any, name: str) -> bool:
    """Whether ``value`` is an instance of ``keras.<name>``; false where Keras is not loaded."""
    return derives_from(type(value), name)


def derives_from(cls: type, name: str) -> bool:
    """Whether a class is ``keras.<name>`` or derives from it; false where Keras is not loaded."""
    base: Any = sys.modules.get("keras")
    for part in name.split("."):
        base = getattr(base, part, None)
    return base is not None and issubclass(cls, base)


def is_callback_class(cls: type) -> bool:
    """Whether ``cls`` is Keras's Callback or derives from it."""
    return any(base.__name__ == "Callback" and is_of_keras(base) for base in cls.__mro__)


def stock_name(cls: type) -> str | None:
    """The name of a class among Keras's own callbacks; None for any other."""
    callbacks = getattr(sys.modules.get("keras"), "callbacks", None)
    return cls.__name__ if getattr(callbacks, cls.__name__, None) is cls else None


def is_hook(cls: type, name: str) -> bool:
    """Whether ``name`` is a method of Keras's Callback, from which the class derives."""
    return any(base.__name__ == "Callback" and is_of_keras(base) and name in vars(base) for base in cls.__mro__)


def is_hook_of_keras(cls: type, name: str) -> bool:
    """Whether the method of this name is Keras's own, and no class has overridden it."""
    return is_of_keras(getattr(cls, name, None))


def has_variables(value: Any) -> bool:
    """Whether ``value`` is a part of Keras whose state is its variables."""
    kinds = ("layers.Layer", "optimizers.Optimizer", "metrics.Metric", "random.SeedGenerator")
    return any(is_keras(value, kind) for kind in kinds)


def variables_in(value: Any) -> list[Any]:
    """The variables of such a part, in an order that is the same in another process."""
    return [value.state] if is_keras(value, "random.SeedGenerator") else list(value.variables)
