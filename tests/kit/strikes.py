"""What happens to one system call of many."""

from __future__ import annotations

from dataclasses import dataclass


class Died(BaseException):
    """The process ended here: nothing that it would have done later is done."""


@dataclass
class Fault:
    """What happens to one system call, counted from 0.

    Args:
        at: its number.
        error: the number of an error; None for the end of the process; 0 for a write that is cut short.
        after: whether the call does its work before.
        lasting: whether all later calls of its kind fail too.
    """

    at: int
    error: int | None = None
    after: bool = False
    lasting: bool = False
    kind: str = ""

    def strikes(self, number: int, kind: str) -> bool:
        if number == self.at:
            self.kind = kind
        return number == self.at or (self.lasting and number > self.at and kind == self.kind)
