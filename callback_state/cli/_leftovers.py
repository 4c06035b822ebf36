"""What an interrupted save leaves: hidden files beside the checkpoints, see :mod:`callback_state._pair`."""

from __future__ import annotations

import os
import re

__all__ = ["leftovers"]

_LEFTOVER = re.compile(r"\..+\.(?:tmp-.*|state-[0-9a-f]{32})", re.ASCII | re.DOTALL)


def leftovers(directory: str) -> list[str]:
    """The names of what an interrupted save has left in a directory, or one that is going on has there."""
    return sorted(name for name in os.listdir(directory) if _LEFTOVER.fullmatch(name))
