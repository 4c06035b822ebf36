"""The global generators of random numbers: those of Python, NumPy and Keras, and of TensorFlow and torch.

A library that is not loaded has drawn nothing. Keras holds its generator in a private place, named here only.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from .._warn import warn
from ..exceptions import unsupported_keras
from . import tensorflow_random, torch_random
from .backend import backend, value_of
from .tensorflow_random import global_seed, packed, unpacked

#: The words in the buffer of a Mersenne Twister.
_WORDS = 624


def take_generators() -> dict[str, Any]:
    """The states of the global generators of Python, NumPy and Keras, and of TensorFlow and torch."""
    import numpy

    name, keys, position, has_gauss, gauss = numpy.random.get_state()
    keras_seeds = keras_generator()
    return {
        "python": packed(random.getstate()),
        "numpy": (name, keys, position, has_gauss, gauss),
        **tensorflow_random.take(),
        **torch_random.take(),
        "keras": None if keras_seeds is None else value_of(keras_seeds.state),
    }


def check_generators(taken: dict[str, Any]) -> None:
    """Raise ValueError if this is nothing that :func:`take_generators` can have taken. No generator changes.

    NumPy reads from its buffer without looking where the position is.
    """
    import numpy

    try:
        _, _, position, has_gauss, _ = taken["numpy"]
        if type(position) is not int or not 0 <= position <= _WORDS or has_gauss not in (0, 1):
            raise ValueError(f"numpy: the position {position!r:.100} lies outside its {_WORDS} words")
        numpy.random.RandomState(0).set_state(taken["numpy"])
        random.Random(0).setstate(unpacked(taken["python"]))
        tensorflow_random.check(taken)
        torch_random.check(taken)
        keras_state = taken["keras"]
        if keras_state is not None and not (keras_state.shape == (2,) and keras_state.dtype.kind in "iu"):
            raise ValueError("keras: expected two integers")
    except Exception as error:  # the libraries raise anything
        raise ValueError(f"{type(error).__name__}: {error}") from error


def tell_of_seed(taken: dict[str, Any]) -> None:
    """Warn if the global seed of this process is not the one that was taken with the generators."""
    saved, now = taken["tensorflow_seed"], global_seed()
    if saved == now or not backend().has_graphs:
        return
    call = "Do not call keras.utils.set_random_seed or tf.random.set_seed"
    if saved is not None:
        call = f"Call keras.utils.set_random_seed({saved})"
    warn(
        f"the run that is resumed had the global seed {saved}, this process has {now}: shuffled data and "
        f"random operations will be different. {call} before the data and the model are made."
    )


def put_back_generators(taken: dict[str, Any], *, but: Iterable[str] = ()) -> None:
    """Give the global generators, except ``"python"`` or ``"numpy"`` in ``but``, the states that were taken.

    TensorFlow and Keras make their generator when it is first asked for. One that was not there is removed.
    """
    import numpy

    python = random.getstate() if "python" in but else unpacked(taken["python"])
    tensorflow_random.put_back(taken)
    torch_random.put_back(taken)
    _put_back_keras(taken["keras"])
    if "numpy" not in but:
        numpy.random.set_state(taken["numpy"])
    random.setstate(python)  # last: to make the others draws from it


def keras_generator() -> Any:
    """Keras's global SeedGenerator; None if there is none."""
    from keras.src.backend.common.global_state import get_global_attribute

    return get_global_attribute("global_seed_generator")


def _put_back_keras(state: Any) -> None:
    from keras.src.backend.common.global_state import set_global_attribute
    from keras.src.random.seed_generator import global_seed_generator

    if state is None:
        set_global_attribute("global_seed_generator", None)
    else:
        own = global_seed_generator().state
        own.assign(state.astype(own.dtype))  # another backend has integers of another size


def layers_of(model: Any) -> list[Any]:
    """A model and all layers in it, however deep; an empty list for a stand-in of a model."""
    import keras

    if hasattr(model, "_flatten_layers"):  # Keras 3.7 to 3.15
        return [*model._flatten_layers()]
    if isinstance(model, keras.layers.Layer):
        raise unsupported_keras("a layer does not list the layers in it")
    return []
