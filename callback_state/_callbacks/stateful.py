"""``@stateful``: which classes have a state, and under which name.

A class is found by its registered key or by its qualified name. A name from a file is only compared with the
names in this registry; it is never imported.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, overload

from .._format.classes import PLAIN, PlainMark, class_name, has_only_attributes, is_plain_class
from .._keras.classes import is_callback_class
from ..exceptions import NotRegisteredError, RestoreError
from .arguments import Recorder, Signature, guess_arguments, mark_of, record_arguments, set_mark

T = TypeVar("T")
Migrate = Callable[[dict[str, Any], int], dict[str, Any]]

_REGISTRATION = "_callback_state_registration"


@dataclass(frozen=True)
class Registration:
    """What ``@stateful`` was given for a class."""

    cls: type
    key: str | None = None
    exclude: frozenset[str] = frozenset()
    version: int = 1
    migrate: Migrate | None = None
    aliases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.key or class_name(self.cls)


_registry: dict[str, Registration] = {}
#: What ``@stateful`` puts on a class, by the names that stand for it in a by-value section.
PARTS: dict[str, Any] = {part.__name__: part for part in (PlainMark, Recorder, Registration, Signature)}


@overload
def stateful(
    cls: T,
    /,
    *,
    key: str | None = ...,
    exclude: Iterable[str] = ...,
    plain: Iterable[type] = ...,
    version: int = ...,
    migrate: Migrate | None = ...,
    aliases: Iterable[str] = ...,
) -> T: ...
@overload
def stateful(
    *,
    key: str | None = ...,
    exclude: Iterable[str] = ...,
    plain: Iterable[type] = ...,
    version: int = ...,
    migrate: Migrate | None = ...,
    aliases: Iterable[str] = ...,
) -> Callable[[T], T]: ...
def stateful(
    cls: Any = None,
    /,
    *,
    key: str | None = None,
    exclude: Iterable[str] = (),
    plain: Iterable[type] = (),
    version: int = 1,
    migrate: Migrate | None = None,
    aliases: Iterable[str] = (),
) -> Any:
    """Register a callback, so that its attributes are saved as state with every checkpoint.

    It decorates a callback class, with or without arguments. It also takes an instance of another package's
    class, and returns this instance. And it decorates a plain class whose objects callbacks hold. Keras's own
    callbacks do not need it.

    Every attribute that changes during training is saved. An attribute that is named like an argument of the
    constructor, and is still equal to it, is configuration and not saved as state.

    Args:
        cls: the class, or an instance of a callback.
        key: the name in checkpoints. The default is the name of the class, with ``_1`` for the second instance
            in a ``fit``. For an instance, it is the name of this instance.
        exclude: names of attributes that are not saved, such as sockets and threads.
        plain: classes of somebody else whose objects the callback holds. They become plain data, as if they had
            been decorated.
        version: the version of the state's form, from 1.
        migrate: ``migrate(state, from_version) -> state``. It is called with state of an older version.
        aliases: former names of the class, as ``"package.module.Class"`` or as former keys.

    Returns:
        The class or instance.

    Raises:
        TypeError: an option has a wrong type (for example, ``exclude`` is a string), or is not allowed for an
            instance or for a plain class.

    Example:
        >>> import keras
        >>> from callback_state import stateful
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
    names = _checked(exclude, version, aliases)
    if cls is None:
        return functools.partial(
            stateful, key=key, exclude=names, plain=plain, version=version, migrate=migrate, aliases=aliases
        )
    for held in plain:
        _register_plain(held)
    registration = Registration(cls, key, names, version, migrate, tuple(aliases))
    if not isinstance(cls, type):
        _register_instance(cls, registration)
    else:
        _register_class(cls, registration)
    return cls


def _checked(exclude: Any, version: Any, aliases: Any) -> frozenset[str]:
    for option, names in (("exclude", exclude), ("aliases", aliases)):
        if isinstance(names, (str, bytes)):
            raise TypeError(f"{option}={names!r}: expected a sequence of names; write {option}=({names!r},)")
    names = frozenset(exclude)
    if not all(isinstance(name, str) for name in (*names, *aliases)):
        raise TypeError(f"exclude={exclude!r}, aliases={aliases!r}: expected names, that is, strings")
    if type(version) is not int or version < 1:
        raise TypeError(f"version={version!r}: expected an integer from 1")
    return names


def _register_instance(callback: Any, asked: Registration) -> None:
    if not is_callback_class(type(callback)):
        raise TypeError(f"stateful({callback!r:.100}): expected a class, or an instance of a Keras callback")
    if (asked.version, asked.migrate, asked.aliases) != (1, None, ()):
        raise TypeError("version=, migrate= and aliases= belong to a class: give the class to stateful()")
    mark = mark_of(callback)
    exclude = mark.exclude | asked.exclude
    set_mark(callback, replace(mark, registered=True, key=asked.key or mark.key, exclude=exclude))
    guess_arguments(callback)


def _register_plain(cls: Any) -> None:
    if not isinstance(cls, type) or is_callback_class(cls):
        raise TypeError(f"plain= has {cls!r:.100}: expected classes whose objects callbacks hold")
    if not has_only_attributes(cls):
        raise TypeError(
            f"plain= has {class_name(cls)}: expected a class whose objects are their attributes, found one that "
            f"derives from a class of Keras or from one written in C. Leave the attribute out with exclude="
        )
    if not is_plain_class(cls):
        _register_class(cls, Registration(cls))


def _register_class(cls: type, registration: Registration) -> None:
    callback = is_callback_class(cls)
    if not callback and (registration.version, registration.migrate) != (1, None):
        raise TypeError(
            f"{cls.__qualname__} is not a callback: version= and migrate= are only for callbacks. The migrate "
            f"function of a callback can change the objects that it holds"
        )
    setattr(cls, _REGISTRATION, registration)
    if callback:
        record_arguments(cls)
    else:
        setattr(cls, PLAIN, PlainMark(registration.name, registration.exclude))
    _registry[class_name(cls)] = registration


def registration_of(cls: type) -> Registration | None:
    """The registration of a class, or of the nearest base that has one."""
    # It is kept on the class: if a notebook cell runs again, the registry has the new class only.
    found = (base.__dict__.get(_REGISTRATION) for base in cls.__mro__)
    return next((registration for registration in found if registration is not None), None)


def own_registration(cls: type) -> Registration | None:
    """The registration of this very class; not that of a base class."""
    registration = registration_of(cls)
    return registration if registration is not None and registration.cls is cls else None


def migrated(cls: type, state: dict[Any, Any], version: int, what: str) -> dict[Any, Any]:
    """The attributes that were saved in some version, in the present form; ``what`` names them in errors."""
    registration = registration_of(cls)
    if registration is None or version == registration.version:
        return state
    known = registration.version
    if version > known:
        raise RestoreError(
            f"{what} has version {version}, and the class here knows version {known} only. Use the newer code "
            f"that wrote it."
        )
    if registration.migrate is None:
        raise RestoreError(
            f"{what} has version {version}, and the class here has version {known} and no function that "
            f"converts it: @stateful(version={known}, migrate=function)."
        )
    try:
        return dict(registration.migrate(dict(state), version))
    except Exception as error:  # the user's function may raise anything
        raise RestoreError(
            f"{what} has version {version}, and its migrate function could not convert it to version {known}: "
            f"{type(error).__name__}: {error}"
        ) from error


def find_class(name: str, *, callbacks: bool) -> Registration:
    """The registered class that a file means by ``name``: a key, a full name, an alias, or a last name."""
    of_kind = [r for r in _registry.values() if is_callback_class(r.cls) is callbacks]
    for matches in (
        [r for r in of_kind if name in (r.key, class_name(r.cls))],
        [r for r in of_kind if name in r.aliases],
        [r for r in of_kind if f".{name}".endswith(f".{r.cls.__qualname__}")],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            found = ", ".join(class_name(r.cls) for r in matches)
            raise NotRegisteredError(
                f"the checkpoint names the class {name}, and several registered classes have this name: "
                f"{found}. Give them different keys with @stateful(key=...)."
            )
    live = " Or make the callback in your script and pass it: restore_callbacks(..., into=[...])."
    raise NotRegisteredError(
        f"the checkpoint needs the class {name}, which is not registered here. Import the module that "
        f"defines it, decorated with @stateful, before restoring; if the class is somebody else's, write "
        f"stateful({name.rpartition('.')[2]}) before; if it was renamed, decorate it with "
        f'@stateful(aliases=("{name}",)).{live if callbacks else ""}'
    )
