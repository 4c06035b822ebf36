"""Why a resumed run may read other data or draw other numbers, found by looking and not by running.

Nothing here draws a number, makes an iterator, or reads or changes the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .._checkpoints.doubt import Doubt
from .._keras import datasets
from .._keras.backend import backend
from .._keras.datasets import functions_of, steps_of, where
from .._keras.epoch_iterator import ARRAYS, DATASET, GENERATOR, GRAIN, LOADER, PY_DATASET, EpochIterator
from .._keras.graphs import compiled, holds, is_unseeded, operations_in, operations_of, random_in
from .._keras.randomness import keras_generator
from .._keras.tensorflow_random import global_seed, tensorflow_generator

#: The kinds of data whose order follows from what is saved.
_KNOWN = (ARRAYS, DATASET, GENERATOR, GRAIN, LOADER, PY_DATASET)
#: The operations that run Python code, that draw from a generator in a variable, and that change a variable.
_PYTHON = ("PyFunc", "EagerPyFunc", "PyFuncStateless")
_ADVANCES = ("RngReadAndSkip", "RngSkip")
_WRITES = (*_ADVANCES, "AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")

_BEFORE = "or call keras.utils.set_random_seed(...) before the data set is made"
_STATELESS = "tf.random.stateless_* with a seed from the data (zip in tf.data.Dataset.random(seed=...).batch(2))"


def of_data(keras: EpochIterator, shuffle: Any) -> Iterator[Doubt]:
    """Why a new process may read the data in another order, or read other data; ``shuffle`` is that of ``fit``."""
    if keras.kind not in _KNOWN:
        yield Doubt(
            f"the order of the data of a {keras.kind} cannot be known",
            "pass a tf.data.Dataset with seeds, a keras.utils.PyDataset, or data of callback_state.data",
        )
    if keras.kind == ARRAYS and shuffle and not keras.is_in_python and global_seed() is None:
        yield Doubt(
            "arrays are shuffled without a seed",
            "call keras.utils.set_random_seed(...) before the model is made, or pass "
            "callback_state.data.shuffled(x, y, batch_size=..., seed=...) to fit",
        )
    # For other data Keras builds a pipeline of its own, whose order is known.
    if keras.kind == DATASET:
        yield from dict.fromkeys(of_pipeline(keras.dataset))


def of_backend(model: Any) -> Iterator[Doubt]:
    """Why the backend may compute other bits from the same numbers, or lose some of them."""
    yield from (Doubt(*found) for found in backend().doubts(model))


def of_loader(loader: Any, *, is_known: bool) -> Iterator[Doubt]:
    """Why a ``DataLoader`` of torch may read other data; None: there is none. ``is_known``: it knows its place."""
    if loader is None or not loader.num_workers:
        return
    if not backend().reads_lazily:
        yield Doubt(
            "processes read for the DataLoader, and are forked beside the threads of tf.data, which may end them",
            "write num_workers=0, or run Keras on JAX or torch",
        )
    if loader.persistent_workers and not is_known:
        yield Doubt(
            "the processes that read for the DataLoader live on over its epochs, so what they have drawn or "
            "counted is not brought back",
            "leave out persistent_workers=True, or pass a StatefulDataLoader of torchdata",
        )


#: Of an ``IterableDataset`` with a state of its own.
BETWEEN = Doubt(
    "the DataLoader's data set has a state of its own, and TensorFlow reads it ahead, so at the end of an epoch "
    "it may be in the next one",
    "run Keras on JAX or torch, or pass a StatefulDataLoader of torchdata",
)


def of_place(problem: str) -> Doubt:
    """The doubt about data that know where they are, in a way that cannot be saved."""
    return Doubt(
        f"the state of the data cannot be saved ({problem}), so batches before a checkpoint are read again",
        "keep numbers, texts and lists of them in it",
    )


def has_python(keras: EpochIterator) -> bool:
    """Whether Python code draws the order of the data, or runs in the threads that read them."""
    if keras.is_in_python:
        return True
    return any(op.type in _PYTHON for step in steps_of(keras.dataset) for op in operations_in(functions_of(step)))


def of_reading(keras: EpochIterator, *, streams: bool) -> Iterator[Doubt]:
    """Why the data before a checkpoint cannot be passed without reading them.

    With ``streams`` one iterator is read over several epochs, and is read again from its beginning.
    """
    if keras.kind == DATASET and not streams and has_python(keras):
        yield Doubt(
            "Python code in the tf.data pipeline is not run again for the epochs before a checkpoint, so what it "
            "counts or draws in variables of its own is lost",
            "if it does so, pass callback_state.data.epochs(make_epoch) to fit, which makes each epoch from its "
            "number",
        )
    elif keras.kind == DATASET and not streams and datasets.repeats_shuffled(keras.dataset):
        yield Doubt(
            "the data set is repeated after a shuffle, whose orders before a checkpoint are not counted",
            "write .repeat(...) before .shuffle(...), or pass steps_per_epoch= to fit",
        )
    if keras.kind == PY_DATASET and streams and keras.length is not None:
        yield Doubt(
            "steps_per_epoch divides a PyDataset, so its on_epoch_end is called while its batches are read",
            "leave out steps_per_epoch, or give the data set the length of an epoch",
        )
    elif keras.kind == PY_DATASET and streams and (name := _own_hook(keras.py_dataset)):
        yield Doubt(
            f"a PyDataset without a length is read ahead over the end of an epoch, so which batch is the first "
            f"after its {name} is a race",
            "give the data set the length of an epoch (__len__), and leave out steps_per_epoch",
        )


def of_attributes(lost: Iterable[str]) -> Doubt:
    """The doubt about attributes of a PyDataset that have changed and cannot be saved."""
    return Doubt(
        f"the data set's {', '.join(lost)} changed while training ran and cannot be saved",
        "keep the order in an attribute of numbers (an array of indices), and a numpy.random.default_rng(seed) in "
        "another",
    )


def of_step(train_function: Any) -> list[Doubt]:
    """Why the random numbers of the train step may be others in a new process; asked after the first batch.

    Nothing is found in a step that runs eagerly: what its operations draw from is saved, unless they have a seed=
    of their own.
    """
    names: list[str] = []
    if not backend().has_graphs:
        return []
    generator = getattr(tensorflow_generator(), "state", None)
    for function in compiled(train_function):
        operations = list(operations_of(function))
        names += [op.name for op in random_in(operations)]
        if not holds(function, generator):
            names += [op.name for op in operations if op.type in _ADVANCES]
    if not names:
        return []
    return [
        Doubt(
            f"the train step has random operations with a counter that cannot be saved: {_some(names)}",
            "draw with keras.random.* and a keras.random.SeedGenerator of the layer, or with "
            "tf.random.stateless_*",
        )
    ]


def of_shared(name: str) -> Doubt:
    """The doubt about a container of a callback that a Python generator reads, and that has changed."""
    return Doubt(
        f"{name} changes while a Python generator reads it, and input threads are ahead of the training, so which "
        f"batch is the first with the change is a race",
        "keep it in a keras.utils.PyDataset, which begins each epoch anew, and pass no steps_per_epoch=",
    )


def of_draws(found: Iterable[str]) -> Doubt:
    """The doubt about global generators, ``"python"`` or ``"numpy"`` or both, that input threads draw from."""
    names = {
        "python": ("Python's random", "random.Random(seed)"),
        "numpy": ("NumPy's global generator", "numpy.random.default_rng(seed)"),
    }
    drawn, cures = zip(*(names[name] for name in found), strict=True)
    return Doubt(
        f"the input pipeline draws from {' and '.join(drawn)} while batches are read ahead, so after a resume "
        f"inside an epoch the numbers fall on other batches",
        f"draw from {' and '.join(cures)}, made in a generator function or kept in an attribute of a PyDataset; "
        f"in tf.data make each epoch from its number: callback_state.data.epochs(...)",
    )


def _own_hook(dataset: Any) -> str | None:
    """The method in which a ``PyDataset`` does something between two epochs, such as a shuffle."""
    import keras

    base = keras.utils.PyDataset
    names = ("on_epoch_end", "on_epoch_begin")
    return next((n for n in names if getattr(type(dataset), n, None) is not getattr(base, n, None)), None)


# The steps of a pipeline.


def of_pipeline(dataset: Any) -> Iterator[Doubt]:
    """Why a new process may read a ``tf.data.Dataset`` in another order, or read other data."""
    in_order = datasets.runs_in_order()
    if not in_order and datasets.pipeline_is_sloppy(dataset):
        yield Doubt(
            "the options of the data set say deterministic=False, so its order is a race",
            "write options.deterministic = True",
        )
    for step in steps_of(dataset):
        yield from _of_seeds(step)
        unsaved = list(_of_variables(step))
        yield from unsaved
        if not in_order:
            yield from _of_races(step, () if unsaved else _WRITES)
    for step in steps_of(dataset, datasets.is_endless):
        yield from _of_cache(step)


def _of_seeds(step: Any) -> Iterator[Doubt]:
    if datasets.has_no_seed(step):
        yield Doubt(
            f"{where(step)} has no seed, so a new process reads another order",
            f"write seed=... there (list_files and sample_from_datasets take one too), {_BEFORE}",
        )
    operations = operations_in(functions_of(step))
    suspects = random_in(operations) + [op for op in operations if "Dataset" in op.type]
    unseeded = [op.name for op in suspects if is_unseeded(op)]
    if unseeded:
        yield Doubt(
            f"{where(step)} draws without a seed ({_some(unseeded)}), so a new process draws other numbers",
            f"write seed=... there, {_BEFORE}",
        )


def _of_variables(step: Any) -> Iterator[Doubt]:
    saved = [getattr(generator, "state", None) for generator in (tensorflow_generator(), keras_generator())]
    for function in functions_of(step):
        written = any(op.type in _WRITES for op in operations_of(function))
        if written and not any(holds(function, variable) for variable in saved):
            yield Doubt(
                f"{where(step)} changes a variable that is not saved, and input threads are ahead of the training "
                f"(it is that of a keras.random.SeedGenerator, as in layers that augment, or of a "
                f"tf.random.Generator)",
                f"put such a layer into the model, or draw with {_STATELESS}",
            )


def _of_races(step: Any, writes: tuple[str, ...]) -> Iterator[Doubt]:
    if datasets.is_sloppy(step):
        yield Doubt(f"{where(step)} says deterministic=False, so its order is a race", "leave that out")
    called = operations_in(datasets.functions_in_threads(step))
    drawn = [op.name for op in (*random_in(called), *(op for op in called if op.type in writes))]
    if drawn:
        yield Doubt(
            f"{where(step)} runs in parallel and draws from operations with a state ({_some(drawn)}), so which "
            f"element gets which number is a race",
            f"draw with {_STATELESS}, or leave num_parallel_calls out",
        )


def _of_cache(step: Any) -> Iterator[Doubt]:
    if datasets.caches_in_memory(step):
        moving = [where(inner) for inner in steps_of(step) if datasets.may_move(inner)]
        if moving:
            yield Doubt(
                f"cache() after {moving[0]} keeps the order of the epoch that a process reads first, and a "
                f"resumed process begins with another one",
                "write cache() before it, or cache(filename)",
            )


def _some(names: Iterable[str]) -> str:
    """The first three names, and how many more there are."""
    every = list(dict.fromkeys(names))
    return ", ".join(every[:3]) + (f" and {len(every) - 3} more" if len(every) > 3 else "")
