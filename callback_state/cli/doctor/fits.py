"""What a restart of the fits of a script would lose: each has its callbacks, its checkpoints and its restore."""

from __future__ import annotations

import ast
import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..._checkpoints.template import split
from .findings import Finding
from .patch import Cure, before, in_place_of, with_argument

if TYPE_CHECKING:
    from .script import Script

OURS, STOCK = "ModelCheckpointEnhanced", "ModelCheckpoint"


def of_fits(script: Script) -> Iterator[Finding]:
    """Find fits that do not go on where the run was."""
    restores = script.called("restore_callbacks")
    saving = [(fit, found) for fit in script.fits if (found := _checkpoints_of(script, fit))]
    for fit, checkpoints in saving:
        mine = [call for call in restores if _is_for(call, fit)]
        if not mine:
            directory = directory_of(checkpoints)
            yield Finding(
                "nothing is restored before fit",
                "everything: a restart begins anew and overwrites the checkpoints",
                f"write restored = restore_callbacks({directory!r}, into=callbacks, model=model, "
                f"missing_ok=True), and fit(..., initial_epoch=restored.initial_epoch)",
                fit.lineno,
                _restore(script, fit, directory),
            )
        elif not has(fit, "initial_epoch"):
            name = _name_of(script, mine[-1])
            yield Finding(
                "fit does not get initial_epoch=",
                "the restart: fit refuses to train from the first epoch again",
                "write fit(..., initial_epoch=restored.initial_epoch)",
                fit.lineno,
                Cure((with_argument(fit, f"initial_epoch={name}.initial_epoch"),)) if name else Cure(),
            )
    for call in restores if saving else ():
        if has(call, "into") and not has(call, "model") and not script.called("load_model", "load_weights"):
            fits = [fit for fit, _ in saving if _is_for(call, fit) and isinstance(fit.func, ast.Attribute)]
            model = ast.unparse(fits[0].func.value) if fits and isinstance(fits[0].func, ast.Attribute) else ""
            yield Finding(
                "the callbacks are restored, but the model is not",
                "weights and optimizer: fit refuses to go on",
                "write restore_callbacks(..., model=model)",
                call.lineno,
                Cure((with_argument(call, f"model={model}"),)) if model else Cure(),
            )


def has(call: ast.Call, name: str) -> bool:
    """Whether a call passes an argument by this name, or may pass it with ``**``."""
    return any(keyword.arg in (name, None) for keyword in call.keywords)


def is_beside_ours(script: Script, call: ast.Call) -> bool:
    """Whether a checkpoint of Keras stands beside one of ours, in a fit or else in the script."""
    lists = [_reached(script, _argument(fit, 99, "callbacks"), set())[0] for fit in script.fits]
    mine = [nodes for nodes in lists if any(node is call for node in nodes)]
    return script.saves and (
        not mine or any(node is ours for nodes in mine for node in nodes for ours in script.called(OURS))
    )


def _checkpoints_of(script: Script, fit: ast.Call) -> list[ast.Call]:
    """The checkpoints in the callbacks of a fit; all of the script where the list cannot be followed."""
    known = script.called(OURS, STOCK)
    given = _argument(fit, 99, "callbacks")
    nodes, followed = _reached(script, given, set())
    mine = [call for call in known if any(call is node for node in nodes)]
    return mine if mine or followed else known


def _reached(script: Script, given: ast.expr | None, seen: set[str]) -> tuple[list[ast.AST], bool]:
    """The nodes of an expression and of what its names are assigned; and whether every name could be followed."""
    nodes, followed = ([], False) if given is None else ([*ast.walk(given)], True)
    inside = {id(part) for node in nodes if isinstance(node, ast.Call) for part in ast.walk(node)}
    for name in [n.id for n in nodes if isinstance(n, ast.Name) and id(n) not in inside and n.id not in seen]:
        seen.add(name)
        values = script.assigned.get(name, [])
        followed = followed and bool(values)
        for value in values:
            more, is_whole = _reached(script, value, seen)
            nodes, followed = [*nodes, *more], followed and is_whole
    return nodes, followed


def _is_for(restore: ast.Call, fit: ast.Call) -> bool:
    """Whether a restore may be that of a fit: only lists of two names are known to be two."""
    into, given = _argument(restore, 99, "into"), _argument(fit, 99, "callbacks")
    return not (isinstance(into, ast.Name) and isinstance(given, ast.Name)) or into.id == given.id


def _name_of(script: Script, restore: ast.Call) -> str | None:
    """The name to which the result of a restore is assigned."""
    return next((n for n, values in script.assigned.items() if any(v is restore for v in values)), None)


def _restore(script: Script, fit: ast.Call, directory: str) -> Cure:
    """Put the restore before the statement of a fit; nothing where the fit stands in a loop."""
    statement, is_repeated = script.statement_of(fit)
    given = _argument(fit, 99, "callbacks")
    if statement is None or is_repeated or given is None or not isinstance(fit.func, ast.Attribute):
        return Cure()
    lines, edits, name = [], [], ast.unparse(given)
    if not isinstance(given, ast.Name):
        name = "callbacks" if "callbacks" not in script.assigned else "fit_callbacks"
        lines.append(f"{name} = {script.source_of(given)}")
        edits.append(in_place_of(given, name))
    model = ast.unparse(fit.func.value)
    where = json.dumps(directory, ensure_ascii=False)
    lines.append(f"restored = restore_callbacks({where}, into={name}, model={model}, missing_ok=True)")
    if not has(fit, "initial_epoch"):
        edits.append(with_argument(fit, "initial_epoch=restored.initial_epoch"))
    return Cure((before(statement, lines), *edits), ("restore_callbacks",))


def directory_of(checkpoints: list[ast.Call]) -> str:
    """The directory of the first checkpoint that saves every time, if its path is a literal in the script."""
    chosen = next((call for call in checkpoints if not _saves_best_only(call)), checkpoints[0])
    path = path_of(chosen)
    if path is not None:
        with contextlib.suppress(ValueError):  # the callback refuses it
            return split(path)[0] or "."
    return "ckpt"


def path_of(call: ast.Call) -> str | None:
    """The filepath of a checkpoint, if it is a literal."""
    match _argument(call, 0, "filepath"):
        case ast.Constant(value=str(path)):
            return path
    return None


def _saves_best_only(call: ast.Call) -> bool:
    """Whether a checkpoint may skip epochs, so that its newest file may be old."""
    match _argument(call, 3, "save_best_only"):
        case None | ast.Constant(value=False):
            return False
    return True


def _argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    """The argument that a call passes by this position or name."""
    named = [keyword.value for keyword in call.keywords if keyword.arg == name]
    return next(iter([*call.args[position : position + 1], *named]), None)
