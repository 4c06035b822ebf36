"""A near copy and its store: what one has the other gets, and whoever dies leaves a whole checkpoint there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from saves import Writer, model_of, raises, sealed, whole
from stores import Dead, Requests, checkpoints, die, new_url, objects, put, saves, seen, writing

from callback_state._store import commit
from callback_state._store.bucket import places
from callback_state._store.bucket.lease import NAME
from callback_state._store.pair import SUFFIX
from callback_state.exceptions import StoreError

pytestmark = pytest.mark.usefixtures("quick_stores")


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
        names = checkpoints(url)
        left = [name for name in names if name.startswith(".") or name.removesuffix(SUFFIX) not in names]
        left = [name for name in left if not name.endswith(".arrays")]
        assert left == [] and max(seen(url).values()) == last
    assert deaths >= 4


def test_the_same_arrays_are_copied_within_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a save makes a link here, no byte of the arrays is put again; a store that cannot copy gets them."""
    for can_copy in (True, False):
        url, requests = new_url(), Requests(monkeypatch)
        with writing(url) as directory:
            saves(directory, "{epoch}.keras", range(1), arrays=True)
            if not can_copy:
                fs = places.holding_of(directory).near.bucket.fs  # type: ignore[union-attr]
                monkeypatch.setattr(fs, "cp_file", raises(errno.ENOSYS), raising=False)
            saves(directory, "{epoch}.keras", range(1, 2), arrays=True)
        put_again = [
            name for verb, name in requests.seen if verb == "write" and name.startswith("1.keras.callbacks.")
        ]
        assert len(put_again) == (2 if can_copy else 3)
        assert seen(url) == {"0.keras": 0, "1.keras": 1}


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


def owing(monkeypatch: pytest.MonkeyPatch, url: str) -> tuple[str, Requests]:
    """A run has ended whose second checkpoint the store does not take; the directory here, and the requests."""
    requests = Requests(monkeypatch)

    def refuse(at: int, verb: str, name: str) -> None:
        if name == "1.keras":
            raise ConnectionError("no store")

    with writing(url) as directory:
        saves(directory, "{epoch}.keras", range(1))
        requests.fault = refuse
        with pytest.raises(StoreError):
            saves(directory, "{epoch}.keras", range(1, 2))
        requests.fault = None
    return directory, requests


def test_what_is_owed_survives_a_new_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second fit of the same process puts what the first could not, and a reader between them takes nothing."""
    url = new_url()
    directory, _ = owing(monkeypatch, url)
    assert places.pulled(url) == directory and whole(Path(directory)) == {"0.keras": 0, "1.keras": 1}
    with writing(url):
        pass
    assert seen(url) == {"0.keras": 0, "1.keras": 1}


def test_what_was_saved_while_the_lease_could_not_be_renewed_is_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that has been away for a while fails at the lease already: the near copy stays all the same."""
    url = new_url()
    requests = Requests(monkeypatch)

    def refuse(at: int, verb: str, name: str) -> None:
        raise ConnectionError("no store")

    with writing(url) as directory:
        saves(directory, "{epoch}.keras", range(1))
        places._HOLDINGS[url].lease._renewed -= 60
        requests.fault = refuse
        with pytest.raises(StoreError, match=NAME):
            saves(directory, "{epoch}.keras", range(1, 2))
        requests.fault = None
    assert whole(Path(places.pulled(url))) == {"0.keras": 0, "1.keras": 1}
    places._leave_all()
    assert os.path.exists(f"{directory}/1.keras")


def test_what_is_owed_is_not_put_over_the_work_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """If another run has written meanwhile, the store is what counts; what it lacked stays on this machine."""
    url = new_url()
    directory, _ = owing(monkeypatch, url)
    put(url, "5.keras", model_of(5))
    put(url, "5.keras.callbacks.pkl", sealed(5))
    with pytest.warns(UserWarning, match="another run has written there since"), writing(url):
        assert whole(Path(directory)) == {"0.keras": 0, "5.keras": 5}
    (aside,) = Path(directory).parent.glob("not in the store */1.keras")
    assert aside.exists()


def test_a_near_copy_that_has_what_the_store_lacks_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the process ends, it is the only place that has it; any other near copy goes."""
    url, other = new_url(), new_url()
    directory, _ = owing(monkeypatch, url)
    put(other, "m.keras", b"")
    gone = places.pulled(other)
    places._leave_all()
    assert os.path.exists(f"{directory}/1.keras") and not os.path.exists(gone)


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
