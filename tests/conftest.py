"""Settings of the whole test suite."""

import os

import pytest

# Before TensorFlow is imported: its own log would drown the tests'.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sees without a power cut whether a sync is real; test_crashes.py cuts it."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
