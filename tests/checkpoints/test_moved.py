"""A directory of checkpoints can be moved or copied: no file in it knows where it is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import keras
import pytest
from harness import Batches, PerBatch, X, Y, make_model
from kept import kept

from callback_state import ModelCheckpointEnhanced, list_checkpoints, restore_callbacks
from callback_state._store.lock import NAME
from callback_state._store.pair import SUFFIX

FIT: dict[str, Any] = {"x": X, "y": Y, "batch_size": 16, "verbose": 0, "shuffle": False}


def logging_callbacks(where: str) -> list[Any]:
    """Those that write files or are told of some, with paths as the user gives them."""
    stock = keras.callbacks
    return [
        PerBatch(0.02),
        Batches(),
        stock.EarlyStopping("loss", patience=9),
        stock.CSVLogger(os.path.join(where, "log.csv")),
        stock.TensorBoard(os.path.join(where, "board")),
        stock.BackupAndRestore(os.path.join(where, "backup")),
        stock.ModelCheckpoint(os.path.join(where, "stock.keras"), monitor="loss", save_best_only=True),
    ]


def files_with(text: str, directory: Path) -> list[str]:
    """The files that hold a text, in their bytes or in their names, in any of three encodings."""
    patterns = [text.encode(code) for code in ("utf-8", "utf-16-le", "utf-32-le")]
    return [
        str(path.relative_to(directory))
        for path in sorted(directory.rglob("*"))
        if path.is_file() and any(p in path.read_bytes() or p in os.fsencode(path.name) for p in patterns)
    ]


@pytest.mark.parametrize(
    ("ending", "absolute"),
    [(".keras", True), (".weights.h5", False), (".h5", True)],
    ids=["keras", "weights", "h5"],
)
def test_no_file_knows_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, absolute: bool
) -> None:
    """At the end of epochs, inside them, at the end of the run; with the template given in either way."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "deep" / "ckpt" if absolute else Path("deep", "ckpt")
    templates = ("{epoch:03d}", "{epoch:03d}-{batch:03d}")
    weights_only = ending == ".weights.h5"
    savers = [
        ModelCheckpointEnhanced(root / f"{name}{ending}", save_weights_only=weights_only, save_freq=often)
        for name, often in zip(templates, ("epoch", 3), strict=True)
    ]
    seen: list[str] = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.extend(files_with(str(tmp_path), tmp_path / "deep" / "ckpt"))

    kept(make_model).fit(**FIT, epochs=2, callbacks=[*logging_callbacks("logs"), *savers, Look()])
    names = sorted(path.name for path in (tmp_path / "deep" / "ckpt").iterdir() if path.name != NAME)
    assert len(names) >= 8 and any("-" in name for name in names)
    assert files_with("PerBatch", tmp_path / "deep" / "ckpt") == sorted(n for n in names if n.endswith(SUFFIX))
    assert (seen, files_with(str(tmp_path), tmp_path / "deep" / "ckpt")) == ([], [])


def test_a_path_that_the_user_gave_is_kept_as_he_gave_it(tmp_path: Path) -> None:
    """It is an argument of his callback; ours are not among the files that hold it."""
    (tmp_path / "logs").mkdir()
    callbacks = logging_callbacks(str(tmp_path / "logs"))
    saver = ModelCheckpointEnhanced(tmp_path / "ckpt" / "{epoch}.keras")
    kept(make_model).fit(**FIT, epochs=1, callbacks=[*callbacks, saver])
    state = (tmp_path / "ckpt" / f"1.keras{SUFFIX}").read_bytes()
    assert str(tmp_path / "logs" / "log.csv").encode() in state
    assert str(tmp_path / "ckpt").encode() not in state


def test_a_copy_on_another_machine_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied while the run holds it, the original gone: it restores, and the run saves where it is now."""
    monkeypatch.chdir(tmp_path)
    made: list[Path] = []

    class Copy(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                made.append(Path(shutil.copytree("here", "there")))

    kept(make_model).fit(
        **FIT, epochs=3, callbacks=[PerBatch(0.02), ModelCheckpointEnhanced("here/{epoch}.keras"), Copy()]
    )
    shutil.rmtree("here")
    assert made == [Path("there")]
    callbacks, model = [PerBatch(0.02), ModelCheckpointEnhanced("there/{epoch}.keras")], kept(make_model)
    restored = restore_callbacks("there", into=callbacks, model=model)
    assert restored.initial_epoch == 2
    model.fit(**FIT, epochs=4, initial_epoch=restored.initial_epoch, callbacks=callbacks)
    assert [c.epoch for c in list_checkpoints("there")] == [0, 1, 2, 3]
    assert not Path("here").exists() and NAME not in os.listdir("there")
