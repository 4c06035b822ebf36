"""Processes that save beside training, and end in the middle of a save."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import thread as pools
from pathlib import Path
from typing import Any

import pytest
from places import ENVIRONMENT, KIT
from programs import Program

from callback_state import list_checkpoints
from callback_state._store.stream import Stream

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


def names(directory: Path) -> list[str]:
    return sorted(os.path.basename(c.path) for c in list_checkpoints(directory))


# The interpreter ends.


def test_the_interpreter_may_end_before_a_file_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then no thread takes work any more, and a large file is hashed in the thread that writes it; in its order,
    also if the other thread is behind."""
    hashed: list[int] = []
    goes_on = threading.Event()

    class Digest:
        def update(self, chunk: memoryview) -> None:
            if threading.current_thread() is not threading.main_thread():
                assert goes_on.wait(10)
            hashed.append(chunk[0])

        def digest(self) -> bytes:
            return bytes(hashed)

    with Stream(str(tmp_path / "file")) as file:
        catch_up = file._catch_up
        monkeypatch.setattr(file, "_sha", Digest())
        for i in range(12):
            if i == 8:
                monkeypatch.setattr(file, "_catch_up", lambda *behind: (goes_on.set(), catch_up(*behind)))
                monkeypatch.setattr(pools, "_shutdown", True)
            file.write(bytes([i]) * (1 << 20))
        digest, size = file.finish()
    assert (digest, size) == (bytes(range(12)), 12 << 20)


#: A loop of one's own that does not call on_train_end; the saves go on when the main thread has ended.
LOOP = """
import sys, threading
import keras
from callback_state import ModelCheckpointEnhanced
from callback_state._store.leaving import when_leaving
from callback_state._saving.save import Save

leaves = threading.Event()

def run(save, real=Save.run):
    leaves.wait()
    if "lost" in save.path:
        raise OSError("No space left on device")
    real(save)

Save.run = run
model = keras.Sequential([keras.Input((1024,)), keras.layers.Dense(1200)])
names, options = ("{epoch}", "lost-{epoch}"), {"save_weights_only": True, "save_on_background": True}
savers = [ModelCheckpointEnhanced(f"{sys.argv[1]}{name}.weights.h5", **options) for name in names]
callbacks = keras.callbacks.CallbackList(savers, model=model, epochs=3, steps=1)
callbacks.on_train_begin()
callbacks.on_epoch_begin(0)
callbacks.on_epoch_end(0, {"loss": 1.0})
when_leaving(leaves.set)
sys.exit(3)
"""


@pytest.mark.heavy
@pytest.mark.parametrize("is_store", [False, True], ids=["a directory", "a store"])
def test_a_script_ends_while_a_save_is_under_way(tmp_path: Path, is_store: bool) -> None:
    """In a loop of one's own: the process ends when it is durable, however large; one that fails is warned of, and
    other runs may write there."""
    (tmp_path / "loop.py").write_text(LOOP)
    command = [sys.executable, "loop.py", f"file://{tmp_path}/" if is_store else ""]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stderr
    assert names(tmp_path) == ["1.weights.h5"]
    assert done.stderr.count("not saved") == 1
    assert "lost-1.weights.h5: not saved (OSError: No space left on device)" in done.stderr
    assert not {".callback_state.lock", ".callback_state.lease"} & {*os.listdir(tmp_path)}


# Signals.

#: Where a process is struck: at a call of the system by the thread that saves, or while training waits for it.
BEFORE = """
import itertools, os, signal, threading, warnings
from callback_state._saving import save, saves
from callback_state._store import disk

warnings.filterwarnings("ignore", "stored by value", UserWarning)
warnings.filterwarnings("ignore", ".*training has waited", UserWarning)
calls, waits = itertools.count(1), itertools.count(1)

def killing(call):
    def calling(*arguments, **options):
        if threading.current_thread() is not threading.main_thread() and next(calls) == {at_call}:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return calling

def interrupting(futures, wait=saves.wait):
    if next(waits) == {at_wait}:
        os.kill(os.getpid(), signal.SIGINT)
    return wait(futures)

def telling(saving, run=save.Save.run):
    print("SAVES", os.path.basename(saving.path), flush=True)
    run(saving)

for name in ("make_directory", "create", "write_all", "sync", "write_bytes", "rename", "sync_directory"):
    setattr(disk, name, killing(getattr(disk, name)))
save.Save.run, saves.wait = telling, interrupting
"""


def once(directory: Path, *, at_call: int = 0, at_wait: int = 0, **strike: Any) -> Any:
    """One start of a process that saves beside training: how it ended, and its result if it came to its end."""
    arguments = [str(directory), "2", "24", "beside"]
    before = BEFORE.format(at_call=at_call, at_wait=at_wait)
    script = Program(str(KIT / "process_inside.py"), str(directory.parent), arguments, before=before, **strike)
    done = script.run()
    _, _, found = done.out.partition("RESULT")
    return done, json.loads(found) if found else None


def check(directory: Path, strikes: list[tuple[dict[str, Any], int]]) -> None:
    """A process that is struck like this, started again each time, ends as the one that nobody struck."""
    done, whole = once(directory / "whole")
    assert done.status == 0, done.err
    for strike, status in strikes:
        done, result = once(directory / "struck", **strike)
        assert (done.status, result) == (status, None), done.err
        if status != -signal.SIGKILL:
            assert re.findall(r"SAVES (\S+)", done.out)[-1] in names(directory / "struck")
            assert not [name for name in os.listdir(directory / "struck") if name.startswith(".")]
    done, result = once(directory / "struck")
    assert (done.status, result) == (0, whole), done.err
    assert sorted(os.listdir(directory / "struck")) == sorted(os.listdir(directory / "whole"))


@FORKS
def test_a_process_that_is_killed_in_a_save_is_resumed_as_the_same_run(tmp_path: Path) -> None:
    """Weights, history, logs and files are those of the whole run; after two kills at two steps of a save."""
    check(tmp_path, [({"at_call": 16}, -signal.SIGKILL), ({"at_call": 10}, -signal.SIGKILL)])


@FORKS
@pytest.mark.heavy
def test_a_save_that_is_waited_for_is_completed_after_ctrl_c(tmp_path: Path) -> None:
    """Then the process ends with KeyboardInterrupt, the directory is free, and the run can be resumed exactly."""
    check(tmp_path, [({"at_wait": 1}, 1), ({"at_wait": 2}, 1)])
    done, _ = once(tmp_path / "again", at_wait=1)
    assert done.err.rstrip().endswith("KeyboardInterrupt")


@FORKS
@pytest.mark.heavy
def test_a_signal_to_stop_saves_the_batch_at_which_it_came(tmp_path: Path) -> None:
    """It is on disk when the process ends, with the exit status that asks for another start."""
    check(tmp_path, [({"struck_at": moment, "struck_by": signal.SIGTERM}, 75) for moment in (5, 8, 30)])


@FORKS
@pytest.mark.heavy
def test_twenty_kills_in_the_middle_of_saves(tmp_path: Path) -> None:
    """At calls of the system that nobody chose, each in a run of its own: some are before the file counts, so the
    one before is used, and some after; all end as the run that nobody killed."""
    _, whole = once(tmp_path / "whole")
    moments, used = random.Random(5), []
    for i in range(20):
        directory = tmp_path / str(i)
        done, result = once(directory, at_call=moments.randrange(16, 80))
        assert (done.status, result) == (-signal.SIGKILL, None), done.err
        last = re.findall(r"SAVES (\S+)", done.out)[-1]
        done, result = once(directory)
        assert (done.status, result) == (0, whole), done.err
        begins = done.out.split()[1:3]
        used.append(last == f"{int(begins[0]) + 1}-{int(begins[1]) + 1}.weights.h5")
        assert sorted(os.listdir(directory)) == sorted(os.listdir(tmp_path / "whole"))
    print(f"the checkpoint before was used {used.count(False)} times")
    assert 4 < used.count(True) < 16
