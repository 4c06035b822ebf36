"""Buffers of modules of torch are part of the model: in every file, and in a copy that is kept in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
import torch
from harness import X, Y

from callback_state import ModelCheckpointEnhanced, restore_callbacks
from callback_state._keras.configuration import configuration_of
from callback_state._keras.torch_tensors import Buffer, array_of


def test_a_module_is_no_argument() -> None:
    """What Keras writes of it is a pickle with its weights, which are others in each run."""
    wrapped = keras.layers.TorchModuleWrapper(torch.nn.Linear(6, 1), output_shape=(None, 1))
    model = keras.Sequential([keras.Input((6,)), wrapped])
    assert "module" not in configuration_of(model)["layers[1] TorchModuleWrapper"]


class Stop(keras.callbacks.Callback):
    """Ends the fit with an exception in the middle of its second epoch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.model.optimizer.iterations == 12:
            raise KeyError("stop")


def start(path: Path, *others: Any, **options: Any) -> Any:
    """The averages of the batch normalization after one start of a script."""
    keras.utils.set_random_seed(3)
    module = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.BatchNorm1d(4))
    wrapped = keras.layers.TorchModuleWrapper(module, output_shape=(None, 4))
    model = keras.Sequential([keras.Input((6,)), wrapped, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    saver = ModelCheckpointEnhanced(path, save_weights_only=path.suffix == ".h5", save_freq=5, **options)
    restored = restore_callbacks(path.parent, into=[saver], model=model, missing_ok=True)
    options = {"batch_size": 8, "epochs": 3, "verbose": 0, "initial_epoch": restored.initial_epoch}
    model.fit(X, Y, callbacks=[*others, saver], **options)
    return {name: value.numpy().tobytes() for name, value in module.named_buffers()}


@pytest.mark.parametrize("name", ["last.weights.h5", "last.keras"])
@pytest.mark.parametrize("save_on_exception", [False, True])
def test_averages_go_on(tmp_path: Path, name: str, save_on_exception: bool) -> None:
    """Byte for byte, after a save and after a copy that was made before the exception."""
    whole = start(tmp_path / "whole" / name, save_on_exception=save_on_exception)
    killed = tmp_path / "killed" / name
    with pytest.raises(KeyError):
        start(killed, Stop(), save_on_exception=save_on_exception)
    assert len(whole) == 3 and start(killed, save_on_exception=save_on_exception) == whole


@pytest.mark.parametrize(
    "name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float16", "bool", "int64", "complex64"]
)
@pytest.mark.parametrize("shape", [(), (0, 2), (3, 2)])
def test_a_buffer_of_any_type_is_put_back(name: str, shape: tuple[int, ...]) -> None:
    """Byte for byte, also where NumPy itself has no such type."""
    values = torch.arange(torch.Size(shape).numel()).reshape(shape).to(getattr(torch, name))
    buffer = Buffer(torch.zeros_like(values))
    buffer.assign(array_of(values))
    assert buffer.value.dtype == values.dtype and array_of(buffer.value).tobytes() == array_of(values).tobytes()
