"""Why a resumed run may differ from the run that was saved."""

from __future__ import annotations

from dataclasses import dataclass

#: What a restart loses.
_DIFFERS = "exactness: the resumed run may be a different run"
BEGINS_ANEW = "what depends on it: a resumed run has it as the constructor makes it"


@dataclass(frozen=True)
class Doubt:
    """One reason, as it is told in a warning, kept in the state file and listed by ``callback-state doctor``."""

    # Clauses without a full stop.
    what: str
    cure: str
    cost: str = _DIFFERS

    def __str__(self) -> str:
        return f"{self.what}; {self.cure}."
