"""A training loop of one's own reads a shuffled data set in the order of the run that it resumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from callback_state import Restored, ResumeError, data
from callback_state._input.own_loop import of_variables

X = np.arange(16)
PIPELINES: dict[str, Callable[[], Any]] = {
    "shuffle": lambda: tf.data.Dataset.from_tensor_slices(X).shuffle(16, seed=3).batch(4),
    "prefetched": lambda: tf.data.Dataset.from_tensor_slices(X).shuffle(16, seed=3).batch(4).prefetch(2),
    "one order": lambda: tf.data.Dataset.from_tensor_slices(X).shuffle(16, 3, False).batch(4),
    "own data": lambda: data.shuffled(X, batch_size=4, seed=3),
    "own data, mapped": lambda: data.shuffled(X, batch_size=4, seed=3).map(lambda x: x),
}


def read(dataset: Any, restored: Restored, epochs: int = 3) -> list[Any]:
    return [
        (epoch, step, np.asarray(tf.nest.flatten(batch)[0]).tolist())
        for epoch in range(restored.initial_epoch, epochs)
        for step, batch in restored.batches(dataset, epoch)
    ]


@pytest.mark.parametrize("name", PIPELINES)
def test_the_batches_are_those_of_the_run_that_was_not_interrupted(name: str) -> None:
    """After an epoch, inside one, and after the last batch of one; numbers included."""
    whole = read(PIPELINES[name](), Restored([]))
    assert len(whole) == 12
    for restored, rest in (
        (Restored([], epoch=0, initial_epoch=1), 4),
        (Restored([], epoch=1, batch=2, initial_epoch=1), 7),
        (Restored([], epoch=1, batch=3, initial_epoch=1), 8),
    ):
        assert read(PIPELINES[name](), restored) == whole[rest:]


def test_each_epoch_has_its_own_order() -> None:
    """Else the test before would prove nothing."""
    whole = read(PIPELINES["shuffle"](), Restored([]))
    assert [batch for _, _, batch in whole[:4]] != [batch for _, _, batch in whole[4:8]]


def test_data_that_end_before_the_checkpoint_are_an_error() -> None:
    """They are not those of the run; and data of another kind are refused."""
    restored = Restored([], epoch=0, batch=7, initial_epoch=0)
    with pytest.raises(ResumeError, match="ended after 4 batches"):
        read(PIPELINES["shuffle"](), restored)
    with pytest.raises(TypeError, match=r"takes a tf\.data\.Dataset, got list"):
        read([1, 2], restored)


def test_a_shuffle_without_a_seed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for a data set; a global seed, which another test may have set, would be one."""
    monkeypatch.setattr(context.context(), "_seed", None)
    dataset = tf.data.Dataset.range(4).shuffle(4)
    with pytest.warns(UserWarning, match="has no seed") as caught:
        read(dataset, Restored([]))
    assert len(caught) == 1


def test_shuffled_data_that_a_loop_reads_by_itself_are_a_doubt() -> None:
    """What is read through ``batches``, with all its steps, or has one order, is not named."""
    rows = tf.data.Dataset.range(4).shuffle(4, seed=1)
    variables = {"rows": rows, "train": rows.batch(2), "fixed": PIPELINES["one order"](), "x": X}
    doubt = of_variables(variables)
    assert doubt is not None and "(rows, train)" in doubt.what and "restored.batches(" in doubt.cure
    read(variables["train"], Restored([]))
    assert of_variables(variables) is None
