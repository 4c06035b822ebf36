"""Reasons why a resumed run may differ from the run that died, found by looking and not by running.

    of_data(adapter, dataset, shuffle)   what in the data a new process draws or orders anew
    of_step(train_function)              what in the compiled train step has a counter that is not saved
    of_reading, of_attributes            what cannot be brought back without reading, or at all
    has_python(adapter, dataset)         whether Python code of the user's reads the data
    InputDraws, of_draws(found)          whether that code draws from a global generator

A reason is a sentence for the user: what, where, and the line to write. Nothing here draws from a generator,
makes an iterator, reads data or changes them. It leans on how Keras and TensorFlow are written, and finds
nothing where they are written otherwise; ``tests/test_doubts.py`` fails on a version where it is so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .._keras.graphs import (
    compiled,
    functions_of,
    holds,
    is_sloppy,
    is_unseeded,
    makes_sloppy,
    operations_of,
    parallel_in,
    random_in,
    repeats_shuffled,
    steps_of,
    value_of,
    where,
)
from .._keras.randomness import keras_generator, tensorflow_generator
from .draws import InputDraws

__all__ = ["InputDraws", "has_python", "of_attributes", "of_data", "of_draws", "of_reading", "of_step"]

#: Keras's adapters whose order follows from what is saved.
_KNOWN = ("ArrayDataAdapter", "TFDatasetAdapter", "GeneratorDataAdapter", "PyDatasetAdapter")
_PYTHON = ("PyFunc", "EagerPyFunc", "PyFuncStateless")
_ADVANCES = ("RngReadAndSkip", "RngSkip")
_WRITES = (*_ADVANCES, "AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")
_BEFORE = "or call keras.utils.set_random_seed(...) before the data set is made"
_STATELESS = "tf.random.stateless_* with a seed from the data (zip in tf.data.Dataset.random(seed=...).batch(2))"


def of_data(data_adapter: Any, dataset: Any, shuffle: Any) -> list[str]:
    """Why a new process may read the data in another order, or read other data.

    Args:
        data_adapter: what Keras made of the argument ``x`` of ``fit``.
        dataset: the ``tf.data.Dataset`` that ``fit`` iterates, or the distributed one.
        shuffle: the argument of ``fit``.
    """
    kind = type(data_adapter).__name__
    if kind not in _KNOWN:
        return [
            f"the order of the data of a {kind.removesuffix('Adapter')} cannot be known; pass a tf.data.Dataset "
            f"with seeds, a keras.utils.PyDataset, or data of callback_state.data."
        ]
    if kind == "ArrayDataAdapter" and shuffle and _global_seed() is None:
        return [
            "arrays are shuffled without a seed; call keras.utils.set_random_seed(...) before the model is made, "
            "or pass callback_state.data.shuffled(x, y, batch_size=..., seed=...) to fit."
        ]
    # What Keras builds for other data shuffles and maps in its own way, which is known.
    return list(dict.fromkeys(_of_pipeline(dataset))) if kind == "TFDatasetAdapter" else []


def has_python(data_adapter: Any, dataset: Any) -> bool:
    """Whether Python code runs in the threads that read the data, that of :mod:`callback_state.data` apart."""
    if type(data_adapter).__name__ not in ("ArrayDataAdapter", "TFDatasetAdapter"):
        return True  # Keras reads everything else with a Python generator
    steps = steps_of(dataset)
    return any(op.type in _PYTHON for step in steps for op in _operations(functions_of(step)))


def of_reading(data_adapter: Any, dataset: Any, *, streams: bool) -> list[str]:
    """Why what was read before a checkpoint cannot be passed without reading it.

    Args:
        data_adapter: what Keras made of the argument ``x`` of ``fit``.
        dataset: the ``tf.data.Dataset`` that ``fit`` iterates, or the distributed one.
        streams: whether one iterator is read over several epochs; such a one is read again from its beginning.
    """
    kind = type(data_adapter).__name__
    if kind == "TFDatasetAdapter" and not streams and has_python(data_adapter, dataset):
        return [
            "Python code in the tf.data pipeline is not run again for the epochs before a checkpoint, so what it "
            "counts or draws in variables of its own is lost; if it does, pass "
            "callback_state.data.epochs(make_epoch) to fit, which makes each epoch from its number."
        ]
    if kind == "TFDatasetAdapter" and not streams and repeats_shuffled(dataset):
        return [
            "the data set is repeated after a shuffle, whose orders before a checkpoint are not counted; write "
            ".repeat(...) before .shuffle(...), or pass steps_per_epoch= to fit."
        ]
    if kind == "PyDatasetAdapter" and streams and data_adapter.num_batches is not None:
        return [
            "steps_per_epoch divides a PyDataset, whose on_epoch_end is then called while its batches are read; "
            "leave out steps_per_epoch, or give the data set the length of an epoch."
        ]
    return []


def of_attributes(lost: Iterable[str]) -> str:
    """The reason for attributes of a PyDataset that have changed and cannot be saved."""
    return (
        f"the data set's {', '.join(lost)} changed while training ran and cannot be saved; keep the order in an "
        f"attribute of numbers (an array of indices) and a numpy.random.default_rng(seed) in another."
    )


def of_step(train_function: Any) -> list[str]:
    """Why the random numbers of the train step may be others in a new process.

    Args:
        train_function: ``model.train_function``, after the first batch. Nothing is found in a step that runs
            eagerly: what its operations draw from is saved, but for those with a seed= of their own.
    """
    names: list[str] = []
    generator = getattr(tensorflow_generator(), "state", None)
    for function in compiled(train_function):
        operations = list(operations_of(function))
        names += [op.name for op in random_in(operations)]
        if not holds(function, generator):
            names += [op.name for op in operations if op.type in _ADVANCES]
    if not names:
        return []
    return [
        f"the train step has random operations with a counter of their own that cannot be saved: {_some(names)}; "
        f"draw with keras.random.* and a keras.random.SeedGenerator of the layer, or with tf.random.stateless_*."
    ]


def of_draws(found: Iterable[str]) -> str:
    """The reason for what :class:`InputDraws` has found, ``"python"`` or ``"numpy"`` or both."""
    names = {
        "python": ("Python's random", "random.Random(seed)"),
        "numpy": ("NumPy's global generator", "numpy.random.default_rng(seed)"),
    }
    drawn, cures = zip(*(names[name] for name in found), strict=True)
    return (
        f"the input pipeline draws from {' and '.join(drawn)} while batches are read ahead, so after a resume "
        f"inside an epoch the numbers fall on other batches; draw from {' and '.join(cures)}, made in a generator "
        f"function or an attribute of a PyDataset; in tf.data make each epoch of its number: "
        f"callback_state.data.epochs(...)."
    )


# The steps of a pipeline.


def _of_pipeline(dataset: Any) -> Iterator[str]:
    from tensorflow.python.framework import config

    enforced = config.is_op_determinism_enabled()  # then tf.data runs in order, whatever it is told
    original = next(steps_of(dataset))
    if not enforced and hasattr(original, "options") and original.options().deterministic is False:
        yield (
            "the options of the data set say deterministic=False, so its order is a race; "
            "write options.deterministic = True."
        )
    for step in steps_of(dataset):
        yield from _of_seeds(step)
        unsaved = list(_of_variables(step))
        yield from unsaved
        if not enforced:
            yield from _of_races(step, () if unsaved else _WRITES)
    for step in steps_of(dataset, _is_endless):
        yield from _of_cache(step)


def _of_seeds(step: Any) -> Iterator[str]:
    if value_of(getattr(step, "_seed", None)) == 0 == value_of(getattr(step, "_seed2", None)):
        yield (
            f"{where(step)} has no seed, so a new process reads another order; write seed=... there "
            f"(list_files and sample_from_datasets take one too), {_BEFORE}."
        )
    operations = _operations(functions_of(step))
    suspects = random_in(operations) + [op for op in operations if "Dataset" in op.type]
    unseeded = [op.name for op in suspects if is_unseeded(op)]
    if unseeded:
        yield (
            f"{where(step)} draws without a seed ({_some(unseeded)}), so a new process draws other numbers; "
            f"write seed=... there, {_BEFORE}."
        )


def _of_variables(step: Any) -> Iterator[str]:
    saved = [getattr(generator, "state", None) for generator in (tensorflow_generator(), keras_generator())]
    for function in functions_of(step):
        written = any(op.type in _WRITES for op in operations_of(function))
        if written and not any(holds(function, variable) for variable in saved):
            yield (
                f"{where(step)} changes a variable, which input threads are ahead with and nobody saves (that of "
                f"a keras.random.SeedGenerator, as in layers that augment, or of a tf.random.Generator); put such "
                f"a layer into the model, or draw with {_STATELESS}."
            )


def _of_races(step: Any, writes: tuple[str, ...]) -> Iterator[str]:
    functions = functions_of(step)
    operations = _operations(functions)
    if is_sloppy(step) or any(map(makes_sloppy, operations)):
        yield f"{where(step)} says deterministic=False, so its order is a race; leave that out."
    parallel = parallel_in(operations)
    if hasattr(step, "_num_parallel_calls") and value_of(step._num_parallel_calls) != 1:
        parallel += functions
    called = _operations(parallel)
    drawn = [op.name for op in (*random_in(called), *(op for op in called if op.type in writes))]
    if drawn:
        yield (
            f"{where(step)} runs in parallel and draws from operations with a state ({_some(drawn)}), so which "
            f"element gets which number is a race; draw with {_STATELESS}, or leave num_parallel_calls out."
        )


def _operations(functions: list[Any]) -> list[Any]:
    return [operation for function in functions for operation in operations_of(function)]


def _of_cache(step: Any) -> Iterator[str]:
    # A cache in a file is there for the resumed process too.
    if type(step).__name__ == "CacheDataset" and value_of(getattr(step, "_filename", None)) == b"":
        moving = [where(inner) for inner in steps_of(step) if _moves(inner)]
        if moving:
            yield (
                f"cache() after {moving[0]} keeps the order of the epoch that a process reads first, and a "
                f"resumed process begins with another one; write cache() before it, or cache(filename)."
            )


def _moves(step: Any) -> bool:
    """Whether each iterator over a step has another order."""
    reshuffles = getattr(step, "_reshuffle_each_iteration", False) is not False  # by default it does
    return reshuffles or bool(getattr(step, "_rerandomize", False)) or hasattr(step, "_callback_state_passes")


def _is_endless(step: Any) -> bool:
    """Whether it repeats for ever: then there is one iterator, which a resumed run reads from its beginning."""
    return type(step).__name__ == "_RepeatDataset" and value_of(getattr(step, "_count", None)) == -1


def _global_seed() -> Any:
    from tensorflow.python.eager import context

    return context.global_seed()


def _some(names: Iterable[str]) -> str:
    """The first three names, and how many there are besides."""
    every = list(dict.fromkeys(names))
    return ", ".join(every[:3]) + (f" and {len(every) - 3} more" if len(every) > 3 else "")
