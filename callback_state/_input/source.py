"""The data of one ``fit``: how far they have been read, and how they are read up to there again.

Keras reads through an epoch iterator, which makes one or two iterators over the data for each epoch. What
follows from how many it has made is the order of a ``tf.data`` shuffle; what follows from how many batches
the present one has given is the next batch. A resumed ``fit`` makes as many, and enters the present one at
the batch where the checkpoint was taken: Keras's own generator runs, and what it yields before that batch
is drawn and dropped, so no callback hears a batch twice and no step is faked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from .._checkpoints.schema import SourceState
from .._keras.randomness import put_back_generators, take_generators
from ..exceptions import unsupported_keras
from .catch_up import Reader
from .pipelines import begun, count_iterator, is_one_to_one, iterators_of, pass_iterators, passes_in

__all__ = ["Source"]

#: What is used of Keras's EpochIterator; ``tests/test_source.py`` fails on a Keras without them.
_USED = (
    "data_adapter",
    "steps_per_epoch",
    "steps_per_execution",
    "_current_iterator",
    "_distributed_dataset",
    "_enumerate_iterator",
    "_get_iterator",
    "_num_batches",
    "_steps_seen",
    "catch_stop_iteration",
)


class Source:
    """One epoch iterator of Keras.

    Args:
        epoch_iterator: of a ``fit`` that has not read from it yet.
        validates: whether it is that of the validation data, which are read from their beginning each time.

    Attributes:
        described: what must be the same in the ``fit`` that resumes; None for what cannot be known.

    Raises:
        ResumeError: Keras's epoch iterator is not written as it was.
    """

    def __init__(self, epoch_iterator: Any, *, validates: bool = False) -> None:
        for name in _USED:
            if not hasattr(epoch_iterator, name):
                raise unsupported_keras(f"the iterator of Model.fit has no {name}")
        self._keras = epoch_iterator
        self.described = _described(epoch_iterator)
        self._make = epoch_iterator._get_iterator
        self._validates = validates
        self._made, self._before = 0, iterators_of(self.dataset)
        self._passes: list[int] = []  # of data of ours: those with which the present iterator begins
        # The global generators when the present iterator was about to be made, and before its first batch.
        self._beginning: list[Any] = []
        self._begun_with = -1
        epoch_iterator._get_iterator = self._counted

    def _counted(self) -> Any:
        self._made += 1
        count_iterator(self.dataset)
        self._passes = begun(self.dataset)
        return self._make()

    @property
    def adapter(self) -> Any:
        """What Keras made of the argument ``x`` of ``fit``."""
        return self._keras.data_adapter

    @property
    def dataset(self) -> Any:
        """The ``tf.data.Dataset`` that is read, or the distributed one."""
        return self._keras._distributed_dataset

    @property
    def steps_per_execution(self) -> int:
        steps: int = self._keras.steps_per_execution
        return steps

    @property
    def is_stream(self) -> bool:
        """Whether one iterator is read over several epochs."""
        return self._keras.steps_per_epoch is not None and not self._validates

    def tell_of_failure(self, tell: Callable[[BaseException], None]) -> None:
        """Call ``tell`` with what is raised while an epoch goes on, by the data or by a step."""
        catch = self._keras.catch_stop_iteration

        @contextmanager
        def caught() -> Iterator[None]:
            try:
                with catch():
                    yield
            except BaseException as error:
                tell(error)
                raise

        self._keras.catch_stop_iteration = caught

    # How far it has been read.

    def note_epoch(self) -> None:
        """An epoch begins, and its iterator is not made yet: input threads may draw from now on."""
        if not self.goes_on:
            self._beginning, self._begun_with = [take_generators()], -1

    def note_first_batch(self) -> None:
        """An epoch's first batch is about to be drawn."""
        if self._begun_with != self._made:
            self._begun_with = self._made
            # An enqueuer has its own thread draw as soon as the epoch begins.
            if getattr(self.adapter, "enqueuer", None) is None:
                self._beginning = [*self._beginning[:1], take_generators()]

    def take(self, steps: int) -> SourceState:
        """How far it has been read, at a quiet point.

        Args:
            steps: the batches of the epoch that is going on; 0 between two epochs.
        """
        goes_on = steps > 0 or self.goes_on
        return SourceState(
            before=self._before,
            made=self._made,
            goes_on=goes_on,
            seen=int(self._keras._steps_seen) if goes_on else 0,
            steps=steps,
            batches=_number(self._keras._num_batches),
            passes=list(self._passes) if goes_on else begun(self.dataset),
            generators=list(self._beginning) if goes_on else [],
        )

    @property
    def goes_on(self) -> bool:
        """Whether the next epoch reads on where this one stops."""
        return self.is_stream and self._keras._current_iterator is not None

    # And up to there again.

    def wind(self, saved: SourceState, *, verbose: bool) -> None:
        """Go to where a checkpoint at the end of an epoch was, before the first epoch begins.

        Args:
            saved: from :meth:`take`.
            verbose: whether to show how reading goes on.
        """
        self._skip_iterators(saved)
        if saved.goes_on:
            reader = Reader(saved.seen, verbose=verbose)
            _put_back_each(saved.generators)
            self._approach(saved, reader)
            self._open(saved.seen)
            reader.draw(self._keras._current_iterator, saved.seen, self.steps_per_execution)
            self._beginning = saved.generators
            self._begun_with = self._made if saved.seen else -1

    def enter(self, saved: SourceState, then: Callable[[], None], *, verbose: bool, stops: bool) -> None:
        """Let the epoch that begins next go on where a checkpoint inside it was.

        Args:
            saved: from :meth:`take`.
            verbose: whether to show how reading goes on.
            then: is called when the data are where they were, before the next batch is drawn.
            stops: whether a callback had stopped training at that batch.
        """
        self._skip_iterators(saved)
        enumerate_epoch = self._keras._enumerate_iterator

        def entered() -> Iterator[Any]:
            del self._keras._enumerate_iterator
            if stops:
                then()
            else:
                yield from self._entered(enumerate_epoch, saved, then, verbose)

        self._keras._enumerate_iterator = entered

    def _entered(
        self,
        enumerate_epoch: Callable[[], Iterator[Any]],
        saved: SourceState,
        then: Callable[[], None],
        verbose: bool,
    ) -> Iterator[Any]:
        steps, earlier, at_once = saved.steps, saved.seen - saved.steps, self.steps_per_execution
        reader = Reader(saved.seen, verbose=verbose)
        _put_back_each(saved.generators[:1])
        self._approach(saved, reader)
        if earlier:  # one iterator over several epochs
            if not reader.is_there:
                _put_back_each(saved.generators[1:])
            self._open(earlier)
            reader.draw(self._keras._current_iterator, earlier, at_once)
        there = False
        for item in enumerate_epoch():  # (step, iterator), or in a newer Keras (first, last, iterator)
            if item[0] >= steps:
                yield item
                continue
            if item[0] == earlier == 0 and not reader.is_there:
                _put_back_each(saved.generators[1:])
            reader.draw(item[-1], at_once, at_once)
            if item[0] + at_once >= steps:
                there = True
                self._beginning, self._begun_with = saved.generators, self._made
                then()
        if not there:
            raise reader.too_short()

    def has_passed(self, saved: SourceState) -> None:
        """The iterators that are behind have been made by somebody else."""
        self._made, self._before = saved.made, saved.before

    def pass_by(self, saved: SourceState) -> None:
        """Make all iterators that have been made, and read none."""
        self._skip_iterators(replace(saved, goes_on=False))

    def _skip_iterators(self, saved: SourceState) -> None:
        """Make the iterators that are behind, without reading: a shuffle takes its next seed for each."""
        behind = saved.made - saved.goes_on
        if type(self.adapter).__name__ == "TFDatasetAdapter":
            pass_iterators(self.dataset, saved.before + behind)
        self._made, self._before = behind, saved.before
        if self._keras._num_batches is None:  # found out at the end of the first epoch
            self._keras._num_batches = saved.batches
        self._enter_passes(saved.passes)

    def _enter_passes(self, numbers: list[int], seen: int = 0) -> None:
        for passes, number in zip(passes_in(self.dataset), numbers, strict=False):
            passes.enter(number, seen)

    def _open(self, seen: int) -> None:
        """Make the iterator that is read over several epochs."""
        self._keras._current_iterator = iter(self._keras._get_iterator())
        self._keras._steps_seen = seen

    def _approach(self, saved: SourceState, reader: Reader) -> None:
        """Move the data themselves to the batch, where they can be moved before they are iterated."""
        seen, batches = saved.seen, saved.batches
        if saved.passes and passes_in(self.dataset):
            done = batches is not None and seen >= batches
            # An execution of several steps would read on, past the end of the epoch, where it does not divide.
            divides = not (batches or 0) % self.steps_per_execution
            jumps = not done and divides and is_one_to_one(self.dataset)
            self._enter_passes([number + done for number in saved.passes], seen if jumps else 0)
            reader.drawn = seen if jumps or done else 0
        elif type(self.adapter).__name__ == "GeneratorDataAdapter":
            _put_back_each(saved.generators[1:])
            reader.read(self.adapter)


def _described(epoch_iterator: Any) -> dict[str, Any]:
    adapter = epoch_iterator.data_adapter
    return {
        "kind": type(adapter).__name__.removesuffix("Adapter"),
        "batches of an epoch": _of(adapter, "num_batches"),
        "batch size": _of(adapter, "batch_size") or _looked_at(adapter),
        "samples in the last batch": _of(adapter, "partial_batch_size"),
        "steps_per_epoch": _number(epoch_iterator.steps_per_epoch),
        "steps_per_execution": int(epoch_iterator.steps_per_execution),
    }


def _of(adapter: Any, name: str) -> int | None:
    try:
        return _number(getattr(adapter, name))
    except (NotImplementedError, IndexError):  # not every adapter can know
        return None


def _looked_at(adapter: Any) -> int | None:
    """The size of the first batch of a generator, which Keras has looked at."""
    import keras

    leaves = keras.tree.flatten(list(getattr(adapter, "_first_batches", ())))
    shape = list(getattr(leaves[0], "shape", [])) if leaves else []
    return int(shape[0]) if shape else None


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def _put_back_each(generators: Any) -> None:
    for taken in generators:
        put_back_generators(taken)
