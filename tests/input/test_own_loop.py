"""A training loop of one's own reads a shuffled data set in the order of the run that it resumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
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
    """They are not those of the run."""
    restored = Restored([], epoch=0, batch=7, initial_epoch=0)
    for dataset in (PIPELINES["shuffle"](), [*range(4)]):
        with pytest.raises(ResumeError, match="ended after 4 batches, and the checkpoint was taken after 8"):
            read(dataset, restored)


class Rows(keras.utils.PyDataset):
    """The numbers of some rows as batches; it notes which of them were read."""

    def __init__(self, order: Any) -> None:
        super().__init__()
        self.order, self.read = order, []

    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> Any:
        self.read.append(number)
        return self.order[number]


class Shuffled(Rows):
    """Rows in another order after each epoch."""

    def on_epoch_end(self) -> None:
        self.order = self.order[::-1]


@pytest.mark.parametrize("make", [list, np.asarray, keras.ops.convert_to_tensor, Rows])
def test_batches_by_their_numbers_are_entered_at_the_checkpoint(make: Callable[[Any], Any]) -> None:
    """In its epoch and in no other one."""
    rows = np.arange(16).reshape(4, 4)
    restored = Restored([], epoch=1, batch=1, initial_epoch=1)
    found = [(e, i, [*map(int, b)]) for e in (1, 2) for i, b in restored.batches(make(rows), e)]
    assert found == [(e, i, [*rows[i]]) for e, i in ((1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3))]


def test_a_batch_before_the_checkpoint_is_not_read() -> None:
    """It may take long to read."""
    rows = Rows(range(4))
    restored = Restored([], epoch=0, batch=1)
    assert [*restored.batches(rows, 0)] == [(2, 2), (3, 3)] and rows.read == [2, 3]
    assert [*Restored([], epoch=0, batch=3).batches(rows, 0)] == []


@pytest.mark.parametrize(
    "other", [iter([1]), (X, X), {"x": X, "y": X}, {1, 2}], ids=lambda data: type(data).__name__
)
def test_other_data_are_refused(other: Any) -> None:
    """A generator has no first batch to go back to; a tuple or a dict is all rows, for Keras."""
    kind = type(other).__name__
    with pytest.raises(TypeError, match=rf"got {kind}\. Of other data.*restored\.first_batch\(epoch\)"):
        Restored([]).batches(other, 0)


def test_a_data_set_that_shuffles_itself_is_told() -> None:
    """A loop of one's own does not save its order."""
    with pytest.warns(UserWarning, match=r"what Shuffled\.on_epoch_end changes is not saved"):
        Restored([]).batches(Shuffled(range(4)), 0)


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
    (doubt,) = of_variables(variables)
    assert "(rows, train)" in doubt.what and "restored.batches(" in doubt.cure
    read(variables["train"], Restored([]))
    assert [*of_variables(variables)] == []


def test_an_optimizer_of_torch_is_a_doubt() -> None:
    """Its state is in no model; that of an optimizer of Keras is."""
    of_torch = type("Optimizer", (), {"__module__": "torch.optim.optimizer"})
    adam = type("Adam", (of_torch,), {})()
    variables = {"adam": adam, "cls": of_torch, "sgd": keras.optimizers.SGD(), "x": X}
    (doubt,) = of_variables(variables)
    assert "(adam)" in doubt.what and "an optimizer of Keras" in doubt.cure
