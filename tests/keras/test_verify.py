"""A failed write is never committed: what is damaged is refused, what is sound passes, writes fail for real."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import h5py
import keras
import numpy as np
import pytest
from faults import META, compiled, compiler, model
from harness import Killed, Strike, X, Y, make_model
from keras_models import MODELS, OPTIMIZERS, by_turns, sequential, stepped
from places import KIT, ROOT

import callback_state
from callback_state import ModelCheckpointEnhanced, WriteError
from callback_state._keras import model_file
from callback_state._keras import verify as _verify
from callback_state._keras.save_log import SaveLog
from callback_state._keras.weights import digest_of
from callback_state._store import pair

FORMATS = (".keras", ".weights.h5", ".h5")
ENDINGS = (*FORMATS, ".disk.keras")
WEIGHTS = "model.weights.h5"


@pytest.fixture(autouse=True)
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """``.disk.keras``: Keras finds the model too large for the memory and writes weights to disk first."""
    if ".disk.keras" in getattr(getattr(request.node, "callspec", None), "params", {}).values():
        monkeypatch.setattr(keras.src.saving.saving_lib, "is_memory_sufficient", lambda model: False)


#: What Keras told its store, by the file that it wrote.
RECORDS: dict[Path, SaveLog] = {}


def write(saved: Any, path: Path) -> None:
    record = RECORDS[path] = SaveLog()
    weights_only = path.name.endswith(".weights.h5")
    model_file.write(saved, str(path), weights_only=weights_only, meta=META, record=record)


def verify(saved: Any, path: Path, meta: dict[str, Any] = META) -> None:
    """With what was recorded and without, which must come to the same."""
    errors: list[WriteError | None] = []
    for record in (RECORDS.get(path), None):
        try:
            _verify.verify(
                saved, str(path), weights_only=path.name.endswith(".weights.h5"), meta=meta, record=record
            )
            errors.append(None)
        except WriteError as error:
            errors.append(error)
    assert repr(errors[0]) == repr(errors[1])
    if errors[0] is not None:
        raise errors[0]


@pytest.fixture(scope="module")
def small() -> Any:
    return model(2)


# Damage.

Change = Callable[[Any], object]


def alter(path: Path, change: Change) -> None:
    """Change the HDF5 of a file of any format; the archive around it is sound."""
    if path.name.endswith(".h5"):
        with h5py.File(path, "r+") as file:
            change(file)
        return
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    image = io.BytesIO(entries[WEIGHTS])
    with h5py.File(image, "r+") as file:
        change(file)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**entries, WEIGHTS: image.getvalue()}.items():
            archive.writestr(name, content)


def parts(path: Path, kind: type = h5py.Dataset) -> list[str]:
    """The names of the data sets (or groups) in a file of any format that are not empty."""
    found: list[str] = []

    def note(name: str, item: Any) -> None:
        if isinstance(item, kind) and getattr(item, "size", 1):
            found.append(name)

    alter(path, lambda file: file.visititems(note))
    return found


def other_byte(dataset: Any) -> None:
    """Change the last byte of a data set."""
    value = np.atleast_1d(np.asarray(dataset[()])).copy()
    value.view("u1").reshape(-1)[-1] ^= 1
    dataset[...] = value.reshape(dataset.shape)


def other_shape(file: Any, name: str) -> None:
    value = file[name][()]
    del file[name]
    file[name] = value.reshape(*value.shape, 1)


def other_type(file: Any, name: str) -> None:
    value = np.asarray(file[name][()])
    del file[name]
    file[name] = value.view(f"V{value.itemsize}")


def link(file: Any, name: str) -> None:
    file.move(name, "elsewhere")
    file[name] = h5py.SoftLink("/elsewhere")


def group(file: Any, name: str) -> None:
    del file[name]
    file.create_group(name)


EACH: dict[str, Callable[[Any, str], object]] = {
    "a changed byte": lambda file, name: other_byte(file[name]),
    "missing": lambda file, name: file.__delitem__(name),
    "another shape": other_shape,
    "another type": other_type,
    "a link": link,
    "a group": group,
}


@pytest.mark.parametrize(("damage", "ending"), by_turns(EACH, FORMATS))
def test_damage_to_a_data_set_is_refused(tmp_path: Path, small: Any, damage: str, ending: str) -> None:
    """A weight, a slot of the optimizer or its rate, changed in any of these ways, is named in the error."""
    path = tmp_path / f"m{ending}"
    write(small, path)
    sound, names = path.read_bytes(), parts(path)
    assert len(names) >= 8 + 12 + 2  # the model's, two slots of Adam, its steps and rate
    for name in (names[0], names[len(names) // 2], names[-1]):
        alter(path, lambda file, name=name: EACH[damage](file, name))
        with pytest.raises(WriteError, match=rf"(?s)m{ending}: .*{name}: expected .*, found .*disk full"):
            verify(small, path)
        path.write_bytes(sound)
    verify(small, path)


@pytest.mark.parametrize("ending", FORMATS)
def test_what_was_not_meant_is_refused(tmp_path: Path, small: Any, ending: str) -> None:
    """A data set, a group or a link too many, in the file itself and in a group far inside."""
    path = tmp_path / f"m{ending}"
    write(small, path)
    sound, groups = path.read_bytes(), ["/", *parts(path, h5py.Group)]
    for where in (groups[0], groups[-1]):
        for add in ("create_group", "link", "data"):

            def more(file: Any, where: str = where, add: str = add) -> None:
                if add == "create_group":
                    file[where].create_group("more")
                else:
                    file[where]["more"] = h5py.SoftLink("/nowhere") if add == "link" else 1.0

            alter(path, more)
            with pytest.raises(WriteError, match=r"more: expected no.*, found (it|one)"):
                verify(small, path)
            path.write_bytes(sound)
    assert len(groups) > 4


@pytest.mark.parametrize("ending", [".h5", pytest.param(".keras", marks=pytest.mark.heavy)])
def test_every_attribute_counts(tmp_path: Path, small: Any, ending: str) -> None:
    """Names of layers and variables, configurations and arguments of the training stand in attributes."""
    path = tmp_path / f"m{ending}"
    write(small, path)
    sound, groups, count = path.read_bytes(), ["/", *parts(path, h5py.Group)], 0
    for where in groups:
        names: list[str] = []
        alter(path, lambda file, where=where, names=names: names.extend(file[where].attrs))
        for name in names:
            count += 1
            alter(path, lambda file, where=where, name=name: file[where].attrs.__setitem__(name, "another"))
            with pytest.raises(WriteError, match=rf"attribute {name}\): expected .*, found .*another"):
                verify(small, path)
            path.write_bytes(sound)
    assert count >= 4


@pytest.mark.parametrize("ending", FORMATS)
def test_a_truncated_file_is_refused(tmp_path: Path, small: Any, ending: str) -> None:
    """Whatever is missing at the end, one byte or everything."""
    path = tmp_path / f"m{ending}"
    write(small, path)
    sound = path.read_bytes()
    for size in [*range(0, len(sound), 997), len(sound) - 1]:
        path.write_bytes(sound[:size])
        with pytest.raises(WriteError, match="found what cannot be read"):
            verify(small, path)


def test_the_archive_counts(tmp_path: Path, small: Any) -> None:
    """In a ``.keras`` file also the other entries: each is there and has its checksum."""
    path = tmp_path / "m.keras"
    write(small, path)
    sound = path.read_bytes()
    for inside in (b'"Sequential"', b'"keras_version"', b"PK\3\4", b"PK\1\2", b"PK\5\6"):
        at = sound.index(inside) + 1
        path.write_bytes(sound[:at] + b"#" + sound[at + 1 :])
        with pytest.raises(WriteError, match="expected a zip archive with Keras's entries"):
            verify(small, path)
    with zipfile.ZipFile(io.BytesIO(sound)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    for missing in entries:
        with zipfile.ZipFile(path, "w") as archive:
            for name in entries.keys() - {missing}:
                archive.writestr(name, entries[name])
        with pytest.raises(WriteError, match=missing):
            verify(small, path)


@pytest.mark.parametrize("ending", [".weights.h5", ".h5"])
def test_the_group_meta_counts(tmp_path: Path, small: Any, ending: str) -> None:
    """Text, numbers and lists of other lengths in ``meta`` are compared too."""
    path = tmp_path / f"m{ending}"
    meta: dict[str, Any] = {"epochs": [0], "loss": [float("nan")], "text": ["a"], "training_args": {"a": 1}}
    model_file.write(small, str(path), weights_only=ending == ".weights.h5", meta=meta)
    verify(small, path, meta)
    others = {"epochs": [1], "loss": [0.0], "text": ["b"], "training_args": {"a": 2}, "more": [1]}
    for name, value in others.items():
        with pytest.raises(WriteError, match=name):
            verify(small, path, {**meta, name: value})


def test_numbers_are_their_bytes(tmp_path: Path) -> None:
    """NaN is NaN of the same bits, 0.0 is not -0.0; the error says which number of which variable."""
    path, saved = tmp_path / "m.weights.h5", model(2)
    kernel = saved.layers[0].kernel
    value = np.zeros(kernel.shape, "f4")
    value[2, 3] = np.nan
    kernel.assign(value)
    write(saved, path)
    verify(saved, path)
    value.view("u4")[2, 3] ^= 1
    kernel.assign(value)
    with pytest.raises(WriteError, match=r"layers/dense/vars/0.*\[2, 3\] nan \(0000c07f\) for nan \(0100c07f\)"):
        verify(saved, path)
    value.view("u4")[2, 3] ^= 1
    value[0, 1] = -0.0
    kernel.assign(value)
    with pytest.raises(WriteError, match=r"at \[0, 1\] 0.0 \(00000000\) for -0.0 \(00000080\)"):
        verify(saved, path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_large_variable_is_compared_to_its_end(tmp_path: Path, ending: str) -> None:
    """Also where it is read in many pieces."""
    path = tmp_path / f"m{ending}"
    saved = keras.Sequential([keras.Input((600,)), keras.layers.Dense(1001)])
    write(saved, path)
    verify(saved, path)
    for at in ((0, 0), (300, 77), (599, 1000)):
        value = saved.layers[0].kernel.numpy()
        before = value[at]
        value[at] += 1
        saved.layers[0].kernel.assign(value)
        with pytest.raises(WriteError, match=rf"at \[{at[0]}, {at[1]}\] "):
            verify(saved, path)
        value[at] = before
        saved.layers[0].kernel.assign(value)


# What is sound passes.


@keras.saving.register_keras_serializable("test_verify")
class Own(keras.layers.Layer):
    """Saves more than its variables, and looks at what it has saved."""

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(), initializer="ones")
        self.nothing = self.add_weight(shape=(0, 3))

    def call(self, x: Any) -> Any:
        return x * self.scale

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        store["table"] = np.arange(6, dtype=">i2").reshape(2, 3).T
        store["number"] = 0.1
        store["tensor"] = keras.ops.ones((2,))
        store["truth"] = np.array([True, False])
        store[f"after {len(store.keys())}"] = store["table"]

    def load_own_variables(self, store: Any) -> None:
        self.scale.assign(store["0"])


@keras.saving.register_keras_serializable("test_verify")
class Changing(Own):
    """Saves something else every time."""

    def save_own_variables(self, store: Any) -> None:
        store["0"] = self.scale
        store["time"] = np.float64(time.perf_counter())


@keras.saving.register_keras_serializable("test_verify")
class Containers(keras.Model):
    """Layers in lists, dicts and lists of lists."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.blocks = [keras.layers.Dense(3), [keras.layers.Dense(3)]]
        self.heads = {"a": keras.layers.Dense(1), "b": keras.layers.Dense(2)}

    def call(self, x: Any) -> Any:
        x = self.blocks[1][0](self.blocks[0](x))
        return {name: head(x) for name, head in self.heads.items()}


def containers() -> Any:
    made = Containers()
    made(X[:1])
    return made


def shared() -> Any:
    inputs, layer = keras.Input((6,)), keras.layers.Dense(6)
    return keras.Model(inputs, layer(layer(inputs)))


def words() -> Any:
    layers = keras.layers
    text = keras.Input((), dtype="string")
    number = keras.Input((2,))
    lookup, vectors, normal = layers.StringLookup(), layers.TextVectorization(output_mode="tf_idf"), None
    lookup.adapt(["a", "b"])
    vectors.adapt(["a b", "c"])
    normal = layers.Normalization()
    normal.adapt(np.array([[1.0, 2.0], [3.0, 5.0]]))
    embedded = layers.Embedding(4, 2)(lookup(text))
    return keras.Model([text, number], layers.Concatenate()([embedded, vectors(text), normal(number)]))


def quantised() -> Any:
    made = sequential()
    made.quantize("int8")
    return made


def trained() -> Any:
    made = make_model()
    made.compile("adam", "mse", metrics=["mae", keras.metrics.AUC()], run_eagerly=True)
    made.fit(X[:8], Y[:8], verbose=0)
    return made


def with_layer(layer: type) -> Callable[[], Any]:
    return lambda: stepped(lambda: keras.Sequential([keras.Input((6,)), keras.layers.Dense(2), layer()]))


def unbuilt_optimizer() -> Any:
    made = sequential()
    made.compile("adam", "mse")
    return made


SOUND: dict[str, Callable[[], Any]] = {
    **{name: lambda make=make: stepped(make) for name, make in MODELS.items()},
    **{name: lambda name=name: stepped(sequential, OPTIMIZERS[name]) for name in ("EMA", "loss scaling")},
    "containers": containers,
    "shared layer": lambda: stepped(shared),
    "lookups": words,
    "int8": quantised,
    "metrics": trained,
    "saves more": with_layer(Own),
    "no optimizer": sequential,
    "unbuilt optimizer": unbuilt_optimizer,
}
WHOLE_H5_HAS_NO = {"containers", "lookups"}  # Keras says so itself, or loses what they have


def sound_rows() -> Iterator[Any]:
    """(name, ending): each name with one ending by default, with every ending in the heavy suite."""
    for i, name in enumerate(SOUND):
        endings = [e for e in ENDINGS if (name in WHOLE_H5_HAS_NO) <= (e != ".h5")]
        for j, ending in enumerate(endings):
            yield pytest.param(name, ending, marks=() if j == i % len(endings) else pytest.mark.heavy)


@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method:UserWarning")
@pytest.mark.parametrize(("name", "ending"), [*sound_rows()])
def test_a_sound_file_passes(tmp_path: Path, name: str, ending: str) -> None:
    """A file of each kind of model passes; with a byte changed in one variable it does not."""
    saved, path = SOUND[name](), tmp_path / f"m{ending}"
    write(saved, path)
    verify(saved, path)
    for dataset in (parts(path)[0], parts(path)[-1]):
        sound = path.read_bytes()
        alter(path, lambda file, dataset=dataset: other_byte(file[dataset]))
        with pytest.raises(WriteError, match=dataset):
            verify(saved, path)
        path.write_bytes(sound)


@pytest.mark.parametrize("ending", [".keras", ".disk.keras", ".weights.h5"])
def test_what_is_saved_otherwise_every_time_is_no_failed_write(tmp_path: Path, ending: str) -> None:
    """A layer that saves the hour passes; a wrong byte in what it saves the same is found."""
    saved, path = with_layer(Changing)(), tmp_path / f"m{ending}"
    write(saved, path)
    verify(saved, path)
    scale = next(n for n in parts(path) if n.endswith("changing/vars/0"))
    alter(path, lambda file: other_byte(file[scale]))
    with pytest.raises(WriteError, match=scale):
        verify(saved, path)
    alter(path, lambda file: file.__delitem__(scale.replace("/0", "/time")))
    with pytest.raises(WriteError, match=scale):
        verify(saved, path)


@pytest.mark.parametrize("ending", [".keras", ".disk.keras", ".weights.h5"])
def test_keras_searches_the_model_once(
    tmp_path: Path, small: Any, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it told its store is repeated, and no layer is made to see what a layer is, save the first time."""
    from keras.src.saving import saving_lib

    write(small, tmp_path / f"m{ending}")
    monkeypatch.setattr(saving_lib, "_walk_saveable", Mock(side_effect=saving_lib._walk_saveable))
    monkeypatch.setattr(keras.layers.Layer, "__init__", Mock(side_effect=AssertionError))
    path, record = tmp_path / f"n{ending}", SaveLog()
    options: dict[str, Any] = {"weights_only": ending == ".weights.h5", "meta": META, "record": record}
    model_file.write(small, str(path), **options)
    walks = saving_lib._walk_saveable.call_count
    _verify.verify(small, str(path), **options)
    assert saving_lib._walk_saveable.call_count == walks > 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_looking_changes_nothing(tmp_path: Path, small: Any, ending: str) -> None:
    """The model, its compile configuration and the file are after a look as before."""
    path = tmp_path / f"m{ending}"
    write(small, path)
    before = digest_of(small), small.get_compile_config(), path.read_bytes()
    verify(small, path)
    assert (digest_of(small), small.get_compile_config(), path.read_bytes()) == before


@pytest.mark.parametrize("name", ["_save_state", "H5IOStore", "_VARS_FNAME_H5"])
def test_another_keras_is_named(tmp_path: Path, small: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Keras has no such name any more, the error asks for a newer release of this package."""
    write(small, tmp_path / "m.keras")
    monkeypatch.delattr(keras.src.saving.saving_lib, name)
    with pytest.raises(callback_state.ResumeError, match=rf"{name}.*does not support this Keras"):
        verify(small, tmp_path / "m.keras")


# Silent failures of single writes within a run.


def test_fit_commits_no_silent_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HDF5 writes other bytes and says nothing: that is told, and the checkpoint before it is the last one."""
    (put, create), writes = (h5py.Dataset.__setitem__, h5py.Group.create_dataset), 0

    def fails(value: Any) -> bool:
        nonlocal writes
        is_weight = isinstance(value, np.ndarray) and value.dtype == "float32" and value.shape == (6, 8)
        writes += is_weight
        return is_weight and writes == failing

    def put_other(self: Any, where: Any, value: Any) -> None:
        put(self, where, value * 2 + 1 if fails(value) else value)

    def create_other(self: Any, name: Any, *shape: Any, data: Any = None, **options: Any) -> Any:
        return create(self, name, *shape, data=data * 2 + 1 if fails(data) else data, **options)

    monkeypatch.setattr(h5py.Dataset, "__setitem__", put_other)
    monkeypatch.setattr(h5py.Group, "create_dataset", create_other)
    saver = ModelCheckpointEnhanced(tmp_path / "m.keras")
    failing = 5  # each save writes three: the kernel and Adam's two slots
    saved = make_model()
    with warnings.catch_warnings(record=True) as told, pytest.raises((WriteError, Killed)) as ended:
        warnings.simplefilter("always")
        saved.fit(X, Y, epochs=4, verbose=0, callbacks=[saver, Strike("epoch_begin", at=2)])
    said = " ".join(map(str, [ended.value, *(warning.message for warning in told)]))
    assert re.search(r"m.keras: .*expected float32 \(6, 8\), found at \[0, 0\]", said), said
    assert writes >= 5
    monkeypatch.undo()
    into = ModelCheckpointEnhanced(tmp_path / "m.keras")
    restored = callback_state.restore_callbacks(tmp_path, into=[into], model=make_model())
    assert restored.initial_epoch == 1


# For real: the system refuses single writes.


def outcomes(library: Path, directory: Path, ending: str, *errors: int) -> list[dict[str, Any]]:
    script = [sys.executable, str(KIT / "faults.py"), str(directory), ending, *map(str, errors)]
    environment = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(script, capture_output=True, text=True, check=True, timeout=1200, env=environment)
    return [json.loads(line) for line in done.stdout.splitlines()]


def state_of(path: Path) -> str:
    """Which of the two models is committed at a path, judged by loading it: ``1``, ``2`` or ``wrong``."""
    pair.open_pair(str(path))  # else it raises
    for seed in (1, 2):
        try:
            model_file.load(model(3), str(path), digest_of(model(seed)))
        except callback_state.RestoreError:
            continue
        return str(seed)
    return "wrong"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if why := compiler():
        pytest.skip(why)
    yield compiled(tmp_path_factory.mktemp("library"))


@pytest.mark.heavy
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_system_refuses_any_write(library: Path, tmp_path: Path, ending: str) -> None:
    """ENOSPC, EIO and short writes at every single write of a save: it raises that very error, or is right."""
    saves = outcomes(library, tmp_path, ending, errno.ENOSPC, errno.EIO, 0)
    assert len(saves) >= 3 * 9
    for done in saves:
        path = tmp_path / str(done["error"]) / str(done["n"]) / f"m{ending}"
        assert state_of(path) == ("2" if done["outcome"] == "committed" else "1"), done
        assert done["outcome"] == "committed" or done["error"], f"a short write is no error: {done}"
        assert "died" not in done, done
        assert done["outcome"] == "committed" or f"[Errno {done['error']}]" in done["outcome"], done
    # Where Keras cannot begin its file on the disk, it writes into memory, and the save is right.
    assert sum(done["outcome"] == "committed" for done in saves if done["error"]) <= len(saves) / 20
