"""Model files: stock Keras loads them, writing one leaves the live model alone, and loading is exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import keras
import model_files
import pytest
from harness import bytes_of
from keras_models import ENDINGS, MODELS, OPTIMIZERS, Make, built, by_turns, sequential, stepped, subclassed

from callback_state import RestoreError
from callback_state._format.hdf5_meta import read_meta
from callback_state._keras import model_file
from callback_state._keras.weights import digest_of, take_variables

HDF5 = (".weights.h5", ".h5")
META: dict[str, Any] = {"epochs": [0, 1], "loss": [2.0, 1.0], "training_args": {"rate": 1e-5}}


def write(model: Any, path: Path, meta: dict[str, Any] | None = None) -> None:
    weights_only = path.name.endswith(".weights.h5")
    model_files.write(model, str(path), weights_only=weights_only, meta=META if meta is None else meta)


def everything(model: Any) -> list[bytes]:
    return bytes_of([*model.weights, *model.optimizer.variables])


# Round trips.


def check_round_trip(path: Path, make: Make, optimizer: Make) -> None:
    saved, other = stepped(make, optimizer), built(make, optimizer, seed=2)
    before = everything(other)
    write(saved, path)
    model_file.load(other, str(path), digest_of(saved))
    assert everything(other) == everything(saved)
    slots = bytes_of(other.optimizer.variables)
    assert slots != before[-len(slots) :] and len(slots) > 2


@pytest.mark.parametrize(("name", "ending"), by_turns(OPTIMIZERS))
def test_weights_and_optimizer_come_back(tmp_path: Path, name: str, ending: str) -> None:
    """Every variable of the model and of the optimizer is what was saved, in each format."""
    check_round_trip(tmp_path / f"m{ending}", sequential, OPTIMIZERS[name])


@pytest.mark.parametrize(("name", "ending"), by_turns(MODELS))
def test_kinds_of_models_come_back(tmp_path: Path, name: str, ending: str) -> None:
    """So are those of Functional models of several outputs or parts, and of mixed precision."""
    check_round_trip(tmp_path / f"m{ending}", MODELS[name], OPTIMIZERS["Adam"])


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_subclassed_model_comes_back(tmp_path: Path, ending: str) -> None:
    """So are those of a subclassed model, in the two formats that Keras has for it."""
    check_round_trip(tmp_path / f"m{ending}", subclassed, OPTIMIZERS["Adam"])


def test_long_list_of_names(tmp_path: Path) -> None:
    """The optimizer's variables come back also where Keras splits the list of their names."""

    def make() -> Any:
        layers = [keras.layers.Dense(2, name="n" * 2000 + str(i)) for i in range(5)]
        return keras.Sequential([keras.Input((2,)), *layers])

    check_round_trip(tmp_path / "m.h5", make, OPTIMIZERS["Adam"])
    with h5py.File(tmp_path / "m.h5") as file:
        assert "weight_names1" in file["optimizer_weights"].attrs


@pytest.mark.parametrize("ending", ENDINGS)
def test_stock_keras_loads_the_file(tmp_path: Path, ending: str) -> None:
    """Stock Keras loads the file, group ``meta`` and all, with the same weights."""
    saved, path = stepped(), tmp_path / f"m{ending}"
    write(saved, path)
    if ending == ".weights.h5":
        loaded = built(seed=2)
        loaded.load_weights(path)
    else:
        loaded = keras.models.load_model(path)
    assert bytes_of(loaded.weights) == bytes_of(saved.weights)
    if ending != ".h5":
        assert bytes_of(loaded.optimizer.variables) == bytes_of(saved.optimizer.variables)


def test_whole_h5_is_read_by_the_documented_way(tmp_path: Path) -> None:
    """Where stock Keras cannot compile a whole ``.h5`` (a loss in short), ``compile=False`` and ``model=`` do."""
    saved = stepped()
    saved.compile(saved.optimizer, "mse")
    path = tmp_path / "m.h5"
    write(saved, path)
    with pytest.raises((ValueError, TypeError), match="mse"):
        keras.models.load_model(path)
    loaded = keras.models.load_model(path, compile=False)
    loaded.compile(OPTIMIZERS["Adam"](), "mse")
    model_file.load(loaded, str(path), digest_of(saved))
    assert everything(loaded) == everything(saved)


# The live model.


@pytest.mark.parametrize("ending", ENDINGS)
def test_save_leaves_the_live_model_alone(tmp_path: Path, ending: str) -> None:
    """Variables and the compile configuration are after a save what they were before."""
    model = stepped(optimizer=OPTIMIZERS["SGD with momentum"])
    variables, configuration = everything(model), model.get_compile_config()
    assert configuration["optimizer"]["class_name"] == "SGD"
    write(model, tmp_path / f"m{ending}")
    assert everything(model) == variables
    assert model.get_compile_config() == configuration


def test_keras_file_after_h5_has_the_right_optimizer(tmp_path: Path) -> None:
    """A ``.keras`` file that is written after a ``.h5`` file loads with the optimizer of the model."""
    model = stepped(optimizer=OPTIMIZERS["SGD with momentum"])
    write(model, tmp_path / "a.h5")
    write(model, tmp_path / "b.keras")
    loaded = keras.models.load_model(tmp_path / "b.keras")
    assert type(loaded.optimizer).__name__ == "SGD"
    assert everything(loaded) == everything(model)


def test_configuration_is_kept_when_the_save_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that fails half way, as on a full disk, leaves the compile configuration as it was."""

    def full(*args: Any, **options: Any) -> None:
        raise OSError("No space left on device")

    model = stepped()
    configuration = model.get_compile_config()
    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(OSError, match="No space left"):
        write(model, tmp_path / "m.h5")
    assert model.get_compile_config() == configuration


def test_uncompiled_model_is_saved(tmp_path: Path) -> None:
    """A model without optimizer, as in a hand-written loop, is written and loaded."""
    keras.utils.set_random_seed(1)
    model, other = sequential(), sequential()
    for ending in ENDINGS:
        write(model, tmp_path / f"m{ending}")
        other.set_weights([w * 0 + 9 for w in other.get_weights()])
        model_file.load(other, str(tmp_path / f"m{ending}"), digest_of(model))
        assert bytes_of(other.weights) == bytes_of(model.weights)


# What does not fit.


def unbuilt() -> Any:
    model = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def wider() -> Any:
    return built(lambda: keras.Sequential([keras.Input((6,)), keras.layers.Dense(5), keras.layers.Dense(1)]))


def deeper() -> Any:
    return built(lambda: keras.Sequential([sequential(), keras.layers.Dense(1)]))


def without_optimizer() -> Any:
    keras.utils.set_random_seed(2)
    return sequential()


OTHERS: dict[str, Make] = {
    "wider": wider,
    "deeper": deeper,
    "another optimizer": lambda: built(optimizer=OPTIMIZERS["SGD with momentum"], seed=2),
    "no optimizer": without_optimizer,
}


@pytest.mark.parametrize(("name", "ending"), by_turns(OTHERS))
def test_another_model_is_refused_and_unchanged(tmp_path: Path, name: str, ending: str) -> None:
    """A file of another architecture or optimizer is an error that says so; no variable has changed."""
    path = tmp_path / f"m{ending}"
    saved = stepped()
    write(saved, path)
    other = OTHERS[name]()
    before = [(v, value.tobytes()) for v, value in take_variables(other)]
    says = "compiled with the optimizer Adam" if "optimizer" in name else "The model here has .* variables"
    with pytest.raises(RestoreError, match=rf"(?s)does not fit the model.*{says}.*[Cc]ompile it as it was"):
        model_file.load(other, str(path), digest_of(saved))
    assert [value.tobytes() for _, value in take_variables(other)] == [value for _, value in before]


def test_types_that_h5_loses_are_refused(tmp_path: Path) -> None:
    """Keras writes a bfloat16 into a whole model in .h5, and cannot load it."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, dtype="bfloat16")])
    with pytest.raises(ValueError, match=r"bfloat16.*Write a filepath that ends in .keras"):
        write(model, tmp_path / "m.h5")
    assert not (tmp_path / "m.h5").exists()


def test_unbuilt_model_is_refused(tmp_path: Path) -> None:
    """A model without variables is an error that says how to get them."""
    write(stepped(), tmp_path / "m.keras")
    with pytest.raises(RestoreError, match=r"not built yet.*Give it an Input, or call it on one batch"):
        model_file.load(unbuilt(), str(tmp_path / "m.keras"), "")


@pytest.mark.parametrize("ending", ENDINGS)
def test_file_of_another_moment_is_refused(tmp_path: Path, ending: str) -> None:
    """A file that loads, but not to what the state file speaks of, is refused and nothing has changed."""
    model, other = stepped(), built(seed=2)
    write(model, tmp_path / f"m{ending}")
    digest = digest_of(model)
    model.weights[0].assign_add(keras.ops.ones(model.weights[0].shape))
    write(model, tmp_path / f"n{ending}")
    before = everything(other)
    with pytest.raises(RestoreError, match="not those that were saved"):
        model_file.load(other, str(tmp_path / f"n{ending}"), digest)
    assert everything(other) == before


@pytest.mark.parametrize("ending", HDF5)
def test_file_describes_itself(tmp_path: Path, ending: str) -> None:
    """The history and the training arguments stand in an HDF5 model file too."""
    path = tmp_path / f"m{ending}"
    write(stepped(), path)
    assert read_meta(str(path)) == META
