"""Reading checkpoints: what is a pair, what is rejected, and what a reader sees while somebody writes."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from calls import between
from saves import NAME, STATE, Content, model_of, number_of, put, save, sealed, staged_name

from callback_state._format import statefile
from callback_state._store import disk
from callback_state._store import pair as _pair
from callback_state._store.pair import SUFFIX, Pair, open_pair, states
from callback_state._store.recover import recover
from callback_state.exceptions import (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    MismatchError,
    UnsupportedFormatError,
)

pytestmark = pytest.mark.usefixtures("quick_disk")


# Opening


@pytest.mark.parametrize("given", [NAME, STATE], ids=["model", "state"])
@pytest.mark.parametrize("staged", [False, True], ids=["plain", "staged"])
def test_a_pair_is_opened_by_either_path(tmp_path: Path, given: str, staged: bool) -> None:
    """Its paths are the conventional ones, wherever the state lies."""
    put(tmp_path, {NAME: model_of(1), staged_name(model_of(1)) if staged else STATE: sealed(1)})
    expected = statefile.unseal(sealed(1), "")
    assert open_pair(tmp_path / given) == Pair(str(tmp_path / NAME), str(tmp_path / STATE), expected)


def newer() -> bytes:
    """A state file of the next format."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statefile, "FORMAT", statefile.FORMAT + 1)
        return sealed(1)


BROKEN = {
    "nothing": ({}, CheckpointNotFoundError, NAME, "expected a model file, found nothing"),
    "no-state": (
        {NAME: model_of(1)},
        CheckpointNotFoundError,
        NAME,
        f"expected its state file {STATE} beside it, found none; put it back",
    ),
    "no-model": (
        {STATE: sealed(1)},
        CheckpointNotFoundError,
        NAME,
        f"expected the model file of {STATE}, found none; put it back",
    ),
    "other-model": (
        {NAME: model_of(1), STATE: sealed(2)},
        MismatchError,
        NAME,
        f"its state file {STATE} was written for the model file with SHA-256 "
        f"{hashlib.sha256(model_of(2)).hexdigest()[:12]}..., "
        f"found {hashlib.sha256(model_of(1)).hexdigest()[:12]}... in as many bytes: the model file was changed or "
        "damaged since, or is of another save. Use another checkpoint, or a copy of this one",
    ),
    "longer-model": (
        {NAME: model_of(1) + b"x", STATE: sealed(1)},
        MismatchError,
        NAME,
        f"... in {len(model_of(1)) + 1} bytes instead of {len(model_of(1))}: it was cut short, or belongs to "
        "another model file. Put the two files of one save together, or use another checkpoint",
    ),
    "empty-state": ({NAME: model_of(1), STATE: b""}, CorruptCheckpointError, STATE, "is empty"),
    "cut-state": ({NAME: model_of(1), STATE: sealed(1)[:-1]}, CorruptCheckpointError, STATE, "cut short"),
    "cut-staged-state": (
        {NAME: model_of(1), STATE: sealed(2), staged_name(model_of(1)): b"x"},
        CorruptCheckpointError,
        staged_name(model_of(1)),
        "1 bytes are too few",
    ),
    "lying-staged-state": (
        {NAME: model_of(1), staged_name(model_of(1)): sealed(2)},
        MismatchError,
        NAME,
        "was written for the model file with SHA-256",
    ),
    "newer-state": (
        {NAME: model_of(1), STATE: newer()},
        UnsupportedFormatError,
        STATE,
        "install a newer callback_state",
    ),
}


@pytest.mark.parametrize(("files", "error", "name", "words"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("given", [NAME, STATE], ids=["model", "state"])
def test_what_is_no_checkpoint_is_named(
    tmp_path: Path, files: Content, error: type[Exception], name: str, words: str, given: str
) -> None:
    """The error says which file is wrong or missing, and what to do."""
    put(tmp_path, files)
    with pytest.raises(error) as caught:
        open_pair(tmp_path / given)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert words in str(caught.value)
    assert type(caught.value) is error


def test_a_sparse_state_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is that of a state file, and says how long the file must be."""
    put(tmp_path, {NAME: model_of(1), STATE: b""})
    with open(tmp_path / STATE, "rb+") as file:
        file.seek(1 << 42)
        file.write(sealed(1))
    monkeypatch.setattr(disk, "read_bytes", lambda path: pytest.fail("read whole"))
    with pytest.raises(CorruptCheckpointError, match=r"expected \d+ bytes, as the trailer says, found 4398046511"):
        open_pair(tmp_path / NAME)


@pytest.mark.skipif(os.name == "nt", reason="Windows does not say what a file takes on the disk")
def test_a_sparse_state_file_with_a_right_trailer_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever forges it lets the trailer say what the system says; but the disk holds next to nothing."""
    put(tmp_path, {NAME: model_of(1), STATE: b""})
    size = 1 << 42
    fields = struct.pack("<8sHHQ32s32sQ", statefile.MAGIC, statefile.FORMAT, 0, size, bytes(32), bytes(32), 5)
    with open(tmp_path / STATE, "rb+") as file:
        file.seek(size)
        file.write(fields + hashlib.sha256(fields).digest())
    monkeypatch.setattr(disk, "read_bytes", lambda path: pytest.fail("read whole"))
    with pytest.raises(
        CorruptCheckpointError, match=r"found 4398046511\d+ bytes, of which the disk holds hardly any"
    ):
        open_pair(tmp_path / NAME)


def test_a_state_file_that_is_larger_than_the_memory_is_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the search goes on with an older checkpoint."""

    def read(path: str) -> bytes:
        raise MemoryError

    put(tmp_path, {NAME: model_of(1), STATE: sealed(1)})
    monkeypatch.setattr(disk, "read_bytes", read)
    with pytest.raises(CorruptCheckpointError, match="more than this machine has memory for"):
        open_pair(tmp_path / NAME)


def test_a_model_file_of_another_size_is_not_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The states that may be its own say how long it must be, those that are staged too."""
    put(tmp_path, {NAME: model_of(1) + b" ", STATE: sealed(1), staged_name(model_of(1)): sealed(1)})
    monkeypatch.setattr(disk, "digest", lambda path: pytest.fail("hashed"))
    with pytest.raises(MismatchError, match=r"found another\.\.\. in \d+ bytes instead of"):
        open_pair(tmp_path / NAME)


def test_a_damaged_state_file_does_not_hide_a_staged_one(tmp_path: Path) -> None:
    """The state that verifies and holds the digest is the one that counts."""
    put(tmp_path, {NAME: model_of(1), STATE: b"junk", staged_name(model_of(1)): sealed(1)})
    assert number_of(tmp_path / NAME) == 1


def test_a_directory_is_no_model_file(tmp_path: Path) -> None:
    """The error says what it is."""
    with pytest.raises(CheckpointNotFoundError, match="expected a model file, found a directory"):
        open_pair(tmp_path)


# While somebody writes


def test_a_reader_between_two_steps_looks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model was replaced just after the reader took its digest: it finds the new pair."""
    save(tmp_path / NAME, 1)
    between(monkeypatch, "digest", 1, lambda: save(tmp_path / NAME, 2))
    assert number_of(tmp_path / NAME) == 2


def test_a_reader_may_miss_the_staged_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was renamed between the reader's look at S and its look at the staged name."""
    put(tmp_path, {NAME: model_of(2), STATE: sealed(1), staged_name(model_of(2)): sealed(2)})
    between(monkeypatch, "read_bytes", 1, lambda: recover(tmp_path / NAME))
    assert number_of(tmp_path / NAME) == 2
    assert sorted(os.listdir(tmp_path)) == [NAME, STATE]


def test_a_reader_gives_up_when_it_changes_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks LOOKS times; and only once if nothing changed."""
    put(tmp_path, {NAME: model_of(2), STATE: sealed(1)})
    digest, looks = disk.digest, []
    changing = True

    def spy(path: str) -> Any:
        looks.append(path)
        if changing:
            (tmp_path / "new").write_bytes(b"%24d" % len(looks))  # one of the same size
            os.replace(tmp_path / "new", tmp_path / NAME)
        return digest(path)

    monkeypatch.setattr(disk, "digest", spy)
    with pytest.raises(MismatchError):
        open_pair(tmp_path / NAME)
    assert len(looks) == _pair.LOOKS
    changing = False
    looks.clear()
    with pytest.raises(MismatchError):
        open_pair(tmp_path / NAME)
    assert len(looks) == 1


# Listing


def test_the_states_of_a_directory_are_named_and_not_read(tmp_path: Path) -> None:
    """Each model file with every state that may be its own, also a damaged one, also that of a link."""
    put(tmp_path, {NAME: model_of(2), STATE: sealed(1), staged_name(model_of(2)): sealed(2)})
    put(tmp_path, {"n.keras": model_of(1), "o.keras" + SUFFIX: sealed(3), "p.h5" + SUFFIX: b""})
    put(tmp_path, {"log.csv": b"", "x.pkl": b"", SUFFIX: b"", ".h.keras": b"", "i" + SUFFIX: b""})
    save(tmp_path / "below" / "j.keras", 1)
    (tmp_path / "k.keras").mkdir()
    (tmp_path / "elsewhere").mkdir()
    put(tmp_path / "elsewhere", {NAME: model_of(4), STATE: sealed(4)})
    (tmp_path / "q.keras").symlink_to(tmp_path / "elsewhere" / NAME)
    (tmp_path / "r.keras").symlink_to(tmp_path / "nowhere" / NAME)
    found = {os.path.basename(path): list(map(os.path.basename, paths)) for path, paths in states(tmp_path)}
    assert found == {
        NAME: [STATE, staged_name(model_of(2))],
        "o.keras": ["o.keras" + SUFFIX],
        "p.h5": ["p.h5" + SUFFIX],
        "q.keras": [STATE],
    }
    assert all(path.exists() for path in tmp_path.iterdir() if not path.is_symlink())
    assert dict(states(tmp_path))[str(tmp_path / "q.keras")] == [str(tmp_path / "elsewhere" / STATE)]


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_listing_needs_a_directory(tmp_path: Path, name: str) -> None:
    """A missing directory is not an empty one."""
    put(tmp_path, {"file": b""})
    with pytest.raises(CheckpointNotFoundError, match="expected a directory of checkpoints"):
        states(tmp_path / name)
    assert states(tmp_path) == []
