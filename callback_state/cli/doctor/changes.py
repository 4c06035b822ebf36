"""Callback classes of a script that change while training runs and are not saved."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from .findings import Finding

#: The methods that change a list, a dict, a set or a deque.
_MUTATORS = re.compile(r"add|append(left)?|clear|discard|extend|insert|pop(item|left)?|remove|setdefault|update")
#: Attributes that are set here are set again in a new process before it trains, or nothing is trained any more.
_OUTSIDE = frozenset({"__init__", "set_model", "set_params", "on_train_begin", "on_train_end"})


def changing_in(tree: ast.Module) -> Iterator[Finding]:
    """Find each callback class that changes its attributes while training runs and is not saved.

    A run warns of the same classes. Neither can see whether anything depends on the attributes.
    """
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and last_name(n.func) in ("stateful", "adapter")]
    given = [node for call in calls for argument in call.args for node in ast.walk(argument)]
    wrapped = {node.id for node in given if isinstance(node, ast.Name)}
    for name, node in classes.items():
        family = _family(node, classes)
        decorators = [d.func if isinstance(d, ast.Call) else d for cls in family for d in cls.decorator_list]
        is_callback = any(last_name(base) == "Callback" for cls in family for base in cls.bases)
        if is_callback and name not in wrapped and "stateful" not in map(last_name, decorators):
            changed = sorted(_changing(node))
            if changed:
                what = ", ".join(changed)
                yield Finding(
                    f"{name} changes {what}, and is not saved",
                    f"{what}: a restarted run has the values that the constructor sets",
                    f"write @stateful above class {name}, or @stateful(exclude=({changed[0]!r},)) if "
                    f"the attribute is no state",
                    node.lineno,
                )


def last_name(node: ast.AST) -> str:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _family(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """A class, and the classes of the script that it derives from."""
    names = (last_name(base) for base in node.bases)
    above = [classes[name] for name in names if name in classes and classes[name].lineno < node.lineno]
    return [node, *(cls for base in above for cls in _family(base, classes))]


def _changing(node: ast.ClassDef) -> set[str]:
    """The attributes that change after training has begun."""
    methods = {method.name: method for method in node.body if isinstance(method, ast.FunctionDef)}
    outside = _only_called_by(_OUTSIDE, methods)
    return {name for key, method in methods.items() if key not in outside for name in _changed(method)}


def _only_called_by(names: Iterable[str], methods: dict[str, ast.FunctionDef]) -> set[str]:
    """These methods, and the methods of the class that only they call."""
    found = {*names}
    callers: dict[str, set[str]] = {}
    for key, method in methods.items():
        for node in ast.walk(method):
            if isinstance(node, ast.Call) and (called := _attribute(node.func)):
                callers.setdefault(called, set()).add(key)
    while more := {name for name, by in callers.items() if by <= found} - found:
        found |= more
    return found


def _changed(method: ast.FunctionDef) -> set[str]:
    changed: list[ast.expr] = []
    for node in ast.walk(method):
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if _MUTATORS.fullmatch(name):
                changed.append(value)
            case ast.Assign(targets=targets):
                for target in targets:
                    changed += target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target, value=ast.expr()):
                changed.append(target)
    return {_attribute(node.value if isinstance(node, ast.Subscript) else node) for node in changed} - {""}


def _attribute(node: ast.expr) -> str:
    """``"x"`` for the expression ``self.x``; empty for anything else."""
    match node:
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
    return ""
