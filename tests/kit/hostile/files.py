"""Checkpoints whose state file is hostile: as it is, or behind a trailer that is right in every digest."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

from states import GENERATORS, META, RUN, summary

from callback_state._checkpoints.summary import PLACEHOLDER
from callback_state._format.pickles import dump

from .tables import Liar

MODEL = b"a model file"
FIELDS = struct.Struct("<8sHHQ32s32sQ")


def sealed(payload: bytes) -> bytes:
    """What :func:`callback_state._format.statefile.seal` would write, had it not looked at the payload."""
    digests = hashlib.sha256(payload).digest(), hashlib.sha256(MODEL).digest()
    fields = FIELDS.pack(b"\x89CBST\r\n\x1a", 1, 0, len(payload), *digests, len(MODEL))
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


def forged(training_args: object = None, meta: dict[str, Any] | None = None, state: object = None) -> list[Any]:
    """The tree of a state file in which one value, or some of ``meta``, is not as it should be."""
    encoder = Liar()
    args = {"value": training_args} if training_args is not None else {}
    said = {**META, "callbacks": [], "training_args": args, **(meta or {})}
    encoder.nodes.append(summary(said).node() if len(said["monitor"]) == 2 else PLACEHOLDER)
    named = said["callbacks"] if isinstance(said["callbacks"], list) else []
    states = {entry["key"]: {} for entry in named} if state is None else state
    state_root = encoder.table(states).root
    return [
        encoder.nodes,
        encoder.table({"meta": said, "run": {**RUN, "generators": GENERATORS}}).root,
        state_root,
        [],
    ]


def described(cls: str, key: str | None = None, **arguments: Any) -> dict[str, Any]:
    """A callback of a state file; its arguments are (kind, data, place in the by-value section)."""
    key = key or cls.rpartition(".")[2]
    return {
        "key": key,
        "class": cls,
        "version": 1,
        "arguments": arguments,
        "outside": None,
        "in_place": [],
        "files": {},
    }


def value(made: object) -> tuple[Any, ...]:
    """An argument of a constructor: a value, as a table of its own."""
    table = Liar().table(made)
    return ("value", (table.nodes, table.root), None)
