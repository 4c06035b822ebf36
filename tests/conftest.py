"""Settings of the whole test suite."""

import gc
import os
import sys
import time
import zlib
from collections.abc import Iterator

import pytest

# Before TensorFlow is imported: its own log would drown the tests'.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--one-in", type=int, default=1, metavar="N", help="run one test of N, always the same ones")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The same sample on every machine and after every change: the name of a test decides whether it is in."""
    sample = config.getoption("--one-in")
    left_out = [item for item in items if zlib.crc32(item.nodeid.encode()) % sample]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sees without a power cut whether a sync is real; test_crashes.py cuts it."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


def pytest_collection_finish() -> None:
    """What the imports have made stays: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


_swept = 0.0


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """What killed runs leave does not grow old. TensorFlow may wait at the end of an iterator over data, with one
    thread for another, for as long as that iterator has lived (``UnboundedThreadPool`` in its stack)."""
    global _swept
    yield
    if "tensorflow" in sys.modules and time.monotonic() - _swept > 5:
        gc.collect()
        _swept = time.monotonic()
