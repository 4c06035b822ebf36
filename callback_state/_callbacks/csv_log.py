"""The log of a ``CSVLogger``: how long it was at a save, and how the rows after that are removed.

A killed run has written rows after its last checkpoint, and the resumed run writes them again. So they are
removed first. Other lines, such as a user's remarks, are kept.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._store.staging import cut
from .._warn import warn

#: How many bytes before the end of the log are compared, to recognise the log.
_SEEN = 4096
_REMOTE = re.compile(r"/(cns|cfs|gcs|hdfs|readahead|placer|tfhub)|.*://", re.DOTALL)  # as in Keras


def outside(callback: Any) -> dict[str, Any]:
    """The size of the log in bytes (None: no file), a digest of its end, and whether a header is missing."""
    size, end = None, None
    if not is_remote(callback.filename) and os.path.isfile(callback.filename):
        size = os.stat(callback.filename).st_size  # every row is flushed by Keras
        end = _digest_before(callback.filename, size)
    # A log without a writer is not opened yet, or it is closed. If it is closed, its columns are known.
    is_new = callback.writer is None and (callback.keys is None or size is None)
    return {"size": size, "end": end, "header": bool(callback.append_header and is_new)}


def wind_back(callback: Any, taken: dict[str, Any]) -> None:
    """Remove the rows that were written later, and a last line that is incomplete.

    If this cannot be the same log, it is left as it is, with a warning.
    """
    opened = getattr(callback, "csv_file", None)
    if opened is not None:
        opened.close()  # a run in this process was killed and left it open
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
        problem = f"the rows that the killed run wrote cannot be removed from it ({error})"
    if problem is not None:
        warn(
            f"{type(callback).__name__}: {callback.filename} {problem}. The file is left as it is, so epochs may "
            f"be in it twice, or be missing."
        )


def pick_up(callback: Any, taken: dict[str, Any]) -> None:
    """If the header was not written yet, let the logger write it, even if the file has content."""
    if taken["header"]:
        callback.append_header = True


def _problem(callback: Any, size: int | None, end: str | None) -> str | None:
    """Why the log cannot be wound back: a predicate to go after its name."""
    path = callback.filename
    if is_remote(path):
        return "is not a local file, and only local files are wound back"
    if not os.path.exists(path):
        return f"had {size} bytes when the checkpoint was written, and does not exist now"
    if not os.path.isfile(path):
        return "is not a regular file"
    now = os.stat(path).st_size
    if size is None:
        there = f"did not exist when the checkpoint was written, and has {now} bytes now"
        return f"{there}, and this logger appends to them" if callback.append and now else None
    if now < size:
        return f"had {size} bytes when the checkpoint was written, and has {now} now"
    if end is not None and _digest_before(path, size) != end:
        return f"has other content in its first {size} bytes than when the checkpoint was written"
    return None


def is_remote(path: Any) -> bool:
    """Whether Keras opens this path with TensorFlow's file system and not with Python's."""
    return bool(_REMOTE.match(os.fspath(path)))


def natural(number: Any) -> int:
    """A size or a time from a file, checked. Raises ValueError if it is none."""
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
    """The lines at the end of a log that the logger has not written."""
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
    except csv.Error:  # a remark with a quotation mark
        fields = []
    return fields or [""], reader.line_num


@contextmanager
def appending(callbacks: list[Any]) -> Iterator[list[Any]]:
    """Keep the callbacks from erasing their log files while they hear ``on_train_begin``.

    Yields those that would erase them. A CSVLogger that has appended to a file does not write a header to another
    one, so the caller sets their ``append_header`` to True again when training has ended.
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
