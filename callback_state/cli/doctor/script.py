"""What a restart of a training script would lose, as far as its source tells. The script is parsed, never run.

There are only few checks, and all of them are sure. Modules that the script imports are not read, and what is not
clear is taken to be right.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from .changes import changing_in, last_name
from .findings import Finding
from .fits import OURS, STOCK, has, is_beside_ours, of_fits, path_of
from .loops import is_of_data, of_loops
from .patch import Cure, in_place_of, with_argument

_KERAS = {"keras", "tensorflow", "callback_state"}
_SEEDS = ("set_random_seed", "set_seed")
#: Operations of TensorFlow whose numbers depend on how often they were run before.
_STATEFUL = re.compile(
    r"(tf|tensorflow)\.random\.(normal|uniform|truncated_normal|gamma|poisson|categorical|shuffle|log_uniform_candidate)"
)


def findings_of(path: str) -> list[Finding]:
    """Return the findings in a script, in the order of its lines."""
    return findings_of_source(Path(path).read_bytes(), path)


def findings_of_source(source: bytes, path: str = "<script>") -> list[Finding]:
    """Return the findings in the text of a script. Raises SyntaxError or ValueError if it is none."""
    script = Script(ast.parse(source, path), source)
    if script.imports.isdisjoint(_KERAS):  # other libraries have callbacks and fit too
        return []
    found = [
        *changing_in(script.tree),
        *_of_checkpoints(script),
        *of_fits(script),
        *_of_seeds(script),
        *_of_steps(script),
        *of_loops(script),
    ]
    return sorted(found, key=lambda finding: finding.line or 0)


class Script:
    """A parsed script: its tree, the packages that it imports, and its calls by the last part of the called name.

    A name imported with ``as`` counts as the original.
    """

    def __init__(self, tree: ast.Module, source: bytes) -> None:
        self.tree, self._source = tree, source
        #: What is assigned to a name, in a list each.
        self.assigned: dict[str, list[ast.expr]] = {}
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.assigned.setdefault(name, []).append(value)
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append" | "extend"), args=[value]):
                    self.assigned.setdefault(name, []).append(value)
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

    def statement_of(self, call: ast.Call) -> tuple[ast.stmt | None, bool]:
        """The innermost statement that a call is in; and whether it is repeated by a loop."""
        found, is_repeated = None, False
        for node in ast.walk(self.tree):  # the outer ones come first
            if isinstance(node, ast.stmt) and any(part is call for part in ast.walk(node)):
                found, is_repeated = node, is_repeated or isinstance(node, (ast.For, ast.While))
        return found, is_repeated

    def source_of(self, node: ast.expr) -> str:
        return ast.get_source_segment(self._source.decode("utf-8", "replace"), node) or ast.unparse(node)

    @property
    def saves(self) -> bool:
        return bool(self.called(OURS))


def _of_checkpoints(script: Script) -> Iterator[Finding]:
    """Find runs that are not saved, or not completely."""
    for call in script.called(STOCK, "BackupAndRestore"):
        if is_beside_ours(script, call):
            continue
        name = last_name(call.func)
        change = Cure((in_place_of(call.func, OURS),), (OURS,)) if name == STOCK else Cure()
        yield Finding(
            f"{name} saves the model, not what the callbacks know",
            "how long they have waited, the best value, schedules, seeds: a restarted run is a different run",
            f"use {OURS}(...) of callback_state; it takes the arguments of keras.callbacks.ModelCheckpoint",
            call.lineno,
            change,
        )
    paths: dict[str, ast.Call] = {}
    for call in script.called(OURS):
        path = path_of(call)
        if path is not None and path in paths:
            yield Finding(
                f"two checkpoints write {path!r}, the first of them in line {paths[path].lineno}",
                "the file of one of them: each writes over that of the other, or fit refuses to begin",
                "give each its own filepath, for example in a directory of its own",
                call.lineno,
            )
        elif path is not None:
            paths[path] = call
    for node in ast.walk(script.tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call) if _is_unused(script, name):
                if last_name(call.func) == OURS:
                    yield Finding(
                        f"{name}, a {OURS}, is not used",
                        "everything: nothing is saved",
                        f"write model.fit(..., callbacks=[..., {name}])",
                        call.lineno,
                    )


def _is_unused(script: Script, name: str) -> bool:
    nodes = [node for node in ast.walk(script.tree) if isinstance(node, ast.Name) and node.id == name]
    return all(isinstance(node.ctx, ast.Store) for node in nodes)


def _of_seeds(script: Script) -> Iterator[Finding]:
    """Find random numbers that are different in a new process."""
    if script.called(*_SEEDS) or not (script.fits or script.saves):
        return
    first = [*script.fits, *script.called(OURS)][0]
    yield Finding(
        "no seed is set",
        "the order of the data, and dropout: a resumed run is a different run",
        "call keras.utils.set_random_seed(1) before the data and the model are made",
        first.lineno,
        Cure(lines=("keras.utils.set_random_seed(1)",)),
    )
    for call in script.called("shuffle"):
        if is_of_data(call) and not has(call, "seed"):
            yield Finding(
                "a dataset is shuffled without a seed",
                "its order: a new process reads the data in another order",
                "write shuffle(..., seed=1)",
                call.lineno,
                Cure((with_argument(call, "seed=1"),)),
            )


def _of_steps(script: Script) -> Iterator[Finding]:
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
