"""``callback-state doctor``: what a restart would lose."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict

import click

from ..doctor.findings import Finding, findings_in
from ..doctor.script import findings_of
from ..runs.recorded import State, newest_of
from ..shell.command import as_json, page
from ..shell.exits import Exit
from ..shell.output import print_json, print_words, say
from ..shell.template import run_option
from ..values.phrases import moment_of

__all__ = ["command"]


@page(
    "doctor",
    examples={
        "callback-state doctor ckpt": "what its newest state file tells",
        "callback-state doctor train.py": "what can be seen in a script, without running it",
        "callback-state doctor ckpt --json": "the same for a program",
    },
    exits=(Exit.LOSS, Exit.NOT_FOUND, Exit.DAMAGED),
)
@click.argument("path", metavar="SCRIPT_OR_DIR", type=click.Path())
@run_option
@as_json
def command(path: str, run: str | None, as_json: bool) -> int:
    """Say what a restart would lose.

    Of a directory, or a single checkpoint, the newest state file is read: callbacks that changed and were not
    saved, data whose order is another one in a new process, starts that restored nothing or began with another
    epoch, a finished run that could not go on, state that is stored by value, other releases of Keras here. Model
    files are not read; callback-state verify does that. Of a script (.py) the source is read, and never run:
    callbacks that change and are not given to @stateful, stock checkpoints, a fit without initial_epoch=, nothing
    that restores, no seed, random numbers with a counter of their own.

    Each finding says what is so, what it costs, and what to write. What is not found need not be right: data that
    a script imports from elsewhere are not looked through.

    With --json it prints {"path": ..., "standing": ..., "findings": [{"line", "what", "lost", "cure"}]}; "line" is
    null in a directory.
    """
    standing, findings = (None, _read(path)) if path.endswith(".py") else _look(path, run)
    _print(path, standing, findings, as_json)
    return Exit.LOSS if findings else Exit.OK


def _read(path: str) -> list[Finding]:
    try:
        return findings_of(path)
    except (SyntaxError, ValueError) as error:
        raise click.BadParameter(f"{path} is no Python script: {error}", param_hint="SCRIPT_OR_DIR") from error


def _look(path: str, run: str | None) -> tuple[str, list[Finding]]:
    state, aside = newest_of(path, run)
    for problem in aside:
        say(problem)
    return _standing(state), findings_in(state, path if os.path.isdir(path) else os.path.dirname(path) or ".")


def _standing(state: State) -> str:
    """With what a restart goes on."""
    meta = state.meta
    if meta.finished:
        return f"{state.name}: finished; a restart trains nothing"
    return f"{state.name}: a restart goes on with {moment_of(meta.initial_epoch, meta.first_batch)}"


def _print(path: str, standing: str | None, findings: list[Finding], as_json: bool) -> None:
    if as_json:
        print_json({"path": path, "standing": standing, "findings": [asdict(finding) for finding in findings]})
        return
    if standing is not None:
        print_words(standing)
    for finding in findings:
        where = "" if finding.line is None else f"{path}:{finding.line}: "
        print_words(f"{where}{finding.what}", "bold")
        print_words(f"    lost: {finding.lost}")
        print_words(f"    cure: {finding.cure}")
    if not findings:
        print_words("nothing was found that a restart would lose", "green")
    if standing is not None:
        print_words(f"model files were not read: callback-state verify {shlex.quote(path)} does so")
