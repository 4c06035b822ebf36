"""Batches that were trained on before a restart are read once more, without training."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

from ..exceptions import ResumeError

__all__ = ["Reader"]


class Reader:
    """Reads batches without training on them.

    Args:
        expected: how many are to be read.
        verbose: whether to show a progress bar.

    Attributes:
        drawn: how many have been read so far, or passed in another way.
    """

    def __init__(self, expected: int, *, verbose: bool) -> None:
        self._expected, self._verbose = expected, verbose
        self._bar: Any = None
        self.drawn = 0

    @property
    def is_there(self) -> bool:
        """Whether all have been read or passed."""
        return self.drawn >= self._expected

    def draw(self, iterator: Any, n: int, at_once: int) -> None:
        """Draw and drop ``n`` batches, unless they have been passed already.

        The last execution of several steps ``at_once`` may find fewer than it asks for.
        """
        if self.is_there:
            return
        found = self._drop(iterator, n)
        if n - found >= at_once:
            raise self.too_short()

    def read(self, adapter: Any) -> None:
        """Read a Python generator as it is: at its own speed, with no threads that read ahead."""
        again = adapter.generator
        stream = again()
        if self._drop(stream, self._expected) < self._expected:
            raise self.too_short()
        first = iter([stream])
        adapter.generator = lambda: next(first, None) or again()

    def _drop(self, batches: Any, n: int) -> int:
        found, piece = 0, max(1, n // 100)
        while found < n:
            count = itertools.count()
            # Consumed by C code: an iteration in Python would cost more than a fast generator itself.
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
        return ResumeError(
            f"the data ended after {self.drawn} batches while they were read up to the checkpoint, which was "
            f"taken after {self._expected}: they are not those of the run that is resumed. Pass the same data "
            f"to fit; to begin that epoch again on other data, restore a checkpoint of the end of an epoch."
        )
