"""Data that know where they are: an iterator, or what it reads, has a pair of methods for its state.

grain's iterators have ``get_state`` and ``set_state``, a ``StatefulDataLoader`` of torchdata has ``state_dict``
and ``load_state_dict``, as a class of the user may. So the batches before a checkpoint need not be read again.

A class of the user may count a batch before it yields it, or after, when nobody has asked for the next one yet. So
it has to prove that its state leads to the batch that follows: see :class:`Proof`.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..exceptions import ResumeError
from .fingerprint import fingerprint
from .randomness import put_back_generators, take_generators
from .torch_tensors import array_of, is_tensor

#: The pairs of methods that give a state and take one.
_NAMES = (("get_state", "set_state"), ("state_dict", "load_state_dict"))


class Pair:
    """The pair of an object; as text, the names of class and methods."""

    def __init__(self, of: Any, names: tuple[str, str]) -> None:
        self._of, self._names = of, names
        self._get, self._set = (getattr(of, name) for name in names)

    def __str__(self) -> str:
        return f"{type(self._of).__name__}.{'/'.join(self._names)}"

    def is_of(self, value: Any) -> bool:
        """Whether it is the pair of this very object."""
        return self._of is value

    @classmethod
    def of(cls, value: Any) -> Pair | None:
        """The pair that an object has; None if it has none."""
        for names in _NAMES:
            if all(callable(getattr(value, name, None)) for name in names):
                return cls(value, names)
        return None

    def works(self) -> bool:
        """Whether the object has the same state after it was given its own: tried where nobody knows the class."""
        try:
            before = self.get()
            self.set(before)
            return bool(self.get() == before)
        except Exception:  # whatever somebody's class raises
            return False

    def get(self) -> Any:
        """A copy of the state."""
        return copy.deepcopy(self._get())

    def set(self, state: Any) -> None:
        """Give the object a state, which stays as it is."""
        self._set(copy.deepcopy(state))


@dataclass(frozen=True)
class Proof:
    """A state near the beginning of the data, and the fingerprint of the batch that followed it."""

    state: Any
    follows: str


class Made:
    """What a method makes anew for each iterator, such as a generator."""

    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        return self._make()


class Tracked:
    """Data of ``fit`` whose iterators are counted as they are read, and whose state can be taken and put back.

    Args:
        data: what is iterated.
        pair: the pair of the data themselves; None if each iterator has its own.
        is_ahead: whether more may be read than the training has got. Then the state after each batch is kept.
        seen: how many batches of the present iterator the training has got.
        proves: whether the state has to be proved before anything begins at it.
        first: makes an iterator that begins with batches that were read before; None if nothing was.
        peeked: how many those are. Before the one that follows them no state is known.
    """

    def __init__(
        self,
        data: Any,
        pair: Pair | None,
        *,
        is_ahead: bool,
        seen: Callable[[], int],
        proves: bool = False,
        first: Callable[[], Iterator[Any]] | None = None,
        peeked: int = 0,
    ) -> None:
        self.data, self._of_data, self.is_ahead, self._seen = data, pair, is_ahead, seen
        self.proves, self._first, self._peeked = proves, first, peeked
        self._is_of_loader = Pair.of(data) is not None
        self._present: Pair | None = None
        #: What proves the state; None until the second batch that was not read before.
        self.proof: Proof | None = None
        self._to_prove: Any = None
        #: Whether the next iterator follows one that has ended.
        self._follows_end = False
        #: Where the next iterator begins: batches before, state, what to call when it is there.
        self._next: tuple[int, Any, Callable[[], None]] | None = None
        #: Of the present iterator: the batches that were drawn, whether it has ended, and states by that number.
        self.drawn, self._has_ended, self._states = 0, False, dict[int, Any]()

    def iterate(self) -> Iterator[Any]:
        """A new iterator over the data, at the place that was put back if there is one."""
        following, self._next = self._next, None
        after_end, self._follows_end = self._follows_end, False
        if following is not None and self._of_data is not None:
            self._of_data.set(following[1])
        if following is not None or self._first is None:
            iterator = self._past_end() if after_end else iter(self.data)
        else:
            iterator = iter(self._first())
        self._present = self._of_data or Pair.of(iterator)
        if following is not None and self._of_data is None and self._present is not None:
            self._present.set(following[1])
        self.drawn, self._has_ended, self._states = 0 if following is None else following[0], False, {}
        self._note()
        if following is not None:
            following[2]()
        return iterator

    def count(self, batch: Any) -> None:
        """The present iterator has given a batch."""
        self.drawn += 1
        self._note()
        if self.proves and self.proof is None and self._present is not None:
            known = max(1, self._peeked)
            if self.drawn == known:
                self._to_prove = self._present.get()
            elif self.drawn == known + 1 and (follows := _print_of(batch)) is not None:
                self.proof = Proof(self._to_prove, follows)

    def end(self) -> None:
        """The present iterator has no more batches."""
        self._has_ended = True

    def _note(self) -> None:
        if self.is_ahead and self._present is not None and self.drawn >= self._peeked:
            seen = self._seen()
            self._states = {n: state for n, state in self._states.items() if n >= seen - 1}
            self._states[self.drawn] = self._present.get()

    def state_after(self, seen: int) -> Any:
        """The state of the present iterator after so many batches; None if it cannot be told."""
        if self._present is None:
            return None
        if self.is_ahead:
            return self._states.get(seen)
        return self._present.get() if seen == self.drawn >= self._peeked else None

    @property
    def has_ended(self) -> bool:
        """Whether the present iterator has ended. For a loader's own state: whether it is in that, too."""
        # A state that was kept is of the batch before the end.
        return self._has_ended and not (self._is_of_loader and self.is_ahead)

    def begin_at(self, seen: int, state: Any, then: Callable[[], None]) -> None:
        """Let the next iterator begin after so many batches, in this state; ``then`` is called when it does."""
        self._next = seen, state, then

    def prove(self, proof: Proof) -> None:
        """Read the batch that follows a state, and compare. Raises ResumeError if it is another one."""
        assert self._of_data is not None
        self.proof, drawn = proof, take_generators()
        try:
            self._of_data.set(proof.state)
            found = next(iter(self.data), None)
        finally:
            put_back_generators(drawn)
        if _print_of(found) != proof.follows:
            raise ResumeError(
                f"{self._of_data}: expected that its state leads to the batch after the one that was read last, "
                f"found another batch. Count a batch before you yield it, and let each new iterator begin at the "
                f"state. Or take the two methods away: then the batches before the checkpoint are read again."
            )

    def begin(self) -> None:
        """Make the iterator that was to begin at a place, if nobody has asked for it."""
        if self._next is not None:
            self.iterate()

    @property
    def carries(self) -> bool:
        """Whether the state goes on from one iterator to the next: that of a loader, or of what it reads."""
        return self._of_data is not None and self._first is None

    def follow(self, state: Any, *, had_ended: bool) -> None:
        """Let the next iterator be the one that follows an iterator in this state."""
        assert self._of_data is not None
        self._of_data.set(state)
        if not self._is_of_loader:
            self._follows_end = had_ended
        elif not had_ended:
            iter(self.data)  # the one that had this state: the next one goes on from what it has drawn

    def _past_end(self) -> Iterator[Any]:
        """The iterator that follows one that has ended, where an object may still have to come to its end.

        It may have been in the state before its end, or begin at the state that it was given, as torchdata's do.
        """
        drawn = take_generators()  # a loader of torch draws a number for each of its iterators
        iterator = iter(self.data)
        for batch in iterator:
            return itertools.chain([batch], iterator)
        put_back_generators(drawn)
        return iter(self.data)

    def __iter__(self) -> Iterator[Any]:
        return _Counted(self.iterate(), self)


class _Counted:
    """An iterator that counts its batches."""

    def __init__(self, iterator: Iterator[Any], tracked: Tracked) -> None:
        self._iterator, self._tracked = iterator, tracked

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            batch = next(self._iterator)
        except StopIteration:
            self._tracked.end()
            raise
        self._tracked.count(batch)
        return batch


def _print_of(batch: Any) -> str | None:
    """A text that is the same for the same batch; None for one that is not of arrays and numbers."""
    import keras
    import numpy

    arrays = [array_of(leaf) if is_tensor(leaf) else numpy.asarray(leaf) for leaf in keras.tree.flatten(batch)]
    return None if any(array.dtype.hasobject for array in arrays) else fingerprint(arrays)


def for_grain(tracked: Tracked) -> Any:
    """The same as a data set of grain, which is all that Keras takes in the place of one."""
    import grain

    class Iterator_(grain.DatasetIterator):
        def __init__(self) -> None:
            iterator = tracked.iterate()
            super().__init__(iterator if isinstance(iterator, grain.DatasetIterator) else ())
            self._counted = _Counted(iterator, tracked)

        def __next__(self) -> Any:
            return next(self._counted)

        def get_state(self) -> Any:
            return tracked.state_after(tracked.drawn)

        def set_state(self, state: Any) -> None:
            raise NotImplementedError("the place of this iterator is put back by callback_state")

    class Dataset(grain.IterDataset):
        def __iter__(self) -> Any:
            return Iterator_()

    return Dataset()
