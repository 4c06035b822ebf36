"""``callback-state doctor``: what a restart would lose."""

from __future__ import annotations

import os
import shlex
from typing import Any

import click

from ...exceptions import CallbackStateError
from ..doctor import patch
from ..doctor.findings import Finding, findings_in
from ..doctor.script import findings_of, findings_of_source
from ..runs.below import directories_below
from ..runs.recorded import newest_of
from ..shell.command import page
from ..shell.exits import Exit
from ..shell.options import Place, as_json, run_option
from ..shell.output import print_json, print_line, print_words, say
from ..values.phrases import resume_of

#: How many findings are printed.
_FINDINGS = 100


@page(
    examples={
        "callback-state doctor ckpt": "what its newest state file says",
        "callback-state doctor train.py": "what can be seen in a script; the script is not run",
        "callback-state doctor runs": "every run in the directories below",
        "callback-state doctor train.py --diff | git apply": "cure what a change of the text cures",
        "callback-state doctor ckpt --json": "the same for a program",
    },
    exits=(Exit.LOSS, Exit.NOT_FOUND, Exit.DAMAGED),
)
@click.argument("path", metavar="SCRIPT_OR_DIR", type=Place())
@run_option
@click.option(
    "--diff", "as_diff", is_flag=True, help="Print a patch of the script: what a change of its text cures."
)
@as_json
def command(path: str, run: str | None, as_diff: bool, as_json: bool) -> int:
    """Report what a restart would lose.

    For a directory or a single checkpoint, the newest state file is read. The command reports callbacks that
    changed and were not saved, data whose order is different in a new process, starts that restored nothing or
    began with the wrong epoch, a finished run that could not go on, state that is stored by value, and other
    releases of Keras than those installed here. Model files are not read; callback-state verify reads them. For a
    script (.py) the source is read, and never run. The command reports callbacks that change and are not given to
    @stateful, stock checkpoints, fits without a restore or initial_epoch=, two checkpoints with one filepath, a
    missing seed, random operations with a counter of their own, and training loops of your own without a position
    in their data or with an optimizer that a restore does not reach. --diff prints a patch with what a change of
    the text cures; what it does not cure is told on standard error.

    Each finding says what was found, what it costs, and what to write. No finding does not mean that everything is
    right: data that a script imports from another module are not checked.

    With --json it prints {"path": ..., "standing": ..., "findings": [{"line", "what", "lost", "cure"}]}. "line" is
    null for a directory. If a directory has no checkpoints, but directories below it have (up to four deep), the
    newest run of each is looked at; then --json prints {"runs": [...]}, each as above.
    """
    if as_diff:
        return _patch(path)
    below = [] if path.endswith(".py") else directories_below(path)
    if below:
        return _of_runs(path, below, as_json)
    standing, findings = (None, _read(path)) if path.endswith(".py") else _look(path, run)
    if as_json:
        print_json(_as_json(path, standing, findings))
    else:
        _print(path, standing, findings)
    return Exit.LOSS if findings else Exit.OK


def _patch(path: str) -> int:
    if not path.endswith(".py"):
        raise click.UsageError("--diff makes a patch of a script: give the path of a .py file")
    findings = _read(path)
    click.echo(patch.diff(path, lambda source: [found.change for found in findings_of_source(source)]), nl=False)
    left = [finding for finding in findings if finding.change == patch.Cure()]
    for finding in left:
        say(f"{path}:{finding.line}: {finding.what}: not in the patch; {finding.cure}")
    return Exit.LOSS if findings else Exit.OK


def _of_runs(path: str, directories: list[str], as_json: bool) -> int:
    """Look at the newest run of each directory."""
    looked = []
    for directory in directories:
        try:
            looked.append((directory, *_look(directory, None)))
        except CallbackStateError as error:
            say(str(error))
            looked.append((directory, "damaged", [Finding(str(error), "the run", _LOOK)]))
    if as_json:
        print_json({"runs": [_as_json(*one) for one in looked]})
    for directory, standing, findings in () if as_json else looked:
        found = f"{len(findings)} found" if findings else "nothing found"
        print_words(f"{os.path.relpath(directory, path)}: {found}", "bold")
        _print(directory, standing, findings)
        print_line()
    return Exit.LOSS if any(findings for _, _, findings in looked) else Exit.OK


#: What to do about a run of which no checkpoint is whole.
_LOOK = "see callback-state verify, and callback-state repair"


def _read(path: str) -> list[Finding]:
    try:
        return findings_of(path)
    except (SyntaxError, ValueError) as error:
        raise click.BadParameter(f"{path} is not a Python script: {error}", param_hint="SCRIPT_OR_DIR") from error


def _look(path: str, run: str | None) -> tuple[str, list[Finding]]:
    state, aside = newest_of(path, run)
    for problem in aside:
        say(problem)
    directory = path if os.path.isdir(path) else os.path.dirname(path) or "."
    return f"{state.name}: a restart {resume_of(state.meta)}", findings_in(state, directory)


def _as_json(path: str, standing: str | None, findings: list[Finding]) -> dict[str, Any]:
    return {"path": path, "standing": standing, "findings": [finding.as_json() for finding in findings]}


def _print(path: str, standing: str | None, findings: list[Finding]) -> None:
    if standing is not None:
        print_words(standing)
    for finding in findings[:_FINDINGS]:
        where = "" if finding.line is None else f"{path}:{finding.line}: "
        print_words(f"{where}{finding.what}", "bold")
        print_words(f"    lost: {finding.lost}")
        print_words(f"    cure: {finding.cure}")
    if len(findings) > _FINDINGS:
        print_words(f"and {len(findings) - _FINDINGS} more; --json has all")
    if not findings:
        print_words("nothing found that a restart would lose", "green")
    if standing is not None:
        print_words(f"model files were not read; to check them: callback-state verify {shlex.quote(path)}")
