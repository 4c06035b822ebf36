"""The demo's verdict: it shows something, or it fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pages import README, block, listing
from places import ENVIRONMENT, ROOT

from callback_state import demo
from callback_state.testing import assert_resumes_exactly


def pretend(monkeypatch: pytest.MonkeyPatch, **weights: str) -> None:
    """Let every run be this short one, with the weights given by its name."""

    def watch(run: Any, directory: Path, epochs: int, backend: str, pause: int | None = None) -> None:
        for epoch in range(4):
            run.epochs[epoch] = {"rate": 0.1, "loss": 1.0 / (epoch + 1), "waits": (2, 1)}
        demo.note_moment(run, at_last=True)
        run.killed_in, run.best = pause, 0.25
        run.weights = weights.get(run.name, "same")

    monkeypatch.setattr(demo, "watch", watch)


def test_identical_and_keras_not_is_a_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table says yes and no, and the picture is there."""
    pretend(monkeypatch, BackupAndRestore="other")
    demo.main(["--output", str(tmp_path / "demo.png")])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    assert [row[-1] for row in rows if row[0] in demo.RUNS[1:]] == ["yes", "no"]
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ({"callback_state": "other", "BackupAndRestore": "other"}, "differs from the uninterrupted one"),
        ({}, "shows nothing"),
    ],
    ids=["ours differs", "Keras's does not"],
)
def test_anything_else_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: dict[str, str], text: str
) -> None:
    """The exit is not zero, and says why."""
    pretend(monkeypatch, **weights)
    with pytest.raises(SystemExit, match=text) as caught:
        demo.main(["--output", str(tmp_path / "demo.png")])
    assert caught.value.code not in (0, None)


def test_a_backend_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the line to type, before anything is trained."""
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as caught:
        demo.main(["--backend", "torch"])
    assert caught.value.code == 2
    assert "expected the package torch" in (said := capsys.readouterr().err)
    assert f"{sys.executable} -m pip install torch" in said


def test_its_schedule_resumes_exactly() -> None:
    """By itself, interrupted after any step, while something else lowers the rate."""
    import keras

    def make() -> list[Any]:
        return [demo.schedule(3, 12), keras.callbacks.ReduceLROnPlateau("loss", patience=1)]

    assert_resumes_exactly(make, epochs=4, steps_per_epoch=3, logs={"loss": [2.0, 1.0, 1.0, 1.0]})


def test_the_kill_comes_where_both_callbacks_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where their counters are zero, a restart that loses them would show nothing."""
    run = demo.Run("uninterrupted")
    for epoch, waits in enumerate([(0, 0), (1, 1), (2, 1), (0, 0)]):
        run.epochs[epoch] = {"waits": waits}
        demo.note_moment(run)
        assert run.moment.done() == (epoch == 3)
    demo.note_moment(run, at_last=True)
    assert run.moment.result() == 3


#: The line of the README before the table.
AFTER = "   :alt: Learning rate and validation loss, uninterrupted, with callback_state, and with BackupAndRestore"


@pytest.mark.heavy
def test_the_table_in_the_readme_is_the_demo_s(tmp_path: Path) -> None:
    """Its rows and its verdict; the figures are those of the machine that wrote it."""
    done = subprocess.run(
        [sys.executable, "-m", "callback_state.demo", "--output", str(tmp_path / "demo.png")],
        env=ENVIRONMENT,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = re.search(r"^run  .*?(?=\n\n)", done.stdout, re.DOTALL | re.MULTILINE)
    assert table is not None
    if os.environ.get("WRITE_README"):
        listing(AFTER, block("text", table[0] + "\n"))
        (ROOT / "docs").mkdir(exist_ok=True)
        (ROOT / "docs" / "demo.png").write_bytes((tmp_path / "demo.png").read_bytes())
    readme = README.read_text(encoding="utf-8")
    for row in table[0].splitlines()[1:]:
        name, *_, verdict = row.split()
        if verdict in ("yes", "no"):
            assert re.search(rf"{name} .*{verdict}\n", readme)
