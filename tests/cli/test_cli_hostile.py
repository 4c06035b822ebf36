"""The commands with files that no release has written, and with the files of every release."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import run
from hostile.arrays import ARRAYS
from hostile.columns import COLUMNS
from hostile.files import checkpoint, forged, sealed_tree
from hostile.metas import FORGED
from hostile.values import NODES
from html_page import Page
from places import GOLDEN
from test_cli import STEERS

from callback_state.cli.shell.exits import Exit

STATES = {str(path.parent.relative_to(GOLDEN)): path.parent for path in sorted(GOLDEN.rglob("*.callbacks.pkl"))}
LIES = {**NODES, **ARRAYS, **COLUMNS}
#: Libraries that a look at a file may import.
HARMLESS = ("numpy", "ml_dtypes", "rich", "callback_state", "importlib", "email", "html", "_strptime")


@pytest.mark.parametrize("golden", STATES)
def test_a_golden_file_can_be_looked_at(golden: str, tmp_path: Path) -> None:
    """By each command that reads: every callback is named, in words, as JSON and on the page."""
    path = STATES[golden]
    assert run("verify", path).status == run("diff", path, path).status == Exit.OK
    shown, data = run("show", path), run("show", path, "--json")
    assert (shown.status, data.status, shown.err, data.err) == (Exit.OK, Exit.OK, "", "")
    assert data.json["versions"]["callback_state"] and data.json["callbacks"]
    assert all(callback["key"] in shown.out for callback in data.json["callbacks"])
    assert not STEERS.search(shown.out)
    assert run("export", path).lines[0].startswith("epochs,")
    page, diagnosis = run("report", path, "-o", tmp_path / "r.html"), run("doctor", path)
    assert (page.status, page.err) == (Exit.OK, "") and diagnosis.status in (Exit.OK, Exit.LOSS)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "ModelCheckpointEnhanced " in Page(re.sub(r"(?s)^.*(<main>.*</main>).*$", r"\1", text)).text


def looks(path: Path | str, output: Path) -> list[Any]:
    """What the commands say that decode a state."""
    return [run("show", path, "--json"), run("report", path, "-o", output), run("doctor", path)]


@pytest.mark.parametrize(
    "lie",
    [
        "object-of-a-class-of-the-system",
        "node-of-kind-global",
        "tuple-in-itself",
        "key-that-doubles",
        "defaultdict-of-a-system-call",
        "BitGenerator-of-the-system",
        "Decimal-of-words",
        "array-of-dtype-O",
        "array-of-a-huge-shape",
        "arrays-that-share-their-bytes",
    ],
)
def test_no_lying_value_harms(lie: str, tmp_path: Path) -> None:
    """A state that no encoder wrote is refused, or is shown as what it is; no module is imported for it."""
    entry = {
        "key": "C",
        "class": "package.C",
        "version": 1,
        "arguments": {},
        "outside": None,
        "in_place": [],
        "files": {},
    }
    tree = sealed_tree(forged(meta={"callbacks": [entry]}, state={"C": {"x": LIES[lie]()}}))
    path, before = checkpoint(tmp_path, tree), {*sys.modules}
    for done in looks(path, tmp_path / "r.html"):
        assert done.status in (Exit.OK, Exit.LOSS, Exit.DAMAGED) and "Traceback" not in done.err
        assert done.out if done.status != Exit.DAMAGED else "no state file" in done.err or "decoded" in done.err
    assert [m for m in {*sys.modules} - before if not m.startswith(HARMLESS)] == []


@pytest.mark.parametrize("forgery", ["goes-on-from-above", "epoch-in-words", "two-of-one-key", "model-of-nothing"])
def test_no_forged_description_is_believed(forgery: str, tmp_path: Path) -> None:
    """A description that no release wrote is damaged to each command that reads it; no page is made of it."""
    path = checkpoint(tmp_path, sealed_tree(forged(meta=FORGED[forgery])))
    done = [*looks(path, tmp_path / "r.html"), run("verify", path), run("export", path)]
    assert [one.status for one in done] == [Exit.DAMAGED] * 5 and not (tmp_path / "r.html").exists()
    assert run("ls", tmp_path).status == Exit.OK
    assert "DAMAGED" in run("ls", "--verify", tmp_path).out


HUGE = 1 << 70_000
ENORMOUS: dict[str, dict[str, Any]] = {
    **{name: {name: HUGE} for name in ("saved_at", "epoch", "batch", "initial_epoch", "epochs")},
    "monitor": {"monitor": ("loss", HUGE)},
    "start": {
        "starts": {key: [HUGE] for key in ("at", "epoch", "batch", "from", "due_epoch", "due_batch", "beside")}
    },
    "trace": {"trace": {"epochs": [HUGE], "learning_rate": [0.5], "ended_at": [HUGE], "numbers": {}}},
    "history": {"history": {"epochs": [HUGE], "series": {"loss": [HUGE]}}},
    "shared-lists": (lambda one: {"history": {"epochs": one, "series": {"loss": one, "acc": one}}})([1]),
}


@pytest.mark.parametrize("which", ENORMOUS)
def test_enormous_numbers_are_no_traceback(which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python refuses to write some integers, and to take others for a time; sharing is no trap either."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("huge")
    meta = ENORMOUS[which]
    tree = forged(meta=meta, state={entry["key"]: {} for entry in meta.get("callbacks", ())})
    checkpoint(tmp_path / "huge", sealed_tree(tree))
    for name in ("ls", "show", "verify", "export", "diff huge"):
        for options in ([], ["--json"]):
            done = run(*name.split(), "huge", *options)
            assert done.status in (Exit.OK, Exit.DAMAGED, Exit.NOT_FOUND) and (done.out or done.err)
    assert run("prune", "huge", "--keep", "1").status in (Exit.OK, Exit.NOT_FOUND)
