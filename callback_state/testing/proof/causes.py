"""Why a callback does not resume: the usual mistakes, recognised in its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from ..._callbacks.capture import excluded_of, is_registered, names
from ..._format.classes import is_from
from .syntax import Source, is_self, locals_of, targets

__all__ = ["cause_of_unpicklable", "likely_cause"]

_CLOCK = re.compile(
    r"\b(time\.(time|monotonic|perf_counter|process_time)(_ns)?|datetime\.(now|today|utcnow)"
    r"|perf_counter|monotonic)\("
)
_RANDOM = re.compile(
    r"\b(random|rng|uuid[14]|urandom|secrets|default_rng|RandomState|shuffle|randint|normal|uniform)\b"
)
_CHANGING = {
    "add",
    "append",
    "appendleft",
    "clear",
    "discard",
    "extend",
    "insert",
    "pop",
    "popitem",
    "popleft",
    "remove",
    "setdefault",
    "update",
}
_OF_MODEL = re.compile(r"(optimizer|layers\[.*\]|get_layer\(.*\))\.(?!learning_rate$)\w+$")
_BEGINS = ("on_train_begin", "on_epoch_begin", "set_model")


def likely_cause(callbacks: list[Any], found: str, *, twice: bool = False) -> str:
    """``"; <cause>"`` for a difference that was found, ``""`` where none is recognised.

    Args:
        callbacks: of the run, made anew.
        found: the difference, which begins with the callback's key and the attribute where it is one.
        twice: whether it is one between two runs without an interruption.
    """
    keyed = names(callbacks)
    key, _, rest = found.partition(".")
    attribute = re.match(r"\w*", rest)[0] if key in keyed else ""  # type: ignore[index]
    suspects = [keyed[key]] if attribute else list(keyed.values())
    for callback in suspects:
        source = Source(callback)
        for cause in _causes_twice if twice else _causes:
            if text := cause(source, callback, attribute):
                return f"; {text}"
    return ""


def cause_of_unpicklable(error: str) -> str:
    """The same for an attribute that cannot be saved at all."""
    if re.search(r"generator|iterator|itertools\.|'(zip|map|filter|enumerate)'", error):
        return "; an iterator cannot be saved as plain data: keep how far it is, and make it anew from there"
    if re.search(r"lock|socket|Thread|TextIOWrapper|Buffered\w+|FileIO|module", error):
        return "; it is a handle of this process: exclude it, and make it in the constructor"
    return ""


# The causes, the surest first.


def _not_registered(source: Source, callback: Any, attribute: str) -> str | None:
    if is_registered(callback):
        return None
    reset = _reset_words(source, attribute)
    return f"{source.name} is not registered, so nothing of it was saved: decorate it with @stateful" + (
        f" ({reset})" if reset else ""
    )


def _excluded(source: Source, callback: Any, attribute: str) -> str | None:
    for name in sorted(excluded_of(callback)):
        if methods := source.assigned(name):
            return (
                f"{source.name}.{name} is excluded from what is saved, and {methods[0]} changes it: take it "
                f"out of exclude=, or let nothing depend on it"
            )
    return None


def _reset(source: Source, callback: Any, attribute: str) -> str | None:
    return _reset_words(source, attribute) if attribute else None


def _reset_words(source: Source, attribute: str) -> str | None:
    begins = [method for method in source.assigned(attribute) if method in _BEGINS]
    return f"it is assigned in {begins[0]}: that resets it on every resume" if begins else None


def _deleted(source: Source, callback: Any, attribute: str) -> str | None:
    if attribute and (methods := source.deleted(attribute)):
        return (
            f"{source.name}.{methods[0]} deletes it, and the constructor makes it again, which no state undoes: "
            f"set it to None instead"
        )
    return None


def _in_model(source: Source, callback: Any, attribute: str) -> str | None:
    for method in source.methods:
        for target in targets(method):
            text = ast.unparse(target)
            if match := _OF_MODEL.search(text):
                where = "the optimizer" if match[0].startswith("optimizer") else "a layer"
                return (
                    f"{source.name}.{method.name} keeps state in {where} only ({text}), which no checkpoint "
                    f"holds: keep it in an attribute, and set it from there in on_train_begin; what Keras "
                    f"compiles into the train step (weight_decay, a dropout's rate) has to be a variable"
                )
    return None


def _in_module(source: Source, callback: Any, attribute: str) -> str | None:
    for method in source.methods:
        for node in ast.walk(method):
            if isinstance(node, (ast.Global, ast.Nonlocal)):
                kind = "module" if isinstance(node, ast.Global) else "closure"
                return _elsewhere(source, method, f"a {kind} ({', '.join(node.names)})")
        own = {"self", *locals_of(method)}
        for place in (*targets(method), *_changed_by_calls(method)):
            text = ast.unparse(place)
            if text.startswith(("type(self).", "self.__class__.", f"{source.name}.", "cls.")):
                return _elsewhere(source, method, f"its class ({text})")
            if re.match(r"\w*", text)[0] not in own:  # type: ignore[index]
                return _elsewhere(source, method, f"a module or closure ({text})")
    return None


def _changed_by_calls(method: ast.FunctionDef) -> Iterator[ast.expr]:
    """What ``next`` draws from, and what a call of one of its methods changes."""
    for node in ast.walk(method):
        match node:
            case ast.Call(func=ast.Name(id="next"), args=[drawn, *_]):
                yield drawn
            case ast.Call(func=ast.Attribute(value=ast.Name() as changed, attr=name)) if name in _CHANGING:
                yield changed


def _in_class(source: Source, callback: Any, attribute: str) -> str | None:
    for cls in type(callback).__mro__:
        if is_from(cls, "keras", "builtins"):
            break
        for name, value in vars(cls).items():
            if isinstance(value, (list, dict, set)) and not name.startswith("_") and name not in vars(callback):
                return (
                    f"{source.name}.{name} is one {type(value).__name__} of the class, which all its objects "
                    f"share and no checkpoint holds: make it in the constructor"
                )
    return None


def _elsewhere(source: Source, method: ast.FunctionDef, where: str) -> str:
    return (
        f"{source.name}.{method.name} keeps state in {where}, which is not saved, and which other runs of the "
        f"process share: keep it in an attribute"
    )


def _clock(source: Source, callback: Any, attribute: str) -> str | None:
    if found := source.find(_CLOCK):
        return (
            f"{source.name}.{found[1]} reads the clock ({found[0]}), which is another at every run: count steps, "
            f"or leave what follows from it out of what is compared and saved, with exclude="
        )
    return None


def _random(source: Source, callback: Any, attribute: str) -> str | None:
    if found := source.find(_RANDOM):
        return (
            f"{source.name}.{found[1]} draws random numbers ({found[0]}) from a generator that is not seeded, "
            f"or is no attribute: self.rng = numpy.random.default_rng(seed) in the constructor is saved"
        )
    return None


def _derived(source: Source, callback: Any, attribute: str) -> str | None:
    for name in sorted(excluded_of(callback)):
        for method in source.methods:
            if method.name not in ("__init__", *_BEGINS) and (read := _derives(method, name)):
                return (
                    f"{source.name}.{method.name} derives {name} from {read}, and it is excluded from what is "
                    f"saved: until then it is what the constructor made of it. Derive it where it is used, or in "
                    f"on_train_begin too"
                )
    return None


def _derives(method: ast.FunctionDef, name: str) -> str | None:
    for node in ast.walk(method):
        if isinstance(node, ast.Assign) and any(is_self(target, name) for target in node.targets):
            for read in ast.walk(node.value):
                if isinstance(read, ast.Attribute) and ast.unparse(read.value) == "self" and read.attr != name:
                    return f"self.{read.attr}"
    return None


_causes_twice = (_clock, _in_module, _in_class, _random, _in_model)
_causes = (
    _not_registered,
    _deleted,
    _reset,
    _in_model,
    _derived,
    _excluded,
    _in_module,
    _in_class,
    _clock,
    _random,
)
