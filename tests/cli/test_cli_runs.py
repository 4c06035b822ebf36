"""Directories of runs, such as those of a sweep: one line for each run."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import put, put_run, run
from states import flip

from callback_state._store import lock
from callback_state._store.pair import SUFFIX
from callback_state.cli.shell.exits import Exit

DOUBT = {"what": "arrays are shuffled without a seed", "cure": "write seed=1", "cost": "the order"}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A finished run, one that was stopped inside an epoch, and one whose only checkpoint is damaged."""
    put_run_in(tmp_path / "runs" / "a" / "ckpt", [0.5, 0.25])
    put(tmp_path / "runs" / "a" / "ckpt", "003.keras", 2, finished=True, template="{epoch:03d}.keras")
    put_run_in(tmp_path / "runs" / "b" / "fold 1", [0.125])
    put(tmp_path / "runs" / "b" / "fold 1", "002.keras", 1, batch=3, template="{epoch:03d}.keras", doubts=[DOUBT])
    put_run_in(tmp_path / "runs" / "c", [0.5])
    flip(tmp_path / "runs" / "c" / f"001.keras{SUFFIX}")
    put_run_in(tmp_path / "runs" / ".hidden", [0.5])
    os.symlink(tmp_path / "runs" / "a", tmp_path / "runs" / "link")
    return tmp_path / "runs"


def put_run_in(directory: Path, values: list[float | None]) -> None:
    directory.mkdir(parents=True)
    put_run(directory, values)


def test_each_run_is_one_line_with_its_totals(sweep: Path) -> None:
    """Whether it has finished, was stopped or is damaged; and one line for all. Links and hidden ones are none."""
    done = run("ls", sweep)
    assert done.status == Exit.OK
    rows = [re.split("  +", line.strip()) for line in done.lines]
    assert rows[0] == ["run", "checkpoints", "epochs", "best", "size", "age", "standing"]
    assert [(row[0], *row[1:4], row[-1]) for row in rows[1:3]] == [
        ("a/ckpt", "3", "3", "val_loss 0.25", "finished"),
        ("b/fold 1", "2", "1", "val_loss 0.125", "stopped"),
    ]
    assert rows[3][:2] == ["c", "1"] and rows[3][-1] == "damaged, 1 damaged"
    assert rows[4][:2] == ["3 runs", "6"]


def test_a_run_is_told_for_programs(sweep: Path) -> None:
    """Its directory, the number of its checkpoints, their size, the epochs that are over, and the best one."""
    first, second, third = run("ls", sweep, "--json").json["runs"]
    assert first == {
        "directory": str(sweep / "a" / "ckpt"),
        "template": "{epoch:03d}.keras",
        "count": 3,
        "damaged": 0,
        "size": sum(path.stat().st_size for path in (sweep / "a" / "ckpt").iterdir()),
        "epochs": 3,
        "best": {"path": str(sweep / "a" / "ckpt" / "002.keras"), "value": 0.25},
        "standing": "finished",
        "saved_at": 2,
    }
    assert (second["standing"], second["epochs"], third["standing"], third["epochs"]) == (
        "stopped",
        1,
        "damaged",
        None,
    )


@pytest.mark.skipif(os.name == "nt", reason="a lock file that was left cannot be told from one that is held")
def test_a_run_into_which_a_process_writes_is_running(sweep: Path) -> None:
    """No longer when the process has died, whatever it has left; to look takes no lock."""
    code = (
        "import sys; from callback_state._store.lock import hold\n"
        "held = hold(sys.argv[1]); print(1, flush=True); input()"
    )
    directory = sweep / "b" / "fold 1"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None and writer.stdout.read(1) == b"1"
        assert run("ls", sweep, "--json").json["runs"][1]["standing"] == "running"
        writer.kill()
    assert os.path.exists(directory / lock.NAME)
    assert run("ls", sweep, "--json").json["runs"][1]["standing"] == "stopped"


def test_each_run_is_pruned_on_its_own(sweep: Path) -> None:
    """A dry run shows the same, for each run; one that cannot be pruned is told, and the others are."""
    argv = ["prune", sweep, "--keep", "1"]
    dry, as_json = run(*argv, "--dry-run"), run(*argv, "--dry-run", "--json")
    assert dry.lines == ["a/ckpt/001.keras", "a/ckpt/002.keras", "b/fold 1/001.keras"]
    assert "a/ckpt: would delete 2 of 3" in dry.err and "together: would delete 3 of 5 checkpoints" in dry.err
    assert [one["deleted"] for one in as_json.json["directories"]] == [["001.keras", "002.keras"], ["001.keras"]]
    done = run(*argv)
    assert done.status == dry.status == as_json.status == Exit.NOT_FOUND and done.lines == dry.lines
    assert "has no whole checkpoint: nothing is deleted" in done.err
    left = sorted(path.name for path in sweep.rglob("*.keras") if not path.parts[-2].startswith("."))
    assert left == ["001.keras", "002.keras", "003.keras"]


def test_doctor_looks_at_each_run(sweep: Path) -> None:
    """With the name of each and how much was found; a damaged one is a finding too."""
    done = run("doctor", sweep)
    assert done.status == Exit.LOSS
    heads = [line for line in done.lines if line.endswith(" found")]
    assert heads == ["a/ckpt: nothing found", "b/fold 1: 1 found", "c: 1 found"]
    found = run("doctor", sweep, "--json").json["runs"]
    assert [len(one["findings"]) for one in found] == [0, 1, 1]


def test_the_page_of_a_directory_of_runs_has_a_line_and_a_chart_of_each(sweep: Path, tmp_path: Path) -> None:
    """Of those that can be read; what is wrong with the other is said in its place."""
    page = tmp_path / "report.html"
    done = run("report", sweep, "-o", page, "--json")
    assert done.status == Exit.OK
    assert [one["standing"] for one in done.json["runs"]] == ["finished", "stopped", "damaged"]
    text = page.read_text(encoding="utf-8")
    assert text.count("<figure>") == 3 and "<h1>Training runs in runs</h1>" in text
    assert "a/ckpt" in text and html.escape("b/fold 1") in text


def test_a_directory_without_any_run_is_an_error(tmp_path: Path) -> None:
    """As one without checkpoints is."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert run("ls", tmp_path).status == Exit.NOT_FOUND
