"""The programs of examples/trackers: killed in the fourth epoch and started again, each is one run.

Its checkpoint is from the last batch of the second epoch, before callbacks get the end of that epoch. So the
killed process has logged two epochs that the resumed one would log again.
"""

from __future__ import annotations

import glob
import json
import math
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from places import ROOT, TESTS
from programs import Done, Program

from callback_state import load_meta

OFFLINE = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "COMET_LOGGING_CONSOLE": "ERROR"}
EPOCHS = 5


def start(name: str, directory: Path, *, dies: bool = False) -> Done:
    """Run the program of a library; one that dies gets a SIGKILL before the second batch of its fourth epoch."""
    path = ROOT / "examples" / "trackers" / f"with_{name}.py"
    done = Program(str(path), str(directory), struck_at=(3, 1) if dies else None, environment=OFFLINE).run()
    assert done.status == (-signal.SIGKILL if dies else 0), done.err
    return done


def found(name: str, directory: Path) -> tuple[list[str], list[tuple[str, int, float]]]:
    """The runs and the points that a library has in a directory."""
    done = Program(str(TESTS / "contrib" / "points.py"), str(directory), arguments=[name]).run()
    assert done.status == 0, done.err
    runs, points = json.loads(done.lines[-1])
    return runs, [(series, step, value) for series, step, value in points]


def killed_and_resumed(name: str, directory: Path) -> tuple[list[str], list[tuple[str, int, float]]]:
    start(name, directory, dies=True)
    assert len(glob.glob(str(directory / "ckpt/**/*.keras"), recursive=True)) == 1
    start(name, directory)
    return found(name, directory)


def expected(directory: Path) -> dict[tuple[str, int], float]:
    """Each series of the logs with its epochs, as the last checkpoint has them."""
    meta: dict[str, Any] = load_meta(directory)
    assert meta["epochs"] == [*range(EPOCHS)]
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    return {(name, epoch): meta[name][epoch] for name in names for epoch in range(EPOCHS)}


def check(points: list[tuple[str, int, float]], wanted: dict[tuple[str, int], float]) -> None:
    """Each point is there once, with its value; and no other."""
    assert Counter((name, step) for name, step, _ in points) == Counter(wanted.keys())
    # Some libraries keep single precision.
    assert all(math.isclose(value, wanted[name, step], rel_tol=1e-6) for name, step, value in points)


def test_mlflow(tmp_path: Path) -> None:
    """One run, which has finished; each epoch once; the validations, all with step 0, once each and in order."""
    runs, points = killed_and_resumed("mlflow", tmp_path)
    assert runs == ["FINISHED"]
    wanted = expected(tmp_path / "ckpt")
    check([point for point in points if not point[0].startswith("validation_")], wanted)
    for name in ("loss", "accuracy"):
        series = [value for series, step, value in points if (series, step) == (f"validation_{name}", 0)]
        assert series == [wanted[f"val_{name}", epoch] for epoch in range(EPOCHS)]


def test_optuna(tmp_path: Path) -> None:
    """The killed trial is told its value, the next one follows; each epoch once; no trial is left running."""
    runs, points = killed_and_resumed("optuna", tmp_path)
    assert [run.split()[0] for run in runs] in (["COMPLETE"] * 2 + ["RUNNING"], ["COMPLETE", "PRUNED", "RUNNING"])
    first = {step: value for trial, step, value in points if trial == "0"}
    assert first == {epoch: expected(tmp_path / "ckpt/0")["val_loss", epoch] for epoch in range(EPOCHS)}


def test_aim(tmp_path: Path) -> None:
    """One run; each epoch once."""
    runs, points = killed_and_resumed("aim", tmp_path)
    assert runs == ["digits"]
    check(points, expected(tmp_path / "ckpt"))


def test_wandb(tmp_path: Path) -> None:
    """One run in the directories of two starts; each step once, and it is the epoch."""
    runs, points = killed_and_resumed("wandb", tmp_path)
    assert len(runs) == 1 and len(glob.glob(str(tmp_path / "wandb/offline-run-*"))) == 2
    logged = [(name.removeprefix("epoch/"), step, value) for name, step, value in points]
    wanted = expected(tmp_path / "ckpt")
    check([point for point in logged if point[0] not in ("epoch", "learning_rate")], wanted)
    assert sorted(value for name, _, value in logged if name == "epoch") == [*range(EPOCHS)]


def test_comet(tmp_path: Path) -> None:
    """One experiment in the archives of two starts, of which the killed one is made later; each step once."""
    runs, points = killed_and_resumed("comet", tmp_path)
    assert len(runs) == 1
    wanted = {(name, 4 * epoch + 4): value for (name, epoch), value in expected(tmp_path / "ckpt").items()}
    epochs = [point for point in points if point[:2] in wanted or point[0] in ("loss", "val_loss")]
    check(epochs, wanted)
    for name, steps in (("batch_loss", 4 * EPOCHS), ("validate batch_loss", EPOCHS)):
        assert Counter(step for series, step, _ in points if series == name) == Counter(range(1, steps + 1))
    assert not [path for path in os.listdir(tmp_path / "comet") if not path.endswith(".zip")]


def test_tqdm(tmp_path: Path) -> None:
    """The bar of the epochs is at the second one at once, and ends at the last one."""
    start("tqdm", tmp_path, dies=True)
    shown = start("tqdm", tmp_path).err
    assert " 1/5 [" in shown and " 5/5 [" in shown and "2/5" in shown.partition(" 3/5 [")[0]


@pytest.mark.parametrize("name", ["mlflow", "aim", "comet", "optuna"])
def test_another_run_is_refused(name: str) -> None:
    """A run that was opened without the function of contrib is not mixed with that of the checkpoint."""
    from callback_state import ResumeError
    from callback_state.contrib.common import check_run

    check_run(name, "a", {"run": "a"}, "start(path)")
    with pytest.raises(ResumeError, match=rf"belongs to the run b, and the run a is open.*contrib\.{name}\.start"):
        check_run(name, "a", {"run": "b"}, "start(path)")


def test_wandb_leaves_out_the_rows_that_a_server_has(tmp_path: Path) -> None:
    """A run that was three rows further than the checkpoint logs neither of them again, and then goes on."""
    program = tmp_path / "program.py"
    program.write_text(
        """
import keras, wandb
from callback_state import contrib
from callback_state.contrib.wandb import _log_after

run = contrib.wandb.init("ckpt", project="digits")
for row in range(4):
    wandb.log({"row": row})
_log_after(run, 3)  # as _wind_back does where the checkpoint is of the first row
for row in range(1, 6):
    wandb.log({"row": row})
run.finish()
"""
    )
    done = Program(str(program), str(tmp_path), environment=OFFLINE).run()
    assert done.status == 0, done.err
    assert found("wandb", tmp_path)[1] == [("row", row, row) for row in range(6)]


def test_each_docstring_has_an_example_that_runs(tmp_path: Path) -> None:
    """With the real libraries, in an empty directory."""
    done = Program(str(TESTS / "contrib" / "doctests.py"), str(tmp_path), environment=OFFLINE).run()
    assert done.status == 0, done.out + done.err
