"""A near copy and its store: what one has the other gets, and whoever dies leaves a whole checkpoint there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from saves import Arrays, Writer, sealed, whole
from stores import Dead, Requests, checkpoints, die, new_url, objects, put, writing

from callback_state._store import commit, presence
from callback_state._store.bucket import holding, index, places
from callback_state._store.bucket import objects as _objects
from callback_state._store.bucket.near import Near
from callback_state.exceptions import StoreError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_disk: None) -> None:
    monkeypatch.setenv("CALLBACK_STATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_objects, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(_objects, "LONGEST_WAIT", 0.001)


def seen(url: str) -> dict[str, int]:
    """The checkpoints that a new process reads, by name."""
    die()
    return whole(Path(places.pulled(url)))


def arrays_of(number: int) -> Arrays:
    return (b"the same", f"of {number}".encode())


def saves(directory: str, template: str, numbers: range, keep: int | None = None, arrays: bool = False) -> None:
    writer = Writer(Path(directory), template, keep, arrays=arrays_of if arrays else lambda number: ())
    for number in numbers:
        writer.save(number)
        places.push(directory)


def restate(directory: str) -> None:
    """What the mark of the end does: only the state file is written anew."""
    commit.commit_state(f"{directory}/m.keras", sealed(2))
    places.push(directory)


STEPS: dict[str, tuple[Callable[[str], None], Callable[[str], None]]] = {
    "one name": (lambda d: saves(d, "m.keras", range(2)), lambda d: saves(d, "m.keras", range(2, 3))),
    "retention": (
        lambda d: saves(d, "{epoch}.keras", range(3), 2),
        lambda d: saves(d, "{epoch}.keras", range(3, 4), 2),
    ),
    "arrays": (
        lambda d: saves(d, "m.keras", range(2), arrays=True),
        lambda d: saves(d, "m.keras", range(2, 3), arrays=True),
    ),
    "arrays and retention": (
        lambda d: saves(d, "{epoch}.keras", range(3), 1, arrays=True),
        lambda d: saves(d, "{epoch}.keras", range(3, 4), 1, arrays=True),
    ),
    "state alone": (lambda d: saves(d, "m.keras", range(2, 3)), restate),
}


@pytest.mark.parametrize("step", STEPS)
def test_whoever_dies_at_a_request_leaves_a_whole_checkpoint(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after each request of a save: every model in the store is one of a pair. The newest is the one
    that was saved last or the one before, and the next writer leaves nothing over."""
    requests = Requests(monkeypatch)
    before, act = STEPS[step]
    deaths, ended = 0, False
    while not ended:
        url = new_url()
        with writing(url) as directory:
            before(directory)
        newest = max(seen(url).values())
        die()
        try:
            with writing(url) as directory:
                requests.kill_at(deaths)
                act(directory)
                ended, requests.fault = True, None
        except Dead:
            requests.fault = None
            deaths += 1
        last = max(seen(url).values())
        assert last in (newest, newest + 1)
        die()
        with writing(url) as directory:
            assert max(whole(Path(directory)).values()) == last
        left = [name for name in checkpoints(url) if name.startswith(".")]
        assert left == [] and max(seen(url).values()) == last
    assert deaths >= 4


def test_a_second_process_reads_what_the_first_has_put() -> None:
    """Names, models, states and arrays are the same bytes; what is no file of a checkpoint is left alone."""
    url = new_url()
    put(url, "notes.txt", b"mine")
    with writing(url) as directory:
        saves(directory, "{epoch}.keras", range(3), arrays=True)
    assert seen(url) == {"0.keras": 0, "1.keras": 1, "2.keras": 2}
    assert objects(url)["notes.txt"] == b"mine" and "notes.txt" not in os.listdir(places.local(url))


def test_models_are_fetched_when_somebody_opens_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing reads no model; opening one checkpoint reads that one, and a second start none."""
    url = new_url()
    with writing(url) as directory:
        saves(directory, "{epoch}.keras", range(8))
    requests = Requests(monkeypatch)
    die()
    directory = places.pulled(url)
    assert os.path.getsize(f"{directory}/3.keras") == len(objects(url)["3.keras"])
    read = [name for verb, name in requests.seen if verb == "read"]
    assert not any(name.endswith(".keras") for name in read)
    presence.be_here(f"{directory}/3.keras")
    assert Path(directory, "3.keras").read_bytes() == objects(url)["3.keras"]
    assert requests.seen[-1] == ("read", "3.keras")
    die()
    directory = places.pulled(url)
    count = len(requests.seen)
    presence.be_here(f"{directory}/3.keras")
    assert len(requests.seen) == count and Path(directory, "3.keras").read_bytes() == objects(url)["3.keras"]


def test_a_damaged_file_of_the_cache_is_downloaded_again(tmp_path: Path) -> None:
    """What the cache gives is compared with its SHA-256, so a damaged file does not hide a whole checkpoint."""
    url = new_url()
    with writing(url) as directory:
        saves(directory, "m.keras", range(1))
    (kept,) = (tmp_path / "cache" / "files").glob("*/*/*")
    kept.unlink()
    kept.write_bytes(b"x")
    assert seen(url) == {"m.keras": 0}


def test_a_listing_of_a_thousand_needs_few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index has the states, so one listing and one read are enough; a stale entry costs one read more."""
    url = new_url()
    for number in range(1000):
        data = f"model {number}".encode()
        put(url, f"{number:04d}.keras", data)
        put(url, f"{number:04d}.keras.callbacks.pkl", sealed(number, data))
    with writing(url):
        pass
    put(url, "0500.keras.callbacks.pkl", sealed(5000, b"model 500"))
    requests = Requests(monkeypatch)
    die()
    directory = places.pulled(url)
    assert len(os.listdir(directory)) == 2000 and len(requests.seen) <= 3
    assert Path(directory, "0500.keras.callbacks.pkl").read_bytes() == sealed(5000, b"model 500")


def test_an_index_that_lies_is_not_believed() -> None:
    """Who opens a checkpoint reads its state from the store, whatever the index says; damage makes it no index."""
    url = new_url()
    with writing(url) as directory:
        saves(directory, "{epoch:02d}.keras", range(12))
    found = index.unpack(objects(url)[index.NAME])
    lies = [entry._replace(data=sealed(99)[: len(entry.data)]) for entry in found.values()]
    for packed in (index.pack(lies), objects(url)[index.NAME][:-1], b"", b"no index at all" * 9):
        put(url, index.NAME, packed)
        assert seen(url) == {f"{number:02d}.keras": number for number in range(12)}


def test_an_error_that_stays_is_owed_and_made_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit here stands; a later push puts both checkpoints, the older one first."""
    url = new_url()
    requests = Requests(monkeypatch)
    with writing(url) as directory:
        saves(directory, "{epoch}.keras", range(1))

        def refuse(at: int, verb: str, name: str) -> None:
            if name == "1.keras":
                raise ConnectionError("no store")

        requests.fault = refuse
        with pytest.raises(StoreError, match="no store"):
            saves(directory, "{epoch}.keras", range(1, 2))
        assert set(whole(Path(directory))) == {"0.keras", "1.keras"} and "1.keras" not in objects(url)
        requests.fault = None
        Writer(Path(directory), "{epoch}.keras").save(2)
        places.push(directory)
    names = [name for verb, name in requests.seen if verb == "write" and name in ("1.keras", "2.keras")]
    assert names[-2:] == ["1.keras", "2.keras"] and set(seen(url)) == {"0.keras", "1.keras", "2.keras"}


def test_nothing_is_deleted_while_something_is_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload that fails keeps the store as it is: the old checkpoints stay there."""
    url = new_url()
    requests = Requests(monkeypatch)
    with writing(url) as directory:
        saves(directory, "{epoch}.keras", range(2))

        def refuse(at: int, verb: str, name: str) -> None:
            if name == "2.keras":
                raise ConnectionError("no store")

        requests.fault = refuse
        with pytest.raises(StoreError):
            saves(directory, "{epoch}.keras", range(2, 3), keep=1)
        assert {"0.keras", "1.keras"} <= set(objects(url)) and os.listdir(directory).count("0.keras") == 0
        requests.fault = None
        places.push(directory)
        assert set(checkpoints(url)) == {"2.keras", "2.keras.callbacks.pkl"}


def test_large_files_of_older_checkpoints_leave_this_machine(tmp_path: Path) -> None:
    """Two whole models stay here, whatever the run keeps in the store; an older one is fetched again."""
    url = new_url()
    model = os.urandom(100_000)
    with writing(url) as directory:
        writer = Writer(Path(directory), "{epoch}.keras", model=lambda number: model + b"%d" % number)
        for number in range(8):
            writer.save(number)
            before = os.stat(f"{directory}/{number}.keras")
            places.push(directory)
        size = sum(path.stat().st_blocks * 512 for path in tmp_path.rglob("*.keras"))
        assert size < 2.5 * len(model)
        after = os.stat(f"{directory}/7.keras")
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert whole(Path(directory)) == {f"{number}.keras": number for number in range(8)}


def test_a_near_copy_of_a_dead_process_is_swept(tmp_path: Path) -> None:
    """The next process removes it, unless it has what the store lacks."""
    holding.Holding(new_url())
    near = Near(new_url())
    dead = Path(near.root).with_name(Path(near.root).name.replace(f"-{os.getpid()}-", "-999999999-"))
    os.rename(near.root, dead)
    owing = Path(f"{dead}0")
    owing.mkdir()
    (owing / "owed").touch()
    Near(new_url())
    assert not dead.exists() and owing.exists()


def test_what_has_not_changed_is_not_put_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A push puts the files of the new checkpoint only: six requests, and those of the checks."""
    url = new_url()
    with writing(url) as directory:
        saves(directory, "{epoch}.keras", range(4))
        requests = Requests(monkeypatch)
        places.push(directory)
        assert requests.seen == []
        saves(directory, "{epoch}.keras", range(4, 5))
    written = [name for verb, name in requests.seen if verb == "write"]
    assert written[1:] == ["4.keras", "4.keras.callbacks.pkl"] and written[0].startswith(".4.keras.state-")
    assert len(requests.seen) <= 6 + 3


@pytest.mark.heavy
def test_five_thousand_saves_do_not_grow(tmp_path: Path) -> None:
    """With retention neither the store, nor the near copy, nor what the process knows has more at the end."""
    url = new_url()
    with writing(url) as directory:
        writer = Writer(Path(directory), "{epoch}.keras", 3)
        near = places.holding_of(directory).near  # type: ignore[union-attr]
        sizes = []
        for number in range(5000):
            writer.save(number)
            places.push(directory)
            if number % 1000 == 999:
                known = (near._far, near._same, near._away, near._turns, near._newest, near._indexed)
                sizes.append((len(checkpoints(url)), len(os.listdir(directory)), *map(len, known)))
                sizes.append(len([*(tmp_path / "cache").rglob("*")]))
    assert len({*sizes[::2]}) == 1 and len({*sizes[1::2]}) == 1, sizes
