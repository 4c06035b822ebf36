"""Callback classes of a script that change while training runs, and whose state nobody saves."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ._findings import Finding

__all__ = ["changing_in"]

_WRAPPERS = ("stateful", "adapter")
#: What changes a list, a dict, a set or a deque in its place.
_MUTATORS = frozenset({
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popleft", "remove",
    "setdefault", "update",
})
#: What these set is set again in a new process, before anything is trained.
_BEGINNINGS = frozenset({"__init__", "set_model", "set_params", "on_train_begin"})


def changing_in(tree: ast.Module) -> Iterator[Finding]:
    """Each callback class with attributes that change from epoch to epoch, and that is given to nobody."""
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    wrapped = {name for call in _calls(tree, *_WRAPPERS) for name in _names_in(call)}
    for name, node in classes.items():
        if _is_callback(node, classes) and not _is_saved(node, classes) and name not in wrapped:
            changed = sorted(_changing(node))
            if changed:
                what = ", ".join(changed)
                yield Finding(
                    f"{name} changes {what}, and is not saved",
                    f"{what}: a restarted run has what the constructor makes",
                    f"@stateful above class {name}, or @stateful(exclude=({changed[0]!r},)) if it is no state",
                    node.lineno,
                )


def _calls(tree: ast.AST, *names: str) -> list[ast.Call]:
    return [n for n in ast.walk(tree) if isinstance(n, ast.Call) and _last(n.func) in names]


def _names_in(call: ast.Call) -> set[str]:
    return {node.id for argument in call.args for node in ast.walk(argument) if isinstance(node, ast.Name)}


def _last(node: ast.AST) -> str:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_callback(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> bool:
    """Whether it derives from ``Callback``, directly or by way of classes of the script."""
    bases = [_last(base) for base in node.bases]
    return "Callback" in bases or any(_is_callback(c, classes) for c in _above(node, classes))


def _is_saved(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> bool:
    """Whether it, or what it derives from, is given to ``@stateful``."""
    decorators = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    own = any(_last(decorator) == "stateful" for decorator in decorators)
    return own or any(_is_saved(c, classes) for c in _above(node, classes))


def _above(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> list[ast.ClassDef]:
    names = (_last(base) for base in node.bases)
    return [classes[name] for name in names if name in classes and classes[name].lineno < node.lineno]


def _changing(node: ast.ClassDef) -> set[str]:
    """The attributes that are made at the beginning and change later; not those that each epoch sets anew."""
    methods = [method for method in node.body if isinstance(method, ast.FunctionDef)]
    made, anew, changed = set(_of_class(node)), set(), set()
    for method in methods:
        assigned, mutated = _assigned(method), _mutated(method)
        if method.name in _BEGINNINGS:
            made |= assigned
        elif method.name.startswith("on_") and method.name.endswith("_begin"):
            anew |= assigned
            changed |= mutated
        else:
            changed |= assigned | mutated
    return changed & made - anew


def _of_class(node: ast.ClassDef) -> Iterator[str]:
    for statement in node.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        yield from (target.id for target in targets if isinstance(target, ast.Name))
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            yield statement.target.id


def _assigned(method: ast.FunctionDef) -> set[str]:
    """Attributes that get a new value in which the old one is not seen."""
    return {
        name for target, value in _assignments(method)
        if (name := _attribute(target)) and name not in _read_in(value)
    }


def _mutated(method: ast.FunctionDef) -> set[str]:
    """Attributes whose old value is changed: ``+=``, an item, a method of a list, a value made of the old one."""
    found = {_owner(target) for target, _ in _assignments(method)}
    found |= {name for target, value in _assignments(method) if (name := _attribute(target)) in _read_in(value)}
    for node in ast.walk(method):
        match node:
            case ast.AugAssign(target=target):
                found.add(_attribute(target) or _owner(target))
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in _MUTATORS:
                found.add(_attribute(value))
    return found - {""}


def _assignments(method: ast.FunctionDef) -> Iterator[tuple[ast.expr, ast.expr]]:
    """(what is assigned to, the value)."""
    for node in ast.walk(method):
        match node:
            case ast.Assign(targets=targets, value=value):
                yield from ((part, value) for target in targets for part in _parts(target))
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                yield target, value


def _read_in(value: ast.expr) -> set[str]:
    return {_attribute(node) for node in ast.walk(value) if isinstance(node, ast.expr)} - {""}


def _parts(target: ast.expr) -> list[ast.expr]:
    return [*target.elts] if isinstance(target, (ast.Tuple, ast.List)) else [target]


def _attribute(node: ast.expr) -> str:
    """``x`` of ``self.x``; empty for anything else."""
    match node:
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
    return ""


def _owner(node: ast.expr) -> str:
    """``x`` of ``self.x[...]``."""
    return _attribute(node.value) if isinstance(node, ast.Subscript) else ""
