"""What is known of a class that is not decorated: which attributes are its state, and what it does outside.

The table in :mod:`.stock` describes Keras's own classes. A user describes other classes with :func:`adapter`.
"Outside" is what lives longer than the process: a log file, a run on a server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from .._keras.classes import is_callback_class, stock_name
from .._keras.stock_callbacks import StockCallback
from .stateful import own_registration, stateful

T = TypeVar("T", bound=type)
Look = Callable[[Any], Any]
Act = Callable[[Any, Any], None]

_ADAPTER = "_callback_state_adapter"
_FUNCTIONS = ("outside", "began", "note", "wind_back", "pick_up")


@dataclass(frozen=True)
class Adapter(StockCallback):
    """What the attributes of a class mean, and what its callbacks do outside the process."""

    closed: bool = False  # only ``state`` is state; else so is every attribute that is not named here
    exclude: frozenset[str] = frozenset()  # attributes that are not state
    paths: frozenset[str] = frozenset()  # attributes that no file sets: the script's value holds
    #: ``outside(callback) -> plain data``: describes the outside at this moment.
    outside: Look | None = None
    #: ``began(callback, owner)``: notes whose files the callback has begun since it was called last.
    began: Act | None = None
    #: ``note(callback, owner)``: called at the restore, before a callback opens a file.
    note: Act | None = None
    #: ``wind_back(callback, taken)``: brings the outside back to the moment of ``taken``.
    wind_back: Act | None = None
    #: ``pick_up(callback, taken)``: does the same with what the callback has opened since.
    pick_up: Act | None = None
    #: ``accept(callback, state) -> state``: checks a stored state; ValueError if no run can have saved it.
    accept: Callable[[Any, dict[str, Any]], dict[str, Any]] | None = None

    def given(self, callback: Any) -> dict[str, Any]:
        """The arguments that the constructor was given, by the names of the parameters."""
        now = vars(callback)
        given = {name: now[name] for name in self.arguments if name in now}
        given |= {name: now[name] for name in self.by_hand if now.get(name) is not None}
        for name, attributes in self.kept_as.items():
            values = tuple(now[attribute] for attribute in attributes)
            given[name] = values if len(values) > 1 else values[0]
        if "min_delta" in given:  # changes its sign when the direction is decided
            given["min_delta"] = abs(given["min_delta"])
        return given

    def owns(self, attribute: str) -> bool:
        """Whether the adapter says what this attribute is."""
        names = (*self.arguments, *self.state, *self.other, *self.by_hand)
        return attribute in names or (self.direction and attribute in ("monitor_op", "mode"))

    def over(self, base: Adapter) -> Adapter:
        """This adapter, completed by what ``base`` says of the base class.

        The functions go together: an adapter that has one of them describes all that is outside.
        """
        functions = self if any(getattr(self, name) for name in _FUNCTIONS) else base
        return replace(
            base,
            state=(*base.state, *self.state),
            other=(*base.other, *self.other),
            closed=self.closed,
            exclude=base.exclude | self.exclude,
            paths=base.paths | self.paths,
            accept=self.accept or base.accept,
            **{name: getattr(functions, name) for name in _FUNCTIONS},
        )


def adapter(
    cls: T,
    *,
    state: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    paths: Iterable[str] = (),
    outside: Look | None = None,
    wind_back: Act | None = None,
    pick_up: Act | None = None,
) -> T:
    """Describe the state of another package's callback class, and how its effects outside are resumed.

    This also registers the class and its subclasses, as ``@stateful`` does. ``outside`` is called at every save,
    after all callbacks have handled the event. A resumed ``fit`` passes its result to the two other functions. If
    the result was None, they are not called.

    Args:
        cls: the class, derived from ``keras.callbacks.Callback``. Keras's own classes need no adapter.
        state: names of the attributes that are state. None: every attribute that changes.
        exclude: names of attributes that are not state.
        paths: names of attributes that say where the callback writes. They keep the script's values where a file
            is not trusted, also if they do not look like paths.
        outside: ``outside(callback) -> plain data``: describes the effects outside the process at this moment,
            such as the size of a file or the identifier of a run, as numbers, text, lists and dicts.
        wind_back: ``wind_back(callback, taken)``: removes from the file or the run what was written later. It is
            called after ``set_model``, before ``on_train_begin`` of any callback.
        pick_up: ``pick_up(callback, taken)``: brings what the callback itself has opened, such as a progress bar,
            to where it was. It is called after ``on_train_begin`` of all callbacks (inside an epoch, after
            ``on_epoch_begin`` too), when all state has been put back.

    Returns:
        The class.

    Raises:
        TypeError: ``cls`` is not a callback class, or is one of Keras's own; ``state``, ``exclude`` or ``paths``
            is not a sequence of names; or a function is not callable.

    Example:
        >>> import keras
        >>> from callback_state import adapter
        >>> class Bar(keras.callbacks.Callback):
        ...     shown = 0
        >>> adapter(
        ...     Bar, state=(), outside=lambda bar: bar.shown,
        ...     pick_up=lambda bar, taken: setattr(bar, "shown", taken),
        ... ).__name__
        'Bar'
    """
    _check_class(cls)
    names = None if state is None else _names("state", state)
    functions: dict[str, Any] = {"outside": outside, "wind_back": wind_back, "pick_up": pick_up}
    for option, function in functions.items():
        if function is not None and not callable(function):
            raise TypeError(f"{option}={function!r:.100}: expected a function; write {option}=my_{option}")
    said = Adapter(
        state=names or (),
        closed=names is not None,
        exclude=frozenset(_names("exclude", exclude)),
        paths=frozenset(_names("paths", paths)),
        **functions,
    )
    if own_registration(cls) is None:
        stateful(cls)
    give(cls, said)
    return cls


def give(cls: type, said: Adapter) -> None:
    """Give a class its adapter."""
    setattr(cls, _ADAPTER, said)


def _check_class(cls: Any) -> None:
    if not isinstance(cls, type):
        raise TypeError(f"adapter({cls!r:.100}): expected a class; write adapter({type(cls).__name__}, ...)")
    if not is_callback_class(cls):
        raise TypeError(
            f"adapter({cls.__qualname__}): expected a class derived from keras.callbacks.Callback; write "
            f"@stateful above a class whose objects callbacks hold"
        )
    if stock_name(cls) is not None:
        raise TypeError(
            f"adapter({cls.__qualname__}): Keras's own callbacks already have adapters; derive a class and write "
            f"adapter(Derived, ...)"
        )


def _names(option: str, names: Any) -> tuple[str, ...]:
    if isinstance(names, (str, bytes)):
        raise TypeError(f"{option}={names!r}: expected a sequence of names; write {option}=({names!r},)")
    names = tuple(names)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"{option}={names!r}: expected names, that is, strings")
    return names


def given_to(cls: type) -> Adapter | None:
    """The adapter of this class itself; not that of a base class."""
    said: Adapter | None = cls.__dict__.get(_ADAPTER)
    return said
