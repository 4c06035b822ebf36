"""The first node of a state file: what a listing needs, so that the rest need not be parsed.

No other node refers to it. It repeats what ``meta`` says, and a file in which the two differ is refused.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

from ..exceptions import CorruptCheckpointError
from .schema import Meta
from .typed import BITS, SchemaError

KIND = "summary"
#: Keeps the place of a summary in a table that is only compared.
PLACEHOLDER = (KIND,)


@dataclass(frozen=True)
class Summary:
    """The moment of a checkpoint; the attributes are those of ``meta``."""

    saved_at: int
    epoch: int
    batch: int | None
    finished: bool
    monitor_name: str
    monitor_value: float | None
    template: str
    run_id: str

    @property
    def monitor(self) -> tuple[str, float | None]:
        return self.monitor_name, self.monitor_value

    @classmethod
    def of(cls, meta: Meta) -> Summary:
        """The summary of a checkpoint."""
        return cls(meta.saved_at, meta.epoch, meta.batch, meta.finished, *meta.monitor, meta.template, meta.run_id)

    def node(self) -> tuple[Any, ...]:
        return (KIND, *astuple(self))

    @classmethod
    def from_node(cls, node: object, where: str) -> Summary:
        """The summary in the first node of the state file ``where``, or CorruptCheckpointError."""
        match node:
            case ("summary", int(), int(), int() | None, bool(), str(), int() | float() | None, str(), str()):
                if type(node) is tuple and not any(type(v) is int and v.bit_length() > BITS for v in node):
                    return cls(*node[1:])
        raise CorruptCheckpointError(where, "no state file of this package (it does not begin with a summary)")

    def check(self, first: tuple[Any, ...]) -> None:
        """Raise SchemaError if the first node of the same file is another summary."""
        if repr(first) != repr(self.node()):  # NaN is not equal to itself
            raise SchemaError("its summary and the rest are of two moments")
