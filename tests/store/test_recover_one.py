"""Recovery and deletion: what dead writers left goes, what may be needed stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from calls import between
from places import ROOT
from saves import NAME, STATE, listing, model_of, number_of, put, save, sealed, staged_name

from callback_state._store import staging
from callback_state._store.commit import delete
from callback_state._store.pair import SUFFIX
from callback_state._store.recover import recover

pytestmark = pytest.mark.usefixtures("quick_disk")


def stage(directory: Path, *, host: str | None = None, pid: int, name: str = NAME) -> str:
    """A staging directory as a writer would have left it."""
    made = f".{name}.tmp-{host or staging._host()}-{pid}-0123abcd"
    (directory / made).mkdir()
    put(directory / made, {name: b"half a mod"})
    return made


@pytest.fixture(scope="module")
def dead_pid() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(timeout=60)
    return process.pid


def test_a_process_that_really_ends(tmp_path: Path) -> None:
    """A writer killed in the middle of the model: the next one removes what it left."""
    save(tmp_path / NAME, 1)
    code = (
        "import os, sys\n"
        "from callback_state._store import commit as _store\n"
        "def write_model(path):\n"
        "    open(path, 'wb').write(b'half')\n"
        "    os._exit(9)\n"
        "_store.write(sys.argv[1], write_model, None).__enter__()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / NAME)], env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60
    )
    assert done.returncode == 9
    assert len(os.listdir(tmp_path)) == 3
    assert number_of(tmp_path / NAME) == 1
    assert recover(tmp_path / NAME)
    if os.name != "nt":  # there nobody can ask whether it lives
        assert sorted(os.listdir(tmp_path)) == [NAME, STATE]


@pytest.mark.skipif(os.name == "nt", reason="on Windows nobody can ask whether a process lives")
def test_recovery_finishes_and_sweeps(tmp_path: Path, dead_pid: int) -> None:
    """The staged state gets its name, and what dead writers left goes."""
    put(
        tmp_path,
        {
            NAME: model_of(2),
            STATE: sealed(1),
            staged_name(model_of(2)): sealed(2),
            staged_name(model_of(3)): sealed(3),
        },
    )
    stage(tmp_path, pid=dead_pid)
    assert recover(tmp_path / NAME)
    assert listing(tmp_path) == {NAME: model_of(2), STATE: sealed(2)}
    assert sorted(os.listdir(tmp_path)) == [NAME, STATE]


def test_recovery_after_a_first_save_that_died(tmp_path: Path) -> None:
    """There is no model yet, so nobody needs what was staged for one."""
    put(tmp_path, {staged_name(model_of(1)): sealed(1)})
    stage(tmp_path, pid=os.getpid())
    assert not recover(tmp_path / NAME)
    assert os.listdir(tmp_path) == []


def test_recovery_touches_nothing_when_nothing_matches(tmp_path: Path) -> None:
    """A model without its state: what lies around may be all that is left to find it by."""
    put(tmp_path, {NAME: model_of(1), STATE: sealed(2), staged_name(model_of(3)): sealed(3)})
    stage(tmp_path, pid=os.getpid())
    before = listing(tmp_path)
    assert not recover(tmp_path / NAME)
    assert listing(tmp_path) == before


def test_recovery_is_for_one_base_name(tmp_path: Path) -> None:
    """Whatever other names look like, their files stay."""
    save(tmp_path / NAME, 1)
    for other in ("n.keras", NAME + ".keras", "x" + NAME, "." + NAME, "mxkeras"):
        stage(tmp_path, pid=os.getpid(), name=other)
        put(tmp_path, {staged_name(b"x", other): sealed(2)})
    put(tmp_path, {f".{NAME}.state-notes": b"", f".{NAME}": b"", f".{NAME}.state-" + "g" * 32: b""})
    before = listing(tmp_path)
    assert recover(tmp_path / NAME)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("where", ["alive", "elsewhere"])
def test_recovery_leaves_a_writer_alone(tmp_path: Path, dead_pid: int, where: str) -> None:
    """While a process lives, or may live on another host, its files stay, the staged states too."""
    save(tmp_path / NAME, 1)
    put(tmp_path, {staged_name(model_of(2)): sealed(2)})
    if where == "alive":
        stage(tmp_path, pid=os.getppid())
    else:
        stage(tmp_path, pid=dead_pid, host="elsewhere")
    before = listing(tmp_path)
    assert recover(tmp_path / NAME)
    assert listing(tmp_path) == before


def test_recovery_sweeps_nothing_when_the_model_changed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The staged state may be that of the new model."""
    save(tmp_path / NAME, 1)
    put(tmp_path, {staged_name(model_of(2)): sealed(2)})
    between(monkeypatch, "digest", 1, lambda: put(tmp_path, {NAME: model_of(2)}))
    assert recover(tmp_path / NAME)
    assert number_of(tmp_path / NAME) == 2


def test_a_state_that_is_staged_while_recovery_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its writer began after recovery had looked for writers: it is nobody's leftover."""
    save(tmp_path / NAME, 1)
    new = {staged_name(model_of(2)): sealed(2)}
    between(monkeypatch, "stagings", 1, lambda: put(tmp_path, new), sys.modules["callback_state._store.recover"])
    assert recover(tmp_path / NAME)
    assert listing(tmp_path) == {NAME: model_of(1), STATE: sealed(1)} | new


def test_recovery_where_nothing_is(tmp_path: Path) -> None:
    """A first run has no directory yet; none is made."""
    assert not recover(tmp_path / "missing" / NAME)
    assert not recover(tmp_path / NAME)
    assert os.listdir(tmp_path) == []


# Deleting


def test_a_checkpoint_is_deleted_model_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in between, it leaves a staged state of no model, which the next writer removes."""
    save(tmp_path / NAME, 1)
    put(tmp_path, {staged_name(model_of(1)): sealed(1)})
    save(tmp_path / "n.keras", 2)
    with monkeypatch.context() as patch:
        between(patch, "remove", 1, lambda: sys.exit("died"))
        with pytest.raises(SystemExit):
            delete(tmp_path / NAME)
    assert {staged_name(model_of(1)), "n.keras", "n.keras" + SUFFIX} == {*listing(tmp_path)}
    assert not recover(tmp_path / NAME) and {"n.keras", "n.keras" + SUFFIX} == {*listing(tmp_path)}
    for state in (sealed(1), b"no state file", sealed(1)[:-1]):
        put(tmp_path, {NAME: model_of(1), STATE: state})
        delete(tmp_path / NAME)
        assert listing(tmp_path) == {"n.keras": model_of(2), "n.keras" + SUFFIX: sealed(2)}
    for _ in range(2):
        delete(tmp_path / NAME)
        assert listing(tmp_path) == {"n.keras": model_of(2), "n.keras" + SUFFIX: sealed(2)}
    delete(tmp_path / "missing" / NAME)
