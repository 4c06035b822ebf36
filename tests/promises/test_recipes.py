"""Each recipe of the README is a file that runs, twice: at a first start and at a second one."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import X, Y
from pages import listing
from recipes import RECIPES, shown, source

from callback_state import ModelCheckpointEnhanced, list_checkpoints, restore_callbacks, stateful

#: tests/backends/test_processes.py runs it, with two processes.
ELSEWHERE = ("hosts",)


def test_the_readme_shows_them() -> None:
    """Word for word, each with at most eight lines."""
    listing("Each is a part of a script, and a file in ``examples/recipes``:", shown())
    assert all(len(source(name).splitlines()) <= 8 for name in RECIPES)


def run(name: str, directory: str) -> int:
    """One start of a script with a recipe: the 0-based epoch with which it goes on."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    text = source(name).replace("s3://bucket", f"memory://{name}").replace('"ckpt', f'"{directory}')
    names: dict[str, Any] = {"keras": keras, "model": model, "stateful": stateful}
    names |= {"ModelCheckpointEnhanced": ModelCheckpointEnhanced, "restore_callbacks": restore_callbacks}
    before = {*names}
    exec(text, names)
    made = [value for key, value in names.items() if key not in before]
    callbacks = [value() if inspect.isclass(value) else value for value in made]
    callbacks = [value for value in callbacks if isinstance(value, keras.callbacks.Callback)]
    if name == "own_callback":
        callbacks.append(ModelCheckpointEnhanced(f"{directory}/{{epoch}}.keras"))
    restored = restore_callbacks(
        f"memory://{name}/run" if name == "bucket" else directory, into=callbacks, model=model, missing_ok=True
    )
    model.fit(
        X,
        Y,
        epochs=restored.initial_epoch + 1,
        initial_epoch=restored.initial_epoch,
        validation_data=(X, Y),
        callbacks=callbacks,
        verbose=0,
    )
    return restored.initial_epoch


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in ELSEWHERE])
def test_it_saves_and_goes_on(tmp_path: Path, name: str) -> None:
    """The second start goes on where the first one has ended."""
    directory = f"{tmp_path}/ckpt"
    assert [run(name, directory), run(name, directory)] == [0, 1]
    assert list_checkpoints("memory://bucket/run" if name == "bucket" else directory)
