"""The log of a ``CSVLogger``: how long it was at a save, and how the rows after that are removed.

A killed run has written rows after its last checkpoint, and the resumed run writes them again. So they are
removed first: the row of the epoch that is written next, and those of the epochs after it. Other lines are kept,
such as a user's remarks and the rows that another run has appended.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from .._store.claims import Owner
from .._store.staging import cut
from .._warn import warn

#: How many bytes before the end of the log are compared, to recognise the log.
_SEEN = 4096
#: So many epochs a warning names.
_SHOWN = 10
_REMOTE = re.compile(r"/(cns|cfs|gcs|hdfs|readahead|placer|tfhub)|.*://", re.DOTALL)  # as in Keras


#: For a restored callback: the 0-based epoch whose row is written next.
_due: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


class Tail(NamedTuple):
    """What is kept of the end of a log."""

    kept: bytes
    epochs: list[int]  # of the rows among it that look like a logger's


def outside(callback: Any) -> dict[str, Any]:
    """The size of the log in bytes (None: no file), a digest of its end, and whether a header is missing."""
    size, end = None, None
    if not is_remote(callback.filename) and os.path.isfile(callback.filename):
        size = os.stat(callback.filename).st_size  # every row is flushed by Keras
        end = _digest_before(callback.filename, size)
    # A log without a writer is not opened yet, or it is closed. If it is closed, its columns are known.
    is_new = callback.writer is None and (callback.keys is None or size is None)
    return {"size": size, "end": end, "header": bool(callback.append_header and is_new)}


def note(callback: Any, owner: Owner) -> None:
    """Remember the epoch whose row is written next."""
    _due[callback] = owner.epoch


def wind_back(callback: Any, taken: dict[str, Any]) -> None:
    """Remove the rows that the run has written later, and a last line of its own that is incomplete.

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
            data = _read(path, size or 0, os.stat(path).st_size)
            tail = _without_rows(callback, path, data, header=bool(taken["header"]))
            if tail.kept != data:
                cut(path, size or 0, tail.kept)
            if tail.epochs:
                _warn_of_rows(callback, tail.epochs)
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
    if _digest_before(path, size) != end:
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


def _warn_of_rows(callback: Any, epochs: list[int]) -> None:
    shown = ", ".join(map(str, epochs[:_SHOWN])) + (", ..." if len(epochs) > _SHOWN else "")
    warn(
        f"{type(callback).__name__}: {callback.filename}: the rows of epochs {shown} (0-based) do not continue "
        f"those of the run that goes on, and are left as found: another run may have written there. Epochs may be "
        f"in it twice."
    )


def _without_rows(callback: Any, path: str, tail: bytes, *, header: bool) -> Tail:
    """The lines at the end of a log that the logger has not written in this run."""
    *lines, torn = tail.split(b"\n")
    lines = [line + b"\n" for line in lines]
    keys = callback.keys
    width = _width_of_header(path, callback.sep) if keys is None else len(keys) + 1
    due, kept, epochs, i = _due.get(callback), [], [], 0
    while i < len(lines):
        rest = (lines[j] for j in range(i, len(lines)))
        fields, length = _record(rest, callback.sep)
        of_logger = len(fields) == width if width is not None else len(fields) > 1
        epoch = int(fields[0]) if of_logger and re.fullmatch(r"-?[0-9]{1,18}", fields[0]) else None
        if epoch is not None and epoch == due:
            due += 1
        elif of_logger and header and fields[0] == "epoch":
            header = False  # one run writes one
        else:
            length = 1 if epoch is None else length
            kept += lines[i : i + length]
            epochs += [] if epoch is None else [epoch]
        i += length
    starts = [f"{due}{callback.sep}"] * (due is not None) + [f"epoch{callback.sep}"] * header
    if torn and not _begins_as(torn.decode("utf-8", "surrogateescape"), starts):
        kept.append(torn + b"\n")  # what is written next begins a line
    return Tail(b"".join(kept), epochs)


def _begins_as(torn: str, starts: list[str]) -> bool:
    """Whether a line that is incomplete can be one that begins like this."""
    return any(torn.startswith(start) or start.startswith(torn) for start in starts)


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
