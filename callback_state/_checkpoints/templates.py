"""To which run a file belongs that does not say it: told by its name."""

from __future__ import annotations

from collections.abc import Iterable

from .._store.pair import MODEL_SUFFIXES
from .names import fits, interim_name

__all__ = ["name_of"]


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
    return name == interim_name(template) or any(fits(one, template) for one in names)
