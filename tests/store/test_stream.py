"""A file that is written once from its beginning to its end, and hashed meanwhile."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import zipfile
from pathlib import Path

import pytest

from callback_state._store import disk
from callback_state._store.stream import CHUNK, Stream

SIZES = ((), (0,), (5,), (5, 3 * CHUNK + 7, 9), (10 * CHUNK, 1, 6 * CHUNK), (CHUNK,) * 6)


@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"{len(sizes)} writes, {sum(sizes)} bytes")
def test_digest_and_size_are_those_of_the_file(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    """Whether hashing goes on beside writing or not."""
    path, parts = tmp_path / "f", [os.urandom(size) for size in sizes]
    with Stream(str(path)) as file:
        assert [file.write(part) for part in parts] == [*sizes]
        found = file.finish()
    assert path.read_bytes() == b"".join(parts)
    assert found == (hashlib.sha256(b"".join(parts)).digest(), sum(sizes))


def test_an_archive_can_be_made_in_it(tmp_path: Path) -> None:
    """As in a pipe: nothing is written twice."""
    with Stream(str(tmp_path / "f.zip")) as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a", b"1" * CHUNK)
        file.finish()
    with zipfile.ZipFile(tmp_path / "f.zip") as archive:
        assert archive.testzip() is None and archive.read("a") == b"1" * CHUNK
    assert not file.seekable() and file.writable()
    with pytest.raises(io.UnsupportedOperation):
        file.tell()


def test_it_is_synced_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the sync is raised, and the file is closed all the same."""

    def refuse(fd: int) -> None:
        assert os.fstat(fd).st_size == 3
        raise OSError(5, "broken")

    monkeypatch.setattr(disk, "sync", refuse)
    with pytest.raises(OSError, match="broken"), Stream(str(tmp_path / "f")) as file:
        fd = file._fd
        assert fd is not None and file.write(b"abc") == 3
        file.finish()
    assert file.closed
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    """A new file is meant."""
    (tmp_path / "f").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        Stream(str(tmp_path / "f"))
    assert (tmp_path / "f").read_bytes() == b"mine"


def test_much_is_hashed_beside_writing(tmp_path: Path) -> None:
    """Also if it comes in small pieces; little is hashed at once, without a thread."""
    with Stream(str(tmp_path / "f")) as file:
        for i in range(6):
            file.write(bytes(CHUNK))
            assert ("hashing" in {thread.name.partition("_")[0] for thread in threading.enumerate()}) == (i >= 4)
        file.finish()


def test_the_digest_has_what_is_hashed_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if hashing begins only when everything is written and synced."""
    synced, sha256 = threading.Event(), hashlib.sha256

    class Late:
        def __init__(self) -> None:
            self.sha = sha256()

        def update(self, data: bytes) -> None:
            if threading.current_thread() is not threading.main_thread():
                synced.wait()
            self.sha.update(data)

        def digest(self) -> bytes:
            return self.sha.digest()

    monkeypatch.setattr(hashlib, "sha256", Late)
    monkeypatch.setattr(disk, "sync", lambda fd: synced.set())
    with Stream(str(tmp_path / "f")) as file:
        data = os.urandom(30 * CHUNK)
        for start in range(0, len(data), CHUNK):
            file.write(data[start : start + CHUNK])
        assert file.finish() == (sha256(data).digest(), len(data))


def test_the_disk_is_asked_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before the end; a system that does not take the advice is no error."""
    asked: list[int] = []

    def refuse(fd: int, *more: int) -> None:
        asked.append(os.fstat(fd).st_size)
        raise OSError(22, "no")

    monkeypatch.setattr(os, "posix_fadvise", refuse, raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_DONTNEED", 4, raising=False)
    with Stream(str(tmp_path / "f")) as file:
        file.write(bytes(20 * CHUNK))
        assert file.finish()[1] == 20 * CHUNK
    assert asked == [8 * CHUNK, 16 * CHUNK]


def test_memory_of_its_own_is_not_piled_up(tmp_path: Path) -> None:
    """Hashing is only some chunks behind where what is given takes memory until then."""
    with Stream(str(tmp_path / "f"), is_borrowed=False) as file:
        for _ in range(60):
            file.write(b"1" * CHUNK)
            assert len(file._hashing) <= 16
        file.finish()
