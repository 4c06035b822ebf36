"""Checkpoints whose state file is hostile: as it is, or behind a trailer that is right in every digest."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from callback_state._read import dump

MODEL = b"a model file"
FIELDS = struct.Struct("<8sIQ32s32sQ")


def sealed(payload: bytes) -> bytes:
    """What :func:`callback_state._statefile.seal` would write, had it not looked at the payload."""
    digests = hashlib.sha256(payload).digest(), hashlib.sha256(MODEL).digest()
    fields = FIELDS.pack(b"\x89CBST\r\n\x1a", 1, len(payload), *digests, len(MODEL))
    return payload + fields + hashlib.sha256(fields).digest()


def checkpoint(directory: Path, state: bytes, name: str = "m.keras") -> Path:
    """A model file and that state file beside it."""
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_bytes(MODEL)
    path.with_name(f"{name}.callbacks.pkl").write_bytes(state)
    return path


def sealed_tree(tree: object) -> bytes:
    """Plain data that need not be true."""
    return sealed(dump(tree))
