"""Keras's epoch iterator, through which ``fit`` reads its data, and the data adapter in it.

An epoch iterator makes one or two iterators over the data for each epoch, and counts the batches that the present
one has given. Everything here is private in Keras. It is the same in Keras 3.7 to 3.15, and a Keras that is
written in another way is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import CO_VARARGS, CO_VARKEYWORDS
from types import GeneratorType
from typing import Any

from .._format.classes import is_from
from ..exceptions import unsupported_keras
from .backend import backend
from .pairs import Made, Pair, Tracked, for_grain

#: The kinds of data, named by the classes of Keras's data adapters without "Adapter".
ARRAYS, DATASET, GENERATOR, PY_DATASET = "ArrayData", "TFDataset", "GeneratorData", "PyDataset"
GRAIN, LOADER = "GrainDataset", "TorchDataLoader"

_USED = (
    "data_adapter",
    "steps_per_epoch",
    "steps_per_execution",
    "_current_iterator",
    "_enumerate_iterator",
    "_get_iterator",
    "_num_batches",
    "_steps_seen",
    "catch_stop_iteration",
)


class EpochIterator:
    """The epoch iterator of one ``fit``, or of its validation, from which nothing has been read yet."""

    def __init__(self, epoch_iterator: Any) -> None:
        for name in _USED:
            if not hasattr(epoch_iterator, name):
                raise unsupported_keras(f"the iterator of Model.fit has no {name}")
        self._keras = epoch_iterator
        #: What Keras made of the argument ``x`` of ``fit``.
        self.adapter = epoch_iterator.data_adapter
        self._generator = self._python_generator()
        self.kind = type(self.adapter).__name__.removesuffix("Adapter")
        #: The ``keras.utils.PyDataset`` that is read; None for data of another kind.
        self.py_dataset = getattr(self.adapter, "py_dataset", None)
        #: The ``tf.data.Dataset`` that is read, or the one that a strategy distributes; None for other data.
        self.dataset = self._dataset()
        #: Whether a Python generator reads the data, and draws their order.
        self.is_in_python = self.kind != DATASET and (backend().reads_lazily or self.kind != ARRAYS)
        #: Whether Keras holds an iterator of which nothing has been read, so that it counts as not made.
        self.is_unread = False
        #: The methods of the data for their state, if these do not work.
        self.false_pair: str | None = None
        #: The argument of ``fit``.
        self.steps_per_epoch = _number(epoch_iterator.steps_per_epoch)
        #: How many steps the train function runs in one call.
        self.steps_per_execution = int(epoch_iterator.steps_per_execution)

    def _dataset(self) -> Any:
        if not backend().reads_lazily:
            if not hasattr(self._keras, "_distributed_dataset"):
                raise unsupported_keras("the iterator of Model.fit has no _distributed_dataset")
            return self._keras._distributed_dataset
        return self.adapter.get_tf_dataset() if self.kind == DATASET else None

    @property
    def loader(self) -> Any:
        """The ``DataLoader`` of torch that is read, until it is tracked; None for data of another kind."""
        return getattr(self.adapter, "_dataloader", None) if self.kind == LOADER else None

    def track(self) -> Tracked | None:
        """Let Keras read data that know where they are through one that is returned; None for other data.

        Call it once, before an iterator is made.
        """
        options: dict[str, Any] = {"is_ahead": backend().reads_ahead(), "seen": lambda: self.seen}
        if self.kind == GRAIN and hasattr(self.adapter, "_dataset"):
            tracked = Tracked(self.adapter._dataset, None, **options)
            self.adapter._dataset = for_grain(tracked)
            if not backend().reads_lazily:  # this one has made its pipeline already
                self.dataset = self._keras._distributed_dataset = self.adapter.get_tf_dataset()
            return tracked
        if self.kind == GENERATOR:
            return self._track_method(options)
        if self.loader is None:
            return None
        pair, is_known = Pair.of(self.loader), True
        # A worker has a copy of the data set. A data set of Hugging Face begins later epochs, too, at the place
        # that was put back, and what it has in the buffer of a shuffle is not in its state (datasets 5.2).
        if pair is None and not self.loader.num_workers and not is_from(type(self.loader.dataset), "datasets"):
            pair, is_known = Pair.of(self.loader.dataset), False
            self._try(pair)
        if pair is None or self.false_pair is not None:
            return None
        self.adapter._dataloader = tracked = Tracked(self.loader, pair, proves=not is_known, **options)
        return tracked

    def _track_method(self, options: dict[str, Any]) -> Tracked | None:
        """Track the generator that a method made, if its object knows where it is and needs no other argument."""
        generator = self._generator
        # Where threads read ahead, nobody knows with which batch the next epoch begins: all is read again.
        if generator is None or generator.gi_frame is None or options["is_ahead"]:
            return None
        code = generator.gi_code
        owner = generator.gi_frame.f_locals.get(next(iter(code.co_varnames), ""))
        method = getattr(owner, code.co_name, None)
        takes = (code.co_argcount, code.co_kwonlyargcount, code.co_flags & (CO_VARARGS | CO_VARKEYWORDS))
        if method is None or takes != (1, 0, 0) or getattr(method, "__code__", None) is not code:
            return None
        pair = Pair.of(owner)
        self._try(pair)
        if pair is None or self.false_pair is not None:
            return None
        first, peeked = self.adapter.generator, len(getattr(self.adapter, "_first_batches", ()))
        tracked = Tracked(Made(method), pair, proves=True, first=first, peeked=peeked, **options)
        self.adapter.generator = lambda: iter(tracked)
        return tracked

    def _try(self, pair: Pair | None) -> None:
        if pair is not None and not pair.works():
            self.false_pair = str(pair)

    @property
    def batches(self) -> int | None:
        """The number of batches in an epoch; None until it is known."""
        return _number(self._keras._num_batches)

    @batches.setter
    def batches(self, number: int | None) -> None:
        self._keras._num_batches = number

    @property
    def length(self) -> int | None:
        """How many batches the data themselves have; None if they do not know."""
        return _known(self.adapter, "num_batches")

    @property
    def reads_ahead(self) -> bool:
        """Whether threads of Keras draw batches as soon as an epoch begins."""
        return getattr(self.adapter, "enqueuer", None) is not None

    @property
    def named_by_generator(self) -> list[Any]:
        """What stands in the variables that the code of the user's Python generator can read."""
        if self._generator is None or self._generator.gi_frame is None:
            return []
        frame = self._generator.gi_frame
        around = [frame.f_globals[name] for name in frame.f_code.co_names if name in frame.f_globals]
        return [*frame.f_locals.values(), *around]

    def _python_generator(self) -> GeneratorType[Any, Any, Any] | None:
        """The generator of the user, until it is tracked; None for data of another kind."""
        cells = getattr(getattr(self.adapter, "generator", None), "__closure__", None) or ()
        found = (cell.cell_contents for cell in cells)
        return next((item for item in found if isinstance(item, GeneratorType)), None)

    def described(self) -> dict[str, Any]:
        """What must be the same in the ``fit`` that resumes; None for what Keras does not know."""
        return {
            "kind": self.kind,
            "batches of an epoch": self.length,
            "batch size": _known(self.adapter, "batch_size") or _size_of_first_batch(self.adapter),
            "samples in the last batch": _known(self.adapter, "partial_batch_size"),
            "steps_per_epoch": self.steps_per_epoch,
            "steps_per_execution": self.steps_per_execution,
        }

    def hear_iterators(self, hear: Callable[[], None]) -> None:
        """Call ``hear`` before each iterator over the data is made."""
        make = self._keras._get_iterator

        def heard() -> Any:
            if backend().reads_lazily:
                self.is_unread = True
                return _Late(iter(make()), began)
            hear()
            return make()

        def began() -> None:
            self.is_unread = False
            hear()

        self._keras._get_iterator = heard

    def hear_failure(self, hear: Callable[[BaseException], None]) -> None:
        """Call ``hear`` with each exception that the data or a step raise during an epoch."""
        catch = self._keras.catch_stop_iteration

        @contextmanager
        def caught() -> Iterator[None]:
            try:
                with catch():
                    yield
            except BaseException as error:
                hear(error)
                raise

        self._keras.catch_stop_iteration = caught

    # The iterator that is read over several epochs.

    @property
    def iterator(self) -> Any:
        """The present iterator over the data; None if the next epoch makes one."""
        return self._keras._current_iterator

    @property
    def seen(self) -> int:
        """How many batches the present iterator has given."""
        return int(self._keras._steps_seen)

    def open(self, seen: int) -> Any:
        """Make and return the present iterator, and let Keras believe that it has given ``seen`` batches."""
        self._keras._current_iterator = iter(self._keras._get_iterator())
        self._keras._steps_seen = seen
        return self._keras._current_iterator

    # Entering an epoch.

    def replace_epoch(self, steps: Callable[[Callable[[], Iterator[Any]]], Iterator[Any]]) -> None:
        """Let the next epoch run what ``steps`` yields; it gets Keras's own generator function of an epoch.

        What that yields is for :func:`first_step_in` and :func:`iterator_in`, and is yielded on as it is.
        """
        enumerate_epoch = self._keras._enumerate_iterator

        def entered() -> Iterator[Any]:
            del self._keras._enumerate_iterator
            yield from steps(enumerate_epoch)

        self._keras._enumerate_iterator = entered


class _Late:
    """An iterator that tells when its first batch is asked for. torch draws a number when it is made."""

    def __init__(self, batches: Iterator[Any], began: Callable[[], None]) -> None:
        self._batches, self._began = batches, began

    def __iter__(self) -> Iterator[Any]:
        self._began()
        yield from self._batches


def replace_stream(adapter: Any, make: Callable[[Callable[[], Any]], Any]) -> None:
    """Let the next iterator over a generator's data be ``make(again)``, where ``again`` makes the generator."""
    again = adapter.generator
    first = iter([make(again)])
    adapter.generator = lambda: next(first, None) or again()


def first_step_in(item: Any) -> int:
    """The first step, 0-based, of what Keras yields for one execution."""
    # (step, iterator), or in a newer Keras (first, last, iterator).
    step: int = item[0]
    return step


def iterator_in(item: Any) -> Any:
    """The iterator over the data in what Keras yields for one execution."""
    return item[-1]


def validation_iterator(model: Any) -> Any:
    """Keras's epoch iterator over the validation data of the running ``fit``; None before the first validation."""
    return getattr(model, "_eval_epoch_iterator", None)


def forget_validation(model: Any) -> None:
    """Forget the validation data, as ``fit`` does at its end: the next ``fit`` may have other data."""
    if validation_iterator(model) is not None:
        del model._eval_epoch_iterator


def _known(adapter: Any, name: str) -> int | None:
    try:
        return _number(getattr(adapter, name))
    except (NotImplementedError, IndexError):  # not every adapter can know
        return None


def _size_of_first_batch(adapter: Any) -> int | None:
    """The size of the first batch of a generator, which Keras draws to see the shapes."""
    import keras

    leaves = keras.tree.flatten(list(getattr(adapter, "_first_batches", ())))
    shape = list(getattr(leaves[0], "shape", [])) if leaves else []
    return int(shape[0]) if shape else None


def _number(value: Any) -> int | None:
    return None if value is None else int(value)
