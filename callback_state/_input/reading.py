"""How one ``fit`` reads its data: training, validation, and what in them cannot be brought back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._checkpoints.doubt import Doubt
from .._checkpoints.schema import DataState, SourceState
from .._keras.datasets import is_dataset, is_distributed
from .._keras.epoch_iterator import validation_iterator
from .._warn import warn
from . import doubts
from .dataset_state import Attributes
from .draws import InputDraws
from .source import Source, pass_iterators


class Reading:
    """The data of a ``fit`` that is about to begin; ``validation`` is as given to ``fit``, or None.

    ``fail`` is called with each exception that the data or a step raise, in an epoch or a validation.
    """

    def __init__(
        self, model: Any, epoch_iterator: Any, shuffle: Any, validation: Any, fail: Callable[[BaseException], None]
    ) -> None:
        import keras

        self._model, self._fail = model, fail
        self.training = Source(epoch_iterator)
        read, position = self.training.keras, self.training.position
        read.hear_failure(fail)
        self._validation_data = validation
        self._validation: Source | None = None
        self._validation_saved: SourceState | None = None
        self._validation_wound = False
        self._has_python = doubts.has_python(read)
        self._draws = InputDraws() if self._has_python else None
        self._drawn_from: set[str] = set()
        datasets = [d for d in (read.py_dataset, validation) if isinstance(d, keras.utils.PyDataset)]
        self._attributes = [Attributes(d) for d in {id(d): d for d in datasets}.values()]
        #: The attributes of the data sets when the epoch began, and which of them had kept their containers.
        self._beginning: tuple[list[dict[str, Any]], list[list[str]]] | None = None
        self._entered: int | None = None
        self._has_lost = self._has_lost_place = False
        self._told = 0
        #: The batches of the present epoch so far, where batches are counted.
        self.steps = 0
        #: Why a resumed run may differ from this one; grows while the run goes on.
        self.doubts: list[Doubt] = [
            *doubts.of_data(read, shuffle),
            *doubts.of_reading(read, streams=self.training.is_stream),
            *doubts.of_loader(position.loader, is_known=position.is_known),
            *([doubts.BETWEEN] if position.is_uncertain_between else []),
            *doubts.of_backend(model),
        ]

    # What the loop calls.

    def wants_batches(self, watched: bool) -> bool:
        """Whether it must hear the batches after the first one; ``watched``: a checkpoint may save at a batch."""
        matters = watched or self.training.is_stream
        return matters and self._draws is not None and not self._draws.done

    def after_epoch_begin(self, watched: bool) -> bool:
        """Returns whether it must hear the first batch of the epoch."""
        if self._entered is not None:
            self.steps, self._entered = self._entered, None
            return False
        self.steps = 0
        if self._draws is not None:
            self._draws.new_epoch()
        if not self._has_python or not (watched or self.training.is_stream):
            return False
        self.training.note_epoch()
        if not self.training.goes_on:
            self._beginning = self._take_attributes()
        return True

    def after_batch_begin(self) -> None:
        """All callbacks have heard that a batch begins."""
        self.training.note_first_batch()
        if self._draws is not None:
            self._draws.before()

    def before_batch_end(self) -> None:
        """A batch has ended, and no callback has heard of it yet."""
        if self._draws is not None:
            self._draws.after()
            self._note_draws(self._draws.found)

    def _note_draws(self, found: tuple[str, ...]) -> None:
        if not self._drawn_from.issuperset(found):
            self._drawn_from |= set(found)
            self.doubts.append(doubts.of_draws(sorted(self._drawn_from)))

    def after_first_batch(self) -> None:
        """The train step has been compiled."""
        self.doubts += doubts.of_step(self._model.train_function)

    def on_test_begin(self) -> None:
        """A validation begins. Its epoch iterator exists from the first validation on."""
        epoch_iterator = validation_iterator(self._model)
        if self._validation is None and epoch_iterator is not None:
            self._validation = Source(epoch_iterator, validates=True)
            self._validation.keras.hear_failure(self._fail)
            if self._validation_saved is not None and self._validation_wound:
                self._validation.has_passed(self._validation_saved)
            elif self._validation_saved is not None:
                self._validation.wind(self._validation_saved, verbose=False)

    def warn(self) -> None:
        """Warn of each doubt once."""
        for doubt in self.doubts[self._told :]:
            warn(f"a resumed run may differ from this one: {doubt}")
        self._told = len(self.doubts)

    # How far the data are read, and reading up to there again.

    def take(self, *, inside: bool) -> DataState:
        """How far the data are read, at a quiet point, ``inside`` an epoch or between two."""
        training = self.training.take(self.steps if inside else 0)
        lost = self.training.position.lost
        if lost is not None and not self._has_lost_place:
            self._has_lost_place = True
            self.doubts.append(doubts.of_place(lost))
        beginning = self._beginning if training.goes_on else None
        attributes, in_place = self._take_attributes() if beginning is None else beginning
        return DataState(
            training=training,
            validation=self._validation.take(0) if self._validation else self._validation_saved,
            attributes=attributes,
            # What an iterator over several epochs began with is older than what the callbacks hold.
            in_place=[[] for _ in attributes] if self.training.is_stream else in_place,
            # An eager step may draw from them itself, in its own turn.
            drawn_from=[] if self._model.run_eagerly else sorted(self._drawn_from),
        )

    def wind(self, saved: DataState, *, verbose: bool) -> None:
        """Go to where a checkpoint at the end of an epoch was; see :meth:`Source.wind`."""
        self._put_back_attributes(saved)
        self.training.wind(saved.training, verbose=verbose)

    def enter(
        self,
        saved: DataState,
        then: Callable[[], None],
        *,
        verbose: bool,
        stops: bool,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        """Let the first epoch begin where a checkpoint inside it was; see :meth:`Source.enter`."""
        self._put_back_attributes(saved)
        self._entered = saved.training.steps
        self.training.enter(saved.training, then, verbose=verbose, stops=stops, idle=idle)

    def pass_by(self, saved: DataState) -> None:
        """Leave the data as a ``fit`` that has ended left them, without reading them."""
        self._put_back_validation(saved)
        self.training.pass_by(saved.training)

    def _take_attributes(self) -> tuple[list[dict[str, Any]], list[list[str]]]:
        memo: dict[int, Any] = {}  # two data sets may share a generator
        taken = [attributes.take(memo) for attributes in self._attributes]
        lost = sorted(set().union(*(attributes.lost for attributes in self._attributes)))
        if lost and not self._has_lost:
            self._has_lost = True
            self.doubts.append(doubts.of_attributes(lost))
        in_place = [
            attributes.in_place(values) for attributes, values in zip(self._attributes, taken, strict=True)
        ]
        return taken, in_place

    def _put_back_validation(self, saved: DataState) -> None:
        """Before the training data are read: one shuffle may be in both, and counts the iterators of both."""
        self._validation_saved = found = saved.validation
        # The data set that a strategy distributes is another one, which Keras makes when it validates.
        distributes = is_distributed(self.training.keras.dataset)
        if found is not None and is_dataset(self._validation_data) and not distributes:
            self._validation_wound = True
            pass_iterators(self._validation_data, found.before + found.made)

    def _put_back_attributes(self, saved: DataState) -> None:
        self._put_back_validation(saved)
        self._beginning = saved.attributes, saved.in_place
        self._note_draws(tuple(saved.drawn_from))
        memo: dict[int, Any] = {}
        for attributes, taken, names in zip(self._attributes, saved.attributes, saved.in_place, strict=False):
            attributes.put_back(taken, memo, names)
