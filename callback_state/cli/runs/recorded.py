"""A run, as the state files of its checkpoints record it.

Model files are not read, so a directory of terabytes is no problem.
"""

from __future__ import annotations

import contextlib
import os
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate

from ..._checkpoints.directory import Listed, Run, files_of, look
from ..._checkpoints.schema import Meta
from ..._checkpoints.snapshot import Snapshot
from ..._format.statefile import unseal
from ..._store.pair import state_bytes
from ...exceptions import CallbackStateError, CheckpointNotFoundError, CorruptCheckpointError
from .direction import best_of, better_in
from .looks import look_at


@dataclass(frozen=True)
class State:
    """A checkpoint whose state file was read: the path of the model file, and the content of the state file."""

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
    """One run of a directory."""

    #: As the user gave it.
    path: str
    #: The checkpoints, oldest first; at least one.
    states: list[State]
    #: None if nothing tells which values are better.
    best: State | None
    #: A sentence for each checkpoint that was left out, which says why.
    aside: list[str]
    #: The names (templates) of the other runs in the directory.
    others: list[str]

    @property
    def newest(self) -> State:
        return self.states[-1]

    @property
    def template(self) -> str:
        """The name that the run gives its files, with its placeholders."""
        return self.newest.meta.template


def recorded(path: str, template: str | None = None) -> Recorded:
    """Read one run at a path: that whose files have the name ``template``, or that with the newest checkpoint."""
    files = _files_at(path)
    runs = look_at(path, [*files.items()])
    run = _chosen(path, runs, template)
    problems = [c.problem for c in run.checkpoints if c.problem is not None]
    states = _opened(run.whole, files, problems)
    if not states:
        raise _none_left(path, problems)
    course, left = _course_of(states)
    paths = {state.path for state in course}
    drawn = Run(run.template, [one for one in run.checkpoints if one.path in paths])
    best = best_of(drawn, better_in(run, None))
    return Recorded(
        path,
        course,
        next((s for s in course if best is not None and s.path == best.path), None),
        [*map(str, problems), *left],
        [r.template for r in runs if r is not run and r.template is not None],
    )


def newest_of(path: str, template: str | None = None) -> tuple[State, list[str]]:
    """Read only the newest checkpoint of a run; also say why newer ones were left out. See :func:`recorded`."""
    files = _files_at(path)
    run = _chosen(path, look_at(path, [*files.items()]), template)
    problems: list[CallbackStateError] = []
    for one in reversed(run.checkpoints):
        if one.problem is not None:
            problems.append(one.problem)
        elif opened := _opened([one], files, problems):
            return opened[0], [*map(str, problems)]
    raise _none_left(path, problems)


def partner_problem(state: State) -> CallbackStateError | None:
    """Why a finished run cannot go on with more epochs; None if it can. Of its model only the size is read."""
    name = state.meta.goes_on_from
    if name is None:
        return None
    path = os.path.join(os.path.dirname(state.snapshot.where), name)
    listed = look(*files_of(path)[0]) if os.path.isfile(path) else None
    return CheckpointNotFoundError(path, "there is none") if listed is None else listed.problem


def _files_at(path: str) -> dict[str, list[str]]:
    """The model files, each with the state files that may be its own; links to other ones of them are left out."""
    files = dict(files_of(path))
    targets = {os.path.realpath(model) for model in files if not os.path.islink(model)}
    return {
        model: states
        for model, states in files.items()
        if not (os.path.islink(model) and os.path.realpath(model) in targets)
    }


def _none_left(path: str, problems: list[CallbackStateError]) -> CallbackStateError:
    gone = CheckpointNotFoundError(path, "expected a checkpoint, but it was deleted meanwhile; try again")
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
    """Open checkpoints. One that was deleted meanwhile is no problem."""
    states = []
    for one in checkpoints:
        try:
            states.append(State(one.path, _read(one, files.get(one.path, []))))
        except (CallbackStateError, OSError) as error:
            if os.path.lexists(one.path):
                unreadable = CorruptCheckpointError(one.path, f"cannot be read: {error}")
                problems.append(error if isinstance(error, CallbackStateError) else unreadable)
    return states


def _read(one: Listed, states: list[str]) -> Snapshot:
    """Read the state file. If there are several, the model file has to be read to choose one."""
    if one.meta is None and len(states) == 1:
        with contextlib.suppress(FileNotFoundError):  # it was renamed meanwhile
            return Snapshot.read(states[0], unseal(state_bytes(states[0], to_list=True), states[0]))
    return Snapshot.open(one.path)


def _passed_by(states: list[State]) -> list[State]:
    """The checkpoints that were saved after the one with which the run later went on."""
    by_time = sorted(states, key=lambda state: state.meta.saved_at)
    times = [state.meta.saved_at for state in by_time]
    begins = [0] * (len(times) + 1)  # of a start, after its checkpoint; less those whose start has come
    for start in states[-1].meta.starts:
        begin, end = bisect_right(times, start.from_ or 0), bisect_left(times, start.at)
        if begin < end:
            begins[begin] += 1
            begins[end] -= 1
    return [state for state, open_ in zip(by_time, accumulate(begins), strict=False) if open_]


def _course_of(states: list[State]) -> tuple[list[State], list[str]]:
    """Leave out checkpoints that the newest one does not come from, and say so in a sentence.

    A run that goes on from an older checkpoint, or begins anew, leaves newer files behind until it overwrites
    them.
    """
    left = {state.path for state in _passed_by(states)}
    if not left or states[-1].path in left:  # the clock was set back
        return states, []
    names = ", ".join(state.name for state in states if state.path in left)
    kept = [state for state in states if state.path not in left]
    return kept, [f"{names}: left out, as the run went on from an older checkpoint"]
