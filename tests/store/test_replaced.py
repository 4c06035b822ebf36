"""Reading a checkpoint while a writer replaces it: the old one or the new one, whole, and no error."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Batches, PerBatch, X, bytes_of, fit, make_model, states_of
from places import ENVIRONMENT
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

ENDINGS = (".keras", ".weights.h5", ".h5")
Version = tuple[bytes, bytes]
pytestmark = pytest.mark.filterwarnings("ignore:.*is in the checkpoint, but not in into")


def make() -> list[Any]:
    return [PerBatch(0.02), Batches()]


def versions_of(directory: Path, ending: str) -> list[Version]:
    """The two files of each of three epochs, of one run that saves every epoch under a name of its own."""
    assert fit(directory, make, kill=3, ending=ending) is None
    models = [directory / f"00{i}{ending}" for i in (1, 2, 3)]
    return [(path.read_bytes(), Path(f"{path}{SUFFIX}").read_bytes()) for path in models]


def commit(path: Path, version: Version) -> None:
    """Replace a checkpoint as every save does it."""
    with _store.write(
        path, lambda staged: Path(staged).write_bytes(version[0]) and None, lambda digest, size: version[1]
    ) as written:
        _store.commit(written)


def whole(path: Path) -> dict[str, Any]:
    """What a restore gives: the epoch, and all that has to belong to it."""
    callbacks, model = make(), make_model()
    restored = restore_callbacks(path, into=callbacks, model=model, strict=False)
    return {
        "epoch": restored.epoch,
        "history": restored.history,
        "callbacks": states_of(callbacks),
        "model": bytes_of([*model.variables, *model.optimizer.variables]),
    }


@pytest.fixture(scope="module", params=ENDINGS)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Three versions of a checkpoint, and what each is when nobody writes."""
    directory = tmp_path_factory.mktemp("versions")
    versions = versions_of(directory, request.param)
    path = tmp_path_factory.mktemp("quiet") / f"best{request.param}"
    expected = []
    for version in versions:
        commit(path, version)
        expected.append(whole(path))
    assert [e["epoch"] for e in expected] == [0, 1, 2]
    assert len({tuple(e["model"]) for e in expected}) == 3
    return {"ending": request.param, "versions": versions, "expected": expected}


#: The points between the digest of the model file and the end of loading it: what is wrapped, and its name.
POINTS: dict[str, tuple[Any, str]] = {
    "the digest": (disk, "digest"),
    "reading the state": (Snapshot, "read"),
    "matching": (restore, "_match"),
    "preparing": (restore, "prepare_from"),
    "checking": (Expected, "check_variables"),
    "loading": (put_in, "load"),
    "the weights": (model_file, "_check_optimizer"),
    "the optimizer": (model_file, "_load_h5_optimizer"),
    "comparing": (model_file, "digest_of"),
    "the seeds": (put_in, "put_back_seeds"),
}


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Lets a writer act at a point, before or after the step, at the first ``times`` times."""

    def install(point: str, when: str, act: Callable[[int], None], times: int) -> list[int]:
        owner, name = POINTS[point]
        true, calls = owner.__dict__[name], []

        def step(*args: Any, **options: Any) -> Any:
            def now() -> None:
                if len(calls) < times:
                    calls.append(len(calls))
                    act(len(calls))

            if when == "before":
                now()
            function = true.__get__(None, owner) if isinstance(true, classmethod) else true
            result = function(*(args[1:] if isinstance(true, classmethod) else args), **options)
            if when == "after":
                now()
            return result

        monkeypatch.setattr(owner, name, classmethod(step) if isinstance(true, classmethod) else step)
        return calls

    return install


#: Before each, and after the last of each kind; after the others is before the next.
MOMENTS = [(point, "before") for point in POINTS]
MOMENTS += [(point, "after") for point in ("the digest", "comparing", "the seeds")]


@pytest.mark.parametrize(("given", "times"), [pytest.param("file", 4, marks=pytest.mark.heavy), ("directory", 1)])
@pytest.mark.parametrize(("point", "when"), MOMENTS)
def test_the_file_is_replaced_at_every_point(
    saved: dict[str, Any], tmp_path: Path, at: Any, point: str, when: str, times: int, given: str
) -> None:
    """Once, or four times in a row: what was restored is one version, all of it."""
    if point == "the optimizer" and saved["ending"] != ".h5":
        pytest.skip("only a whole model in .h5 is opened twice")
    path = tmp_path / f"best{saved['ending']}"
    versions = itertools.cycle(saved["versions"])
    commit(path, next(versions))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: None)
        calls = at(point, when, lambda n: commit(path, next(versions)), times)
        found = whole(path if given == "file" else tmp_path)
    assert len(calls) >= 1
    assert found == saved["expected"][found["epoch"]]


def test_a_file_that_does_not_fit_is_refused_at_once(saved: dict[str, Any], tmp_path: Path, at: Any) -> None:
    """Where nobody replaced it there is nothing to wait for."""
    path = tmp_path / f"best{saved['ending']}"
    commit(path, saved["versions"][0])
    calls = at("loading", "before", lambda n: None, 1000)
    model = make_model()
    model.layers[0].kernel.assign(model.layers[0].kernel * 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_file, "digest_of", lambda model: "another")
        with pytest.raises(RestoreError, match="does not fit"):
            restore_callbacks(path, into=make(), model=model, strict=False)
    assert len(calls) == 1


def test_a_file_that_is_always_replaced_is_given_up(saved: dict[str, Any], tmp_path: Path, at: Any) -> None:
    """With the error of the last try, and the model as it was."""
    path = tmp_path / f"best{saved['ending']}"
    versions = itertools.cycle(saved["versions"])
    commit(path, next(versions))
    callbacks, model = make(), make_model()
    before = bytes_of(model.weights), states_of(callbacks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: None)
        patch.setattr(restore, "REPLACED", 5)
        calls = at("loading", "before", lambda n: commit(path, next(versions)), 1000)
        with pytest.raises(RestoreError, match="does not fit"):
            restore_callbacks(path, into=callbacks, model=model, strict=False)
    assert len(calls) == 5
    assert (bytes_of(model.weights), states_of(callbacks)) == before


def test_a_file_that_was_deleted_while_it_was_loaded(saved: dict[str, Any], tmp_path: Path, at: Any) -> None:
    """In a directory its successor is taken; a path of one file says that it is gone."""
    for given in ("directory", "file"):
        directory = tmp_path / given
        directory.mkdir()
        old, new = (directory / f"{n}{saved['ending']}" for n in (1, 2))
        commit(old, saved["versions"][0])

        def move_on(n: int, old: Path = old, new: Path = new) -> None:
            commit(new, saved["versions"][1])
            _store.delete(old)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(put_in, "load", put_in.load)  # what `at` sets is taken back here
            at("loading", "before", move_on, 1)
            if given == "directory":
                assert whole(directory) == saved["expected"][1]
            else:
                with pytest.raises(CheckpointNotFoundError, match=f"The newest whole checkpoint there is {new}"):
                    whole(old)


# Real processes.

WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from harness import X, Y, make_model
from test_replaced import make
from callback_state import ModelCheckpointEnhanced
make_model().fit(
    X, Y, batch_size=16, epochs=10**6, verbose=0, callbacks=[*make(), ModelCheckpointEnhanced(sys.argv[1])]
)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Path]:
    """A training run that saves over one name, as fast as it can."""
    path = tmp_path / "ckpt" / "best.keras"
    command = [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=ENVIRONMENT)
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    yield path
    assert process.poll() is None, process.communicate()  # it was writing all the time
    process.kill()
    process.communicate()


@pytest.mark.heavy
def test_fifty_restores_while_a_training_run_saves(writer: Path) -> None:
    """Weights, optimizer, callbacks and history of each are of one moment; both sides make progress."""
    epochs = []
    for i in range(50):
        callbacks, model = make(), make_model()
        restored = restore_callbacks(writer if i % 2 else writer.parent, into=callbacks, model=model, strict=False)
        assert restored.epoch is not None
        steps = len(X) // 16 * (restored.epoch + 1)
        assert callbacks[0].step == steps == len(callbacks[1].seen)
        assert int(model.optimizer.iterations.numpy()) == steps
        assert restored.history["epochs"] == list(range(restored.epoch + 1))
        epochs.append(restored.epoch)
    assert epochs == sorted(epochs) and len(set(epochs)) > 10


@pytest.mark.heavy
def test_copies_made_while_a_training_run_saves(writer: Path, tmp_path: Path) -> None:
    """As a cron job would make them, one file after the other: a pair or refused, never accepted wrong."""
    accepted = refused = 0
    for i in range(400):
        copy = tmp_path / "copies" / str(i) / writer.name
        copy.parent.mkdir(parents=True)
        files = [("", writer), (SUFFIX, Path(f"{writer}{SUFFIX}"))]
        for suffix, source in files if i % 2 else reversed(files):
            shutil.copyfile(source, f"{copy}{suffix}")
        try:
            snapshot = Snapshot.open(str(copy))
        except CallbackStateError:
            refused += 1
            continue
        accepted += 1
        if accepted % 20 == 1:
            callbacks, model = make(), make_model()
            restored = restore_callbacks(copy, into=callbacks, model=model, strict=False)
            assert int(model.optimizer.iterations.numpy()) == callbacks[0].step
            assert restored.epoch == snapshot.meta.epoch
    assert accepted > 0 and accepted + refused == 400


@pytest.mark.parametrize("staged_too", [False, True], ids=["two-files", "whole-directory"])
@pytest.mark.parametrize("order", ["model-first", "state-first"])
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
