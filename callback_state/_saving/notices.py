"""What a checkpoint callback warns of, and what it says with ``verbose=1``."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from .._callbacks.capture import keyed
from .._callbacks.taken import take_state
from .._loop import messages
from .decision import Event


@dataclass
class Notices:
    """The notices of one checkpoint callback, over all its ``fit``."""

    #: Whether the script calls ``restore_callbacks(into=...)``: then functions are taken from the live callbacks,
    #: and no warning says that they are stored by value.
    with_live_callbacks: bool = False
    warned: frozenset[str] = frozenset()  # the paths of the values that were warned of

    def warn_of_pickles(self, callbacks: list[Any], model: Any) -> None:
        """Warn once of each value that is stored by value. Raises NotPicklableError."""
        taken = take_state(callbacks, model)
        code = [] if self.with_live_callbacks else [path for path in taken.code if path not in self.warned]
        objects = [path for path in taken.objects if path not in self.warned]
        self.warned = self.warned.union(code, objects)
        if code:
            warnings.warn(
                f"stored by value, as code that is run only from a trusted file: {', '.join(code)}. "
                f"To restore without trust, pass callbacks that have these functions: "
                f"restore_callbacks(..., into=callbacks).",
                stacklevel=2,
            )
        if objects:
            warnings.warn(
                f"stored by value, as objects that are read only from a trusted file, also with into=: "
                f"{', '.join(objects)}. To restore without trust, decorate their classes with @stateful, "
                f"or exclude the attributes with exclude= and set them in the constructor.",
                stacklevel=2,
            )


def warn_of_files(directory: str, whole: list[str], bare: list[str]) -> None:
    """Warn of files that a run which begins anew will write over: whole checkpoints, or bare model files."""
    if whole:
        warnings.warn(
            f"{directory} has checkpoints of this name ({', '.join(whole[:3])}...). Nothing was restored from "
            f"them, and this run will write over them. Call restore_callbacks({directory!r}, "
            f"into=callbacks, model=model) before fit, or choose another filepath.",
            stacklevel=2,
        )
    elif bare:
        warnings.warn(
            f"{directory} has model files of this name without state files ({', '.join(bare[:3])}), and this "
            f"run will write over them. Choose another filepath, or move the files away.",
            stacklevel=2,
        )


def warn_of_missing_value(keep_best: int, monitor: str, name: str) -> None:
    """Warn that a checkpoint cannot be compared with the best ones."""
    warnings.warn(
        f"keep_best={keep_best} compares {monitor!r}, and this epoch has no value of it: "
        f"{name} is kept. Pass monitor= with a name that is in the logs.",
        stacklevel=2,
    )


def say_saved(
    checkpoint: Any, path: str, event: Event, fit: Any, callbacks: list[Any], best: Any, seconds: float
) -> None:
    """Say what was saved, in how many seconds; ``best`` is the best value before."""
    improved = ""
    if checkpoint.save_best_only:
        improved = messages.improvement(checkpoint.monitor, best, checkpoint.best)
    moment = messages.moment(*event.moment)
    line = messages.saved(path, moment, [*keyed(callbacks)], seconds, improved)
    messages.say(line, over_bar=messages.bar_is_open(event.batch, fit))


def say_not_better(checkpoint: Any, event: Event) -> None:
    """Say that nothing was saved as the monitored value is not better."""
    moment = messages.moment(event.epoch, None)
    messages.say(messages.not_improved(moment, checkpoint.monitor, checkpoint.best))
