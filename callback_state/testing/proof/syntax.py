"""The source of a callback: the methods of its class, and the functions that it was given."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import textwrap
import types
from collections.abc import Iterator
from typing import Any

from ..._format.classes import is_from
from ..._keras.classes import is_of_keras


class Source:
    """The parsed methods of a callback's class and its bases below Keras's, and the functions in its attributes.

    The object is called ``self`` in all of them. A function in an attribute has the name of the attribute.
    """

    def __init__(self, callback: Any) -> None:
        self.name = type(callback).__name__
        self.methods: list[ast.FunctionDef] = []
        for base in type(callback).__mro__:
            if is_from(base, "keras", "builtins", "callback_state"):
                break
            self.methods += _methods_of(base)
        for name, value in vars(callback).items():
            self.methods += _function(name, value)

    def assigned(self, attribute: str) -> list[str]:
        """The names of the methods that assign an attribute of ``self``, without the constructor."""
        return [
            m.name for m in self.methods if m.name != "__init__" and any(is_self(t, attribute) for t in targets(m))
        ]

    def deleted(self, attribute: str) -> list[str]:
        """The names of the methods that delete an attribute of ``self``."""
        return [
            m.name
            for m in self.methods
            for node in ast.walk(m)
            if isinstance(node, ast.Delete) and any(is_self(t, attribute) for t in node.targets)
        ]

    def find(self, pattern: re.Pattern[str]) -> tuple[str, str] | None:
        """Find a pattern: (the matching text, the name of the method); None if no method has it."""
        for method in self.methods:
            if match := pattern.search(ast.unparse(method)):
                return match[0].rstrip("("), method.name
        return None


def _methods_of(cls: type) -> list[ast.FunctionDef]:
    methods = [node for node in ast.walk(_parsed(cls)) if isinstance(node, ast.FunctionDef)]
    for method in methods:  # call the object self, whatever the method calls it
        own = method.args.args[0].arg if method.args.args else "self"
        for node in ast.walk(method):
            if isinstance(node, ast.Name) and node.id == own:
                node.id = "self"
    return methods


def _function(name: str, value: Any) -> Iterator[ast.FunctionDef]:
    """The function in an attribute, under the name of the attribute; a function of Keras is skipped."""
    function = value.func if isinstance(value, functools.partial) else value
    if not isinstance(function, types.FunctionType) or is_of_keras(function):
        return
    code = function.__code__
    arguments = code.co_varnames[: code.co_argcount]
    for node in ast.walk(_parsed(function)):
        if isinstance(node, (ast.FunctionDef, ast.Lambda)) and tuple(a.arg for a in node.args.args) == arguments:
            body: list[ast.stmt] = [ast.Expr(node.body)] if isinstance(node, ast.Lambda) else node.body
            made = ast.FunctionDef(name=name, args=node.args, body=body, decorator_list=[], lineno=1)
            yield ast.fix_missing_locations(made)
            return


def _parsed(thing: Any) -> ast.AST:
    try:
        text = textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError):  # it was defined where there is no source
        return ast.Module([], [])
    start = text.find("lambda")
    # For a lambda Python returns whole lines, which may be only a part of a statement.
    for code in (text, *(text[start:end] for end in range(len(text), start, -1) if start >= 0)):
        try:
            return ast.parse(code)
        except SyntaxError:
            continue
    return ast.Module([], [])


def targets(method: ast.FunctionDef) -> Iterator[ast.expr]:
    """Yield the targets of all assignments in a method."""
    for node in ast.walk(method):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            yield node.target


def is_self(target: ast.expr, attribute: str) -> bool:
    """Whether an expression is ``self.<attribute>``."""
    return isinstance(target, ast.Attribute) and ast.unparse(target) == f"self.{attribute}"


def locals_of(method: ast.FunctionDef) -> set[str]:
    """The local names of a method."""
    stored = {n.id for n in ast.walk(method) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored | {argument.arg for argument in method.args.args}
