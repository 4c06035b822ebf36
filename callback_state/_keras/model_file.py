"""Keras model files: writing one without spoiling the live model, and reading one into a live model.

Three formats: ``.keras`` and ``.h5`` (whole models), ``.weights.h5`` (weights and optimizer).

Of a whole model in ``.h5``, stock Keras (3.7 to 3.15) finds no loss or metric that was given by a short
name such as ``"mse"``, and never the optimizer's variables, though they are in the file. This way gets
everything: ``model = keras.models.load_model(path, compile=False)``, ``model.compile(...)`` as before,
``restore_callbacks(path, model=model)``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .._format.hdf5_meta import write_meta
from ..exceptions import RestoreError
from .replaced import Replaced
from .save_log import Record
from .weights import digest_of, optimizers_of, put_back_variables, take_variables, variables_of

__all__ = ["SKIPSETS_REMEMBERED", "compile_configuration_kept", "load", "write"]


def write(
    model: Any, path: str, *, weights_only: bool, meta: dict[str, Any], record: Record | None = None
) -> None:
    """Write a plain Keras file that stock Keras loads.

    Args:
        model: the live model; it and its compile configuration are left as they are.
        path: where; its ending chooses the format.
        weights_only: whether to write weights and optimizer only (``.weights.h5``).
        meta: ``epochs``, one list per series, and ``training_args``; written into HDF5 files.
        record: is to know what was meant.

    Raises:
        OSError: the disk failed, as far as HDF5 says so.
        Exception: whatever Keras raises for a model that it cannot save.
    """
    record = Record() if record is None else record
    try:
        with compile_configuration_kept(model), SKIPSETS_REMEMBERED, record.listening():
            if weights_only:
                model.save_weights(path, overwrite=True)
            elif path.endswith(".h5"):
                _save_h5(model, path)
            else:
                model.save(path, overwrite=True)
        if path.endswith(".h5"):
            write_meta(path, meta)
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


def _skipsets() -> list[tuple[Any, str, Any]]:
    from keras.src.saving import saving_lib

    known = getattr(saving_lib, "get_attr_skipset", None)
    return [] if known is None else [(saving_lib, "get_attr_skipset", _remembering(known))]


@functools.cache
def _remembering(known: Any) -> Any:
    return functools.cache(known)


#: Saving weights makes a layer, an optimizer, ... anew for every object that it comes across, to see what each
#: has of its base class. Keras (3.7 to 3.15) means to remember that, but looks for it under another name; for a
#: small model this took more than half of the time of a save. Where Keras does this elsewhere, saves take longer.
SKIPSETS_REMEMBERED = Replaced(_skipsets)


def load(
    model: Any, path: str, digest: str, *, optimizes: bool = True, then: Callable[[], None] | None = None
) -> None:
    """Put the weights and the optimizer's variables of a model file into a live model.

    Args:
        model: built and, if the file holds an optimizer, compiled.
        path: a file of any of the three formats.
        digest: :func:`digest_of` the model when the file was written. Keras only warns, or says nothing,
            where a file does not fit; so what was loaded is compared.
        optimizes: whether the optimizer had been built; a model whose train step has optimizers of its own
            leaves it as it is.
        then: is called when the file is loaded; if it raises, the model is put back too.

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
        _load(model, path, digest)
        if then is not None:
            then()
    except BaseException:
        put_back_variables(before)
        raise


def _load(model: Any, path: str, digest: str) -> None:
    try:
        model.load_weights(path)
        if path.endswith(".h5") and not path.endswith(".weights.h5"):
            _load_h5_optimizer(getattr(model, "optimizer", None), path)
        if digest_of(model) != digest:
            raise ValueError("after loading, weights or optimizer are not those that were saved")
    except Exception as error:  # whatever Keras or h5py raise for a file that does not fit
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
