"""The seam to the file system: what it writes is written, no error of the disk is hidden."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from saves import raises

from callback_state._store import disk

POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has neither umask nor directory sync")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The file descriptors that are open and were opened by ``os.open``."""
    fds: set[int] = set()
    real_open, real_close = os.open, os.close

    def spy_open(*args: Any, **kwargs: Any) -> int:
        fd = real_open(*args, **kwargs)
        fds.add(fd)
        return fd

    def spy_close(fd: int) -> None:
        fds.discard(fd)
        real_close(fd)

    monkeypatch.setattr(os, "open", spy_open)
    monkeypatch.setattr(os, "close", spy_close)
    return fds


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What ``os.fsync`` was called for: the names of files and directories."""
    names: list[str] = []
    real_open = os.open
    of: dict[int, str] = {}

    def spy_open(path: str, *args: Any, **kwargs: Any) -> int:
        fd = real_open(path, *args, **kwargs)
        of[fd] = os.path.basename(path)
        return fd

    monkeypatch.setattr(os, "open", spy_open)
    monkeypatch.setattr(os, "fsync", lambda fd: names.append(of[fd]))
    return names


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory at which the search for names that may not be durable ends."""
    monkeypatch.setattr(os.path, "ismount", lambda path: path == str(tmp_path))
    monkeypatch.setattr(disk, "_DURABLE", set())
    return tmp_path


@pytest.mark.parametrize("data", [b"", b"x", b"\r\n\x1a\0" * 1000], ids=["none", "one", "many"])
def test_bytes_are_written_and_synced(tmp_path: Path, synced: list[str], data: bytes) -> None:
    """The file holds exactly the bytes, and they were synced before the return."""
    path = tmp_path / "f"
    disk.write_bytes(str(path), data)
    assert path.read_bytes() == data
    assert synced == ["f"]


def test_a_large_file_is_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No system call is asked to write more than WRITE_SIZE bytes."""
    monkeypatch.setattr(disk, "WRITE_SIZE", 4)
    write, sizes = os.write, []
    monkeypatch.setattr(os, "write", lambda fd, data: sizes.append(len(data)) or write(fd, data))
    disk.write_bytes(str(tmp_path / "f"), memoryview(b"0123456789"))
    assert sizes == [4, 4, 2]
    assert (tmp_path / "f").read_bytes() == b"0123456789"


def test_a_write_of_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would otherwise be tried for ever."""
    monkeypatch.setattr(os, "write", lambda fd, data: 0)
    with pytest.raises(OSError, match="wrote nothing and reported no error"):
        disk.write_bytes(str(tmp_path / "f"), b"x")


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    """Only new files are written; a name is given by rename alone."""
    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        disk.write_bytes(str(tmp_path / "f"), b"new")
    assert (tmp_path / "f").read_bytes() == b"old"


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_an_error_of_the_disk_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: set[int], call: str, number: int
) -> None:
    """Whatever fails while a file is written, the caller hears of it, and nothing stays open."""
    monkeypatch.setattr(os, call, raises(number))
    with pytest.raises(OSError, match=os.strerror(number)):
        disk.write_bytes(str(tmp_path / "f"), b"x")
    assert opened == set()


def test_an_error_of_close_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS reports there that the data could not be written."""
    close = os.close
    monkeypatch.setattr(os, "close", lambda fd: (close(fd), raises(errno.EIO)()))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        disk.write_bytes(str(tmp_path / "f"), b"x")


def test_a_file_of_somebody_else_is_synced(tmp_path: Path, synced: list[str], opened: set[int]) -> None:
    """What a library wrote and closed is synced by name."""
    (tmp_path / "f").write_bytes(b"x")
    disk.sync_file(str(tmp_path / "f"))
    assert synced == ["f"]
    assert opened == set()


def test_a_file_that_cannot_be_synced_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a file there is no excuse, also where there is one for a directory."""
    (tmp_path / "f").write_bytes(b"x")
    monkeypatch.setattr(os, "fsync", raises(errno.EINVAL))
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        disk.sync_file(str(tmp_path / "f"))


@POSIX
@pytest.mark.parametrize("name", ["directory", ""], ids=["named", "current"])
def test_a_directory_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: list[str], name: str
) -> None:
    """The names in it are durable then; the empty path is the current directory."""
    (tmp_path / "directory").mkdir()
    monkeypatch.chdir(tmp_path)
    disk.sync_directory(name)
    assert synced == [name or "."]


@POSIX
@pytest.mark.parametrize(
    ("number", "passed_on"),
    [
        (errno.EINVAL, False),
        (errno.ENOTSUP, False),
        (errno.EACCES, False),
        (errno.EIO, True),
        (errno.ENOSPC, True),
        (errno.EROFS, True),
    ],
    ids=lambda value: errno.errorcode.get(value) if type(value) is int else None,
)
def test_a_mount_that_cannot_sync_directories_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, passed_on: bool
) -> None:
    """FUSE and CIFS say so in three ways; a disk that failed is another matter."""
    monkeypatch.setattr(os, "fsync", raises(number))
    if passed_on:
        with pytest.raises(OSError, match=os.strerror(number)):
            disk.sync_directory(str(tmp_path))
    else:
        disk.sync_directory(str(tmp_path))


def test_windows_cannot_sync_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There it is not even tried."""
    monkeypatch.setattr(disk, "WINDOWS", True)
    monkeypatch.setattr(os, "fsync", raises(errno.EIO))
    disk.sync_directory(str(tmp_path))


@POSIX
@pytest.mark.parametrize(
    ("number", "falls_back"),
    [(None, False), (errno.ENOTSUP, True), (errno.EINVAL, True), (errno.ENOTTY, True)],
    ids=["supported", "ENOTSUP", "EINVAL", "ENOTTY"],
)
def test_macos_empties_the_cache_of_the_drive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: list[str], number: int | None, falls_back: bool
) -> None:
    """It uses F_FULLFSYNC, and fsync only where the file system does not know that."""
    import fcntl

    calls: list[int] = []
    failing = raises(number) if number else lambda: None
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda fd, command: calls.append(command) or failing())
    disk.write_bytes(str(tmp_path / "f"), b"x")
    assert calls == [51]
    assert synced == (["f"] if falls_back else [])


@POSIX
def test_macos_does_not_sync_again_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: list[str]
) -> None:
    """A second sync would report success for data that is lost."""
    import fcntl

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", raises(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        disk.write_bytes(str(tmp_path / "f"), b"x")
    assert synced == []


@POSIX
def test_missing_directories_are_made_durable(mount: Path, synced: list[str]) -> None:
    """A file in a directory whose own name was lost would be lost too."""
    disk.make_directories(str(mount / "a" / "b" / "c"))
    assert (mount / "a" / "b" / "c").is_dir()
    assert synced == [mount.name, "a", "b"]
    disk.make_directories(str(mount / "a" / "b"))
    disk.make_directories("")
    assert synced == [mount.name, "a", "b"]


@POSIX
def test_directories_that_are_there_are_made_durable_once(mount: Path, synced: list[str]) -> None:
    """Whoever made them may have died before he synced; and one that was made anew is another one."""
    (mount / "a" / "b").mkdir(parents=True)
    for _ in range(2):
        disk.make_directories(str(mount / "a" / "b"))
        assert synced == [mount.name, "a"]
    (mount / "a" / "b").rename(mount / "a" / "c")
    (mount / "a" / "b").mkdir()
    disk.make_directories(str(mount / "a" / "b"))
    assert synced == [mount.name, "a", "a"]


@POSIX
def test_a_directory_that_could_not_be_made_durable_is_tried_again(
    mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it is there now does not say that its name will last."""
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", raises(errno.EIO))
            with pytest.raises(OSError, match=os.strerror(errno.EIO)):
                disk.make_directories(str(mount / "a"))
    disk.make_directories(str(mount / "a"))


class Busy:
    """``os.replace`` while a reader holds the file open for the first few tries."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
        self.failures, self.tries, self.slept = failures, 0, []
        monkeypatch.setattr(os, "replace", self.replace)
        monkeypatch.setattr(disk.time, "sleep", self.slept.append)

    def replace(self, source: str, target: str) -> None:
        self.tries += 1
        if self.tries <= self.failures:
            raise PermissionError(errno.EACCES, "somebody reads")


def test_windows_waits_for_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename that fails because somebody reads is tried again, after growing pauses."""
    monkeypatch.setattr(disk, "WINDOWS", True)
    busy = Busy(monkeypatch, 3)
    disk.rename("a", "b")
    assert busy.tries == 4
    assert busy.slept == list(disk.RETRY_DELAYS[:3]) == sorted(busy.slept)
    busy = Busy(monkeypatch, 1000)  # one that never ends is an error, not a run that hangs
    with pytest.raises(PermissionError, match="somebody reads"):
        disk.rename("a", "b")
    assert sum(busy.slept) == pytest.approx(2.0)


def test_elsewhere_a_refused_rename_is_refused_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without write permission does not become writable by waiting."""
    monkeypatch.setattr(disk, "WINDOWS", False)
    busy = Busy(monkeypatch, 1)
    with pytest.raises(PermissionError):
        disk.rename("a", "b")
    assert (busy.tries, busy.slept) == (1, [])


def test_what_is_removed_may_be_gone_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes may sweep at once, and the other be the faster one at any moment."""
    (tmp_path / "f").write_bytes(b"")
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "f").write_bytes(b"")
    for _ in range(2):
        disk.remove(str(tmp_path / "f"))
        disk.remove_tree(str(tmp_path / "d"))
    monkeypatch.setattr(disk, "is_tree", lambda path: True)
    disk.remove_tree(str(tmp_path / "d"))
    assert os.listdir(tmp_path) == []


SIZES = [0, 1, disk.READ_SIZE - 1, disk.READ_SIZE, disk.READ_SIZE + 1, 3_000_001]


@pytest.mark.parametrize("size", SIZES)
def test_digest_is_sha256_and_size(tmp_path: Path, size: int) -> None:
    """At every edge of the blocks that it reads."""
    data = os.urandom(size)
    (tmp_path / "f").write_bytes(data)
    for wanted in (0, 1, size, size + 1):
        assert disk.read_end(str(tmp_path / "f"), wanted) == data[max(0, size - wanted) :]
    assert disk.digest(str(tmp_path / "f")) == (hashlib.sha256(data).digest(), size)
    assert disk.read_bytes(str(tmp_path / "f")) == data


@POSIX
@pytest.mark.parametrize("function", [disk.digest, disk.read_bytes, disk.sync_file, disk.sync_directory])
def test_a_missing_file_is_an_error(tmp_path: Path, function: Any) -> None:
    """Nobody takes a missing file for an empty one, or a missing directory for one that cannot be synced."""
    with pytest.raises(FileNotFoundError):
        function(str(tmp_path / "f"))


@pytest.mark.skipif(os.name == "nt", reason="no pipes with names there")
@pytest.mark.parametrize("kind", ["pipe", "device", "link-to-a-device"])
@pytest.mark.parametrize("function", [disk.digest, disk.read_bytes, lambda path: disk.read_end(path, 9)])
def test_what_never_ends_is_not_read(tmp_path: Path, function: Any, kind: str) -> None:
    """A pipe without a writer would let the reader wait for ever, a device fill its memory."""
    path = tmp_path / "f"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link-to-a-device":
        path.symlink_to("/dev/zero")
    with pytest.raises(disk.NoFileError, match="expected a regular file, found a pipe"):
        function("/dev/zero" if kind == "device" else str(path))


def test_identity_follows_the_file_not_the_name(tmp_path: Path) -> None:
    """A renamed file keeps it; a name that another file took, or that is gone, does not."""
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    disk.write_bytes(a, b"x")
    disk.write_bytes(b, b"x")
    os.utime(a, ns=(1, 1))
    os.utime(b, ns=(1, 1))  # as two files that were written in the same moment
    of_a, of_b = disk.identity(a), disk.identity(b)
    assert of_a != of_b
    disk.rename(a, b)
    assert disk.identity(b) == of_a
    assert disk.identity(a) is None


def test_sync_and_digest_does_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest is that of the file, and the file is synced when the call returns."""
    path = tmp_path / "model"
    path.write_bytes(b"model")
    synced: list[str] = []
    monkeypatch.setattr(disk, "sync_file", synced.append)
    assert disk.sync_and_digest(str(path)) == (hashlib.sha256(b"model").digest(), 5)
    assert synced == [str(path)]


@pytest.mark.parametrize("step", ["sync_file", "digest"])
def test_a_fault_of_one_is_a_fault_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """An error in another thread is not lost."""
    path = tmp_path / "model"
    path.write_bytes(b"model")

    def fails(path: str) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(disk, step, fails)
    with pytest.raises(OSError, match="Input/output"):
        disk.sync_and_digest(str(path))
