"""Variables, tensors, parts of the model, code: what is stored of each, and where it comes back to."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

import cloudpickle
import keras
import numpy as np
import pytest
import tensorflow as tf
from states import put_into, saved

from callback_state import NotPicklableError, RestoreError, UntrustedError, stateful
from callback_state._callbacks.builders import ModelVariable


@stateful
class Holder(keras.callbacks.Callback):
    """Holds whatever it is told to."""

    def __init__(self, **held: Any) -> None:
        super().__init__()
        for name, value in held.items():
            setattr(self, name, value() if callable(value) and name.startswith("make") else value)


def hold(**held: Any) -> Any:
    """A holder whose attributes are state, and not what its constructor was given."""
    holder = Holder()
    for name, value in held.items():
        setattr(holder, name, value)
    return holder


class Anything:
    """A class that nobody registered."""

    def __init__(self, **held: Any) -> None:
        self.__dict__.update(held)


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((300,)), keras.layers.Dense(300), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    model.train_on_batch(np.ones((2, 300)), np.ones((2, 1)))
    return model


def values(variables: list[Any]) -> list[Any]:
    return [v.numpy().tolist() for v in variables]


@pytest.mark.parametrize(
    "make",
    [
        lambda x: keras.Variable(x, dtype="float32"),
        lambda x: tf.Variable(x, dtype="float32"),
        lambda x: tf.Variable(x, dtype="bfloat16"),
        lambda x: keras.Variable([*map(int, x)], dtype="int32"),
        lambda x: tf.Variable([[True], [False]]) if x[0] else tf.Variable([[False], [True]]),
    ],
    ids=["keras", "tf", "bfloat16", "int32", "bool"],
)
def test_a_variable_s_value_is_put_into_the_one_that_is_there(make: Any) -> None:
    """Bare, in a list and in a dict: the same variable afterwards, with the saved value; shared ones shared."""
    shared = make([1.0, 2.0])
    snapshot = saved(hold(bare=make([3.0, 4.0]), many=[shared, {"v": shared}]))
    other = make([0.0, 0.0])
    live = hold(bare=make([0.0, 0.0]), many=[other, {"v": other}])
    bare = live.bare
    put_into(snapshot, live)
    assert live.bare is bare and live.many[0] is other is live.many[1]["v"]
    assert values([live.bare, other]) == values([make([3.0, 4.0]), shared])


def test_two_variables_are_not_put_into_one() -> None:
    """What was apart stays apart where one variable stands in both places now."""
    one = keras.Variable([0.0])
    live = hold(a=one, b=one)
    put_into(saved(hold(a=keras.Variable([1.0]), b=keras.Variable([2.0]))), live)
    assert values([live.a, live.b]) == [[1.0], [2.0]] and live.a is one


@pytest.mark.parametrize(
    "make",
    [lambda: keras.Variable([1.5, 2.0]), lambda: tf.Variable([1.5, 2.0], dtype="float64")],
    ids=["keras", "tf"],
)
def test_where_no_variable_stands_one_of_its_sort_is_made(make: Any) -> None:
    """A callback that makes its variable late gets it back with value and dtype."""
    live = hold(v=None)
    put_into(saved(hold(v=make())), live)
    assert type(live.v) is type(make())
    assert (str(live.v.dtype), values([live.v])) == (str(make().dtype), values([make()]))


def test_a_variable_of_another_shape_is_refused() -> None:
    """With both shapes; and nothing has changed."""
    live = hold(n=1, v=keras.Variable([0.0]))
    with pytest.raises(RestoreError, match=r"of shape \(1,\) was saved with shape \(2,\)"):
        put_into(saved(hold(n=2, v=keras.Variable([1.0, 2.0]))), live)
    assert (live.n, values([live.v])) == (1, [[0.0]])


@pytest.mark.parametrize("value", [[1.0, 2.0], 3, True, b"ab", [[1j]]], ids=repr)
def test_a_tensor_comes_back(value: Any) -> None:
    """Value and dtype of an eager tensor."""
    live = hold(t=None)
    tensor = tf.constant(value)
    put_into(saved(hold(t=tensor)), live)
    assert (live.t.dtype, repr(live.t.numpy())) == (tensor.dtype, repr(tensor.numpy()))


def test_a_variable_of_the_model_stays_that_variable(model: Any) -> None:
    """Nothing of its value is stored; also for the TensorFlow variable inside, and the optimizer's."""
    kernel, rate = model.layers[0].kernel, model.optimizer.learning_rate
    holder = hold(kernel=kernel, inner=kernel.value, many=[rate], slot=model.optimizer.variables[3])
    snapshot = saved(holder, model=model)
    assert "array" not in {node[0] for node in snapshot.state.nodes}
    live = hold(kernel=None, inner=None, many=None, slot=None)
    put_into(snapshot, live, model=model)
    assert live.kernel is kernel and live.inner is kernel and live.many == [rate]
    assert live.slot is model.optimizer.variables[3]


def test_a_variable_of_a_model_that_is_not_there_yet_waits(model: Any) -> None:
    """Restored without ``model=`` something stands for it, which can be saved again and resolved later."""
    snapshot = saved(hold(v=model.layers[1].bias), model=model)
    live = hold(v=None)
    put_into(snapshot, live)
    assert isinstance(live.v, ModelVariable) and live.v.resolve(model) is model.layers[1].bias
    again = hold(v=None)
    put_into(saved(live), again, model=model)
    assert again.v is model.layers[1].bias


@pytest.mark.parametrize(
    ("make", "use"),
    [
        (lambda: keras.metrics.Mean(), lambda m: m.update_state([3.0, 5.0])),
        (lambda: keras.metrics.BinaryAccuracy(), lambda m: m.update_state([1, 0], [1, 1])),
        (lambda: keras.random.SeedGenerator(5), lambda g: keras.random.normal((2,), seed=g)),
        (lambda: _built(keras.layers.Dense(2)), lambda d: d.kernel.assign([[1.0, 2.0]])),
        (lambda: _built_optimizer(), lambda o: o.learning_rate.assign(0.25)),
    ],
    ids=["Mean", "BinaryAccuracy", "SeedGenerator", "Dense", "Adam"],
)
def test_what_a_callback_has_of_keras_itself_keeps_its_variables(make: Any, use: Any) -> None:
    """Metrics, layers, optimizers, seed generators of its own: the object stays, its values come back."""
    mine, live = make(), make()
    use(mine)
    variables = lambda o: [o.state] if isinstance(o, keras.random.SeedGenerator) else list(o.variables)  # noqa: E731
    assert values(variables(mine)) != values(variables(live))
    snapshot = saved(hold(part=mine))
    assert snapshot.pickles == []
    holder = hold(part=live)
    put_into(snapshot, holder)
    assert holder.part is live and values(variables(live)) == values(variables(mine))


def _built(layer: Any) -> Any:
    layer.build((None, 1))
    layer.kernel.assign([[0.0, 0.0]])
    return layer


def _built_optimizer() -> Any:
    optimizer = keras.optimizers.Adam(0.5)
    optimizer.build([keras.Variable([1.0])])
    return optimizer


def test_a_part_with_other_variables_is_refused() -> None:
    """A metric that is no longer there, or another: named, with what to do."""
    snapshot = saved(hold(part=keras.metrics.Mean()))
    for now in (None, keras.layers.Dense(3), keras.metrics.Sum()):
        with pytest.raises(RestoreError, match=r"Mean was saved with 2 variables.*exclude="):
            put_into(snapshot, hold(part=now))


def test_parts_of_the_model_and_callbacks_are_referred_to(model: Any) -> None:
    """Whatever stands in their place when training goes on; no weights, no pickles."""
    other = keras.callbacks.EarlyStopping()
    extractor = keras.Model(model.inputs, model.layers[0].output)
    held = {
        "m": model,
        "layer": model.layers[0],
        "opt": model.optimizer,
        "metric": model.metrics[0],
        "cb": other,
        "layers": list(model.layers),
        "extractor": extractor,
    }
    snapshot = saved(hold(**held), other, model=model)
    assert snapshot.pickles == [] and "array" not in {node[0] for node in snapshot.state.nodes}
    live = hold(**{name: value if name != "layers" else list(value) for name, value in held.items()})
    put_into(snapshot, live, keras.callbacks.EarlyStopping())
    assert all(getattr(live, name) is held[name] for name in held if name != "layers")
    assert live.layers == list(model.layers)


def test_parts_that_are_made_when_training_begins_are_waited_for(model: Any) -> None:
    """A layer or list of layers that the constructor does not have: reported as skipped, not set to anything."""
    snapshot = saved(hold(n=3, layers=[*model.layers], by_name={"a": model.layers[0]}), model=model)
    live = hold(n=0, layers=[], by_name={})
    prepared = put_into(snapshot, live)
    assert prepared.skipped == [(live, "layers"), (live, "by_name")]
    assert (live.n, live.layers, live.by_name) == (3, [], {})


def test_state_beside_parts_that_are_not_there_yet_is_not_lost_silently(model: Any) -> None:
    """A count next to a layer in one dict: an error that names the attribute."""
    snapshot = saved(hold(seen={"layer": model.layers[0], "count": 5}), model=model)
    with pytest.raises(RestoreError, match=r"Holder\.seen holds parts of the model .* together with other state"):
        put_into(snapshot, hold(seen={}))


def module_level(x: int) -> int:
    return x + 1


def _code(offset: int) -> dict[str, Any]:
    return {
        "lambda": lambda x: x + offset,
        "closure": _closure(offset),
        "partial": functools.partial(module_level, offset),
        "builtin": len,
    }


def _closure(offset: int) -> Any:
    def add(x: int) -> int:
        return x + offset

    return add


@pytest.mark.parametrize("name", _code(0))
def test_code_that_stands_there_is_kept_without_trust(name: str) -> None:
    """With ``into=`` a function is the caller's own, and no byte of the file is unpickled for it."""
    snapshot = saved(hold(fn=_code(1)[name], fns=[_code(1)[name]]))
    mine = _code(100)[name]
    live = hold(fn=mine, fns=[mine])
    snapshot.pickles[:] = [b"garbage"] * len(snapshot.pickles)
    put_into(snapshot, live)
    assert live.fn is mine and live.fns == [mine]


@pytest.mark.parametrize(
    ("name", "call", "result"),
    [("lambda", (1,), 6), ("closure", (1,), 6), ("partial", (), 6)],
    ids=["lambda", "closure", "partial"],
)
def test_code_is_read_on_trust(name: str, call: Any, result: int) -> None:
    """With ``trusted=True`` the saved function comes back, with what it had closed over."""
    snapshot = saved(hold(fn=_code(5)[name]))
    live = hold(fn=None)
    put_into(snapshot, live, trusted=True)
    assert live.fn(*call) == result


def test_code_that_on_train_begin_makes_is_waited_for() -> None:
    """Where None stands, without trust: skipped, not set; but inside a container it is an error."""
    live = hold(fn=None)
    assert put_into(saved(hold(fn=lambda: 1)), live).skipped == [(live, "fn")]
    assert live.fn is None
    for now in ([None], []):
        with pytest.raises(UntrustedError, match=r"Holder\.fns\[0\] is function "):
            put_into(saved(hold(fns=[lambda: 1])), hold(fns=now))


def test_an_object_of_an_unregistered_class_goes_by_value() -> None:
    """Named while it is saved, refused without trust, back on trust; shared with whom it was shared."""
    thing = Anything(n=5)
    one, two = hold(thing=thing), hold(things=[thing])
    snapshot = saved(one, two)
    assert len(snapshot.pickles) == 1
    with pytest.raises(UntrustedError, match=r"Holder\.thing is an object of class .*\.Anything") as info:
        put_into(snapshot, hold(thing=Anything(n=0)), hold(things=[]))
    for cure in ("trusted=True", "@stateful", "exclude="):
        assert cure in str(info.value)
    a, b = hold(thing=None), hold(things=None)
    put_into(snapshot, a, b, trusted=True)
    assert a.thing.n == 5 and b.things[0] is a.thing


class Fires:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("place", ["attribute", "argument"])
def test_without_trust_nothing_is_unpickled(tmp_path: Path, place: str) -> None:
    """A payload in the file does not fire while the file is read and refused; on trust it does."""
    from callback_state._format.trust import Trust
    from callback_state._resuming.rebuild import rebuild

    fired = tmp_path / "fired"
    callback = hold(thing=Fires(fired)) if place == "attribute" else Holder(thing=Fires(fired))
    snapshot = saved(callback)
    assert snapshot.pickles and not fired.exists()
    with pytest.raises((UntrustedError, RestoreError)):
        if place == "attribute":
            put_into(snapshot, hold(thing=Anything()))
        else:
            rebuild(snapshot, trust=Trust(False), directory="")
    assert not fired.exists()
    if place == "attribute":
        put_into(snapshot, hold(thing=Anything()), trusted=True)
    else:
        rebuild(snapshot, trust=Trust(True), directory="")
    assert fired.exists()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda m: Anything(model=m),
        lambda m: m.predict,
        lambda m: Anything(of=[{"m": m}]),
        lambda m: lambda: m,
        lambda m: functools.partial(print, m),
    ],
    ids=["object", "bound method", "nested", "closure", "partial"],
)
def test_the_model_is_never_pickled(model: Any, wrap: Any) -> None:
    """An object that holds the model is stored without a weight in it, and gets the model that is there."""
    value = wrap(model)
    snapshot = saved(hold(thing=value), model=model)
    kernel = model.layers[0].kernel.numpy().tobytes()
    assert len(kernel) > 300_000
    assert sum(map(len, snapshot.pickles)) < 20_000
    assert not any(kernel[:64] in data for data in snapshot.pickles)
    live = hold(thing=None)
    put_into(snapshot, live, model=model, trusted=True)
    found = pickle_free_model(live.thing)
    assert found is model
    with pytest.raises(RestoreError, match="pass model= or into="):
        put_into(snapshot, hold(thing=None), trusted=True)


def pickle_free_model(thing: Any) -> Any:
    """The model that one of the wrappers above holds."""
    if isinstance(thing, Anything):
        return thing.model if hasattr(thing, "model") else thing.of[0]["m"]
    if isinstance(thing, functools.partial):
        return thing.args[0]
    return thing.__self__ if hasattr(thing, "__self__") else thing()


def test_an_object_that_holds_a_callback_gets_the_one_that_is_there() -> None:
    """Callbacks inside what goes by value are named, not pickled."""
    stopping = keras.callbacks.EarlyStopping(patience=77)
    snapshot = saved(hold(thing=Anything(cb=stopping)), stopping)
    live, other = hold(thing=None), keras.callbacks.EarlyStopping(patience=77)
    put_into(snapshot, live, other, trusted=True)
    assert live.thing.cb is other


def test_a_part_of_keras_in_an_unregistered_object_is_refused(model: Any) -> None:
    """Its weights would go into a pickle; the cure is named."""
    with pytest.raises(NotPicklableError, match=r"Holder\.thing\.layer: .*decorate the class that holds it"):
        saved(hold(thing=Anything(layer=keras.layers.Dense(3))), model=model)


UNPICKLABLE: dict[str, Any] = {
    "Holder.pool.lock": Anything(lock=threading.Lock()),
    "Holder.pool.a.by['k'][1]": Anything(a=Anything(by={"k": [1, threading.Lock()]})),
    "Holder.pool[1]['x']": [1, {"x": threading.Lock()}],
    "Holder.pool": (i for i in ()),
    "Holder.pool.<lock>": (lambda lock: lambda: lock)(threading.Lock()),
}


@pytest.mark.parametrize("path", UNPICKLABLE)
def test_what_cannot_be_pickled_is_named(path: str) -> None:
    """The innermost path, and the line that leaves the attribute out."""
    with pytest.raises(NotPicklableError) as info:
        saved(hold(pool=UNPICKLABLE[path]))
    assert info.value.path == path
    assert '@stateful(exclude=("pool",))' in str(info.value)
    assert "cannot be saved" in str(info.value)


def test_what_cannot_be_loaded_is_a_restore_error() -> None:
    """A function of a module that is gone: an error of the package, with what to do."""
    snapshot = saved(hold(thing=Anything(n=1)))
    snapshot.pickles[0] = cloudpickle.dumps(1).replace(b"K\x01", b"cgone\nf\n")
    with pytest.raises(RestoreError, match=r"cannot be loaded here \(ModuleNotFoundError"):
        put_into(snapshot, hold(thing=None), trusted=True)


def one(rate: float) -> float:
    return rate


def other(rate: float) -> float:
    return 2 * rate


@stateful
class Switches(keras.callbacks.Callback):
    """Holds a function that it chose itself."""

    def __init__(self) -> None:
        super().__init__()
        self.rule = one


def test_a_function_that_was_switched_is_named() -> None:
    """The one that is here holds, since code is not read from the file, and a warning says so."""
    before, after = Switches(), Switches()
    before.rule = other
    with pytest.warns(UserWarning, match=r"Switches\.rule was function .*other, and is function .*one here"):
        put_into(saved(before), after)
    assert after.rule is one
    put_into(saved(Switches()), after)  # the same: nothing is said
