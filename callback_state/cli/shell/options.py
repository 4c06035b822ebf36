"""Arguments that name checkpoints, and keys that files are signed with."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import click

from ..._checkpoints.find import Found, find
from ..._format.trust import Keys
from ..._store import lock
from ...exceptions import CheckpointNotFoundError

__all__ = ["alone_in", "check_directory", "key_file", "keys_in", "opened", "path_argument"]

path_argument = click.argument("path", metavar="PATH", type=click.Path())
key_file = click.option(
    "--key-file",
    metavar="FILE",
    type=click.Path(),
    help="Also check the signatures: FILE holds the secret key, several of them a line each, as text. By default "
    "the keys in the environment variable CALLBACK_STATE_KEY count, if there are any.",
)


def opened(path: str, keys: Keys | None = None) -> Found:
    """The checkpoint at a path, verified; of a directory the newest one. Raises as :func:`find`."""
    found = find(os.fspath(path), None, missing_ok=False, keys=keys)
    assert found is not None
    return found


def keys_in(path: str | None) -> Keys | None:
    """The keys in a file, or in the environment where there is no file; None where there is none.

    Raises:
        UsageError: the file, or the environment, holds something else.
        OSError: it cannot be read.
    """
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
    """Refuse what is no directory. Raises CheckpointNotFoundError."""
    if not os.path.isdir(path):
        raise CheckpointNotFoundError(path, "expected a directory of checkpoints, found none; check the path")


@contextlib.contextmanager
def alone_in(directory: str) -> Iterator[None]:
    """Keeps every run from writing into a directory, which is not made if it is missing.

    Raises:
        InUseError: a run writes there.
        CheckpointNotFoundError: there is no such directory.
    """
    check_directory(directory)
    held = lock.hold(directory)
    try:
        yield
    finally:
        held.release()
