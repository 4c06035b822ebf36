"""What is to be done when the process ends is done while its threads still work."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from places import ENVIRONMENT

PROGRAM = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from callback_state._store.leaving import when_leaving

def act(name):
    print(name, ThreadPoolExecutor(1).submit(os.getpid).result() == os.getpid(), flush=True)

when_leaving(lambda: act("first"))
take_back = when_leaving(lambda: act("taken back"))
when_leaving(lambda: act("last"))
take_back()
take_back()
if "fork" in sys.argv and os.fork():
    os.wait()
"""


def said(*arguments: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    assert ended.stderr == ""
    return ended.stdout.splitlines()


def test_executors_still_work() -> None:
    """What was given last is done first, and what was taken back is not done."""
    assert said() == ["last True", "first True"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_leaves_to_its_parent() -> None:
    """It has neither the parent's threads nor its connections."""
    assert said("fork") == ["last True", "first True"]
