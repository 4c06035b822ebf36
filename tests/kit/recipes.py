"""The recipes of the README: what each is for, and its file in ``examples/recipes``."""

from __future__ import annotations

import textwrap

from pages import block
from places import ROOT

RECIPES = {
    "inside_epochs": "Save and resume inside epochs",
    "taken_away": "A machine that is taken away: save, and exit with 75, on which a scheduler starts it again",
    "best_and_latest": "The best model, and the latest two",
    "own_callback": "A callback of your own (from callback_state import stateful)",
    "bucket": "A bucket",
    "hosts": "Several hosts (JAX)",
}


def source(name: str) -> str:
    """The text of a recipe."""
    return (ROOT / "examples" / "recipes" / f"{name}.py").read_text(encoding="utf-8")


def shown() -> str:
    """All of them, as they stand in the README."""
    there = [name for name in RECIPES if (ROOT / "examples" / "recipes" / f"{name}.py").exists()]
    texts = [f"# {RECIPES[name]}.\n{source(name)}" for name in there]
    return textwrap.dedent(block("python", "\n".join(texts)))
