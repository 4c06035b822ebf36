"""The global generators of Python, NumPy, TensorFlow and Keras.

TensorFlow and Keras hold theirs in private places. They are read and set here and nowhere else;
``tests/test_random.py`` fails on a version that keeps them elsewhere.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterable
from typing import Any

__all__ = ["keras_generator", "put_back_generators", "take_generators", "tensorflow_generator"]


def take_generators() -> dict[str, Any]:
    """The states of the global generators of Python, NumPy, TensorFlow and Keras."""
    import numpy
    from tensorflow.python.eager import context

    name, keys, position, has_gauss, gauss = numpy.random.get_state()
    eager = _tensorflow_eager()
    generator, keras_seeds = tensorflow_generator(), keras_generator()
    return {
        "python": _packed(random.getstate()),
        "numpy": (name, keys, position, has_gauss, gauss),
        "tensorflow_seed": context.global_seed(),
        "tensorflow_eager": None if eager is None else _packed(eager.getstate()),
        "tensorflow_generator": (
            None if generator is None else (generator.algorithm, numpy.array(generator.state.numpy()))
        ),
        "keras": None if keras_seeds is None else numpy.array(keras_seeds.state.numpy()),
    }


def put_back_generators(taken: dict[str, Any], *, but: Iterable[str] = ()) -> None:
    """The reverse of :func:`take_generators`; Python's last, since making the others draws from it.

    Args:
        taken: the states.
        but: which of ``"python"`` and ``"numpy"`` to leave as they are.

    TensorFlow and Keras make theirs when it is first asked for: one that was not there is taken away.
    """
    import numpy
    from tensorflow.python.eager import context

    python = random.getstate() if "python" in but else _unpacked(taken["python"])
    if taken["tensorflow_seed"] != context.global_seed():
        _warn_of_seed(taken["tensorflow_seed"], context.global_seed())
    eager = _tensorflow_eager()
    if eager is not None and taken["tensorflow_eager"] is not None:
        eager.setstate(_unpacked(taken["tensorflow_eager"]))
    _put_back_tensorflow(taken["tensorflow_generator"])
    _put_back_keras(taken["keras"])
    if "numpy" not in but:
        numpy.random.set_state(taken["numpy"])
    random.setstate(python)


def _warn_of_seed(saved: int | None, now: int | None) -> None:
    call = "Do not call keras.utils.set_random_seed or tf.random.set_seed"
    if saved is not None:
        call = f"Call keras.utils.set_random_seed({saved})"
    warnings.warn(
        f"the run that is resumed had the global seed {saved}, this process has {now}: shuffled data and "
        f"random operations will differ. {call} before the data and the model are made.",
        stacklevel=3,
    )


def _tensorflow_eager() -> Any:
    """What eager random operations take their seeds from; None where no seed was ever set."""
    from tensorflow.python.eager import context

    return getattr(context.context(), "_rng", None)


def tensorflow_generator() -> Any:
    """TensorFlow's global generator if it exists; asking for it in public would make one."""
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
    """A state of Python's generator, its 625 words as one array: two kilobytes instead of four."""
    import numpy

    version, words, gauss = state
    return (version, numpy.array(words, numpy.uint32), gauss)


def _unpacked(packed: tuple[Any, ...]) -> tuple[Any, ...]:
    version, words, gauss = packed
    return (version, tuple(words.tolist()), gauss)
