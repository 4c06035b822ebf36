"""Strategies for hypothesis: the logs of a run, and the points at which it is interrupted.

Example:
    >>> from hypothesis import given
    >>> from callback_state.testing import assert_resumes_exactly, strategies
    >>> import keras
    >>> @given(strategies.logs(epochs=4), strategies.interruptions(epochs=4, steps_per_epoch=2))
    ... def test_plateau(logs, at):
    ...     make = lambda: keras.callbacks.ReduceLROnPlateau("loss", patience=1)
    ...     assert_resumes_exactly(make, epochs=4, steps_per_epoch=2, logs=logs, at=at, optimizer="numpy")
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from .simulation.plan import Drawn

__all__ = ["interruptions", "logs"]


def logs(
    *,
    epochs: int,
    steps_per_epoch: int | None = None,
    names: Iterable[str] = ("loss",),
    min_value: float = 0.0,
    max_value: float = 10.0,
    allow_nan: bool = False,
) -> st.SearchStrategy[dict[str, list[float]]]:
    """Draw series for ``logs=``, with one value an epoch, or one a step if ``steps_per_epoch`` is given.

    Values often repeat, as on a plateau.

    Args:
        epochs, steps_per_epoch: the length of the run.
        names: the names of the series.
        min_value, max_value: the bounds of the values.
        allow_nan: whether a value may be NaN.

    Returns:
        A strategy for dicts of lists of floats, with ``epochs`` items each (times ``steps_per_epoch``).

    Example:
        >>> from hypothesis import find
        >>> from callback_state.testing import strategies
        >>> find(strategies.logs(epochs=3), lambda drawn: True)
        {'loss': [0.0, 0.0, 0.0]}
    """
    count = epochs * (steps_per_epoch or 1)
    few = st.lists(st.floats(min_value, max_value), min_size=1, max_size=4)
    values = few.flatmap(lambda known: st.sampled_from([*known, float("nan")] if allow_nan else known))
    numbers = st.floats(min_value, max_value) | values
    series = st.lists(numbers, min_size=count, max_size=count)
    return st.fixed_dictionaries(dict.fromkeys(names, series))


def interruptions(
    *, epochs: int, steps_per_epoch: int, max_size: int = 3
) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Draw points (epoch, batch), 0-based, for ``at=``: from one to ``max_size`` points, in order.

    ``assert_resumes_exactly`` skips those after an early stop.

    Args:
        epochs, steps_per_epoch: the length of the run.
        max_size: the most points.

    Returns:
        A strategy for lists of pairs.

    Example:
        >>> from hypothesis import find
        >>> from callback_state.testing import strategies
        >>> find(strategies.interruptions(epochs=3, steps_per_epoch=2), lambda drawn: len(drawn) == 2)
        [(0, 1), (0, 2)]
    """
    inside = [(e, b) for e in range(epochs) for b in range(steps_per_epoch + 1) if (e, b) != (0, 0)]
    return st.lists(st.sampled_from(inside), min_size=1, max_size=max_size, unique=True).map(sorted).map(Drawn)
