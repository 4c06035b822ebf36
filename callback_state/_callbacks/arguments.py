"""What is remembered of a callback: its key, the attributes to leave out, and its constructor's arguments."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import types
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from .._format.blocks import Blocks
from .._format.classes import attributes, class_name, public
from .._format.decode import copy
from .._format.encode import Encoder
from .._format.table import MISSING, SCALARS, Node, PlainError, Table
from .._keras.backend import is_variable
from .._keras.classes import derives_from_keras, is_callback_class, numpy_name

#: A constructor argument above this many bytes is kept as its digest only.
LARGE_ARGUMENT = 64 * 1024
#: Classes of objects that are code, and have no state of their own.
CODE = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType, type, partial)
_MARK = "_callback_state_mark"
_never_again = itertools.count()


def is_code(value: Any) -> bool:
    """Whether a value is a function, a class or a module, and has no state of its own."""
    return isinstance(value, CODE) or numpy_name(value) is not None


@dataclass
class Argument:
    """One argument that a constructor was given: a copy, the digest of a large one, or a description."""

    kind: str  # "value", "digest" or "opaque"
    data: Any  # the copy, the hexadecimal digest, or a description
    given: Any = MISSING  # for "opaque" the object itself, to recognise it later

    def __post_init__(self) -> None:
        self._looked = _look(self.given) if self.kind == "opaque" else None

    def __getstate__(self) -> tuple[Any, ...]:
        return (self.kind, self.data) if self.given is MISSING else (self.kind, self.data, self.given)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def to_plain(self) -> tuple[str, Any]:
        """Its kind and data in a state file. A value is a table of its own, which is read without its classes."""
        if self.kind != "value" or type(self.data) in SCALARS:
            return (self.kind, self.data)
        table = Encoder(canonical=True).table(self.data)
        return (self.kind, (table.nodes, table.root))

    def equals(self, value: Any) -> bool:
        """Whether ``value`` is still what was given."""
        if self.kind == "opaque":
            return value is self.given and _look(value) == self._looked
        try:
            return _digest_of_value(value)[1] == self._digest
        except PlainError:
            return False

    @cached_property
    def _digest(self) -> str:
        """The digest of the canonical form: equal values have equal digests."""
        return self.data if self.kind == "digest" else _digest_of_value(self.data)[1]


@dataclass(frozen=True)
class Mark:
    """What is remembered of one instance. Copies of the instance may share it."""

    arguments: dict[str, Argument] = field(default_factory=dict)
    registered: bool = False
    key: str | None = None
    exclude: frozenset[str] = frozenset()
    #: The :class:`.made.Made` of the instance; None before it was looked at.
    made: Any = field(default=None, compare=False)


def mark_of(callback: Any) -> Mark:
    """The mark of an instance; an empty one if it has none."""
    return vars(callback).get(_MARK) or Mark()


def set_mark(callback: Any, mark: Mark) -> None:
    object.__setattr__(callback, _MARK, mark)


def argument_of(value: Any) -> Argument:
    """What is remembered of one argument."""
    try:
        size, digest = _digest_of_value(value)
        return Argument("digest", digest) if size > LARGE_ARGUMENT else Argument("value", copy(value))
    except PlainError:
        return Argument("opaque", describe(value), value)


def _digest_of_value(value: Any) -> tuple[int, str]:
    """Size in bytes and SHA-256 (hexadecimal) of a plain value, of which large arrays are not copied."""
    blocks = Blocks()
    table = Encoder(canonical=True, blocks=blocks).table(value)
    size, digest = digest_of(table, [block.digest for block in blocks.all])
    return size + blocks.size, digest


def digest_of(table: Table, more: Iterable[bytes] = ()) -> tuple[int, str]:
    """Size in bytes and SHA-256 (hexadecimal) of a table and what belongs to it."""
    size, digest = 0, hashlib.sha256()
    for part in itertools.chain.from_iterable((*table.nodes, (table.root,), more)):
        data = part if type(part) is bytes else repr(part).encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(data))
        digest.update(data)
        size += len(data)
    return size, digest.hexdigest()


def describe(value: Any) -> str:
    """A description of a value that is the same in every process."""
    if numpy_name(value) is not None:  # the classes of NumPy's functions have private names
        return f"function {numpy_name(value)}"
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        module = getattr(value, "__module__", None)  # a generator has none
        return f"{type(value).__name__} {name if module is None else f'{public(module)}.{name}'}"
    return f"an object of class {class_name(type(value))}"


def _look(value: Any) -> tuple[str, list[Any]]:
    """A digest of an object of any class, to find out later whether the object has changed.

    Plain parts count by value, others by identity and by their plain attributes. The list keeps these parts
    alive, so that no new object gets the identity of an old one.
    """
    parts: list[Any] = []

    def fallback(encoder: Encoder, item: Any, path: str) -> Node:
        parts.append(item)
        if is_variable(item) or is_callback_class(type(item)):
            return ("variable", next(_never_again))  # it holds state, so it is never equal to what was given
        if is_code(item) or derives_from_keras(type(item)):
            return ("part", id(item))
        plain = {k: v for k, v in attributes(item).items() if type(v) in SCALARS}
        return ("part", id(item), encoder.pairs(sorted(plain.items()), path, "."))

    try:
        return digest_of(Encoder(fallback, canonical=True).table(value))[1], parts
    except PlainError:  # nested too deep
        return describe(value), parts


def record_arguments(cls: Any) -> None:
    """Let every new instance remember its arguments as they are before the constructor can change them.

    This is done in ``__new__``, which runs once for each instance. A wrapped ``__init__`` would also see the
    arguments that a subclass computes for its parent. ``copy`` and ``pickle`` call ``__new__`` without arguments,
    and then replace the mark by that of the original.
    """
    own = cls.__dict__.get("__new__")
    cls.__new__ = staticmethod(Recorder(cls, None if own is None else own.__func__))
    if "__signature__" not in cls.__dict__:
        cls.__signature__ = Signature()


class Recorder:
    """The ``__new__`` of a class, which notes the arguments of each new instance, and then calls its own."""

    def __init__(self, cls: Any, own: Any) -> None:
        self._cls, self._own = cls, own

    def __call__(self, klass: Any, /, *args: Any, **kwargs: Any) -> Any:
        new = super(self._cls, klass).__new__ if self._own is None else self._own
        instance = new(klass) if new is object.__new__ else new(klass, *args, **kwargs)
        if isinstance(instance, klass):
            set_mark(instance, replace(mark_of(instance), arguments=_bind(klass, args, kwargs)))
        return instance


class Signature:
    """Makes ``inspect.signature(cls)`` give the signature of ``__init__``, not of ``__new__``."""

    def __get__(self, instance: Any, cls: Any) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("__signature__")
        signature = inspect.signature(cls.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


def guess_arguments(callback: Any) -> None:
    """For a class that is not decorated: take the attributes that are named like arguments as the arguments."""
    mark = mark_of(callback)
    if not mark.arguments:
        names = inspect.signature(type(callback).__init__).parameters
        found = {name: vars(callback)[name] for name in names if name in vars(callback)}
        arguments = {name: argument_of(value) for name, value in found.items()}
        set_mark(callback, replace(mark, arguments=arguments))


def _bind(cls: Any, args: Any, kwargs: Any) -> dict[str, Argument]:
    """The arguments by the names of their parameters, defaults included; ``*args`` is ``"*args"``.

    An argument of ``**kwargs`` has its own name, or ``"**name"`` if there is a parameter ``name`` too.
    """
    signature = inspect.signature(cls.__init__)
    try:
        bound = signature.bind(None, *args, **kwargs)
    except TypeError:
        return {}  # the constructor is called next, and raises the better error
    bound.apply_defaults()
    found: dict[str, Argument] = {}
    for name, value in list(bound.arguments.items())[1:]:
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            found |= {key if key not in found else f"**{key}": argument_of(v) for key, v in value.items()}
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            found[f"*{name}"] = argument_of(value)
        else:
            found[name] = argument_of(value)
    return found
