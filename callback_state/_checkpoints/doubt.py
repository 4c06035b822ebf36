"""Why a resumed run may differ from the run that was saved."""

from __future__ import annotations

from dataclasses import dataclass

#: What a doubt costs, in words.
_DIFFERS = "exactness: the resumed run may be a different run"
BEGINS_ANEW = "what depends on it: a resumed run has it as the constructor makes it"


@dataclass(frozen=True)
class Doubt:
    """One reason, as it is told in a warning, kept in the state file and listed by ``callback-state doctor``.

    Attributes:
        what: what is so; a clause without a full stop.
        cure: what to write; a clause without a full stop.
        cost: what a restart loses.

    Example:
        >>> str(Doubt("arrays are shuffled without a seed", "call keras.utils.set_random_seed(...)"))
        'arrays are shuffled without a seed; call keras.utils.set_random_seed(...).'
    """

    what: str
    cure: str
    cost: str = _DIFFERS

    def __str__(self) -> str:
        return f"{self.what}; {self.cure}."
