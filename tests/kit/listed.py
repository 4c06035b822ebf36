"""Checkpoints that only have to be found: any bytes for a model, and a state file without callbacks."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from states import tree_of

from callback_state._format.statefile import seal
from callback_state._store.pair import SUFFIX
from callback_state._store.staging import staged_path


def model_of(number: int) -> bytes:
    return f"model {number}".encode()


def state_of(number: int, model: bytes | None = None, **meta: Any) -> bytes:
    """The state file of save ``number``, which is its ``saved_at`` and its epoch."""
    data = model_of(number) if model is None else model
    tree = tree_of(**{"saved_at": number, "epoch": number, **meta})
    return seal(tree, hashlib.sha256(data).digest(), len(data))


def put(directory: Path, name: str, number: int, **meta: Any) -> Path:
    """A whole checkpoint; the path of its model file."""
    directory.mkdir(exist_ok=True)
    (directory / name).write_bytes(model_of(number))
    (directory / (name + SUFFIX)).write_bytes(state_of(number, **meta))
    return directory / name


def put_staged(model: Path, number: int) -> Path:
    """The staged state of save ``number`` of that model file."""
    path = Path(staged_path(str(model), hashlib.sha256(model_of(number)).digest()))
    path.write_bytes(state_of(number))
    return path


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
