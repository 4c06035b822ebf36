"""HDF5 files that are written through Python: every error of the system is raised, and nothing crashes."""

from __future__ import annotations

import errno
import gc
import io
import os
import threading
from pathlib import Path
from typing import Any

import h5py
import keras
import model_files
import numpy as np
import pytest
from faults import META, model

from callback_state._format.hdf5_meta import read_meta, write_meta
from callback_state._keras import checked_file, model_file
from callback_state._keras.checked_file import CheckedFile, checked_writes

ENDINGS = (".weights.h5", ".h5", ".disk.keras")


class Refusing(io.FileIO):
    """Its writes number ``first`` to ``last`` fail; ``count`` is how many there were."""

    count, first, last = 0, 0, 0
    error: BaseException = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, data: Any) -> int:
        Refusing.count += 1
        if Refusing.first <= Refusing.count <= Refusing.last:
            raise self.error
        return super().write(data)


class Checked(CheckedFile, Refusing):
    """Python looks for methods in this order, so the writes of the first are those of the second."""


@pytest.fixture(autouse=True)
def by_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a model with a ``save`` of its own; others are written in one pass."""
    monkeypatch.setattr(model_file, "is_known", lambda model, **options: False)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> type[Refusing]:
    monkeypatch.setattr(checked_file, "CheckedFile", Checked)
    monkeypatch.setattr(model_file, "CheckedFile", Checked)
    monkeypatch.setattr(keras.src.saving.saving_lib, "is_memory_sufficient", lambda model: False)
    for name in ("count", "first", "last"):
        monkeypatch.setattr(Refusing, name, 0)
    return Refusing


def write(saved: Any, path: Path) -> None:
    model_files.write(saved, str(path), weights_only=path.name.endswith(".weights.h5"), meta=META)


@pytest.mark.parametrize("every", [29, pytest.param(1, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_first_error_is_raised(tmp_path: Path, refusing: type[Refusing], ending: str, every: int) -> None:
    """Whichever write is refused, once or from then on: the very error, and later saves are as ever."""
    saved, path = model(1), tmp_path / f"m{ending}"
    write(saved, path)
    writes, sound = refusing.count, path.read_bytes()
    assert writes > 50
    for first in range(1, writes + 1, every):
        for last in (first, 10**9):
            refusing.count, refusing.first, refusing.last = 0, first, last
            with pytest.raises(OSError, match="No space left") as raised:
                write(saved, path)
            assert raised.value is refusing.error
            del raised
            gc.collect()  # what HDF5 could not close would speak now
    refusing.count = refusing.first = refusing.last = 0
    write(saved, path)
    assert refusing.count == writes and len(path.read_bytes()) == len(sound)


def test_nothing_is_written_by_hdf5_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by Keras's saving, nor for the group ``meta``."""
    opened: list[Any] = []
    make = h5py.h5f.create
    monkeypatch.setattr(
        h5py._hl.files.h5f, "create", lambda name, *a, **o: (opened.append(name), make(name, *a, **o))[1]
    )
    monkeypatch.setattr(keras.src.saving.saving_lib, "is_memory_sufficient", lambda model: False)
    for ending in ENDINGS:
        write(model(1), tmp_path / f"m{ending}")
    assert len(opened) == 3 and all(name.startswith(b"<_io.FileIO") for name in opened)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limits of a file's size")
def test_a_file_that_may_not_grow_is_told(tmp_path: Path) -> None:
    """The system writes a part, and then refuses for real."""
    import resource

    saved, path, before = model(1), tmp_path / "m.weights.h5", resource.getrlimit(resource.RLIMIT_FSIZE)
    write(saved, path)
    for size in (0, 1000, path.stat().st_size - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            with pytest.raises(OSError, match="too large") as raised:
                write(saved, tmp_path / "n.weights.h5")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert raised.value.errno == errno.EFBIG


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), KeyboardInterrupt()], ids=["disk", "ctrl-c"])
def test_after_an_error_it_looks_as_if_nothing_had_failed(
    tmp_path: Path, refusing: type[Refusing], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """What HDF5 reads is what it has written, over what the file has; large data are forgotten. Told once."""
    monkeypatch.setattr(refusing, "error", error)
    refusing.first = refusing.last = 2
    file = Checked(tmp_path / "f", "w+")
    assert file.write(b"abcdefgh") == 8
    file.seek(2)
    assert file.write(b"CD") == 2 and file.tell() == 4
    assert file.write(b"EF") == 2
    file.seek(9)
    assert file.write(memoryview(b"JK")) == 2
    assert file.write(bytes(checked_file._LARGE + 1)) == checked_file._LARGE + 1
    assert file.truncate(20) == 20
    file.seek(1)
    buffer = bytearray(b"x" * 12)
    assert file.readinto(buffer) == 12 and buffer == b"bCDEFgh\0JK\0\0" and file.tell() == 13
    file.seek(11)
    assert file.write(bytes([1]) * (checked_file._LARGE + 1)) == checked_file._LARGE + 1
    file.seek(11)
    assert file.readinto(buffer) == 12 and buffer == bytes(12)
    with pytest.raises(type(error)) as raised:
        file.close()
    assert raised.value is error
    file.close()
    assert (tmp_path / "f").read_bytes() == b"abcdefgh"


def test_others_meet_the_file_of_h5py(tmp_path: Path) -> None:
    """Another thread that saves meanwhile, and files that are read."""
    from keras.src.saving import saving_lib

    with checked_writes():
        thread = threading.Thread(target=lambda: model(1).save_weights(tmp_path / "other.weights.h5"))
        thread.start()
        thread.join()
        with h5py.File(tmp_path / "a.h5", "w") as stock, saving_lib.h5py.File(tmp_path / "b.h5", "w") as ours:
            assert isinstance(stock, saving_lib.h5py.File) and isinstance(ours, h5py.File)
            ours["x"] = np.arange(3)
        with saving_lib.h5py.File(tmp_path / "b.h5") as read:
            assert read["x"][()].tolist() == [0, 1, 2] and read.filename == str(tmp_path / "b.h5")
    assert h5py.is_hdf5(tmp_path / "other.weights.h5")


def test_meta_goes_into_a_path_or_a_file(tmp_path: Path) -> None:
    """The same content either way."""
    for name in ("a.h5", "b.h5"):
        h5py.File(tmp_path / name, "w").close()
    write_meta(str(tmp_path / "a.h5"), META)
    with CheckedFile(tmp_path / "b.h5", "r+") as file:
        write_meta(file, META)
    assert read_meta(str(tmp_path / "a.h5")) == read_meta(str(tmp_path / "b.h5")) == META


class Unreadable(io.FileIO):
    error = OSError(errno.EIO, os.strerror(errno.EIO))

    def readinto(self, buffer: Any) -> int:
        raise self.error


class CheckedUnreadable(CheckedFile, Unreadable):
    """Its reads fail."""


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    """By the reading, of which HDF5 may make another error, and once more at the end."""
    file = CheckedUnreadable(tmp_path / "f", "w+")
    with pytest.raises(OSError, match="Input/output"):
        file.readinto(bytearray(4))
    with pytest.raises(OSError, match="Input/output") as raised:
        file.close()
    assert raised.value is Unreadable.error
