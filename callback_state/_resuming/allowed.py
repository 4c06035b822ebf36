"""Which differences between a checkpoint and the ``fit`` that goes on are allowed, by name.

Each check belongs to a word of :data:`WORDS`. Its error names the word, and no more is allowed than the words that
were given. ``strict=False`` allows all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..exceptions import RestoreError

#: The words, and what each one allows.
WORDS = {
    "batch size": "another batch size, and so another number of batches",
    "callbacks": "callbacks with state that are only in the checkpoint or only here",
    "data": "data of another kind or length",
    "epoch": "a fit that begins with another epoch",
    "loop": "a place in a loop of fits that is not known",
    "model": "a model that was built anew, or other names of variables, with the same shapes",
    "optimizer": "an optimizer that has made another number of steps",
    "own loop": "an epoch that a loop of one's own has begun, from its beginning",
    "steps_per_epoch": "another steps_per_epoch",
    "steps_per_execution": "another steps_per_execution",
    "weights": "other values of weights or optimizer",
}


class Allowed:
    """The words that were given."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(words)

    @classmethod
    def of(cls, strict: bool, allow: Any) -> Allowed:
        """What ``restore_callbacks`` was given. Raises RestoreError for a word that does not exist."""
        words = {allow} if isinstance(allow, str) else set(allow)
        unknown = [word for word in words if word not in WORDS]
        if unknown:
            raise RestoreError(
                f"allow= has {min(map(repr, unknown))}: expected words of {', '.join(map(repr, WORDS))}"
            )
        return cls(words if strict else WORDS)

    def covers(self, words: Iterable[str]) -> bool:
        """Whether all of these words are allowed."""
        return self._words.issuperset(words)

    def line(self, words: Iterable[str]) -> str:
        """What to write so that these words are allowed too."""
        return f"restore_callbacks(..., allow={{{', '.join(map(repr, sorted(self._words.union(words))))}}})"
