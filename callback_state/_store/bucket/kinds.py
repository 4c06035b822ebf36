"""Which objects of a directory in a store are files of checkpoints, by their names. All others are left alone."""

from __future__ import annotations

import enum
import os
from typing import NamedTuple

from .. import arrays
from ..pair import MODEL_SUFFIXES, SUFFIX
from ..staging import hidden


class Kind(enum.IntEnum):
    """What a file of a checkpoint is. The files of one checkpoint are put into the store in this order."""

    ARRAYS = 1
    STAGED = 2  # a staged state
    MODEL = 3
    STATE = 4


class File(NamedTuple):
    """What the name of a file says: the name of its model file, and its kind."""

    base: str
    kind: Kind

    @property
    def is_large(self) -> bool:
        """Whether it is fetched only when somebody opens it."""
        return self.kind in (Kind.ARRAYS, Kind.MODEL)


def file_of(name: str) -> File | None:
    """What a name says; None if it is not that of a file of a checkpoint. A store may have any name."""
    if os.path.basename(name) != name or "\0" in name or "\\" in name:
        return None
    found = hidden(name)
    if found is not None:
        return File(found.base, Kind.STAGED) if found.is_state and found.base.endswith(MODEL_SUFFIXES) else None
    if name.startswith("."):
        return None
    model = arrays.model_of(name)
    if model is not None and model.endswith(MODEL_SUFFIXES):
        return File(model, Kind.ARRAYS)
    base = name.removesuffix(SUFFIX)
    if base.endswith(MODEL_SUFFIXES):
        return File(base, Kind.MODEL if base == name else Kind.STATE)
    return None
