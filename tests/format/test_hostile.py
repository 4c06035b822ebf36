"""A state file runs no code, whatever is in it: each technique fires in plain pickle, and none here."""

from __future__ import annotations

import contextlib
import copyreg
import io
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import pytest
from hostile import victim
from hostile.arrays import ARRAYS
from hostile.bombs import BOMBS, MALFORMED
from hostile.columns import COLUMNS
from hostile.files import checkpoint, forged, sealed, sealed_tree
from hostile.metas import FORGED, NOT_REBUILT, STATES, one
from hostile.opcodes import BUILD, mapping, text, whole
from hostile.streams import TECHNIQUES
from hostile.tables import Raw
from hostile.values import NODES

from callback_state import (
    ModelCheckpointEnhanced,
    latest_checkpoint,
    list_checkpoints,
    load_meta,
    restore_callbacks,
    stateful,
)
from callback_state._format.statefile import unseal
from callback_state.exceptions import CallbackStateError, CorruptCheckpointError, UntrustedError

STREAMS = {**{key: lambda p, make=make: make() for key, make in (BOMBS | MALFORMED).items()}, **TECHNIQUES}
VALUES = NODES | ARRAYS | COLUMNS
#: Techniques that plain pickle itself has shut out since Python 3.13: dotted names that lead to another module.
SHUT = {"dotted-into-another-module", "EXT2"}
#: Codes that stand for names in this process, as some library may have asked for.
EXTENSIONS = (("os", "mkdir", 0xF1), ("pathlib", "os.mkdir", 0xF2F2), ("posix", "mkdir", 0xF3F3F3))


@stateful
class Probe(keras.callbacks.Callback):
    """A callback of somebody's own, without an attribute."""


class Unpickler(pickle.Unpickler):
    """Plain pickle in a program that uses persistent ids."""

    def persistent_load(self, pid: Any) -> Any:
        victim.fire(pid)


@pytest.fixture(autouse=True)
def extensions() -> Iterator[None]:
    for of in EXTENSIONS:
        copyreg.add_extension(*of)
    yield
    for of in EXTENSIONS:
        copyreg.remove_extension(*of)


@pytest.fixture
def mark(tmp_path: Path) -> Callable[[], bool]:
    """Whether something has happened since the last call."""
    (tmp_path / "fired").mkdir()
    victim.fired()

    def happened() -> bool:
        sys.modules.pop("hostile.sideeffect", None)
        return victim.fired() or os.listdir(tmp_path / "fired") != []

    return happened


ENTRIES: dict[str, Callable[[Path], Any]] = {
    "restore": lambda path: restore_callbacks(path),
    "restore-state-file": lambda path: restore_callbacks(f"{path}.callbacks.pkl"),
    "restore-directory": lambda path: restore_callbacks(path.parent),
    "restore-into": lambda path: restore_callbacks(path, into=[keras.callbacks.EarlyStopping()]),
    "load_meta": lambda path: load_meta(path),
}


def refusals(path: Path, entries: Iterable[str] = ENTRIES) -> dict[str, CallbackStateError]:
    """The error of each entry; another kind of error, or none, is let through."""
    found = {}
    for key, entry in ((key, ENTRIES[key]) for key in entries):
        with pytest.raises(CallbackStateError) as caught:
            entry(path)
        found[key] = caught.value
    return found


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.filterwarnings("ignore")
def test_plain_pickle_fires(technique: str, tmp_path: Path, mark: Callable[[], bool]) -> None:
    """The control: loaded with the standard library, the file does what it was made for."""
    data = TECHNIQUES[technique](str(tmp_path / "fired" / "mark"))
    sys.modules.pop("hostile.sideeffect", None)
    with contextlib.suppress(Exception):  # what comes after it may be nonsense
        Unpickler(io.BytesIO(data)).load()
    assert mark() is not (technique in SHUT and sys.version_info >= (3, 13))


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("technique", STREAMS)
def test_no_stream_is_read(technique: str, tmp_path: Path, mark: Callable[[], bool]) -> None:
    """Behind a right seal: refused with the byte at which it is, with little memory; nothing is imported."""
    data = STREAMS[technique](str(tmp_path / "fired" / "mark"))
    mark()
    before = set(sys.modules)
    with pytest.raises(CorruptCheckpointError, match=r"this package never wrote that \(at byte "):
        unseal(sealed(data), "m")
    assert set(sys.modules) == before
    assert not mark()


@pytest.mark.parametrize("technique", [*STREAMS][::8])
@pytest.mark.filterwarnings("ignore:left aside")
def test_nothing_fires_here(technique: str, tmp_path: Path, mark: Callable[[], bool]) -> None:
    """Bare or sealed, by each way in: refused by an error that says at which byte, and nothing is imported."""
    data = STREAMS[technique](str(tmp_path / "fired" / "mark"))
    mark()
    before = set(sys.modules)
    bare = checkpoint(tmp_path / "bare", data)
    for error in refusals(bare).values():
        assert isinstance(error, CorruptCheckpointError)
        assert "no state file" in str(error) or "too few for a state file" in str(error)
    path = checkpoint(tmp_path / "sealed", sealed(data))
    large = len(data) > 100_000
    for error in refusals(path, ["load_meta"] if large else ENTRIES).values():
        assert isinstance(error, CorruptCheckpointError)
        assert "this package never wrote that (at byte " in str(error)
    for directory in () if large else (bare.parent, path.parent):
        assert latest_checkpoint(directory) is None
        assert list_checkpoints(directory) == list_checkpoints(directory, verify=False) == []
    assert set(sys.modules) == before
    assert not mark()


@pytest.mark.parametrize("lie", [*VALUES][::16])
@pytest.mark.filterwarnings("ignore:left aside")
def test_no_value_is_believed(lie: str, tmp_path: Path, mark: Callable[[], bool]) -> None:
    """Plain data that lie, behind a right seal: refused before anything is made of them."""
    path = checkpoint(tmp_path / "ckpt", sealed_tree(forged(VALUES[lie]())))
    before = set(sys.modules)
    for error in refusals(path, ["load_meta", "restore-into"]).values():
        assert isinstance(error, CorruptCheckpointError)
        assert "no state file of this package (" in str(error)
    assert latest_checkpoint(path.parent) is None
    assert set(sys.modules) == before
    assert not mark()


@pytest.mark.parametrize("lie", FORGED)
@pytest.mark.filterwarnings("ignore:left aside")
def test_no_word_on_the_run_is_believed(lie: str, tmp_path: Path) -> None:
    """Parts of the description that no release wrote, names that lead elsewhere among them."""
    path = checkpoint(tmp_path, sealed_tree(forged(meta=FORGED[lie])))
    for error in refusals(path, ["load_meta", "restore"]).values():
        assert isinstance(error, CorruptCheckpointError)
    assert latest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("lie", NOT_REBUILT)
def test_no_callback_is_made_of_what_leads_out(lie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Foreign classes, functions, paths and addresses, however they are written; and nothing was touched."""
    monkeypatch.chdir(tmp_path)
    path = checkpoint(tmp_path / "ckpt", sealed_tree(forged(meta=NOT_REBUILT[lie])))
    assert ModelCheckpointEnhanced.__module__ == "callback_state"  # imported by now
    before = set(sys.modules)
    with pytest.raises(CallbackStateError):
        restore_callbacks(path)
    assert set(sys.modules) == before
    assert os.listdir(tmp_path) == ["ckpt"] and len(os.listdir(tmp_path / "ckpt")) == 2


@pytest.mark.parametrize("lie", STATES)
def test_no_state_gets_beyond_state(lie: str, tmp_path: Path) -> None:
    """Python's own attributes, what Keras calls, code and foreign classes: the callback is as it was."""
    callback, name = keras.callbacks.EarlyStopping, "keras.callbacks.EarlyStopping"
    if list(STATES).index(lie) % 3 == 0:
        callback, name = Probe, f"{__name__}.Probe"
    path = checkpoint(tmp_path, sealed_tree(forged(meta=one(name), state={callback.__name__: STATES[lie]})))
    made = callback()
    before = {name: item for name, item in vars(made).items() if not name.startswith("_callback_state")}
    for attempt in (lambda: restore_callbacks(path, into=[made]), lambda: restore_callbacks(path)):
        with pytest.raises(CallbackStateError):
            attempt()
    assert {name: item for name, item in vars(made).items() if not name.startswith("_callback_state")} == before
    assert type(made) is callback


def test_an_entry_that_needs_no_name_needs_trust(tmp_path: Path) -> None:
    """A pickle without any name could change the callback that it is given."""
    tree = forged(meta=one(f"{__name__}.Probe"), state={"Probe": {"x": Raw("value", 0, "a text", "Probe.x")}})
    callback = text("callback") + text("Probe") + b"\x86Q"
    tree[3] = [whole(callback + mapping(text("on_epoch_end"), b"K\1") + BUILD)]
    path = checkpoint(tmp_path, sealed_tree(tree))
    probe = Probe()
    with pytest.raises(UntrustedError, match=r"Probe\.x is a text, which is stored by value"):
        restore_callbacks(path, into=[probe])
    assert "on_epoch_end" not in vars(probe)


def test_the_file_would_be_read_without_the_lie(tmp_path: Path) -> None:
    """What is refused is the lie: the rest of the forged file is sound."""
    path = checkpoint(tmp_path, sealed_tree(forged([1, (2,), {3: "x"}])))
    assert load_meta(path)["training_args"] == {"value": [1, (2,), {3: "x"}]}
    assert restore_callbacks(path).callbacks == []
