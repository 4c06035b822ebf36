"""Against a real S3 server on loopback: real requests, real processes that are killed, errors that pass."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT
from s3_server import KEY, SECRET, Proxy, environment, file_system, new_bucket, running
from saves import Writer, number_of, sealed, whole
from stores import die, writing

from callback_state._store import presence
from callback_state._store.bucket import lease, places, s3
from callback_state._store.bucket import objects as _objects
from callback_state._store.bucket.objects import Bucket
from callback_state.exceptions import StoreError


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with running() as port:
        yield port


@pytest.fixture
def proxy(server: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Proxy]:
    made = Proxy(server)
    for name, value in environment(made.url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CALLBACK_STATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_objects, "FIRST_WAIT", 0.01)
    yield made
    die()
    made.close()


@pytest.fixture
def url(server: int, proxy: Proxy) -> str:
    return f"s3://{new_bucket(server)}/some/run"


def names(server: int, url: str) -> list[str]:
    """The objects of a directory, seen from aside."""
    found = file_system(f"http://127.0.0.1:{server}").find(url)
    return sorted(name.rpartition("/")[2] for name in found)


def child(url: str, tmp_path: Path, *arguments: object) -> subprocess.Popen[str]:
    """A process that saves; its cache is a new one, as if it ran on another machine."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "kit")}
    variables["CALLBACK_STATE_CACHE"] = str(tmp_path / f"machine{random.random()}")
    command = [sys.executable, "-m", "process_bucket", url, *map(str, arguments)]
    return subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def test_checkpoints_come_back_from_s3(url: str, server: int) -> None:
    """Saves with retention, a second process that reads, and nothing left over in the bucket."""
    with writing(url) as directory:
        writer = Writer(Path(directory), "{epoch}.keras", 2, arrays=lambda number: (b"the same",))
        for number in range(4):
            writer.save(number)
            places.push(directory)
    die()
    assert whole(Path(places.pulled(url))) == {"2.keras": 2, "3.keras": 3}
    files = ["2.keras", "2.keras.callbacks.pkl", "3.keras", "3.keras.callbacks.pkl"]
    assert [name for name in names(server, url) if not name.endswith(".arrays")] == files
    assert len(names(server, url)) == 6


def test_a_large_file_is_put_in_parts(
    url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """S3 gets a SHA-256 with each part, and the object appears at once; the bytes come back."""
    path = tmp_path / "large"
    path.write_bytes(random.Random(1).randbytes((1 << 20) * 6 + 7))
    monkeypatch.setattr(s3, "PART", 5 << 20)
    bucket = Bucket(url)
    bucket.put_file("large.keras", str(path))
    parts = [path for method, path in proxy.seen if method == "PUT" and "partNumber" in path]
    assert len(parts) == 2
    bucket.get_file("large.keras", str(tmp_path / "back"), path.stat().st_size)
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_dead_uploads_of_this_directory_are_ended(url: str, server: int) -> None:
    """Those of names of checkpoints in this directory, and no others of the bucket."""
    fs = file_system(f"http://127.0.0.1:{server}")
    bucket, key, _ = fs.split_path(url)
    keys = [f"{key}/1.keras", f"{key}/notes.txt", f"{key}/below/1.keras", f"{key}more/1.keras", "1.keras"]
    for name in keys:
        fs.call_s3("create_multipart_upload", Bucket=bucket, Key=name)
    with writing(url):
        pass
    left = fs.call_s3("list_multipart_uploads", Bucket=bucket)["Uploads"]
    assert sorted(upload["Key"] for upload in left) == sorted(keys[1:])


@pytest.mark.parametrize(
    "what",
    [
        "503",
        "cut",
        "lose",
        pytest.param("500", marks=pytest.mark.heavy),
        pytest.param("drop", marks=pytest.mark.heavy),
    ],
)
def test_an_error_that_passes_is_not_noticed(what: str, url: str, proxy: Proxy, server: int) -> None:
    """Each request of a start and a save fails once: all is put, and the next start finds it."""
    failed: set[tuple[str, str]] = set()

    def once(number: int, method: str, path: str) -> str | None:
        key = method, path.partition("&X-")[0]
        if key in failed:
            return None
        failed.add(key)
        return what

    proxy.fault = once
    with writing(url) as directory:
        Writer(Path(directory), "m.keras").save(1)
        places.push(directory)
    die()
    assert len(failed) >= 6 and whole(Path(places.pulled(url))) == {"m.keras": 1}


def test_a_process_that_is_killed_at_a_request_leaves_a_whole_checkpoint(
    proxy: Proxy, server: int, tmp_path: Path
) -> None:
    """SIGKILL when the model is put, when its state is, and when the old checkpoint is deleted."""
    for where in (("PUT", "/0002.keras"), ("PUT", "/0002.keras.callbacks.pkl"), ("DELETE", "/0001.keras")):
        assert _kill_at(where, f"s3://{new_bucket(server)}/run", proxy, tmp_path)


@pytest.mark.heavy
def test_every_request_can_be_the_last(proxy: Proxy, server: int, tmp_path: Path) -> None:
    """SIGKILL at each request of a save that deletes an old checkpoint, of small and of large models."""
    for keep, size in ((1, 10), (0, 10), (1, 12 << 20)):
        number = 0
        while _kill_at(number, f"s3://{new_bucket(server)}/run", proxy, tmp_path, keep, size):
            number += 1
        assert number > 5


def _kill_at(
    where: int | tuple[str, str], url: str, proxy: Proxy, tmp_path: Path, keep: int = 1, size: int = 10
) -> bool:
    """Kill a process that saves number 2 at a request; whether it was killed. Number 1 was saved before."""
    proxy.fault = lambda number, method, path: None
    template = "{epoch:04d}.keras" if keep else "m.keras"
    save_one(url, template, 1)
    process = child(url, tmp_path, 2, 2, keep, size)
    begun: list[int] = []

    def kill(number: int, method: str, path: str) -> str | None:
        begun.append(number)
        at = (method, path.partition("?")[0]) if isinstance(where, tuple) else len(begun) - 1
        is_there = at == where if isinstance(where, int) else at[0] == where[0] and str(at[1]).endswith(where[1])
        if is_there and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        return None

    proxy.fault = kill
    process.wait(60)
    proxy.fault = lambda number, method, path: None
    was_killed = process.returncode == -signal.SIGKILL
    assert was_killed or process.returncode == 0, process.stderr and process.stderr.read()
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
    found = save_one(url, template, 3)
    assert max(found.values()) == 2 or was_killed
    die()
    assert {1, 2} >= {*found.values()} and max(whole(Path(places.pulled(url))).values()) == 3
    return was_killed


def save_one(url: str, template: str, number: int) -> dict[str, int]:
    """Save a checkpoint as another process; what it has found before."""
    die()
    with writing(url) as directory:
        found = whole(Path(directory))
        Writer(Path(directory), template).save(number)
        places.push(directory)
    return found


@pytest.mark.heavy
def test_listing_a_thousand_checkpoints_needs_twelve_requests(url: str, proxy: Proxy, server: int) -> None:
    """By the index: two pages of names, and one object, counted at the proxy."""
    direct = file_system(f"http://127.0.0.1:{server}")
    content = {}
    for number in range(1000):
        data = b"model %d" % number
        content[f"{url}/{number:04d}.keras"] = data
        content[f"{url}/{number:04d}.keras.callbacks.pkl"] = sealed(number, data)
    direct.pipe({path.removeprefix("s3://"): data for path, data in content.items()})
    with writing(url):
        pass
    die()
    proxy.seen.clear()
    assert len(os.listdir(places.pulled(url))) == 2000
    assert len(proxy.seen) <= 12


def test_a_second_writer_waits_and_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first renews its lease; when it has died elsewhere, the lease ends, and the second goes on."""
    monkeypatch.setattr(lease, "SECONDS", 1.5)
    first, other, second = (lease.Lease(Bucket(url)) for _ in range(3))
    for one in (first, other, second):
        one._bucket.list()  # the first request takes long
    first.acquire()
    monkeypatch.setattr(lease, "machine", lambda: "another")
    with (
        pytest.raises(Exception, match="expected to be the only run"),
        pytest.warns(UserWarning, match="Waiting for"),
    ):
        other.acquire()
    first._end.set()  # it is not heard of any more
    with pytest.warns(UserWarning, match="Waiting for"):
        second.acquire()
    second.check()
    first._end.clear()
    with pytest.raises(Exception, match="has passed to"):
        first._renewed -= lease.SECONDS
        first.check()
    second.release()
    assert Bucket(url).stat(lease.NAME) is None


def test_a_process_that_ends_gives_its_lease_back(url: str, server: int) -> None:
    """Before fsspec and the libraries of the stores close their connections, which they do at the exit too."""
    program = (
        "import sys\n"
        "from callback_state._store.bucket import places\n"
        "held = places.hold(places.local(sys.argv[1]))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, url], capture_output=True, text=True, cwd=ROOT)
    assert (ended.returncode, ended.stderr) == (0, "") and names(server, url) == []


def test_no_message_shows_a_secret(url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither key nor secret, whatever the server answers and wherever it stands in a text."""
    monkeypatch.setattr(_objects, "TRIES", 1)
    bucket = Bucket(url)
    monkeypatch.setattr(
        bucket.fs, "call_s3", _raises(f"Signature {SECRET} of {KEY} at http://u:pw@h/?X-Sig=signature")
    )
    with pytest.raises(StoreError) as raised:
        bucket.put("m.keras", b"x")
    shown = f"{raised.value}{raised.value!r}{bucket!r}{raised.value.__cause__}"
    assert url in shown and not any(secret in shown for secret in (SECRET, KEY, "pw", "signature"))


def _raises(text: str):  # type: ignore[no-untyped-def]
    def call(*args: object, **options: object) -> None:
        raise OSError(text)

    return call


def test_what_this_machine_has_put_it_does_not_download(url: str, proxy: Proxy, tmp_path: Path) -> None:
    """After a kill the next process of this machine takes the model from the cache."""
    with writing(url) as directory:
        Writer(Path(directory), "m.keras").save(5)
        places.push(directory)
        die()
    proxy.seen.clear()
    directory = places.pulled(url)
    assert number_of(f"{directory}/m.keras") == 5 and presence.is_away(f"{directory}/m.keras") is False
    assert not [path for method, path in proxy.seen if method == "GET" and path.endswith("/m.keras")]
