"""Names of model files: which a template gives, which a run makes of it, and which a new run would write over."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from .._store.pair import MODEL_SUFFIXES, SUFFIX
from .._store.staging import hidden
from ..exceptions import CheckpointNotFoundError
from .template import parts_of

#: The name in state files of the class that holds what a checkpoint callback has written.
LEDGER = "callback_state.Ledger"
#: A longer file name is refused by every common file system.
_LONGEST = 255

#: A placeholder that gives digits only; another format of a number may give spaces, signs or letters.
_NUMBER = re.compile(r"\{(epoch|batch)(:(0[0-9]+)?d?)?\}")


def fits(name: str, template: str) -> bool:
    """Whether a template may give a model file this name: ``7-1.00e-05.keras`` fits ``{epoch}-{loss:.2e}.keras``.

    A template may come from a file, so no regular expression is made of it: some take for ever to match.
    """
    ends = {0}  # where what has been looked at of the template may end in the name
    for part in parts_of(template):
        ends = {end + len(part.text) for end in ends if name.startswith(part.text, end)}
        if part.field is not None and _NUMBER.fullmatch(part.source):
            ends = {at for end in ends for at in range(end + 1, _end_of_digits(name, end) + 1)}
        elif part.field is not None and ends:
            ends = {*range(min(ends) + 1, len(name) + 1)}
        if not ends:
            return False
    return len(name) in ends


def _end_of_digits(name: str, start: int) -> int:
    digits = re.compile(r"[0-9]*").match(name, start)
    return start if digits is None else digits.end()


def is_bare(name: Any, template: str) -> bool:
    """Whether this is the name of a file in the very directory, and no path on any platform.

    A template may have a backslash or a colon; then its names have it too.
    """
    if type(name) is not str or not name or len(name) > _LONGEST or any(c in name for c in "/\0"):
        return False
    return name not in (".", "..") and not any(c in name and c not in template for c in "\\:")


def is_model_file(name: Any, template: str) -> bool:
    """Whether a name that stands in a state file may be that of a model file in the same directory."""
    return is_bare(name, template) and name.endswith(MODEL_SUFFIXES) and not name.startswith(".")


def is_ours(callback: Any) -> bool:
    """Whether a callback is a ``ModelCheckpointEnhanced``, found out without importing its module and Keras."""
    return hasattr(type(callback), "template")


def interim_name(template: str) -> str:
    """The one file that keeps what is saved between two regular checkpoints, such as ``epoch.interim.keras``.

    It has the names of the placeholders without their braces, and ``_`` for a slash in them.
    """
    name = "".join(part.text + re.sub(r"[/\\:\0]", "_", part.field or "") for part in parts_of(template))
    return _inserted(name, "interim")


def final_name(path: str) -> str:
    """The file of a run's end, ``008.final.keras``, where the end changed what the last epoch left."""
    return _inserted(path, "final")


def _inserted(path: str, word: str) -> str:
    ending = next(e for e in MODEL_SUFFIXES if path.endswith(e))
    return f"{path.removesuffix(ending)}.{word}{ending}"


def template_of(name: str, templates: Iterable[str]) -> str | None:
    """The first of some templates that may give a model file this name, which does not say its run; or None."""
    first, _, last = name.rpartition(".final.")
    names = (name, f"{first}.{last}")
    for template in templates:
        if not template.endswith(MODEL_SUFFIXES):
            continue
        if name == interim_name(template) or any(fits(one, template) for one in names):
            return template
    return None


def templates_of(callbacks: list[Any] | None) -> set[str]:
    """The names under which the checkpoint callbacks among some callbacks write."""
    return {c.template for c in callbacks or () if is_ours(c)}


def files_named_by(template: str, directory: str) -> tuple[list[str], list[str]]:
    """The model files of a directory that a template may name: those with a state file, and those without.

    Only the names are read. A forged file may say a template that no model file can have; it names none.
    """
    if not template.endswith(MODEL_SUFFIXES):
        return [], []
    try:
        names = set(os.listdir(directory or os.curdir))
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    interim = interim_name(template)
    models = sorted(name for name in names if name == interim or fits(name, template))
    # While a writer saves or deletes a checkpoint, its state has another name for a moment.
    staged = {found.base for name in names if (found := hidden(name)) is not None and found.is_state}
    with_state = [name for name in models if name + SUFFIX in names or name in staged]
    return with_state, [name for name in models if name not in with_state]


def refuse_to_begin_anew(path: str, callbacks: list[Any]) -> None:
    """Raise CheckpointNotFoundError where a run that begins anew would write over model files.

    They lie in the checkpoint callback's directory, which is another one, or they have lost their state files.
    """
    for callback in callbacks:
        if not is_ours(callback):
            continue
        directory = callback.root
        whole, bare = files_named_by(callback.template, directory)
        if whole and os.path.realpath(path) != os.path.realpath(directory):
            raise CheckpointNotFoundError(
                path,
                f"expected a checkpoint, found none; but {directory}, where ModelCheckpointEnhanced in into= "
                f"writes, has {len(whole)}, which a new run would write over. "
                f"Write restore_callbacks({directory!r}, ...).",
            )
        if bare and not whole:
            raise CheckpointNotFoundError(
                directory,
                f"has {len(bare)} model files of this run's name without state files ({', '.join(bare[:3])}), "
                f"which a new run would write over. Put the .callbacks.pkl files back, or, if the models "
                f"are of another run, move them or choose another filepath.",
            )
