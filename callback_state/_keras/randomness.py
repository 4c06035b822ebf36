"""The global generators of random numbers: those of Python, NumPy, TensorFlow and Keras.

TensorFlow and Keras hold theirs in private places, which are named here and nowhere else.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from .._warn import warn
from ..exceptions import unsupported_keras
from .backend import value_of

#: The words in the buffer of a Mersenne Twister.
_WORDS = 624


def take_generators() -> dict[str, Any]:
    """The states of the global generators of Python, NumPy, TensorFlow and Keras."""
    import numpy

    name, keys, position, has_gauss, gauss = numpy.random.get_state()
    eager = _tensorflow_eager()
    generator, keras_seeds = tensorflow_generator(), keras_generator()
    return {
        "python": _packed(random.getstate()),
        "numpy": (name, keys, position, has_gauss, gauss),
        "tensorflow_seed": global_seed(),
        "tensorflow_eager": None if eager is None else _packed(eager.getstate()),
        "tensorflow_generator": None if generator is None else (generator.algorithm, value_of(generator.state)),
        "keras": None if keras_seeds is None else value_of(keras_seeds.state),
    }


def check_generators(taken: dict[str, Any]) -> None:
    """Raise ValueError if this is nothing that :func:`take_generators` can have taken. No generator changes.

    NumPy reads from its buffer without looking where the position is.
    """
    import numpy
    import tensorflow

    try:
        seed: Any = taken["tensorflow_seed"]
        _, _, position, has_gauss, _ = taken["numpy"]
        if type(seed) not in (int, type(None)):
            raise ValueError(f"tensorflow_seed: expected an integer, found {seed!r:.100}")
        if type(position) is not int or not 0 <= position <= _WORDS or has_gauss not in (0, 1):
            raise ValueError(f"numpy: the position {position!r:.100} lies outside its {_WORDS} words")
        numpy.random.RandomState(0).set_state(taken["numpy"])
        random.Random(0).setstate(_unpacked(taken["python"]))
        if taken["tensorflow_eager"] is not None:
            random.Random(0).setstate(_unpacked(taken["tensorflow_eager"]))
        if taken["tensorflow_generator"] is not None:
            algorithm, state = taken["tensorflow_generator"]
            tensorflow.random.Generator.from_state(state, algorithm)
        keras_state = taken["keras"]
        if keras_state is not None and not (keras_state.shape == (2,) and keras_state.dtype.kind in "iu"):
            raise ValueError("keras: expected two integers")
    except Exception as error:  # TensorFlow and NumPy raise anything
        raise ValueError(f"{type(error).__name__}: {error}") from error


def tell_of_seed(taken: dict[str, Any]) -> None:
    """Warn if the global seed of this process is not the one that was taken with the generators."""
    saved, now = taken["tensorflow_seed"], global_seed()
    if saved == now:
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

    python = random.getstate() if "python" in but else _unpacked(taken["python"])
    eager = _tensorflow_eager()
    if eager is not None and taken["tensorflow_eager"] is not None:
        eager.setstate(_unpacked(taken["tensorflow_eager"]))
    _put_back_tensorflow(taken["tensorflow_generator"])
    _put_back_keras(taken["keras"])
    if "numpy" not in but:
        numpy.random.set_state(taken["numpy"])
    random.setstate(python)  # last: to make the others draws from it


def global_seed() -> int | None:
    """TensorFlow's global seed; None where none was set."""
    from tensorflow.python.eager import context

    seed: int | None = context.global_seed()
    return seed


def _tensorflow_eager() -> Any:
    """The generator from which eager operations take their seeds; None where no seed was ever set."""
    from tensorflow.python.eager import context

    return getattr(context.context(), "_rng", None)


def tensorflow_generator() -> Any:
    """TensorFlow's global generator; None if there is none. The public function would make one."""
    from tensorflow.python.ops import stateful_random_ops

    return stateful_random_ops.global_generator


def _put_back_tensorflow(taken: tuple[int, Any] | None) -> None:
    import tensorflow
    from tensorflow.python.ops import stateful_random_ops

    generator = stateful_random_ops.global_generator
    if taken is None:
        stateful_random_ops.global_generator = None
    elif generator is not None and generator.algorithm == taken[0]:
        generator.state.assign(taken[1])  # in place: functions that are traced already hold it
    else:
        algorithm, state = taken
        made = tensorflow.random.Generator.from_state(state, algorithm)
        tensorflow.random.set_global_generator(made)


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
        global_seed_generator().state.assign(state)


def _packed(state: Any) -> tuple[Any, ...]:
    """The state of a generator of Python, with its 625 words as one array: two kilobytes instead of four."""
    import numpy

    version, words, gauss = state
    return (version, numpy.array(words, numpy.uint32), gauss)


def _unpacked(packed: tuple[Any, ...]) -> tuple[Any, ...]:
    version, words, gauss = packed
    return (version, tuple(words.tolist()), gauss)


def layers_of(model: Any) -> list[Any]:
    """A model and all layers in it, however deep; an empty list for a stand-in of a model."""
    import keras

    if hasattr(model, "_flatten_layers"):  # Keras 3.7 to 3.15
        return [*model._flatten_layers()]
    if isinstance(model, keras.layers.Layer):
        raise unsupported_keras("a layer does not list the layers in it")
    return []
