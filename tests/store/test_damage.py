"""Damage to the files of a checkpoint is found before anything in them is believed."""

from __future__ import annotations

import os
import pickle
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from saves import NAME, STATE, Writer, model_of, number_in, number_of, save, sealed

from callback_state._format import statefile
from callback_state._store import disk
from callback_state._store.pair import MODEL_SUFFIXES, SUFFIX, open_pair
from callback_state.exceptions import CallbackStateError, CorruptCheckpointError, MismatchError

MODEL = random.Random(1).randbytes(300_000)


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is unpickled, neither by our interpreter nor by Python's."""

    def refuse(*args: Any, **options: Any) -> None:
        pytest.fail("damaged bytes were unpickled")

    monkeypatch.setattr(statefile, "parse", refuse)
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save(tmp_path / NAME, 1, MODEL)
    return tmp_path / NAME


@pytest.mark.usefixtures("untouched")
def test_every_byte_of_a_state_file(checkpoint: Path) -> None:
    """One flipped, at every place; and every length that is too short, and some that are too long."""
    state = checkpoint.with_name(STATE)
    data = state.read_bytes()
    flipped = (data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :] for at in range(len(data)))
    cut = (data[:length] for length in range(len(data)))
    longer = (data + bytes(more) for more in range(1, 300))
    for damaged in (*flipped, *cut, *longer):
        with pytest.raises(CorruptCheckpointError):
            statefile.unseal(damaged, str(state))
    for damaged in (data[:-1], data + b"\0", data[:50] + b"?" + data[51:]):
        state.write_bytes(damaged)
        with pytest.raises(CorruptCheckpointError) as caught:
            open_pair(checkpoint)
        assert caught.value.path == str(state)


def test_every_thousandth_byte_of_a_model_file(checkpoint: Path) -> None:
    """One flipped, or the file cut there, or longer: it is not the file that the state was written for."""
    for at in range(0, len(MODEL), 1000):
        with open(checkpoint, "r+b") as file:
            file.seek(at)
            file.write(bytes([MODEL[at] ^ 1]))
        with pytest.raises(MismatchError, match="was written for the model file with SHA-256"):
            open_pair(checkpoint)
        with open(checkpoint, "r+b") as file:
            file.seek(at)
            file.write(MODEL[at : at + 1])
    assert open_pair(checkpoint).sealed.tree == [1]
    for data in (b"", MODEL[:1], MODEL[:-1], MODEL + b"\0", MODEL[1:]):
        checkpoint.write_bytes(data)
        with pytest.raises(MismatchError):
            open_pair(checkpoint)


@pytest.mark.usefixtures("untouched")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.tuples(
            st.sampled_from(["a", "a.final", "b", "001"]),
            st.sampled_from(MODEL_SUFFIXES),
            st.sampled_from(["", SUFFIX]),
        ).map("".join),
        st.one_of(st.binary(max_size=400), st.binary(max_size=200).map(lambda b: b + sealed(1)[-124:])),
        max_size=6,
    )
)
def test_random_files_with_the_right_names(tmp_path: Path, files: dict[str, bytes]) -> None:
    """None of them is a checkpoint, each is named once, and no other error comes out."""
    for name in os.listdir(tmp_path):
        (tmp_path / name).unlink()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    for name in files:
        with pytest.raises(CallbackStateError):
            open_pair(tmp_path / name)


def test_a_file_is_replaced_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers beside a writer that never rests find a whole checkpoint every time, never an older one."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    writer = Writer(tmp_path, NAME, model=lambda number: model_of(number) * 5000)
    writer.save(1)
    found: list[int] = []
    ended = threading.Event()

    def write() -> None:
        try:
            for number in range(2, 102):
                writer.save(number)
        finally:
            ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not ended.is_set():
        found.append(int(open_pair(tmp_path / NAME).sealed.tree[0]))  # type: ignore[index]
    thread.join()
    assert number_of(tmp_path / NAME) == 101
    assert found == sorted(found)
    assert len(set(found)) > 10, "hardly a read came between two saves"


def test_what_is_read_is_what_was_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state file that changes just after it was read counts as it was read: its bytes are read once."""
    save(tmp_path / NAME, 1)
    reads: list[str] = []
    read_bytes = disk.read_bytes

    def spy(path: str) -> bytes:
        reads.append(path)
        data = read_bytes(path)
        Path(path).write_bytes(b"junk")
        return data

    monkeypatch.setattr(disk, "read_bytes", spy)
    assert number_in(open_pair(tmp_path / NAME)) == 1
    assert reads == [str(tmp_path / STATE)]
