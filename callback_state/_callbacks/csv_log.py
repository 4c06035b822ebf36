"""The log of a ``CSVLogger``: how far it was written at a save, and without the rows that came later.

A killed run has written rows after its last checkpoint; the run that goes on writes them again. So they
are taken out first. Lines that are no rows of the logger, such as somebody's remarks, stay where they are.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._store.staging import cut

__all__ = ["appending", "is_remote", "natural", "outside", "pick_up", "wind_back"]

#: Bytes before the end of the log by which it is known again.
_SEEN = 4096
_REMOTE = re.compile(r"/(cns|cfs|gcs|hdfs|readahead|placer|tfhub)|.*://", re.DOTALL)  # as in Keras


def outside(callback: Any) -> dict[str, Any]:
    """The size of the log in bytes (None: there is no file), its end's digest, is the header still to come?"""
    size, end = None, None
    if not is_remote(callback.filename) and os.path.isfile(callback.filename):
        size = os.stat(callback.filename).st_size  # every row is flushed by Keras
        end = _digest_before(callback.filename, size)
    # Without a writer a log is not opened yet, or closed: then its columns are known.
    is_new = callback.writer is None and (callback.keys is None or size is None)
    return {"size": size, "end": end, "header": bool(callback.append_header and is_new)}


def wind_back(callback: Any, taken: dict[str, Any]) -> None:
    """Take out of the log the rows that were written since, and a torn last line.

    A log that cannot be the one that was is left as it is, with a warning.
    """
    opened = getattr(callback, "csv_file", None)
    if opened is not None:
        opened.close()  # by a run that was killed within this process
    size = None if taken["size"] is None else natural(taken["size"])
    if size is None and not is_remote(callback.filename) and not os.path.exists(callback.filename):
        return
    try:
        problem = _problem(callback, size, taken["end"])
        if problem is None:
            path = os.path.realpath(callback.filename)
            tail = _read(path, size or 0, os.stat(path).st_size)
            cut(path, size or 0, _without_rows(callback, path, tail, header=bool(taken["header"])))
    except OSError as error:
        problem = f"rows that the killed run wrote cannot be taken out of it ({error})"
    if problem is not None:
        warnings.warn(
            f"{type(callback).__name__}: {callback.filename}: {problem}. It is left as it is: epochs may "
            f"stand in it twice, or be missing.",
            stacklevel=2,
        )


def pick_up(callback: Any, taken: dict[str, Any]) -> None:
    """A header that was still to be written is to be written, whatever stands in the file already."""
    if taken["header"]:
        callback.append_header = True


def _problem(callback: Any, size: int | None, end: str | None) -> str | None:
    """Why the log cannot be wound back: what was expected, what was found."""
    path = callback.filename
    if is_remote(path):
        return "is not a local file, and only those are wound back"
    if not os.path.exists(path):
        return f"had {size} bytes when the checkpoint was written, and is gone"
    if not os.path.isfile(path):
        return "is no regular file"
    now = os.stat(path).st_size
    if size is None:
        there = f"was not there when the checkpoint was written, and has {now} bytes"
        return f"{there}, to which this logger appends" if callback.append and now else None
    if now < size:
        return f"had {size} bytes when the checkpoint was written, and has {now}"
    if end is not None and _digest_before(path, size) != end:
        return f"does not say in its first {size} bytes what it said when the checkpoint was written"
    return None


def is_remote(path: Any) -> bool:
    """Whether Keras opens this path with TensorFlow's file system and not with Python's."""
    return bool(_REMOTE.match(os.fspath(path)))


def natural(number: Any) -> int:
    """A size or a time that a file names. Raises ValueError if it is none."""
    if type(number) is not int or number < 0:
        raise ValueError(f"{number!r}: expected a natural number")
    return number


def _digest_before(path: str, size: int) -> str:
    return hashlib.sha256(_read(path, max(0, size - _SEEN), size)).hexdigest()


def _read(path: str, start: int, stop: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(start)
        return file.read(stop - start)


def _without_rows(callback: Any, path: str, tail: bytes, *, header: bool) -> bytes:
    """What of the end of a log was not written by the logger."""
    *lines, _torn = (line + b"\n" for line in tail.split(b"\n"))
    keys = callback.keys
    width = _width_of_header(path, callback.sep) if keys is None else len(keys) + 1
    kept, i = [], 0
    while i < len(lines):
        rest = (lines[j] for j in range(i, len(lines)))
        fields, length = _record(rest, callback.sep)
        of_logger = len(fields) == width if width is not None else len(fields) > 1
        row = re.fullmatch(r"-?\d+", fields[0]) or (header and fields[0] == "epoch")
        if not (of_logger and row):
            kept.append(lines[i])
            length = 1
        i += length
    return b"".join(kept)


def _width_of_header(path: str, separator: str) -> int | None:
    """How many columns the first header in the file has."""
    with open(path, "rb") as file:
        found = (_record(iter((line,)), separator)[0] for line in file)
        return next((len(fields) for fields in found if fields[0] == "epoch"), None)


def _record(lines: Iterator[bytes], separator: str) -> tuple[list[str], int]:
    """The fields of the first record, and how many lines it takes: more than one if a value has line ends."""
    reader = csv.reader(
        (line.decode("utf-8", "surrogateescape") for line in lines), delimiter=separator, strict=True
    )
    try:
        fields = next(reader)
    except csv.Error:  # somebody's remark with a quotation mark
        fields = []
    return fields or [""], reader.line_num


@contextmanager
def appending(callbacks: list[Any]) -> Iterator[list[Any]]:
    """While the callbacks hear ``on_train_begin``, let none of them erase its log file.

    Gives those that would have. A CSVLogger remembers forever that its file had a header: when training
    has ended, their ``append_header`` is to be true again.
    """
    import keras

    erasing = [c for c in callbacks if isinstance(c, keras.callbacks.CSVLogger) and not c.append]
    for callback in erasing:
        callback.append = True
    try:
        yield erasing
    finally:
        for callback in erasing:
            callback.append = False
