"""Commands of the command line, run in this process, and checkpoints for them: state files of any content."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostile.files import described
from hostile.tables import Liar
from states import META, RUN, model_of, summary

from callback_state._format.encode import Named
from callback_state._format.statefile import seal
from callback_state._store.pair import SUFFIX
from callback_state.cli import main


class Terminal(io.StringIO):
    """Takes what is printed for a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Done:
    """What a command has returned and printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, strictly: the NaN and infinities that Python's reader takes are none of JSON."""
        return json.loads(self.out, parse_constant=lambda name: 1 / 0)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def run(*argv: Any, terminal: bool = False) -> Done:
    """Run a command with standard output and error caught; they are terminals if that is asked for."""
    kind = Terminal if terminal else io.StringIO
    out, err = kind(), kind()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([*map(str, argv)])
    return Done(int(status), out.getvalue(), err.getvalue())


def state_of(
    number: int,
    states: dict[str, dict[str, Any]] | None = None,
    arguments: dict[str, Any] | None = None,
    pickles: tuple[bytes, ...] = (),
    sign: Any = None,
    run: dict[str, Any] | None = None,
    model_file: bytes | None = None,
    **meta: Any,
) -> bytes:
    """The state file of save ``number``, which is its ``saved_at`` and its epoch.

    Args:
        number: as for ``states.model_of``.
        states: by key the attributes of callbacks; what is no plain value is a ``hostile.tables.Raw``.
        arguments: what each of their constructors was given, as the file has it.
        pickles: the by-value section.
        sign: as for ``seal``.
        run: what differs from ``states.RUN``.
        model_file: its bytes, if they are not those of ``states.model_of``.
        meta: what differs from ``states.META``.
    """
    states = states or {}
    entries = [described(f"package.{key}", key, **(arguments or {}).get(key, {})) for key in states]
    said = {**META, "saved_at": number, "epoch": number, "callbacks": entries, **meta}
    if isinstance(said["starts"], list):
        said["starts"] = starts_of(said["starts"])
    encoder = Liar()
    encoder.nodes.append(summary(said).node())
    state_root = encoder.table({key: Named(state) for key, state in states.items()}).root
    root = encoder.table({"meta": said, "run": {**RUN, **(run or {})}}).root
    model = model_of(number) if model_file is None else model_file
    tree = [encoder.nodes, root, state_root, [*pickles]]
    return seal(tree, hashlib.sha256(model).digest(), len(model), sign)


def starts_of(starts: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Starts of a run, with their epoch and batch that were ``due``, as a state file has them."""
    dues = [start["due"] or (None, None) for start in starts]
    columns = {name: [start[name] for start in starts] for name in ("at", "epoch", "batch", "from", "beside")}
    return {**columns, "due_epoch": [due[0] for due in dues], "due_batch": [due[1] for due in dues]}


def put(directory: Path, name: str, number: int, *args: Any, **options: Any) -> Path:
    """A whole checkpoint with a state of :func:`state_of`; the path of its model file."""
    directory.mkdir(exist_ok=True)
    (directory / name).write_bytes(model_of(number))
    (directory / (name + SUFFIX)).write_bytes(state_of(number, *args, **options))
    return directory / name


def put_run(directory: Path, values: list[float | None], template: str = "{epoch:03d}.keras", **meta: Any) -> None:
    """A run that saved after each epoch, with these monitored values; the first file is ``001.keras``."""
    for epoch, value in enumerate(values):
        name = template.format(epoch=epoch + 1)
        put(directory, name, epoch, template=template, monitor=("val_loss", value), **meta)
