"""What may make a run of this backend another one is told with its cure, and nothing else is."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import pytest
import torch
from harness import X, Y
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from callback_state import ModelCheckpointEnhanced
from callback_state._input.doubts import of_backend

BACKEND = keras.backend.backend()
ROWS = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


def told(directory: Path, data: Any, **options: Any) -> list[str]:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    saver = ModelCheckpointEnhanced(directory / "m.weights.h5", save_weights_only=True, save_freq=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(data, verbose=0, callbacks=[saver], **options)
    return [str(w.message) for w in caught if "may differ" in str(w.message)]


def test_arrays_and_loaders_are_not_named(tmp_path: Path) -> None:
    """Their order follows from generators that are saved."""
    loader = DataLoader(ROWS, 16, shuffle=True)
    found = told(tmp_path / "loader", loader) + told(tmp_path / "arrays", X, y=Y, batch_size=16)
    assert found == []


def test_workers_that_live_on_are_named(tmp_path: Path) -> None:
    """What they have drawn in earlier epochs is lost."""
    (doubt,) = told(tmp_path, DataLoader(ROWS, 32, num_workers=1, persistent_workers=True))
    assert "persistent_workers" in doubt and "StatefulDataLoader" in doubt


class Odd(IterableDataset[Any]):
    """Its state is no plain data."""

    def __iter__(self) -> Any:
        return iter([(X[:32], Y[:32]), (X[32:], Y[32:])])

    def state_dict(self) -> Any:
        return {"lock": object}

    def load_state_dict(self, state: Any) -> None:
        assert state == {"lock": object}


def test_a_state_that_cannot_be_saved_is_named(tmp_path: Path) -> None:
    """Once, and the data are read again."""
    (doubt,) = told(tmp_path, DataLoader(Odd(), batch_size=None))
    assert "the state of the data cannot be saved" in doubt


class Forgetful(Odd):
    """It gives another state each time."""

    def state_dict(self) -> Any:
        return {"at": object()}

    def load_state_dict(self, state: Any) -> None:
        pass


def test_methods_that_do_not_work_are_named(tmp_path: Path) -> None:
    """They are tried at the start, and not used."""
    (doubt,) = told(tmp_path, DataLoader(Forgetful(), batch_size=None))
    assert "Forgetful.state_dict/load_state_dict: it has another one after it was given its own" in doubt


def test_a_gpu_that_adds_in_any_order_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the setting of the backend says otherwise."""
    assert [*of_backend(None)] == []
    if BACKEND == "torch":
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        (doubt,) = of_backend(None)
        assert "use_deterministic_algorithms" in doubt.cure
        monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    if BACKEND == "jax":
        import jax

        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
        (doubt,) = of_backend(None)
        assert "XLA_FLAGS" in doubt.cure
        monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    assert [*of_backend(None)] == []
