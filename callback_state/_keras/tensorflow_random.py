"""TensorFlow's random numbers: its global seed, the generator of eager operations, and the global generator.

It holds them in private places, which are named here and nowhere else. They matter on each backend: a ``tf.data``
pipeline takes its seeds from there.
"""

from __future__ import annotations

import random
import sys
from typing import Any


def is_loaded() -> bool:
    """Whether TensorFlow is imported in this process; half imported does not count."""
    return hasattr(sys.modules.get("tensorflow"), "random")


def take() -> dict[str, Any]:
    """The seed and the states of the generators, each None where there is none."""
    eager, generator = _eager(), tensorflow_generator()
    return {
        "tensorflow_seed": global_seed(),
        "tensorflow_eager": None if eager is None else packed(eager.getstate()),
        "tensorflow_generator": None if generator is None else (generator.algorithm, _copied(generator.state)),
    }


def _copied(variable: Any) -> Any:
    return variable.numpy().copy()


def check(taken: dict[str, Any]) -> None:
    """Raise anything unless this may be what :func:`take` took."""
    seed: Any = taken["tensorflow_seed"]
    if type(seed) not in (int, type(None)):
        raise ValueError(f"tensorflow_seed: expected an integer, found {seed!r:.100}")
    if taken["tensorflow_eager"] is not None:
        random.Random(0).setstate(unpacked(taken["tensorflow_eager"]))
    if taken["tensorflow_generator"] is not None:
        algorithm, state = taken["tensorflow_generator"]
        if is_loaded():
            sys.modules["tensorflow"].random.Generator.from_state(state, algorithm)


def put_back(taken: dict[str, Any]) -> None:
    """Give the generators the states that were taken."""
    if not is_loaded():
        return
    eager = _eager()
    if eager is not None and taken["tensorflow_eager"] is not None:
        eager.setstate(unpacked(taken["tensorflow_eager"]))
    _put_back_global(taken["tensorflow_generator"])


def global_seed() -> int | None:
    """TensorFlow's global seed; None where none was set."""
    if not is_loaded():
        return None
    from tensorflow.python.eager import context

    seed: int | None = context.global_seed()
    return seed


def _eager() -> Any:
    """The generator from which eager operations take their seeds; None where no seed was ever set."""
    if not is_loaded():
        return None
    from tensorflow.python.eager import context

    return getattr(context.context(), "_rng", None)


def tensorflow_generator() -> Any:
    """TensorFlow's global generator; None if there is none. The public function would make one."""
    if not is_loaded():
        return None
    from tensorflow.python.ops import stateful_random_ops

    return stateful_random_ops.global_generator


def _put_back_global(taken: tuple[int, Any] | None) -> None:
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


def packed(state: Any) -> tuple[Any, ...]:
    """The state of a generator of Python, with its 625 words as one array: two kilobytes instead of four."""
    import numpy

    version, words, gauss = state
    return (version, numpy.array(words, numpy.uint32), gauss)


def unpacked(packed: tuple[Any, ...]) -> tuple[Any, ...]:
    """The state that was :func:`packed`."""
    version, words, gauss = packed
    return (version, tuple(words.tolist()), gauss)
