"""Why a callback does not resume: the usual mistakes, as its source shows them."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any

from ..._callbacks.capture import excluded_of, is_registered, keyed
from ..._format.classes import is_from
from .syntax import Source, is_self, locals_of, targets

_CHANGING = re.compile(r"add|append(left)?|clear|discard|extend|insert|pop(item|left)?|remove|setdefault|update")
_OF_MODEL = re.compile(r"(optimizer|layers\[.*\]|get_layer\(.*\))\.(?!learning_rate$)\w+$")
_BEGINS = ("on_train_begin", "on_epoch_begin", "set_model")


def likely_cause(callbacks: list[Any], found: str, *, twice: bool = False) -> str:
    """Find the likely cause of a difference, which begins with a callback's key and attribute if it has one.

    With ``twice`` two runs without an interruption differ. Returns ``"; <cause>"``, or ``""`` if none is found.
    """
    by_key = keyed(callbacks)
    key, _, rest = found.partition(".")
    attribute = re.match(r"\w*", rest)[0] if key in by_key else ""  # type: ignore[index]
    suspects = [by_key[key]] if attribute else list(by_key.values())
    for callback in suspects:
        source = Source(callback)
        for cause in _causes_twice if twice else _causes:
            if text := cause(source, callback, attribute):
                return f"; {text}"
    return ""


def cause_of_unpicklable(error: str) -> str:
    """Find the likely cause of an attribute that cannot be saved; as :func:`likely_cause`."""
    if re.search(r"generator|iterator|itertools\.|'(zip|map|filter|enumerate)'", error):
        return "; an iterator cannot be saved as plain data: save its position, and make a new one from there"
    if re.search(r"lock|socket|Thread|TextIOWrapper|Buffered\w+|FileIO|module", error):
        return "; it belongs to this process: exclude it, and make it in the constructor"
    return ""


# Each cause is a function that returns its text, or None if the source does not show it.


def _not_registered(source: Source, callback: Any, attribute: str) -> str | None:
    if is_registered(callback):
        return None
    reset = _reset(source, callback, attribute)
    return f"{source.name} is not registered, so nothing of it was saved: decorate it with @stateful" + (
        f" ({reset})" if reset else ""
    )


def _excluded(source: Source, callback: Any, attribute: str) -> str | None:
    for name in sorted(excluded_of(callback)):
        if methods := source.assigned(name):
            return (
                f"{source.name}.{name} is excluded from what is saved, but {methods[0]} changes it: remove it "
                f"from exclude=, or let nothing depend on it"
            )
    return None


def _reset(source: Source, callback: Any, attribute: str) -> str | None:
    begins = [method for method in source.assigned(attribute) if method in _BEGINS]
    return f"it is assigned in {begins[0]}, which resets it on every resume" if begins else None


def _deleted(source: Source, callback: Any, attribute: str) -> str | None:
    if attribute and (methods := source.deleted(attribute)):
        return (
            f"{source.name}.{methods[0]} deletes it, but the constructor sets it again, and a restored state does "
            f"not delete attributes: set it to None instead"
        )
    return None


def _in_model(source: Source, callback: Any, attribute: str) -> str | None:
    for method in source.methods:
        for target in targets(method):
            text = ast.unparse(target)
            if match := _OF_MODEL.search(text):
                where = "the optimizer" if match[0].startswith("optimizer") else "a layer"
                return (
                    f"{source.name}.{method.name} keeps state only in {where} ({text}), which no checkpoint "
                    f"saves: keep it in an attribute, and set it from there in on_train_begin. A number that "
                    f"Keras compiles into the train step (weight_decay, a dropout's rate) has to be a variable"
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
    """Yield the arguments of ``next``, and the objects that a call of one of their methods changes."""
    for node in ast.walk(method):
        match node:
            case ast.Call(func=ast.Name(id="next"), args=[drawn, *_]):
                yield drawn
            case ast.Call(func=ast.Attribute(value=ast.Name() as changed, attr=name)) if _CHANGING.fullmatch(name):
                yield changed


def _in_class(source: Source, callback: Any, attribute: str) -> str | None:
    for cls in type(callback).__mro__:
        if is_from(cls, "keras", "builtins"):
            break
        for name, value in vars(cls).items():
            if isinstance(value, (list, dict, set)) and not name.startswith("_") and name not in vars(callback):
                return (
                    f"{source.name}.{name} is a {type(value).__name__} of the class, which all its objects share "
                    f"and no checkpoint saves: make it in the constructor"
                )
    return None


def _elsewhere(source: Source, method: ast.FunctionDef, where: str) -> str:
    return (
        f"{source.name}.{method.name} keeps state in {where}, which is not saved, and which all runs in the "
        f"process share: keep it in an attribute"
    )


def _pattern(pattern: re.Pattern[str], words: str) -> Callable[[Source, Any, str], str | None]:
    """The cause that a method has this pattern; ``{}`` in the words is what was found."""

    def cause(source: Source, callback: Any, attribute: str) -> str | None:
        found = source.find(pattern)
        return None if found is None else f"{source.name}.{found[1]} {words.format(found[0])}"

    return cause


_clock = _pattern(
    re.compile(
        r"\b(time\.(time|monotonic|perf_counter|process_time)(_ns)?|datetime\.(now|today|utcnow)"
        r"|perf_counter|monotonic)\("
    ),
    "reads the clock ({}), which differs in every run: count steps, or leave what follows from the time out "
    "of what is compared and saved, with exclude=",
)


_random = _pattern(
    re.compile(
        r"\b(random|rng|uuid[14]|urandom|secrets|default_rng|RandomState|shuffle|randint|normal|uniform)\b"
    ),
    "draws random numbers ({}) from a generator that is not seeded, or is no attribute: self.rng = "
    "numpy.random.default_rng(seed) in the constructor is saved",
)


def _derived(source: Source, callback: Any, attribute: str) -> str | None:
    for name in sorted(excluded_of(callback)):
        for method in source.methods:
            if method.name not in ("__init__", *_BEGINS) and (read := _derives(method, name)):
                return (
                    f"{source.name}.{method.name} derives {name} from {read}, but {name} is excluded from what is "
                    f"saved: a resumed run has the constructor's value until then. Derive it where it is used, or "
                    f"in on_train_begin too"
                )
    return None


def _derives(method: ast.FunctionDef, name: str) -> str | None:
    for node in ast.walk(method):
        if isinstance(node, ast.Assign) and any(is_self(target, name) for target in node.targets):
            for read in ast.walk(node.value):
                if isinstance(read, ast.Attribute) and ast.unparse(read.value) == "self" and read.attr != name:
                    return f"self.{read.attr}"
    return None


#: The causes why two runs without an interruption differ, the surest first.
_causes_twice = (_clock, _in_module, _in_class, _random, _in_model)
#: The causes why a resumed run differs, the surest first.
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
