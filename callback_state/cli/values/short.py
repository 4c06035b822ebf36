"""Names and lists of files cut to what there is room for: some have a hundred thousand characters."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["short", "some"]

#: Characters of a name, and items of a list.
_NAME, _ITEMS = 120, 12


def short(text: str, most: int = _NAME) -> str:
    """A text of at most so many characters.

    Example:
        >>> short("abcdefgh", 5)
        'abcd…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def some(items: Sequence[str], most: int = _ITEMS) -> str:
    """The first items, each cut, and how many more there are.

    Example:
        >>> some(["a", "b", "c"], 2)
        'a, b, and 1 more'
    """
    more = f", and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(short, items[:most])) + more
