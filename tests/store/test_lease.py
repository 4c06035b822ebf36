"""The lease of a directory in a store: one writer, which is found dead or waited for, and which notices a loss."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from saves import Writer
from stores import Requests, die, new_url, objects, put, writing

from callback_state._store.bucket import index, lease, places
from callback_state._store.bucket.lease import NAME, Lease
from callback_state._store.bucket.objects import Bucket
from callback_state.exceptions import InUseError


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, quick_stores: None) -> Iterator[None]:
    monkeypatch.setattr(lease, "SECONDS", 0.3)
    yield
    die()


def record(url: str) -> dict[str, Any]:
    return dict(json.loads(objects(url)[NAME]))


def write(url: str, **changes: Any) -> None:
    """Write the lease as another process does."""
    place = {"host": "other", "machine": "other", "pid": 1, "program": "train.py"}
    found = {"owner": "0" * 32, "number": 7, **place, "seconds": 0.3, "until": time.time() + 0.3, **changes}
    put(url, NAME, json.dumps(found).encode())


def test_one_holds_it_and_gives_it_back() -> None:
    """The object says who, from where and until when; nothing is left at the end."""
    url = new_url()
    held = Lease(Bucket(url))
    held.acquire()
    said = record(url)
    assert said["pid"] == os.getpid() and said["until"] > time.time() and said["number"] > 0
    held.check()
    held.release()
    assert NAME not in objects(url)


def test_it_is_renewed() -> None:
    """As long as the process lives, so that nobody else takes it."""
    url = new_url()
    held = Lease(Bucket(url))
    held.acquire()
    first = record(url)["until"]
    end = time.monotonic() + 20
    while record(url)["until"] == first:
        assert time.monotonic() < end
        time.sleep(0.01)
    held.check()
    held.release()


def test_one_that_is_renewed_is_in_use() -> None:
    """Whoever waits for it is refused when its holder shows that it lives; the message names the holder."""
    url = new_url()
    held, other = Lease(Bucket(url)), Lease(Bucket(url))
    held.acquire()
    said = record(url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease, "_is_dead", lambda other: False)
        with pytest.warns(UserWarning, match="Waiting for up to"), pytest.raises(InUseError) as raised:
            other.acquire()
    assert f"process {said['pid']} on {said['host']}" in str(raised.value) and not raised.value.lost
    held.release()


def test_one_that_ends_is_taken() -> None:
    """A holder elsewhere that is not heard of: one waits as long as its lease lasts, and says so."""
    url = new_url()
    write(url)
    held, began = Lease(Bucket(url)), time.monotonic()
    with pytest.warns(UserWarning, match=r"process 1 on other \(train.py\) writes here, or has died"):
        held.acquire()
    assert time.monotonic() - began >= 0.3 and record(url)["number"] > 7
    held.release()


@pytest.mark.parametrize("until", [0.0, 1e300, time.time() - 12 * 3600], ids=["past", "never", "zone"])
def test_the_clock_of_another_host_does_not_matter(until: float) -> None:
    """One that ended days ago is taken at once; one that says that it never ends, after its seconds, and so is one
    of a host whose clock is that of another time zone."""
    url = new_url()
    write(url, until=until)
    held = Lease(Bucket(url))
    if until:
        with pytest.warns(UserWarning, match="Waiting"):
            held.acquire()
    else:
        held.acquire()
    held.release()


def test_that_of_a_dead_process_of_this_host_is_taken_at_once() -> None:
    """Nobody waits for a process that is known to have ended."""
    url = new_url()
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    write(url, machine=lease.machine(), pid=process.pid)
    held = Lease(Bucket(url))
    held.acquire()
    held.release()


@pytest.mark.parametrize("data", [b"", b"no json", b"[]", b'{"owner": 1}', b"[" * 5000, b" " * 10**6])
def test_one_that_nobody_of_us_wrote_is_waited_for(data: bytes) -> None:
    """Whatever the object says, it is some process's, until it has not changed for so long."""
    url = new_url()
    put(url, NAME, data)
    held = Lease(Bucket(url))
    with pytest.warns(UserWarning, match="another process writes here"):
        held.acquire()
    held.release()


@pytest.mark.parametrize("pid", [0, -1, 2**31, 10**30])
def test_a_process_that_cannot_be_is_no_process_of_this_host(pid: int) -> None:
    """A forged number is not asked of the system, which would answer for other processes, or not at all."""
    url = new_url()
    write(url, machine=lease.machine(), pid=pid)
    held = Lease(Bucket(url))
    with pytest.warns(UserWarning, match="another process writes here"):
        held.acquire()
    held.release()


def test_a_large_object_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a lease nor an index: its size says that it is none of ours."""
    url = new_url()
    put(url, NAME, b" " * 5000)
    put(url, index.NAME, bytes(index.MOST + 1))
    for number in range(9):
        put(url, f"{number}.keras", b"")
    for number in range(9):
        put(url, f"{number}.keras.callbacks.pkl", b"")
    requests = Requests(monkeypatch)
    with pytest.warns(UserWarning, match="another process writes here"), writing(url):
        pass
    assert not {("read", NAME), ("read", index.NAME)} & {*requests.seen[:8]}


@pytest.mark.parametrize("other", [True, False])
def test_one_that_was_lost_is_noticed_before_the_next_write(other: bool) -> None:
    """Another process has it, or has had it; then it is not given back either."""
    url = new_url()
    held = Lease(Bucket(url), 60)
    held.acquire()
    if other:
        write(url)
    else:
        held._bucket.delete(NAME)
    held._renewed -= 60
    with pytest.raises(InUseError, match="has passed to") as raised:
        held.check()
    assert raised.value.lost
    held.release()
    assert (NAME in objects(url)) == other


def test_a_store_without_the_condition_has_no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning says so, and the run goes on."""
    url = new_url()
    held = Lease(Bucket(url))
    monkeypatch.setattr(held._bucket, "create", lambda name, data: None)
    with pytest.warns(UserWarning, match="nothing keeps a second run from writing"):
        held.acquire()
    held.check()
    held.release()
    assert NAME not in objects(url)


def test_a_store_that_does_not_heed_the_condition_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One looks first: an object that is there is not replaced."""
    url = new_url()
    write(url, until=time.time() + 60, seconds=60.0)
    held = Lease(Bucket(url))

    def overwrite(name: str, data: bytes) -> bool:
        held._bucket.put(name, data)
        return True

    monkeypatch.setattr(held._bucket, "create", overwrite)
    monkeypatch.setattr(Lease, "_wait_for", lambda self, other, stamp: pytest.fail(f"{other.pid}"))
    with pytest.raises(pytest.fail.Exception, match="1"):
        held.acquire()


def test_it_is_checked_before_a_push(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is put or deleted any more once it is lost."""
    url = new_url()
    with pytest.raises(InUseError), writing(url) as directory:
        write(url)
        (holding,) = [places.holding_of(directory)]
        assert holding is not None
        holding.lease._renewed -= 60
        Path(directory, "m.keras").write_bytes(b"model")
        requests = Requests(monkeypatch)
        places.push(directory)
    places.holding_of(directory).let_go()  # type: ignore[union-attr]
    assert not [verb for verb, name in requests.seen if verb in ("write", "delete")] and "m.keras" not in objects(
        url
    )


def test_nothing_is_written_after_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the index either, when the run ends."""
    url = new_url()
    with writing(url) as directory:
        for number in range(9):
            Writer(Path(directory), "{epoch}.keras").save(number)
        places.push(directory)
        Writer(Path(directory), "{epoch}.keras").save(9)
        places.push(directory)
        write(url)
        holding = places.holding_of(directory)
        assert holding is not None
        holding.lease._renewed -= 60
        requests = Requests(monkeypatch)
    assert not [name for verb, name in requests.seen if verb in ("write", "delete")]
