"""The newest checkpoint that verifies: which it is, what is said of the others, and what is not read for it."""

from __future__ import annotations

import errno
import hashlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from states import cut, flip, model_of, put, put_staged, state_of

from callback_state import (
    CallbackStateError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    MismatchError,
    latest_checkpoint,
    list_checkpoints,
    load_meta,
    restore_callbacks,
)
from callback_state._checkpoints import directory as _directory
from callback_state._checkpoints import find as _find
from callback_state._checkpoints.find import find
from callback_state._checkpoints.snapshot import Snapshot
from callback_state._format import statefile
from callback_state._store import disk, pair, staging
from callback_state._store.pair import SUFFIX


def found_in(path: Path) -> str:
    found = find(str(path), None, missing_ok=False)
    assert found is not None
    return os.path.basename(found.model_path)


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def outdate(model: Path) -> None:
    """A state file of a later release."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statefile, "FORMAT", 9)
        Path(f"{model}{SUFFIX}").write_bytes(state_of(int(model.stem)))


#: What can be wrong with the two files of a checkpoint, and the reason that is given.
DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "state flipped": (lambda m: flip(Path(f"{m}{SUFFIX}")), "does not have the SHA-256"),
    "state cut": (lambda m: cut(Path(f"{m}{SUFFIX}")), "expected a trailer"),
    "state empty": (lambda m: Path(f"{m}{SUFFIX}").write_bytes(b""), "the file is empty"),
    "state of a later release": (outdate, "install a newer callback_state"),
    "model flipped": (flip, "was changed or damaged since"),
    "model cut": (cut, "it was cut short"),
    "model missing": (Path.unlink, "expected the model file"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_newer_one_that_does_not_verify_is_named_with_its_reason(tmp_path: Path, damage: str) -> None:
    """In a warning each, at the caller's line; the next is taken, nothing deleted, and no older one told of."""
    models = [put(tmp_path, f"{i}.keras", i) for i in range(5)]
    spoil, reason = DAMAGE[damage]
    spoil(models[4])
    flip(models[3])
    flip(models[0])
    before = content(tmp_path)
    for look in (
        lambda: latest_checkpoint(tmp_path),
        lambda: load_meta(tmp_path),
        lambda: restore_callbacks(tmp_path, into=[]),
    ):
        with pytest.warns(UserWarning) as told:
            result = look()
        texts = sorted(str(w.message) for w in told)
        assert len(texts) == 2 and all(text.startswith("left aside: ") for text in texts)
        assert str(models[3]) in texts[0] and "was changed or damaged since" in texts[0]
        assert str(models[4]) in texts[1] and reason in texts[1]
        assert {w.filename for w in told} == {__file__}
    assert result.model_path == str(models[2]) and result.epoch == 2
    assert content(tmp_path) == before


def test_of_many_only_the_newest_model_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no state is parsed but its own: a directory of a thousand, of terabytes, restores like one of one."""
    for i in range(20):
        put(tmp_path, f"{i:02d}.keras", i)
    models, states = [], []
    digest, parse = disk.digest, pair.unseal

    def noted(data: bytes, where: str) -> Any:
        states.append(os.path.basename(where))
        return parse(data, where)

    monkeypatch.setattr(disk, "digest", lambda path: (models.append(os.path.basename(path)), digest(path))[1])
    monkeypatch.setattr(pair.open_pair, "__defaults__", (noted,))
    assert found_in(tmp_path) == "19.keras"
    assert (models, states) == (["19.keras"], ["19.keras" + SUFFIX])


def test_age_is_what_the_state_says_and_not_the_name_or_the_clock(tmp_path: Path) -> None:
    """Files that were copied anew, in any order, and names that do not sort."""
    for name, number in (("b.keras", 5), ("a.h5", 9), ("c.weights.h5", 7)):
        path = put(tmp_path, name, number)
        os.utime(path, (1e9 - number, 1e9 - number))
    assert found_in(tmp_path) == "a.h5"
    assert [os.path.basename(c.path) for c in list_checkpoints(tmp_path)] == ["b.keras", "c.weights.h5", "a.h5"]


def test_a_staged_state_that_is_not_its_models_does_not_make_it_newer(tmp_path: Path) -> None:
    """A save that died before its model was moved: the checkpoint is the old one, and as old as that."""
    old, new = put(tmp_path, "old.keras", 1), put(tmp_path, "new.keras", 5)
    put_staged(old, 9)
    assert found_in(tmp_path) == "new.keras"
    listed = [(os.path.basename(c.path), c.saved_at) for c in list_checkpoints(tmp_path, verify=False)]
    assert listed == [("old.keras", 1), ("new.keras", 5)]
    old.write_bytes(model_of(9))  # now it was moved
    assert found_in(tmp_path) == "old.keras"
    assert list_checkpoints(tmp_path, verify=False)[-1].saved_at == 9
    flip(new)
    assert found_in(tmp_path) == "old.keras"  # what is older is not looked at, and not warned of


def test_where_none_verifies_the_error_says_so(tmp_path: Path) -> None:
    """A run of days is not silently begun anew, also with missing_ok."""
    for i in range(3):
        flip(put(tmp_path, f"{i}.keras", i))
    named = r"none of 3 checkpoints verifies; the first: .*2\.keras.*; the others: .*1\.keras.*; .*0\.keras"
    with pytest.raises(CorruptCheckpointError, match=named):
        find(str(tmp_path), None, missing_ok=True)
    with pytest.warns(UserWarning, match="left aside"):
        assert latest_checkpoint(tmp_path) is None


# One file.


@pytest.mark.parametrize("use", [load_meta, restore_callbacks], ids=["load_meta", "restore_callbacks"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_one_file_does_not_fall_back_and_names_the_next_good_one(
    tmp_path: Path, damage: str, use: Callable[..., Any]
) -> None:
    """The newest of its directory that verifies; nothing is warned of, nothing deleted."""
    models = [put(tmp_path, f"{i}.keras", i) for i in range(5)]
    spoil, reason = DAMAGE[damage]
    spoil(models[1])
    flip(models[4])
    before = content(tmp_path)
    for path in (models[1], f"{models[1]}{SUFFIX}"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(CallbackStateError) as caught:
                use(path)
        assert reason in caught.value.message
        assert caught.value.message.endswith(f". The newest whole checkpoint there is {models[3]}")
        assert caught.value.path in (str(models[1]), f"{models[1]}{SUFFIX}")
    assert content(tmp_path) == before


def test_where_there_is_no_other_the_error_is_as_it_was(tmp_path: Path) -> None:
    """Nothing whole there; or what is missing is no checkpoint file, or in no directory."""
    model = put(tmp_path, "m.keras", 1)
    flip(model)
    with pytest.raises(MismatchError) as caught:
        load_meta(model)
    assert "newest" not in str(caught.value)
    put(tmp_path, "n.keras", 2)
    for path in (tmp_path / "misspelt", tmp_path / "missing" / "m.keras", tmp_path / "notes.txt"):
        with pytest.raises(CheckpointNotFoundError) as missing:
            load_meta(path)
        assert "newest" not in str(missing.value)


@pytest.mark.parametrize("lost", ["", SUFFIX], ids=["model", "state"])
@pytest.mark.parametrize("given", ["", SUFFIX], ids=["by-model", "by-state"])
def test_half_a_checkpoint_is_not_a_first_start(tmp_path: Path, lost: str, given: str) -> None:
    """By whichever of its two names: it was lost, so missing_ok is no way around it."""
    model = put(tmp_path, "m.keras", 1)
    os.unlink(f"{model}{lost}")
    with pytest.raises(CheckpointNotFoundError):
        find(f"{model}{given}", None, missing_ok=True)
    os.unlink(f"{model}{SUFFIX if not lost else ''}")
    assert find(f"{model}{given}", None, missing_ok=True) is None


# A writer at work.


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO], ids=["permission", "disk"])
@pytest.mark.parametrize("given", ["", "m.keras", f"m.keras{SUFFIX}"], ids=["directory", "model", "state"])
@pytest.mark.parametrize("lost", ["", "m.keras", f"m.keras{SUFFIX}"], ids=["all", "model", "state"])
def test_what_cannot_be_read_is_not_a_first_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str, given: str, error: int
) -> None:
    """``missing_ok`` is for what is not there; what the system does not let us see may be a year of training."""
    put(tmp_path / "ckpt", "m.keras", 1)
    hide(monkeypatch, tmp_path / "ckpt" / lost, error)
    with warnings.catch_warnings(), pytest.raises((OSError, CallbackStateError)) as caught:
        warnings.simplefilter("ignore")
        restore_callbacks(tmp_path / "ckpt" / given, into=[], missing_ok=True)
    assert os.strerror(error) in str(caught.value)


def hide(monkeypatch: pytest.MonkeyPatch, hidden: Path, error: int) -> None:
    """The system refuses to look at a file, or at a directory and all that is in it."""

    def refusing(true: Any) -> Any:
        def call(path: Any, *args: Any, **options: Any) -> Any:
            if hidden in (Path(os.fspath(path)), *Path(os.fspath(path)).parents):
                raise OSError(error, os.strerror(error), path)
            return true(path, *args, **options)

        return call

    for name in ("stat", "lstat", "open", "listdir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))


@pytest.mark.parametrize("lost", ["", SUFFIX], ids=["model", "state"])
def test_a_file_that_the_system_refuses_hides_no_other_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """A bad sector under the newest file: it is left aside with its reason, and the older one is found."""
    old, new = (put(tmp_path, f"{i}.keras", i) for i in (1, 2))
    hide(monkeypatch, Path(f"{new}{lost}"), errno.EIO)
    with pytest.warns(UserWarning, match=f"left aside: .*2.keras.*{os.strerror(errno.EIO)}"):
        assert latest_checkpoint(tmp_path) == str(old)


def test_a_writer_that_keeps_only_the_newest_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was listed is gone when it is opened, its successor is there: no warning, no error."""
    put(tmp_path, "5.keras", 5)
    true, moves = _find.Found.open, iter(range(6, 9))

    def opening(path: str, keys: Any) -> Any:
        number = next(moves, None)
        if number is not None:
            put(tmp_path, f"{number}.keras", number)
            for half in ("", SUFFIX):
                os.unlink(tmp_path / f"{number - 1}.keras{half}")
        return true(path, keys)

    monkeypatch.setattr(_find.Found, "open", opening)
    assert found_in(tmp_path) == "8.keras"


def test_a_listing_passes_over_what_a_writer_deletes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not there any more, so it is not damaged either."""
    paths = [put(tmp_path, f"{i}.keras", i) for i in range(3)]
    true = disk.digest

    def digest(path: str) -> Any:
        if path == str(paths[1]) and paths[1].exists():
            os.unlink(paths[1])
            os.unlink(f"{paths[1]}{SUFFIX}")
        return true(path)

    monkeypatch.setattr(disk, "digest", digest)
    assert [c.epoch for c in list_checkpoints(tmp_path)] == [0, 2]


# Listing.


def test_a_listing_says_what_the_states_say(tmp_path: Path) -> None:
    """With every field; verified or not, it is the same of whole checkpoints."""
    put(tmp_path, "a.keras", 3, batch=7, monitor=("loss", 0.5))
    put(tmp_path, "b.keras", 4, finished=True, monitor=("val", float("nan")))
    (tmp_path / "model.keras").write_bytes(b"somebody else's")
    for verify in (True, False):
        first, second = list_checkpoints(tmp_path, verify=verify)
        assert first.path == str(tmp_path / "a.keras")
        assert (first.epoch, first.batch, first.finished, first.monitor, first.saved_at) == (
            3,
            7,
            False,
            ("loss", 0.5),
            3,
        )
        assert (second.batch, second.finished, repr(second.monitor)) == (None, True, "('val', nan)")


def test_without_verifying_no_model_is_read_and_no_state_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the digests of the states are: a model file that was changed in place is listed."""
    models = [put(tmp_path, f"{i}.keras", i) for i in range(3)]
    flip(models[1])
    for owner, name in ((disk, "digest"), (Snapshot, "read")):
        monkeypatch.setattr(owner, name, lambda *args, name=name: pytest.fail(f"{name} was called"))
    assert [c.epoch for c in list_checkpoints(tmp_path, verify=False)] == [0, 1, 2]


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("damage", [d for d in DAMAGE if d != "model flipped"])
def test_a_listing_leaves_out_what_is_damaged(tmp_path: Path, damage: str, verify: bool) -> None:
    """With a warning at the caller's line that says why; a model of another size is seen without verifying."""
    models = [put(tmp_path, f"{i}.keras", i) for i in range(3)]
    spoil, reason = DAMAGE[damage]
    spoil(models[1])
    with pytest.warns(UserWarning, match=reason) as told:
        assert [c.epoch for c in list_checkpoints(tmp_path, verify=verify)] == [0, 2]
    assert len(told) == 1 and told[0].filename == __file__


def test_a_link_to_a_checkpoint_elsewhere_counts(tmp_path: Path) -> None:
    """As it always did: a directory of links to the best of several runs."""
    model = put(tmp_path / "run", "m.keras", 3)
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "run.keras").symlink_to(model)
    for verify in (True, False):
        assert [c.epoch for c in list_checkpoints(tmp_path / "best", verify=verify)] == [3]
    assert latest_checkpoint(tmp_path / "best") == str(model)


def test_a_state_put_beside_another_model_is_warned_of(tmp_path: Path) -> None:
    """It makes that model look as old as the checkpoint it was taken from, which then is not enough."""
    first, second = put(tmp_path, "1.keras", 1), put(tmp_path, "2.keras", 2)
    Path(f"{second}{SUFFIX}").write_bytes(Path(f"{first}{SUFFIX}").read_bytes())
    with pytest.warns(UserWarning, match=r"2\.keras: its state file .* is of another save"):
        assert found_in(tmp_path) == "1.keras"


class Ours:
    """Stands for a checkpoint callback."""

    template = "{epoch}.keras"


class Deletion:
    """A writer deletes a checkpoint, step by step, while a reader looks: some after each call of the reader."""

    def __init__(self, model: Path, after: tuple[int, ...]) -> None:
        state = Path(f"{model}{SUFFIX}")
        staged = staging.staged_path(str(model), hashlib.sha256(model.read_bytes()).digest())
        #: As commit.delete does it.
        self.steps = [lambda: state.rename(staged), model.unlink, lambda: os.unlink(staged)]
        self.after = [*after]

    def meanwhile(self, function: Callable[..., Any], of: str = "") -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            try:
                return function(*args, **options)
            finally:
                if of in str(args):
                    for _ in range(self.after.pop(0) if self.after else 0):
                        self.steps.pop(0)()

        return call


@pytest.mark.parametrize(
    "after", [(i, j, k) for i in range(4) for j in range(4 - i) for k in range(4 - i - j)], ids=str
)
def test_what_a_writer_deletes_between_the_listing_and_the_look_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: tuple[int, ...]
) -> None:
    """However far it has come then: as long as its model is there it is found, and nothing is told of it."""
    looks: dict[str, Callable[[Path], Any]] = {
        "list": lambda path: [os.path.basename(c.path) for c in list_checkpoints(path)][-1],
        "sizes": lambda path: [os.path.basename(c.path) for c in list_checkpoints(path, verify=False)][-1],
        "latest": lambda path: os.path.basename(str(latest_checkpoint(path))),
        "this run": lambda path: os.path.basename(find(str(path), [Ours()], missing_ok=True).model_path),
    }
    for name, look in looks.items():
        models = [put(tmp_path / name, f"{i}.keras", i, template=Ours.template) for i in (1, 2)]
        deletion = Deletion(models[1], after)
        with monkeypatch.context() as patch:
            patch.setattr(pair, "states", deletion.meanwhile(pair.states))
            patch.setattr(_directory, "glance", deletion.meanwhile(_directory.glance, "2.keras"))
            patch.setattr(pair, "open_pair", deletion.meanwhile(pair.open_pair, "2.keras"))
            found = look(tmp_path / name)
        assert found in ("1.keras", "2.keras"), name
        assert found == "2.keras" or sum(after) >= 2
