"""The near copy of a store: what is fetched, when, from where, and what stays on this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from saves import Writer, model_of, sealed, whole
from stores import Requests, die, new_url, objects, put, saves, seen, writing

from callback_state._store import disk, presence
from callback_state._store.bucket import cache, holding, index, places
from callback_state._store.bucket.near import Near
from callback_state._store.bucket.objects import Bucket, Stamp
from callback_state.exceptions import StoreError

pytestmark = pytest.mark.usefixtures("quick_stores")


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


def test_two_processes_that_sweep_at_a_time_do_not_hinder_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of one machine start together after a kill, and find the same near copies of dead processes."""
    near = Near(new_url())
    dead = Path(near.root).with_name(Path(near.root).name.replace(f"-{os.getpid()}-", "-999999999-"))
    os.rename(near.root, dead)
    asked = os.path.getmtime

    def removed_meanwhile(path: str) -> float:
        shutil.rmtree(dead, ignore_errors=True)
        return asked(path)

    monkeypatch.setattr(os.path, "getmtime", removed_meanwhile)
    assert os.path.isdir(Near(new_url()).root) and not dead.exists()


def test_what_others_have_deleted_goes() -> None:
    """A reader sees what the store has now, and not what it had."""
    url = new_url()
    with writing(url) as directory:
        saves(directory, "{epoch}.keras", range(2))
    die()
    directory = places.pulled(url)
    for ending in ("", ".callbacks.pkl"):
        Bucket(url).delete(f"0.keras{ending}")
    places.pulled(url)
    assert sorted(os.listdir(directory)) == ["1.keras", "1.keras.callbacks.pkl"]


def test_what_others_have_replaced_is_fetched() -> None:
    """A new version of an object replaces the old one here, also where that was here already."""
    url = new_url()
    with writing(url) as directory:
        saves(directory, "m.keras", range(1))
    die()
    assert whole(Path(places.pulled(url))) == {"m.keras": 0}
    put(url, "m.keras", model_of(1))
    put(url, "m.keras.callbacks.pkl", sealed(1))
    assert whole(Path(places.pulled(url))) == {"m.keras": 1}


def test_large_files_of_older_checkpoints_keep_their_identity() -> None:
    """A run knows its own files by it: after the content has gone they are deleted without being fetched."""
    url = new_url()
    with writing(url) as directory:
        saves(directory, "{epoch}.keras", range(1))
        before = disk.identity(f"{directory}/0.keras")
        saves(directory, "{epoch}.keras", range(1, 4))
        assert presence.is_away(f"{directory}/0.keras")
        assert disk.identity(f"{directory}/0.keras") == before


def kept(tmp_path: Path) -> list[str]:
    return sorted(path.parent.name for path in (tmp_path / "cache" / "files").glob("*/*/*"))


def test_the_cache_gives_only_the_very_version(tmp_path: Path) -> None:
    """Another version, another name, another store: nothing. The same: the same bytes."""
    (tmp_path / "m").write_bytes(b"abc")
    cache.keep("s3://b", "m.keras", Stamp(3, "a"), str(tmp_path / "m"), hashlib.sha256(b"abc").digest())
    for url, name, stamp in (
        ("s3://b", "m.keras", Stamp(3, "b")),
        ("s3://b", "n.keras", Stamp(3, "a")),
        ("s3://c", "m.keras", Stamp(3, "a")),
        ("s3://b", "m.keras", Stamp(3, "")),
    ):
        assert not cache.find(url, name, stamp, str(tmp_path / "new"))
    assert cache.find("s3://b", "m.keras", Stamp(3, "a"), str(tmp_path / "new"))
    assert (tmp_path / "new").read_bytes() == b"abc"


def test_the_cache_keeps_few(tmp_path: Path) -> None:
    """Of one directory of a store the newest."""
    (tmp_path / "m").write_bytes(b"abc")
    for number in range(9):
        cache.keep("s3://b", f"{number}.keras", Stamp(3, "a"), str(tmp_path / "m"), bytes(32))
    assert len(kept(tmp_path)) == cache.NEWEST


def test_the_cache_keeps_nothing_for_ever(tmp_path: Path) -> None:
    """What was not used for thirty days goes when anything is kept."""
    (tmp_path / "m").write_bytes(b"abc")
    cache.keep("s3://b", "m.keras", Stamp(3, "a"), str(tmp_path / "m"), bytes(32))
    (entry,) = (tmp_path / "cache" / "files").glob("*/*")
    os.utime(entry, (0, 0))
    cache.keep("s3://c", "m.keras", Stamp(3, "a"), str(tmp_path / "m"), bytes(32))
    assert not entry.exists() and len(kept(tmp_path)) == 1


def test_a_damaged_index_is_none() -> None:
    """Each bit of it counts; one that somebody else made is none of ours, and no error."""
    entry = index.Entry("m.keras.callbacks.pkl", Stamp(3, "etag"), b"abc")
    packed = index.pack([entry])
    assert index.unpack(packed) == {entry.name: entry}
    for at in range(len(packed)):
        damaged = bytearray(packed)
        damaged[at] ^= 1
        assert index.unpack(bytes(damaged)) == {}
    for head in (b"[[1]]", b"{}", b"[" * 9000, b'[["a", 3, "", 3]]', b'[["a", -1, "", -1]]'):
        body = len(head).to_bytes(8, "big") + head
        assert index.unpack(body + hashlib.sha256(body).digest()) == {}


def test_an_answer_that_was_cut_short_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the library notices nothing: the size is compared."""
    url = new_url()
    put(url, "m.keras", b"model")
    bucket, answers = Bucket(url), iter([b"mo", b"model"])
    monkeypatch.setattr(bucket.fs, "get_file", lambda name, path: Path(path).write_bytes(next(answers)))
    bucket.get_file("m.keras", str(tmp_path / "m"), 5)
    assert (tmp_path / "m").read_bytes() == b"model"


def test_a_bucket_has_one_number() -> None:
    """In each process: the logs of a run say by it whose they are, as by that of a directory."""
    url = new_url()
    first = presence.number_of(places.local(url))
    die()
    assert first == presence.number_of(places.local(url)) != presence.number_of(places.local(new_url()))
    assert first and presence.number_of(os.curdir) is None


@pytest.mark.parametrize("removed", ["files", "*.keras", "0.keras*"])
def test_only_this_process_deletes_in_the_store(removed: str, tmp_path: Path) -> None:
    """What a sweeper of caches removes here stays in the store, comes back, and is deleted when its time comes."""
    url = new_url()
    with writing(url) as directory:
        saves(directory, "{epoch}.keras", range(4), keep=4)
        for path in (tmp_path / "cache" / "near").rglob(removed):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        places.push(directory)
        assert whole(Path(directory)) == {f"{number}.keras": number for number in range(4)}
        Writer(Path(directory), "{epoch}.keras", 4).save(4)
        places.push(directory)
    assert seen(url) == {f"{number}.keras": number for number in range(1, 5)}


def test_a_machine_without_room_for_near_copies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the directory, and the variable that names another one."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("CALLBACK_STATE_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match=r"/file cannot be used .* the variable CALLBACK_STATE_CACHE"):
        places.pulled(new_url())


@pytest.mark.parametrize("opens", [False, True])
def test_a_forked_child_cannot_put_what_its_parent_has(monkeypatch: pytest.MonkeyPatch, opens: bool) -> None:
    """Its save would be in a directory that nobody puts into the store; also if it opens the same URL anew."""
    url = new_url()
    monkeypatch.setattr(places, "_HOLDINGS", {})
    directory = places.local(url)
    places._forget()
    if opens:
        assert places.local(url) != directory
    with pytest.raises(StoreError, match="forked"):
        places.push(directory)
