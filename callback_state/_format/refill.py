"""Containers that others may hold too: they can be emptied and filled again, instead of being replaced."""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any

#: The classes by the names of their kinds in a table; a subclass may do more when it is filled.
CONTAINERS: dict[str, Any] = {
    cls.__name__: cls for cls in (list, dict, set, deque, OrderedDict, Counter, defaultdict)
}


def is_container(value: Any) -> bool:
    """Whether it can be filled again: a container of Python, or an array of NumPy."""
    return type(value) in CONTAINERS.values() or is_array(value)


def is_array(value: Any) -> bool:
    """Whether it is an array that can be written to, in memory of NumPy's own: a file must not change."""
    numpy = sys.modules.get("numpy")
    if numpy is None or type(value) is not numpy.ndarray or not value.flags.writeable:
        return False
    while type(value) is numpy.ndarray and value.base is not None:
        value = value.base
    return type(value) is numpy.ndarray


def fits(live: Any, made: Any) -> bool:
    """Whether a live container differs from another value in nothing but its content."""
    if not is_container(live) or type(live) is not type(made):
        return False
    if is_array(live):
        return bool(live.dtype == made.dtype and live.shape == made.shape and made.flags.writeable)
    if getattr(live, "maxlen", None) != getattr(made, "maxlen", None):
        return False
    return getattr(live, "default_factory", None) is getattr(made, "default_factory", None)


def one_to_one(pairs: Iterable[tuple[Hashable, Any]]) -> dict[Any, Any]:
    """What is stored, and the live object for it, where no other is for the one or the other.

    All else shares now what it did not share, or the reverse. Two live arrays of one memory do not count either:
    it is not stored whether they shared it.
    """
    pairs = [*pairs]
    ids: dict[Any, set[int]] = defaultdict(set)
    stored: dict[int, set[Hashable]] = defaultdict(set)
    for i, live in pairs:
        ids[i].add(id(live))
        stored[id(live)].add(i)
    found = {i: live for i, live in pairs if len(ids[i]) == len(stored[id(live)]) == 1}
    arrays = {i: live for i, live in found.items() if is_array(live)}
    for i, live in arrays.items():
        if any(j != i and sys.modules["numpy"].may_share_memory(live, other) for j, other in arrays.items()):
            del found[i]
    return found


def refill(live: Any, content: Any) -> Callable[[], None]:
    """Give a container the content of another one of its class. Returns what undoes it.

    After an error the container is as before.
    """
    before = live.copy()
    try:
        _replace(live, content)
    except BaseException:
        _replace(live, before)
        raise
    return lambda: _replace(live, before)


def _replace(container: Any, content: Any) -> None:
    if is_array(container):
        container[...] = content
        return
    container.clear()  # a dict takes the order of its keys from what comes now
    if isinstance(container, (list, deque)):
        container.extend(content)
    else:
        container.update(content)
