"""``callback-state verify``: every byte, both halves, and with a key the signature."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
from commands import put, put_run, run
from states import flip, put_staged

from callback_state._format.trust import Keys
from callback_state._store.pair import SUFFIX
from callback_state.cli.runs import looks
from callback_state.cli.shell.exits import Exit

KEY, OTHER = "a key that is long enough", "another key of some length"


def test_whole_checkpoints_verify(tmp_path: Path) -> None:
    """A line each, status 0, and no message."""
    put_run(tmp_path, [0.5, 0.25])
    done = run("verify", tmp_path)
    assert (done.status, done.err) == (Exit.OK, "")
    assert [line.split() for line in done.lines[1:]] == [[f"00{i}.keras", "whole", "none"] for i in (1, 2)]


@pytest.mark.parametrize("path", ["", "001.keras", f"001.keras{SUFFIX}"], ids=["directory", "model", "state"])
@pytest.mark.parametrize("lost", ["001.keras", f"001.keras{SUFFIX}"], ids=["model-lost", "state-lost"])
def test_a_half_is_damaged(path: str, lost: str, tmp_path: Path) -> None:
    """It is named, whatever the argument names."""
    put_run(tmp_path, [0.5, 0.25])
    os.remove(tmp_path / lost)
    done = run("verify", tmp_path / path)
    assert done.status == Exit.DAMAGED
    assert f"{tmp_path / '001.keras'}: expected " in done.err and ", found none" in done.err


@pytest.mark.parametrize("path", ["ckpt//m.keras", "./ckpt/./m.keras", f"ckpt//m.keras{SUFFIX}"])
def test_a_path_may_be_written_in_any_way(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With slashes and dots to spare, of a model file or of a state file."""
    put(tmp_path / "ckpt", "m.keras", 1)
    monkeypatch.chdir(tmp_path)
    done = run("verify", path)
    assert (done.status, done.err) == (Exit.OK, "") and "whole" in done.out


@pytest.mark.skipif(os.name == "nt", reason="no pipes with names there")
@pytest.mark.parametrize(
    ("kind", "half"), [("pipe", ""), ("pipe", SUFFIX), ("device", SUFFIX)], ids=["model", "state", "device"]
)
@pytest.mark.parametrize("command", ["verify", "ls", "ls --verify", "show", "prune --keep 1 --dry-run"])
def test_what_is_no_file_is_damaged(command: str, kind: str, half: str, tmp_path: Path) -> None:
    """Nobody waits for a pipe, or reads a device until the memory is full; the others are as they were."""
    put_run(tmp_path, [0.5, 0.25])
    path = tmp_path / f"002.keras{half}"
    os.remove(path)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    name, *options = command.split()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = run(name, tmp_path, *options)
    assert done.status == (Exit.DAMAGED if name == "verify" else Exit.OK)
    assert name in ("show", "prune") or "002.keras" in done.err


def signed(directory: Path, name: str, key: str = KEY) -> Path:
    return put(directory, name, 1, sign=Keys.of(key).signer(name))


@pytest.mark.parametrize(
    ("keys", "status", "signature"),
    [
        (None, Exit.OK, "not checked"),
        (KEY, Exit.OK, "right"),
        (f"{OTHER}\n\n{KEY}\r\n", Exit.OK, "right"),
        (OTHER, Exit.UNTRUSTED, "WRONG"),
    ],
    ids=["no-key", "the-key", "several", "another"],
)
def test_a_signature_is_checked(keys: str | None, status: Exit, signature: str, tmp_path: Path) -> None:
    """With the keys of a file, a line each, or those of the environment."""
    path = signed(tmp_path / "ckpt", "m.keras")
    option = []
    if keys is not None:
        (tmp_path / "key").write_text(keys, newline="")
        option = ["--key-file", str(tmp_path / "key")]
    done = run("verify", path, *option)
    assert done.status == status and signature in done.out
    assert keys is None or all(key not in done.out + done.err for key in keys.split("\n") if key)


def test_what_is_not_signed_is_untrusted(tmp_path: Path) -> None:
    """Where a key is given; damage comes first."""
    put(tmp_path / "ckpt", "1.keras", 1)
    signed(tmp_path / "ckpt", "2.keras")
    (tmp_path / "key").write_text(KEY)
    options = ["--key-file", tmp_path / "key"]
    done = run("verify", tmp_path / "ckpt", *options, "--json")
    assert done.status == Exit.UNTRUSTED
    found = [(row["verdict"], row["signed"], row["problem"] is None) for row in done.json["checkpoints"]]
    assert found == [("untrusted", False, False), ("whole", True, True)]
    flip(tmp_path / "ckpt" / "2.keras")
    assert run("verify", tmp_path / "ckpt", *options).status == Exit.DAMAGED


@pytest.mark.parametrize(("content", "status"), [(b"short", Exit.USAGE), (b"", Exit.USAGE), (None, Exit.FAILED)])
def test_a_wrong_key_file_is_told(content: bytes | None, status: Exit, tmp_path: Path) -> None:
    """What is in it is not shown."""
    put(tmp_path, "m.keras", 1)
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    done = run("verify", tmp_path, "--key-file", tmp_path / "key")
    assert done.status == status and "key" in done.err and "short" not in done.err and done.out == ""


def test_leftovers_are_named(tmp_path: Path) -> None:
    """They are no damage: a save may be going on."""
    path = put(tmp_path, "m.keras", 1)
    staged = put_staged(path, 2)
    done = run("verify", tmp_path)
    assert done.status == Exit.OK and f"{staged.name}: left by an interrupted save" in done.err
    assert run("verify", tmp_path, "--json").json["leftovers"] == [staged.name]


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("little", [0, 1 << 28])
def test_long_work_shows_a_bar(
    little: int, terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error, if that is a terminal and there is much to be read; the result is the same."""
    monkeypatch.setattr(looks, "_LITTLE", little)
    monkeypatch.setenv("TERM", "xterm")
    put_run(tmp_path, [0.5, 0.25])
    done = run("verify", tmp_path, terminal=terminal)
    assert done.status == Exit.OK and done.out.count("whole") == 2
    assert ("\x1b[" in done.err) is (terminal and not little)
