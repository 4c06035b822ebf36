"""What a model file does not hold of a model is found, wherever it is, and comes back exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from harness import X, Y
from keras_models import dropouts
from reused import forget

from callback_state._format.decode import copy
from callback_state._keras.extra import build_optimizers, extra_of, put_back_extra, take_extra
from callback_state._keras.reach import Reach


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Every test starts with the same generators."""
    forget()
    yield
    forget()


# Seeds.


def images() -> Any:
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomTranslation(0.2, 0.2),
            keras.layers.SpatialDropout2D(0.5),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )


def nested() -> Any:
    inputs = keras.Input((6,))
    inner = keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(3)])
    outputs = keras.layers.Dense(1)(keras.layers.AlphaDropout(0.2)(inner(inputs)))
    return keras.Model(inputs, outputs)


@keras.saving.register_keras_serializable("test_runstate")
class Subclassed(keras.Model):
    """Holds a SeedGenerator of its own, and one in a layer that a list holds."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = keras.random.SeedGenerator(4)
        self.parts = [keras.layers.Dropout(0.4), keras.layers.Dense(1)]

    def call(self, x: Any, training: Any = None) -> Any:
        if training:
            x = x + keras.random.normal(keras.ops.shape(x), seed=self.noise)
        for part in self.parts:
            x = part(x, training=training) if isinstance(part, keras.layers.Dropout) else part(x)
        return x


def subclassed() -> Any:
    model = Subclassed()
    model(X[:2])
    return model


MODELS = {"dropouts": dropouts, "images": images, "nested": nested, "subclassed": subclassed}


def outputs(model: Any) -> list[bytes]:
    """What the model gives in training: another thing each time, as its seeds go on."""
    x = X[:4] if model.input_shape[-1] == 6 else np.ones((4, 4, 4, 1), "float32")
    return [model(x, training=True).numpy().tobytes() for _ in range(2)]


@pytest.mark.parametrize("name", MODELS)
def test_seeds_put_back_give_the_same_masks(name: str) -> None:
    """Dropout, noise and augmentation, nested or held in a list, go on where they stood."""
    model = MODELS[name]()
    if name == "subclassed":
        model.input_shape = (None, 6)
    outputs(model)
    taken = copy(take_extra(model, "m.keras"))
    first = outputs(model)
    assert first[0] != first[1]
    assert outputs(model) != first
    put_back_extra(model, taken, "m.keras")
    assert outputs(model) == first


def extra(model: Any, path: str = "m.keras") -> dict[str, Any]:
    return {name: v.numpy().tolist() for name, v in extra_of(model, Reach(model), path).items()}


@pytest.mark.parametrize("name", MODELS)
def test_paths_are_those_of_the_same_model_made_again(name: str) -> None:
    """They have no names of layers, which Keras counts by process."""
    model, other = MODELS[name](), MODELS[name]()
    for variable in extra_of(model, Reach(model), "m.keras").values():
        variable.assign(variable + 5)
    put_back_extra(other, copy(take_extra(model, "m.keras")), "m.keras")
    assert extra(other) == extra(model)
    assert len(extra(model)) >= 2


# Everything else.


class Other:
    """A class of the user."""

    def __init__(self) -> None:
        self.total = tf.Variable(1.0)


class Module(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable([1.0, 2.0])


class Teacher(keras.Model):
    """Holds variables in every way that there is."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.raw = tf.Variable(0, dtype="int64", trainable=False)
        self.own = [keras.optimizers.Adam(0.05), keras.optimizers.SGD(0.1, momentum=0.9)]
        self.pair = (Other(), Module())
        self.by_name = {"a": tf.Variable(3.0), "b": keras.Variable(4.0, trainable=False)}
        self.state = keras.Variable(np.ones(3, "float16"), trainable=False, dtype="float16")

    def call(self, x: Any) -> Any:
        return self.dense(x)


def teacher() -> Any:
    model = Teacher()
    model(X[:2])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def test_everything_that_can_be_reached_has_a_path() -> None:
    """Attributes, lists, tuples, dicts, modules, and objects of the user's own classes; each variable once."""
    model = teacher()
    model.fit(X[:8], Y[:8], verbose=0)
    model.own[0].build(model.trainable_variables)
    reach = Reach(model)
    found = reach.variables
    assert {"raw", "pair[0].total", "pair[1].weight", "by_name['a']", "by_name['b']", "state"} <= found.keys()
    assert {"dense.variables[0]", "dense.bias", "own[0].variables[2]", "optimizer.variables[0]"} <= found.keys()
    assert [*reach.optimizers] == ["own[0]", "own[1]", "optimizer"]
    assert len({*map(id, found.values())}) == len(found)
    known = {id(v) for v in (*model.variables, *(v for o in model.own for v in o.variables))}
    assert known <= {*map(id, found.values())}


@pytest.mark.parametrize("ending", [".keras", ".weights.h5", ".h5"])
def test_what_keras_loads_is_not_extra(tmp_path: Any, ending: str) -> None:
    """A model made again, its file loaded and its extra variables put back, has the bytes of the saved one."""
    model, other = teacher(), teacher()
    model.fit(X[:8], Y[:8], verbose=0)
    for m in (model, other):
        m.own[0].build(m.trainable_variables)
        m.own[1].build(m.trainable_variables)
    other.optimizer.build(other.trainable_variables)
    for i, variable in enumerate(Reach(model).variables.values()):
        variable.assign(variable + tf.cast(i, variable.dtype))
    path = str(tmp_path / f"m{ending}")
    taken = copy(take_extra(model, path))
    names = {name for names in taken["paths"] for name in names}
    assert "raw" in names and not names & {"dense.variables[0]", "dense.bias"}
    assert ("own[0].variables[2]" in names) is (ending == ".h5")  # the older format holds one optimizer
    assert not [name for name in names if name.startswith("optimizer.")]
    if ending != ".h5":
        (model.save if ending == ".keras" else model.save_weights)(path)
        other.load_weights(path)
        put_back_extra(other, taken, path)
        counted = {id(v) for m in (model, other) for v in m.metrics_variables}
        saved, found = (
            {name: v.numpy().tobytes() for name, v in Reach(m).variables.items() if id(v) not in counted}
            for m in (model, other)
        )
        assert {name: found[name] for name in saved} == saved


class Rounding(keras.layers.Dense):
    def save_own_variables(self, store: Any) -> None:
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy().astype("float16").astype("float32")


class Loading(keras.layers.Dense):
    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(store)


class Saving(keras.Sequential):
    def save(self, *args: Any, **kwargs: Any) -> None:
        super().save(*args, **kwargs)


@pytest.mark.parametrize("layer", [Rounding, Loading])
def test_what_a_class_of_the_user_decides_is_extra(layer: Any) -> None:
    """Nobody knows what such a class saves, or what it makes of it."""
    model = keras.Sequential([keras.Input((6,)), layer(2), keras.layers.Dense(1)])
    assert [*extra(model)] == ["layers[1].bias", "layers[1].variables[0]"]


def test_of_a_model_with_its_own_save_everything_is_extra() -> None:
    """Only in files that this method writes."""
    model = Saving([keras.Input((6,)), keras.layers.Dense(1)])
    assert len(extra(model)) == 2
    assert extra(model, "m.weights.h5") == {}


def test_lora_is_extra_from_when_it_is_there() -> None:
    """Keras merges it into the kernel, in the file and when it loads it."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    assert extra(model) == {}
    model.layers[0].enable_lora(2)
    assert {*extra(model)} == {"layers[1].lora_kernel_a", "layers[1].lora_kernel_b", "layers[1].variables[0]"}


def test_metrics_are_not_extra() -> None:
    """An epoch begins with new ones; inside an epoch they are saved by themselves."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    model.fit(X[:4], Y[:4], verbose=0)
    assert len(model.metrics_variables) > 2
    assert extra(model) == {}


def test_metrics_of_an_inner_model_that_are_not_there_yet_are_warned_of() -> None:
    """Keras makes them in the first step of the inner model, so after a restart it is too late."""

    def make() -> Any:
        inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)], name="inner")
        inner.compile("sgd", "mse", metrics=["mae"])
        return keras.Sequential([keras.Input((6,)), inner])

    model, other = make(), make()
    model.layers[0].train_on_batch(X[:8], Y[:8])
    taken = take_extra(model, "m.keras")
    build_optimizers(other, taken["trained"])
    with pytest.warns(UserWarning, match="_compile_metrics.*They begin anew"):
        put_back_extra(other, taken, "m.keras")


def test_a_stateful_layer_remembers() -> None:
    """Keras lists the variables of its last batch nowhere."""
    model = keras.Sequential([keras.Input(batch_shape=(2, 3, 1)), keras.layers.LSTM(2, stateful=True)])
    model(np.ones((2, 3, 1), "float32"))
    assert [name for name in extra(model) if "states" in name] == ["layers[1].states[0]", "layers[1].states[1]"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda taken: taken["paths"][0].append("gone"), "zip"),
        (
            lambda taken: taken["paths"].append(["gone"]) or taken["values"].append(np.ones((1, 2))),
            "no variable gone",
        ),
        (
            lambda taken: taken["paths"].clear() or taken["values"].clear(),
            "variable layers.1.*not in the checkpoint",
        ),
        (lambda taken: taken["values"].append(taken["values"].pop().astype("int8")), "expected shape .* and int8"),
        (lambda taken: taken["values"].append([*taken["values"].pop()]), "expected arrays"),
    ],
)
def test_what_does_not_fit_changes_nothing(change: Any, message: str) -> None:
    """More or fewer variables, and other shapes, are refused before one is set."""
    model = dropouts()
    taken = take_extra(model, "m.keras")
    for variable in extra_of(model, Reach(model), "m.keras").values():
        variable.assign(variable + 5)
    before = extra(model)
    change(taken)
    with pytest.raises(ValueError, match=message):
        put_back_extra(model, taken, "m.keras")
    assert extra(model) == before


def test_other_number_of_devices_is_warned_of() -> None:
    """What each of two devices had for itself does not fit on one: a warning says whose is taken."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.BatchNormalization()])
    taken = {**take_extra(model, "m.keras"), "replicas": {0: np.ones((2, 6), "float32")}}
    with pytest.warns(UserWarning, match="on 2 devices, this one is on 1"):
        put_back_extra(model, taken, "m.keras")


# Optimizers.


def test_an_optimizer_is_built_for_what_it_trained() -> None:
    """Also the one of ``compile``, where a train step applies it to a part of the model."""
    model, other = teacher(), teacher()
    model.own[0].build(model.dense.trainable_variables[:1])
    model.optimizer.build(model.dense.trainable_variables[1:])
    taken = take_extra(model, "m.keras")["trained"]
    assert taken == {"own[0]": ["dense.variables[0]"], "optimizer": ["dense.bias"]}
    build_optimizers(other, taken)
    assert [v.shape for v in other.own[0].variables] == [v.shape for v in model.own[0].variables]
    assert [v.shape for v in other.optimizer.variables] == [v.shape for v in model.optimizer.variables]
    assert not other.own[1].built
    with pytest.raises(ValueError, match="no optimizer gone"):
        build_optimizers(other, {"gone": []})
    with pytest.raises(ValueError, match="no gone"):
        build_optimizers(other, {"own[1]": ["gone"]})
