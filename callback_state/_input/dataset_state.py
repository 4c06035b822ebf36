"""The attributes of a user's data set that change while training runs.

A ``keras.utils.PyDataset`` shuffles in ``on_epoch_end``: its order is an attribute, or follows from a generator
that is an attribute. Every attribute that is not as it was when ``fit`` began is saved and put back. Of one that
knows where it is, such as an iterator of grain, this is its state.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable
from typing import Any

from .._format.classes import attributes
from .._format.encode import Encoder
from .._format.refill import fits, is_container, one_to_one, refill
from .._format.table import SCALARS, PlainError
from .._keras.fingerprint import fingerprint
from .._keras.pairs import Pair
from . import position

#: Larger arrays, in bytes, are the data themselves, and are not compared.
_LARGE = 1 << 28


class Attributes:
    """The attributes of a ``PyDataset`` whose ``fit`` has not begun; ``lost`` have changed and cannot be saved."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        found = attributes(dataset).items()
        #: Those that know where they are. What is plain data needs nothing of the kind.
        self._pairs = {name: pair for name, value in found if (pair := _pair_of(value)) is not None}
        self._before = {name: self._print(name, value) for name, value in found}
        self._held = {name: value for name, value in attributes(dataset).items() if is_container(value)}
        self._changed: set[str] = set()
        self.lost: set[str] = set()

    def take(self, memo: dict[int, Any] | None = None) -> dict[str, Any]:
        """Copies of the attributes that have changed since, by name.

        Args:
            memo: of :func:`copy.deepcopy`; two data sets that share a generator need one memo.
        """
        memo = {} if memo is None else memo
        taken = {}
        for name, value in attributes(self._dataset).items():
            now = self._print(name, value)
            if name not in self._changed and now == self._before.get(name):
                continue
            self._changed.add(name)
            if now.startswith(_UNSAVED):
                self.lost.add(name)
            elif name in self._pairs:
                taken[name] = {_STATE: position.plain(self._pairs[name].get())}
            else:
                taken[name] = copy.deepcopy(value, memo)
        return taken

    def _print(self, name: str, value: Any) -> str:
        """A text that changes when the value of this attribute does."""
        pair = self._pairs.get(name)
        if pair is None:
            return _print_of(value)
        if not pair.is_of(value):
            del self._pairs[name]
            return _print_of(value)
        return _print_of(position.plain(pair.get()))

    def in_place(self, taken: dict[str, Any]) -> list[str]:
        """Those of the attributes that still hold the container that they held when ``fit`` began."""
        now = attributes(self._dataset)
        return [name for name in taken if name in self._held and now[name] is self._held[name]]

    def put_back(
        self, taken: dict[str, Any], memo: dict[int, Any] | None = None, in_place: Iterable[str] = ()
    ) -> None:
        """Give the data set copies of what :meth:`take` took.

        The attributes of ``in_place`` keep their containers, which others may hold too, and get the content.
        """
        self._changed |= taken.keys()
        memo = {} if memo is None else memo
        values, now = {id(value): value for value in taken.values()}, attributes(self._dataset)
        pairs = one_to_one((id(taken[n]), now.get(n)) for n in in_place if n in taken)
        live = {i: container for i, container in pairs.items() if fits(container, values[i])}
        memo |= live  # so that each copy that holds one of them holds the live one
        contents = [(container, copy.deepcopy(values[i].copy(), memo)) for i, container in live.items()]
        copies = {name: copy.deepcopy(value, memo) for name, value in taken.items()}
        for container, content in contents:
            refill(container, content)
        for name, value in copies.items():
            if name in self._pairs and isinstance(value, dict) and [*value] == [_STATE]:
                self._pairs[name].set(position.live(value[_STATE]))
            else:
                object.__setattr__(self._dataset, name, value)


#: The beginning of the print of a value that cannot be saved.
_UNSAVED = "unsaved"
#: The key of a dict that stands for an attribute that knows where it is.
_STATE = "the state of what knows where it is"


def _pair_of(value: Any) -> Pair | None:
    pair = Pair.of(value)
    return pair if pair is not None and _print_of(value).startswith(_UNSAVED) and pair.works() else None


def _print_of(value: Any, depth: int = 0) -> str:
    """A text that changes when the value does."""
    import numpy

    if isinstance(value, numpy.ndarray) and not value.dtype.hasobject:
        return "large" if value.nbytes > _LARGE else fingerprint([value])
    if isinstance(value, numpy.ndarray):
        return f"{_UNSAVED} {value.tolist()}"
    if not _is_light(value):
        items = value.values() if isinstance(value, dict) else value
        return f"{_UNSAVED} {[id(item) for item in items]}"  # arrays: only their order is compared
    try:
        return repr(Encoder(canonical=True).table(value))
    except PlainError:
        inner = attributes(value) if depth < 3 else {}
        return f"{_UNSAVED} {id(value)} {sorted((name, _print_of(v, depth + 1)) for name, v in inner.items())}"


def _is_light(value: Any, depth: int = 0) -> bool:
    """Whether a container holds only scalars and containers of scalars; a container of arrays holds the data."""
    if not isinstance(value, (list, tuple, set, frozenset, dict, deque)):
        return depth == 0 or type(value) in SCALARS
    items = value.values() if isinstance(value, dict) else value
    return depth < 3 and all(_is_light(item, depth + 1) for item in items)
