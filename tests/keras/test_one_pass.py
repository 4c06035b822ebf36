"""A model file that is written in one pass is what stock Keras writes, and each failed write is an error."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import h5py
import keras
import model_files
import numpy as np
import pytest
from faults import META, compiled, compiler, model
from harness import X, Y, make_model
from keras.src.saving import saving_lib
from keras_models import MODELS, OPTIMIZERS, sequential, stepped
from places import ENVIRONMENT, KIT

import callback_state
from callback_state import WriteError
from callback_state._keras import model_file, one_pass
from callback_state._keras.backend import values_of
from callback_state._keras.skeleton import LARGE
from callback_state._keras.values import Values
from callback_state._keras.weights import digest_of
from callback_state._store import pair

FORMATS = (".keras", ".weights.h5", ".h5")
WEIGHTS = "model.weights.h5"


def write(saved: Any, path: Path, **options: Any) -> tuple[bytes, int]:
    return model_files.write(
        saved, str(path), weights_only=path.name.endswith(".weights.h5"), meta=META, **options
    )


def write_by_keras(saved: Any, path: Path) -> None:
    with model_file.compile_configuration_kept(saved):
        (saved.save_weights if path.name.endswith(".weights.h5") else saved.save)(path)


def content(path: Path) -> dict[str, Any]:
    """Each group, data set and attribute of a file of any format, and the texts of an archive."""
    if path.name.endswith(".h5"):
        with h5py.File(path) as file:
            return hdf5(file)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = [name for name in archive.namelist() if name != WEIGHTS]
        texts: dict[str, Any] = {name: archive.read(name) for name in names}
        texts["metadata.json"] = json.loads(texts["metadata.json"])["keras_version"]
        with archive.open(WEIGHTS) as weights, h5py.File(weights) as file:
            return {"names": archive.namelist(), **texts, **hdf5(file)}


def hdf5(file: Any) -> dict[str, Any]:
    found = {"/": attributes(file)}
    file.visititems(lambda name, item: found.__setitem__(name, described(item)))
    return found


def described(item: Any) -> Any:
    if not isinstance(item, h5py.Dataset):
        return attributes(item)
    value = item[()]
    is_array = isinstance(value, np.ndarray | np.generic) and value.dtype.kind != "O"
    return str(item.dtype), item.shape, value.tobytes() if is_array else repr(value), attributes(item)


def attributes(item: Any) -> dict[str, Any]:
    return {name: repr(np.asarray(value).tolist()) for name, value in item.attrs.items()}


# What is written.


@keras.saving.register_keras_serializable("test_one_pass")
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
        store["large"] = large = np.arange(LARGE, dtype="f4").reshape(2, -1)
        large += 1  # a store takes what it is given, then
        store[f"after {len(store.keys())}"] = store["large"]
        if hasattr(type(store), "__delitem__"):  # not in Keras 3.7
            store["gone"] = large
            del store["gone"]

    def load_own_variables(self, store: Any) -> None:
        self.scale.assign(store["0"])

    def save_assets(self, directory: str) -> None:
        Path(directory, "words.txt").write_text("a\nb\n")

    def load_assets(self, directory: str) -> None:
        assert Path(directory, "words.txt").read_text() == "a\nb\n"


@keras.saving.register_keras_serializable("test_one_pass")
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


def with_own() -> Any:
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(2), Own()])


def large(dtype: str = "float32") -> Any:
    """Variables that are kept beside the skeleton, and slots of them."""
    made = keras.Sequential([keras.Input((300,)), keras.layers.Dense(500, dtype=dtype), keras.layers.Dense(1)])
    made.compile(keras.optimizers.Adam(0.01), keras.losses.MeanSquaredError())
    made.optimizer.build(made.trainable_variables)
    values = np.random.default_rng(3)
    for variable in made.variables:
        variable.assign(values.integers(1, 99, variable.shape))
    return made


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
    "saves more": lambda: stepped(with_own),
    "no optimizer": sequential,
    "unbuilt optimizer": unbuilt_optimizer,
    "large": large,
    "bfloat16": lambda: large("bfloat16"),
}
WHOLE_H5_HAS_NO = {"containers", "lookups", "bfloat16"}  # Keras says so itself, or loses what they have


def rows() -> Iterator[Any]:
    """(name, ending): each name with one ending by default, with every ending in the heavy suite."""
    for i, name in enumerate(SOUND):
        endings = [e for e in FORMATS if (name in WHOLE_H5_HAS_NO) <= (e != ".h5")]
        for j, ending in enumerate(endings):
            is_default = name in ("large", "saves more") or j == i % len(endings)
            yield pytest.param(name, ending, marks=() if is_default else pytest.mark.heavy)


@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method:UserWarning")
@pytest.mark.parametrize(("name", "ending"), [*rows()])
def test_the_content_is_that_of_stock_keras(tmp_path: Path, name: str, ending: str) -> None:
    """Groups, data sets, types, bytes and attributes; HDF5 files have the group ``meta`` beside that."""
    saved, ours, theirs = SOUND[name](), tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    assert one_pass.is_known(saved, weights_only=ending == ".weights.h5")
    before = digest_of(saved), saved.get_compile_config()
    digest, size = write(saved, ours)
    assert (digest, size) == (hashlib.sha256(ours.read_bytes()).digest(), ours.stat().st_size)
    assert (digest_of(saved), saved.get_compile_config()) == before
    write_by_keras(saved, theirs)
    found = {name: item for name, item in content(ours).items() if not name.startswith("meta/") and name != "meta"}
    assert found == content(theirs)
    assert loaded(saved, ours) == loaded(saved, theirs)


def loaded(saved: Any, path: Path) -> Any:
    """What stock Keras makes of a file: the values of the variables, or the error."""
    try:
        if path.name.endswith(".weights.h5"):
            saved.load_weights(path)
            made = saved
        else:
            made = keras.models.load_model(path, compile=path.name.endswith(".keras"))
    except Exception as error:  # Keras cannot load all that it saves
        return type(error)
    return [value.tobytes() for value in values_of(saved_of(made))]


def saved_of(model: Any) -> list[Any]:
    return [*model.weights, *getattr(getattr(model, "optimizer", None), "variables", ())]


def test_no_value_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is the memory of each variable, of the slots of the optimizer too."""
    saved = large()
    for path, weights_only in (("m.keras", False), ("m.weights.h5", True), ("m.h5", False)):
        content = one_pass.Content(saved, path, weights_only=weights_only, meta=META, values=Values())
        with closing(content) as made:
            made._make()
            arrays = [*made.memory.arrays.values()]
        variables = [value for value in values_of(saved_of(saved)) if value.nbytes >= LARGE]
        kept = [value for value in variables if any(np.shares_memory(value, array) for array in arrays)]
        assert len(kept) == len(arrays) == len(variables) == 3


def test_what_cannot_be_held_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no memory for a copy of what a layer gave: the directory for its other files goes all the same."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Values, "keep", Mock(side_effect=MemoryError))
    with pytest.raises(MemoryError):
        one_pass.Content(large(), "m.keras", weights_only=False, meta=META, values=Values(beside=True))
    assert os.listdir(tmp_path) == []


def test_others_save_as_ever_meanwhile() -> None:
    """Only the thread that writes sees views; a store that somebody else fills gets copies."""
    saved, store = large(), {}
    with one_pass._VIEWS:
        saved.optimizer.save_own_variables(store)
    assert not any(isinstance(value, keras.Variable) for value in store.values())
    assert not any(np.shares_memory(a, v) for a in store.values() for v in values_of(saved.optimizer.variables))


def test_no_layer_is_made_to_see_what_a_layer_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras would make one for each layer at each save, which takes longer than the save."""
    saved = model(2)
    write(saved, tmp_path / "m.keras")
    monkeypatch.setattr(keras.layers.Layer, "__init__", Mock(side_effect=AssertionError))
    write(saved, tmp_path / "n.keras")


# Models that Keras saves in another way.


class Overridden(keras.Sequential):
    """Its ``save`` and ``save_weights`` may do what they like."""

    damage: Callable[[Path], object] | None = None

    def save(self, path: Any, **options: Any) -> None:
        super().save(path, **options)
        self._change(path)

    def save_weights(self, path: Any, **options: Any) -> None:
        super().save_weights(path, **options)
        self._change(path)

    def _change(self, path: Any) -> None:
        if self.damage is not None:
            self.damage(Path(path))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def other_byte(path: Path) -> None:
    data = path.read_bytes()
    at = data.index(b"keras_version")
    path.write_bytes(data[:at] + b"K" + data[at + 1 :])


def broken_part(path: Path) -> None:
    """A part with a checksum of its own, which only its reader compares."""
    with h5py.File(path, "r+") as file:
        part = file.create_dataset("more", data=np.arange(1000), compression="gzip", chunks=(1000,))
        place = part.id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[place.byte_offset : place.byte_offset + place.size] = bytes(place.size)
    path.write_bytes(data)


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_a_store_that_was_replaced_is_used(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's store takes the place of Keras's: then Keras writes the file with it."""
    put: list[str] = []

    class Noting(saving_lib.H5IOStore):
        def make(self, path: str, metadata: Any = None) -> Any:
            put.append(path)
            return super().make(path, metadata)

    assert write(model(1), tmp_path / f"m{ending}") is not None
    monkeypatch.setattr(saving_lib, "H5IOStore", Noting)
    assert write(model(1), tmp_path / f"n{ending}") is None
    assert put


@pytest.mark.parametrize("ending", FORMATS)
def test_a_model_with_its_own_save_is_written_by_it(
    tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Which way was taken is in the log; what cannot be read again is refused."""
    saved, path = Overridden([keras.Input((6,)), keras.layers.Dense(2)]), tmp_path / f"m{ending}"
    with caplog.at_level(logging.DEBUG, "callback_state"):
        assert write(saved, path) is None  # the caller syncs it
        assert write(model(1), tmp_path / f"n{ending}") is not None
    said = [record.getMessage().removeprefix(f"{tmp_path}{os.sep}") for record in caplog.records]
    assert said == [f"m{ending}: written by Keras, and read back", f"n{ending}: written in one pass"]
    for damage in (cut, other_byte if ending == ".keras" else broken_part):
        saved.damage = damage
        with pytest.raises((WriteError, OSError), match=r"found|truncated"):
            write(saved, tmp_path / f"{damage.__name__}{ending}", name="m")


@pytest.mark.parametrize("name", ["_save_state", "H5IOStore", "_VARS_FNAME_H5"])
def test_another_keras_writes_by_itself(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Keras has no such name any more, it is not leaned on."""
    with monkeypatch.context() as patched:
        patched.delattr(keras.src.saving.saving_lib, name)
        assert not one_pass.is_known(model(1), weights_only=True)
    assert one_pass.is_known(model(1), weights_only=True)


# Writes that fail.


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, 0], ids=["full", "broken", "quota", "0"]
)
def test_each_write_is_checked(tmp_path: Path, ending: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any one of them is refused, or writes nothing: the very error, and no file counts."""
    saved, write_to, calls, failing = large(), os.write, 0, 0

    def refuse(fd: int, data: Any) -> int:
        nonlocal calls
        calls += 1
        if calls != failing:
            return write_to(fd, data[: max(1, len(data) // 2)])  # short, as the system may
        if number:
            raise OSError(number, os.strerror(number))
        return 0

    monkeypatch.setattr(os, "write", refuse)
    write(saved, tmp_path / f"m{ending}")
    writes = calls
    assert writes > 5
    for failing in {1, 2, writes // 2, writes - 1, writes}:
        calls, path = 0, tmp_path / f"{failing}{ending}"
        with pytest.raises(OSError, match="wrote nothing" if number == 0 else os.strerror(number)) as raised:
            write(saved, path)
        assert raised.value.errno == (number or errno.EIO)
    calls = failing = 0
    assert write(saved, tmp_path / f"n{ending}")[1] == (tmp_path / f"n{ending}").stat().st_size


def outcomes(library: Path, directory: Path, ending: str, *errors: int) -> list[dict[str, Any]]:
    script = [sys.executable, str(KIT / "faults.py"), str(directory), ending, *map(str, errors)]
    environment = {**ENVIRONMENT, "LD_PRELOAD": str(library)}
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
@pytest.mark.parametrize("ending", [*FORMATS, ".own.keras", ".own.weights.h5"])
def test_the_system_refuses_any_write(library: Path, tmp_path: Path, ending: str) -> None:
    """ENOSPC, EIO, EDQUOT and short writes at every single write: it raises that very error, or is right.

    With ``.own`` Keras writes, as for a model with a ``save`` of its own.
    """
    saves = outcomes(library, tmp_path, ending, errno.ENOSPC, errno.EIO, errno.EDQUOT, 0)
    assert len(saves) >= 4 * 2
    for done in saves:
        path = tmp_path / str(done["error"]) / str(done["n"]) / f"m{ending}"
        assert "died" not in done, done
        assert (done["outcome"] == "committed") == (done["error"] == 0), done
        assert state_of(path) == ("2" if done["outcome"] == "committed" else "1"), done
        assert done["outcome"] == "committed" or f"[Errno {done['error']}]" in done["outcome"], done


# Memory.

SCRIPT = """
import resource
import sys
import zipfile
import keras
import model_files

path, *units = sys.argv[1:]
layers = [keras.layers.Dense(int(n), use_bias=False, kernel_initializer="ones") for n in units]
made = keras.Sequential([keras.Input((1000,)), *layers])
made.compile("sgd", "mse")
made.optimizer.build(made.trainable_variables)
largest = max(variable.shape[0] * variable.shape[1] * 4 for variable in made.variables)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
digest, size = model_files.write(made, path, weights_only=path.endswith(".weights.h5"), meta={})
more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
assert more <= largest + (64 << 20), f"{more} bytes, and the largest variable has {largest}"
keras.backend.clear_session()
made.layers[-1].kernel.assign(made.layers[-1].kernel * 0)
made.load_weights(path)
assert float(keras.ops.min(made.layers[-1].kernel)) == 1.0
print(size)
"""


def in_a_process(path: Path, *units: int) -> int:
    """The size (bytes) of a file of dense layers, written by a process that looks at its own memory."""
    command = [sys.executable, "-c", SCRIPT, str(path), *map(str, units)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is counted in other units elsewhere")
@pytest.mark.parametrize("ending", [".keras", pytest.param(".weights.h5", marks=pytest.mark.heavy)])
def test_a_save_needs_little_memory(tmp_path: Path, ending: str) -> None:
    """At most the largest variable and 64 MiB more than before, for a model of 192 MB."""
    assert in_a_process(tmp_path / f"m{ending}", 16_000, 1000, 16_000) > 3 * 64_000_000


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is counted in other units elsewhere")
def test_a_model_of_five_gigabytes_is_written_and_loaded(tmp_path: Path) -> None:
    """In an archive that needs 64 bits for its places; each of its variables alone does not."""
    path = tmp_path / "m.keras"
    size = in_a_process(path, 320_000, 1000, 320_000, 1000)
    assert size == path.stat().st_size > 5 * 10**9
    path.unlink()
