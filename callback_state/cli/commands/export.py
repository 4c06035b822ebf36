"""``callback-state export``: the history of a run as a table."""

from __future__ import annotations

import csv
import io
import json
from itertools import zip_longest
from typing import Any

import click

from ..._checkpoints.find import load_meta
from ...exceptions import CorruptCheckpointError
from ..shell.command import as_json, page
from ..shell.exits import Exit
from ..shell.options import path_argument
from ..shell.output import print_json, print_line, printable
from ..values.view import view

__all__ = ["command"]


@page(
    "export",
    examples={
        "callback-state export ckpt": "the history up to the newest checkpoint, as CSV",
        "callback-state export ckpt/002.keras --json": "up to a certain one, with your training arguments",
    },
    exits=(Exit.DAMAGED, Exit.NOT_FOUND),
)
@path_argument
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: a line an epoch; the default.")
@as_json
def command(path: str, as_csv: bool, as_json: bool) -> int:
    """Print the history of a run.

    Every epoch up to the checkpoint, those before restarts included. PATH is a model file, a state file, or a
    directory: then its newest checkpoint that verifies. An HDF5 file that has lost its state file has a history of
    its own, which is read then.

    CSV has the columns "epochs" (0-based), then one for each series; what is no number is written as
    JSON, and nothing where a series has no value. --json is {"epochs": [...], series: [...], "training_args":
    {...}}, with the values of callback-state show --json.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json: choose one")
    meta = _loaded(path)
    if as_json:
        print_json({name: view(values) for name, values in meta.items()})
    else:
        _print_csv({name: view(v) for name, v in meta.items() if name != "training_args"})
    return Exit.OK


def _loaded(path: str) -> dict[str, Any]:
    try:
        return load_meta(path)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:  # of a group in HDF5 that is not ours
        raise CorruptCheckpointError(path, f"its history cannot be read ({error})") from error


def _print_csv(columns: dict[str, Any]) -> None:
    columns = {"epochs": columns["epochs"], **columns}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(printable, columns))
    writer.writerows([printable(_cell(value)) for value in row] for row in zip_longest(*columns.values()))
    for line in text.getvalue().splitlines():
        print_line(line)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict) and value.get("$type") in ("float", "scalar"):
        value = value["value"]
    return str(value) if isinstance(value, (int, float, str)) else json.dumps(value)
