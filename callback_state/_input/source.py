"""The data of one ``fit``: how far they are read, and how a resumed ``fit`` reads up to there again.

Keras makes one or two iterators over the data for each epoch. The number of iterators decides the order of a
``tf.data`` shuffle; the number of batches that the present iterator has given decides the next batch. A resumed
``fit`` makes as many iterators, and enters the epoch at the batch of the checkpoint: Keras's own generator runs,
and the batches before that one are drawn and dropped. So no callback hears a batch twice, and no step is faked.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from .._checkpoints.schema import SourceState
from .._keras.backend import backend
from .._keras.datasets import PASSES, is_distributed, keeps_order, reshuffles, steps_of
from .._keras.epoch_iterator import DATASET, GENERATOR, EpochIterator, first_step_in, iterator_in, replace_stream
from .._keras.randomness import put_back_generators, take_generators
from ..exceptions import ResumeError
from .catch_up import Reader
from .position import Position

#: How many iterators over a data set the fits of this process have made.
_iterators: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


class Source:
    """What one epoch iterator of Keras reads; if it ``validates``, each time from the beginning of the data."""

    def __init__(self, epoch_iterator: Any, *, validates: bool = False) -> None:
        self.keras = EpochIterator(epoch_iterator)
        self.position = Position(self.keras)
        self._validates = validates
        self._made, self._before = 0, _number_of(self.keras.dataset)
        #: Of data of callback_state.data: the passes with which the present iterator begins.
        self._passes: list[int] = []
        #: The global generators before the present iterator was made, and before its first batch.
        self._beginning: list[Any] = []
        #: The number of the iterator whose first batch has been noted.
        self._begun_with = -1
        self.keras.hear_iterators(self._count)

    def _count(self) -> None:
        self._made += 1
        count_iterator(self.keras.dataset)
        self._passes = [passes.begun for passes in _passes_in(self.keras.dataset)]

    @property
    def is_stream(self) -> bool:
        """Whether one iterator is read over several epochs."""
        return self.keras.steps_per_epoch is not None and not self._validates

    @property
    def goes_on(self) -> bool:
        """Whether the next epoch reads on where this one stops."""
        return self.is_stream and self.keras.iterator is not None

    # How far it is read.

    def note_epoch(self) -> None:
        """An epoch begins, and its iterator is not made yet. From now on input threads may draw numbers."""
        if not self.goes_on:
            self._beginning, self._begun_with = [self._take_generators()], -1

    def note_first_batch(self) -> None:
        """The first batch of an epoch is about to be drawn, or has been where the backend draws it before."""
        number = self._made + self.keras.is_unread
        if self._begun_with != number:
            self._begun_with = number
            if not self.keras.reads_ahead and not backend().draws_first:
                self._beginning = [*self._beginning[:1], self._take_generators()]

    def take(self, steps: int) -> SourceState:
        """How far the data are read, at a quiet point after ``steps`` batches of an epoch (0 between two)."""
        goes_on = steps > 0 or self.goes_on
        begun = [passes.begun for passes in _passes_in(self.keras.dataset)]
        return SourceState(
            before=self._before,
            made=self._made,
            goes_on=goes_on,
            seen=self.keras.seen if goes_on else 0,
            steps=steps,
            batches=self.keras.batches,
            passes=list(self._passes) if goes_on else begun,
            generators=list(self._beginning) if goes_on else [],
            place=self.position.take(self.keras.seen if goes_on else None),
        )

    def _take_generators(self) -> dict[str, Any]:
        own = self.position.take_generators()
        return {**take_generators(), **({"of the data": own} if own else {})}

    def _put_back_each(self, generators: list[dict[str, Any]]) -> None:
        for taken in generators:
            put_back_generators(taken)
            self.position.put_back_generators(taken.get("of the data", []))

    # Reading up to there again.

    def wind(self, saved: SourceState, *, verbose: bool) -> None:
        """Go to where a checkpoint at the end of an epoch was, before the first epoch begins."""
        self._skip_iterators(saved)
        if not saved.goes_on:
            self.position.follow(saved.place)
        else:
            reader = Reader(saved.seen, verbose=verbose)
            self._put_back_each(saved.generators)
            self._approach(saved, reader)
            reader.draw(self.keras.open(saved.seen), saved.seen, self.keras.steps_per_execution)
            self._beginning = saved.generators
            self._begun_with = self._made if saved.seen else -1

    def enter(
        self,
        saved: SourceState,
        then: Callable[[], None],
        *,
        verbose: bool,
        stops: bool,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        """Let the next epoch begin at the batch of a checkpoint inside an epoch.

        ``then`` is called there, before the next batch is drawn. ``stops``: a callback had stopped training there.
        ``idle`` is called before a step that must do nothing: where no batch is left, and ``fit`` needs a step.
        """
        self._skip_iterators(saved)

        def steps(enumerate_epoch: Callable[[], Iterator[Any]]) -> Iterator[Any]:
            none = saved.steps, saved.steps, iter(())  # a step without a batch
            is_left, there = False, list[dict[str, Any]]()

            def arrive() -> None:
                then()
                there.append(self._take_generators())

            if stops:
                then()
            else:
                for item in self._entered(enumerate_epoch, saved, arrive, verbose):
                    if not is_left and backend().needs_step:
                        idle()  # perhaps no batch is left: a count that Keras has made may be too large by one
                        yield none
                    is_left = True
                    yield item
            if not is_left and backend().needs_step:
                idle()
                yield none
            self.position.leave()
            if not is_left and not saved.seen:
                # The save came after Keras had made the iterator that follows, for which torch draws a number.
                self._put_back_each(there)

        self.keras.replace_epoch(steps)

    def _entered(
        self,
        enumerate_epoch: Callable[[], Iterator[Any]],
        saved: SourceState,
        then: Callable[[], None],
        verbose: bool,
    ) -> Iterator[Any]:
        steps, earlier, at_once = saved.steps, saved.seen - saved.steps, self.keras.steps_per_execution
        reader = Reader(saved.seen, verbose=verbose)
        self._put_back_each(saved.generators[:1])
        self._approach(saved, reader)
        if earlier:  # one iterator over several epochs
            if not reader.is_there:
                self._put_back_each(saved.generators[1:])
            reader.draw(self.keras.open(earlier), earlier, at_once)
        there = False
        for item in enumerate_epoch():
            first = first_step_in(item)
            if first >= steps:
                yield item
                continue
            if first == earlier == 0 and not reader.is_there:
                self._put_back_each(saved.generators[1:])
            reader.draw(iterator_in(item), at_once, at_once)
            if first + at_once >= steps:
                there = True
                self._beginning, self._begun_with = saved.generators, self._made
                then()
        if not there:
            raise reader.too_short()

    def has_passed(self, saved: SourceState) -> None:
        """The iterators up to the checkpoint have been made elsewhere."""
        self._made, self._before = saved.made, saved.before

    def pass_by(self, saved: SourceState) -> None:
        """Make the iterators up to the checkpoint, and read none."""
        self._skip_iterators(replace(saved, goes_on=False))
        self.position.put_back_generators(saved.place.generators)

    def _skip_iterators(self, saved: SourceState) -> None:
        """Make the earlier iterators without reading: a shuffle takes its next seed for each of them."""
        behind = saved.made - saved.goes_on
        if self.keras.kind == DATASET:
            pass_iterators(self.keras.dataset, saved.before + behind)
        self._made, self._before = behind, saved.before
        if self.keras.batches is None:  # Keras finds it out at the end of the first epoch
            self.keras.batches = saved.batches
        self._enter_passes(saved.passes)

    def _enter_passes(self, numbers: list[int], seen: int = 0) -> None:
        for passes, number in zip(_passes_in(self.keras.dataset), numbers, strict=False):
            passes.enter(number, seen)

    def _approach(self, saved: SourceState, reader: Reader) -> None:
        """Move the data themselves to the batch, if that is possible before they are iterated."""
        seen, batches = saved.seen, saved.batches
        if saved.passes and _passes_in(self.keras.dataset):
            done = batches is not None and seen >= batches
            # Where the steps of an execution do not divide the epoch, the last execution would read past its end.
            divides = not (batches or 0) % self.keras.steps_per_execution
            jumps = not done and divides and _is_one_to_one(self.keras.dataset)
            self._enter_passes([number + done for number in saved.passes], seen if jumps else 0)
            reader.drawn = seen if jumps or done else 0
        elif self.position.enter(seen, saved.place):
            reader.drawn = seen
        elif self.keras.kind == GENERATOR:
            self._put_back_each(saved.generators[1:])
            replace_stream(self.keras.adapter, reader.read)


def is_known(dataset: Any) -> bool:
    """Whether iterators over a data set are counted."""
    return dataset in _iterators


def count_iterator(dataset: Any) -> None:
    """One more iterator over a data set is made. Other data than ``tf.data`` are not counted."""
    if dataset is not None:
        _iterators[dataset] = _number_of(dataset) + 1


def _number_of(dataset: Any) -> int:
    return 0 if dataset is None else _iterators.get(dataset, 0)


def enter_passes(dataset: Any, epoch: int) -> None:
    """Let the data of :mod:`callback_state.data` in a pipeline begin with this 0-based epoch."""
    for passes in _passes_in(dataset):
        passes.enter(epoch)


def pass_iterators(dataset: Any, number: int) -> None:
    """Make iterators over a data set without reading them, until there have been so many."""
    made = _iterators.get(dataset, 0)
    if made > number and reshuffles(dataset):
        raise ResumeError(
            f"this process has iterated the tf.data.Dataset {made - number} times more than the run had at the "
            f"checkpoint, so its next order is a later one. Make the data set anew, then fit."
        )
    for earlier in range(made, number):
        iter(dataset)
        _iterators[dataset] = earlier + 1


def _passes_in(dataset: Any) -> list[Any]:
    """The counters of passes of all data of :mod:`callback_state.data` that a pipeline reads."""
    found = (getattr(step, PASSES, None) for step in _steps_of(dataset))
    return [passes for passes in found if passes is not None]


def _is_one_to_one(dataset: Any) -> bool:
    """Whether each batch of a pipeline is made of the batch of that number of data of ours, and of no other."""
    steps = [step for step in _steps_of(dataset) if not hasattr(step, PASSES)]
    return len(_passes_in(dataset)) == 1 and all(map(keeps_order, steps))


def _steps_of(dataset: Any) -> Iterator[Any]:
    # A strategy reads ahead of the training, so the passes that have begun say nothing.
    return iter(()) if dataset is None or is_distributed(dataset) else steps_of(dataset)
