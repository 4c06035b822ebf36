"""What a restart of a training loop of the script's own would lose."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .findings import Finding
from .fits import OURS

if TYPE_CHECKING:
    from .script import Script

#: The arguments with which a checkpoint saves inside epochs.
_INSIDE = ("save_freq", "save_every", "save_on_signal")


def of_loops(script: Script) -> Iterator[Finding]:
    """Find training loops of the script's own that, resumed, begin with the order of the first epoch."""
    if not (script.saves and script.called("CallbackList")):
        return
    yield from _of_positions(script)
    yield from _of_optimizers(script)
    nodes = [*ast.walk(script.tree)]
    shuffles = {id(call) for call in script.called("shuffle") if is_of_data(call)}
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


def _of_positions(script: Script) -> Iterator[Finding]:
    """Find a loop whose checkpoints are inside epochs, and that always begins an epoch with its first batch."""
    if script.called("batches", "first_batch"):
        return
    for call in script.called(OURS):
        for keyword in call.keywords:
            is_default = isinstance(keyword.value, ast.Constant) and keyword.value.value in (None, False, "epoch")
            if keyword.arg in _INSIDE and not is_default:
                yield Finding(
                    f"{keyword.arg}= saves inside epochs, and the training loop has no position in its data",
                    "the batches before the checkpoint: a resumed loop trains them again",
                    "write for step, batch in restored.batches(data, epoch)",
                    call.lineno,
                )
                return


def _of_optimizers(script: Script) -> Iterator[Finding]:
    """Find an optimizer that a restore does not reach, or whose variables are read before they are made."""
    restores = script.called("restore_callbacks")
    if not restores:
        return
    if not script.called("compile") and script.called("apply", "apply_gradients", "stateless_apply"):
        yield Finding(
            "the optimizer is no part of the model, as it was not given to compile",
            "the state of the optimizer: it is neither saved nor restored",
            "write model.compile(optimizer, loss) before restore_callbacks, and use model.optimizer",
            restores[0].lineno,
        )
    is_built = any(call.lineno <= restores[0].lineno for call in script.called("build"))
    if script.called("compile") and script.called("stateless_apply") and not is_built:
        yield Finding(
            "the optimizer is not built before the restore",
            "the state of the optimizer: stateless_apply begins with variables that were not restored",
            "write model.optimizer.build(model.trainable_variables) before restore_callbacks",
            restores[0].lineno,
        )


def is_of_data(call: ast.Call) -> bool:
    """Whether ``shuffle`` is the method of a ``tf.data.Dataset``: then it usually gets the size of a buffer."""
    sizes = (*call.args[:1], *(k.value for k in call.keywords if k.arg == "buffer_size"))
    for size in sizes:
        match size:
            case ast.Constant(value=int()) | ast.Call(func=ast.Name(id="len")):
                return True
    return False
