"""Names and lists, cut to a length that can be shown: a file may hold names of any length."""

from __future__ import annotations

from collections.abc import Sequence

#: The most characters of a name, and the most items of a list.
_NAME, _ITEMS = 120, 12


def short(text: str, most: int = _NAME) -> str:
    """Cut a text to at most ``most`` characters.

    Example:
        >>> short("abcdefgh", 5)
        'abcd…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def some(items: Sequence[str], most: int = _ITEMS) -> str:
    """List the first items, each cut, and say how many more there are.

    Example:
        >>> some(["a", "b", "c"], 2)
        'a, b, and 1 more'
    """
    more = f", and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(short, items[:most])) + more
