"""Staging directories beside a model file, and the names of hidden files."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from saves import DEAD, raises

from callback_state._store import disk, staging


def test_a_staging_directory_lives_beside_its_file(tmp_path: Path) -> None:
    """It is hidden, named after file, host and process, and gone in the end with its content."""
    path = str(tmp_path / "m.keras")
    with staging.staging(path) as stage, staging.staging(path) as second:
        assert stage != second
        name = f".m.keras.tmp-{staging._host()}-{os.getpid()}-"
        assert stage.startswith(str(tmp_path / name))
        Path(stage, "f").write_bytes(b"x")
        dead, alive = staging.stagings(path)
        assert (dead, sorted(alive)) == ([], sorted([stage, second]))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_staging_directory_is_removed_after_an_error(tmp_path: Path, error: Any) -> None:
    """The error comes through as it is."""
    with pytest.raises(error, match="mine"), staging.staging(str(tmp_path / "m")) as stage:
        Path(stage, "f").write_bytes(b"x")
        raise error("mine")
    assert os.listdir(tmp_path) == []


def test_a_staging_directory_that_cannot_be_removed_is_a_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is no error of the write; the same process knows it for dead."""
    with monkeypatch.context() as patch, staging.staging(str(tmp_path / "m")) as stage:
        patch.setattr(disk, "remove_tree", raises(errno.EIO))
    assert staging.stagings(str(tmp_path / "m")) == ([stage], [])


@pytest.mark.parametrize(
    ("host", "pid", "dead"),
    [
        pytest.param("here", "dead", os.name != "nt", id="dead"),
        pytest.param("here", "parent", False, id="alive"),
        pytest.param("here", "own", True, id="earlier-process-of-our-number"),
        pytest.param("elsewhere", "dead", False, id="other-host"),
        pytest.param("here-1", "dead", False, id="host-that-begins-alike"),
        pytest.param("here", "0", False, id="no-process"),
        pytest.param("here", "12345678901234567890", False, id="no-number-of-a-process"),
    ],
)
def test_only_what_is_known_to_be_dead_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, pid: str, dead: bool
) -> None:
    """A process of this host that has ended left it; of all others nobody can know."""
    monkeypatch.setattr(staging.socket, "gethostname", lambda: "here")
    number = {"dead": DEAD, "parent": os.getppid(), "own": os.getpid()}.get(pid, pid)
    stage = tmp_path / f".m.tmp-{host}-{number}-0123abcd"
    stage.mkdir()
    (tmp_path / ".n.tmp-here-1-0123abcd").mkdir()
    expected = ([str(stage)], []) if dead else ([], [str(stage)])
    assert staging.stagings(str(tmp_path / "m")) == expected


def test_a_process_that_may_not_be_asked_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs to another user."""
    monkeypatch.setattr(disk, "WINDOWS", False)
    monkeypatch.setattr(os, "kill", raises(errno.EPERM))
    assert staging.is_running(1)


def test_on_windows_no_process_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the question would end it."""
    monkeypatch.setattr(disk, "WINDOWS", True)
    monkeypatch.setattr(os, "kill", lambda *args: pytest.fail("os.kill was called"))
    assert staging.is_running(1)


def test_a_strange_host_name_makes_a_plain_file_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """No separator and no dash of it can be taken for a part of the name."""
    monkeypatch.setattr(staging.socket, "gethostname", lambda: "gpu-01/../\u00e9.example")
    assert staging._host() == "gpu_01_..__.example"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (f".m.keras.state-{'0a' * 16}", ("m.keras", True)),
        (".m.keras.tmp-host.a-12-0123abcd", ("m.keras", False)),
        (f"..m.h5.state-{'0' * 32}", (".m.h5", True)),
        (f".m.keras.state-{'0' * 31}", None),
        (f".m.keras.state-{'0' * 33}", None),
        (f".m.keras.state-{'A' * 32}", None),
        (f"m.keras.state-{'0' * 32}", None),
        (".m.keras.tmp-host-12-0123abc", None),
        (".m.keras.tmp-host-\u0661-0123abcd", None),
        (".m.keras.tmp-a b-12-0123abcd", None),
        (".callback_state.lock", None),
    ],
)
def test_a_hidden_name_says_whose_it_is(name: str, found: Any) -> None:
    """The name of the model file, and whether it is a staged state; any other name says nothing."""
    assert staging.hidden(name) == found


def test_a_file_with_another_name_is_not_cut_there(tmp_path: Path) -> None:
    """A backup that is a hard link keeps its content."""
    log, backup = tmp_path / "log", tmp_path / "backup"
    log.write_bytes(b"12345")
    os.link(log, backup)
    staging.cut(str(log), 2)
    assert (log.read_bytes(), backup.read_bytes()) == (b"12", b"12345")
