"""To which run a file belongs that does not say it: told by its name.

Templates come from files, so no regular expression is made of one: some take for ever to match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .._naming import interim_name
from .._pair import MODEL_SUFFIXES

__all__ = ["name_of"]

_PLACEHOLDER = re.compile(r"(\{[^{}]*\})")
_NUMBER = re.compile(r"\{(epoch|batch)\b")


def name_of(name: str, templates: Iterable[str]) -> str | None:
    """The first of some templates that may give a model file this name; None if none does.

    Example:
        >>> name_of("012.final.keras", ["best.keras", "{epoch:03d}.keras"])
        '{epoch:03d}.keras'
    """
    return next((template for template in templates if _may_be(name, template)), None)


def _may_be(name: str, template: str) -> bool:
    if not template.endswith(MODEL_SUFFIXES):
        return False
    first, _, last = name.rpartition(".final.")
    names = (name, f"{first}.{last}")
    return name == interim_name(template) or any(_fits(one, _PLACEHOLDER.split(template)) for one in names)


def _fits(name: str, parts: list[str]) -> bool:
    """Whether the literal parts, which stand between placeholders, lie in the name one after the other."""
    if not name.startswith(parts[0]) or (len(parts) == 1 and name != parts[0]):
        return False
    end = len(parts[0])
    for at in range(1, len(parts), 2):
        literal = parts[at + 1]
        is_last = at == len(parts) - 2
        start = len(name) - len(literal) if is_last else name.find(literal, end + 1)
        filled = name[end : max(start, 0)]
        if not filled or not name.startswith(literal, start):
            return False
        if _NUMBER.match(parts[at]) and not filled.isdecimal():
            return False
        end = start + len(literal)
    return True
