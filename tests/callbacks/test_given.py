"""Paths, URLs and functions that the script has given stay, whatever a file says."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest
from play import play
from states import put_into, saved

from callback_state import ModelCheckpointEnhanced, adapter, restore_callbacks, stateful


@stateful
class Logger(keras.callbacks.Callback):
    """Writes to a place: kept under the name of the argument, with an underscore, or under another name."""

    def __init__(self, path: Any = "", monitor: Any = "loss", where: Any = "", sink: Any = "") -> None:
        super().__init__()
        self.path, self.monitor, self._where, self.target = path, monitor, where, sink


@pytest.mark.parametrize(
    ("script", "file"),
    [
        ("/logs/mine", "plain"),
        ("plain", "/etc/passwd"),
        ("plain", "../up"),
        ("plain", ".."),
        ("plain", "..\\up"),
        ("plain", "C:\\autoexec.bat"),
        ("plain", "~/.ssh/config"),
        ("plain", "https://example.com/collect"),
        ("plain", Path("here")),
        ("plain", b"/etc/passwd"),
        ("plain", ["fine", {"deep": ("/etc/passwd",)}]),
        ("plain", "there/is.txt"),
        (Path("logs"), 5),
        (len, "text"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["path", "_where"])
def test_a_path_of_the_script_is_not_taken_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: Any, file: Any, name: str
) -> None:
    """Where the one or the other is a path; on trust it is taken."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "is.txt").touch()
    forged = Logger()
    setattr(forged, name, file)
    live = Logger(**{name.lstrip("_"): script})
    assert [given[1:] for given in put_into(saved(forged), live).given] == [(name, file, script)]
    assert getattr(live, name) == script
    put_into(saved(forged), live, trusted=True)
    assert getattr(live, name) == file


def test_a_path_under_another_name_is_not_taken_from_a_file() -> None:
    """The attribute has what an argument was given."""
    forged = Logger()
    forged.target = "plain"
    live = Logger(sink="/logs/mine")
    put_into(saved(forged), live)
    assert live.target == "/logs/mine"


@pytest.mark.parametrize("value", ["out/mae", "val_loss", 5, ["a/b", "c"], None], ids=str)
def test_what_is_no_path_is_state(value: Any) -> None:
    """Though it is the argument of a constructor, and may have a slash in it."""
    changed = Logger()
    changed.monitor = value
    live = Logger()
    assert put_into(saved(changed), live).given == []
    assert live.monitor == value


class Sends(keras.callbacks.Callback):
    """Sends to a place whose name does not look like one."""

    def __init__(self) -> None:
        super().__init__()
        self.server, self.n = "mine", 0


def test_an_adapter_says_what_is_a_path() -> None:
    """Whatever its form, and though it is no argument."""
    cls = adapter(type("Sending", (Sends,), {}), paths=("server",))
    forged, live = cls(), cls()
    forged.server, forged.n = "theirs", 3
    put_into(saved(forged), live)
    assert (live.server, live.n) == ("mine", 3)


def test_the_paths_of_an_inner_callback_stay() -> None:
    """What one callback holds of another is no way round."""
    outer, live = Logger(), Logger()
    outer.monitor, live.monitor = Logger(), Logger(path="mine")
    outer.monitor.path = ["/etc/passwd"]
    put_into(saved(outer), live)
    assert live.monitor.path == "mine"


def test_a_difference_is_told_and_in_the_report(tmp_path: Path) -> None:
    """Once, with both values."""

    class Turning(Logger):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.path = f"/logs/{epoch}"

    def start() -> list[Any]:
        return [Turning("/logs/begin"), ModelCheckpointEnhanced(tmp_path / "m.weights.h5", save_weights_only=True)]

    play(start(), epochs=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        restored = restore_callbacks(tmp_path, into=start())
    (said,) = [str(w.message) for w in caught if "/logs/begin" in str(w.message)]
    assert "Turning.path was '/logs/0', is '/logs/begin'" in said
    assert [str(change) for change in restored.report.changed] == ["Turning.path was '/logs/0', is '/logs/begin'"]
    assert restored.callbacks[0].path == "/logs/begin"


def test_a_list_of_the_script_is_not_filled_with_paths() -> None:
    """A container that is shared with the script gets its content back, unless a file puts paths into it."""
    for content, expected in ((["/etc/passwd"], ["mine"]), (["next"], ["next"])):
        forged, shared = Logger(["mine"]), ["mine"]
        live = Logger(shared)
        forged.path = content
        snapshot = saved(forged)
        snapshot.meta.callbacks[0] = replace(snapshot.meta.callbacks[0], in_place=["path"])
        put_into(snapshot, live)
        assert live.path is shared and shared == expected
