"""Settings of the whole test suite."""

import functools
import gc
import os
import re
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before TensorFlow is imported: its own log would drown the tests'.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# What comes from stores goes with the tests, also where another process of theirs leaves it.
_CACHE = tempfile.TemporaryDirectory(prefix="callback-state-cache-")
os.environ["CALLBACK_STATE_CACHE"] = _CACHE.name


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--one-in", type=int, default=1, metavar="N", help="run one test of N, always the same ones")


#: Where it stands in a test file, its tests train models.
TRAINS = re.compile(r"^from (harness|reused|inside|kept|programs) import|\.fit\(", re.MULTILINE)


@functools.cache
def trains(path: Path) -> bool:
    return TRAINS.search(path.read_text(encoding="utf-8")) is not None


@pytest.hookimpl(tryfirst=True)  # before pytest looks at the markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks tests that train models, and takes the sample.

    The name of a test decides whether it is in: the same ones on every machine and after every change.
    """
    for item in items:
        if trains(item.path):
            item.add_marker("fit")
    sample = config.getoption("--one-in")
    left_out = [item for item in items if zlib.crc32(item.nodeid.encode()) % sample]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sees without a power cut whether a sync is real; test_crashes.py cuts it."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture
def quick_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_disk: None) -> None:
    """Near copies and downloads are in the directory of the test; what a store refuses is tried again at once."""
    from callback_state._store.bucket import objects

    monkeypatch.setenv("CALLBACK_STATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(objects, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(objects, "LONGEST_WAIT", 0.001)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """There are 256 MB to spare, where the system can see to that: who asks for more gets a MemoryError."""
    if sys.platform != "linux":
        yield
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (256 << 20), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def pytest_collection_finish() -> None:
    """What the imports have made stays: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


_swept = 0.0


@pytest.fixture(autouse=True)
def swept(request: pytest.FixtureRequest) -> Iterator[None]:
    """What killed runs leave does not grow old. TensorFlow may wait at the end of an iterator over data, with one
    thread for another, for as long as that iterator has lived (``UnboundedThreadPool`` in its stack); to collect
    what one test leaves takes ten milliseconds."""
    global _swept
    yield
    if "fit" in request.keywords and time.monotonic() - _swept > 1:
        gc.collect()
        _swept = time.monotonic()
