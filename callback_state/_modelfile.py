"""Keras model files: writing one without spoiling the live model, and reading one into a live model.

Three formats: ``.keras`` and ``.h5`` (whole models), ``.weights.h5`` (weights and optimizer).

Of a whole model in ``.h5``, stock Keras (3.7 to 3.15) finds no loss or metric that was given by a short
name such as ``"mse"``, and never the optimizer's variables, though they are in the file. This way gets
everything: ``model = keras.models.load_model(path, compile=False)``, ``model.compile(...)`` as before,
``restore_callbacks(path, model=model)``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from ._runstate import digest_of, optimizers_of, put_back_variables, take_variables, variables_of
from .exceptions import RestoreError

__all__ = ["LAYOUT", "compile_configuration_kept", "load", "put_meta", "read_meta", "write"]

#: The versions of HDF5's layout to write: attributes above 64 kB need the newer one.
LAYOUT = ("v108", "latest")


def write(model: Any, path: str, *, weights_only: bool, meta: dict[str, Any]) -> None:
    """Write a plain Keras file that stock Keras loads.

    Args:
        model: the live model; it and its compile configuration are left as they are.
        path: where; its ending chooses the format.
        weights_only: whether to write weights and optimizer only (``.weights.h5``).
        meta: ``epochs``, one list per series, and ``training_args``; written into HDF5 files.

    Raises:
        OSError: the disk failed, as far as HDF5 says so.
        Exception: whatever Keras raises for a model that it cannot save.
    """
    try:
        with compile_configuration_kept(model):
            if weights_only:
                model.save_weights(path, overwrite=True)
            elif path.endswith(".h5"):
                _save_h5(model, path)
            else:
                model.save(path, overwrite=True)
        if path.endswith(".h5"):
            _write_meta(path, meta)
    except RuntimeError as error:
        if _is_of_h5py(error):
            raise OSError(f"{error} (in HDF5; is the disk full?)") from error
        raise


def _is_of_h5py(error: BaseException) -> bool:
    """HDF5 tells of a full disk by RuntimeErrors too, for example when it cannot close the file."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and str(last.tb_frame.f_globals.get("__name__")).startswith("h5py")


def _save_h5(model: Any, path: str) -> None:
    from absl import logging

    # Keras calls the format legacy at every save; the user chose it once.
    level = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        model.save(path, overwrite=True)
    finally:
        logging.set_verbosity(level)


@contextmanager
def compile_configuration_kept(model: Any) -> Iterator[None]:
    """Saving to ``.h5`` takes the optimizer out of the live model's compile configuration (Keras 3.15):
    every later ``.keras`` file of that model would load with another optimizer."""
    configuration = getattr(getattr(model, "_compile_config", None), "config", None)
    kept = dict(configuration or {})
    try:
        yield
    finally:
        if configuration is not None:
            configuration.clear()
            configuration.update(kept)


def _write_meta(path: str, meta: dict[str, Any]) -> None:
    import h5py

    with h5py.File(path, "r+", libver=LAYOUT) as file:
        put_meta(file, meta)


def put_meta(file: Any, meta: dict[str, Any]) -> None:
    """Makes the group ``meta`` in an open HDF5 file, or in what compares where that would write."""
    group = file.create_group("meta")
    for name, values in meta.items():
        if name != "training_args":
            group.create_dataset(_quoted(name), data=_column(values))
    group.attrs["training_args"] = _yaml(meta.get("training_args", {}))


def read_meta(path: str) -> dict[str, Any] | None:
    """What :func:`write` put into an HDF5 file's group ``meta``; None where there is none.

    Keys of ``training_args`` are strings then, and its tuples lists.
    """
    import h5py

    with h5py.File(path, "r") as file:
        if "meta" not in file:
            return None
        group = file["meta"]
        meta = {unquote(name): _values(group[name]) for name in group}
        meta["training_args"] = _read_yaml(group.attrs.get("training_args", "{}"))
        return meta


def _quoted(name: str) -> str:
    """The name of a series as one name of HDF5, where a slash would make a group."""
    quoted = name.replace("%", "%25").replace("/", "%2F")
    return "%2E" if quoted == "." else quoted


def _column(values: list[Any]) -> Any:
    """A series as a dataset: numbers, or else (text, lists of unequal lengths, None) as text."""
    import numpy

    try:
        array = numpy.asarray(values)
    except ValueError:  # of unequal lengths
        return list(map(str, values))
    return array if array.dtype.kind in "biufc" else list(map(str, values))


def _values(dataset: Any) -> list[Any]:
    values: list[Any] = (dataset.asstr() if dataset.dtype.kind == "O" else dataset)[()].tolist()
    return values


def _yaml(value: Any) -> str:
    """Plain data as YAML of one line, without a library that the user may not have.

    It is JSON as well, save for ``.nan`` and ``.inf``.
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_string(str(k))}: {_yaml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if hasattr(value, "tolist"):  # what NumPy has
        return _yaml(value.tolist())
    if isinstance(value, float):
        return _float(value)
    return json.dumps(value) if value is None or isinstance(value, int) else _string(str(value))


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    # Without a point, 1e-05 is a string in YAML 1.1.
    return re.sub(r"^(-?\d+)e", r"\1.0e", repr(float(value)))


def _string(text: str) -> str:
    # YAML takes the two halves of a JSON surrogate pair for two characters, and refuses some bare ones.
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub("[\x7f-\uffff]", lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _read_yaml(text: str) -> Any:
    constants = {".nan": "NaN", ".inf": "Infinity", "-.inf": "-Infinity"}
    return json.loads(
        re.sub(r'"(?:[^"\\]|\\.)*"|-?\.(?:nan|inf)', lambda m: constants.get(m[0], m[0]), text)
    )


def load(model: Any, path: str, digest: str, *, optimizes: bool = True) -> None:
    """Put the weights and the optimizer's variables of a model file into a live model.

    Args:
        model: built and, if the file holds an optimizer, compiled.
        path: a file of any of the three formats.
        digest: :func:`digest_of` the model when the file was written. Keras only warns, or says nothing,
            where a file does not fit; so what was loaded is compared.
        optimizes: whether the optimizer had been built; a model whose train step has optimizers of its own
            leaves it as it is.

    Raises:
        RestoreError: the model does not fit the file; nothing in the model has changed.
    """
    if not model.built:
        raise RestoreError(
            f"{path}: the model is not built yet, so it has no variables to restore. Give it an Input, or "
            f"call it on one batch, before restore_callbacks(..., model=model)."
        )
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built and optimizes:
        with model.distribute_strategy.scope():  # where its variables belong
            optimizer.build(model.trainable_variables)
    _check_optimizer(model, path, digest)
    before = take_variables(model)
    try:
        model.load_weights(path)
        if path.endswith(".h5") and not path.endswith(".weights.h5"):
            _load_h5_optimizer(optimizer, path)
        if digest_of(model) != digest:
            raise ValueError("after loading, weights or optimizer are not those that were saved")
    except Exception as error:  # whatever Keras or h5py raise for a file that does not fit
        put_back_variables(before)
        first = str(error).strip().split("\n")[0][:200]
        raise RestoreError(
            f"{path}: does not fit the model ({type(error).__name__}: {first}). The model here has "
            f"{len(variables_of(model))} variables; build and compile it as it was when it was saved."
            f"{_unbuilt(model)}"
        ) from error


def _unbuilt(model: Any) -> str:
    """What else to do where a train step of one's own has optimizers that ``compile`` does not know."""
    own = [name for name, o in vars(model).items() if hasattr(o, "apply_gradients") and not o.built]
    listed = ", ".join(name for name in own if name not in ("optimizer", "_optimizer"))
    return f" First build its own optimizers ({listed}): optimizer.build(variables)." if listed else ""


def _check_optimizer(model: Any, path: str, digest: str) -> None:
    """The digest ends in the names of the optimizer's classes."""
    saved, here = digest.split("-")[1:], optimizers_of(model)
    if saved != here:
        raise RestoreError(
            f"{path}: does not fit the model: it was compiled with the optimizer {'/'.join(saved) or None}, "
            f"the model here has {'/'.join(here) or None}. Compile it as it was, then restore."
        )


def _load_h5_optimizer(optimizer: Any, path: str) -> None:
    """Stock Keras loses the optimizer's variables of a whole model in ``.h5``; they are in the file."""
    import h5py

    with h5py.File(path, "r") as file:
        if optimizer is None or "optimizer_weights" not in file:
            return
        group = file["optimizer_weights"]
        names = _names(group)
        if len(names) != len(optimizer.variables):
            raise ValueError(f"{len(names)} optimizer variables, expected {len(optimizer.variables)}")
        for variable, name in zip(optimizer.variables, names, strict=True):
            variable.assign(group[name][()])


def _names(group: Any) -> list[str]:
    """The attribute ``weight_names``, which Keras splits into ``weight_names0``, ... when it is long."""
    if "weight_names" in group.attrs:
        parts = [group.attrs["weight_names"]]
    else:
        count = sum(name.startswith("weight_names") for name in group.attrs)
        parts = [group.attrs[f"weight_names{i}"] for i in range(count)]
    return [n.decode() if isinstance(n, bytes) else n for part in parts for n in part]
