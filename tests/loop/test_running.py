"""One ``fit`` moves from phase to phase as the table says, and in no other way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callback_state._loop.running import TRANSITIONS, Entry, Event, Phase, Running
from callback_state._loop.trace import Trace

B, L, T, S, F, X = (Event.BATCH_END, Event.LAST_BATCH, Event.TRAIN_END, Event.SIGNAL, Event.FAILURE, Event.LEAVE)


def running() -> Running:
    hooked: Any = None
    return Running(hooked, None, [])


def test_the_table_names_every_phase_and_ends() -> None:
    """From every phase the listeners can leave, and after that nothing happens."""
    assert set(TRANSITIONS) == set(Phase) and TRANSITIONS[Phase.LEFT] == {}
    reached = {Phase.LEFT}
    for _ in Phase:
        reached |= {phase for phase in Phase if reached & {*TRANSITIONS[phase].values()}}
    assert reached == set(Phase)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("event", Event)
def test_an_event_that_is_not_in_the_table_is_an_error(phase: Phase, event: Event) -> None:
    """It names event and phase, and the phase stays; any other event gives the phase before."""
    one = running()
    one.phase = phase
    if event in TRANSITIONS[phase]:
        assert one.move(event) is phase and one.phase is TRANSITIONS[phase][event]
        return
    with pytest.raises(AssertionError, match=f"{event.name} in the phase {phase.name}"):
        one.move(event)
    assert one.phase is phase


@pytest.mark.parametrize(
    ("events", "ends"),
    [([B, B, L, L, B, L, T, X], 2), ([L, L, T, X], 0), ([B, S, S, T, X], 0), ([B, L, T, F, X], 1), ([S, F, X], 0)],
    ids=["two epochs with validation", "no batch is heard", "two saves for a signal", "fails at the end", "fails"],
)
def test_the_last_batch_of_an_epoch_is_known_once(events: list[Event], ends: int) -> None:
    """However often a validation and the end of the epoch tell of it, and never where no batch was heard."""
    one = running()
    moves = [(one.move(event), event) for event in events]
    assert moves.count((Phase.BATCHES, Event.LAST_BATCH)) == ends and one.phase is Phase.LEFT


def test_a_fit_begins_with_nothing_of_the_one_before(tmp_path: Path) -> None:
    """It enters at an epoch, no signal has come, and no end is on disk; a resume changes where it enters."""
    one = running()
    assert (one.entry, one.phase, one.epoch, one.hears_batches) == (Entry.EPOCH, Phase.NEW, None, False)
    assert one.trains and not one.is_asked_to_stop and not one.has_end(str(tmp_path))
    one.enter(Entry.NOTHING, Trace())
    assert not one.trains
    one.enter(Entry.END, Trace(), 7)
    assert one.trains and one.epoch == 7


def test_the_end_of_a_run_is_noted_for_each_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two checkpoints may save into two directories, and one of the ends may fail."""
    one = running()
    monkeypatch.chdir(tmp_path)
    one.note_end("a")
    assert one.has_end(str(tmp_path / "a")) and not one.has_end("b")
