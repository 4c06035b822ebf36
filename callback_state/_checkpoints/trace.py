"""The course of a run: what stood at the ends of its epochs, for tables and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .typed import SchemaError

#: The numbers of one callback of which a trace keeps the course: so many that a picture of each can be looked at.
MAX_NUMBERS = 16
#: The most ends of epochs at which it keeps them. A longer run keeps them of every second, fourth, ... epoch.
MAX_ENDS = 1024


@dataclass(frozen=True)
class Trace:
    """What stood at the end of each epoch; ``ended_at`` in seconds since 1970."""

    epochs: list[int] = field(default_factory=list)
    learning_rate: list[float | None] = field(default_factory=list)
    ended_at: list[int] = field(default_factory=list)
    #: By the key of a callback and the name of its attribute, at :attr:`noted`; None where it had no such number.
    numbers: dict[str, dict[str, list[int | float | bool | None]]] = field(default_factory=dict)

    @property
    def stride(self) -> int:
        """Of how many epochs one has the callbacks' numbers: a power of two."""
        return 1 << ((len(self.epochs) - 1) // MAX_ENDS).bit_length() if self.epochs else 1

    @property
    def noted(self) -> list[int]:
        """The 0-based epochs at whose ends the callbacks' numbers were noted, from the first one on."""
        return self.epochs[:: self.stride]

    def columns(self) -> list[list[Any]]:
        """The callbacks' numbers, a list for each attribute."""
        return [column for of in self.numbers.values() for column in of.values()]

    def check(self, path: str) -> None:
        """Raise SchemaError, which begins with ``path``, if the lists do not belong together."""
        columns, count, noted = self.columns(), len(self.epochs), len(self.noted)
        if {count} != {count, len(self.learning_rate), len(self.ended_at)}:
            raise SchemaError(f"{path}: its lists differ in length")
        if any(len(column) != noted for column in columns):
            raise SchemaError(f"{path}.numbers: expected lists of {noted} items, one for each noted epoch")
        if noted and len({*map(id, columns)}) < len(columns):  # each is walked for each callback that has it
            raise SchemaError(f"{path}.numbers: two of its lists are one")
        for key, numbers in self.numbers.items():
            if len(numbers) > MAX_NUMBERS:
                raise SchemaError(f"{path}.numbers.{key:.100}: more than {MAX_NUMBERS} numbers")
