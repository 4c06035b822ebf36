"""The backend of Keras that is chosen is known and installed, or the error says what to type."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from callback_state._keras import installed
from callback_state.exceptions import BackendError

HIDE = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "jax" else find(name, package)
import callback_state
try:
    callback_state.{name}
except callback_state.BackendError as error:
    print(error)
print("keras" in sys.modules)
"""


def run(code: str, directory: Path, backend: str = "jax") -> list[str]:
    environment = {**os.environ, "KERAS_BACKEND": backend, "KERAS_HOME": str(directory)}
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    return found.stdout.splitlines()


@pytest.mark.parametrize("name", ["ModelCheckpointEnhanced", "restore_callbacks"])
def test_a_backend_that_is_not_installed_is_told_before_keras_dies_of_it(tmp_path: Path, name: str) -> None:
    """The error has the line to type, and Keras has not been imported."""
    said, is_imported = run(HIDE.format(name=name), tmp_path)
    assert 'Type "pip install jax"' in said and "KERAS_BACKEND" in said and is_imported == "False"


@pytest.mark.parametrize(
    ("variable", "file", "chosen"),
    [
        ("jax", '{"backend": "torch"}', "jax"),
        ("", '{"backend": "torch"}', "torch"),
        (None, '{"backend": "torch"}', "torch"),
        (None, None, "tensorflow"),
        (None, "{", "tensorflow"),
        (None, "[1]", "tensorflow"),
    ],
)
def test_what_is_chosen_is_what_keras_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: Any, file: Any, chosen: str
) -> None:
    """The environment comes first, then Keras's own file, then TensorFlow."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if variable is not None:
        monkeypatch.setenv("KERAS_BACKEND", variable)
    if file is not None:
        (tmp_path / "keras.json").write_text(file)
    assert installed._chosen() == chosen


def test_a_backend_that_is_not_known_is_refused() -> None:
    """The error names those that are."""
    with pytest.raises(BackendError, match=r"tensorflow, jax, torch, found 'openvino'.*KERAS_BACKEND"):
        installed.check_name("openvino")
