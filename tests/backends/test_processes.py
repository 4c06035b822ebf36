"""Several processes of JAX that train one model together: real ones, killed and started again."""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import keras
import pytest
from hosts import STEPS, Ended, names, results, train
from places import ROOT
from recipes import source

from callback_state._keras.hosts import count, is_first

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

#: A kernel of so many columns is not written by HDF5 itself. So it is gathered when the file comes to it.
WIDE = 4096
IN_BATCHES = {"filepath": "{epoch}-{batch}.keras", "saves": {"save_freq": 4, "max_to_keep": 2}, "log": True}
#: In the third epoch.
LATE = 2 * STEPS + 3


def statuses(ended: list[Ended]) -> list[int]:
    assert all(one.result is None for one in ended)
    for rank, one in enumerate(ended):
        print(f"process {rank}: {one.errors[-3000:]}")
    return [one.status for one in ended]


def test_one_process_asks_nobody() -> None:
    """Where a process trains alone, it is the first of one."""
    assert count() == 1 and is_first()


def test_divided_variables(tmp_path: Path) -> None:
    """ModelParallel, all killed: model, history and what each process drew are those of the whole run. Keras reads
    the file, and one process goes on from it, with a doubt in its report."""
    whole = results(train(tmp_path / "whole", 2, "model", width=WIDE))
    died = train(tmp_path / "died", 2, "model", width=WIDE, struck_at=LATE, struck=[0, 1], struck_by=9)
    assert statuses(died) == [-signal.SIGKILL] * 2
    shutil.copytree(tmp_path / "died", tmp_path / "alone")
    assert results(train(tmp_path / "died", 2, "model", width=WIDE)) == whole
    assert whole[0]["weights"] == whole[1]["weights"] and whole[0]["trace"] != whole[1]["trace"]
    assert names(tmp_path / "died") == names(tmp_path / "whole")
    keras.models.load_model(tmp_path / "died" / "3.keras")
    (alone,) = results(train(tmp_path / "alone", 1, "model", width=WIDE))
    assert "saved by 2 processes, restored by 1" in alone["doubts"][0]
    assert alone["history"]["loss"][:2] == whole[0]["history"]["loss"][:2]


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["model", "data"])
def test_other_numbers_of_processes(tmp_path: Path, kind: str) -> None:
    """Three train and die, two go on and die, three finish: each start takes the checkpoint of the one before, and
    its report says what cannot be exact. What was trained before stays as it was."""
    options: dict[str, Any] = {"differ": False, "struck_by": signal.SIGKILL}
    whole = results(train(tmp_path / "whole", 3, kind, **options))
    died = train(tmp_path / "run", 3, kind, struck_at=STEPS + 3, struck=[0, 1, 2], **options)
    assert statuses(died) == [-signal.SIGKILL] * 3
    died = train(tmp_path / "run", 2, kind, struck_at=LATE, struck=[0, 1], **options)
    assert statuses(died) == [-signal.SIGKILL] * 2 and [one.begins for one in died] == ["0 None"] * 2
    ended = train(tmp_path / "run", 3, kind, **options)
    assert [one.begins for one in ended] == ["1 None"] * 3
    found = results(ended)
    assert len({one["weights"] for one in found}) == 1
    assert all("saved by 2 processes, restored by 3" in one["doubts"][0] for one in found)
    assert found[0]["history"]["loss"][0] == whole[0]["history"]["loss"][0]
    assert len(found[0]["history"]["loss"]) == 3


def test_a_store(tmp_path: Path) -> None:
    """With a URL for a path each process reads from the store, and the first alone writes there."""
    whole = results(train(tmp_path / "whole", 2, "data", store=True))
    died = train(tmp_path / "run", 2, "data", struck_at=LATE, struck=[0, 1], struck_by=9, store=True)
    assert statuses(died) == [-signal.SIGKILL] * 2
    ended = train(tmp_path / "run", 2, "data", store=True)
    assert [one.begins for one in ended] == ["1 None"] * 2 and results(ended) == whole
    assert names(tmp_path / "run") == names(tmp_path / "whole")


def test_a_disk_that_is_full_on_the_first(tmp_path: Path) -> None:
    """The others do not wait for it: they give their parts, hear of the failure, and all train on or end."""
    ended = train(tmp_path, 2, "model", width=WIDE, fails_at=2, may_warn=[".*2.keras: not saved"])
    first, other = results(ended)
    assert first["weights"] == other["weights"] and len(first["history"]["loss"]) == 3
    assert [name for name in names(tmp_path) if name.endswith(".keras")] == ["1.keras", "3.keras"]
    ended = train(tmp_path / "raise", 2, "model", width=WIDE, fails_at=1, saves={"on_save_error": "raise"})
    assert statuses(ended) == [1, 1]
    assert "No space left on device" in ended[0].errors
    assert "No space left on device (on process 0)" in ended[1].errors


def test_a_signal_on_one_stops_all(tmp_path: Path) -> None:
    """At the same batch, with one checkpoint and the exit status 75; the run that goes on is the whole run."""
    saves: dict[str, Any] = {"saves": {"save_on_signal": True}, "share": 1e9}
    whole = results(train(tmp_path / "whole", 2, "data", **saves))
    stopped = train(tmp_path / "run", 2, "data", struck_at=LATE, struck=[1], struck_by=signal.SIGTERM, **saves)
    assert statuses(stopped) == [75, 75]
    saved = [name for name in names(tmp_path / "run") if name.endswith(".keras")]
    assert saved == ["1.keras", "2.keras", "epoch.interim.keras"]
    ended = train(tmp_path / "run", 2, "data", **saves)
    assert [one.begins for one in ended] == ["2 3", "2 3"]
    assert results(ended) == whole


def test_the_example(tmp_path: Path) -> None:
    """Both processes come to their end; the first says what it saves, and writes the log."""
    program = str(ROOT / "examples" / "two_hosts.py")
    first, other = train(tmp_path, 2, "data", program=program)
    assert (first.status, other.status) == (0, 0), first.errors + other.errors
    assert [line for line in first.lines if "003.keras" in line and "process 0" not in line]
    assert first.lines[-1] == "process 0 has finished"
    assert [line for line in other.lines if "Gloo" not in line] == ["process 1 has finished"]
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 5
    assert [name for name in names(tmp_path / "ckpt") if name.endswith(".keras")] == ["003.keras", "004.keras"]


#: Around the recipe of the README: a job of Slurm, which is how ``jax.distributed.initialize()`` knows the others.
SCRIPT = """
import os, sys
import jax, keras, numpy as np
from callback_state import ModelCheckpointEnhanced, restore_callbacks

_, address, processes, rank = sys.argv
host, port = address.split(":")
os.environ |= {{"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": host, "JAX_COORDINATOR_PORT": port}}
os.environ |= {{"SLURM_NTASKS": processes, "SLURM_PROCID": rank, "SLURM_LOCALID": rank}}
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_cpu_collectives_implementation", "gloo")

{recipe}
keras.utils.set_random_seed(1)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
checkpoint = ModelCheckpointEnhanced("ckpt/{{epoch:03d}}.keras")
restored = restore_callbacks("ckpt", into=[checkpoint], model=model, missing_ok=True)
print("BEGINS", restored.initial_epoch, jax.process_count())
x, first = np.ones((8, 4), "float32"), restored.initial_epoch
model.fit(x, x[:, :1], initial_epoch=first, epochs=first + 1, verbose=0, callbacks=[checkpoint])
"""


def test_the_recipe(tmp_path: Path) -> None:
    """The few lines of the README are enough: the second start goes on where the first one has ended."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(recipe=source("hosts")))
    for begins in ("0 2", "1 2"):
        ended = train(tmp_path / "run", 2, "data", program=str(script))
        assert [(one.status, one.begins) for one in ended] == [(0, begins)] * 2, ended[0].errors
    assert [name for name in names(tmp_path / "run" / "ckpt") if name.endswith("s")] == ["001.keras", "002.keras"]


@pytest.mark.parametrize(
    ("kind", "kills"), [("data", 3), *(pytest.param(k, 20, marks=pytest.mark.heavy) for k in ("data", "model"))]
)
def test_random_kills(tmp_path: Path, kind: str, kills: int) -> None:
    """Three processes that save inside epochs; all, the first or another one is killed at random moments, and the
    others end. The run that comes to its end is the whole run, with one row for each epoch in its log."""
    ended = train(tmp_path / "whole", 3, kind, **IN_BATCHES)
    whole, seconds = results(ended), max(one.seconds for one in ended)
    assert len({one["trace"] for one in whole}) == 3 and len(whole[0]["rows"]) == 4
    moments = random.Random(kills)
    for i in range(kills):
        killed = [[0, 1, 2], [0], [1 + i % 2]][i % 3]
        after = moments.uniform(0.1, 0.9) * seconds
        for one in train(tmp_path / "run", 3, kind, killed=killed, killed_after=after, **IN_BATCHES):
            assert (one.status == 0) == (one.result is not None), one.errors
    assert results(train(tmp_path / "run", 3, kind, **IN_BATCHES)) == whole
    assert names(tmp_path / "run") == names(tmp_path / "whole")
