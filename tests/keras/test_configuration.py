"""How a model is built and compiled, as plain data: what a script may change between two starts."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from callback_state._keras.configuration import configuration_of, note, take_over


@keras.saving.register_keras_serializable("test_configuration")
class Scaled(keras.layers.Layer):
    """A layer with an array, a function and a text in its configuration."""

    def __init__(self, factor: Any, text: str = "") -> None:
        super().__init__()
        self.factor, self.text = factor, text

    def call(self, x: Any) -> Any:
        return x

    def get_config(self) -> dict[str, Any]:
        own = {"factor": self.factor, "text": self.text, "function": np.sum, "shape": (1, None, 2), "far": 1 << 70}
        return {**super().get_config(), **own}


class Silent(keras.layers.Layer):
    """A layer whose configuration cannot be had."""

    def call(self, x: Any) -> Any:
        return x

    def get_config(self) -> Any:
        raise NotImplementedError


def network(optimizer: Any = "sgd", loss: Any = "mse", **options: Any) -> Any:
    layers = [
        keras.Input((2,)),
        keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.5)),
        Scaled(np.arange(3), "long" * 99),
        Silent(),
    ]
    model = keras.Sequential(layers)
    model.compile(optimizer, loss, **options)
    return model


def test_arguments_are_scalars_by_part() -> None:
    """Objects of Keras are their class and arguments; what has no place in a message is a digest."""
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 7)
    adam = keras.optimizers.Adam(schedule, clipnorm=1.0)
    found = configuration_of(network(adam, [keras.losses.Huber(0.25)], loss_weights=[0.5]))
    optimizer, dense = found["optimizer Adam"], found["layers[1] Dense"]
    assert optimizer["learning_rate"] == "CosineDecay" and optimizer["learning_rate.decay_steps"] == 7
    assert optimizer["clipnorm"] == 1.0 and "clipvalue" not in optimizer
    assert optimizer["use_ema"] is False and "ema_momentum" not in optimizer
    assert dense["units"] == 1 and dense["activation"] == "linear" and dense["kernel_regularizer.l2"] == 0.5
    assert found["compile"]["loss_weights"] == "[0.5]" and found["compile"]["loss[0].delta"] == 0.25
    own = found["layers[2] Scaled"]
    assert str(own["factor"]).startswith("an array with") and str(own["text"]).startswith("a text with")
    assert own["function"] == "numpy.sum" and own["shape[2]"] == 2
    assert found["layers[3] Silent"] == {}
    values = [value for part in found.values() for value in part.values()]
    assert {*map(type, values)} <= {bool, int, float, str}


def test_names_and_beginnings_do_not_count() -> None:
    """Keras numbers the names in a process, and initializers matter only once."""
    first, second = configuration_of(network()), configuration_of(network())
    assert first == second
    assert not any("name" in path or "initializer" in path for part in first.values() for path in part)


def test_the_optimizer_inside_another_one_is_a_part() -> None:
    """So its arguments are compared too."""
    inner = keras.optimizers.SGD(0.25)
    found = configuration_of(network(keras.optimizers.LossScaleOptimizer(inner)))
    assert found["inner_optimizer SGD"]["learning_rate"] == 0.25


def test_what_the_script_has_given_is_noted_once_for_each_compile() -> None:
    """Later the rate is that of the training; another compile gives another one."""
    model = network(keras.optimizers.SGD(0.5))
    assert note(model)["optimizer SGD"]["learning_rate"] == 0.5
    model.optimizer.learning_rate = 0.25
    assert note(model)["optimizer SGD"]["learning_rate"] == 0.5
    take_over(model, {"optimizer SGD": {"learning_rate": 2.0}})
    assert note(model) == {"optimizer SGD": {"learning_rate": 2.0}}
    model.compile(keras.optimizers.SGD(0.125), "mse")
    assert note(model)["optimizer SGD"]["learning_rate"] == 0.125


@pytest.mark.parametrize("built", [False, True])
def test_a_model_that_is_not_built_is_looked_at_again(built: bool) -> None:
    """Its layers may not be there yet; without an optimizer there is just nothing to say of one."""
    model = keras.Sequential([keras.layers.Dense(1)])
    if built:
        model.build((None, 2))
    note(model)
    model.layers[0].use_bias = False
    (dense,) = (values for part, values in note(model).items() if part.endswith(" Dense"))
    assert dense["use_bias"] is built
    assert not any("optimizer" in part for part in note(model))
