"""Keras model files: writing one without a change of the live model, and reading one into a live model.

There are three formats: ``.keras`` and ``.h5`` (whole models), and ``.weights.h5`` (weights and optimizer).

In a whole model in ``.h5``, stock Keras (3.7 to 3.15) does not find a loss or metric with a short name such as
``"mse"``, nor the optimizer's variables, though they are in the file. This finds everything:
``model = keras.models.load_model(path, compile=False)``, ``model.compile(...)`` as before,
``restore_callbacks(path, model=model)``.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .._format.hdf5_meta import write_meta
from ..exceptions import RestoreError
from .backend import backend
from .checked_file import CheckedFile, checked_writes
from .extra import build_optimizers, put_back_extra
from .one_pass import Content, is_known
from .reach import Reach
from .read_back import read_back
from .replaced import Replaced
from .stored import read_in_place
from .values import Values
from .weights import digest_of, hold_variables, optimizers_of, put_back_variables, variables_of

_LOG = logging.getLogger("callback_state")


def content_of(
    model: Any, path: str, *, weights_only: bool, meta: dict[str, Any], values: Values
) -> Content | None:
    """What a plain Keras file in the format of its ending is to hold; None if only Keras can write it.

    ``meta`` (``epochs``, one list per series, ``training_args``) goes into HDF5 files. ``values`` are where the
    values of variables are taken from. The model does not change.
    """
    if path.endswith(".h5") and not weights_only:
        _check_types(model, path)
    if not is_known(model, weights_only=weights_only):
        return None
    _LOG.debug("%s: written in one pass", path)
    with compile_configuration_kept(model), SKIPSETS_REMEMBERED:
        return Content(model, path, weights_only=weights_only, meta=meta, values=values)


def write_by_keras(model: Any, path: str, *, weights_only: bool, meta: dict[str, Any], name: str) -> None:
    """Let Keras write a file, in the format of its ending, and read it back. It is not synced.

    ``name`` is what the file will be called, for messages. If the system refuses a write, the OSError of it is
    raised. The model does not change.
    """
    _LOG.debug("%s: written by Keras, and read back", name)
    with compile_configuration_kept(model), SKIPSETS_REMEMBERED, checked_writes():
        if weights_only:
            model.save_weights(path, overwrite=True)
        else:
            _save(model, path)
    if path.endswith(".h5"):
        with CheckedFile(path, "r+") as file:
            write_meta(file, meta)
    read_back(path, name)


def _check_types(model: Any, path: str) -> None:
    # Keras writes the bytes of such a variable without its type, and cannot load them.
    lost = [v.path for v in variables_of(model) if v.dtype.startswith(("bfloat", "float8"))]
    if lost:
        raise ValueError(
            f"{path}: a whole model in .h5 cannot be loaded if it has variables of type bfloat16 or float8, here "
            f"{lost[0]}. Write a filepath that ends in .keras, or in .weights.h5 with save_weights_only=True."
        )


def _save(model: Any, path: str) -> None:
    from absl import logging

    # Keras logs at every save that the format is legacy. The user has chosen it.
    level = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        model.save(path, overwrite=True)
    finally:
        logging.set_verbosity(level)


@contextmanager
def compile_configuration_kept(model: Any) -> Iterator[None]:
    """Keep the compile configuration of a live model.

    Saving to ``.h5`` removes the optimizer from it (Keras 3.15), and every later ``.keras`` file of that model
    would load with another optimizer.
    """
    configuration = getattr(getattr(model, "_compile_config", None), "config", None)
    kept = dict(configuration or {})
    try:
        yield
    finally:
        if configuration is not None:
            configuration.clear()
            configuration.update(kept)


@functools.cache
def _skipsets() -> list[tuple[Any, str, Any]]:
    from keras.src.saving import saving_lib

    known = getattr(saving_lib, "get_attr_skipset", None)
    return [] if known is None else [(saving_lib, "get_attr_skipset", functools.cache(known))]


#: To see which attributes an object has from its base class, Keras's saving makes a new layer, optimizer and so on
#: for every object. Keras (3.7 to 3.15) wants to remember the result, but looks for it under another name. For a
#: small model this took more than half of the time of a save. Where Keras changes, saves only take longer.
SKIPSETS_REMEMBERED = Replaced(_skipsets)


def load(
    model: Any,
    path: str,
    digest: str,
    *,
    optimizes: bool = True,
    extra: dict[str, Any] | None = None,
    then: Callable[[], None] | None = None,
) -> None:
    """Put the weights and the optimizer's variables of a file of any format into a live model, or change nothing.

    What was loaded is compared with ``digest``, :func:`digest_of` the saved model: Keras only warns, or says
    nothing, where a file does not fit. ``optimizes`` is whether the optimizer had been built; a train step with
    optimizers of its own does not build it. ``extra`` is what the file does not hold, see :mod:`.extra`. ``then``
    is called when the model is loaded.
    """
    check_built(model, path)
    saved, here = digest.split("-")[1:], optimizers_of(model)
    if saved != here:
        raise RestoreError(
            f"{path}: does not fit the model: the saved model was compiled with the optimizer "
            f"{'/'.join(saved) or None}, the model here has {'/'.join(here) or None}. Compile it as it was, then "
            f"restore. If the script compiles again between two fits, give each of them its own directory, "
            f"checkpoint callback and restore_callbacks."
        )
    before = hold_variables(model)
    try:
        _load(model, path, digest, optimizes, extra)
        if then is not None:
            then()
    except BaseException:
        put_back_variables(before)
        raise


def check_built(model: Any, path: str) -> None:
    """Raise RestoreError if the model has no variables yet, into which a checkpoint could be loaded."""
    if not model.built:
        raise RestoreError(
            f"{path}: the model is not built yet, so it has no variables. Give it an Input, or call it on one "
            f"batch, before restore_callbacks(..., model=model)."
        )


def _load(model: Any, path: str, digest: str, optimizes: bool, extra: dict[str, Any] | None) -> None:
    optimizer = getattr(model, "optimizer", None)
    try:
        if extra is not None:
            build_optimizers(model, extra["trained"])
        if optimizer is not None and not optimizer.built and optimizes:
            with backend().scope(model):
                optimizer.build(model.trainable_variables)
        with read_in_place():
            model.load_weights(path)
        if path.endswith(".h5") and not path.endswith(".weights.h5"):
            _load_h5_optimizer(optimizer, path)
        reach = Reach(model)
        if extra is not None:
            put_back_extra(model, extra, path, reach)
        if digest_of(model, reach) != digest:
            raise ValueError("after loading, the weights or the optimizer are not those that were saved")
    except Exception as error:  # whatever Keras or h5py raise for a file that does not fit
        first = str(error).strip().split("\n")[0][:200]
        raise RestoreError(
            f"{path}: does not fit the model ({type(error).__name__}: {first}). The model here has "
            f"{len(variables_of(model))} variables, {len(model.trainable_variables)} of them trainable; build and "
            f"compile it as it was when it was saved. Where a second fit trains other layers (freeze, then "
            f"unfreeze), give each fit a directory of its own."
        ) from error


def _load_h5_optimizer(optimizer: Any, path: str) -> None:
    """Load the optimizer's variables of a whole model in ``.h5``, which stock Keras does not do."""
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
    """The attribute ``weight_names``; Keras splits a long one into ``weight_names0``, ``weight_names1``, ..."""
    if "weight_names" in group.attrs:
        parts = [group.attrs["weight_names"]]
    else:
        count = sum(name.startswith("weight_names") for name in group.attrs)
        parts = [group.attrs[f"weight_names{i}"] for i in range(count)]
    return [n.decode() if isinstance(n, bytes) else n for part in parts for n in part]
