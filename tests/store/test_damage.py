"""Damage to the files of a checkpoint is found before anything in them is believed."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest
from saves import NAME, STATE, Writer, model_of, number_in, number_of, save

from callback_state._store import disk
from callback_state._store.pair import open_pair
from callback_state.exceptions import MismatchError

MODEL = random.Random(1).randbytes(300_000)


def test_every_thousandth_byte_of_a_model_file(tmp_path: Path) -> None:
    """One flipped, or the file cut there, or longer: it is not the file that the state was written for."""
    checkpoint = tmp_path / NAME
    save(checkpoint, 1, MODEL)
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
        found.append(int(open_pair(tmp_path / NAME).sealed.tree[0]))
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
