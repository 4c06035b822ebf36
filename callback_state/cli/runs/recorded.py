"""A run as the state files of its checkpoints record it.

Model files are not read: of a directory of terabytes a picture is drawn at once.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from ..._checkpoints.directory import Listed, Run, files_of, look, runs_in
from ..._checkpoints.schema import Meta
from ..._checkpoints.snapshot import Snapshot
from ..._format.statefile import unseal
from ..._store.pair import state_bytes
from ...exceptions import CallbackStateError, CheckpointNotFoundError, CorruptCheckpointError
from .direction import best_of, better_in

__all__ = ["Recorded", "State", "newest_of", "partner_problem", "recorded"]


@dataclass(frozen=True)
class State:
    """A checkpoint whose state file was read: the path of its model file, and what the state file says."""

    path: str
    snapshot: Snapshot

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def meta(self) -> Meta:
        return self.snapshot.meta


@dataclass(frozen=True)
class Recorded:
    """What a directory says of one run.

    Attributes:
        path: as it was given.
        states: its checkpoints, oldest first; at least one.
        best: the one with the best monitored value; None where that cannot be told.
        aside: why others were left aside, a sentence each.
        others: the names (templates) of other runs in the same directory.
    """

    path: str
    states: list[State]
    best: State | None
    aside: list[str]
    others: list[str]

    @property
    def newest(self) -> State:
        return self.states[-1]

    @property
    def template(self) -> str:
        """The name that the run gives its files."""
        template = self.newest.meta.template
        return template


def recorded(path: str, template: str | None = None) -> Recorded:
    """The run whose checkpoint is the newest of a directory, or the one whose files have a name.

    Args:
        path: a directory; or a model file or its state file, for the run as that one says.
        template: the name, as it was given to ``ModelCheckpointEnhanced``, without the directory.

    Raises:
        CheckpointNotFoundError: there is none.
        CallbackStateError: none of its state files can be read.
    """
    files = _files_at(path)
    runs = _runs_at(path, files)
    run = _chosen(path, runs, template)
    problems = [c.problem for c in run.checkpoints if c.problem is not None]
    states = _opened(run.whole, files, problems)
    if not states:
        raise _none_left(path, problems)
    course, left = _course_of(states)
    best = best_of(_only(run, course), better_in(run, None))
    return Recorded(
        path,
        course,
        next((s for s in course if best is not None and s.path == best.path), None),
        [*map(str, problems), *left],
        [r.template for r in runs if r is not run and r.template is not None],
    )


def newest_of(path: str, template: str | None = None) -> tuple[State, list[str]]:
    """The newest checkpoint of that run alone, and why newer ones were left aside; otherwise as the whole run."""
    files = _files_at(path)
    run = _chosen(path, _runs_at(path, files), template)
    problems: list[CallbackStateError] = []
    for one in reversed(run.checkpoints):
        if one.problem is not None:
            problems.append(one.problem)
        elif opened := _opened([one], files, problems):
            return opened[0], [*map(str, problems)]
    raise _none_left(path, problems)


def partner_problem(state: State) -> CallbackStateError | None:
    """Why the checkpoint with which a finished run goes on is not whole; of its model only the size is read."""
    name = state.meta.goes_on_from
    if name is None:
        return None
    path = os.path.join(os.path.dirname(state.snapshot.where), name)
    listed = look(*files_of(path)[0]) if os.path.isfile(path) else None
    return CheckpointNotFoundError(path, "there is none") if listed is None else listed.problem


def _files_at(path: str) -> dict[str, list[str]]:
    """By the model file the states that may be its own; a link to another one of them is left out."""
    files = dict(files_of(path))
    targets = {os.path.realpath(model) for model in files if not os.path.islink(model)}
    return {
        model: states
        for model, states in files.items()
        if not (os.path.islink(model) and os.path.realpath(model) in targets)
    }


def _runs_at(path: str, files: dict[str, list[str]]) -> list[Run]:
    looks = filter(None, (look(model, states) for model, states in files.items()))
    return runs_in(path if os.path.isdir(path) else os.path.dirname(path), [*looks])


def _none_left(path: str, problems: list[CallbackStateError]) -> CallbackStateError:
    gone = CheckpointNotFoundError(path, "expected a checkpoint, but a writer has deleted it; look again")
    return problems[0] if problems else gone


def _chosen(path: str, runs: list[Run], template: str | None) -> Run:
    known = sorted((run for run in runs if run.newest is not None), key=lambda run: run.whole[-1].saved_at)
    chosen = known if template is None else [run for run in runs if run.template == template]
    if chosen:
        return chosen[-1]
    problem = next((c.problem for run in runs for c in run.checkpoints if c.problem is not None), None)
    if template is None and problem is not None:
        raise problem
    names = ", ".join(str(run.template) for run in known) or "none"
    wanted = "a run (model files, each with its .callbacks.pkl)" if template is None else f"the run {template}"
    raise CheckpointNotFoundError(path, f"expected {wanted}, found {names}; check the path and --run")


def _opened(
    checkpoints: list[Listed], files: dict[str, list[str]], problems: list[CallbackStateError]
) -> list[State]:
    """Those that can be opened; one that a writer has deleted meanwhile is nothing to tell of."""
    states = []
    for one in checkpoints:
        try:
            states.append(State(one.path, _read(one, files.get(one.path, []))))
        except (CallbackStateError, OSError) as error:
            if os.path.lexists(one.path):
                problems.append(_problem(one.path, error))
    return states


def _read(one: Listed, states: list[str]) -> Snapshot:
    """Of several states the model file tells which is its own; a single one may have been renamed meanwhile."""
    if one.meta is None and len(states) == 1:
        with contextlib.suppress(FileNotFoundError):
            return Snapshot.read(states[0], unseal(state_bytes(states[0]), states[0]))
    return Snapshot.open(one.path)


def _problem(path: str, error: Exception) -> CallbackStateError:
    unreadable = CorruptCheckpointError(path, f"cannot be read: {error}")
    return error if isinstance(error, CallbackStateError) else unreadable


def _course_of(states: list[State]) -> tuple[list[State], list[str]]:
    """Those from which the newest has come, and a sentence about those of a course that was given up.

    A run that goes on from an older checkpoint, or begins anew, leaves newer files until it writes over them.
    """
    starts = states[-1].meta.starts
    left = {s.path for s in states if any((t.from_ or 0) < s.meta.saved_at < t.at for t in starts)}
    if not left or states[-1].path in left:  # a clock that was set back says nothing
        return states, []
    names = ", ".join(state.name for state in states if state.path in left)
    return [state for state in states if state.path not in left], [f"{names}: of a course that the run has left"]


def _only(run: Run, states: list[State]) -> Run:
    paths = {state.path for state in states}
    return Run(run.template, [one for one in run.checkpoints if one.path in paths])
