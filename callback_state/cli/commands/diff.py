"""``callback-state diff``: what is different between two checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click

from ..._checkpoints.names import LEDGER
from ..._format.table import MISSING
from ..._units import moment
from ..shell.command import page
from ..shell.exits import Exit
from ..shell.options import Place, as_json, opened
from ..shell.output import print_json, print_line, print_words, say
from ..values.described import described
from ..values.differences import Difference, differences, same
from ..values.phrases import words

#: The parts of :func:`described` that are compared value by value.
_PARTS = ("moment", "monitor", "template", "versions", "training_args", "model", "data", "doubts", "run")
_TITLES = {"moment": "moment (epochs and batches from 1)"}
#: How many differences of one part are printed, and how many characters of a value.
_SHOWN, _WIDTH = 20, 90
#: How the names of the classes begin whose private attributes are no state of the user's.
_NOT_THE_USERS = ("keras.callbacks.", "callback_state.")


@page(
    examples={
        "callback-state diff ckpt/001.keras ckpt/002.keras": "what one epoch has changed",
        "callback-state diff ckpt other": "where two runs differ, by the newest checkpoint of each",
        "callback-state diff ckpt other --all": "also what may differ between two equal runs",
        "callback-state diff ckpt other --json": "each difference for a program",
    },
    exits=(Exit.DIFFERENT, Exit.DAMAGED, Exit.NOT_FOUND),
)
@click.argument("a", metavar="A", type=Place())
@click.argument("b", metavar="B", type=Place())
@click.option("--all", "every", is_flag=True, help="Also compare what may differ between two equal runs.")
@as_json
def command(a: str, b: str, every: bool, as_json: bool) -> int:
    """Compare two checkpoints, or two runs.

    A and B are model files, state files, or directories: then their newest checkpoints that verify. Each
    difference is printed with both values: of the moment, the versions, the training arguments, the first epoch of
    the history that differs, each attribute of each callback's configuration and state, and the random generators.
    Two values are the same only if their type and all their bits are. The times of the saves, the starts and the
    epochs are not compared. What may differ between two equal runs counts only with --all: what callbacks have
    left outside the process, such as the names of event files; the private counters of Keras's callbacks; and the
    digests of values that are stored by value. Epochs and batches count from 1, in JSON from 0.

    With --json it prints {"a": path, "b": path, "same": true or false, "differences": {part: [{"path", "a",
    "b"}]}, "history": null or {"epochs": [of a, of b], "first": null or {"epoch", "series": {name: [a, b]}}}}. "a"
    or "b" is left out where that side has nothing. Values are those of callback-state show --json.
    """
    left, right = described(opened(a)), described(opened(b))
    everything = {part: [*of] for part, of in _compared(left, right)}
    kept = {part: [d for d in of if every or not _is_incidental(d)] for part, of in everything.items()}
    found, hidden = {part: of for part, of in kept.items() if of}, _count(everything) - _count(kept)
    history = _history(left["history"], right["history"])
    if as_json:
        print_json(
            {
                "a": left["path"],
                "b": right["path"],
                "same": not (found or history),
                "differences": {part: [one.as_json() for one in of] for part, of in found.items()},
                "history": history,
            }
        )
    else:
        _print(left["path"], right["path"], found, history)
        if hidden:
            say(
                f"{hidden} more in files, private counters or digests, which equal runs may have: --all shows them"
            )
    return Exit.DIFFERENT if found or history else Exit.OK


def _count(found: dict[str, list[Difference]]) -> int:
    return sum(map(len, found.values()))


def _is_incidental(found: Difference) -> bool:
    """Whether two equal runs may differ in this."""
    if isinstance(found, _Incidental):
        return True
    sides = [side if isinstance(side, dict) else {} for side in (found.a, found.b)]
    what = [(side.get("what"), side.get("needs")) for side in sides if side.get("$type") == "by value"]
    return len(what) == 2 and what[0] == what[1]


class _Incidental(Difference):
    """A difference in what is outside the process, or in a private attribute of a class that is not the user's."""


def _compared(a: dict[str, Any], b: dict[str, Any]) -> Iterator[tuple[str, Iterator[Difference]]]:
    """Yield each part by its name, with its differences."""
    for part in _PARTS:
        yield part, differences(_timeless(a[part]), _timeless(b[part]))
    left, right = ({callback["key"]: callback for callback in side["callbacks"]} for side in (a, b))
    for key in dict.fromkeys([*left, *right]):
        yield key, _of_callback(left.get(key, MISSING), right.get(key, MISSING))


def _timeless(part: Any) -> Any:
    """Leave out the seconds that the current epoch has taken so far."""
    return {k: v for k, v in part.items() if k != "seconds"} if isinstance(part, dict) else part


def _of_callback(a: Any, b: Any) -> Iterator[Difference]:
    if MISSING in (a, b):
        sides = (side if side is MISSING else side["class"] for side in (a, b))
        yield Difference("", *sides)
        return
    for part in ("class", "version"):
        yield from differences(a[part], b[part], part)
    yield from map(_Incidental._make, differences(a["outside"], b["outside"], "outside"))
    is_ours = a["class"].startswith(_NOT_THE_USERS)
    for part, name in (("configuration", "{}="), ("state", "{}")):
        for attribute in dict.fromkeys([*a[part], *b[part]]):
            left, right = (_stampless(side[part].get(attribute, MISSING)) for side in (a, b))
            found = differences(left, right, name.format(attribute))
            yield from map(_Incidental._make, found) if is_ours and attribute.startswith("_") else found


def _stampless(value: Any) -> Any:
    """Leave out the time of the last save, if the value is the ledger of a checkpoint callback."""
    if isinstance(value, dict) and value.get("class") == LEDGER:
        return {**value, "fields": {name: v for name, v in value["fields"].items() if name != "stamp"}}
    return value


def _history(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any] | None:
    """The lengths of two histories and the first epoch in which they differ; None if they are the same."""
    if same(a, b):
        return None
    columns = [{"epochs": side["epochs"], **side["series"]} for side in (a, b)]
    first = None
    for i, epoch in enumerate(a["epochs"][: len(b["epochs"])]):
        rows = [{name: values[i] for name, values in side.items() if i < len(values)} for side in columns]
        names = [name for name in {**rows[0], **rows[1]} if not same(*(row.get(name) for row in rows))]
        if names:
            first = {"epoch": epoch, "series": {name: [row.get(name) for row in rows] for name in names}}
            break
    return {"epochs": [len(a["epochs"]), len(b["epochs"])], "first": first}


def _print(a: str, b: str, found: dict[str, list[Difference]], history: dict[str, Any] | None) -> None:
    print_words(f"A  {a}")
    print_words(f"B  {b}")
    if not found and history is None:
        print_words("no difference")
    for part, of in found.items():
        print_line()
        print_words(_TITLES.get(part, part), "bold")
        _print_pairs(_moments(of) if part == "moment" else of)
    if history is not None:
        print_line()
        print_words("history", "bold")
        print_words("  epochs  {} -> {}".format(*history["epochs"]))
        if history["first"] is None:
            print_words("  the same in all epochs that both have")
        else:
            print_words(f"  different from {moment(history['first']['epoch'])} on:")
            _print_pairs((name, *values) for name, values in history["first"]["series"].items())


def _moments(of: list[Difference]) -> Iterator[Difference]:
    """The differences of a moment as people count; where it goes on follows from it."""
    for path, *sides in of:
        if path != "initial_epoch":
            counted = path in ("epoch", "batch")
            yield Difference(path, *(side + 1 if counted and type(side) is int else side for side in sides))


def _print_pairs(pairs: Iterable[tuple[str, Any, Any]]) -> None:
    pairs = [*pairs]
    width = min(_WIDTH, max(len(name) for name, _, _ in pairs[:_SHOWN]))
    for name, a, b in pairs[:_SHOWN]:
        left, right = ("nothing" if value is MISSING else words(value, _WIDTH) for value in (a, b))
        hidden = " (they differ in something that is not shown here)" if left == right else ""
        print_words(f"  {name.ljust(width)}  {left} -> {right}{hidden}")
    if len(pairs) > _SHOWN:
        print_words(f"  and {len(pairs) - _SHOWN} more; --json has all")
