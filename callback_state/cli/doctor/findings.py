"""What a restart would lose, as far as the newest state file of a run says."""

from __future__ import annotations

import contextlib
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from ..._checkpoints.needs import needs_of
from ..._checkpoints.schema import Start
from ..._units import beginning
from ..runs.recorded import State, partner_problem
from .patch import Cure


@dataclass(frozen=True)
class Finding:
    """What a restart would lose by it, and what cures it; ``line`` is the 1-based line in a script."""

    what: str
    lost: str
    cure: str
    line: int | None = None
    #: What changes the script so; empty where no change of the text is sure.
    change: Cure = field(default_factory=Cure)

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("line", "what", "lost", "cure")}


def findings_in(state: State, directory: str) -> list[Finding]:
    """Return the findings in a state file; the lines to write name ``directory``."""
    restore = f"restored = restore_callbacks({directory!r}, into=callbacks, model=model, missing_ok=True)"
    return [
        *_of_partner(state),
        *_of_starts(state.meta.starts, restore),
        *(Finding(doubt.what, doubt.cost, doubt.cure) for doubt in state.meta.doubts),
        *_of_code(state, restore),
        *_of_versions(state.meta.versions),
    ]


def _of_partner(state: State) -> Iterator[Finding]:
    """A finished run needs the checkpoint of its last epoch, if the end of the run replaced the weights."""
    problem = partner_problem(state)
    if problem is not None:
        name = state.meta.goes_on_from
        yield Finding(
            f"with more epochs the finished run goes on from {name}, which is not whole ({problem})",
            "the run: a restart with a larger epochs= fails",
            f"put {name} and its state file back, or pass an older checkpoint to restore_callbacks",
        )


def _of_starts(starts: list[Start], restore: str) -> Iterator[Finding]:
    for number, start in enumerate(starts, 1):
        found = beginning(start.epoch, start.batch)
        if start.from_ is None and start.beside > 0:
            yield Finding(
                f"start {number} of the run began with {found}, although {start.beside} of its "
                f"checkpoints were in the directory",
                "everything that was trained before: nothing was restored",
                f"write before fit: {restore}",
            )
        elif start.due is not None and (start.epoch, start.batch) != start.due:
            yield Finding(
                f"start {number} of the run went on with {found}, but its checkpoint goes on with "
                f"{beginning(*start.due)}",
                "epochs are trained twice or not at all, and schedules that count epochs are wrong",
                "write model.fit(..., initial_epoch=restored.initial_epoch)",
            )


def _of_code(state: State, restore: str) -> Iterator[Finding]:
    for need in needs_of(state.snapshot):
        if not need.path.endswith("=)"):  # with into= a constructor's argument is the new one
            attribute = re.split(r"[.\[]", need.path.partition(".")[2])[0]
            yield Finding(
                f"{need.path}, {need.what}, is stored by value",
                "its value, unless the callback in into= has its own: it is opened only with trusted=True, and "
                "then whoever wrote the file can run any program",
                f"leave it out with @stateful(exclude=({attribute!r},)), set it in the constructor, and {restore}",
            )


def _of_versions(saved: dict[str, Any]) -> Iterator[Finding]:
    here = {"python": platform.python_version()}
    for name in ("keras", "tensorflow", "numpy"):  # found without importing them
        with contextlib.suppress(metadata.PackageNotFoundError):  # on a machine that does not train
            here[name] = metadata.version(name)
    for name in (name for name in here if name in saved):
        was = str(saved[name])
        if was.split(".")[:2] != here[name].split(".")[:2]:
            yield Finding(
                f"the checkpoint was written with {name} {was}, but {here[name]} is installed here",
                "exactness: numbers may differ in their last bits",
                f"use {name} {'.'.join(was.split('.')[:2])}",
            )
