"""Everything that a model holds: the variables and the optimizers that can be reached from it, each with its path.

A path is what one would write in Python, such as ``own[0].variables[1]`` or ``layers[2].seed_generator.state``.
It is the same in every process that builds the model in the same way, so a state file names a variable by it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from .._format.classes import attributes, is_from
from .backend import backend, is_module_class, is_variable_class
from .classes import derives_from
from .installed import KNOWN

#: Kinds of Keras's own objects that hold variables. Its other objects are not looked into.
_PARTS = ("layers.Layer", "optimizers.Optimizer", "metrics.Metric", "losses.Loss", "random.SeedGenerator")
#: Packages whose other objects hold no state of a model.
_LIBRARIES = frozenset({"keras", *KNOWN, "jaxlib", "numpy", *sys.stdlib_module_names})
#: Where Keras (3.7 to 3.15) lists what it has found in the other attributes of an object.
_TRACKED = frozenset({"_trainable_variables", "_non_trainable_variables", "_variables", "_tracked", "_metrics"})


class _Kind(Enum):
    """What a class means for the walk."""

    LEAF = auto()
    VARIABLE = auto()
    SEQUENCE = auto()
    SET = auto()
    MAPPING = auto()
    OBJECT = auto()
    OPTIMIZER = auto()


class _Class(NamedTuple):
    """What is known of a class: its kind, and whether to look at the attributes and variables of its objects."""

    kind: _Kind
    has_attributes: bool
    has_variables: bool = False
    is_layer: bool = False
    has_buffers: bool = False


_CONTAINERS: dict[Any, _Kind] = {
    Mapping: _Kind.MAPPING,
    (set, frozenset): _Kind.SET,
    (list, tuple): _Kind.SEQUENCE,
}
_classes: WeakKeyDictionary[type, _Class] = WeakKeyDictionary()
_LEAF = _Class(_Kind.LEAF, False)


class _Classes(dict[type, _Class]):
    """What is known of each class, for one walk: every save walks, and meets each class often."""

    def __missing__(self, cls: type) -> _Class:
        found = _classes.get(cls)
        if found is None:
            found = _classes[cls] = _look_at(cls)
        self[cls] = found
        return found


class Reach:
    """What can be reached from a model through attributes, containers and the objects in them.

    Callbacks are left out, because their state is saved with them.

    Attributes:
        variables: Keras's variables and the backend's own, by their paths. The order is the same in every process
            that builds the model in the same way.
        optimizers: the optimizers by their paths; not those inside another optimizer.
        layers: the layers by their paths, the model itself among them.
    """

    def __init__(self, model: Any) -> None:
        self.variables: dict[str, Any] = {}
        self.optimizers: dict[str, Any] = {}
        self.layers: dict[str, Any] = {}
        self._seen: dict[int, Any] = {}
        self._classes = _Classes()
        #: (path, object, whether it is inside an optimizer), the next one last.
        self._todo: list[tuple[str, Any, bool]] = [("", model, False)]
        #: What Keras has listed, which nearly always has a better path.
        self._listed: list[tuple[str, Any, bool]] = []
        while self._todo or self._listed:
            path, value, is_inside = (self._todo or self._listed).pop()
            if id(value) not in self._seen:
                self._seen[id(value)] = value
                self._visit(path, value, is_inside)

    @property
    def objects(self) -> list[Any]:
        """Everything that was looked into."""
        return [*self._seen.values()]

    def _visit(self, path: str, value: Any, is_inside: bool) -> None:
        cls = self._classes[value.__class__]  # TensorFlow wraps a tuple in what only says that it is one
        if cls.kind is _Kind.VARIABLE:
            self.variables[path] = value
            inner = getattr(value, "value", None)  # the variable of the backend, inside that of Keras
            self._seen[id(inner)] = inner
            return
        if cls.kind is _Kind.OPTIMIZER:
            if not is_inside:
                self.optimizers[path] = value
            is_inside = True
        if cls.is_layer:
            self.layers[path] = value
        first: list[tuple[str, Any, bool]] = []
        for step, part in _parts(value, cls, self._classes):
            if id(part) not in self._seen:
                parts = self._listed if step[1:] in _TRACKED else first
                parts.append((path + step if path else step.removeprefix("."), part, is_inside))
        self._todo += reversed(first)


def _parts(value: Any, cls: _Class, known: _Classes) -> Iterator[tuple[str, Any]]:
    """The parts of an object that are to be looked at, each with the step from the object to it."""
    if cls.kind is _Kind.MAPPING:
        keyed = ((key if isinstance(key, (str, int)) else f"key {i}", value[key]) for i, key in enumerate(value))
        yield from ((f"[{key!r}]", part) for key, part in keyed if known[part.__class__] is not _LEAF)
    elif cls.kind is _Kind.SEQUENCE:
        yield from ((f"[{i}]", part) for i, part in enumerate(value) if known[part.__class__] is not _LEAF)
    elif cls.kind is _Kind.SET:
        # The order of a set is another one in each process.
        ordered = sorted(value, key=_name)
        yield from ((f"{{{i}}}", part) for i, part in enumerate(ordered) if known[part.__class__] is not _LEAF)
    if cls.has_attributes:
        # Most attributes are numbers and texts: every save walks over all of them.
        named = {name: part for name, part in attributes(value).items() if known[part.__class__] is not _LEAF}
        yield from ((f".{name}", part) for name, part in named.items() if not name.startswith("_"))
        if "_layers" in named:
            yield ".layers", named["_layers"]
        if cls.has_buffers:
            yield from ((f".{name}", buffer) for name, buffer in backend().buffers(value).items())
        # By their public place: the attributes in which Keras keeps them get other names with a release.
        if cls.has_variables:
            yield from ((f".variables[{i}]", variable) for i, variable in enumerate(value.variables))
        # What begins with _self_ is the same again, for TensorFlow.
        rest = (name for name in named if name.startswith("_") and not name.startswith(("_layers", "_self_")))
        yield from ((f".{name}", named[name]) for name in rest)


def _name(value: Any) -> str:
    return f"{type(value).__qualname__} {getattr(value, 'name', '')}"


def _look_at(cls: type) -> _Class:
    if issubclass(cls, (str, bytes, type)) or derives_from(cls, "callbacks.Callback"):
        return _LEAF
    if is_variable_class(cls):
        return _Class(_Kind.VARIABLE, False)
    if derives_from(cls, "optimizers.Optimizer"):
        return _Class(_Kind.OPTIMIZER, True, True)
    if derives_from(cls, "layers.Layer"):
        has_variables, has_buffers = not derives_from(cls, "Model"), backend().has_buffers(cls)
        return _Class(_Kind.OBJECT, True, has_variables, is_layer=True, has_buffers=has_buffers)
    if any(derives_from(cls, part) for part in _PARTS) or is_module_class(cls):
        return _Class(_Kind.OBJECT, True, has_buffers=backend().has_buffers(cls))
    is_of_library = is_from(cls, "builtins", *_LIBRARIES)
    for base, kind in _CONTAINERS.items():
        if issubclass(cls, base):
            return _Class(kind, not is_of_library)
    return _LEAF if is_of_library else _Class(_Kind.OBJECT, True)
