"""Reading a model file that somebody else has written: a file that cannot be read is never committed.

An overridden ``save`` writes what it likes, with whatever it likes. So nobody can compare the file with what was
meant; but every byte of it can be read, and the checksums in it can be compared.
"""

from __future__ import annotations

import zipfile
from typing import Any

import h5py

from ..exceptions import WriteError


def read_back(path: str, name: str) -> None:
    """Read all of a ``.keras``, ``.h5`` or ``.weights.h5`` file; ``name`` is for the WriteError if that fails."""
    try:
        if path.endswith(".h5"):
            with h5py.File(path, "r") as file:
                file.visititems(_read)
            return
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # zipfile and h5py raise many kinds for a damaged file
        raise _refused(name, f"expected a file that can be read, found what cannot ({error!r:.200})") from error
    if damaged is not None:
        raise _refused(name, f"expected {damaged} with its checksum, found another one")


def _refused(name: str, what: str) -> WriteError:
    return WriteError(
        name,
        f"{what}. So the new file was removed, and a checkpoint that was here before is as it was. Most likely "
        f"the system refused to write, and the library that wrote did not say so: is the disk full, or failing? "
        f"When that is repaired, start the run again; it goes on from its last checkpoint",
    )


def _read(name: str, item: Any) -> None:
    if isinstance(item, h5py.Dataset):
        item[()]
