"""The code of a callback as the causes see it: its methods, and the functions that it was given."""

from __future__ import annotations

import ast
import functools
from typing import Any

import keras
import pytest

from callback_state.testing.proof.syntax import Source


class Base(keras.callbacks.Callback):
    def on_train_begin(this, logs: Any = None) -> None:
        this.first, (this.second, this.third) = 0, (1, 2)


class Sub(Base):
    def __init__(self, function: Any = None) -> None:
        super().__init__()
        self.step = 0
        self.function = function

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.step += 1
        other = self.other
        other.step = 3
        if epoch > 3:
            del self.first

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.count: int = next(iter([4]))


def decay(epoch: int, rate: float) -> float:
    return rate / (1 + epoch)


def scaled(factor: float, epoch: int, rate: float) -> float:
    return factor * rate


def test_methods_are_those_of_the_class_and_its_bases_down_to_keras() -> None:
    """By the names under which a user knows them."""
    names = [method.name for method in Source(Sub()).methods]
    assert names == ["__init__", "on_epoch_end", "on_epoch_begin", "on_train_begin"]


@pytest.mark.parametrize(
    ("attribute", "methods"),
    [("step", ["on_epoch_end"]), ("count", ["on_epoch_begin"]), ("first", ["on_train_begin"]), ("other", [])],
)
def test_who_assigns_an_attribute(attribute: str, methods: list[str]) -> None:
    """Of the object itself, whatever it is called there; the constructor aside."""
    assert Source(Sub()).assigned(attribute) == methods


@pytest.mark.parametrize(
    ("function", "body"),
    [
        (decay, "return rate / (1 + epoch)"),
        (functools.partial(scaled, 0.5), "return factor * rate"),
        (lambda epoch, rate: rate * 0.25, "rate * 0.25"),
        (keras.activations.relu, None),
        (len, None),
        (3, None),
    ],
    ids=["function", "partial", "lambda", "of Keras", "builtin", "number"],
)
def test_a_function_that_a_callback_was_given_is_read(function: Any, body: str | None) -> None:
    """Under the name of its attribute; Keras's own tell nothing."""
    found = [ast.unparse(m.body[-1]) for m in Source(Sub(function)).methods if m.name == "function"]
    assert found == ([] if body is None else [body])


def test_of_two_lambdas_in_a_line_the_one_with_the_arguments_is_read() -> None:
    """Python knows the line only."""
    one, two = (lambda epoch: epoch + 1), (lambda epoch, rate: rate + 2)
    for function, text in ((one, "epoch + 1"), (two, "rate + 2")):
        (method,) = (m for m in Source(Sub(function)).methods if m.name == "function")
        assert ast.unparse(method.body[0]) == text
