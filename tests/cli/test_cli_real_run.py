"""The doctor and the report with what a real training run leaves: killed, and started again wrongly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from callback_state.cli.doctor.findings import findings_in
from callback_state.cli.pictures.page import document
from callback_state.cli.pictures.timeline import timeline_of
from callback_state.cli.runs.recorded import newest_of, recorded

#: Trains without a seed, with a callback that counts and is not saved; each argument is how it is started.
PROGRAM = """
import sys, warnings
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

def start(how, name):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.25), "mse")
    callbacks = [Steps(), ModelCheckpointEnhanced(f"{name}/{{epoch}}.keras"), Counter(3 if how == "first" else -1)]
    options = {"batch_size": 2, "epochs": 5, "verbose": 0, "callbacks": callbacks}
    if how in ("right", "epoch"):
        into = callbacks[:2]
        restored = restore_callbacks(name, into=into, model=model, strict=False, missing_ok=True)
        options |= {"initial_epoch": restored.initial_epoch} if how == "right" else {}
    try:
        model.fit(np.ones((4, 2)), np.ones((4, 1)), **options)
    except KeyboardInterrupt:
        pass

for how in ("right", "epoch", "anew"):
    start("first", how)
    start(how, how)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs")
    subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=directory,
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    return directory


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("right", []),
        (
            "epoch",
            [
                "start 2 of the run went on with epoch 0, batch 0; its checkpoint was to go on with epoch 3, "
                "batch 0"
            ],
        ),
        (
            "anew",
            [
                "start 1 of the run began anew with epoch 0, batch 0, although 3 of its checkpoints were in the "
                "directory"
            ],
        ),
    ],
    ids=["right", "without initial_epoch", "without restore_callbacks"],
)
def test_the_doctor_finds_what_a_real_run_lost(runs: Path, how: str, expected: list[str]) -> None:
    """The callback that was not captured, the unseeded shuffle, and how the second start began; nothing else."""
    found = [finding.what for finding in findings_in(newest_of(str(runs / how))[0], "ckpt")]
    shuffle, unsaved = "arrays are shuffled without a seed", "Counter is not saved with the checkpoint"
    assert found[: len(expected)] == expected
    rest = found[len(expected) :]
    assert len(rest) == 2 and rest[0] == shuffle and rest[1].startswith(f"{unsaved}, and its count changed")


def test_the_report_shows_a_real_run(runs: Path) -> None:
    """Learning rate, loss and the counter over five epochs, and the restart in the fourth with what it cost."""
    run = recorded(str(runs / "right"))
    timeline = timeline_of(run)
    points = {panel.title: panel.series[0].points for panel in timeline.panels}
    assert points["learning rate"] == tuple((epoch, 0.25) for epoch in (1.0, 2.0, 3.0, 4.0, 5.0))
    assert points["step"] == ((1, 2), (2, 4), (3, 6), (4, 8), (5, 10))
    assert [place for place, _ in points["loss"]] == [1, 2, 3, 4, 5]
    assert [(r.place, r.epoch, r.batch) for r in timeline.restarts] == [(3, 3, 0)]
    assert timeline.restarts[0].lost is not None and 0 < timeline.restarts[0].lost < 300
    assert timeline.finished and "Finished after 5 of 5 epochs; 1 restart" in document(run)
