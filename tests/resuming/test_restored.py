"""What a restore reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
from harness import X, Y
from reused import fresh_model

from callback_state import ModelCheckpointEnhanced, restore_callbacks, stateful
from callback_state._keras.backend import versions


@stateful(key="Grows")
class Before(keras.callbacks.Callback):
    """A class of an older release."""

    def __init__(self, rate: float = 1.0) -> None:
        super().__init__()
        self.rate, self.count = rate, 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.count += 1


def test_an_attribute_that_appeared_since_keeps_its_value_and_is_reported(tmp_path: Path) -> None:
    """What the constructor made of it; the others are restored."""
    saver = ModelCheckpointEnhanced(tmp_path / "a.keras")
    fresh_model().fit(X, Y, epochs=2, verbose=0, callbacks=[Before(), saver])

    class After(Before):
        def __init__(self, rate: float = 1.0, limit: int = 9) -> None:
            super().__init__(rate)
            self.limit, self.seen = limit, ["new"]

    after = stateful(After(), key="Grows")
    report = restore_callbacks(tmp_path, into=[after, saver]).report
    assert report.appeared == ("Grows.seen",)
    assert (after.count, after.seen, after.limit) == (2, ["new"], 9)
    assert restore_callbacks(tmp_path, into=[Before(), saver]).report.appeared == ()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one checkpoint."""
    directory = tmp_path_factory.mktemp("written")
    fresh_model().fit(X, Y, verbose=0, callbacks=[ModelCheckpointEnhanced(directory / "a.keras")])
    return directory


@pytest.mark.parametrize(
    ("name", "version", "differs"),
    [
        ("numpy", "1.9.4", True),
        ("keras", "2.0.0", True),
        ("python", "3.1.4", True),
        ("platform", "beos", True),
        ("numpy", ".".join([*versions()["numpy"].split(".")[:2], "99"]), False),
    ],
)
def test_other_software_is_reported(
    written: Path, monkeypatch: pytest.MonkeyPatch, name: str, version: str, differs: bool
) -> None:
    """Another minor version may differ in the last bits; the patch level does not matter."""
    saved = versions()
    monkeypatch.setattr("callback_state._resuming.restore.versions", lambda: {**saved, name: version})
    report = restore_callbacks(written, into=[ModelCheckpointEnhanced(written / "a.keras")]).report
    assert report.versions[name] == saved[name]
    assert report.differences == ((f"{name} {saved[name]}, here {version}",) if differs else ())
