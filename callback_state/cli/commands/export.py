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
from ..shell.command import page
from ..shell.exits import Exit
from ..shell.options import as_json, path_argument
from ..shell.output import print_json, print_line, printable
from ..values.view import view


@page(
    examples={
        "callback-state export ckpt": "the history up to the newest checkpoint, as CSV",
        "callback-state export ckpt/002.keras --json": "up to this checkpoint, with your training arguments",
    },
    exits=(Exit.DAMAGED, Exit.NOT_FOUND),
)
@path_argument
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with one line for each epoch; the default.")
@as_json
def command(path: str, as_csv: bool, as_json: bool) -> int:
    """Print the history of a run.

    It has every epoch up to the checkpoint, also those before restarts. PATH is a model file, a state file, or a
    directory: then its newest checkpoint that verifies. If an HDF5 file has lost its state file, the history in
    the HDF5 file is printed.

    CSV has the column "epochs" (0-based), then one column for each series. A value that is no number is written as
    JSON; a missing value is empty. --json prints {"epochs": [...], series: [...], "training_args": {...}} with the
    values of callback-state show --json.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json cannot be used together")
    try:
        meta = load_meta(path)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:  # not a group of this package in HDF5
        raise CorruptCheckpointError(path, f"its history cannot be read ({error})") from error
    if as_json:
        print_json({name: view(values) for name, values in meta.items()})
    else:
        _print_csv({name: view(v) for name, v in meta.items() if name != "training_args"})
    return Exit.OK


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
