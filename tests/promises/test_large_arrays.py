"""Large arrays of callbacks, in whole runs: exact, written once, and missed where they are missing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
import weakref
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from places import ENVIRONMENT, KIT
from play import play, saver, start, tiny_model
from programs import Program
from states import contents

from callback_state import (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    cli,
    list_checkpoints,
    restore_callbacks,
    stateful,
)
from callback_state._callbacks.taken import take
from callback_state._checkpoints.directory import files_of, look
from callback_state._checkpoints.snapshot import Snapshot
from callback_state._format.room import Room
from callback_state._format.statefile import unseal
from callback_state._saving import save
from callback_state._saving.ledger import Ledger
from callback_state._saving.rescue import Copy

STATE = ".callbacks.pkl"


@stateful
class Average(keras.callbacks.Callback):
    """Changes a large array in place at each end of an epoch, and keeps another as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.value = np.zeros((600, 500), "f4")
        self.start = np.arange(300_000, dtype="f4").reshape(600, 500).T

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.value += epoch + 1


@stateful
class Best(keras.callbacks.Callback):
    """Holds the weights of the first epoch."""

    best: Any = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.best is None:
            self.best = np.full(300_000, 1.5)


def arrays_of(model: Path) -> list[Path]:
    return sorted(model.parent.glob(f"{model.name}.callbacks.*.arrays"))


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A directory with three checkpoints."""
    start(tmp_path / "ckpt", 3, Average(), Best())
    return tmp_path / "ckpt"


def restored_from(path: Path, *, strict: bool = True, **options: Any) -> tuple[Any, Average, Best]:
    average, best = Average(), Best()
    average.start = np.zeros(3)
    found = restore_callbacks(
        path, into=[saver(path.parent, **options), average, best], model=tiny_model(), strict=strict
    )
    return found, average, best


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_best_weights_of_a_killed_run_are_resumed_and_written_once(tmp_path: Path) -> None:
    """``EarlyStopping(restore_best_weights=True)`` ends as if SIGKILL had not come, byte for byte; the epochs that
    are not better add less than 50 kB beside their model files."""

    def result(name: str, **strike: Any) -> Any:
        done = Program(str(KIT / "process_arrays.py"), str(tmp_path), [name], **strike).run()
        _, _, found = done.out.partition("RESULT")
        return done.status, json.loads(found) if found else done.err if done.status == 1 else None

    status, whole = result("whole")
    assert status == 0 and whole["best"][2:] == [0, 4], whole
    assert result("struck", struck_at=(3, 1)) == (-signal.SIGKILL, None)
    assert result("struck") == (0, whole)
    assert sorted(os.listdir(tmp_path / "struck")) == sorted(os.listdir(tmp_path / "whole"))
    for directory in (tmp_path / "whole", tmp_path / "struck"):
        numbers = [[path.stat().st_ino for path in arrays_of(directory / f"{n}.weights.h5")] for n in range(1, 6)]
        assert numbers == [numbers[0]] * 5 and len(numbers[0]) == 1
        assert all(path.stat().st_size < 50_000 for path in directory.glob(f"*{STATE}"))


def test_a_callback_that_changes_does_not_make_the_arrays_of_another_be_written(trained: Path) -> None:
    """Each callback has a file of its own: one is another in each epoch, one the same."""
    files = [arrays_of(trained / f"{n}.weights.h5") for n in (2, 3)]
    assert [len(of_one) for of_one in files] == [2, 2]
    second, third = ({path.stat().st_ino for path in of_one} for of_one in files)
    assert len(second & third) == 1


@pytest.mark.parametrize("beside", [False, True], ids=["at once", "beside training"])
def test_each_checkpoint_has_the_arrays_of_its_moment(tmp_path: Path, beside: bool) -> None:
    """Although the callback changes them in place; and an array is restored in its order, to be changed again."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*this save was still being written", UserWarning)
        start(tmp_path, 4, Average(), Best(), save_on_background=beside)
    for epoch in (1, 2, 3):
        _, average, best = restored_from(tmp_path / f"{epoch}.weights.h5", save_on_background=beside)
        assert (average.value == sum(range(epoch + 1))).all() and average.value.flags.owndata
        assert (average.start == Average().start).all() and average.start.flags.f_contiguous
        assert (best.best == 1.5).all()
        average.value += 1


def test_cp_takes_a_whole_checkpoint_along(trained: Path, tmp_path: Path) -> None:
    """Everything of it begins with the name of its model file."""
    (tmp_path / "copy").mkdir()
    for path in trained.glob("2.weights.h5*"):
        shutil.copy(path, tmp_path / "copy")
    shutil.rmtree(trained)
    found, average, _ = restored_from(tmp_path / "copy" / "2.weights.h5")
    assert found.epoch == 1 and (average.value == 3).all()


def test_a_moved_directory_goes_on(trained: Path, tmp_path: Path) -> None:
    """With the arrays that it has, to which the next checkpoints link."""
    shutil.move(trained, tmp_path / "moved")
    start(tmp_path / "moved", 5, Average(), best := Best())
    assert (best.best == 1.5).all()
    numbers = [{p.stat().st_ino for p in arrays_of(tmp_path / "moved" / f"{n}.weights.h5")} for n in (1, 5)]
    assert len(numbers[0] & numbers[1]) == 1


def test_missing_arrays_are_named(trained: Path) -> None:
    """With the path of the file, and the checkpoint that is whole; also where there may be no checkpoint."""
    gone = arrays_of(trained / "2.weights.h5")[0]
    gone.unlink()
    for missing_ok in (False, True):
        with pytest.raises(CheckpointNotFoundError) as caught:
            restore_callbacks(trained / "2.weights.h5", into=[Average(), Best()], missing_ok=missing_ok)
        assert caught.value.path == str(gone) and "The newest whole checkpoint there is" in str(caught.value)


def test_damaged_arrays_are_told_and_an_older_checkpoint_is_taken(trained: Path, capsys: Any) -> None:
    """By ``restore_callbacks`` with a warning, by ``verify`` with a verdict, by a listing if the size shows it."""
    newest = list_checkpoints(trained)[-1].path
    (damaged,) = [path for path in arrays_of(Path(newest)) if path.stat().st_nlink == 1]
    damaged.write_bytes(b"\1" + damaged.read_bytes()[1:])
    with pytest.warns(UserWarning, match=f"left aside: .*{damaged.name}: does not have the SHA-256"):
        found, _, _ = restored_from(trained)
    assert found.model_path != newest
    assert cli.main(["verify", str(trained)]) != 0 and "DAMAGED" in capsys.readouterr().out
    with open(damaged, "r+b") as file:
        file.truncate(5)
    with pytest.warns(UserWarning, match=f"{damaged.name}: expected 2400000 bytes of arrays.*found 5"):
        assert len(list_checkpoints(trained, verify=False)) == 2


def test_arrays_are_looked_for_before_memory_is_taken(trained: Path) -> None:
    """Also where a state file is read by itself, and its model is not verified."""
    state = str(trained / f"2.weights.h5{STATE}")
    sealed = unseal(Path(state).read_bytes(), state)
    assert Snapshot.read(state, sealed).meta.epoch == 1
    arrays_of(trained / "2.weights.h5")[0].write_bytes(b"short")
    with pytest.raises(CorruptCheckpointError, match="of arrays, as the state file says, found 5"):
        Snapshot.read(state, sealed)


def test_a_listing_counts_the_arrays(trained: Path) -> None:
    """As a part of each checkpoint that has them."""
    size = sum(path.stat().st_size for path in trained.glob("2.weights.h5*"))
    (listed,) = [look(*found) for found in files_of(str(trained / "2.weights.h5"))]
    assert listed is not None and listed.size == size


@stateful
class Ends(keras.callbacks.Callback):
    """Changes its array at the end of training, perhaps."""

    def __init__(self, change: int) -> None:
        super().__init__()
        self.change, self.table = change, np.zeros(300_000)

    def on_train_end(self, logs: Any = None) -> None:
        self.table[5] += self.change


@pytest.mark.parametrize("period", [1, 3], ids=["last epoch saved", "last epoch not saved"])
def test_an_array_that_the_end_changes_gets_a_checkpoint_of_its_own(tmp_path: Path, period: int) -> None:
    """It is in no other checkpoint. Where nothing changes, the checkpoint of the last epoch is marked."""
    for change in (0, 1):
        start(tmp_path / f"{change}", 2, Ends(change), period=period)
        last = list_checkpoints(tmp_path / f"{change}")[-1]
        assert last.finished and (".final." in last.path) == (change == 1 or period == 3)
        found = Snapshot.open(last.path).meta
        assert found.exact_end == (change == 0)


def test_a_save_beside_training_has_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread begins to write when the next epoch has changed the array."""
    run = save.Save.run
    changed = threading.Event()

    def late(self: Any) -> None:
        assert changed.wait(60)
        run(self)

    class Waits(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                changed.set()

    monkeypatch.setattr(save.Save, "run", late)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*this save was still being written", UserWarning)
        play([Average(), Waits(), saver(tmp_path, save_on_background=True)], 2)
    _, average, _ = restored_from(tmp_path / "1.weights.h5", strict=False, save_on_background=True)
    assert (average.value == 1).all()


@stateful
class Drops(keras.callbacks.Callback):
    """Lets go of its array after the first save, and looks whether somebody else holds it."""

    table: Any = None
    is_freed = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            seen, self.table = weakref.ref(self.table), None
            self.is_freed = seen() is None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.table = np.zeros(300_000)


def test_a_save_holds_no_array_when_it_has_ended(tmp_path: Path) -> None:
    """Of what the next moment is compared with, there are digests only."""
    drops = Drops()
    play([drops, saver(tmp_path)], 2)
    assert drops.is_freed


@pytest.mark.filterwarnings("ignore:.*this save was still being written:UserWarning")
def test_copies_serve_the_next_save(tmp_path: Path, monkeypatch: Any) -> None:
    """Beside training each of the two arrays needs memory for one copy, however many saves there are."""
    copies: list[Any] = []
    copy = Room.copy
    monkeypatch.setattr(Room, "copy", lambda room, array: (copies.append(copy(room, array)), copies[-1])[1])
    play([Average(), saver(tmp_path, save_on_background=True)], 3)
    assert len(copies) == 6 and len({copied.ctypes.data for copied in copies}) == 2


def test_a_rescue_has_the_arrays_of_its_moment() -> None:
    """It is written when an exception has come, and training has gone on since."""
    average = Average()
    taken = take([average], tiny_model(), *contents())
    Copy(taken, Ledger("m.keras"), tiny_model())
    average.value += 1
    assert taken.arrays.entries()[0].digest == hashlib.sha256(bytes(average.value.nbytes)).digest()


def test_prune_says_what_it_frees(trained: Path, capsys: Any) -> None:
    """Arrays that the kept checkpoint shares stay on the disk."""
    gone = [path for path in trained.iterdir() if path.name.startswith(("1.", "2.")) and path.stat().st_nlink == 1]
    freed = sum(path.stat().st_size for path in gone)
    assert cli.main(["prune", str(trained), "--keep", "1"]) == 0
    said = capsys.readouterr().err
    assert f"deleted 2 of 3 checkpoints, {freed / 1e6:.2f} MB" in said
    assert restored_from(trained / "3.weights.h5")[0].epoch == 2


def test_repair_removes_the_arrays_of_an_interrupted_deletion(trained: Path, capsys: Any) -> None:
    """It names them; what a checkpoint needs stays."""
    for ending in ("", STATE):
        (trained / f"1.weights.h5{ending}").unlink()
    left = [path.name for path in arrays_of(trained / "1.weights.h5")]
    assert cli.main(["verify", str(trained)]) == 0 and left[0] in capsys.readouterr().err
    assert cli.main(["repair", str(trained)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"removed   {name}" for name in left]
    assert len(list_checkpoints(trained)) == 2


MEASURED = """
    import resource, sys
    from pathlib import Path
    import keras, numpy as np
    from play import play, saver, tiny_model
    from callback_state import restore_callbacks, stateful

    @stateful
    class Big(keras.callbacks.Callback):
        def __init__(self, table):
            super().__init__()
            self.table = None
            if table:
                self.table = np.random.default_rng(0).normal(size=25_000_000)

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    directory = Path(sys.argv[1])
    play([saver(directory / "before")], 1)
    restore_callbacks(directory / "before", into=[saver(directory / "before")], model=tiny_model())
    if sys.argv[2] == "save":
        big = Big(True)
        before = peak()
        play([saver(directory / "ckpt", save_on_background=sys.argv[3] == "beside"), big], 2)
    else:
        big = Big(False)
        before = peak()
        restore_callbacks(directory / "ckpt", into=[saver(directory / "ckpt"), big], model=tiny_model())
    print((peak() - before) / big.table.nbytes)
"""


@pytest.mark.heavy
@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell the peak")
@pytest.mark.parametrize("how", ["at once", "beside"])
def test_memory_for_an_array_of_200_megabytes(tmp_path: Path, how: str) -> None:
    """A save takes none more, beside training one more array, and a restore the array itself."""
    found = []
    for act in ("save", "restore"):
        command = [sys.executable, "-c", textwrap.dedent(MEASURED), str(tmp_path), act, how]
        environment = {**ENVIRONMENT, "PYTHONPATH": str(KIT)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        found.append(float(done.stdout.splitlines()[-1]))
    assert found[0] <= (0.1 if how == "at once" else 1.1) and found[1] <= 1.1
