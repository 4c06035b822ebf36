"""Everything that draws random numbers: the global generators, and the seeds that a model holds.

TensorFlow and Keras hold their global generators in private places, which are named here and nowhere else. No
Keras file holds the seeds of a model.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterable
from typing import Any

from ..exceptions import unsupported_keras
from .backend import copies_of, value_of


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


def put_back_generators(taken: dict[str, Any], *, but: Iterable[str] = ()) -> None:
    """Give the global generators, except ``"python"`` or ``"numpy"`` in ``but``, the states that were taken.

    TensorFlow and Keras make their generator when it is first asked for. One that was not there is removed.
    """
    import numpy

    python = random.getstate() if "python" in but else _unpacked(taken["python"])
    if taken["tensorflow_seed"] != global_seed():
        saved, now = taken["tensorflow_seed"], global_seed()
        call = "Do not call keras.utils.set_random_seed or tf.random.set_seed"
        if saved is not None:
            call = f"Call keras.utils.set_random_seed({saved})"
        warnings.warn(
            f"the run that is resumed had the global seed {saved}, this process has {now}: shuffled data and "
            f"random operations will be different. {call} before the data and the model are made.",
            stacklevel=2,
        )
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


def _seed_variables(model: Any) -> list[Any]:
    """The variables that no Keras file holds: the states of the SeedGenerators, and those of recurrent layers.

    A recurrent layer with ``stateful=True`` remembers the last batch in variables that Keras does not list.
    """
    import keras

    others = {id(v) for v in (*model.weights, *model.metrics_variables)}
    states = [s for layer in layers_of(model) for s in keras.tree.flatten(getattr(layer, "states", None))]
    remembered = [s for s in states if isinstance(s, keras.Variable)]
    losses = keras.tree.flatten(getattr(model, "loss", None))  # Keras lists no variables of a loss
    held = [value for loss in losses for value in getattr(loss, "__dict__", {}).values()]
    drawn = [value.state for value in held if isinstance(value, keras.random.SeedGenerator)]
    found = {id(v): v for v in (*model.variables, *remembered, *drawn)}
    return [v for v in found.values() if id(v) not in others]


def _alike(variables: list[Any]) -> dict[tuple[str, tuple[int, ...]], list[Any]]:
    groups: dict[tuple[str, tuple[int, ...]], list[Any]] = {}
    for variable in variables:
        groups.setdefault((variable.numpy().dtype.name, tuple(variable.shape)), []).append(variable)
    return groups


def take_seeds(model: Any) -> dict[str, Any]:
    """The values of the model's variables that no Keras file holds.

    ``seeds`` are the states of the SeedGenerators; those of one shape and dtype are stacked in one array.
    ``replicas`` are the stacked copies of each variable that differs from device to device (the averages of batch
    normalization), by its 0-based index in ``model.non_trainable_variables``.
    """
    import numpy

    replicas = {}
    for i, variable in enumerate(model.non_trainable_variables):
        values = [copy.numpy() for copy in copies_of(variable)]
        if any(value.tobytes() != values[0].tobytes() for value in values):
            replicas[i] = numpy.stack(values)
    seeds = [numpy.stack([v.numpy() for v in alike]) for alike in _alike(_seed_variables(model)).values()]
    return {"seeds": seeds, "replicas": replicas}


def put_back_seeds(model: Any, taken: dict[str, Any]) -> None:
    """Assign what :func:`take_seeds` took."""
    groups = _alike(_seed_variables(model))
    found = [(dtype, (len(vs), *shape)) for (dtype, shape), vs in groups.items()]
    saved = [(array.dtype.name, array.shape) for array in taken["seeds"]]
    if found != saved:
        raise ValueError(f"the model's seed generators are {found}, the checkpoint has {saved}")
    for variables, array in zip(groups.values(), taken["seeds"], strict=True):
        for variable, value in zip(variables, array, strict=True):
            variable.assign(value)
    _put_back_replicas(model, taken["replicas"])


def _put_back_replicas(model: Any, taken: dict[int, Any]) -> None:
    for i, values in taken.items():
        copies = copies_of(model.non_trainable_variables[i])
        if len(copies) != len(values):
            warnings.warn(
                f"the run that is resumed was on {len(values)} devices, this one is on {len(copies)}. Values that "
                f"each device has for itself (the averages of batch normalization) are those of the first device.",
                stacklevel=2,
            )
            return
        for copy, value in zip(copies, values, strict=True):
            copy.assign(value)
