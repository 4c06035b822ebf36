"""The weights of a model by name, shape and dtype: is this the model that was saved?"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["inventory", "mismatches", "unnumbered"]


def inventory(model: Any) -> list[str]:
    """One line per weight: ``"dense/kernel (6, 8) float32"``."""
    return [f"{_short(v)} {tuple(v.shape)} {v.dtype}" for v in model.weights]


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
    name, shape = line.split(" ", 1)
    return _without_numbers(name) + " " + shape


def unnumbered(variable: Any) -> str:
    """``owner/variable``, of a layer or a metric, as it is named in every process."""
    return _without_numbers(_short(variable))


def _short(variable: Any) -> str:
    # The rest of the path depends on whether the model was built or loaded.
    return "/".join(variable.path.split("/")[-2:])


def _without_numbers(name: str) -> str:
    """Without the number that Keras gives a layer or metric by how many of its kind the process has made."""
    return re.sub(r"_\d+(?=/|$)", "", name)
