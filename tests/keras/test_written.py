"""The variables that a compiled function writes are found without running it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from callback_state._keras.written import written_by


def test_variables_that_a_function_changes_are_found() -> None:
    """In a condition and a loop too, and a generator that is drawn from; one that is only read is not."""
    names = ("read", "rows", "set", "then", "loop", "both")
    held = {name: tf.Variable([1.0, 2.0], name=name) for name in names}
    numbers = tf.random.Generator.from_seed(1)

    @tf.function
    def step(x: Any) -> Any:
        held["set"].assign_add(x * held["read"])
        if tf.reduce_sum(x) > 0:
            held["then"].assign(x)
            held["both"].assign(x)
        for _ in tf.range(2):
            held["loop"].assign_add(held["read"])
        return tf.gather(held["rows"], 1) + numbers.normal(())

    written = written_by(step.get_concrete_function(tf.constant([1.0, 2.0])))
    expected = [held["set"], held["then"], held["both"], held["loop"], numbers.state]
    assert {id(variable) for variable in written} == {id(variable) for variable in expected}
