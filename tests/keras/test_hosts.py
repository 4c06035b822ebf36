"""How processes that train together agree; threads stand for them. test_processes.py has real ones."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from together import act_together

from callback_state import CallbackStateError, CheckpointNotFoundError, HostError, RestoreError
from callback_state._keras import hosts


def test_one_process_exchanges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the first of one, and what it does is done at once."""
    monkeypatch.setattr(hosts, "_gather_bytes", None)
    assert (hosts.count(), hosts.index(), hosts.is_first()) == (1, 0, True)
    assert hosts.gather(b"a", "x") == [b"a"] and hosts.all_agree(True, "x") and not hosts.all_agree(False, "x")
    assert hosts.first(lambda: 1, "x") == hosts.each(lambda: 1, "x") == 1
    error = OSError()
    assert hosts.agreed(error, "x") is error and hosts.agreed(None, "x") is None


@example([b"a" * 600, b"", b"b"])
@given(st.lists(st.binary(max_size=600), min_size=2, max_size=4))
def test_each_hears_what_all_give(given: list[bytes]) -> None:
    """Bytes of any length, in the order of the processes."""
    with pytest.MonkeyPatch.context() as patch:
        found = act_together(patch, len(given), lambda i: hosts.gather(given[i], "x"))
    assert found == [given] * len(given)


def test_the_first_acts_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first does it, and all have its result."""
    acted: list[int] = []

    def act(index: int) -> Any:
        return hosts.first(lambda: [acted.append(index), "a", 1.5], "x")

    assert act_together(monkeypatch, 3, act) == [[None, "a", 1.5]] * 3 and acted == [0]


@pytest.mark.parametrize("failed", [0, 1])
def test_an_error_of_one_is_an_error_of_all(monkeypatch: pytest.MonkeyPatch, failed: int) -> None:
    """Of our own classes it has the class, so that a script catches it everywhere."""

    def act(index: int) -> Any:
        def alone() -> int:
            if index == failed:
                raise CheckpointNotFoundError("ckpt", "expected a checkpoint")
            return index

        return hosts.first(alone, "x") if failed == 0 else hosts.each(alone, "x")

    for index, error in enumerate(act_together(monkeypatch, 3, act)):
        assert type(error) is CheckpointNotFoundError and error.path == "ckpt"
        where = "" if index == failed else f" (on process {failed})"
        assert str(error) == f"ckpt: expected a checkpoint{where}"


@pytest.mark.parametrize(
    ("raised", "kind", "text"),
    [
        (OSError(errno.ENOSPC, "full", "file"), OSError, "full (on process 1)"),
        (KeyError("a"), HostError, "process 1 of this training: KeyError: 'a'"),
        (RestoreError("does not fit"), RestoreError, "does not fit (on process 1)"),
    ],
)
def test_an_error_is_made_again(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, kind: type[Exception], text: str
) -> None:
    """On the process that has raised it, it is the very same; elsewhere it says where it is from."""
    own = OSError("of the third, which is later")
    found = act_together(monkeypatch, 3, lambda i: hosts.agreed([None, raised, own][i], "x"))
    assert found[1] is raised
    for error in (found[0], found[2]):
        assert type(error) is kind and text in str(error)
        assert not isinstance(error, OSError) or error.errno == errno.ENOSPC


def test_all_have_to_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not is enough."""
    said = [[True, True], [True, False]]
    found = act_together(monkeypatch, 2, lambda i: [hosts.all_agree(each[i], "x") for each in said])
    assert found == [[True, False]] * 2


def test_processes_at_different_places_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a wrong value, but an error on each, which names its place."""
    found = act_together(monkeypatch, 2, lambda i: hosts.gather(b"", ["a save", "a restore"][i]))
    for error, place in zip(found, ["'a save'", "'a restore'"], strict=True):
        assert isinstance(error, HostError) and isinstance(error, CallbackStateError) and place in str(error)


def test_a_directory_that_is_not_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error on every process when training starts, and leaves no file."""
    from callback_state._saving.directory import Directory

    for name in "ab":
        (tmp_path / name).mkdir()
    found = act_together(monkeypatch, 2, lambda i: Directory(str(tmp_path / "ab"[i])).check_shared())
    assert all(isinstance(error, HostError) and "do not see" in str(error) for error in found)
    assert act_together(monkeypatch, 2, lambda i: Directory(str(tmp_path / "a")).check_shared()) == [None, None]
    assert not [path for name in "ab" for path in (tmp_path / name).iterdir()]
