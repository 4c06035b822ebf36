"""No by-value entry names a private module, so files outlive every move of code."""

from __future__ import annotations

import sys
from typing import Any

import keras
import pytest
import tensorflow as tf

import callback_state
from callback_state import UntrustedError, stateful
from callback_state._callbacks.builders import Builders
from callback_state._callbacks.by_value import ByValue
from callback_state._format.opener import Opener, names_in
from callback_state._format.trust import Trust


def made(**options: Any) -> Any:
    """A class that only exists by value."""

    @stateful(**options)
    class Local(keras.callbacks.Callback):
        def __init__(self, x: int = 1) -> None:
            super().__init__()
            self.x = x

    return Local


@stateful
class Plain:
    """An object that a callback holds."""


Plain.__module__ = "__main__"  # so that it goes by value


def opened(value: Any, trust: Trust) -> Any:
    data = ByValue()._dumps(value)
    opener = Opener("file", [data], sys.version.split()[0], trust)
    return opener.open(0, Builders("file", None, opener, {})._persistent)


@pytest.mark.parametrize(
    "value",
    [
        made(),
        made(key="k", exclude=("x",), migrate=lambda state, version: state),
        Plain,
        Plain(),
        lambda: stateful,
    ],
    ids=["callback", "with-options", "plain-class", "plain-object", "function"],
)
def test_no_private_module_is_named(value: Any) -> None:
    """Neither of this package nor of Keras or TensorFlow."""
    data = ByValue()._dumps(value)
    for private in (b"callback_state._", b"keras.src", b"tensorflow.python"):
        assert private not in data


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (keras.activations.relu, "keras.activations.relu"),
        (keras.callbacks.EarlyStopping, "keras.callbacks.EarlyStopping"),
        (keras.Model, "keras.Model"),
        (tf.nn.softplus, "tensorflow.math.softplus"),
        (stateful, "callback_state.stateful"),
        (callback_state.ModelCheckpointEnhanced, "callback_state.ModelCheckpointEnhanced"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_has_a_public_name_is_named_by_it(value: Any, name: str) -> None:
    """It is shown by that name, trusted by that name, and found by that name."""
    assert names_in(ByValue()._dumps(value)) == (name,)
    assert opened(value, Trust(names=frozenset({name}))) is value
    with pytest.raises(UntrustedError, match=f"needs {name}, which is not among the trusted names"):
        opened(value, Trust(names=frozenset({"another.name"})))


def test_a_registered_class_comes_back_registered() -> None:
    """It notes its arguments, has its key, and its signature is that of its constructor."""
    again = opened(made(key="k"), Trust(everything=True))
    (callback,) = [again(5)]
    assert callback.x == 5
    assert callback_state._callbacks.stateful.registration_of(again).name == "k"
    assert callback_state._callbacks.arguments.mark_of(callback).arguments["x"].data == 5
