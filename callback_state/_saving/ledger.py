"""The ledger of a checkpoint callback: which files it has written, and which of them are to go.

The ledger is part of the callback's state, so a restart knows what the run before has written. A ledger
never changes: each decision makes a new one, and a save that fails puts the old one back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from .._callbacks.stateful import stateful
from .._checkpoints import retention
from .._checkpoints.names import LEDGER, fits, interim_name, is_bare
from .._format.table import MISSING
from .._warn import warn

#: In 2116. A later one would leave no number for the saves that follow.
_LATEST = 2**62


@stateful(key=LEDGER, exclude=("replaced",))
@dataclass(frozen=True)
class Ledger:
    """What one checkpoint callback has written. All names are bare names of model files in its directory."""

    template: str  # the callback's file name with placeholders, which every name fits
    #: (name, monitored value or None) of each regular file that is kept, oldest first.
    written: tuple[tuple[str, float | None], ...] = ()
    surplus: tuple[str, ...] = ()  # the files to delete as soon as the next save is durable
    interim: str | None = None  # the file that stays only until the next regular one is written
    due: str | None = None  # the file that the state of this moment is to be saved as
    stamp: int = 0  # nanoseconds since 1970 of the last save; each save has a larger one, whatever the clock does
    #: An interim file to delete after the next save. It is not saved: the state of a run does not depend on
    #: whether an interim file was written.
    replaced: str | None = None

    def enter(
        self,
        name: str,
        value: float | None,
        *,
        newest: int | None,
        best: int | None,
        better: Callable[[Any, Any], Any] | None,
        is_there: Callable[[str], bool],
    ) -> Ledger:
        """A regular save under this name, with this monitored value, is due.

        ``newest``, ``best`` and ``better`` are those of :func:`.retention.surplus`. ``is_there`` tells whether a
        file of a name exists: what could not be deleted is tried once more.
        """
        written = [(n, v) for n, v in self.written if n != name] + [(name, value)]
        gone = retention.surplus(written, newest=newest, best=best, better=better)
        left = [n for n in self.surplus if is_there(n)]
        return replace(
            self.without_interim(),
            written=tuple((n, v) for n, v in written if n not in gone),
            surplus=tuple(n for n in dict.fromkeys((*left, *gone)) if n != name),
            due=name,
        )

    def enter_interim(self) -> Ledger:
        """A save is due that the next regular one will replace."""
        name = interim_name(self.template)
        return replace(self, interim=name, due=name, replaced=None)

    def without_interim(self) -> Ledger:
        """Something newer than the interim file is about to be written."""
        return self if self.interim is None else replace(self, interim=None, replaced=self.interim)

    def without_due(self) -> Ledger:
        """Nothing is to be saved at this moment."""
        return replace(self, due=None)

    def stamped(self, stamp: int) -> Ledger:
        """The time of a save, in nanoseconds since 1970."""
        return replace(self, stamp=stamp)

    @property
    def gone(self) -> tuple[str, ...]:
        """The files to delete now that something newer is durable. Raises ValueError for a foreign name."""
        for name in self.surplus:
            _check_regular("surplus", name, self.template)
        _check_interim("replaced", self.replaced, self.template)
        return (*self.surplus, *(() if self.replaced is None else (self.replaced,)))

    @property
    def is_interim(self) -> bool:
        """Whether the save that is due is an interim one."""
        return self.due is not None and self.due == self.interim


def accept(checkpoint: Any, state: dict[str, Any]) -> dict[str, Any]:
    """The stored state of a checkpoint callback, after its ledger was looked at: see :func:`accepted`."""
    found = state.get("ledger", MISSING)
    if found is MISSING:
        return state
    try:
        ledger = accepted(found, checkpoint.template)
    except ValueError as error:
        raise ValueError(f"ledger: {error}") from error
    if ledger is not found and (checkpoint.max_to_keep or checkpoint.keep_best):
        _warn_of_forgotten(found, checkpoint)
    return {**state, "ledger": ledger}


def _warn_of_forgotten(ledger: Ledger, checkpoint: Any) -> None:
    count = len(ledger.written) if type(ledger.written) is tuple else 0
    if count and not checkpoint.notices.told_of_forgotten:
        checkpoint.notices.told_of_forgotten = True
        warn(
            f"{checkpoint.root}: this run has written {count} checkpoints named {ledger.template!r:.100} and "
            f"writes {checkpoint.template!r} now: the old ones are not deleted any more. Remove them by hand."
        )


def accepted(ledger: Any, template: str) -> Ledger:
    """The ledger that a run under this template may go on with, after every part of it was looked at.

    A state file does not prove who wrote it. So every name has to be one that the run's own template can give,
    because the run deletes these files. Nothing else in a file is ever joined to a directory. Under another
    template, a run has written nothing yet. Raises ValueError, which says what was expected and found, if no run
    has written this.
    """
    if type(ledger) is not Ledger:
        raise ValueError(f"expected a ledger, found {ledger!r:.100}")
    known, found = {field.name for field in fields(Ledger)}, {*vars(ledger)}
    if not known - {"replaced"} <= found <= known:
        raise ValueError(f"expected the fields {', '.join(sorted(known))}, found {', '.join(sorted(found))}")
    if type(ledger.template) is not str:
        raise ValueError(f"template: expected a text, found {ledger.template!r:.100}")
    if type(ledger.stamp) is not int or not 0 <= ledger.stamp <= _LATEST:
        raise ValueError(f"stamp: expected nanoseconds since 1970, found {ledger.stamp!r:.100}")
    if ledger.template != template:
        return Ledger(template, stamp=ledger.stamp)
    _check_names(ledger)
    return ledger


def _check_names(ledger: Ledger) -> None:
    entries = ledger.written if type(ledger.written) is tuple else (None,)
    if not all(type(e) is tuple and len(e) == 2 and type(e[1]) in (float, type(None)) for e in entries):
        raise ValueError(f"written: expected pairs of a name and a number, found {ledger.written!r:.100}")
    if type(ledger.surplus) is not tuple:
        raise ValueError(f"surplus: expected names, found {ledger.surplus!r:.100}")
    regular = [("written", name) for name, _ in ledger.written] + [("surplus", name) for name in ledger.surplus]
    for field, name in regular:
        _check_regular(field, name, ledger.template)
    if len({*regular}) != len(regular):
        raise ValueError(f"written, surplus: expected each name once, found {regular!r:.100}")
    _check_interim("interim", ledger.interim, ledger.template)
    _check_interim("replaced", ledger.replaced, ledger.template)
    if not _is_regular(ledger.due, ledger.template):
        _check_interim("due", ledger.due, ledger.template)


def _check_regular(field: str, name: Any, template: str) -> None:
    if not _is_regular(name, template):
        raise ValueError(f"{field}: expected names that {template!r} gives, found {name!r:.100}")


def _check_interim(field: str, name: Any, template: str) -> None:
    interim = interim_name(template)
    if name is not None and (type(name) is not str or name != interim):
        raise ValueError(f"{field}: expected None or {interim!r}, found {name!r:.100}")


def _is_regular(name: Any, template: str) -> bool:
    """Whether this is a file name, and no path on any platform, that the template can give."""
    return is_bare(name, template) and fits(name, template)
