"""``restore_callbacks``: from a checkpoint to callbacks and a model that go on."""

from __future__ import annotations

import os
import warnings
from typing import Any

from .._callbacks.capture import names, note_outside, saved_among, state_of
from .._callbacks.prepare import prepare_from
from .._checkpoints.find import Found, find
from .._checkpoints.needs import Need, needs_of
from .._checkpoints.overwrites import refuse_to_begin_anew
from .._checkpoints.snapshot import Snapshot, columns_of
from .._format.trust import Trust
from .._keras.backend import versions
from ..exceptions import RestoreError, UntrustedError
from .checks import Expected
from .match import Change, Matched, match
from .put_in import put_in
from .rebuild import OWN, rebuild
from .restored import Report, Restored
from .resume import Resume

__all__ = ["restore_callbacks"]

#: How often a checkpoint is looked for anew because a writer replaced it while it was being loaded.
REPLACED = 100


def restore_callbacks(
    path: str | os.PathLike[str],
    into: Any = None,
    *,
    model: Any = None,
    trusted: Any = False,
    key: Any = None,
    missing_ok: bool = False,
    strict: bool = True,
) -> Restored:
    """Restore the callbacks of a checkpoint, and with ``model`` all of the run, so that ``fit`` goes on.

    Args:
        path: a model file, a state file, or a directory; then the newest checkpoint in it that
            verifies, of those that the checkpoint callback in ``into``, if there is one, has written.
        into: the callbacks to put the state into, as they will be passed to ``fit``. Without it they
            are made again from the file, which works where their constructors took data.
        model: also load weights, optimizer and seeds into this model (built and compiled), whatever the
            format of the file.
        trusted: True: read code from the file, that is, let whoever wrote it run any program here, with
            your rights. A list of full names (``["package.module.Class"]``): read these too, and what they do
            when they are called or made. See :func:`untrusted` for what a file would need. With ``into=`` it
            is seldom needed.
        key: the secret that the file has to be signed with (see :class:`ModelCheckpointEnhanced`), or a list of
            them; by default what the environment has in ``CALLBACK_STATE_KEY``. A file that is not rightly
            signed is refused; in one that is, code is read.
        missing_ok: where there is no checkpoint at all, return a :class:`Restored` that starts anew,
            instead of an error. A checkpoint that is there and damaged is an error all the same.
        strict: a callback with state that is only in ``into`` or only in the checkpoint is an error, and
            so is a ``fit`` that goes on from something else than the checkpoint. If false: a warning.

    Returns:
        A :class:`Restored`. The next ``fit`` with its callbacks and ``restored.initial_epoch`` goes on.

    Raises:
        CheckpointNotFoundError: there is none.
        CorruptCheckpointError, UnsupportedFormatError, MismatchError: it is damaged, newer, or the two
            files do not belong together.
        UntrustedError: it needs code to be run, and ``trusted`` is false; or it is not rightly signed. The
            error lists what it needs, by callback and attribute.
        RestoreError: it does not fit ``into`` or ``model``. NotRegisteredError and NotRebuildableError
            are of this kind.
        In every case nothing has changed.

    Example:
        >>> from callback_state import restore_callbacks
        >>> restore_callbacks("a first start", into=[], missing_ok=True)
        <Restored: nothing, there is no checkpoint yet>
        >>> restore_callbacks("ckpt")
        <Restored ckpt/003.keras: EarlyStopping, ModelCheckpointEnhanced; initial_epoch=3, finished>
    """
    trust = Trust.of(trusted, key)
    callbacks = _as_list(into)
    for callback in callbacks or []:
        if hasattr(type(callback), "template"):  # ours, told without importing its module
            callback.notices.with_live_callbacks = True
    for _ in range(REPLACED):
        found = find(os.fspath(path), callbacks, missing_ok=missing_ok, keys=trust.keys)
        if found is None:
            refuse_to_begin_anew(os.fspath(path), callbacks or [])
            return Restored(callbacks or [])
        try:
            return _restore(found, callbacks, model, trust, strict)
        except UntrustedError as error:
            raise _listing(error, needs_of(found.snapshot)) from error
        except RestoreError as error:
            # Keras opens the file again by its name; by then a writer may have put another there.
            if model is None or not found.is_replaced():
                raise
            problem = error
    raise problem


def _listing(error: UntrustedError, needs: list[Need]) -> UntrustedError:
    """The error with everything that the file needs."""
    listed = "; ".join(map(str, needs))
    full = UntrustedError(error.path, f"{error.message} The file needs: {listed}." if needs else error.message)
    full.needs = tuple(needs)
    return full


def _restore(found: Found, callbacks: list[Any] | None, model: Any, trust: Trust, strict: bool) -> Restored:
    snapshot = found.snapshot
    if callbacks is None:
        keyed = rebuild(snapshot, trust=trust, directory=os.path.dirname(found.model_path))
        callbacks = list(keyed.values())
        report = _report(snapshot, keyed, Matched(keyed, [], [], []))
    else:
        keyed, report = _match(snapshot, callbacks, strict)
    prepared = prepare_from(snapshot, keyed, model=model, trust=trust)
    if model is not None:
        expected = Expected(snapshot.meta, found.model_path, strict=strict, error=RestoreError)
        expected.check_variables(model)
    put_in(snapshot, found.model_path, prepared, model)
    for entry in snapshot.meta.callbacks:
        if entry.key in keyed:
            note_outside(keyed[entry.key], entry.outside)
    Resume(snapshot, found.model_path, keyed, model=model, skipped=prepared.skipped, trust=trust, strict=strict)
    _warn_of_changes(found.model_path, report.changed)
    if model is None:
        _warn_of_h5(found.model_path)
    return _restored(found, callbacks, keyed, report)


def _as_list(into: Any) -> list[Any] | None:
    import keras

    if into is None:
        return None
    if isinstance(into, keras.callbacks.CallbackList):
        into = into.callbacks
    if isinstance(into, keras.callbacks.Callback):
        return [into]
    callbacks = list(into)
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise RestoreError(f"into= holds {callback!r}, which is no keras.callbacks.Callback")
    return callbacks


def _match(snapshot: Snapshot, callbacks: list[Any], strict: bool) -> tuple[dict[str, Any], Report]:
    live = saved_among(callbacks)
    matched = match(snapshot.where, snapshot.meta.callbacks, live)
    stateful_keys = {key for key, stored in snapshot.stored().items() if stored}
    # Without a checkpoint callback nothing is saved any more: what it knew is of no use then.
    own = {e.key for e in snapshot.meta.callbacks if e.class_ == OWN}
    missing = [key for key in matched.missing if key in stateful_keys - own]
    keyed = names(live)
    unexpected = [key for key in matched.unexpected if state_of(keyed[key])]
    problems = [f"{key} is in the checkpoint and not in into=" for key in missing]
    problems += [f"{key} is in into= and not in the checkpoint" for key in unexpected]
    if problems:
        message = f"{snapshot.where}: {'; '.join(problems)}. With strict=False the rest is restored."
        if strict:
            raise RestoreError(message)
        warnings.warn(message, stacklevel=4)
    return matched.pairs, _report(snapshot, matched.pairs, matched)


def _report(snapshot: Snapshot, keyed: dict[str, Any], matched: Matched) -> Report:
    """Made before anything is put back, so that new attributes can be told from restored ones."""
    stored, appeared = snapshot.stored(), []
    for entry in snapshot.meta.callbacks:
        if (callback := keyed.get(entry.key)) is not None:
            new = state_of(callback).keys() - stored[entry.key] - entry.arguments.keys()
            appeared += [f"{entry.key}.{name}" for name in sorted(new)]
    saved, here = snapshot.meta.versions, versions()
    differences = [f"{name} {saved[name]}, here {here[name]}" for name in saved if _differ(saved, here, name)]
    return Report(
        tuple(keyed),
        tuple(matched.missing),
        tuple(matched.unexpected),
        tuple(matched.changed),
        tuple(appeared),
        saved,
        tuple(differences),
        tuple(map(str, snapshot.meta.doubts)),
    )


def _differ(saved: dict[str, str], here: dict[str, str], name: str) -> bool:
    return name in here and str(saved[name]).split(".")[:2] != here[name].split(".")[:2]


def _warn_of_h5(path: str) -> None:
    if path.endswith(".h5") and not path.endswith(".weights.h5"):
        warnings.warn(
            f"{path}: keras.models.load_model loads a whole model in .h5 without what its optimizer knows, "
            f"or not at all. Build and compile the model as before and write "
            f"restore_callbacks(..., model=model), which puts back both; or save as .keras.",
            stacklevel=4,
        )


def _warn_of_changes(path: str, changed: tuple[Change, ...]) -> None:
    if changed:
        listed = "; ".join(map(str, changed))
        warnings.warn(
            f"{path}: other arguments than in the checkpoint, and the new ones hold: {listed}", stacklevel=4
        )


def _restored(found: Found, callbacks: list[Any], keyed: dict[str, Any], report: Report) -> Restored:
    meta = found.snapshot.meta
    return Restored(
        callbacks,
        meta.epoch,
        meta.batch,
        meta.initial_epoch,
        found.model_path,
        columns_of(meta),
        meta.training_args,
        meta.finished,
        report,
        keyed,
    )
