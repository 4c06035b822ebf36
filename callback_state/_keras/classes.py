"""Is this Keras's? One answer for classes, functions and objects, without importing Keras."""

from __future__ import annotations

import sys
from typing import Any

from .._format.classes import is_from

__all__ = [
    "derives_from_keras",
    "has_variables",
    "is_callback_class",
    "is_hook",
    "is_keras",
    "is_of_keras",
    "stock_name",
    "variables_in",
]


def is_of_keras(written: Any) -> bool:
    """Whether a class or function stands in Keras's own code.

    >>> is_of_keras(dict)
    False
    """
    return is_from(written, "keras")


def derives_from_keras(cls: type) -> bool:
    """Whether a class is one of Keras or of its backend, or derives from one."""
    return any(is_from(base, "keras", "tensorflow") for base in cls.__mro__)


def is_keras(value: Any, name: str) -> bool:
    """Whether ``value`` is an instance of ``keras.<name>``; false where Keras is not loaded."""
    keras: Any = sys.modules.get("keras")
    for part in name.split("."):
        keras = getattr(keras, part, None)
    return keras is not None and isinstance(value, keras)


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


def has_variables(value: Any) -> bool:
    """Whether ``value`` is a part of Keras whose state is its variables."""
    kinds = ("layers.Layer", "optimizers.Optimizer", "metrics.Metric", "random.SeedGenerator")
    return any(is_keras(value, kind) for kind in kinds)


def variables_in(value: Any) -> list[Any]:
    """The variables of such a part, in an order that is the same in another process."""
    return [value.state] if is_keras(value, "random.SeedGenerator") else list(value.variables)
