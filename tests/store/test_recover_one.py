"""Recovery and deletion: what dead writers left goes, what may be needed stays."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from calls import between
from saves import NAME, STATE, listing, model_of, number_of, put, save, sealed, stage, staged_name

from callback_state._store.commit import delete
from callback_state._store.pair import SUFFIX
from callback_state._store.recover import recover

pytestmark = pytest.mark.usefixtures("quick_disk")


def test_recovery_touches_nothing_when_nothing_matches(tmp_path: Path) -> None:
    """A model without its state: what lies around may be all that is left to find it by."""
    put(tmp_path, {NAME: model_of(1), STATE: sealed(2), staged_name(model_of(3)): sealed(3)})
    stage(tmp_path / NAME, pid=os.getpid())
    before = listing(tmp_path)
    assert not recover(tmp_path / NAME)
    assert listing(tmp_path) == before


def test_recovery_is_for_one_base_name(tmp_path: Path) -> None:
    """Whatever other names look like, their files stay."""
    save(tmp_path / NAME, 1)
    for other in ("n.keras", NAME + ".keras", "x" + NAME, "." + NAME, "mxkeras"):
        stage(tmp_path / other, pid=os.getpid())
        put(tmp_path, {staged_name(b"x", other): sealed(2)})
    put(tmp_path, {f".{NAME}.state-notes": b"", f".{NAME}": b"", f".{NAME}.state-" + "g" * 32: b""})
    before = listing(tmp_path)
    assert recover(tmp_path / NAME)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("where", ["alive", "elsewhere"])
def test_recovery_leaves_a_writer_alone(tmp_path: Path, where: str) -> None:
    """While a process lives, or may live on another host, its files stay, the staged states too."""
    save(tmp_path / NAME, 1)
    put(tmp_path, {staged_name(model_of(2)): sealed(2)})
    if where == "alive":
        stage(tmp_path / NAME, pid=os.getppid())
    else:
        stage(tmp_path / NAME, host="elsewhere")
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
