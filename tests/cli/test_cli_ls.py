"""``callback-state ls``: every checkpoint of a directory, as it is, told without reading the model files."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from commands import put, put_run, run
from states import cut, flip, put_staged

from callback_state._checkpoints.names import template_of
from callback_state._store import disk, pair
from callback_state._store.pair import SUFFIX
from callback_state.cli.commands import ls
from callback_state.cli.runs import looks
from callback_state.cli.shell.exits import Exit


def checkpoints(directory: Path, *options: str) -> dict[str, Any]:
    """By name what ``ls --json`` says of each checkpoint of one run."""
    (found,) = run("ls", directory, "--json", *options).json["runs"]
    return {os.path.basename(row["path"]): row for row in found["checkpoints"]}


def test_a_checkpoint_is_a_line(tmp_path: Path) -> None:
    """With its moment, its value, its size and age, its callbacks, the best and the latest marked."""
    hour_ago = time.time_ns() - 3700 * 10**9
    monitor = {"monitor": ("val_loss", 0.5), "template": "{epoch}.keras"}
    put(tmp_path, "1.keras", 7, {"A": {}, "B": {"x": 1}}, epoch=4, saved_at=hour_ago, **monitor)
    put(tmp_path, "2.keras", 8, epoch=5, batch=3, finished=True, saved_at=hour_ago + 1, template="{epoch}.keras")
    done = run("ls", tmp_path)
    assert done.status == Exit.OK and done.err == ""
    head, first, second = (re.split("  +", line) for line in done.lines)
    assert head == ["checkpoint", "epoch from 1", "batch from 1", "val_loss", "size", "age", "callbacks", "marks"]
    assert first[:3] == ["1.keras", "5", "0.5"] and first[4:] == ["61 min", "2", "best"]
    assert second[:3] == ["2.keras", "6", "4"] and second[-1] == "latest, finished"


def test_a_column_that_says_nothing_is_left_out(tmp_path: Path) -> None:
    """An empty one; what is the same of all checkpoints, unless it tells what is whole."""
    for epoch in range(2):
        put(tmp_path, f"{epoch + 1}.keras", epoch, {"A": {}}, template="{epoch}.keras")
    columns = lambda *options: re.split("  +", run("ls", tmp_path, *options).lines[0])  # noqa: E731
    assert columns() == ["checkpoint", "epoch from 1", "size", "age", "marks"]
    assert columns("--verify") == ["checkpoint", "epoch from 1", "size", "age", "verified", "marks"]
    flip(tmp_path / "1.keras")
    assert columns("--verify") == ["checkpoint", "epoch from 1", "size", "age", "verified", "marks"]


def test_what_a_file_of_another_name_is_is_marked(tmp_path: Path) -> None:
    """The end of a run that has a file of its own, and what was saved between two regular checkpoints."""
    put(tmp_path, "epoch.interim.keras", 1, template="{epoch}.keras")
    put(tmp_path, "2.final.keras", 2, finished=True, template="{epoch}.keras")
    first, second = run("ls", tmp_path).lines[1:]
    assert first.endswith("  interim") and second.endswith("  latest, finished, end of run")


def test_it_is_said_for_programs(tmp_path: Path) -> None:
    """Every field by its name; of what JSON has no number for, the word."""
    put(tmp_path, "m.keras", 7, {"A": {}}, monitor=("loss", float("nan")))
    assert checkpoints(tmp_path) == {
        "m.keras": {
            "path": str(tmp_path / "m.keras"),
            "epoch": 7,
            "batch": None,
            "monitor": {"name": "loss", "value": "NaN"},
            "best": False,
            "latest": True,
            "size": sum(path.stat().st_size for path in tmp_path.iterdir()),
            "saved_at": 7,
            "callbacks": ["A"],
            "verified": None,
            "finished": False,
            "problem": None,
        }
    }


def test_no_model_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is asked for."""
    put_run(tmp_path, [0.5, 0.25])
    read: list[str] = []
    digest = disk.digest
    monkeypatch.setattr(disk, "digest", lambda path: read.append(os.path.basename(path)) or digest(path))
    assert {row["verified"] for row in checkpoints(tmp_path).values()} == {None} and read == []
    assert {row["verified"] for row in checkpoints(tmp_path, "--verify").values()} == {True}
    assert sorted(read) == ["001.keras", "002.keras"]


def state_lost(path: Path) -> None:
    os.remove(f"{path}{SUFFIX}")


def state_flipped(path: Path) -> None:
    flip(Path(f"{path}{SUFFIX}"))


@pytest.mark.parametrize(
    ("damage", "problem", "at_once"),
    [
        (cut, "was written for", True),
        (flip, "was changed or damaged since", False),
        (os.remove, "model file of 002.keras.callbacks.pkl, found none", True),
        (state_lost, "expected its state file 002.keras.callbacks.pkl beside it, found none", True),
        (state_flipped, "SHA-256 that the trailer gives", True),
    ],
    ids=["model-cut", "model-flipped", "model-lost", "state-lost", "state-flipped"],
)
def test_a_damaged_one_is_listed_as_such(damage: Any, problem: str, at_once: bool, tmp_path: Path) -> None:
    """In its run, with the reason on standard error; a changed bit of a model only where model files are read."""
    put_run(tmp_path, [0.5, 0.25, 0.75])
    damage(tmp_path / "002.keras")
    for options, seen in ((), at_once), (("--verify",), True):
        rows = checkpoints(tmp_path, *options)
        assert [*rows] in (["001.keras", "002.keras", "003.keras"], ["001.keras", "003.keras", "002.keras"])
        assert (rows["002.keras"]["verified"] is False) is seen
        assert not seen or problem in rows["002.keras"]["problem"]
        assert rows["001.keras"]["best"] is seen and rows["003.keras"]["latest"]
        done = run("ls", tmp_path, *options)
        assert ("DAMAGED" in done.out) is seen and (done.err.count("002.keras") > 0) is seen


def test_a_model_of_somebody_else_is_not_listed(tmp_path: Path) -> None:
    """A model file without a state is a lost half only under a name that a run here gives."""
    put_run(tmp_path, [0.5])
    for name in ("own.keras", "abc.keras", ".4.keras"):
        (tmp_path / name).write_bytes(b"model")
    assert [*checkpoints(tmp_path)] == ["001.keras"]
    (tmp_path / "009.final.keras").write_bytes(b"model")
    assert sorted(checkpoints(tmp_path)) == ["001.keras", "009.final.keras"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_link_is_listed_once(tmp_path: Path) -> None:
    """Also under a name that a run gives: that its state file is elsewhere makes it no lost half."""
    put_run(tmp_path, [0.5])
    os.symlink("001.keras", tmp_path / "002.keras")
    (found,) = run("ls", tmp_path, "--json").json["runs"]
    listed = [(os.path.basename(row["path"]), row["verified"]) for row in found["checkpoints"]]
    assert listed == [("001.keras", None), ("002.keras", None)]


def test_several_runs_are_told_apart(tmp_path: Path) -> None:
    """Each under its template, with a best and a latest one of its own; a damaged file by its name."""
    put_run(tmp_path, [0.5, 0.25])
    put_run(tmp_path, [3.0, 4.0], "b-{epoch}.keras")
    state_flipped(tmp_path / "b-2.keras")
    done = run("ls", tmp_path, "--json").json["runs"]
    assert [found["template"] for found in done] == ["{epoch:03d}.keras", "b-{epoch}.keras"]
    marks = [[(row["best"], row["latest"]) for row in found["checkpoints"]] for found in done]
    assert marks == [[(False, False), (True, True)], [(True, True), (False, False)]]
    lines = run("ls", tmp_path).lines
    assert lines[0] == "{epoch:03d}.keras" and "b-{epoch}.keras" in lines


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("012.keras", "{epoch:03d}.keras"),
        ("012.final.keras", "{epoch:03d}.keras"),
        ("epoch.interim.keras", "{epoch:03d}.keras"),
        ("best.keras", "best.keras"),
        ("final_model.keras", None),
        ("012.h5", None),
        ("012-0.5.keras", "{epoch}-{val_loss:.1f}.keras"),
        ("x-0.5.keras", None),
        (".keras", None),
        ("a.best.keras", None),
    ],
)
def test_a_file_is_of_the_run_whose_name_it_has(name: str, template: str | None) -> None:
    """Epochs and batches are digits; ends and what lies between epochs have names of their own."""
    assert template_of(name, ["best.keras", "{epoch}-{val_loss:.1f}.keras", "{epoch:03d}.keras", "x"]) == template


def given(**arguments: Any) -> dict[str, Any]:
    return {"C": {name: ("value", value, None) for name, value in arguments.items()}}


BEST: dict[str, tuple[str, Any, Any, list[str], str | None]] = {
    "loss": ("val_loss", {}, {}, [], "2.keras"),
    "accuracy": ("val_accuracy", {}, {}, [], "3.keras"),
    "unknown": ("anything", {}, {}, [], None),
    "told": ("anything", {}, {}, ["--mode", "max"], "3.keras"),
    "configured": ("anything", {"monitor": "anything", "mode": "min"}, {}, [], "2.keras"),
    "of-another": ("anything", {"monitor": "another", "mode": "min"}, {}, [], None),
    "against-its-name": ("val_loss", {"monitor": "val_loss", "mode": "max"}, {}, [], "3.keras"),
    "told-otherwise": ("val_loss", {"monitor": "val_loss", "mode": "max"}, {}, ["--mode", "min"], "2.keras"),
    "decided": (
        "anything",
        {"monitor": "anything", "mode": "auto"},
        {"monitor_op": "greater anything"},
        [],
        "3.keras",
    ),
    "decided-for-another": ("anything", {}, {"monitor_op": "less another"}, [], None),
    "a-loss": ("train_loss", {}, {}, [], "2.keras"),
    "not-acc": ("accident_rate", {}, {}, [], None),
    "not-loss": ("glossary", {}, {}, [], None),
    "a-gap": ("val_accuracy_gap", {}, {}, [], None),
    "at-odds": ("val_loss", {"monitor": "val_loss", "mode": "min"}, {"monitor_op": "greater val_loss"}, [], None),
}


@pytest.mark.parametrize(("monitor", "arguments", "state", "options", "best"), BEST.values(), ids=BEST)
def test_the_best_is_that_of_the_run(
    monitor: str, arguments: Any, state: Any, options: list[str], best: str | None, tmp_path: Path
) -> None:
    """By what the user says, else what callbacks were told or have decided, else a name that leaves no doubt."""
    for number, value in enumerate([0.5, 0.25, 0.75, 0.25, float("nan"), None]):
        put(tmp_path, f"{number + 1}.keras", number, {"C": state}, given(**arguments), monitor=(monitor, value))
    found = checkpoints(tmp_path, *options)
    assert [name for name, row in found.items() if row["best"]] == ([best] if best else [])


def test_a_staged_state_counts(tmp_path: Path) -> None:
    """Of a save that was interrupted after its one commit point; then the model file has to be read."""
    path = put(tmp_path, "m.keras", 1)
    put_staged(path, 2)
    assert checkpoints(tmp_path)["m.keras"]["epoch"] == 1
    path.write_bytes(b"model 2")
    row = checkpoints(tmp_path)["m.keras"]
    assert (row["epoch"], row["verified"]) == (2, True)
    path.write_bytes(b"model 3")
    assert (checkpoints(tmp_path)["m.keras"]["epoch"], checkpoints(tmp_path)["m.keras"]["verified"]) == (2, False)
    path.write_bytes(b"model 2")
    state_lost(path)
    (found,) = run("ls", tmp_path, "--json").json["runs"]
    assert [(row["epoch"], row["verified"]) for row in found["checkpoints"]] == [(2, None)]


def watched(directory: Path, steps: list[Any], *, as_json: bool = False, capture: Any) -> list[str]:
    """What ``--watch`` prints while these steps are done, one in each pause."""
    todo = [*steps]

    def pause() -> None:
        if not todo:
            raise AssertionError("it goes on")
        todo.pop(0)()

    assert ls.follow(lambda: ls._runs(str(directory), False), pause, None, as_json) == Exit.OK
    return capture.readouterr().out.splitlines()


def test_a_watch_prints_what_comes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each checkpoint once, one written anew again, until the run has finished; it may begin before the run."""
    directory = tmp_path / "ckpt"
    one = {"template": "{epoch}.keras"}
    lines = watched(
        directory,
        [
            lambda: None,
            lambda: put(directory, "1.keras", 0, monitor=("val_loss", 0.5), **one),
            lambda: put(directory, "2.keras", 1, batch=4, **one),
            lambda: put(directory, "2.keras", 2, **one),
            lambda: flip(directory / f"1.keras{SUFFIX}"),
            lambda: put(directory, "2.keras", 2, finished=True, **one),
        ],
        capture=capsys,
    )
    assert [re.sub(r", [0-9.]+ k?B", "", line) for line in lines] == [
        "1.keras, epoch 1, val_loss 0.5",
        "2.keras, epoch 2, batch 5",
        "2.keras, epoch 3",
        "1.keras, DAMAGED",
        "2.keras, epoch 3, finished",
    ]


def test_a_watch_goes_on_where_the_directory_vanishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between two looks, or in the middle of one: the run may make it again."""
    directory = tmp_path / "ckpt"
    put(directory, "1.keras", 0)
    look = looks.look

    def vanishing(*args: Any, **options: Any) -> Any:
        found = look(*args, **options)
        shutil.rmtree(directory, ignore_errors=True)
        return found

    def come_back() -> None:
        monkeypatch.setattr(looks, "look", look)
        put(directory, "2.keras", 1, finished=True)

    monkeypatch.setattr(looks, "look", vanishing)
    lines = watched(directory, [lambda: None, come_back], capture=capsys)
    assert [line.split(",")[0] for line in lines] == ["2.keras"]


def test_a_watch_for_programs_says_what_the_listing_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best and the latest too."""

    def all_at_once() -> None:
        put_run(tmp_path, [1.0, 0.5, 2.0])
        put(tmp_path, "004.keras", 4, template="{epoch:03d}.keras", finished=True)

    lines = watched(tmp_path, [all_at_once], as_json=True, capture=capsys)
    (run_,) = run("ls", tmp_path, "--json").json["runs"]
    assert [json.loads(line) for line in lines] == run_["checkpoints"]
    assert [row["best"] for row in run_["checkpoints"]] == [False, True, False, False]


def test_a_watch_on_a_terminal_shows_the_last_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the terminal has room for, and ends with the run."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "8")
    put_run(tmp_path, [1.0] * 20)
    put(tmp_path, "021.keras", 21, template="{epoch:03d}.keras", finished=True)
    done = run("ls", tmp_path, "--watch", terminal=True)
    assert done.status == Exit.OK
    assert "021.keras" in done.out and "finished" in done.out and "010.keras" not in done.out


def test_what_a_writer_deletes_meanwhile_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is as if it had never been there."""
    put_run(tmp_path, [1.0, 2.0])
    states = pair.states(tmp_path)
    os.remove(tmp_path / "001.keras")
    state_lost(tmp_path / "001.keras")
    monkeypatch.setattr(ls, "states", lambda directory: states)
    assert [*checkpoints(tmp_path)] == ["002.keras"]
