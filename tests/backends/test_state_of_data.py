"""Data that know where they are go on at their place, on each backend, and nothing of them is read again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import GeneratorType
from typing import Any

import grain
import keras
import numpy as np
import pytest
import torch
from harness import Killed, Strike, X, Y, bytes_of
from torch.utils.data import DataLoader, Dataset, IterableDataset
from torchdata.stateful_dataloader import StatefulDataLoader
from torchdata.stateful_dataloader import worker as torchdata_worker

from callback_state import ModelCheckpointEnhanced, ResumeError, restore_callbacks

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*ran out of data"),
    pytest.mark.filterwarnings("ignore:.*set_vital"),
    # JAX warns of every fork of a process that has threads; the workers of a loader do not use JAX.
    pytest.mark.filterwarnings("ignore:.*fork.. was called"),
]

# A worker of a loader that nobody reads any more looks every five seconds whether it should end. Not a fixture: it
# may look when its test is over.
for module in (torch.utils.data._utils, torch.utils.data._utils.worker, torchdata_worker):
    module.MP_STATUS_CHECK_INTERVAL = 0.05

BACKEND = keras.backend.backend()
EPOCHS, BATCH = 3, 8


class Rows(Dataset[Any]):
    """The samples, one by one; ``read`` counts them in this process."""

    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int) -> Any:
        self.read += 1
        return X[i], Y[i]


class Stream(IterableDataset[Any]):
    """Batches in an order of its own, which it can go on with from a state."""

    def __init__(self, rows: Rows) -> None:
        self.rows, self.epoch, self.at = rows, 0, 0

    def __iter__(self) -> Any:
        order = np.random.default_rng(self.epoch).permutation(len(X))
        while self.at < 8:
            rows = order[8 * self.at : 8 * self.at + 8]
            self.at += 1
            self.rows.read += BATCH
            yield X[rows], Y[rows]
        self.epoch, self.at = self.epoch + 1, 0

    def batches(self) -> Iterator[Any]:
        """One epoch after the other."""
        while True:
            yield from self

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.at = state["epoch"], state["at"]


class Holder(keras.utils.PyDataset):
    """Batches from an iterator that knows where it is, whatever their number."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.batches = iter(grain_map(rows).repeat())

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> Any:
        return next(self.batches)


class Counted(grain.transforms.Map):
    """Counts the batches in this process."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def map(self, element: Any) -> Any:
        self.rows.read += BATCH
        return element


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def grain_map(rows: Rows) -> Any:
    return (
        grain.MapDataset.source(range(64))
        .shuffle(seed=1)
        .map(lambda i: (X[i], Y[i]))
        .batch(BATCH)
        .map(Counted(rows))
    )


def grain_iter(rows: Rows) -> Any:
    source = grain.MapDataset.source(range(64)).seed(3).shuffle().map(lambda i: (X[i], Y[i]))
    noisy = source.random_map(lambda pair, rng: (pair[0] + rng.normal(size=6).astype("float32"), pair[1]))
    return noisy.to_iter_dataset().batch(BATCH).map(Counted(rows))


def grain_loader(rows: Rows) -> Any:
    sampler = grain.samplers.IndexSampler(64, shuffle=True, seed=2, num_epochs=1)
    operations = [grain.transforms.Batch(BATCH), Counted(rows)]
    return grain.DataLoader(data_source=[(X[i], Y[i]) for i in range(64)], sampler=sampler, operations=operations)


#: Data with a state: these are entered without reading.
STATEFUL: dict[str, Callable[[Rows], Any]] = {
    "grain MapDataset": grain_map,
    "grain IterDataset": grain_iter,
    "grain DataLoader": grain_loader,
    "StatefulDataLoader": lambda rows: StatefulDataLoader(rows, BATCH, shuffle=True, generator=seeded()),
    "IterableDataset with a state": lambda rows: DataLoader(Stream(rows), batch_size=None),
    "StatefulDataLoader, workers": lambda rows: StatefulDataLoader(
        rows, BATCH, shuffle=True, generator=seeded(), num_workers=2
    ),
    "StatefulDataLoader, persistent": lambda rows: StatefulDataLoader(
        rows, BATCH, shuffle=True, generator=seeded(), num_workers=2, persistent_workers=True
    ),
    "generator of an object with a state": lambda rows: Stream(rows).batches(),
}
#: Data that are read again.
READ: dict[str, Callable[[Rows], Any]] = {
    "PyDataset that holds data with a state": Holder,
    "DataLoader": lambda rows: DataLoader(rows, BATCH, shuffle=True, generator=seeded()),
    "DataLoader, global": lambda rows: DataLoader(rows, BATCH, shuffle=True),
    "DataLoader, in order": lambda rows: DataLoader(rows, BATCH),
    "DataLoader, workers": lambda rows: DataLoader(rows, BATCH, shuffle=True, generator=seeded(), num_workers=2),
}


if BACKEND == "tensorflow":  # its threads read ahead
    READ["generator of an object with a state"] = STATEFUL.pop("generator of an object with a state")


def _model() -> Any:
    keras.utils.set_random_seed(3)
    torch.manual_seed(5)
    layers = [keras.layers.Dense(4, "relu"), keras.layers.Dropout(0.3), keras.layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile(keras.optimizers.Adam(0.05), keras.losses.BinaryCrossentropy(), jit_compile=False)
    return model


def start(directory: Path, data: Any, kill: int | None = None, save_freq: Any = 1) -> Any:
    """One start of a script: (weights, optimizer, history), None if it was killed after so many steps."""
    model = _model()
    saver = ModelCheckpointEnhanced(directory / "last.weights.h5", save_weights_only=True, save_freq=save_freq)
    restored = restore_callbacks(directory, into=[saver], model=model, missing_ok=True)
    strikes = [] if kill is None else [Strike("train_batch_begin", "epoch_end", after=kill)]
    options = {"epochs": EPOCHS, "verbose": 0, "shuffle": False, "initial_epoch": restored.initial_epoch}
    options |= {"steps_per_epoch": 8} if isinstance(data, GeneratorType) else {}
    try:
        history = model.fit(data, **options, callbacks=[saver, *strikes])
    except Killed:
        return None
    return bytes_of(model.variables), bytes_of(model.optimizer.variables), history.history


#: How many events a run lives, and when it saves.
KILLS: dict[str, tuple[int, Any]] = {
    "in the first epoch": (3, 1),
    "in the second": (13, 1),
    "at an epoch's end": (8, 1),
    "between epochs": (13, "epoch"),
}
KINDS = {**STATEFUL, **READ}
#: Each process that reads takes seconds to end.
SLOW = ("StatefulDataLoader, persistent", "DataLoader, workers")


def rows() -> Iterator[Any]:
    """By turns a kind of data and a moment; the whole product is heavy. On TensorFlow no process reads: it would
    be forked beside the threads of tf.data. These read ahead, so the state of an object at the end of an epoch is
    not certain there either."""
    few = {(kind, [*KILLS][i % len(KILLS)]) for i, kind in enumerate(KINDS) if kind not in SLOW}
    few.add(("IterableDataset with a state", "between epochs"))
    for kind, kill in itertools.product(KINDS, KILLS):
        told = ("workers", "persistent", "IterableDataset")
        if BACKEND != "tensorflow" or not any(name in kind for name in told):
            yield pytest.param(kind, kill, marks=[] if (kind, kill) in few else pytest.mark.heavy)


@pytest.mark.parametrize(("kind", "kill"), [*rows()])
def test_goes_on_at_its_place(tmp_path: Path, kind: str, kill: str) -> None:
    """Byte for byte, wherever it is killed."""
    make, (after, save_freq) = KINDS[kind], KILLS[kill]
    whole = start(tmp_path / "whole", make(Rows()), save_freq=save_freq)
    assert start(tmp_path / "killed", make(Rows()), after, save_freq) is None
    assert start(tmp_path / "killed", make(Rows()), save_freq=save_freq) == whole


AT_ONCE = ("grain DataLoader", "StatefulDataLoader", "generator of an object with a state")


@pytest.mark.parametrize("kind", [kind for kind in AT_ONCE if kind in STATEFUL])
def test_nothing_is_read_again(tmp_path: Path, kind: str) -> None:
    """A run that goes on in its last epoch reads fewer samples than a whole one, by those it has trained on."""
    counts = []
    for name, kill in (("whole", None), ("killed", 23), ("killed", None)):
        read = Rows()
        start(tmp_path / name, KINDS[kind](read), kill)
        counts.append(read.read)
    assert counts[2] <= counts[0] - 22 * BATCH + 4 * BATCH  # Keras looks at a few batches before


class Given(Stream):
    """Begins at a state only where one was given, as torchdata's loaders and Hugging Face's data sets do."""

    given: dict[str, int] | None = None

    def __iter__(self) -> Iterator[Any]:
        state, self.given = self.given or {"at": 0}, None
        for self.at in range(state["at"] + 1, 9):
            rows = slice(8 * self.at - 8, 8 * self.at)
            yield X[rows], Y[rows]

    def load_state_dict(self, state: dict[str, int]) -> None:
        super().load_state_dict(state)
        self.given = state


def test_an_object_that_begins_at_a_given_state(tmp_path: Path) -> None:
    """The state at the end of an epoch leads to no batch, and the next epoch has all of them. TensorFlow reads
    ahead, so a warning says that the next epoch is not certain there."""

    def data() -> Any:
        return DataLoader(Given(Rows()), batch_size=None)

    if BACKEND == "tensorflow":
        with pytest.warns(UserWarning, match="TensorFlow reads it ahead, so at the end of an epoch it may"):
            start(tmp_path, data(), save_freq="epoch")
        return
    whole = start(tmp_path / "whole", data(), save_freq="epoch")
    assert start(tmp_path / "killed", data(), 13, "epoch") is None
    assert start(tmp_path / "killed", data(), save_freq="epoch") == whole


class Late(Stream):
    """Counts a batch when the next one is asked for, so its state leads to the batch that was read last."""

    def __iter__(self) -> Any:
        while self.at < 8:
            rows = slice(8 * self.at, 8 * self.at + 8)
            yield X[rows], Y[rows]
            self.at += 1
        self.at = 0


LATE = [lambda rows: DataLoader(Late(rows), batch_size=None), lambda rows: Late(rows).batches()]


@pytest.mark.filterwarnings("ignore:.*TensorFlow reads it ahead")
@pytest.mark.parametrize("make", LATE[:1] if BACKEND == "tensorflow" else LATE)
def test_a_state_that_leads_elsewhere_is_refused(tmp_path: Path, make: Any) -> None:
    """What a class of the user says of its place is proved before a resumed run reads on there."""
    assert start(tmp_path, make(Rows()), 12) is None
    with pytest.raises(ResumeError, match=r"Late.state_dict/load_state_dict: expected .* Count a batch before"):
        start(tmp_path, make(Rows()))
