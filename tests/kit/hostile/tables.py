"""Tables that no encoder writes: values of which any part can be another node than it should be."""

from __future__ import annotations

from typing import Any

from callback_state._format.encode import Encoder
from callback_state._format.table import Table


class Ref:
    """The reference of a value, in a place where a node has one."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Raw:
    """A node, as it is; what is a :class:`Ref` in it, or in a list in it, becomes a reference."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts


class Late(Raw):
    """A node that is made once its own reference is known, so that it can contain itself."""

    def __init__(self) -> None:
        super().__init__()

    def __call__(self, *parts: Any) -> Late:
        self.parts = parts
        return self


class Liar(Encoder):
    """Writes what it is told."""

    def __init__(self) -> None:
        super().__init__(lambda encoder, value, path: encoder.raw(value))

    def raw(self, value: Raw) -> tuple[Any, ...]:
        return tuple(self._part(part) for part in value.parts)

    def _part(self, part: Any) -> Any:
        if isinstance(part, list):
            return [self._part(item) for item in part]
        return self.ref(part.value, "") if isinstance(part, Ref) else part

    def table(self, value: Any, path: Any = "") -> Table:
        """As an encoder's, with nothing checked."""
        root = self.ref(value, path)
        while self._todo:
            i, item, where = self._todo.popleft()
            self.nodes[i] = self._node(item, where)
        return Table(self.nodes, root)


def tower(kind: str, levels: int, bottom: Any = None, width: int = 2) -> Raw:
    """Immutable values in one another, each ``width`` times in the next: small in a file, huge when walked."""
    made = Raw(kind, [bottom])
    for _ in range(levels):
        made = Raw(kind, [Ref(made)] * width)
    return made


def chain(kind: str, levels: int, *more: Any) -> Raw:
    """Values in one another, one by one."""
    made = Raw(kind, *more, [])
    for i in range(levels):
        inner: list[Any] = [i, Ref(made)] if kind in ("defaultdict", "dict", "OrderedDict") else [Ref(made)]
        made = Raw(kind, *more, inner)
    return made
