"""The data of a resumed ``fit`` are entered where they stood, and what is saved from there on is the same."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import TFEpochIterator

from callback_state import ResumeError, data
from callback_state._checkpoints.typed import to_plain
from callback_state._input.source import Source
from callback_state._keras.randomness import put_back_generators, take_generators

EPOCHS, BATCH = 3, 4
#: Five batches, the last one of two.
ROWS = np.arange(18.0, dtype="float32")

pytestmark = [
    # Keras says so where an epoch's data end before steps_per_epoch, which some kinds are about.
    pytest.mark.filterwarnings("ignore:.*ran out of data")
]


def endless() -> Iterator[Any]:
    """Batches that never repeat."""
    own = np.random.default_rng(6)
    while True:
        yield (own.permutation(ROWS)[:BATCH],)


class Batches(keras.utils.PyDataset):
    """Five batches in the order in which they stand."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, i: int) -> Any:
        return (ROWS[i * BATCH : (i + 1) * BATCH],)


def rows(kept: int = 18) -> Any:
    """Shuffled; which batches there are is known to nobody if some of the 18 rows are left out."""
    dataset = tf.data.Dataset.from_tensor_slices(ROWS).shuffle(18, seed=2)
    return dataset if kept == 18 else dataset.filter(lambda v: v < kept)


def seeded(epoch: int) -> Any:
    return tf.data.Dataset.from_tensor_slices(ROWS).shuffle(18, seed=epoch).batch(BATCH)


def shuffled() -> Any:
    return data.shuffled(ROWS, batch_size=BATCH, seed=1)


#: By name the arguments of Keras's epoch iterator, made anew for each run.
KINDS: dict[str, Callable[[], dict[str, Any]]] = {
    "arrays": lambda: {"x": ROWS, "batch_size": BATCH, "shuffle": True},
    "arrays, steps": lambda: {"x": ROWS, "batch_size": BATCH, "shuffle": True, "steps_per_epoch": 3},
    "dataset": lambda: {"x": rows().batch(BATCH).prefetch(2)},
    "dataset of unknown length": lambda: {"x": rows(17).batch(BATCH)},
    "dataset, steps": lambda: {"x": rows().batch(BATCH), "steps_per_epoch": 3},
    "endless dataset": lambda: {"x": rows().repeat().batch(BATCH), "steps_per_epoch": 4},
    "generator": lambda: {"x": endless(), "steps_per_epoch": 4},
    "generator that ends": lambda: {"x": (batch for batch, _ in zip(endless(), range(5), strict=False))},
    "PyDataset": lambda: {"x": Batches(), "shuffle": True},
    "PyDataset, workers": lambda: {"x": Batches(workers=2), "shuffle": True},
    "shuffled": lambda: {"x": shuffled()},
    "shuffled, mapped": lambda: {"x": shuffled().map(lambda v: v + 1).prefetch(1)},
    "shuffled, steps": lambda: {"x": shuffled(), "steps_per_epoch": 3},
    "epochs of unknown length": lambda: {"x": data.epochs(lambda epoch: seeded(epoch).filter(lambda v: True))},
}


class Fit:
    """Calls a source as ``fit`` and its callbacks do, and draws from a global generator as they may."""

    def __init__(self, arguments: dict[str, Any], at_once: int = 1) -> None:
        self.has_python = not isinstance(arguments["x"], (np.ndarray, tf.data.Dataset))
        self.keras = TFEpochIterator(
            distribute_strategy=tf.distribute.get_strategy(), steps_per_execution=at_once, **arguments
        )
        self.keras.reset()
        self.source, self.at_once = Source(self.keras), at_once
        self.described = self.source.keras.described()
        self.seen: list[Any] = []
        self.saves: list[Save] = []

    def save(self, epoch: int, steps: int) -> None:
        self.saves.append(Save(epoch, steps, self.source.take(steps), take_generators(), len(self.seen)))

    def batches(self) -> list[Any]:
        return [step[:3] for step in self.seen if len(step) > 2]

    def run(self, first: int, last: int, entered: int = 0) -> None:
        for epoch in range(first, last):
            steps, is_new = entered, self.has_python and not entered
            if is_new:
                self.source.note_epoch()
            if epoch == 0 and not entered:
                np.random.random()  # later on a thread that reads ahead may draw
            with self.keras.catch_stop_iteration():
                for item in self.keras:
                    drawn = random.random()
                    if is_new:
                        self.source.note_first_batch()
                    self.seen.append((epoch, item[0], self.step(item[-1]), drawn, random.random()))
                    steps += self.at_once
                    self.save(epoch, steps)
            self.seen.append((epoch, "ended"))
            self.save(epoch, 0)
            entered = 0

    def step(self, iterator: Any) -> list[Any]:
        batches: list[Any] = []
        while len(batches) < self.at_once:
            batch = next(iterator, None)
            if batch is None:
                break
            batches += [part.numpy().tolist() for part in tf.nest.flatten(batch)]
        if not batches:
            raise StopIteration
        return batches


class Save(SimpleNamespace):
    """What a checkpoint says: where it was taken, and what the fit had seen until then."""

    def __init__(self, epoch: int, steps: int, taken: Any, generators: Any, seen: int) -> None:
        super().__init__(epoch=epoch, steps=steps, taken=copy.deepcopy(taken), generators=generators, seen=seen)

    def said(self) -> Any:
        return plain((self.epoch, self.steps, self.taken, self.generators))


def plain(value: Any) -> Any:
    """What can be compared with ``==``, all bits of it."""
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    value = to_plain(value)
    return tf.nest.map_structure(lambda v: v.tobytes() if isinstance(v, np.ndarray) else v, value)


def begin(kind: str, at_once: int = 1) -> Fit:
    """A fit in a new process."""
    keras.utils.set_random_seed(5)
    return Fit(KINDS[kind](), at_once)


def resume(kind: str, at_once: int, save: Save) -> Fit:
    """A fit in a new process, which other code has drawn numbers in, goes on where the save was."""
    fit = begin(kind, at_once)
    random.random(), np.random.random()

    def then() -> None:
        assert fit.seen == [] == arrived
        put_back_generators(save.generators)
        arrived.append(True)

    arrived: list[bool] = []
    if save.steps:
        fit.source.enter(save.taken, then, verbose=False, stops=False)
    else:
        fit.source.wind(save.taken, verbose=False)
        put_back_generators(save.generators)
    ends = 1 if kind == "generator that ends" else EPOCHS
    fit.run(save.epoch + (save.steps == 0), min(save.epoch + 2, ends), save.steps)
    assert len(arrived) == (save.steps > 0)
    return fit


def points(whole: Fit, at_once: int) -> list[Save]:
    """The last step and the end of the first epoch, the second step of the second one; of one iterator over
    several epochs also the end of that. Of several steps at once: the first, and the last of the second epoch."""
    first, second = ([s for s in whole.saves if s.epoch == epoch] for epoch in range(2))
    if not second:
        return [first[1], first[-2]]
    if at_once > 1:
        return [first[0], *second[-2:-1]]
    return [*first[-2:], *second[1:2], *(second[-1:] if whole.source.is_stream else ())]


SEVERAL = ("arrays", "dataset", "generator")


@pytest.mark.parametrize(
    ("kind", "at_once"),
    [*((kind, 1) for kind in KINDS), *((kind, 3) for kind in SEVERAL)],
    ids=[*KINDS, *(f"{kind}, three at once" for kind in SEVERAL)],
)
def test_goes_on_with_the_next_batch(kind: str, at_once: int) -> None:
    """Wherever it is left, the batches that follow, the global generators and all that is saved from there on
    are those of a fit that was not interrupted."""
    whole = begin(kind, at_once)
    whole.run(0, 1 if kind == "generator that ends" else EPOCHS)
    for save in points(whole, at_once):
        resumed = resume(kind, at_once, save)
        assert resumed.seen == whole.seen[save.seen :][: len(resumed.seen)], save
        later = [s.said() for s in whole.saves if s.seen > save.seen]
        assert [s.said() for s in resumed.saves] == later[: len(resumed.saves)], save
        assert resumed.seen[-1][1:] == ("ended",)


def test_batches_that_were_made_of_others_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of data of this package behind a step that is not one to one, such as ``batch``, the pass is entered at its
    beginning, and read up to the batch."""

    def batched() -> dict[str, Any]:
        return {"x": shuffled().map(lambda v: v + 1).unbatch().batch(3).map(lambda v: v - 1)}

    monkeypatch.setitem(KINDS, "batched again", batched)
    whole = begin("batched again")
    whole.run(0, 2)
    for save in (whole.saves[1], next(s for s in whole.saves if s.epoch == 1 and s.steps == 2)):
        resumed = resume("batched again", 1, save)
        assert resumed.seen[:3] == whole.seen[save.seen :][:3]


def drawing() -> Iterator[Any]:
    while True:
        yield (np.random.permutation(ROWS)[:BATCH],)


#: By name the data, and after which (epoch, steps) they are left; 0 steps: at its end.
DRAWN: dict[str, tuple[Any, list[tuple[int, int]]]] = {
    "PyDataset": (lambda: {"x": Batches(), "shuffle": True, "steps_per_epoch": 3}, [(0, 2), (0, 0), (1, 1)]),
    "generator": (lambda: {"x": drawing(), "steps_per_epoch": 3}, [(0, 2), (0, 0)]),
}


@pytest.mark.parametrize("kind", DRAWN)
def test_what_threads_draw_is_drawn_again(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a global generator: the order when the first batch of an iterator is read, or each batch."""
    make, left = DRAWN[kind]
    monkeypatch.setitem(KINDS, "drawn", make)
    whole = begin("drawn")
    whole.run(0, 2)
    for epoch, steps in left:
        save = next(s for s in whole.saves if (s.epoch, s.steps) == (epoch, steps))
        fit = begin("drawn")
        random.seed(1), np.random.seed(2)
        if steps:
            fit.source.enter(save.taken, lambda: None, verbose=False, stops=False)
        else:
            fit.source.wind(save.taken, verbose=False)
        fit.run(epoch + (steps == 0), 2, steps)
        assert fit.batches() == whole.batches()[-len(fit.batches()) :] != whole.batches()


def test_where_it_began_is_noted_once_for_an_iterator() -> None:
    """The global generators before it was made and before its first batch, through all epochs that read it;
    nothing is noted between two epochs that have an iterator each."""
    stream, epochs = begin("generator"), begin("PyDataset")
    stream.run(0, 2)
    epochs.run(0, 2)
    noted = [plain(s.taken.generators) for s in stream.saves]
    assert len(noted) == 10 and len(noted[0]) == 2 and all(n == noted[0] for n in noted)
    between = [s.taken for s in epochs.saves if not s.steps]
    assert [(t.made, t.goes_on, t.seen, t.generators) for t in between] == [(2, False, 0, []), (4, False, 0, [])]
    first, second = (next(s for s in epochs.saves if (s.epoch, s.steps) == (epoch, 1)) for epoch in range(2))
    assert plain(first.taken.generators) != plain(second.taken.generators)


def test_stopped_inside_an_epoch_draws_no_more() -> None:
    """Where a callback had stopped training at that batch, the epoch ends: nothing is read, ``then`` is called."""
    whole = begin("dataset")
    whole.run(0, 1)
    fit, arrived = begin("dataset"), []
    fit.source.enter(whole.saves[1].taken, lambda: arrived.append(True), verbose=True, stops=True)
    assert list(fit.keras) == [] and arrived == [True]
    assert fit.source.take(0).made == 0
    assert "_enumerate_iterator" not in vars(fit.keras)


@pytest.mark.parametrize("kind", ["dataset", "dataset, steps", "shuffled", "arrays, steps"])
def test_passed_by_without_reading(kind: str) -> None:
    """After a fit that had ended the data are where it left them: a fit after that reads what follows."""
    whole = begin(kind)
    whole.run(0, 1)
    ended = whole.saves[-1]
    whole.keras.reset()
    whole.run(1, 2)
    fit = begin(kind)
    fit.source.pass_by(ended.taken)
    assert fit.keras._current_iterator is None
    fit.run(1, 2)
    assert fit.batches() == whole.batches()[-len(fit.batches()) :] != []


def test_no_row_is_read_while_iterators_are_made_again() -> None:
    """Epochs that are behind cost an iterator each, not a pass over the data."""
    read: list[int] = []

    def count() -> Iterator[int]:
        for i in range(4):
            read.append(i)
            yield i

    spec = tf.TensorSpec((), tf.int32)
    fit = Fit({"x": tf.data.Dataset.from_generator(count, output_signature=spec).batch(2)})
    fit.source.wind(replace(fit.source.take(0), made=3), verbose=False)
    assert read == [] and fit.source.take(0).made == 3


def short(kind: str, left: int) -> dict[str, Any]:
    """Data of fewer batches than those of ``KINDS``."""
    return {
        "dataset of unknown length": lambda: {"x": rows(left * BATCH).batch(BATCH)},
        "endless dataset": lambda: {"x": rows(left * BATCH).batch(BATCH), "steps_per_epoch": 4},
        "generator": lambda: {
            "x": (batch for batch, _ in zip(endless(), range(left), strict=False)),
            "steps_per_epoch": 4,
        },
        "arrays": lambda: {"x": ROWS[: left * BATCH], "batch_size": BATCH},
    }[kind]()


@pytest.mark.parametrize(
    ("kind", "epoch", "left", "at_once", "expected"),
    [
        ("dataset of unknown length", 0, 3, 1, 4),
        ("dataset of unknown length", 1, 2, 3, 6),
        ("endless dataset", 1, 3, 1, 8),
        ("generator", 0, 3, 1, 4),
        ("generator", 2, 3, 1, 12),
        ("arrays", 0, 3, 1, 4),
    ],
)
def test_data_that_end_on_the_way_are_refused(
    kind: str, epoch: int, left: int, at_once: int, expected: int
) -> None:
    """The error says how many batches there were and how many there must be; the checkpoint is not arrived at."""
    whole = begin(kind, at_once)
    whole.run(0, epoch + 1)
    save = [s for s in whole.saves if s.epoch == epoch and s.steps][-1 if at_once > 1 else 3]
    assert save.taken.seen == expected
    fit, arrived = Fit(short(kind, left), at_once), []
    fit.source.enter(save.taken, lambda: arrived.append(True), verbose=False, stops=False)
    with pytest.raises(ResumeError, match=rf"the data ended after {left} batches.* after {expected}: these"):
        fit.run(epoch, epoch + 1, save.steps)
    assert arrived == fit.seen == []


def test_data_that_end_between_two_epochs_are_refused() -> None:
    """Also where one iterator goes on over several epochs, and the checkpoint is at the end of one."""
    whole = begin("endless dataset")
    whole.run(0, 1)
    fit = Fit(short("endless dataset", 3))
    with pytest.raises(ResumeError, match=r"ended after 3 batches, .*taken after 4"):
        fit.source.wind(whole.saves[-1].taken, verbose=False)


# What it is told by Keras.


DESCRIBED: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "arrays": ({"x": ROWS, "batch_size": BATCH}, ("ArrayData", 5, 4, 2, None)),
    "arrays that fit": ({"x": ROWS[:8], "batch_size": 8, "steps_per_epoch": 1}, ("ArrayData", 1, 8, 0, 1)),
    "dataset": ({"x": rows().batch(BATCH)}, ("TFDataset", 5, None, None, None)),
    "dataset of unknown length": ({"x": rows(9).batch(BATCH)}, ("TFDataset", None, None, None, None)),
    "generator": ({"x": endless(), "steps_per_epoch": 7}, ("GeneratorData", None, BATCH, None, 7)),
    "PyDataset": ({"x": Batches()}, ("PyDataset", 5, None, None, None)),
}


@pytest.mark.parametrize("name", DESCRIBED)
def test_what_must_be_the_same_is_described(name: str) -> None:
    """Kind, length and batches of the data, and None for what Keras cannot know."""
    arguments, described = DESCRIBED[name]
    names = ("kind", "batches of an epoch", "batch size", "samples in the last batch", "steps_per_epoch")
    fit = Fit(arguments, at_once=2)
    expected = {**dict(zip(names, described, strict=True)), "steps_per_execution": 2}
    if name == "arrays that fit":
        assert fit.described.pop("samples in the last batch") in (0, None, 8)
        del expected["samples in the last batch"]
    assert fit.described == expected
    assert {type(v) for v in fit.described.values()} <= {str, int, type(None)}


def test_where_the_epoch_began_is_not_noted_for_threads_of_an_enqueuer() -> None:
    """They draw as soon as the epoch begins, so the generators before the first batch say nothing."""
    counts = {}
    for workers in (1, 2):
        keras.utils.set_random_seed(5)
        fit = Fit({"x": Batches(workers=workers), "shuffle": True})
        fit.run(0, 1)
        counts[workers] = [len(s.taken.generators) for s in fit.saves]
    assert counts == {1: [2, 2, 2, 2, 2, 0], 2: [1, 1, 1, 1, 1, 0]}
