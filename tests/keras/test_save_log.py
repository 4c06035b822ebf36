"""What Keras tells its store while it saves: noted for one thread, and nobody else notices."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from harness import X
from keras.src.saving import saving_lib

from callback_state._keras import model_file, verify
from callback_state._keras.save_log import SaveLog

META: dict[str, Any] = {"epochs": [0], "training_args": {}}
ENDINGS = [".keras", ".weights.h5"]


def kept() -> list[Any]:
    """What of Keras is replaced while somebody saves."""
    store = saving_lib.H5IOStore
    entry = getattr(saving_lib, "H5Entry", store)
    return [store, store.make, entry.__setitem__, saving_lib.get_attr_skipset]


BEFORE = kept()


def model(*layers: Any) -> Any:
    made = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3), *layers])
    made.compile("adam", "mse")
    return made


def save(saved: Any, path: Path) -> SaveLog:
    record = SaveLog()
    options: dict[str, Any] = {"weights_only": path.name.endswith(".h5"), "meta": META, "record": record}
    model_file.write(saved, str(path), **options)
    verify.verify(saved, str(path), **options)
    return record


@pytest.mark.parametrize("ending", ENDINGS)
def test_threads_that_save_do_not_meet(tmp_path: Path, ending: str) -> None:
    """Two of them with this package and one with stock Keras, over and over; Keras is as before."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        own, path = model(), tmp_path / f"{number}{ending}"
        try:
            for _ in range(20):
                if number:
                    save(own, path)
                elif ending == ".keras":
                    own.save(path)
                else:
                    own.save_weights(path)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert kept() == BEFORE


def test_keras_is_as_before_when_a_save_fails(tmp_path: Path) -> None:
    """Whatever raises in it."""

    class Fails(keras.layers.Layer):
        def save_own_variables(self, store: Any) -> None:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        save(model(Fails()), tmp_path / "m.weights.h5")
    assert kept() == BEFORE


class Looks(keras.layers.Layer):
    """Saves something else to a store of HDF5."""

    def call(self, x: Any) -> Any:
        return x

    def save_own_variables(self, store: Any) -> None:
        self.kind = type(store)
        if isinstance(store, BEFORE[0]) or type(store).__name__ == "H5Entry":
            store["only"] = np.ones(2)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_layer_meets_the_store_of_keras(tmp_path: Path, ending: str) -> None:
    """Not one that stands for it: what it saves depends on nothing of ours."""
    looks = Looks()
    with_it = model(looks)
    with_it(X[:1])
    store = SaveLog()
    options: dict[str, Any] = {"weights_only": ending != ".keras", "meta": META, "record": store}
    model_file.write(with_it, str(tmp_path / f"m{ending}"), **options)
    assert looks.kind.__module__.startswith("keras.")
    assert any(act == "__setitem__" and arguments[0] == "only" for act, arguments, _ in store._acts)
    verify.verify(with_it, str(tmp_path / f"m{ending}"), **options)


class Counts(keras.layers.Layer):
    """Changes what it has saved, in place, while it saves."""

    def build(self, shape: Any) -> None:
        self.saves, self.total = np.zeros(1, "int64"), self.add_weight(shape=(), initializer="zeros")

    def call(self, x: Any) -> Any:
        return x

    def save_own_variables(self, store: Any) -> None:
        store["0"], store["saves"] = self.total, self.saves
        self.saves += 1
        self.total.assign_add(1.0)

    def load_own_variables(self, store: Any) -> None:
        self.total.assign(store["0"])


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_changes_while_it_is_saved_is_no_failed_write(tmp_path: Path, ending: str) -> None:
    """The file has what was there when it was written."""
    save(model(Counts()), tmp_path / f"m{ending}")
