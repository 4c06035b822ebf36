"""What processes that train together bring into one state file, and when they agree; threads stand for them."""

from __future__ import annotations

import re
import threading
from typing import Any

import keras
import numpy as np
import pytest
from states import GENERATORS, WHERE, contents
from together import act_together

from callback_state import CorruptCheckpointError, HostError, NotPicklableError, stateful
from callback_state._checkpoints.snapshot import Snapshot
from callback_state._format.decode import Decoder
from callback_state._format.statefile import seal, unseal
from callback_state._keras import hosts
from callback_state._saving import together
from callback_state._saving.decision import Event


@stateful
class Holds(keras.callbacks.Callback):
    def __init__(self, value: Any = 0) -> None:
        super().__init__()
        self.value = [value]


def generators(index: int) -> dict[str, Any]:
    return {**GENERATORS, "numpy": np.random.RandomState(index).get_state()}


def taken_by(patch: pytest.MonkeyPatch, *callbacks: list[Any]) -> list[Any]:
    """What each process takes that has these callbacks, and a generator of its own."""

    def act(index: int) -> Any:
        meta, run = contents(run={"generators": generators(index)})
        return together.take(callbacks[index], None, meta, run, None)

    return act_together(patch, len(callbacks), act)


def snapshot(taken: Any) -> Snapshot:
    return Snapshot.read(WHERE, unseal(taken.sealed(bytes(32), 0), WHERE))


def value_in(found: Snapshot) -> Any:
    return Decoder(found.state).value()["Holds"]["value"]


def seed_in(found: Snapshot) -> Any:
    return found.run.generators["numpy"][1].tolist()


def test_each_process_has_its_own_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its generators, its data, and its callbacks where they differ; the history and the rest are said once."""
    first, *others = taken_by(monkeypatch, [Holds("a")], [Holds("b")], [Holds("c")])
    assert all(len(one.tree) == 5 for one in (first, *others))
    found = snapshot(first)
    assert found.processes == 3
    for index, value in enumerate("abc"):
        own = found.of_process(index, 3)
        assert value_in(own) == [value]
        assert seed_in(own) == generators(index)["numpy"][1].tolist()
        assert own.meta.history == found.meta.history and own.meta.model == found.meta.model


def test_what_is_the_same_is_stored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The callbacks of a process that are as those of the first are not in its part, however large they are."""
    array = np.zeros(200_000)
    first, _ = taken_by(monkeypatch, [Holds(array)], [Holds(array)])
    assert len(first.tree[4][0]) < 10_000
    first, _ = taken_by(monkeypatch, [Holds(array)], [Holds(array + 1)])
    assert len(first.tree[4][0]) > array.nbytes


def test_a_log_that_only_the_first_writes_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its columns are known to the first alone."""
    loggers = [keras.callbacks.CSVLogger("log.csv") for _ in range(2)]
    loggers[0].keys = ["loss"]
    first, _ = taken_by(monkeypatch, [Holds(1), loggers[0]], [Holds(1), loggers[1]])
    part = Snapshot.read(WHERE, unseal(first.tree[4][0], WHERE))
    assert part.meta.callbacks == []


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_another_number_goes_on_as_the_first(monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    """On each process."""
    found = snapshot(taken_by(monkeypatch, [Holds("a")], [Holds("b")], [Holds("c")])[0])
    assert all(found.of_process(index, processes) is found for index in range(processes))


def test_what_cannot_be_saved_on_one_is_an_error_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for its part."""
    found = taken_by(monkeypatch, [Holds(1)], [Holds(threading.Lock())])
    assert [type(error) for error in found] == [NotPicklableError] * 2


@pytest.mark.parametrize("part", [b"", b"no state file", b"\x80\x04."])
def test_a_damaged_part_is_a_damaged_checkpoint(part: bytes) -> None:
    """It is one error, of the process whose part it is."""
    meta, run = contents()
    found = snapshot(together.take([Holds(1)], None, meta, run, None).with_parts([part]))
    assert found.of_process(0, 2) is found
    with pytest.raises(CorruptCheckpointError, match=WHERE):
        found.of_process(1, 2)


@pytest.mark.parametrize("more", [[[]], [[1]], [b"part"], [[b"part"], []]])
def test_parts_that_are_none(more: list[Any]) -> None:
    """No release has written them."""
    meta, run = contents()
    tree = together.take([Holds(1)], None, meta, run, None).tree
    with pytest.raises(CorruptCheckpointError):
        Snapshot.read(WHERE, unseal(seal([*tree, *more], bytes(32), 0), WHERE))


class Asks:
    """What is asked of a checkpoint callback."""

    def __init__(self, name: str | None = None, best: float | None = None, **options: Any) -> None:
        self.save_every, self.save_on_signal = options.get("save_every"), options.get("save_on_signal")
        self.name, self.best = name, best

    def ask(self, event: Event) -> str | None:
        return self.name


def test_the_first_decides_what_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the logs of another process say something else."""

    def act(index: int) -> Any:
        checkpoint = Asks(name=["1.keras", None][index], best=[0.5, 0.25][index])
        return together.name_after(checkpoint, Event(0, None, {})), checkpoint.best  # type: ignore[arg-type]

    assert act_together(monkeypatch, 2, act) == [("1.keras", 0.5)] * 2


def exchanges(patch: pytest.MonkeyPatch, checkpoint: Any, share: float) -> list[int]:
    """The batches of an epoch, and its end (8), at which two processes exchange something."""
    patch.setattr(together, "SHARE", share)
    found: list[int] = []

    def act(index: int) -> None:
        pulse = together.Pulse()
        for batch in [*range(8), None]:
            before = next(hosts._numbers)
            pulse.asks(checkpoint, Event(0, batch, {}), None, lambda: False)
            if next(hosts._numbers) > before + 1 and index == 0:
                found.append(8 if batch is None else batch)

    assert act_together(patch, 2, act) == [None, None]
    return found


def test_batches_are_seldom_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at all without signals and clock; else as often as a share of the time allows, and after each epoch."""
    assert exchanges(monkeypatch, Asks(), 1e9) == []
    assert exchanges(monkeypatch, Asks(save_every=60), 1e9) == [*range(9)]
    assert exchanges(monkeypatch, Asks(save_on_signal=[15]), 1e-9) == [0, 1, 8]


def test_the_clock_is_that_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever that of another one says."""

    def act(index: int) -> bool:
        return together.Pulse().asks(Asks(save_every=60), Event(0, 0, {}), None, lambda: index == 0)()

    assert act_together(monkeypatch, 2, act) == [True, True]


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ([{"epochs": 3, "steps": 4}, {"epochs": 3, "steps": 3}], "batches .*: process 0 has 4, process 1 has 3"),
        ([{"epochs": 3, "steps": 4}, {"epochs": 2, "steps": 4}], "epochs .*: process 0 has 3, process 1 has 2"),
        ([{"epochs": 3, "steps": None}, {"epochs": 3, "steps": 4}], None),
        ([{"epochs": 3}, None], None),
    ],
)
def test_epochs_of_different_lengths_are_refused(
    params: list[Any], text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On all processes before the first batch, as they would wait for each other for ever."""
    found = act_together(monkeypatch, 2, lambda index: together.check_lengths(params[index]))
    for error in found:
        assert error is None if text is None else type(error) is HostError and re.search(text, str(error))
