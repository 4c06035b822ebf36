"""The data of one ``fit``: how far they have been read, and how they are read up to there again.

Keras reads through an epoch iterator, which makes one or two iterators over the data for each epoch. What
follows from how many it has made is the order of a ``tf.data`` shuffle; what follows from how many batches
the present one has given is the next batch. A resumed ``fit`` makes as many, and enters the present one at
the batch where the checkpoint was taken: Keras's own generator runs, and what it yields before that batch
is drawn and dropped, so no callback hears a batch twice and no step is faked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ._reader import Reader
from ._runstate import put_back_generators, take_generators
from .exceptions import ResumeError

__all__ = ["Source"]

#: What is used of Keras's EpochIterator; ``tests/test_source.py`` fails on a Keras without them.
_USED = (
    "data_adapter", "steps_per_epoch", "steps_per_execution", "_current_iterator", "_distributed_dataset",
    "_enumerate_iterator", "_get_iterator", "_num_batches", "_steps_seen",
)


class Source:
    """One epoch iterator of Keras.

    Args:
        epoch_iterator: of a ``fit`` that has not read from it yet.

    Attributes:
        described: what must be the same in the ``fit`` that resumes; None for what cannot be known.

    Raises:
        ResumeError: Keras's epoch iterator is not written as it was.
    """

    def __init__(self, epoch_iterator: Any) -> None:
        for name in _USED:
            if not hasattr(epoch_iterator, name):
                import keras

                raise ResumeError(
                    f"keras {keras.__version__}: the iterator of Model.fit has no {name}. This release of "
                    f"callback_state does not support this Keras; install a newer callback_state or an older "
                    f"Keras."
                )
        self._keras = epoch_iterator
        self.described = _described(epoch_iterator)
        self._make = epoch_iterator._get_iterator
        self._made = 0
        self._pass = 0  # of data of ours: the one with which the present iterator begins
        # The global generators when the present iterator was about to be made, and before its first batch.
        self._beginning: list[Any] = []
        self._begun_with = -1
        epoch_iterator._get_iterator = self._counted

    def _counted(self) -> Any:
        self._made += 1
        passes, _ = _passes_in(self.dataset)
        self._pass = 0 if passes is None else passes.begun
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
        return self._keras.steps_per_epoch is not None

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

    def take(self, steps: int) -> dict[str, Any]:
        """How far it has been read, at a quiet point.

        Args:
            steps: the batches of the epoch that is going on; 0 between two epochs.
        """
        passes, _ = _passes_in(self.dataset)
        goes_on = steps > 0 or self.goes_on
        return {
            "made": self._made,
            "goes_on": goes_on,
            "seen": int(self._keras._steps_seen) if goes_on else 0,
            "steps": steps,
            "batches": _number(self._keras._num_batches),
            "pass": None if passes is None else self._pass if goes_on else passes.begun,
            "generators": list(self._beginning) if goes_on else [],
        }

    @property
    def goes_on(self) -> bool:
        """Whether the next epoch reads on where this one stops."""
        return self.is_stream and self._keras._current_iterator is not None

    # And up to there again.

    def wind(self, saved: dict[str, Any], *, verbose: bool) -> None:
        """Go to where a checkpoint at the end of an epoch was, before the first epoch begins.

        Args:
            saved: from :meth:`take`.
            verbose: whether to show how reading goes on.
        """
        self._skip_iterators(saved)
        if saved["goes_on"]:
            reader = Reader(saved["seen"], verbose=verbose)
            _put_back_each(saved["generators"])
            self._approach(saved, reader)
            self._open(saved["seen"])
            reader.draw(self._keras._current_iterator, saved["seen"], self.steps_per_execution)
            self._beginning, self._begun_with = saved["generators"], self._made

    def enter(
        self, saved: dict[str, Any], then: Callable[[], None], *, verbose: bool, stops: bool
    ) -> None:
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
        self, enumerate_epoch: Callable[[], Iterator[Any]], saved: dict[str, Any],
        then: Callable[[], None], verbose: bool,
    ) -> Iterator[Any]:
        steps, earlier, at_once = saved["steps"], saved["seen"] - saved["steps"], self.steps_per_execution
        reader = Reader(saved["seen"], verbose=verbose)
        _put_back_each(saved["generators"][:1])
        self._approach(saved, reader)
        if earlier:  # one iterator over several epochs
            _put_back_each(saved["generators"][1:])
            self._open(earlier)
            reader.draw(self._keras._current_iterator, earlier, at_once)
        there = False
        for item in enumerate_epoch():  # (step, iterator), or in a newer Keras (first, last, iterator)
            if item[0] >= steps:
                yield item
                continue
            if item[0] == earlier == 0:
                _put_back_each(saved["generators"][1:])
            reader.draw(item[-1], at_once, at_once)
            if item[0] + at_once >= steps:
                there = True
                self._beginning, self._begun_with = saved["generators"], self._made
                then()
        if not there:
            raise reader.too_short()

    def pass_by(self, saved: dict[str, Any]) -> None:
        """Make all iterators that have been made, and read none."""
        self._skip_iterators({**saved, "goes_on": False})

    def _skip_iterators(self, saved: dict[str, Any]) -> None:
        """Make the iterators that are behind, without reading: a shuffle takes its next seed for each."""
        behind = saved["made"] - saved["goes_on"]
        if type(self.adapter).__name__ == "TFDatasetAdapter":
            for _ in range(behind):
                iter(self._make())
        self._made = behind
        if self._keras._num_batches is None:  # found out at the end of the first epoch
            self._keras._num_batches = saved["batches"]
        passes, _ = _passes_in(self.dataset)
        if passes is not None and saved["pass"] is not None:
            passes.enter(saved["pass"])

    def _open(self, seen: int) -> None:
        """Make the iterator that is read over several epochs."""
        self._keras._current_iterator = iter(self._keras._get_iterator())
        self._keras._steps_seen = seen

    def _approach(self, saved: dict[str, Any], reader: Reader) -> None:
        """Move the data themselves to the batch, where they can be moved before they are iterated."""
        passes, one_to_one = _passes_in(self.dataset)
        seen, batches = saved["seen"], saved["batches"]
        if passes is not None and saved["pass"] is not None:
            done = batches is not None and seen >= batches
            passes.enter(saved["pass"] + done, seen if one_to_one and not done else 0)
            reader.drawn = seen if one_to_one else 0
        elif type(self.adapter).__name__ == "GeneratorDataAdapter":
            _put_back_each(saved["generators"][1:])
            reader.read(self.adapter)


def _described(epoch_iterator: Any) -> dict[str, Any]:
    adapter = epoch_iterator.data_adapter
    return {
        "kind": type(adapter).__name__.removesuffix("Adapter"),
        "batches": _of(adapter, "num_batches"),
        "batch size": _of(adapter, "batch_size"),
        "samples in the last batch": _of(adapter, "partial_batch_size"),
        "steps_per_epoch": _number(epoch_iterator.steps_per_epoch),
        "steps_per_execution": int(epoch_iterator.steps_per_execution),
    }


def _of(adapter: Any, name: str) -> int | None:
    try:
        return _number(getattr(adapter, name))
    except NotImplementedError:  # not every adapter can know
        return None


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def _put_back_each(generators: Any) -> None:
    for taken in generators:
        put_back_generators(taken)


def _passes_in(dataset: Any) -> tuple[Any, bool]:
    """The counter of the data of :mod:`callback_state.data` that a pipeline reads, None if it has none.

    With it, whether each batch of the pipeline is made of the batch of the same number of those data.
    """
    inputs = [(dataset, True)]
    while inputs:
        found, one_to_one = inputs.pop()
        passes = getattr(found, "_callback_state_passes", None)
        if passes is not None:
            return passes, one_to_one
        follows = one_to_one and type(found).__name__ in _ONE_TO_ONE
        inputs += [(inner, follows) for inner in getattr(found, "_inputs", list)()]
    return None, False


#: Of these each element comes from one element of the input.
_ONE_TO_ONE = ("_MapDataset", "_ParallelMapDataset", "_OptionsDataset", "_PrefetchDataset")
