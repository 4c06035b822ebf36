"""``callback-state show``: everything that a checkpoint says."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from ..._units import age_of, beginning, moment, size_of, time_of
from ..shell.command import page
from ..shell.exits import Exit
from ..shell.options import as_json, opened, path_argument
from ..shell.output import print_json, print_line, print_words
from ..values.described import described
from ..values.phrases import resume_of, short, some, value_of, words

#: Names are padded to this many characters.
_NAME = 40
#: How many series of the history, starts and doubts are shown, and how many characters of a doubt.
_SERIES, _STARTS, _DOUBTS, _SENTENCE = 20, 20, 20, 1000
#: How many values of one kind, callbacks and needs are shown.
_FIELDS, _CALLBACKS, _NEEDS = 200, 100, 100


@page(
    examples={
        "callback-state show ckpt": "the newest checkpoint of a directory",
        "callback-state show ckpt/002.keras": "a certain checkpoint",
        "callback-state show ckpt --json": "every value of it for a program",
    },
    exits=(Exit.DAMAGED, Exit.NOT_FOUND),
)
@path_argument
@as_json
def command(path: str, as_json: bool) -> int:
    """Show everything that a checkpoint says.

    It prints the moment of the save, the versions that wrote it, your training arguments, each callback with its
    configuration and its state, and the parts that restore_callbacks opens only with trust. PATH is a model file,
    a state file, or a directory: then its newest checkpoint that verifies. The checkpoint is verified first, so
    the whole model file is read.

    Values are read from the file without building any object. Of an array the dtype, shape, min, max and mean are
    shown (NaN are left out and counted), of code only what it is and which names it needs. Long values are cut;
    --json has them whole.

    With --json, null, truth values, numbers, texts, lists, and dicts whose keys are texts stand for themselves.
    Anything else is an object with its kind under "$type": {"$type": "tuple", "items": [...]}, {"$type": "array",
    "dtype", "shape", "min", "max", "mean", "sha256"}, {"$type": "object", "class", "fields"}, {"$type": "by
    value", "what", "needs", "sha256"}. If one object stands in two places, the second one is {"$type": "same",
    "as": the path of the first}. A value nested deeper than 50 levels is {"$type": "deeper"}. NaN and infinities
    are {"$type": "float", "value": "nan"}, or outside of such values the texts "NaN", "Infinity", "-Infinity".
    """
    checkpoint = opened(path)
    found = described(checkpoint)
    if as_json:
        print_json(found)
    else:
        _print(found, resume_of(checkpoint.snapshot.meta))
    return Exit.OK


def _print(found: dict[str, Any], restart: str) -> None:
    print_words(found["path"], "bold")
    _print_fields("", _run(found, restart))
    _print_fields("training arguments", _values(found["training_args"]))
    _print_fields("last values of the history", _last(found["history"]))
    for callback in found["callbacks"][:_CALLBACKS]:
        version = f", version {callback['version']}" if callback["version"] != 1 else ""
        print_line()
        print_words(f"{callback['key']} ({callback['class']}{version})", "bold")
        _print_fields("configuration", _values(callback["configuration"]))
        _print_fields("state", _values(callback["state"]))
        if callback["outside"] is not None:
            _print_fields("outside the process", _values({"it left": callback["outside"]}))
    _print_fields("", _more("callbacks", len(found["callbacks"]) - _CALLBACKS, "more"))
    if found["needs"]:
        print_line()
        print_words("Needs trust:", "yellow")
        for need in found["needs"][:_NEEDS]:
            print_words(f"  {need['path']} ({need['what']}) needs {_listed(need['names'])}")
        _print_fields("", _more("needs", len(found["needs"]) - _NEEDS, "more"))


def _print_fields(title: str, fields: Iterable[tuple[str, str]]) -> None:
    fields = [*fields]
    fields = [*fields[:_FIELDS], *_more("", len(fields) - _FIELDS, "more")]
    if title and fields:
        print_words(f"  {title}")
    indent = "    " if title else "  "
    width = min(_NAME, max((len(name) for name, _ in fields), default=0))
    for name, text in ((short(name), text) for name, text in fields):
        print_words(f"{indent}{name.ljust(width)}  {text}")


def _values(values: dict[str, Any]) -> Iterable[tuple[str, str]]:
    if "$type" in values:
        return [("", words(values))]
    return [(name, words(value)) for name, value in values.items()]


def _run(found: dict[str, Any], restart: str) -> Iterable[tuple[str, str]]:
    saved, monitor, model = found["moment"], found["monitor"], found["model"]
    yield "saved", f"{time_of(found['saved_at'])} ({age_of(found['saved_at'], time.time())} ago)"
    yield "after", f"{moment(saved['epoch'], saved['batch'], saved['epochs'])} (from 1)"
    yield "restart", restart
    yield "run", short(found["template"])
    yield "monitors", f"{short(monitor['name'])} {value_of(monitor['value'])}".rstrip()
    # A model whose own train_step holds its optimizers has no steps that are known.
    steps = f", steps: {model['iterations']}" if model["optimizes"] else ""
    yield "model", f"{size_of(found['size'])}, variables: {len(model['variables'])}{steps}"
    yield "versions", some([f"{name} {version}" for name, version in found["versions"].items()], _SERIES)
    yield from _more("started", len(found["starts"]) - _STARTS, "before")
    for start in found["starts"][-_STARTS:]:
        began = beginning(start["epoch"], start["batch"])
        yield "started", f"{time_of(start['at'])}, with {began}"
    for doubt in found["doubts"][:_DOUBTS]:
        yield "doubt", short(doubt, _SENTENCE)
    yield from _more("doubt", len(found["doubts"]) - _DOUBTS, "more")


def _listed(names: list[str]) -> str:
    """Whole names, as they are written into ``trusted=``."""
    more = len(names) - _SERIES
    return ", ".join([short(name, _SENTENCE) for name in names[:_SERIES]] + [f"and {more} more"] * (more > 0))


def _more(name: str, count: int, what: str) -> Iterable[tuple[str, str]]:
    return [(name, f"and {count} {what}; --json has all")] if count > 0 else []


def _last(history: Any) -> Iterable[tuple[str, str]]:
    for name, values in [*history.get("series", {}).items()][:_SERIES]:
        if isinstance(values, list) and values:
            yield name, words(values[-1])
