"""What is known of a class that is not decorated: which attributes are state, what it does outside.

Keras's own classes are described by the table in :mod:`.stock`, others by whoever uses them, with
:func:`adapter`. Outside is what lives longer than the process: a log file, a run on a server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from .._keras.classes import is_callback_class, stock_name
from .stateful import registration_of, stateful

__all__ = ["Adapter", "adapter", "give", "given_to"]

T = TypeVar("T", bound=type)
Look = Callable[[Any], Any]
Act = Callable[[Any, Any], None]

_ADAPTER = "_callback_state_adapter"
_FUNCTIONS = ("outside", "note", "wind_back", "pick_up")


@dataclass(frozen=True)
class Adapter:
    """Which attributes of a class mean what, and what its callbacks do outside the process.

    Attributes:
        arguments: the constructor's parameters that are kept in attributes of the same name.
        state: attributes that change while training runs.
        other: attributes that follow from the rest, or are handles that the callback opens itself.
        by_hand: parameters that reach outside the process or are code; never taken from a file.
        direction: whether the callback decides lazily if smaller or larger is better.
        kept_as: for parameters of another name than the attributes that keep them, these attributes.
        closed: whether what is not in ``state`` is no state; otherwise every attribute not named here is.
        exclude: attributes that are no state.
        outside: ``outside(callback) -> plain data``: what is outside at this moment.
        note: ``note(callback, taken)``: called at the restore, before anybody opens a file.
        wind_back: ``wind_back(callback, taken)``: bring the outside back to when it was taken.
        pick_up: ``pick_up(callback, taken)``: bring what the callback has opened itself there too.
        accept: ``accept(callback, state) -> state``: look at a stored state before it is put back; raises
            ValueError if no run has saved it.
    """

    arguments: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()
    direction: bool = False
    kept_as: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    closed: bool = False
    exclude: frozenset[str] = frozenset()
    outside: Look | None = None
    note: Act | None = None
    wind_back: Act | None = None
    pick_up: Act | None = None
    accept: Callable[[Any, dict[str, Any]], dict[str, Any]] | None = None

    def given(self, callback: Any) -> dict[str, Any]:
        """What the constructor was given, by the name of the parameter; not what it was not given."""
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
        """What this says of a class, and where it says nothing, what ``base`` says of its base.

        The functions go together: who gives one of them speaks for all that is outside.
        """
        functions = self if any(getattr(self, name) for name in _FUNCTIONS) else base
        return replace(
            base,
            state=(*base.state, *self.state),
            closed=self.closed,
            exclude=base.exclude | self.exclude,
            accept=self.accept or base.accept,
            **{name: getattr(functions, name) for name in _FUNCTIONS},
        )


def adapter(
    cls: T,
    *,
    state: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    outside: Look | None = None,
    wind_back: Act | None = None,
    pick_up: Act | None = None,
) -> T:
    """Say of somebody else's callback class what its state is, and how its effects outside are resumed.

    The class is registered with it, as with ``@stateful``; so are its subclasses. ``outside`` is asked at
    every save, when all callbacks have heard the event. In the ``fit`` that goes on, what it said is handed
    to the two others. Where it said None, neither is called.

    Args:
        cls: the class, derived from ``keras.callbacks.Callback``; Keras's own need no adapter.
        state: names of the attributes that are its state; None: every one that changes.
        exclude: names of attributes that are not.
        outside: ``outside(callback) -> plain data``: what its effects outside the process are now, such as
            the size of a file or the identifier of a run. Numbers, text, lists and dicts.
        wind_back: ``wind_back(callback, taken)``: called before anybody hears ``on_train_begin``, and after
            ``set_model``: takes out of the file or the run what was written since.
        pick_up: ``pick_up(callback, taken)``: called when everybody has heard ``on_train_begin``, within
            an epoch ``on_epoch_begin`` too, and all state is back: brings what the callback has opened
            itself, such as a progress bar, to where it was.

    Returns:
        The class.

    Raises:
        TypeError: ``cls`` is no callback class or one of Keras's own, ``state`` or ``exclude`` are no
            sequences of names, or what is to be called is no function.

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
    functions = {"outside": outside, "wind_back": wind_back, "pick_up": pick_up}
    for option, function in functions.items():
        if function is not None and not callable(function):
            raise TypeError(f"{option}={function!r:.100}: expected a function; write {option}=my_{option}")
    said = Adapter(
        state=names or (),
        closed=names is not None,
        exclude=frozenset(_names("exclude", exclude)),
        outside=outside,
        wind_back=wind_back,
        pick_up=pick_up,
    )
    registration = registration_of(cls)
    if registration is None or registration.cls is not cls:
        stateful(cls)
    give(cls, said)
    return cls


def give(cls: type, said: Adapter) -> None:
    """Let this be what is known of a class."""
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
            f"adapter({cls.__qualname__}): Keras's own callbacks have their adapters; derive a class from it "
            f"and write adapter(Derived, ...)"
        )


def _names(option: str, names: Any) -> tuple[str, ...]:
    if isinstance(names, (str, bytes)):
        raise TypeError(f"{option}={names!r}: expected a sequence of names; write {option}=({names!r},)")
    names = tuple(names)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"{option}={names!r}: expected names, that is, strings")
    return names


def given_to(cls: type) -> Adapter | None:
    """What :func:`adapter` was told about this very class; not about a base."""
    said: Adapter | None = cls.__dict__.get(_ADAPTER)
    return said
