"""Thousands of saves in one process: nothing grows."""

from __future__ import annotations

import gc
import os
import re
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest
from saves import NAME, Writer, listing

from callback_state._store import commit, disk, staging


def descriptors() -> int | None:
    """How many files this process has open; None where the system does not say."""
    return len(os.listdir("/proc/self/fd")) if sys.platform.startswith("linux") else None


def held() -> tuple[int | None, int, int]:
    kept = (staging._ACTIVE, disk._DURABLE, commit._FAILED)
    return descriptors(), threading.active_count(), sum(map(len, kept))


def memory_in_use() -> int:
    """Bytes that the package holds, without the patterns that Python keeps (at most 512, one for a name)."""
    re.purge()
    gc.collect()
    ours = tracemalloc.Filter(True, os.path.join(os.path.dirname(disk.__file__), "*"), all_frames=True)
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([ours]).traces)


@pytest.mark.parametrize("rounds", [20, pytest.param(2500, marks=pytest.mark.heavy)], ids=["some", "many"])
def test_nothing_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither open files nor threads nor memory; in the directory is what should be there, after every save."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    fixed, numbered = Writer(tmp_path, NAME), Writer(tmp_path, "{epoch:05d}.keras", keep=2)
    for number in range(1, 51):
        fixed.save(number)
        numbered.save(number)
    tracemalloc.start(8)
    try:
        before, memory = held(), memory_in_use()
        for number in range(51, 51 + rounds):
            fixed.save(number)
            numbered.save(number)
            assert len(os.listdir(tmp_path)) == 6
        grown = memory_in_use() - memory
    finally:
        tracemalloc.stop()
    assert listing(tmp_path) == fixed.expected(50 + rounds) | numbered.expected(50 + rounds)
    # What an earlier test has left may end meanwhile.
    assert all(now is None or now <= then for now, then in zip(held(), before, strict=True))
    with capsys.disabled():
        print(f"\n{2 * rounds} saves: open files, threads, sets {before} to {held()}, {grown:+} bytes", end=" ")
    # Python keeps some objects for use again; a save that kept one alone would be far above.
    assert grown < 20_000
