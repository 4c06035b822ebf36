"""``@stateful``: which callbacks have a state, under which name, and what their constructor was given.

A class is known by its registered key or by its qualified name, never by what a file says: a file's
name is only compared with the names in this registry.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from ._build import copy
from ._plain import PLAIN, Encoder, PlainError, class_name, same
from .exceptions import NotRegisteredError

__all__ = [
    "Argument", "Mark", "Registration", "argument_of", "describe", "find_class", "guess_arguments",
    "is_callback_class", "mark_of",
    "registration_of", "stateful",
]

T = TypeVar("T")
Migrate = Callable[[dict[str, Any], int], dict[str, Any]]

#: A constructor argument above this many bytes is kept as its digest only.
LARGE_ARGUMENT = 64 * 1024
_MARK = "_callback_state_mark"
_REGISTRATION = "_callback_state_registration"


@dataclass(frozen=True)
class Registration:
    """What ``@stateful`` was told about a class."""

    cls: type
    key: str | None = None
    exclude: frozenset[str] = frozenset()
    version: int = 1
    migrate: Migrate | None = None
    aliases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.key or class_name(self.cls)


@dataclass
class Argument:
    """One argument that a constructor was given: a copy, the digest of a large one, or a description.

    Attributes:
        kind: "value", "digest" or "opaque".
        data: the copy; the hexadecimal digest; what was given, in words.
        given: for "opaque" the object itself, to know it again.
    """

    kind: str
    data: Any
    given: Any = None

    def to_plain(self) -> tuple[str, Any]:
        return (self.kind, self.data)

    def equals(self, value: Any) -> bool:
        """Whether ``value`` is still what was given."""
        if self.kind == "opaque":
            return value is self.given and not hasattr(value, "assign")
        if self.kind == "digest":
            return argument_of(value).data == self.data
        return same(value, self.data)


@dataclass
class Mark:
    """What this package remembers of one instance."""

    arguments: dict[str, Argument] = field(default_factory=dict)
    registered: bool = False
    key: str | None = None
    exclude: frozenset[str] = frozenset()


_registry: dict[str, Registration] = {}


@overload
def stateful(
    cls: T, /, *, key: str | None = ..., exclude: Iterable[str] = ..., version: int = ...,
    migrate: Migrate | None = ..., aliases: Iterable[str] = ...,
) -> T: ...
@overload
def stateful(
    *, key: str | None = ..., exclude: Iterable[str] = ..., version: int = ...,
    migrate: Migrate | None = ..., aliases: Iterable[str] = ...,
) -> Callable[[T], T]: ...
def stateful(
    cls: Any = None, /, *, key: str | None = None, exclude: Iterable[str] = (), version: int = 1,
    migrate: Migrate | None = None, aliases: Iterable[str] = (),
) -> Any:
    """Say that the attributes of a callback are state, to be saved with every checkpoint.

    Decorates a callback class, with or without arguments, or takes an instance of somebody else's
    class and returns that instance. Also decorates a plain class whose objects callbacks hold. Stock
    Keras callbacks need none of this.

    Every attribute that changes while training runs is saved. One that is named like an argument of
    the constructor and still equals what the constructor was given is configuration, and is not.

    Args:
        cls: the class, or an instance of a callback.
        key: the name in checkpoints; by default the name of the class, with ``_1`` for the second
            instance of it in a ``fit``. On an instance: the name of that one.
        exclude: names of attributes that are not saved, such as sockets and threads.
        version: the number of the present form of the state, from 1.
        migrate: ``migrate(state, from_version) -> state``, called with state of an older version.
        aliases: former names of the class, as ``"package.module.Class"`` or as former keys.

    Returns:
        What was given, registered.

    Raises:
        TypeError: ``exclude`` is a string, or ``version`` is not a positive integer.

    Example:
        >>> import keras
        >>> @stateful
        ... class Counter(keras.callbacks.Callback):
        ...     def __init__(self, start=0):
        ...         super().__init__()
        ...         self.step = start
        ...     def on_train_batch_end(self, batch, logs=None):
        ...         self.step += 1
        >>> Counter(start=3).step
        3
    """
    _check_options(exclude, version)
    names = frozenset(exclude)
    if cls is None:
        return functools.partial(
            stateful, key=key, exclude=names, version=version, migrate=migrate, aliases=aliases
        )
    if not isinstance(cls, type):
        mark = mark_of(cls, create=True)
        mark.registered, mark.key, mark.exclude = True, key, names
        guess_arguments(cls)
        return cls
    registration = Registration(cls, key, names, version, migrate, tuple(aliases))
    _registry[class_name(cls)] = registration
    setattr(cls, _REGISTRATION, registration)
    if is_callback_class(cls):
        _record_arguments(cls)
    else:
        setattr(cls, PLAIN, True)
    return cls


def _check_options(exclude: Any, version: Any) -> None:
    if isinstance(exclude, str):
        raise TypeError(
            f'exclude={exclude!r}: expected a sequence of attribute names; write exclude=("{exclude}",)'
        )
    if type(version) is not int or version < 1:
        raise TypeError(f"version={version!r}: expected an integer from 1")


def is_callback_class(cls: type) -> bool:
    """Whether ``cls`` derives from Keras's Callback, told without importing Keras."""
    return any(
        base.__name__ == "Callback" and base.__module__.split(".")[0] == "keras"
        for base in cls.__mro__
    )


def registration_of(cls: type) -> Registration | None:
    """What ``@stateful`` said of this class or the nearest of its bases; the class itself is in it."""
    # Kept on the class too: a notebook cell run again replaces the entry of a class that still lives.
    found = (base.__dict__.get(_REGISTRATION) for base in cls.__mro__)
    return next((registration for registration in found if registration is not None), None)


def mark_of(callback: Any, *, create: bool = False) -> Mark:
    """What is remembered of an instance; an empty mark where there is nothing."""
    mark = vars(callback).get(_MARK)
    if mark is None:
        mark = Mark()
        if create:
            object.__setattr__(callback, _MARK, mark)
    return mark


def _record_arguments(cls: Any) -> None:
    """Let every new instance remember its arguments, from before its constructor can change them.

    In ``__new__``, which the class of the instance goes through once, whereas a wrapped ``__init__``
    would also see what a subclass computes for its parent. ``copy`` and ``pickle`` call ``__new__``
    without arguments and overwrite the mark afterwards with that of the original.
    """
    own = cls.__dict__.get("__new__")

    def __new__(klass: Any, *args: Any, **kwargs: Any) -> Any:
        new = own.__func__ if own is not None else super(cls, klass).__new__
        instance = new(klass) if new is object.__new__ else new(klass, *args, **kwargs)
        mark_of(instance, create=True).arguments = _bind(klass, args, kwargs)
        return instance

    __new__.__signature__ = inspect.signature(cls.__init__)  # type: ignore[attr-defined]
    cls.__new__ = staticmethod(__new__)


def guess_arguments(callback: Any) -> None:
    """For a class that nobody decorated: take the attributes that are named like arguments for them."""
    mark = mark_of(callback, create=True)
    if not mark.arguments:
        names = inspect.signature(type(callback).__init__).parameters
        found = {name: vars(callback)[name] for name in names if name in vars(callback)}
        mark.arguments = {name: argument_of(value) for name, value in found.items()}


def _bind(cls: Any, args: Any, kwargs: Any) -> dict[str, Argument]:
    """Arguments by the name of their parameter, defaults included; ``*args`` is ``"*args"``."""
    signature = inspect.signature(cls.__init__)
    try:
        bound = signature.bind(None, *args, **kwargs)
    except TypeError:
        return {}  # the constructor is about to say it better
    bound.apply_defaults()
    found: dict[str, Argument] = {}
    for name, value in list(bound.arguments.items())[1:]:
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            found.update({key: argument_of(item) for key, item in value.items()})
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            found[f"*{name}"] = argument_of(value)
        else:
            found[name] = argument_of(value)
    return found


def argument_of(value: Any) -> Argument:
    """What is remembered of one argument."""
    try:
        table = Encoder(canonical=True).table(value)
    except PlainError:
        return Argument("opaque", describe(value), value)
    tree = repr(table.to_tree()).encode("utf-8", "surrogatepass")
    if len(tree) > LARGE_ARGUMENT:
        return Argument("digest", hashlib.sha256(tree).hexdigest())
    return Argument("value", copy(value))


def describe(value: Any) -> str:
    """What a value is, in words that are the same in another process."""
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return f"{type(value).__name__} {getattr(value, '__module__', None)}.{name}"
    return f"an object of class {class_name(type(value))}"


def find_class(name: str, *, callbacks: bool) -> Registration:
    """The registered class that a file means by ``name``: its key, full name, alias, or last name.

    Raises:
        NotRegisteredError: there is none, or several share the name.
    """
    of_kind = [r for r in _registry.values() if is_callback_class(r.cls) is callbacks]
    for matches in (
        [r for r in of_kind if name in (r.key, class_name(r.cls))],
        [r for r in of_kind if name in r.aliases],
        [r for r in of_kind if r.cls.__qualname__ == _last(name, r.cls)],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            found = ", ".join(class_name(r.cls) for r in matches)
            raise NotRegisteredError(
                f"the checkpoint names the class {name}, and several registered classes are called so: "
                f"{found}. Tell them apart with @stateful(key=...)."
            )
    raise NotRegisteredError(
        f"the checkpoint needs the class {name}, which is not registered here. Import the module that "
        f"defines it, decorated with @stateful, before restoring; if it was renamed, decorate it with "
        f'@stateful(aliases=("{name}",)).'
    )


def _last(name: str, cls: type) -> str:
    """The part of a stored name that would be the qualified name of ``cls`` without its module."""
    return ".".join(name.split(".")[-len(cls.__qualname__.split(".")) :])
