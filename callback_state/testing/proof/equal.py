"""The state of a single callback: read, compared, and taken through a state file."""

from __future__ import annotations

from typing import Any

from ..._callbacks import capture
from ..._callbacks.capture import is_registered
from ..._callbacks.prepare import prepare_from
from ..._format.trust import Trust
from ..._resuming.rebuild import rebuild
from ...exceptions import CallbackStateError
from . import states
from .difference import difference


def state_of(callback: Any) -> dict[str, Any]:
    """The attributes of a callback that a checkpoint would save, without configuration and excluded attributes.

    The values are the objects of the callback, not copies.

    Args:
        callback: a ``keras.callbacks.Callback``.

    Raises:
        TypeError: a checkpoint would not save the callback: it is neither stock nor decorated with ``@stateful``.

    Example:
        >>> import keras
        >>> from callback_state.testing import state_of
        >>> state_of(keras.callbacks.EarlyStopping(patience=3))["wait"]
        0
    """
    if not _is_callback(callback):
        raise TypeError(f"{callback!r:.100}: expected a keras.callbacks.Callback")
    if not is_registered(callback):
        raise TypeError(
            f"{type(callback).__name__} is neither a stock Keras callback nor registered, so nothing of it is "
            f"saved: decorate its class with @stateful, or pass the instance to stateful()"
        )
    return capture.state_of(callback)


def roundtrip(callback: Any) -> Any:
    """Save a callback into a state file in memory, and make a new callback from the file.

    Args:
        callback: as for :func:`state_of`; it is not changed.

    Returns:
        A new callback with the constructor's arguments and the state of the given one.

    Raises:
        NotPicklableError: the callback cannot be saved.
        RestoreError: it cannot be made from a file alone.

    Example:
        >>> import keras
        >>> from callback_state.testing import roundtrip
        >>> early = keras.callbacks.EarlyStopping(patience=3)
        >>> early.wait = 2
        >>> again = roundtrip(early)
        >>> again is early, again.patience, again.wait
        (False, 3, 2)
    """
    state_of(callback)
    snapshot = states.read(states.sealed([callback]))
    keyed = rebuild(snapshot, trust=Trust(True), directory=".")
    states.put_into(snapshot, [*keyed.values()], trusted=True)
    return next(iter(keyed.values()))


def assert_picklable(callback: Any) -> None:
    """Fail unless the whole state of a callback can be saved and restored.

    Args:
        callback: as for :func:`state_of`.

    Raises:
        AssertionError: it cannot. The message names the attribute and the line that cures it.

    Example:
        >>> import keras
        >>> from callback_state.testing import assert_picklable
        >>> assert_picklable(keras.callbacks.EarlyStopping())
    """
    try:
        state_of(callback)
        prepare_from(states.read(states.sealed([callback])), {}, model=None, trust=Trust(True))
    except (CallbackStateError, TypeError) as error:
        raise AssertionError(f"{type(callback).__name__} cannot be saved: {error}") from error


def assert_state_equal(found: Any, expected: Any) -> None:
    """Fail unless two callbacks have the same state, or two values are the same.

    Args:
        found, expected: two callbacks, or two values of any kind: numbers, arrays, variables, also nested. NaN
            equals NaN; 0.0 is not -0.0, and 1 is not 1.0.

    Raises:
        AssertionError: there is a difference. The message names the path of the first one.

    Example:
        >>> import numpy as np
        >>> from callback_state.testing import assert_state_equal
        >>> assert_state_equal({"a": np.zeros(2)}, {"a": np.zeros(2)})
        >>> assert_state_equal({"a": np.array([0.0, 1.0])}, {"a": np.zeros(2)})
        Traceback (most recent call last):
            ...
        AssertionError: value['a'][1] is 1.0, expected 0.0
    """
    name = type(found).__name__ if _is_callback(found) else "value"
    if _is_callback(found) and type(found) is type(expected):
        found, expected = capture.state_of(found), capture.state_of(expected)
        for attribute in sorted(found.keys() | expected.keys()):
            text = difference(found.get(attribute), expected.get(attribute), f"{name}.{attribute}")
            if text is not None:
                raise AssertionError(text)
    elif (text := difference(found, expected, name)) is not None:
        raise AssertionError(text)


def _is_callback(value: Any) -> bool:
    import keras

    return isinstance(value, keras.callbacks.Callback)
