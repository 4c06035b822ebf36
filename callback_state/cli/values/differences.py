"""Where two values differ; both are JSON as :mod:`.view` makes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..._format.table import MISSING

#: Kinds whose parts are compared one by one; any other kind is compared as a whole.
_OBJECTS = frozenset({"object", "record", "SimpleNamespace", "callback"})
_LISTS = frozenset({"tuple", "deque"})
_DICTS = frozenset({"dict", "OrderedDict", "Counter", "defaultdict"})


class Difference(NamedTuple):
    """A path, and the two values there; MISSING if a side has none."""

    path: str
    a: Any
    b: Any

    def as_json(self) -> dict[str, Any]:
        """As JSON; "a" or "b" is left out if that side has no value."""
        sides = {"a": self.a, "b": self.b}
        return {"path": self.path, **{name: v for name, v in sides.items() if v is not MISSING}}


def same(a: Any, b: Any) -> bool:
    """Whether two values have the same type and bits: 1 is not 1.0, -0.0 is not 0.0, NaN is NaN."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def differences(a: Any, b: Any, path: str = "") -> Iterator[Difference]:
    """Yield the innermost places in which two values differ, in the order of ``a``."""
    if MISSING not in (a, b) and same(a, b):
        return
    match _parts(a), _parts(b):
        case (kind_a, parts_a), (kind_b, parts_b) if kind_a == kind_b:
            for step in dict.fromkeys([*parts_a, *parts_b]):
                found = parts_a.get(step, MISSING), parts_b.get(step, MISSING)
                yield from differences(*found, f"{path}{step}" if path else step.lstrip("."))
        case _:
            yield Difference(path, a, b)


def _parts(view: Any) -> tuple[str, dict[str, Any]] | None:
    """The kind of a value and its parts, each by its step in the path; None if it is compared as a whole."""
    if isinstance(view, list):
        return "list", {f"[{i}]": item for i, item in enumerate(view)}
    if not isinstance(view, dict):
        return None
    kind = view.get("$type")
    if kind is None:
        return "", {f".{key}" if key.isidentifier() else f"[{key!r}]": item for key, item in view.items()}
    if kind in _OBJECTS:
        return f"{kind} {view.get('class')}", {f".{name}": item for name, item in view["fields"].items()}
    if kind in _LISTS:
        return kind, {f"[{i}]": item for i, item in enumerate(view["items"])}
    if kind in _DICTS:
        return kind, {f"[{json.dumps(key)}]": item for key, item in view["items"]}
    return None
