"""Arrays files: written once, linked by later saves, verified with their checkpoint, removed with its state."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saves import NAME, STATE, Writer, arrays_in, blocks_of, number_of, raises, save, sealed, write_model

from callback_state._format.blocks import ArraysFile, Blocks, Entry
from callback_state._store import arrays, commit, disk, recover
from callback_state._store.pair import open_pair
from callback_state.exceptions import CallbackStateError, CheckpointNotFoundError, CorruptCheckpointError

BEST = (b"the best weights",)


@pytest.fixture(autouse=True)
def _no_file_has_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_SERVED", {})


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """How often each piece of bytes was written."""
    found: Counter[bytes] = Counter()
    write_all = disk.write_all

    def counted(fd: int, rest: memoryview) -> None:
        found[bytes(rest)] += 1
        write_all(fd, rest)

    monkeypatch.setattr(disk, "write_all", counted)
    return found


def saves(directory: Path, numbers: range, keep: int | None = None) -> list[int]:
    """Save checkpoints with the same arrays; the number (inode) of the arrays file of each."""
    writer = Writer(directory, "{epoch:03d}.keras", keep, arrays=lambda number: BEST)
    found = []
    for number in numbers:
        writer.save(number)
        found.append(arrays_file(writer.path(number)).stat().st_ino)
    return found


def arrays_file(model: Path, content: tuple[bytes, ...] = BEST) -> Path:
    (name,) = arrays_in(model, content)
    return model.with_name(name)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.arrays"))


def test_the_same_arrays_are_linked_and_not_written(tmp_path: Path, written: Counter[bytes]) -> None:
    """The second checkpoint has a file of its own name, which is the first one's."""
    first, second = saves(tmp_path, range(1, 3))
    assert first == second and written[BEST[0]] == 1
    assert names(tmp_path) == [arrays_file(tmp_path / f"00{n}.keras").name for n in (1, 2)]


def test_under_a_fixed_name_the_file_stays(tmp_path: Path, written: Counter[bytes]) -> None:
    """Arrays that changed replace the old ones, the others are neither written nor linked."""
    for number in (1, 2):
        save(tmp_path / NAME, number, arrays=(*BEST, b"average %d" % number))
    assert names(tmp_path) == sorted(arrays_in(NAME, (*BEST, b"average 2")))
    assert written[BEST[0]] == 1 and written[b"average 2"] == 1
    assert arrays_file(tmp_path / NAME).stat().st_nlink == 1


@pytest.mark.parametrize("keep", [None, 2], ids=["all are kept", "two are kept"])
def test_every_tenth_save_writes_a_fresh_copy(tmp_path: Path, keep: int | None) -> None:
    """So a damaged block does not damage all checkpoints, also where old ones are deleted."""
    found = saves(tmp_path, range(1, 24), keep)
    assert [*map(len, (set(found[:10]), set(found[10:20]), set(found[20:])))] == [1, 1, 1]
    assert found[9] != found[10] and found[19] != found[20]


def test_a_new_process_counts_the_links(tmp_path: Path) -> None:
    """It does not know what the file has served, only which names it has."""
    first = saves(tmp_path, range(1, 11))
    arrays._SERVED.clear()
    assert saves(tmp_path, range(11, 12))[0] not in first


def test_under_a_fixed_name_the_tenth_save_writes_too(tmp_path: Path, written: Counter[bytes]) -> None:
    """There it is not a link that is counted, but the save."""
    for number in range(1, 12):
        save(tmp_path / NAME, number, arrays=BEST)
    assert written[BEST[0]] == 2


@pytest.mark.parametrize("damage", [b"the best weightz", b"short", b""])
def test_a_damaged_file_is_not_linked(tmp_path: Path, damage: bytes) -> None:
    """It is read before, and the arrays are written anew."""
    saves(tmp_path, range(1, 2))
    arrays_file(tmp_path / "001.keras").write_bytes(damage)
    saves(tmp_path, range(2, 3))
    assert number_of(tmp_path / "002.keras") == 2
    assert arrays_file(tmp_path / "001.keras").read_bytes() == damage


def test_a_damaged_file_in_the_place_is_replaced(tmp_path: Path) -> None:
    """A save under a fixed name cures its own file."""
    save(tmp_path / NAME, 1, arrays=BEST)
    arrays_file(tmp_path / NAME).write_bytes(b"the best weightz")
    save(tmp_path / NAME, 2, arrays=BEST)
    assert number_of(tmp_path / NAME) == 2


def test_a_source_that_cannot_be_read_is_not_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that reports an error has lost the block."""
    saves(tmp_path, range(1, 2))
    with monkeypatch.context() as patch:
        patch.setattr(disk, "opened", raises(errno.EIO))
        patch.setattr(recover, "sweep_arrays", raises(errno.EIO))
        patch.setattr(commit, "sweep_arrays", lambda *args: None)
        save(tmp_path / "002.keras", 2, arrays=BEST)
    assert number_of(tmp_path / "002.keras") == 2
    assert arrays_file(tmp_path / "002.keras").stat().st_nlink == 1


@pytest.mark.parametrize("number", sorted(arrays._NO_LINK), ids=errno.errorcode.get)
def test_where_links_do_not_work_the_arrays_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A file system without links, another one, or one that has made its last."""
    saves(tmp_path, range(1, 2))
    monkeypatch.setattr(disk, "link", raises(number))
    saves(tmp_path, range(2, 3))
    assert number_of(tmp_path / "002.keras") == 2
    assert {arrays_file(tmp_path / f"00{n}.keras").stat().st_nlink for n in (1, 2)} == {1}


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_an_error_of_the_disk_is_not_hidden_by_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The save fails, and the checkpoint before is whole."""
    saves(tmp_path, range(1, 2))
    monkeypatch.setattr(disk, "link", raises(number))
    with pytest.raises(OSError) as caught:
        saves(tmp_path, range(2, 3))
    assert caught.value.errno == number
    assert number_of(tmp_path / "001.keras") == 1 and len(names(tmp_path)) == 1


@pytest.mark.parametrize("name", ["001.keras", "002.keras"], ids=["linked", "in place"])
def test_a_file_whose_sync_failed_is_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The system has lost what it could not write, and would report success the next time."""
    saves(tmp_path, range(1, 3))
    before = arrays_file(tmp_path / "001.keras").stat().st_ino
    with monkeypatch.context() as patch, pytest.raises(OSError):
        sync = disk.sync_file
        patch.setattr(disk, "sync_file", lambda p: raises(errno.EIO)() if p.endswith(".arrays") else sync(p))
        save(tmp_path / name.replace("001", "003"), 4, arrays=BEST)
    save(tmp_path / "002.keras", 5, arrays=BEST)
    assert arrays_file(tmp_path / "002.keras").stat().st_ino != before


def test_an_array_that_changes_while_it_is_written_fails_the_save(tmp_path: Path) -> None:
    """A thread of the user may change it; a file with another digest could never be restored."""
    array = np.zeros(9)
    blocks = Blocks()
    blocks.add(array, "C", "Average.value")
    files = blocks.files()
    array[3] = 1
    writing = commit.write(tmp_path / NAME, lambda p: write_model(p, b"model"), lambda *args: b"", arrays=files)
    with pytest.raises(OSError, match="an array of a callback was changed while it was saved"), writing:
        pytest.fail("written")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few people make links")
def test_a_link_in_the_place_of_arrays_is_refused(tmp_path: Path) -> None:
    """To write, and to read: neither goes where somebody's archive leads."""
    save(tmp_path / NAME, 1, arrays=BEST)
    path = arrays_file(tmp_path / NAME)
    path.rename(tmp_path / "precious")
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(CorruptCheckpointError, match="expected a file of arrays, found a link"):
        open_pair(tmp_path / NAME)
    with pytest.raises(OSError, match="expected a name without a link") as caught:
        save(tmp_path / NAME, 2, arrays=BEST)
    assert caught.value.errno == errno.ELOOP and (tmp_path / "precious").read_bytes() == BEST[0]


def _of_another_save(path: Path) -> None:
    path.write_bytes(bytes(reversed(path.read_bytes())))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("act", "kind", "said"),
    [
        pytest.param(
            Path.unlink, CheckpointNotFoundError, "expected this file, which has the large arr", id="missing"
        ),
        pytest.param(lambda p: p.write_bytes(b"the"), CorruptCheckpointError, "16 bytes of arrays,", id="cut"),
        pytest.param(lambda p: p.write_bytes(bytes(17)), CorruptCheckpointError, "found 17", id="longer"),
        pytest.param(_of_another_save, CorruptCheckpointError, "does not have the SHA-256", id="of another save"),
        pytest.param(_pipe, CorruptCheckpointError, "expected a regular file", id="pipe"),
        pytest.param(_directory, CorruptCheckpointError, "expected a regular file", id="directory"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="no pipes there")
def test_a_pair_without_its_arrays_is_an_error_that_names_the_file(
    tmp_path: Path, act: Any, kind: type[CallbackStateError], said: str
) -> None:
    """Missing, cut, damaged: nobody waits, and the error says which file it is."""
    save(tmp_path / NAME, 1, arrays=BEST)
    act(arrays_file(tmp_path / NAME))
    with pytest.raises(kind, match=said) as caught:
        open_pair(tmp_path / NAME)
    assert caught.value.path == str(arrays_file(tmp_path / NAME))
    assert not recover.recover(tmp_path / NAME)


@pytest.mark.skipif(os.name == "nt", reason="Windows does not say what a file takes on the disk")
def test_a_file_of_holes_that_could_fill_the_memory_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has written so much; zeros that fit into the memory are read, as a disk may compress them."""
    zeros = (bytes(1 << 24),)
    save(tmp_path / NAME, 1, arrays=zeros)
    path = arrays_file(tmp_path / NAME, zeros)
    path.unlink()
    with open(path, "wb") as file:
        file.truncate(1 << 24)
    assert number_of(tmp_path / NAME) == 1
    monkeypatch.setattr(disk, "memory", lambda: 1 << 24)
    with pytest.raises(CorruptCheckpointError, match="16777216 bytes, of which the disk holds hardly any"):
        open_pair(tmp_path / NAME)


def test_a_checkpoint_is_copied_by_the_name_of_its_model(tmp_path: Path) -> None:
    """``cp 003.keras*`` takes all of it along, and a copy is linked no more."""
    saves(tmp_path / "ckpt", range(1, 4))
    (tmp_path / "copy").mkdir()
    for path in (tmp_path / "ckpt").glob("003.keras*"):
        shutil.copy(path, tmp_path / "copy")
    shutil.rmtree(tmp_path / "ckpt")
    assert number_of(tmp_path / "copy" / "003.keras") == 3


def test_each_block_is_read_from_its_place(tmp_path: Path) -> None:
    """Several arrays of one callback lie in one file."""
    parts = [np.full(n, n, "u1") for n in (3, 5, 2)]
    blocks = Blocks()
    for part in parts:
        blocks.add(part, "C", "Average.values")
    (file,) = blocks.files()
    model = str(tmp_path / NAME)
    (tmp_path / os.path.basename(arrays.path_of(model, file.described))).write_bytes(b"".join(map(bytes, parts)))
    for number, part in enumerate(parts):
        memory = bytearray(len(part))
        arrays.read_block(model, file.described, number, memoryview(memory))
        assert memory == bytes(part)
    swapped = ArraysFile(tuple(reversed(file.described.blocks)))
    with pytest.raises(CheckpointNotFoundError):
        arrays.read_block(model, swapped, 0, memoryview(bytearray(2)))


def test_very_many_blocks_are_read_one_by_one(tmp_path: Path) -> None:
    """To find one, nobody goes through all before it: a small file could name so many that this never ends."""
    looked: Counter[int] = Counter()

    class Block(Entry):
        def __getattribute__(self, name: str) -> Any:
            looked[id(self)] += name == "size"
            return super().__getattribute__(name)

    digest = hashlib.sha256(b"!").digest()
    file = ArraysFile(tuple(Block(0, 1, digest) for _ in range(100)))
    model = str(tmp_path / NAME)
    Path(arrays.path_of(model, file)).write_bytes(b"!" * 100)
    for number in range(100):
        arrays.read_block(model, file, number, memoryview(bytearray(1)))
    assert max(looked.values()) < 10


def test_what_is_read_is_what_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage that comes after the checkpoint was verified is found where the bytes are read; so is a file that
    went, or that the disk cannot read."""
    save(tmp_path / NAME, 1, arrays=BEST)
    file, path = blocks_of(BEST).files()[0].described, arrays_file(tmp_path / NAME)

    def read() -> None:
        arrays.read_block(str(tmp_path / NAME), file, 0, memoryview(bytearray(16)))

    read()
    path.write_bytes(b"the best weightz")
    with pytest.raises(CorruptCheckpointError, match="does not have the SHA-256"):
        read()
    path.write_bytes(BEST[0] + b"!")
    with pytest.raises(CorruptCheckpointError, match="found 17"):
        read()
    path.unlink()
    with pytest.raises(CheckpointNotFoundError):
        read()
    monkeypatch.setattr(disk, "opened", raises(errno.EIO))
    with pytest.raises(CorruptCheckpointError, match="cannot be read"):
        read()


# Removing.


def test_a_checkpoint_is_deleted_with_its_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model first, its arrays last; another checkpoint that shares them keeps them."""
    saves(tmp_path, range(1, 3))
    gone: list[str] = []
    remove = disk.remove
    monkeypatch.setattr(disk, "remove", lambda path: [gone.append(os.path.basename(path)), remove(path)])
    commit.delete(tmp_path / "001.keras")
    assert gone[0] == "001.keras" and gone[-1] == arrays_file(tmp_path / "001.keras").name
    assert number_of(tmp_path / "002.keras") == 2 and len([*tmp_path.iterdir()]) == 3


def test_a_sweep_leaves_what_a_save_in_flight_needs(tmp_path: Path) -> None:
    """A thread of this process has put its arrays in place, and its state not yet."""
    save(tmp_path / NAME, 1, arrays=BEST)
    new = (b"better weights",)
    entries = blocks_of(new).entries()
    writing = commit.write(
        tmp_path / NAME,
        lambda path: write_model(path, b"model 2"),
        lambda digest, size: commit_state(digest, size, entries),
        arrays=blocks_of(new).files(),
    )
    with writing as written:
        for staged, path in written.arrays:
            disk.rename(staged, path)
        written.arrays.clear()
        recover.recover_all(tmp_path)
        recover.sweep(str(tmp_path / NAME), disk.identity(str(tmp_path / NAME)))
        assert len(names(tmp_path)) == 2
        commit.commit(written)
    assert names(tmp_path) == [*arrays_in(NAME, new)] and open_pair(tmp_path / NAME).sealed.tree == [2]


def commit_state(digest: bytes, size: int, entries: Any) -> bytes:
    from callback_state._format.statefile import seal

    return seal([2], digest, size, blocks=entries)


def test_a_state_that_replaces_another_removes_its_arrays(tmp_path: Path) -> None:
    """Those that the new state has too stay as they are."""
    save(tmp_path / NAME, 1, arrays=(*BEST, b"average"))
    new = sealed(2, (tmp_path / NAME).read_bytes(), BEST)
    commit.commit_state(tmp_path / NAME, new, blocks_of(BEST).files())
    assert number_of(tmp_path / NAME) == 2 and names(tmp_path) == [*arrays_in(NAME, BEST)]


def test_a_save_that_fails_leaves_no_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may fill the disk, and perhaps no other save comes."""
    save(tmp_path / NAME, 1, arrays=BEST)
    rename = disk.rename
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(disk, "rename", lambda a, b: rename(a, b) if b.endswith(".arrays") else raises(errno.EIO)())
        save(tmp_path / NAME, 2, arrays=(b"better",))
    assert names(tmp_path) == [*arrays_in(NAME, BEST)] and number_of(tmp_path / NAME) == 1


def test_arrays_without_model_and_state_are_left_over(tmp_path: Path) -> None:
    """A deletion was interrupted before its last step."""
    saves(tmp_path, range(1, 3))
    for name in ("001.keras", "001.keras.callbacks.pkl"):
        (tmp_path / name).unlink()
    left = arrays_file(tmp_path / "001.keras").name
    assert recover.leftovers(tmp_path) == {left: "001.keras"}
    assert recover.recover_all(tmp_path) == [] and recover.leftovers(tmp_path) == {}
    assert number_of(tmp_path / "002.keras") == 2


@pytest.mark.parametrize("state", [None, b"damaged", sealed(9, b"of another model")[:-1]])
def test_arrays_stay_where_it_is_not_certain_that_nobody_needs_them(tmp_path: Path, state: bytes | None) -> None:
    """The state was lost, or cannot be read: it may come back from a backup."""
    save(tmp_path / NAME, 1, arrays=BEST)
    (tmp_path / STATE).unlink()
    if state is not None:
        (tmp_path / STATE).write_bytes(state)
    recover.recover_all(tmp_path)
    recover.sweep(str(tmp_path / NAME), disk.identity(str(tmp_path / NAME)))
    assert names(tmp_path) == [*arrays_in(NAME, BEST)]


def test_arrays_of_a_state_whose_model_was_lost_stay(tmp_path: Path) -> None:
    """Put the model back, and the checkpoint is whole."""
    save(tmp_path / NAME, 1, arrays=BEST)
    model = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).unlink()
    recover.recover_all(tmp_path)
    (tmp_path / NAME).write_bytes(model)
    assert number_of(tmp_path / NAME) == 1


def test_other_files_of_such_names_are_nobodys_leftovers(tmp_path: Path) -> None:
    """Another number of digits, another ending, or no model file's name before them."""
    save(tmp_path / NAME, 1, arrays=BEST)
    digits = "0" * 64
    others = [
        f"{NAME}.callbacks.{digits[1:]}.arrays",
        f"{NAME}.callbacks.{digits}.array",
        f"x.callbacks.{digits}.arrays",
    ]
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    recover.recover_all(tmp_path)
    save(tmp_path / NAME, 2, arrays=BEST)
    assert {*others} <= {path.name for path in tmp_path.iterdir()}


def test_a_sweep_that_fails_is_tried_again_at_the_next_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint is whole, so the save has succeeded; the old arrays go later."""
    save(tmp_path / NAME, 1, arrays=BEST)
    with monkeypatch.context() as patch:
        remove = disk.remove
        patch.setattr(disk, "remove", lambda p: raises(errno.EACCES)() if p.endswith(".arrays") else remove(p))
        save(tmp_path / NAME, 2, arrays=(b"better",))
    assert number_of(tmp_path / NAME) == 2 and len(names(tmp_path)) == 2
    save(tmp_path / "other.keras", 1)
    assert names(tmp_path) == [*arrays_in(NAME, (b"better",))]
