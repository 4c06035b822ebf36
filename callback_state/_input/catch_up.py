"""Reading once more, without training, the batches that were trained on before a restart."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

from ..exceptions import ResumeError


class Reader:
    """Reads batches and drops them; ``drawn`` is how many have been read so far, or passed in another way."""

    def __init__(self, expected: int, *, verbose: bool) -> None:
        self._expected, self._verbose = expected, verbose
        self._bar: Any = None
        self.drawn = 0

    @property
    def is_there(self) -> bool:
        """Whether all batches have been read or passed."""
        return self.drawn >= self._expected

    def draw(self, iterator: Any, n: int, at_once: int) -> None:
        """Draw and drop ``n`` batches, unless all have been passed already.

        The last execution, of ``at_once`` steps, may find fewer batches.
        """
        if self.is_there:
            return
        found = self._drop(iterator, n)
        if n - found >= at_once:
            raise self.too_short()

    def read(self, make: Callable[[], Any]) -> Any:
        """Read a Python generator up to the batch, at its own speed and with no threads that read ahead."""
        stream = make()
        if self._drop(stream, self._expected) < self._expected:
            raise self.too_short()
        return stream

    def _drop(self, batches: Any, n: int) -> int:
        found, piece = 0, max(1, n // 100)
        while found < n:
            count = itertools.count()
            # Consumed by C code: a loop in Python would cost more than a fast generator itself.
            deque(zip(itertools.islice(batches, min(piece, n - found)), count, strict=False), maxlen=0)
            got = next(count)
            if not got:
                break
            found += got
            self.drawn += got
            self._show(got)
        return found

    def _show(self, got: int) -> None:
        if self._bar is None and self._verbose:
            import keras

            print("Reading up to the batch of the checkpoint:", flush=True)
            self._bar = keras.utils.Progbar(self._expected, unit_name="batch")
        if self._bar is not None:
            self._bar.add(got)

    def too_short(self) -> ResumeError:
        """The error for data that end before the checkpoint."""
        return ResumeError(
            f"the data ended after {self.drawn} batches, and the checkpoint was taken after {self._expected}: "
            f"these are not the data of the run that is resumed. Pass the same data to fit. To begin the epoch "
            f"again with other data, restore a checkpoint of the end of an epoch."
        )
