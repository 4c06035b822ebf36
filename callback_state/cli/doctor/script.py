"""What a restart of a training script would lose, as far as its source tells. The script is parsed, never run.

There are only few checks, and all of them are sure. Modules that the script imports are not read, and what is not
clear is taken to be right.
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from ..._checkpoints.template import split
from .changes import changing_in, last_name
from .findings import Finding

_OURS, _STOCK = "ModelCheckpointEnhanced", ("ModelCheckpoint", "BackupAndRestore")
_KERAS = {"keras", "tensorflow", "callback_state"}
_SEEDS = ("set_random_seed", "set_seed")
#: Operations of TensorFlow whose numbers depend on how often they were run before.
_STATEFUL = re.compile(
    r"(tf|tensorflow)\.random\.(normal|uniform|truncated_normal|gamma|poisson|categorical|shuffle|log_uniform_candidate)"
)


def findings_of(path: str) -> list[Finding]:
    """Return the findings in a script, in the order of its lines."""
    script = _Script(ast.parse(Path(path).read_bytes(), path))
    if script.imports.isdisjoint(_KERAS):  # other libraries have callbacks and fit too
        return []
    found = [
        *changing_in(script.tree),
        *_of_checkpoints(script),
        *_of_restores(script),
        *_of_seeds(script),
        *_of_steps(script),
        *_of_loops(script),
    ]
    return sorted(found, key=lambda finding: finding.line or 0)


class _Script:
    """A parsed script: its tree, the packages that it imports, and its calls by the last part of the called name.

    A name imported with ``as`` counts as the original.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.imports: set[str] = set()
        self.calls: dict[str, list[ast.Call]] = {}
        renamed: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self.imports |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                self.imports.add(str(node.module).partition(".")[0])
                renamed |= {alias.asname: alias.name for alias in node.names if alias.asname is not None}
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = last_name(call.func)
            self.calls.setdefault(renamed.get(name, name), []).append(call)

    def called(self, *names: str) -> list[ast.Call]:
        return [call for name in names for call in self.calls.get(name, ())]

    @property
    def fits(self) -> list[ast.Call]:
        return [fit for fit in self.called("fit") if any(k.arg == "callbacks" for k in fit.keywords)]

    @property
    def saves(self) -> bool:
        return bool(self.called(_OURS))


def has(call: ast.Call, name: str) -> bool:
    """Whether a call passes an argument by this name, or may pass it with ``**``."""
    return any(keyword.arg in (name, None) for keyword in call.keywords)


def _of_checkpoints(script: _Script) -> Iterator[Finding]:
    """Find runs that are not saved, or not completely."""
    for call in () if script.saves else script.called(*_STOCK):
        name = last_name(call.func)
        yield Finding(
            f"{name} saves the model, not what the callbacks know",
            "how long they have waited, the best value, schedules, seeds: a restarted run is a different run",
            f"use {_OURS}(...) of callback_state; it takes the arguments of keras.callbacks.ModelCheckpoint",
            call.lineno,
        )
    for node in ast.walk(script.tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call) if _is_unused(script, name):
                if last_name(call.func) == _OURS:
                    yield Finding(
                        f"{name}, a {_OURS}, is not used",
                        "everything: nothing is saved",
                        f"write model.fit(..., callbacks=[..., {name}])",
                        call.lineno,
                    )


def _is_unused(script: _Script, name: str) -> bool:
    nodes = [node for node in ast.walk(script.tree) if isinstance(node, ast.Name) and node.id == name]
    return all(isinstance(node.ctx, ast.Store) for node in nodes)


def _of_restores(script: _Script) -> Iterator[Finding]:
    """Find restarts that do not go on where the run was."""
    if not script.saves or not script.fits:
        return
    restores, fit = script.called("restore_callbacks"), script.fits[0]
    if not restores:
        yield Finding(
            "nothing is restored before fit",
            "everything: a restart begins anew and overwrites the checkpoints",
            f"write restored = restore_callbacks({_directory_of(script)!r}, into=callbacks, model=model, "
            f"missing_ok=True), and fit(..., initial_epoch=restored.initial_epoch)",
            fit.lineno,
        )
    elif not any(has(call, "initial_epoch") for call in script.fits):
        yield Finding(
            "fit does not get initial_epoch=",
            "the restart: fit refuses to train from the first epoch again",
            "write fit(..., initial_epoch=restored.initial_epoch)",
            fit.lineno,
        )
    for call in restores:
        if has(call, "into") and not has(call, "model") and not script.called("load_model", "load_weights"):
            yield Finding(
                "the callbacks are restored, but the model is not",
                "weights and optimizer: fit refuses to go on",
                "write restore_callbacks(..., model=model)",
                call.lineno,
            )


def _directory_of(script: _Script) -> str:
    """The directory of the first checkpoint that saves every time, if its path is a literal in the script."""
    ours = script.called(_OURS)
    chosen = next((call for call in ours if not _saves_best_only(call)), ours[0])
    match _argument(chosen, 0, "filepath"):
        case ast.Constant(value=str(path)):
            with contextlib.suppress(ValueError):  # the callback refuses it
                return split(path)[0] or "."
    return "ckpt"


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


def _of_seeds(script: _Script) -> Iterator[Finding]:
    """Find random numbers that are different in a new process."""
    if script.called(*_SEEDS) or not (script.fits or script.saves):
        return
    first = [*script.fits, *script.called(_OURS)][0]
    yield Finding(
        "no seed is set",
        "the order of the data, and dropout: a resumed run is a different run",
        "call keras.utils.set_random_seed(1) before the data and the model are made",
        first.lineno,
    )
    for call in script.called("shuffle"):
        if _is_of_data(call) and not has(call, "seed"):
            yield Finding(
                "a dataset is shuffled without a seed",
                "its order: a new process reads the data in another order",
                "write shuffle(..., seed=1)",
                call.lineno,
            )


def _is_of_data(call: ast.Call) -> bool:
    """Whether ``shuffle`` is the method of a ``tf.data.Dataset``: then it usually gets the size of a buffer."""
    sizes = (*call.args[:1], *(k.value for k in call.keywords if k.arg == "buffer_size"))
    for size in sizes:
        match size:
            case ast.Constant(value=int()) | ast.Call(func=ast.Name(id="len")):
                return True
    return False


def _of_loops(script: _Script) -> Iterator[Finding]:
    """Find training loops of the script's own that, resumed, begin with the order of the first epoch."""
    if not (script.saves and script.called("CallbackList")):
        return
    nodes = [*ast.walk(script.tree)]
    shuffles = {id(call) for call in script.called("shuffle") if _is_of_data(call)}
    shuffled = set()
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if any(id(part) in shuffles for part in ast.walk(value)):
                    shuffled.add(name)
    for loop in (node for node in nodes if isinstance(node, ast.For)):
        match loop.iter:
            case ast.Name(id=name) | ast.Call(func=ast.Name(id="enumerate"), args=[ast.Name(id=name), *_]):
                if name in shuffled:
                    yield Finding(
                        f"a training loop reads {name}, which is shuffled, by itself",
                        "the order of the data: a resumed loop begins with the order of the first epoch",
                        f"write for step, batch in restored.batches({name}, epoch)",
                        loop.lineno,
                    )


def _of_steps(script: _Script) -> Iterator[Finding]:
    """Find random operations of TensorFlow in a train step or a layer."""
    functions = [node for node in ast.walk(script.tree) if isinstance(node, ast.FunctionDef)]
    steps = [function for function in functions if function.name in ("train_step", "call")]
    for call in (node for step in steps for node in ast.walk(step) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        if _STATEFUL.fullmatch(name):
            yield Finding(
                f"{name} has a counter that cannot be saved",
                "its random numbers: a resumed run draws different ones",
                "use keras.random.* with a keras.random.SeedGenerator of the layer or model",
                call.lineno,
            )
