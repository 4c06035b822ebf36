"""Values, moments, names and lists of a checkpoint in a few words: a file may hold texts of any length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from ..._checkpoints.schema import Meta
from ..._units import beginning, size_of

#: The most characters of a name, and the most items of a list.
_NAME, _ITEMS = 120, 12
_CLOSED = {"tuple": "()", "set": "{}", "frozenset": "{}", "deque": "[]"}


def words(view: Any, limit: int = 200) -> str:
    """Write a value that :mod:`.view` has made JSON of in one line of at most ``limit`` characters."""
    text = ""
    for piece in _pieces(view):
        text += piece[: limit + 1]
        if len(text) > limit:
            return f"{text[: limit - 1]}…"
    return text


def _pieces(view: Any) -> Iterator[str]:
    if isinstance(view, str):
        yield repr(view)
    elif isinstance(view, list):
        yield from _enclosed("[]", map(_pieces, view))
    elif not isinstance(view, dict):
        yield str(view)
    elif "$type" not in view:
        yield from _enclosed("{}", (chain([f"{key!r}: "], _pieces(item)) for key, item in view.items()))
    else:
        yield from _typed(view, view["$type"])


def _typed(view: dict[str, Any], kind: str) -> Iterator[str]:
    match view:
        case {"$type": "dict", "items": items}:
            yield from _enclosed("{}", (chain(_pieces(key), [": "], _pieces(item)) for key, item in items))
        case {"$type": "OrderedDict" | "Counter" | "defaultdict", "items": items}:
            yield kind
            yield from _enclosed("{}", (chain(_pieces(key), [": "], _pieces(item)) for key, item in items))
        case {"$type": "tuple", "items": [only]}:
            yield from chain("(", _pieces(only), [",)"])
        case {"items": items}:
            yield kind * (kind in ("frozenset", "deque"))
            yield from _enclosed(_CLOSED.get(kind, "[]"), map(_pieces, items))
        case {"fields": fields}:
            yield str(view.get("class", kind))
            yield from _enclosed("()", (chain([f"{name}="], _pieces(item)) for name, item in fields.items()))
        case {"$type": "array"}:
            yield _array(view)
        case {"$type": "by value"}:
            yield f"<{view['what']}, by value>"
        case {"$type": "variable" | "tensor", "value": value}:
            yield f"{kind} "
            yield from _pieces(value)
        case {"$type": "variables"}:
            yield f"<{view['of']}> "
            yield from _enclosed("[]", map(_pieces, view["values"]))
        case {"$type": "scalar"}:
            yield f"{view['dtype']}({_plain(view['value'])})"
        case {"$type": "float" | "int" | "complex" | "range" | "slice" | "Ellipsis" | "NotImplemented"}:
            yield str(view.get("value", view.get("hex")))
        case {"value": value}:
            yield f"{kind}({_plain(value)})"
        case _:
            yield _described(view, kind)


def _described(view: dict[str, Any], kind: str) -> str:
    match view:
        case {"$type": "same"}:
            return f"<same as {view['as']}>"
        case {"$type": "deeper"}:
            return "…"
        case {"$type": "variable"}:
            return f"<variable {view['index']} of the {view['of']}>"
        case {"$type": "reference" | "unsaved"}:
            return f"<{view['to']}>"
        case {"size": size, "hex": digits}:
            return f"{kind}({size}: {digits})"
        case {"size": size, "sha256": digest}:
            return f"<{kind} of {size_of(size)}, sha256 {digest[:8]}>"
        case {"of": of, "sha256": digest}:
            return f"<{of}, state {digest[:8]}>"
        case {"sha256": digest}:
            return f"<{kind} {digest[:8]}>"
    return f"<{kind}>"


def _array(view: dict[str, Any]) -> str:
    shape = "x".join(map(str, view["shape"])) or "0-d"
    told = f"array {view['dtype']} {shape}"
    if view["min"] is None:
        told += f", sha256 {view['sha256'][:8]}"
    else:
        told += "".join(f", {name} {_number(view[name])}" for name in ("min", "max", "mean"))
    return f"<{told}{', NaN ' + str(view['nan']) if 'nan' in view else ''}>"


def _number(view: Any) -> str:
    number = view["value"] if isinstance(view, dict) else view
    return f"{number:.6g}" if isinstance(number, float) else str(number)


def _plain(view: Any) -> str:
    return repr(view) if isinstance(view, str) else str(view["value"]) if isinstance(view, dict) else str(view)


def _enclosed(brackets: str, parts: Iterable[Iterator[str]]) -> Iterator[str]:
    yield brackets[0]
    for i, part in enumerate(parts):
        if i:
            yield ", "
        yield from part
    yield brackets[1]


def resume_of(meta: Meta) -> str:
    """What a restart from a checkpoint does."""
    if meta.finished:
        more = "" if meta.goes_on_from is None else f"; with a larger epochs= it goes on from {meta.goes_on_from}"
        return f"trains nothing, as the run has finished{more}"
    return f"goes on with {beginning(meta.initial_epoch, meta.first_batch)}"


def value_of(value: float | None) -> str:
    """A monitored value with six digits; empty if there is none."""
    return "" if value is None else f"{value:.6g}"


def short(text: str, most: int = _NAME) -> str:
    """Cut a text to at most ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def some(items: Sequence[str], most: int = _ITEMS) -> str:
    """List the first items, each cut, and say how many more there are."""
    more = f", and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(short, items[:most])) + more
