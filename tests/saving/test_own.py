"""No run deletes what it has not written, or replaces what another run has."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from harness import Killed, Strike
from play import play, saver, start, tiny_model

from callback_state import CallbackStateError, OverwriteError, restore_callbacks
from callback_state._checkpoints.directory import glance
from callback_state._saving.own import Own
from callback_state._store import commit
from callback_state._store.pair import SUFFIX

#: A test passes other arguments in its last start.
pytestmark = pytest.mark.filterwarnings("ignore:.*arguments have changed since the checkpoint")


def models(directory: Path) -> list[str]:
    return sorted(p.name.removesuffix(".weights.h5") for p in directory.iterdir() if p.name.endswith(".h5"))


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def copy(source: Path, target: Path, name: str) -> None:
    for suffix in ("", SUFFIX):
        shutil.copy2(f"{source / name}.weights.h5{suffix}", f"{target / name}.weights.h5{suffix}")


def told(caught: list[warnings.WarningMessage]) -> list[str]:
    """The warnings that are ours."""
    return [str(one.message) for one in caught if one.category is UserWarning]


def run_of(directory: Path, name: str) -> str:
    seen: Any = glance([f"{directory / name}.weights.h5{SUFFIX}"])
    return str(seen.summary.run_id)


def test_a_run_keeps_its_identity_over_all_its_starts(tmp_path: Path) -> None:
    """All checkpoints of one fit have it, too, and another run has another."""
    best = saver(tmp_path / "best", "best.weights.h5", monitor="loss", save_best_only=True)
    start(tmp_path / "a", 2, best)
    start(tmp_path / "a", 3, saver(tmp_path / "best", "best.weights.h5", monitor="loss", save_best_only=True))
    start(tmp_path / "b", 1)
    of_a = {run_of(tmp_path / "a", name) for name in "123"} | {run_of(tmp_path / "best", "best")}
    assert len(of_a) == 1 and run_of(tmp_path / "b", "1") not in of_a


def test_the_fits_of_one_callback_are_one_run(tmp_path: Path) -> None:
    """In one process, without a restore: what the first has written, the second deletes."""
    checkpoint = saver(tmp_path, max_to_keep=1)
    play([checkpoint], 2)
    play([checkpoint], 4, first=2)
    assert models(tmp_path) == ["4"]


def test_retention_goes_on_after_a_restart(tmp_path: Path) -> None:
    """What the killed process has written is the run's own, the file of the very checkpoint included."""
    start(tmp_path, 2, max_to_keep=2)
    start(tmp_path, 3, max_to_keep=2)
    assert models(tmp_path) == ["2", "3"]
    start(tmp_path, 5, max_to_keep=2)
    assert models(tmp_path) == ["4", "5"]


def test_what_the_system_does_not_delete_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again at each save, and goes when the system lets it."""
    delete = commit.delete

    def refuse(path: str) -> None:
        raise PermissionError(13, "not now", path)

    monkeypatch.setattr(commit, "delete", refuse)
    checkpoint = saver(tmp_path, max_to_keep=1)
    with pytest.warns(UserWarning) as caught:
        play([checkpoint], 4)
    names = [text.partition(".weights")[0][-1] for text in told([*caught]) if "not deleted, tried again" in text]
    assert names == ["1", "2", "3"]
    monkeypatch.setattr(commit, "delete", delete)
    play([checkpoint], 5, first=4)
    assert models(tmp_path) == ["5"]


def test_files_of_another_run_stay(tmp_path: Path) -> None:
    """A pair of run A lies beside B's and is continued: names that B has written too are not A's."""
    start(tmp_path / "b", 2)
    start(tmp_path / "a", 3, max_to_keep=2)
    copy(tmp_path / "a", tmp_path / "b", "3")
    before = content(tmp_path / "b")
    with pytest.warns(UserWarning, match=r"\d.weights.h5: not deleted: it is of another run \(run [0-9a-f]{8}\)"):
        assert start(tmp_path / "b", 5, max_to_keep=2).initial_epoch == 3
    assert models(tmp_path / "b") == ["1", "2", "4", "5"]
    assert {name: data for name, data in content(tmp_path / "b").items() if name[0] in "12"} == {
        name: data for name, data in before.items() if name[0] in "12"
    }


def test_the_identity_alone_permits_nothing(tmp_path: Path) -> None:
    """Two copies of a directory are continued apart; a file of one in the other has the identity of both."""
    start(tmp_path / "a", 1)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    start(tmp_path / "a", 2)
    start(tmp_path / "b", 3)
    (tmp_path / "b" / "2.weights.h5").unlink()
    copy(tmp_path / "a", tmp_path / "b", "2")
    with pytest.warns(
        UserWarning, match="2.weights.h5: not deleted: it is not the file that this run has written"
    ):
        start(tmp_path / "b", 4, max_to_keep=1)
    assert models(tmp_path / "b") == ["2", "4"]


FOREIGN: dict[str, Any] = {
    "without a state file": (lambda p: Path(f"{p}{SUFFIX}").unlink(), "expected its state file"),
    "another model": (lambda p: p.write_bytes(b"precious"), "was written for the model file"),
    "a link": (lambda p: (p.rename(p.with_name("x")), p.symlink_to("x")), "it is a link"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_the_run_did_not_leave_like_this_stays(tmp_path: Path, kind: str) -> None:
    """With one warning, also if it is found again at each save; and with one more in the next process."""
    change, words = FOREIGN[kind]
    start(tmp_path, 2)
    change(tmp_path / "1.weights.h5")
    before = content(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start(tmp_path, 4, max_to_keep=1)
    said = [str(w.message) for w in caught if "1.weights.h5: not deleted" in str(w.message)]
    assert len(said) == 1 and words in said[0]
    assert models(tmp_path) == ["1", "4"]
    after = content(tmp_path)
    assert {n: d for n, d in after.items() if n[0] == "1"} == {n: d for n, d in before.items() if n[0] == "1"}


def test_a_kill_after_the_deletion_was_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start deletes what is left."""

    def dies(path: str) -> None:
        raise Killed

    monkeypatch.setattr(commit, "delete", dies)
    with pytest.raises(Killed):
        start(tmp_path, 2, max_to_keep=1)
    monkeypatch.undo()
    assert models(tmp_path) == ["1", "2"]
    start(tmp_path, 2, max_to_keep=1)
    assert models(tmp_path) == ["2"]


def test_a_fit_that_restored_nothing_replaces_with_a_warning(tmp_path: Path) -> None:
    """It names the run, its date and the line that restores; retention deletes nothing of the other run."""
    start(tmp_path, 3)
    with pytest.warns(UserWarning, match=r"; of run [0-9a-f]{8}, saved 20.* UTC\).*restore_callbacks\("):
        play([saver(tmp_path, max_to_keep=1)], 2)
    assert models(tmp_path) == ["2", "3"]


@pytest.mark.parametrize("name", ["last.weights.h5", "{epoch}.weights.h5"])
def test_a_run_that_was_restored_replaces_no_other_run(tmp_path: Path, name: str) -> None:
    """With a fixed name it fails at the start, else at that save; no file of the other run has changed."""
    start(tmp_path / "a", 1, name=name)
    start(tmp_path / "b", 2, name=name)
    before = content(tmp_path / "b")
    made = [saver(tmp_path / "b", name)]
    model = tiny_model()
    restore_callbacks(tmp_path / "a", into=made, model=model)
    with pytest.raises(
        OverwriteError, match=r"of run \w{8}, which was restored, found one of run \w{8}, saved 20"
    ):
        play(made, 3, first=1, model=model)
    made[0].use(None)
    assert content(tmp_path / "b") == before | {n: d for n, d in content(tmp_path / "b").items() if "lock" in n}


def test_with_a_fixed_name_it_fails_before_it_trains(tmp_path: Path) -> None:
    """Also where the name is new, so that nothing is due under it."""
    start(tmp_path / "a", 1)
    start(tmp_path / "b", 2, name="last.weights.h5")
    made, model, trained = [saver(tmp_path / "b", "last.weights.h5")], tiny_model(), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        restore_callbacks(tmp_path / "a" / "1.weights.h5", into=made, model=model)
    begins = Strike("epoch_begin", act=lambda model: trained.append(1))
    with pytest.raises(OverwriteError, match=r"of run \w{8}, which was restored, found one of run \w{8}"):
        play([*made, begins], 3, first=1, model=model)
    made[0].use(None)
    assert trained == []


def test_two_callbacks_with_one_name_are_refused(tmp_path: Path) -> None:
    """At the start of the fit, before anything is written: the same name, or a name that the other can give."""
    pairs: list[Any] = [
        (saver(tmp_path), saver(tmp_path)),
        (saver(tmp_path), saver(tmp_path, "7.weights.h5")),
        (saver(tmp_path, save_every=9), saver(tmp_path, "epoch.weights.h5", save_every=9)),
    ]
    for pair in pairs:
        with pytest.raises(CallbackStateError, match=r"found two in one fit that write .*another filepath"):
            play([*pair], 1)
    play([saver(tmp_path), saver(tmp_path, "epoch.weights.h5"), saver(tmp_path / "other")], 1)
    assert models(tmp_path) == ["1", "epoch"]


@pytest.mark.parametrize(
    ("one", "other", "epochs"),
    [("{epoch}", "{epoch:d}", 1), ("{epoch}", "{epoch:02d}", 10), ("{epoch}-{loss}", "{epoch}-{loss!r}", 1)],
)
def test_placeholders_that_give_one_name_are_refused(tmp_path: Path, one: str, other: str, epochs: int) -> None:
    """Also where they do so only in a late epoch of the run: one epoch less is let through."""
    pair = [saver(tmp_path, f"{name}.weights.h5") for name in (one, other)]
    if epochs > 1:
        begin(pair, epochs - 1)
    with pytest.raises(CallbackStateError, match=r"found two in one fit that write .*another filepath"):
        begin(pair, epochs)


def begin(callbacks: list[Any], epochs: int) -> None:
    """Only begin a fit, of which ``callbacks`` hear nothing more."""
    called = keras.callbacks.CallbackList(callbacks, model=tiny_model(), epochs=epochs, steps=1)
    called.on_train_begin()
    callbacks[0].model.stop_training = True
    called.on_train_end()


@pytest.mark.parametrize(
    ("one", "other"), [("{epoch}-{loss:.2f}", "{epoch}-{loss:.3f}"), ("{epoch}-{loss}", "{epoch}-{val_loss}")]
)
def test_names_that_differ_are_let_through(tmp_path: Path, one: str, other: str) -> None:
    """Two numbers of one epoch may be equal, but seldom are."""
    begin([saver(tmp_path, f"{name}.weights.h5") for name in (one, other)], 10**6)


def test_a_name_of_a_stock_checkpoint_is_refused(tmp_path: Path) -> None:
    """Keras would replace the model file of a pair, and nobody could restore the pair."""
    stock = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    with pytest.raises(CallbackStateError, match=r"found two in one fit that write .*another filepath"):
        begin([stock, saver(tmp_path)], 1)
    begin([stock, saver(tmp_path, "mine-{epoch}.weights.h5")], 1)


def test_a_directory_that_keras_deletes_is_refused(tmp_path: Path) -> None:
    """BackupAndRestore would take all checkpoints with it when training ends well."""
    backup = keras.callbacks.BackupAndRestore(tmp_path / "a")
    for directory in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(CallbackStateError, match="outside the directory of BackupAndRestore"):
            begin([saver(directory), backup], 1)
    begin([saver(tmp_path / "ab"), backup], 1)
    begin([saver(tmp_path / "a"), keras.callbacks.BackupAndRestore(tmp_path / "a", delete_checkpoint=False)], 1)


def test_names_of_an_older_template_are_forgotten_with_a_warning(tmp_path: Path) -> None:
    """They are not deleted any more."""
    start(tmp_path, 2, max_to_keep=2)
    model = tiny_model()
    made = [saver(tmp_path, "new-{epoch}.weights.h5", max_to_keep=1)]
    with pytest.warns(UserWarning, match=r"2 checkpoints named '\{epoch\}.weights.h5' .* not deleted any more"):
        restore_callbacks(tmp_path / "2.weights.h5", into=made, model=model)
    play(made, 4, first=2, model=model)
    assert models(tmp_path) == ["1", "2", "new-4"]


def test_nothing_is_known_of_another_run() -> None:
    """The digests go with the identity."""
    own = Own("a" * 32, {"1.keras": "0" * 64}, left={"1.keras": (1, 2)})
    assert own.of("a" * 32, is_resumed=False) is own
    assert own.of("b" * 32, is_resumed=True) == Own("b" * 32, is_resumed=True)
    assert len(Own().of(None, is_resumed=False).run) == 32
    assert own.only(["2.keras"]) == Own("a" * 32)


def test_the_digest_of_another_save_is_not_taken(tmp_path: Path) -> None:
    """The state cannot say the digest of its own save; only the file of that run and time may."""
    start(tmp_path, 1)
    path, stamp = (
        str(tmp_path / "1.weights.h5"),
        glance([str(tmp_path / f"1.weights.h5{SUFFIX}")]).summary.saved_at,
    )
    own = Own(run_of(tmp_path, "1"))
    assert own.completed("1.weights.h5", path, stamp + 1) is own
    assert Own("b" * 32).completed("1.weights.h5", path, stamp).digests == {}
    assert [*own.completed("1.weights.h5", path, stamp).digests] == ["1.weights.h5"]


def test_a_link_in_the_place_of_a_name_is_not_written_through(tmp_path: Path) -> None:
    """That save fails and says so; training goes on. A script that gives the link itself as its path means it."""
    precious = tmp_path / "precious.txt"
    precious.write_text("precious")
    (tmp_path / "ckpt").mkdir()
    (tmp_path / "ckpt" / "2.weights.h5").symlink_to(precious)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        play([saver(tmp_path / "ckpt")], 3)
        (tmp_path / "mine.weights.h5").symlink_to(tmp_path / "ckpt" / "real.weights.h5")
        play([saver(tmp_path, "mine.weights.h5")], 2)
    (said,) = [str(w.message) for w in caught if "not saved" in str(w.message)]
    assert "2.weights.h5: not saved " in said and f"found a link to {precious}" in said
    assert precious.read_text() == "precious" and models(tmp_path / "ckpt") == ["1", "2", "3", "real"]
    assert (tmp_path / "mine.weights.h5").is_symlink() and (tmp_path / f"ckpt/real.weights.h5{SUFFIX}").exists()


def test_a_fit_that_begins_again_says_that_it_writes_over_its_own_checkpoints(tmp_path: Path) -> None:
    """Without a restore, in one process: one warning. A fit that goes on with the next epoch gets none."""
    checkpoint, model = saver(tmp_path), tiny_model()
    x = np.ones((2, 1), "float32")
    model.fit(x, x, epochs=1, verbose=0, callbacks=[checkpoint])
    model.fit(x, x, epochs=2, initial_epoch=1, verbose=0, callbacks=[checkpoint])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, x, epochs=2, initial_epoch=1, verbose=0, callbacks=[checkpoint])
    (said,) = told(caught)
    assert "begins with epoch 2 again" in said and "write over" in said and "restore_callbacks(" in said


def test_a_relative_path_that_means_another_directory_now_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, with both directories and the line to write."""
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "before")
    checkpoint = saver(Path("ckpt"))
    absolute = saver(tmp_path / "other")
    monkeypatch.chdir(tmp_path / "after")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        play([checkpoint, absolute], 2)
        play([checkpoint], 3, first=2)
    (said,) = told(caught)
    assert f"was {tmp_path}/before when" in said and f"is {tmp_path}/after now" in said and "abspath(" in said
    assert models(tmp_path / "after" / "ckpt") == ["1", "2", "3"]
