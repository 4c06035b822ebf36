"""Reading a checkpoint while a writer replaces it: the old one or the new one, whole, and no error."""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Batches, PerBatch, bytes_of, fit, make_model, states_of
from kept import kept
from keras_models import ENDINGS
from states import model_of, put, state_of

from callback_state import CallbackStateError, CheckpointNotFoundError, RestoreError, restore_callbacks
from callback_state._checkpoints import find
from callback_state._checkpoints.snapshot import Snapshot
from callback_state._keras import model_file
from callback_state._resuming import put_in, restore
from callback_state._resuming.checks import Expected
from callback_state._store import commit as _store
from callback_state._store import disk
from callback_state._store.pair import SUFFIX, open_pair

pytestmark = pytest.mark.filterwarnings("ignore:.*is in the checkpoint, but not in into")


def make() -> list[Any]:
    return [PerBatch(0.02), Batches()]


@functools.cache
def saved(ending: str) -> tuple[list[tuple[bytes, bytes]], list[dict[str, Any]]]:
    """The files of the three epochs of a run, and what a restore gives of each when nobody writes."""
    with tempfile.TemporaryDirectory() as place:
        assert fit(Path(place), make, kill=3, ending=ending) is None
        paths = [Path(place, f"00{i}{ending}") for i in (1, 2, 3)]
        expected = [whole(path) for path in paths]
        versions = [(path.read_bytes(), Path(f"{path}{SUFFIX}").read_bytes()) for path in paths]
    assert [e["epoch"] for e in expected] == [0, 1, 2]
    assert len({tuple(e["model"]) for e in expected}) == 3
    return versions, expected


def commit(path: Path, version: tuple[bytes, bytes]) -> None:
    """Replace a checkpoint as every save does it."""
    with _store.write(
        path, lambda staged: Path(staged).write_bytes(version[0]) and None, lambda digest, size: version[1]
    ) as written:
        _store.commit(written)


def whole(path: Path) -> dict[str, Any]:
    """What a restore gives: the epoch, and all that has to belong to it."""
    callbacks, model = make(), kept(make_model)
    restored = restore_callbacks(path, into=callbacks, model=model, strict=False)
    return {
        "epoch": restored.epoch,
        "history": restored.history,
        "callbacks": states_of(callbacks),
        "model": bytes_of([*model.variables, *model.optimizer.variables]),
    }


#: The points between the digest of the model file and the end of loading it: what is wrapped, and its name.
POINTS: dict[str, tuple[Any, str]] = {
    "the digest": (disk, "digest"),
    "reading the state": (Snapshot, "read"),
    "matching": (restore, "_match"),
    "preparing": (restore, "prepare_from"),
    "checking": (Expected, "check_variables"),
    "loading": (put_in, "load"),
    "the weights": (model_file, "hold_variables"),
    "the optimizer": (model_file, "_load_h5_optimizer"),
    "comparing": (model_file, "digest_of"),
    "the rest of the model": (model_file, "put_back_extra"),
}


def acting(patch: pytest.MonkeyPatch, point: str, when: str, act: Callable[[], None], times: int) -> list[int]:
    """Lets a writer act before or after a step, at the first ``times`` times; grows by one each time."""
    owner, name = POINTS[point]
    true, calls = owner.__dict__[name], []

    def now() -> None:
        if len(calls) < times:
            calls.append(len(calls))
            act()

    def step(*args: Any, **options: Any) -> Any:
        if when == "before":
            now()
        function = true.__get__(None, owner) if isinstance(true, classmethod) else true
        result = function(*(args[1:] if isinstance(true, classmethod) else args), **options)
        if when == "after":
            now()
        return result

    patch.setattr(owner, name, classmethod(step) if isinstance(true, classmethod) else step)
    return calls


#: Before each, and after the last of each kind; after the others is before the next.
MOMENTS = [(point, "before") for point in POINTS]
MOMENTS += [(point, "after") for point in ("the digest", "comparing", "the rest of the model")]
#: By turns each kind of file, by its path or by its directory. Only a whole model in .h5 is opened twice.
CASES = [
    (point, when, ".h5" if point == "the optimizer" else ENDINGS[i % 3], ("file", "directory")[i % 2])
    for i, (point, when) in enumerate(MOMENTS)
]


@pytest.mark.usefixtures("quick_disk")
@pytest.mark.parametrize(("point", "when", "ending", "given"), CASES)
def test_the_file_is_replaced_at_every_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, when: str, ending: str, given: str
) -> None:
    """Once, or four times in a row: what was restored is one version, all of it."""
    all_versions, expected = saved(ending)
    path, versions = tmp_path / f"best{ending}", itertools.cycle(all_versions)
    commit(path, next(versions))
    times = 4 if given == "file" else 1
    calls = acting(monkeypatch, point, when, lambda: commit(path, next(versions)), times)
    found = whole(path if given == "file" else tmp_path)
    assert len(calls) >= 1
    assert found == expected[found["epoch"]]


def test_a_file_that_does_not_fit_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody replaced it there is nothing to wait for."""
    commit(tmp_path / "best.keras", saved(".keras")[0][0])
    calls = acting(monkeypatch, "loading", "before", lambda: None, 1000)
    monkeypatch.setattr(model_file, "digest_of", lambda model: "another")
    with pytest.raises(RestoreError, match="does not fit"):
        whole(tmp_path / "best.keras")
    assert len(calls) == 1


@pytest.mark.usefixtures("quick_disk")
def test_a_file_that_is_always_replaced_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the error of the last try, and the model as it was."""
    path, versions = tmp_path / "best.keras", itertools.cycle(saved(".keras")[0])
    commit(path, next(versions))
    callbacks, model = make(), kept(make_model)
    before = bytes_of(model.weights), states_of(callbacks)
    monkeypatch.setattr(restore, "REPLACED", 5)
    calls = acting(monkeypatch, "loading", "before", lambda: commit(path, next(versions)), 1000)
    with pytest.raises(RestoreError, match="does not fit"):
        restore_callbacks(path, into=callbacks, model=model, strict=False)
    assert len(calls) == 5
    assert (bytes_of(model.weights), states_of(callbacks)) == before


@pytest.mark.parametrize("given", ["directory", "file"])
def test_a_file_that_was_deleted_while_it_was_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """In a directory its successor is taken; a path of one file says that it is gone."""
    versions, expected = saved(".keras")
    old, new = tmp_path / "1.keras", tmp_path / "2.keras"
    commit(old, versions[0])

    def move_on() -> None:
        commit(new, versions[1])
        _store.delete(old)

    acting(monkeypatch, "loading", "before", move_on, 1)
    if given == "directory":
        assert whole(tmp_path) == expected[1]
    else:
        with pytest.raises(CheckpointNotFoundError, match=f"The newest whole checkpoint there is {new}"):
            whole(old)


@pytest.mark.parametrize(("order", "staged_too"), [("model-first", False), ("state-first", True)], ids=str)
def test_a_copy_of_any_two_moments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, staged_too: bool
) -> None:
    """Every pair of steps of two saves, the one file copied at the first, the other at the second."""
    moments = moments_of(tmp_path / "source", monkeypatch)
    seen: dict[object, int] = {}
    for i, j in itertools.combinations_with_replacement(range(len(moments)), 2):
        model, state = (i, j) if order == "model-first" else (j, i)
        files = {name: data for name, data in moments[model].items() if name == "m.keras"}
        files |= {
            name: data
            for name, data in moments[state].items()
            if name == "m.keras" + SUFFIX or (staged_too and name.startswith(".m.keras.state"))
        }
        copy = tmp_path / f"{i}-{j}"
        copy.mkdir()
        for name, data in files.items():
            (copy / name).write_bytes(data)
        try:
            pair = open_pair(copy / "m.keras")
        except CallbackStateError:
            seen["refused"] = seen.get("refused", 0) + 1
            continue
        number = Snapshot.read("copy", pair.sealed).meta.saved_at
        assert (copy / "m.keras").read_bytes() == model_of(number)
        seen[number] = seen.get(number, 0) + 1
    assert set(seen) == {1, 2, 3, "refused"}


def moments_of(directory: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, bytes]]:
    """The files of a directory before and after each step of two saves over one name."""
    path = put(directory, "m.keras", 1)
    moments = []

    def note() -> None:
        moments.append({p.name: p.read_bytes() for p in directory.iterdir() if p.is_file()})

    def noting(true: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any) -> Any:
            note()
            result = true(*args)
            note()
            return result

        return step

    with monkeypatch.context() as patch:
        for name in ("rename", "write_bytes", "sync_directory", "remove_tree"):
            patch.setattr(disk, name, noting(getattr(disk, name)))
        for number in (2, 3):
            commit(path, (model_of(number), state_of(number)))
    return moments


def test_a_replaced_file_is_known_by_its_identity(tmp_path: Path) -> None:
    """And one that nobody touched is the same; a deleted one is another."""
    path = put(tmp_path, "m.keras", 1)
    found = find.Found.open(str(path))
    assert not found.is_replaced()
    commit(path, (model_of(2), state_of(2)))
    assert found.is_replaced()
    found = find.Found.open(str(path))
    _store.delete(path)
    assert found.is_replaced()
