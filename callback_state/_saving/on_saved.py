"""``on_saved=``: functions of the user, which are called with each checkpoint that is durable.

They may be called in a thread beside training, so what they raise is kept, and told where training hears it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .._checkpoints.listing import Checkpoint
from .._checkpoints.schema import Meta
from .._shown import shown
from .._warn import warn

Function = Callable[[Checkpoint], Any]


def functions_of(on_saved: Any) -> tuple[Function, ...]:
    """The functions that ``on_saved=`` gives: None, one, or several. Raises ValueError for anything else."""
    given = () if on_saved is None else (on_saved,) if callable(on_saved) else on_saved
    if not isinstance(given, (list, tuple)) or not all(map(callable, given)):
        raise ValueError(f"on_saved={on_saved!r:.100}: expected a function, a list of functions, or None")
    return tuple(given)


def call(functions: Iterable[Function], path: str, meta: Meta) -> Exception | None:
    """Call each with the checkpoint at a path. Returns what the first that failed has raised."""
    checkpoint = Checkpoint(shown(path), meta.epoch, meta.batch, meta.finished, meta.monitor, meta.saved_at)
    failed = None
    for function in functions:
        try:
            function(checkpoint)
        except Exception as error:
            failed = failed or error
    return failed


def tell(error: Exception | None, path: str, *, may_raise: bool) -> None:
    """Raise what a function has raised for the checkpoint at a path, or warn of it."""
    if error is None:
        return
    if may_raise:
        raise error
    warn(
        f"{path}: saved, but a function of on_saved= has failed ({type(error).__name__}: {error}). Training goes "
        f"on, and the function is called again for the next checkpoint. To end training instead, pass "
        f"on_save_error='raise'."
    )
