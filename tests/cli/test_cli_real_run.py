"""The doctor and the report with what a real training run leaves: killed, and started again."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from programs import Program
from test_cli_doctor import HARMLESS, RIGHT, UNSAVED, callback

from callback_state.cli.doctor.findings import findings_in
from callback_state.cli.pictures.page import document
from callback_state.cli.pictures.timeline import timeline_of
from callback_state.cli.runs.recorded import newest_of, recorded

#: Trains without a seed, with a callback that counts and is not saved; dies in epoch 3, and is started again.
PROGRAM = """
import warnings
import keras
import numpy as np
from callback_state import ModelCheckpointEnhanced, restore_callbacks, stateful

warnings.simplefilter("ignore")

@stateful
class Steps(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.step = 0

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1

class Counter(keras.callbacks.Callback):
    def __init__(self, dies_in):
        super().__init__()
        self.dies_in, self.count = dies_in, 0

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1
        if epoch == self.dies_in:
            raise KeyboardInterrupt

def start(dies_in):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.25), "mse")
    callbacks = [Steps(), ModelCheckpointEnhanced("ckpt/{epoch}.keras"), Counter(dies_in)]
    restored = restore_callbacks("ckpt", into=callbacks[:2], model=model, strict=False, missing_ok=True)
    try:
        model.fit(
            np.ones((4, 2)), np.ones((4, 1)), batch_size=2, epochs=5, verbose=0, callbacks=callbacks,
            initial_epoch=restored.initial_epoch,
        )
    except KeyboardInterrupt:
        pass

start(3)
start(-1)
"""


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that died and was started again rightly."""
    directory = tmp_path_factory.mktemp("runs")
    (directory / "program.py").write_text(PROGRAM)
    done = Program(str(directory / "program.py"), str(directory)).run()
    assert done.status == 0, done.err
    return directory / "ckpt"


def test_the_doctor_finds_what_a_real_run_lost(right: Path) -> None:
    """The callback that was not captured and the unseeded shuffle."""
    found = [finding.what for finding in findings_in(newest_of(str(right))[0], "ckpt")]
    assert len(found) == 2 and found[0] == "arrays are shuffled without a seed"
    assert found[1].startswith("Counter is not saved with the checkpoint, and its count changed")


def test_the_report_shows_a_real_run(right: Path) -> None:
    """Learning rate, loss and the counter over five epochs, and the restart in the fourth with what it cost."""
    run = recorded(str(right))
    timeline = timeline_of(run)
    panels = [*timeline.common, *(panel for panels in timeline.states.values() for panel in panels)]
    points = {panel.title: panel.series[0].points for panel in panels}
    assert points["learning rate"] == tuple((epoch, 0.25) for epoch in (1.0, 2.0, 3.0, 4.0, 5.0))
    assert points["step"] == ((1, 2), (2, 4), (3, 6), (4, 8), (5, 10))
    assert [place for place, _ in points["loss"]] == [1, 2, 3, 4, 5]
    assert [(r.place, r.epoch, r.batch) for r in timeline.restarts] == [(3, 3, 0)]
    assert timeline.restarts[0].lost is not None and 0 < timeline.restarts[0].lost < 300
    assert timeline.finished and "Finished after 5 of 5 epochs; 1 restart" in document(run)


#: What cannot be driven: a method that nobody calls, an item of a number, an attribute of no model.
DRIVEN = {**UNSAVED, **HARMLESS}.keys() - {"in a method of its own", "an item", "of somebody else"}


@pytest.mark.parametrize("name", sorted(DRIVEN))
def test_a_run_warns_of_the_same_callbacks(name: str) -> None:
    """What is found in the source of a class is what training finds in its instance, and the reverse."""
    import keras

    from callback_state._loop.unsaved import Unsaved

    scope: dict[str, Any] = {"keras": keras, "clock": itertools.count(7).__next__}
    exec(callback({**UNSAVED, **HARMLESS}[name]).replace(RIGHT, ""), scope)
    mine = scope["Mine"]()
    mine.on_train_begin()
    unsaved = Unsaved([mine])
    for epoch in range(2):
        mine.on_epoch_begin(epoch)
        mine.on_train_batch_begin(0)
        mine.on_train_batch_end(0, {"loss": 0.5})
        mine.on_epoch_end(epoch, {"loss": 0.5})
        unsaved.look()
    assert bool(unsaved.found) == (name in UNSAVED)
