"""The weights of a model by name, shape and dtype: is this the model that was saved?"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["inventory", "mismatches"]


def inventory(model: Any) -> list[str]:
    """One line per weight: ``"dense/kernel (6, 8) float32"``."""
    # The rest of the path depends on whether the model was built or loaded.
    return [f"{'/'.join(v.path.split('/')[-2:])} {tuple(v.shape)} {v.dtype}" for v in model.weights]


def mismatches(model: Any, saved: list[str]) -> list[str]:
    """What is different in a model, at most five of them in words; none where nothing is known."""
    if not saved or not model.built:
        return []
    found = inventory(model)
    different = [
        f"weight {i}: expected {was}, found {now}"
        for i, (was, now) in enumerate(zip(saved, found, strict=False))
        if _comparable(was) != _comparable(now)
    ]
    if len(saved) != len(found):
        longer, word = (saved, "missing") if len(saved) > len(found) else (found, "not in the checkpoint")
        more = longer[min(len(saved), len(found)) :]
        different.append(f"{len(more)} {word}: {', '.join(more[:3])}{'...' if len(more) > 3 else ''}")
    return [*different[:5], f"and {len(different) - 5} more"] if len(different) > 5 else different


def _comparable(line: str) -> str:
    """Without the number that Keras gives a layer by how many of its kind the process has made."""
    name, shape = line.split(" ", 1)
    return re.sub(r"_\d+(?=/|$)", "", name) + " " + shape
