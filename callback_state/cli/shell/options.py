"""Arguments and options that several commands share, and what they stand for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import click

from ..._checkpoints.find import Found, find
from ..._format.trust import Keys
from ..._store.bucket import places
from ..._store.bucket.places import pulled
from ...exceptions import CheckpointNotFoundError


class Place(click.Path):
    """A path, or a URL of an object store. The command gets a path on this machine, with the files listed."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return pulled(os.fsdecode(super().convert(value, param, ctx)))


path_argument = click.argument("path", metavar="PATH", type=Place())
directory_argument = click.argument("directory", metavar="DIR", type=Place())
#: The directory of a run or one checkpoint of it; the current directory by default.
run_argument = click.argument("path", metavar="[PATH]", default=".", type=Place())
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
run_option = click.option(
    "--run",
    metavar="NAME",
    help="If a directory has several runs: the run whose files have this name, as it was given to "
    "ModelCheckpointEnhanced, for example '{epoch:03d}.keras'. By default the run with the newest checkpoint.",
)
key_file = click.option(
    "--key-file",
    metavar="FILE",
    type=click.Path(),
    help="Also check the signatures. FILE holds the secret key as text; several keys stand on a line each. By "
    "default the keys in the environment variable CALLBACK_STATE_KEY are used, if there are any.",
)


def output_option(default: str, endings: tuple[str, ...], what: str) -> Any:
    """The option ``--output``. It refuses a name with another ending, so that no checkpoint is overwritten.

    The endings are in lower case. Of a link the name that it leads to is checked.
    """
    listed = ", ".join(endings)

    def check(context: click.Context, option: click.Parameter, path: str) -> str:
        if os.path.realpath(path).lower().endswith(endings):
            return path
        raise click.BadParameter(f"{path}: expected a name that ends with {listed}", context, option)

    return click.option(
        "-o",
        "--output",
        default=default,
        show_default=True,
        metavar="FILE",
        callback=check,
        type=click.Path(dir_okay=False),
        help=f"Where to write {what}. The name must end with {listed}. An existing file is replaced.",
    )


def opened(path: str) -> Found:
    """Open and verify the checkpoint at a path; of a directory the newest one."""
    found = find(path, None, missing_ok=False)
    assert found is not None
    return found


def keys_in(path: str | None) -> Keys | None:
    """Read the keys from a file, or from the environment if no file is given; None if there are none."""
    given: Any = None
    if path is not None:
        with open(path, "rb") as file:
            given = [line.strip() for line in file.read().splitlines() if line.strip()]
    try:
        return Keys.of(given)
    except (TypeError, ValueError) as error:
        where = "" if path is None else f"{path}: "
        raise click.UsageError(f"{where}{error}") from None


def check_directory(path: str) -> None:
    if not os.path.isdir(path):
        raise CheckpointNotFoundError(path, "expected a directory of checkpoints, found none; check the path")


@contextlib.contextmanager
def locked(directory: str) -> Iterator[None]:
    """Hold the lock of a directory, so that no run writes into it. A missing directory is not made.

    What the block changes in the near copy of a store is then put into the store.
    """
    check_directory(directory)
    held = places.hold(directory)
    try:
        yield
        places.push(directory)
    finally:
        held.release()
