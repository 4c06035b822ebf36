"""``restore_callbacks``: from a checkpoint to callbacks and a model that continue the run."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from .._callbacks.capture import keyed, saved_among, state_of
from .._callbacks.made import note_made
from .._callbacks.prepare import Prepared, prepare_from
from .._checkpoints.find import Found
from .._checkpoints.names import is_ours, refuse_to_begin_anew
from .._checkpoints.needs import needs_of
from .._checkpoints.snapshot import Snapshot, columns_of
from .._format.trust import Trust
from .._keras import hosts
from .._keras.backend import backend, versions
from .._keras.configuration import note
from .._keras.installed import KNOWN
from .._keras.model_file import check_built
from .._keras.randomness import check_generators
from .._shown import shown
from .._store.bucket.places import local
from .._store.pair import SUFFIX
from .._warn import warn
from ..exceptions import CheckpointNotFoundError, CorruptCheckpointError, RestoreError, UntrustedError
from .allowed import Allowed
from .changed import changes_of, tell_of_backend, warn_of_changes
from .checks import Expected
from .match import Change, Matched, match
from .processes import doubts_of, found_by_all
from .put_in import put_in
from .rebuild import rebuild
from .restored import Report, Restored
from .resume import Resume

#: How often the checkpoint is looked for again if a writer has replaced it while it was loaded.
REPLACED = 100
#: How many of the things that a file needs an error lists.
NEEDS = 20


def restore_callbacks(
    path: str | os.PathLike[str],
    into: Any = None,
    *,
    model: Any = None,
    trusted: Any = False,
    key: Any = None,
    missing_ok: bool = False,
    strict: bool = True,
    allow: Any = (),
) -> Restored:
    """Restore the callbacks of a checkpoint, and with ``model`` the whole run, so that ``fit`` continues it.

    Args:
        path: a model file, a state file, or a directory, also as a URL (``s3://bucket/run``). In a directory,
            the newest checkpoint that is not damaged is taken. If ``into`` has a checkpoint callback, only its own
            checkpoints count.
        into: the callbacks that get the state. Pass the same objects to ``fit``. Without ``into``, the
            callbacks are made from the file, which works if their constructors took only data.
        model: a model, built and compiled. Its weights, optimizer and seeds are loaded too, from any of the
            file formats.
        trusted: True: also read code from the file. Then the author of the file can run any program here,
            with your rights. A list of full names (``["package.module.Class"]``): read only these, and run
            what they do. :func:`untrusted` lists what a file needs. With ``into`` this is seldom necessary.
        key: the secret with which the file must be signed (see :class:`ModelCheckpointEnhanced`), or a list of
            secrets. The default is the environment variable ``CALLBACK_STATE_KEY``. Code is read from a file
            with a valid signature; other files are refused.
        missing_ok: if there is no checkpoint, return a :class:`Restored` that starts a new run, instead of an
            error. A checkpoint that is damaged or cannot be read is always an error.
        strict: whether it is an error if a callback with state is only in ``into`` or only in the checkpoint,
            or if ``fit`` does not continue from the checkpoint. If False, it is a warning.
        allow: what may differ with a warning, and nothing else: a word or several, of "batch size", "callbacks",
            "data", "epoch", "loop", "model", "optimizer", "own loop", "steps_per_epoch", "steps_per_execution" and
            "weights". Each error that can be allowed names its words.

    Returns:
        A :class:`Restored`. Pass its callbacks and its ``initial_epoch`` to the next ``fit``.

    Raises:
        CheckpointNotFoundError: there is no checkpoint.
        CorruptCheckpointError, UnsupportedFormatError, MismatchError: the checkpoint is damaged, of a newer
            format, or its two files do not belong together.
        UntrustedError: the file needs code and ``trusted`` does not allow it, or its signature is not valid.
            The error lists what the file needs, by callback and attribute.
        RestoreError: the checkpoint does not fit ``into`` or ``model``. NotRegisteredError and
            NotRebuildableError are subclasses.

        After an error, callbacks and model are as before.

    Example:
        >>> from callback_state import restore_callbacks
        >>> restore_callbacks("a first start", into=[], missing_ok=True)
        <Restored: nothing in 'a first start' yet>
        >>> restore_callbacks("ckpt")
        <Restored ckpt/003.keras: EarlyStopping, ModelCheckpointEnhanced; initial_epoch=3, finished>
    """
    trust = Trust.of(trusted, key)
    path = local(path)
    callbacks, allowed = _as_list(into), Allowed.of(strict, allow)
    _check_model(model)
    for callback in filter(is_ours, callbacks or []):
        callback.notices.with_live_callbacks = True
    for _ in range(REPLACED):
        try:
            found = found_by_all(path, callbacks, missing_ok, trust)
        except CheckpointNotFoundError as error:
            raise _with_missing_ok(error, path) from error.__cause__
        if found is None:
            if model is not None:
                check_built(model, path)  # the first start says what the second could not cure
                note(model)
            hosts.each(lambda: refuse_to_begin_anew(path, callbacks or []), "the beginning of a run")
            note_made(saved_among(callbacks or []), is_new=True)
            return Restored(callbacks or [], _looked_in=shown(path))
        try:
            return _restore(found, callbacks, model, trust, allowed)
        except UntrustedError as error:
            needs = needs_of(found.snapshot)
            more = f"; and {len(needs) - NEEDS} more, see untrusted()" if len(needs) > NEEDS else ""
            listed = f" The file needs: {'; '.join(map(str, needs[:NEEDS]))}{more}." if needs else ""
            full = UntrustedError(error.path, error.message + listed)
            full.needs = tuple(needs)
            raise full from error
        except (RestoreError, CheckpointNotFoundError, CorruptCheckpointError) as error:
            # Keras opens the model file again by its name, and large arrays are read only now. A writer may have
            # replaced both since.
            if not found.is_replaced():
                raise
            problem = error
    raise problem from problem.__cause__


def _restore(found: Found, callbacks: list[Any] | None, model: Any, trust: Trust, allowed: Allowed) -> Restored:
    snapshot = found.snapshot
    callbacks, by_key, prepared, report = hosts.each(
        lambda: _prepared(found, callbacks, model, trust, allowed), "what is restored"
    )
    put_in(snapshot, found.model_path, prepared, model)
    tell_of_backend(found.model_path, snapshot.meta)
    Resume(snapshot, found.model_path, by_key, model=model, skipped=prepared.skipped, trust=trust, allowed=allowed)
    if report.changed:
        warn(
            f"{found.model_path}: arguments have changed since the checkpoint; the new ones are used: "
            f"{'; '.join(map(str, report.changed))}"
        )
    warn_of_changes(found.model_path, [*report.model_changed])
    if model is None and found.model_path.endswith(".h5") and not found.model_path.endswith(".weights.h5"):
        warn(
            f"{found.model_path}: keras.models.load_model cannot load an .h5 model completely: the state of the "
            f"optimizer is lost. Build and compile the model as before, and call restore_callbacks(..., "
            f"model=model); or save as .keras."
        )
    meta = snapshot.meta
    return Restored(
        callbacks,
        meta.epoch,
        meta.batch,
        meta.initial_epoch,
        shown(found.model_path),
        columns_of(meta),
        meta.training_args,
        meta.finished,
        report,
        by_key,
        found.model_path,
    )


def _prepared(
    found: Found, callbacks: list[Any] | None, model: Any, trust: Trust, allowed: Allowed
) -> tuple[list[Any], dict[str, Any], Prepared, Report]:
    """The callbacks, those that get a state by their keys, their states, and a report. Nothing changes."""
    snapshot = found.snapshot
    try:
        check_generators(snapshot.run.generators)
    except ValueError as error:
        raise CorruptCheckpointError(
            snapshot.where, f"its random generators cannot be put back: {error}"
        ) from error
    if callbacks is None:
        by_key = rebuild(snapshot, trust=trust, directory=shown(os.path.dirname(found.model_path)))
        callbacks = list(by_key.values())
        report = _report(snapshot, by_key, Matched(by_key, [], [], []))
    else:
        by_key, report = _match(snapshot, callbacks, allowed)
    prepared = prepare_from(snapshot, by_key, model=model, trust=trust)
    known = {(change.key, change.argument) for change in report.changed}
    kept = [Change(*given) for given in prepared.given if given[:2] not in known]
    report = replace(report, changed=(*report.changed, *kept))
    if model is not None:
        expected = Expected(snapshot.meta, found.model_path, allowed, error=RestoreError)
        expected.check_variables(model, loads=True)
        report = replace(report, model_changed=tuple(changes_of(snapshot.meta, note(model))))
    return callbacks, by_key, prepared, report


def _with_missing_ok(error: CheckpointNotFoundError, path: str) -> CheckpointNotFoundError:
    """The error, with the argument that lets a first start pass, where no file is there."""
    if not os.path.isdir(path) and any(map(os.path.lexists, (path, path + SUFFIX))):
        return error
    said = f"{error.message}. Pass missing_ok=True for a run that may be the first."
    return CheckpointNotFoundError(error.path, said)


def _as_list(into: Any) -> list[Any] | None:
    import keras

    if into is None:
        return None
    if isinstance(into, keras.callbacks.CallbackList):
        into = into.callbacks
    if isinstance(into, keras.callbacks.Callback):
        return [into]
    if isinstance(into, keras.Model):
        raise RestoreError("into= has a model: expected callbacks. Write restore_callbacks(..., model=model)")
    try:
        callbacks = list(into)
    except TypeError:
        raise RestoreError(f"into={into!r:.100}: expected a callback, or a list of callbacks") from None
    for callback in callbacks:
        if isinstance(callback, keras.Model):
            return _as_list(callback)
        if not isinstance(callback, keras.callbacks.Callback):
            raise RestoreError(f"into= has {callback!r}, which is not a keras.callbacks.Callback")
    return callbacks


def _check_model(model: Any) -> None:
    import keras

    if model is not None and not isinstance(model, keras.Model):
        raise RestoreError(f"model={model!r:.100}: expected a keras.Model. Callbacks are passed as into=")
    if model is not None:
        backend().check(model)


def _match(snapshot: Snapshot, callbacks: list[Any], allowed: Allowed) -> tuple[dict[str, Any], Report]:
    live = saved_among(callbacks)
    matched = match(snapshot.where, snapshot.meta.callbacks, live)
    stateful_keys = {key for key, stored in snapshot.stored().items() if stored}
    # A checkpoint callback may be left out: then nothing is saved any more.
    own = {e.key for e in snapshot.meta.callbacks if e.is_ours}
    missing = [key for key in matched.missing if key in stateful_keys - own]
    by_key = keyed(live)
    unexpected = [key for key in matched.unexpected if state_of(by_key[key])]
    problems = [f"{key} is in the checkpoint, but not in into=" for key in missing]
    problems += [f"{key} is in into=, but not in the checkpoint" for key in unexpected]
    if problems:
        message = f"{snapshot.where}: {'; '.join(problems)}."
        if not allowed.covers(["callbacks"]):
            raise RestoreError(f"{message} With {allowed.line(['callbacks'])}, the others are restored.")
        warn(f"{message} The others are restored.")
    return matched.pairs, _report(snapshot, matched.pairs, matched)


def _report(snapshot: Snapshot, by_key: dict[str, Any], matched: Matched) -> Report:
    """What the restore does. It is made first, while the callbacks are still as the constructor made them."""
    stored, appeared = snapshot.stored(), []
    for entry in snapshot.meta.callbacks:
        if (callback := by_key.get(entry.key)) is not None:
            new = state_of(callback).keys() - stored[entry.key] - entry.arguments.keys()
            appeared += [f"{entry.key}.{name}" for name in sorted(new)]
    saved, here = snapshot.meta.versions, versions()
    differences = [
        f"{name} {saved[name]}, here another backend" for name in saved if name in KNOWN.keys() - here.keys()
    ]
    differences += [
        f"{name} {saved[name]}, here {here[name]}"
        for name in saved
        if name in here and str(saved[name]).split(".")[:2] != here[name].split(".")[:2]
    ]
    return Report(
        tuple(by_key),
        tuple(matched.missing),
        tuple(matched.unexpected),
        tuple(matched.changed),
        tuple(appeared),
        saved,
        tuple(differences),
        (*map(str, snapshot.meta.doubts), *doubts_of(snapshot)),
    )
