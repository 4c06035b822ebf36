"""The place in data that know where they are: taken at a quiet point, put back before an iterator is made.

What has no such state is read again. So is a ``DataLoader`` of torch that shuffles with a generator of its own,
and the state of that generator is kept.
"""

from __future__ import annotations

from typing import Any

from .._checkpoints.schema import Place
from .._format.encode import Encoder
from .._format.table import PlainError
from .._keras.epoch_iterator import EpochIterator
from .._keras.pairs import Proof, Tracked
from .._keras.torch_random import generators_of, put_back_states, take_states
from .._keras.torch_tensors import array_of, is_tensor, tensor_of

#: The key of a dict that stands for a tensor of torch.
_TENSOR = "a tensor of torch"


class Position:
    """The place in the data of one epoch iterator.

    Attributes:
        loader: the ``DataLoader`` of torch that is read; None for other data.
        lost: why a state could not be saved; None if it could.
    """

    def __init__(self, keras: EpochIterator) -> None:
        self.loader = keras.loader
        self._generators = generators_of(self.loader)
        self._tracked: Tracked | None = keras.track()
        self.lost: str | None = None
        if keras.false_pair is not None:
            self.lost = f"{keras.false_pair}: it has another one after it was given its own"

    @property
    def is_known(self) -> bool:
        """Whether the data know where they are."""
        return self._tracked is not None

    @property
    def is_uncertain_between(self) -> bool:
        """Whether an object of the user is read ahead: at the end of an epoch it may be in the next one."""
        return self._tracked is not None and self._tracked.proves and self._tracked.is_ahead

    def take_generators(self) -> list[Any]:
        """The states of the generators that belong to the data."""
        return take_states(self._generators)

    def put_back_generators(self, states: list[Any]) -> None:
        """Give them the states that were taken."""
        put_back_states(self._generators, states)

    def take(self, seen: int | None) -> Place:
        """The place after so many batches of the present iterator; None: between two epochs."""
        tracked, states = self._tracked, self.take_generators()
        if tracked is None or (seen is None and not tracked.carries):
            return Place(None, False, states, None)
        state = tracked.state_after(tracked.drawn if seen is None else seen)
        proof = None if tracked.proof is None else (plain(tracked.proof.state), tracked.proof.follows)
        try:
            found = plain(state)
            Encoder().table((found, proof))
        except PlainError as error:
            self.lost, found, proof = str(error), None, None
        return Place(found, tracked.has_ended, states, proof)

    def enter(self, seen: int, place: Place) -> bool:
        """Let the next iterator begin after so many batches. If False, they must be read again.

        Raises ResumeError if a state does not lead to the batch that it led to in the run.
        """
        if self._tracked is None or place.state is None or (self._tracked.proves and place.proof is None):
            return False
        self._prove(place)
        # To make an iterator may draw from them once more than the run had drawn.
        self._tracked.begin_at(seen, live(place.state), lambda: self.put_back_generators(place.generators))
        return True

    def _prove(self, place: Place) -> None:
        if self._tracked is not None and self._tracked.proves and place.proof is not None:
            before, follows = place.proof
            self._tracked.prove(Proof(live(before), follows))

    def leave(self) -> None:
        """The epoch that was entered is over; perhaps no batch of it was left to read."""
        if self._tracked is not None:
            self._tracked.begin()

    def follow(self, place: Place) -> None:
        """Let the next iterator be the one that follows the place between two epochs. Raises as :meth:`enter`."""
        if self._tracked is not None and self._tracked.carries and place.state is not None:
            self._prove(place)
            self._tracked.follow(live(place.state), had_ended=place.has_ended)
        self.put_back_generators(place.generators)


def plain(state: Any) -> Any:
    """A state as plain data, in which a tensor of torch is an array."""
    if isinstance(state, dict):
        return {key: plain(item) for key, item in state.items()}
    if type(state) in (list, tuple):
        return type(state)(map(plain, state))
    return {_TENSOR: array_of(state)} if is_tensor(state) else state


def live(value: Any) -> Any:
    """What :func:`plain` was made of."""
    if isinstance(value, dict):
        if [*value] == [_TENSOR]:
            return tensor_of(value[_TENSOR])
        return {key: live(item) for key, item in value.items()}
    return type(value)(map(live, value)) if type(value) in (list, tuple) else value
