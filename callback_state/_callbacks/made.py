"""What the constructor of a callback made that is not plain, to find out later whether it has changed.

An object that nobody changes is made again by the constructor in the next process. So it is not stored: a restore
keeps the one that is there. What counts is how the object was before training, because the script does everything
before training again.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from .._format.blocks import Blocks
from .._format.classes import attributes
from .._format.encode import Encoder
from .._format.table import Node, PlainError, pair
from .._keras.backend import is_variable
from .._keras.classes import derives_from_keras, has_variables, is_callback_class, is_hook_of_keras, numpy_name
from .arguments import digest_of, mark_of, set_mark
from .by_value import ByValue, readable
from .capture import state_of
from .stock import adapter_of


class _Unseen(Exception):
    """Something in an object cannot be looked into."""


@dataclass
class Made:
    """How each object of a callback was. Copies and pickles of the callback begin anew."""

    looks: dict[str, Look] = field(default_factory=dict)  # by place: ``.attribute['key']``
    #: The places that a restart fills before it looks into them, or as a whole when training begins.
    certain: set[str] = field(default_factory=set)
    #: The attributes of which more may be noted when training begins; None: all, as nothing was restored.
    awaited: set[str] | None = None
    is_noted: bool = False  # whether anything was noted before

    def __reduce__(self) -> Any:
        return (types.NoneType, ())

    def add(self, callback: Any, *, is_new: bool) -> None:
        """Note the objects that are there now; ``is_new``: the constructor has made them, not ``set_model``."""
        for place, look in _seen_in(callback):
            _, attribute, *inside = re.split(r"[.\[]", place)
            is_open = self.awaited is None or attribute in self.awaited
            # A restart cannot await a part of something that it puts back.
            if place not in self.looks and is_open and (not self.is_noted or not inside):
                self.looks[place] = look
                if is_new or not inside:
                    self.certain.add(place)
        self.is_noted = True


@dataclass
class Look:
    """An object, and a digest of everything that it holds."""

    value: Any
    digest: str
    #: The functions and classes that count by identity: none of them may be replaced by a new one of the same id.
    parts: list[Any]

    def is_unchanged(self, value: Any) -> bool:
        """Whether this is the same object, and holds the same."""
        if value is not self.value:
            return False
        try:
            return _look(value)[0] == self.digest
        except _Unseen:
            return False


@dataclass
class _Noting(ByValue):
    """Collects what would be stored by value, with its place."""

    places: list[str] = field(default_factory=list)

    def __call__(self, encoder: Encoder, value: Any, path: str) -> Node:
        node = super().__call__(encoder, value, path)
        if node[0] == "kept":
            self.places.append(readable(path))
        return node


def note_made(callbacks: Iterable[Any], *, is_new: bool) -> None:
    """Note how the objects of callbacks are: at their restore, and when their first training begins.

    ``is_new``: no ``fit`` has called ``set_model`` yet, so the constructor has made what is there.
    """
    for callback in callbacks:
        mark = mark_of(callback)
        if adapter_of(type(callback))[1]:  # Keras's own hold nothing of that kind
            continue
        if mark.made is None:
            set_mark(callback, mark := replace(mark, made=Made()))
            mark.made.add(callback, is_new=is_new or is_hook_of_keras(type(callback), "set_model"))
        elif not is_new and mark.made.awaited != set():
            mark.made.add(callback, is_new=False)
        if not is_new:
            mark.made.awaited = set()


def await_made(callbacks: Iterable[Any], attributes: Iterable[tuple[Any, str]]) -> None:
    """Of callbacks that were restored, count as made later only what ``set_model`` makes in these ``attributes``,
    (callback, name), which were not there at the restore."""
    names = [(id(callback), name) for callback, name in attributes]
    for callback in callbacks:
        made = mark_of(callback).made
        if made is not None:
            made.awaited = {name for owner, name in names if owner == id(callback)}


def made_by(by_key: dict[str, Any]) -> tuple[dict[str, Look], set[str]]:
    """What was noted of some callbacks, by ``Key.attribute['key']``; and what of it a restart has for certain."""
    made = {key: mark_of(callback).made for key, callback in by_key.items() if mark_of(callback).made is not None}
    found = {key + place: look for key, one in made.items() for place, look in one.looks.items()}
    return found, {key + place for key, one in made.items() for place in one.certain}


def _seen_in(callback: Any) -> Iterator[tuple[str, Look]]:
    state = {"": state_of(callback)}
    noting = _Noting(kept=[], state_of=state_of)
    try:
        table = Encoder(noting, blocks=Blocks()).table(state)  # nobody asks for the bytes of arrays
    except PlainError:  # the first save says what is wrong
        return
    # Only what a restore will find in its place: not the members of a set.
    for i, value in pair(table, state):
        if table.nodes[i][0] == "kept":
            try:
                yield noting.places[table.nodes[i][1]], Look(value, *_look(value))
            except _Unseen:
                continue


def _look(value: Any) -> tuple[str, list[Any]]:
    """A digest of all that an object holds, and the parts that count by identity. Raises _Unseen."""
    parts: list[Any] = []
    try:
        return digest_of(Encoder(functools.partial(_seen, parts), canonical=True).table(value))[1], parts
    except (PlainError, RecursionError) as error:
        raise _Unseen from error


def _seen(parts: list[Any], encoder: Encoder, item: Any, path: str) -> Node:
    """The node of what is not plain: what ``pickle`` would ask the object for, but code by its identity."""
    holds: Any = ()
    if isinstance(item, types.FunctionType):
        holds = [cell.cell_contents for cell in item.__closure__ or () if _is_filled(cell)]
    elif isinstance(item, types.MethodType):
        item, holds = item.__func__, [item.__self__]
    elif is_variable(item) or has_variables(item) or is_callback_class(type(item)):
        raise _Unseen  # it holds state
    elif not isinstance(item, (type, types.ModuleType)) and numpy_name(item) is None:
        holds = _held_by(item)
        item = item if isinstance(holds, str) else type(item)
    parts.append(item)
    return ("list", encoder.items([id(item), holds], path))


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _held_by(item: Any) -> Any:
    """What an object is made from again; a text if it is found by this name."""
    if derives_from_keras(type(item)):  # it pickles the time of day too
        return attributes(item)
    import copyreg

    reducer = copyreg.dispatch_table.get(type(item))
    try:
        reduced = item.__reduce_ex__(4) if reducer is None else reducer(item)
    except Exception as error:  # an object's own way of pickling may raise anything
        raise _Unseen from error
    if isinstance(reduced, str):
        return reduced
    made, arguments, *rest = reduced
    return [made, arguments, *(part if i == 0 or part is None else [*part] for i, part in enumerate(rest[:3]))]
