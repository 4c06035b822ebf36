"""What a checkpoint callback warns of, and what it says with ``verbose=1``."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Any

from .._callbacks.capture import keyed, line_to_exclude
from .._callbacks.taken import TakenState
from .._checkpoints.summary import Summary
from .._loop import messages
from .._units import moment, size_of, time_of
from .._warn import warn
from ..exceptions import NotPicklableError
from .decision import Event
from .own import short

#: Bytes: fewer in a state file are not told.
MANY = 1 << 20


@dataclass
class Notices:
    """The notices of one checkpoint callback, over all its ``fit``."""

    #: Whether the script calls ``restore_callbacks(into=...)``: then functions are taken from the live callbacks,
    #: and no warning says that they are stored by value.
    with_live_callbacks: bool = False
    warned: frozenset[str] = frozenset()  # the paths of the objects that were warned of
    warned_of_code: frozenset[str] = frozenset()
    told_of_extra: bool = False
    told_of_no_copy: bool = False
    told_of_old_values: bool = False
    told_of_waiting: bool = False
    told_of_forgotten: bool = False
    told_of_missing_value: bool = False
    told_of_processes: bool = False
    told_of_exceptions: bool = False
    made_in: str | None = None  # the working directory when the callback was made
    foreign: frozenset[str] = frozenset()  # the names of files that were told to be none of this run's
    undeleted: frozenset[str] = frozenset()  # the names of files that were told to be still there

    def tell_of_extra(self, path: str, size: int) -> None:
        """Warn once if many bytes of the model are in the state file, beside the model file at a path."""
        if self.told_of_extra or size <= MANY:
            return
        with contextlib.suppress(OSError):  # somebody may have removed it
            if size > os.path.getsize(path) / 10:
                self.told_of_extra = True
                warn(
                    f"{path}: {size_of(size)} of the model are in variables that a Keras file does not hold, so "
                    f"they are in each state file."
                )

    def tell_of_waiting(self, path: str, seconds: float) -> None:
        """Warn once that training has waited for the save of a path, as the next one was due."""
        if not self.told_of_waiting:
            self.told_of_waiting = True
            warn(
                f"{path}: this save was still being written when the next one was due, so training has waited "
                f"{seconds:.2f} s for it. This is said only once. If it happens often, save less often (period=, "
                f"save_freq=), or to a faster disk."
            )

    def tell_of_processes(self) -> None:
        """Warn once that a save of several processes is not written beside training."""
        if not self.told_of_processes:
            self.told_of_processes = True
            warn(
                "save_on_background=True: several processes train together, and each save needs all of them. So "
                "it is written at once, and training waits for it."
            )

    def tell_of_exceptions(self) -> None:
        """Warn once that nothing is saved when one of several processes fails."""
        if not self.told_of_exceptions:
            self.told_of_exceptions = True
            warn(
                "save_on_exception=True: several processes train together, and when one of them fails, the others "
                "cannot save with it. So nothing is saved then. Pass save_every= or save_freq=."
            )

    def warn_of_old_values(self, path: str, steps: int) -> None:
        """Warn once that a loop of one's own saves a model that has not moved since the save before."""
        if not self.told_of_old_values:
            self.told_of_old_values = True
            warn(
                f"{path}: the optimizer has made {steps} steps here, as many as at the save before, though "
                f"batches were trained since. A stateless step of JAX leaves its results in the loop's own "
                f"variables: put them back into the model and the optimizer (variable.assign) before "
                f"on_train_batch_end."
            )

    def warn_of_no_copy(self, error: NotPicklableError) -> None:
        """Warn once that a moment cannot be kept for ``save_on_exception``."""
        if not self.told_of_no_copy:
            self.told_of_no_copy = True
            warn(f"{error} Until then, an exception saves an earlier moment of the run, or none.")

    def warn_of_pickles(self, state: TakenState, by_key: dict[str, Any]) -> None:
        """Warn of each value that is stored by value, once. ``by_key`` has the callbacks of the state."""
        code = [] if self.with_live_callbacks else [path for path in state.code if path not in self.warned_of_code]
        objects = [path for path in state.objects if path not in self.warned]
        self.warned_of_code = self.warned_of_code.union(code)
        self.warned = self.warned.union(objects)
        if code:
            warn(
                f"stored by value, as code that is run only from a trusted file: {', '.join(code)}. "
                f"To restore without trust, pass callbacks that have these functions and objects: "
                f"restore_callbacks(..., into=callbacks)."
            )
        if objects:
            # All of them, so that the last of these lines is enough.
            lines = [
                line_to_exclude(key, callback, sorted(self.warned))
                for key, callback in by_key.items()
                if any(path.startswith(f"{key}.") for path in objects)
            ]
            warn(
                f"stored by value, as objects that are read only from a trusted file, also with into=: "
                f"{', '.join(objects)}. To restore without trust, decorate their classes with @stateful, or "
                f"exclude the attributes with exclude= and set them in the constructor. The line for classes of "
                f"somebody else: stateful(callback, plain=(TheirClass,)). The line to exclude all: "
                f"{'; '.join(lines)}."
            )


def warn_of_files(directory: str, whole: list[str], bare: list[str], newest: Summary | None) -> None:
    """Warn of files that a run which begins anew will write over: whole checkpoints, or bare model files.

    ``newest`` is what the newest whole one says.
    """
    if whole:
        warn(
            f"{directory} has checkpoints of this name ({', '.join(whole[:3])}...{_whose(newest)}). Nothing was "
            f"restored from them, and this run will write over them. Call restore_callbacks({directory!r}, "
            f"into=callbacks, model=model) before fit, or choose another filepath."
        )
    elif bare:
        warn(
            f"{directory} has model files of this name without state files ({', '.join(bare[:3])}), and this "
            f"run will write over them. Choose another filepath, or move the files away."
        )


def _whose(newest: Summary | None) -> str:
    return "" if newest is None else f"; of {short(newest.run_id)}, saved {time_of(newest.saved_at)}"


def warn_of_own_files(checkpoint: Any, epoch: int) -> None:
    """Warn of a ``fit`` that begins at a 0-based epoch of which this process has saved checkpoints already."""
    warn(
        f"{checkpoint.root}: this fit begins with {moment(epoch)} again, and nothing was restored for it: it will "
        f"write over the checkpoints that the fit before has saved as {checkpoint.template!r}. To go on with that "
        f"run, call restore_callbacks({checkpoint.root!r}, into=callbacks, model=model) before fit; to begin a "
        f"new one, make new callbacks with another filepath. {messages.LOOP}"
    )


def warn_of_loop(root: str) -> None:
    """Warn of a ``fit`` that follows the one that has added epochs to a finished run."""
    warn(
        f"{root}: this is not the first fit since the restart, and the first one went on with what the callbacks "
        f"held at the end of the finished run. If the script trains in a loop, each of whose fits begins anew, "
        f"then this run is not the uninterrupted one. {messages.LOOP}"
    )


def warn_of_missing_value(checkpoint: Any, name: str) -> None:
    """Warn once that a checkpoint cannot be compared with the best ones."""
    if not checkpoint.notices.told_of_missing_value:
        checkpoint.notices.told_of_missing_value = True
        warn(
            f"keep_best={checkpoint.keep_best} compares {checkpoint.monitor!r}, and this epoch has no value of "
            f"it, so {name} is none of the best. Pass monitor= with a name that is in the logs."
        )


def say_saving(checkpoint: Any, decided: Any) -> None:
    """Say that a save has begun, which goes on beside training."""
    line = messages.saving(decided.path, _when(decided), _improved(checkpoint, decided))
    messages.say(line, over_bar=messages.bar_is_open(decided.event.batch, decided.fit))


def say_saved(checkpoint: Any, decided: Any, seconds: float) -> None:
    """Say what was saved at once, in how many seconds."""
    keys = [*keyed(decided.callbacks)]
    line = messages.saved(decided.path, _when(decided), keys, seconds, _improved(checkpoint, decided))
    messages.say(line, over_bar=messages.bar_is_open(decided.event.batch, decided.fit))


def say_saved_beside(decided: Any, seconds: float) -> None:
    """Say what was saved beside training, in how many seconds. By now Keras may write a progress bar."""
    keys = [*keyed(decided.callbacks)]
    line = messages.saved_beside(decided.path, _when(decided), keys, seconds, decided.waited)
    messages.say(line, over_bar=messages.bar_is_open(0, decided.fit))


def _improved(checkpoint: Any, decided: Any) -> str:
    before = decided.before[0]
    return messages.improvement(checkpoint.monitor, before, checkpoint.best) if checkpoint.save_best_only else ""


def _when(decided: Any) -> str:
    """The moment of a save, as a line about it begins."""
    return moment(*decided.event.moment).capitalize()


def say_not_better(checkpoint: Any, event: Event) -> None:
    """Say that nothing was saved as the monitored value is not better."""
    when = moment(event.epoch).capitalize()
    messages.say(messages.not_improved(when, checkpoint.monitor, checkpoint.best))
