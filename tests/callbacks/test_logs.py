"""A ``CSVLogger``'s file after a resume is that of the run that was not killed; nothing else in it is touched."""

from __future__ import annotations

import csv
import io
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reused import SAVING, start

from callback_state import ResumeError
from callback_state._callbacks.capture import note_outside, outside_of, pick_up, wind_back
from callback_state._callbacks.csv_log import cut, is_remote
from callback_state._store import disk
from callback_state._store.claims import Owner

HEADER = b"epoch,loss,val_loss\r\n"
REMARK = b"# from here on with the new data\n"


def logger(path: Path, *, append: bool = False, keys: list[str] | None = None, sep: str = ",") -> Any:
    """One as a resumed run holds it before training begins: its state is restored."""
    made = keras.callbacks.CSVLogger(str(path), sep, append)
    made.keys = keys
    return made


def restored(path: Path, due: int, **options: Any) -> Any:
    """One of a run that goes on and writes the row of this 0-based epoch next."""
    made = logger(path, **options)
    note_outside(made, Owner("a" * 32, frozenset(), due))
    return made


def row(epoch: int, *values: Any, sep: str = ",") -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=sep).writerow([epoch, *(values or (0.5, "NA"))])
    return out.getvalue().encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.csv"


def wound_back(path: Path, before: bytes, after: bytes, due: int = 1, **options: Any) -> bytes:
    """What a log says that was saved when it said ``before``, and was then written on, from this epoch on."""
    path.write_bytes(before)
    callback = logger(path, **options)
    callback.writer = object() if before else None
    taken = outside_of(callback)
    path.write_bytes(before + after)
    wind_back(restored(path, due, **options), taken)
    return path.read_bytes()


KEYS = ["loss", "val_loss"]
TAILS: dict[str, tuple[bytes, bytes]] = {
    "a remark among rows": (row(2) + REMARK + row(3) + row(4)[:-3], REMARK),
    "another table": (b"3,4\n1,2,3,4\n", b"3,4\n1,2,3,4\n"),
    "a row of text": (b"epochs,are,fun\n", b"epochs,are,fun\n"),
    "another header": (HEADER + row(2), HEADER),
    "a value with a line end": (row(2, "[[1 2]\n [3 4]]", 0.5) + REMARK, REMARK),
    "a value with separators": (row(2, '"[1, 2]"', 0.5), b""),
    "a remark with a quotation mark": (b'2,"see\n' + row(2), b'2,"see\n'),
    "bytes that are no text": (b"\xff\xfe\x00\n" + row(2), b"\xff\xfe\x00\n"),
    "rows with other line ends": (b"2,1,2\n3,1,2\r\r\n4,1,2\n", b""),
    "a remark that is torn": (row(2) + b"# and", b"# and\n"),
    "a number that is torn": (row(2) + b"3", b""),
}


@pytest.mark.parametrize("name", TAILS)
@pytest.mark.parametrize("append", [False, True], ids=["new", "append"])
def test_rows_after_the_save_go(path: Path, name: str, append: bool) -> None:
    """Complete rows and a torn last line go, everything else stays, byte for byte."""
    before = HEADER + REMARK + row(0) + row(1)
    after, kept = TAILS[name]
    assert wound_back(path, before, after, 2, append=append, keys=KEYS) == before + kept


OTHERS: dict[str, tuple[bytes, bytes]] = {
    "after the run's own": (row(2) + row(3) + row(0) + row(1), row(0) + row(1)),
    "before them": (row(0) + row(2), row(0)),
    "among them": (row(2) + row(0) + row(3) + row(1), row(0) + row(1)),
    "the same epochs": (row(2) + row(3) + row(2) + row(3), row(2) + row(3)),
    "later epochs": (row(5) + row(6), row(5) + row(6)),
    "over several lines": (row(0, "[1\n 2]", 3) + row(2), row(0, "[1\n 2]", 3)),
    "and one that is torn": (row(2) + row(0) + row(1)[:-3], row(0) + row(1)[:-3] + b"\n"),
    "from before its beginning": (row(-1) + row(2), row(-1)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_rows_of_another_run_stay(path: Path, name: str) -> None:
    """Those that do not continue the run's epochs, byte for byte, with one warning that names the epochs."""
    after, kept = OTHERS[name]
    before = HEADER + row(0) + row(1)
    with pytest.warns(UserWarning, match=r"log\.csv: the rows of epochs -?\d.* do not continue") as caught:
        assert wound_back(path, before, after, 2, keys=KEYS, append=True) == before + kept
    assert len(caught) == 1


def test_a_second_header_stays(path: Path) -> None:
    """The logger of another run has written it."""
    with pytest.warns(UserWarning, match="rows of epochs 0 "):
        found = wound_back(path, b"", HEADER + row(0) + HEADER + row(0), 0)
    assert found == HEADER + row(0)


def test_where_the_next_epoch_is_not_known_no_row_goes(path: Path) -> None:
    """Nothing is guessed."""
    path.write_bytes(HEADER)
    taken = outside_of(logger(path, keys=KEYS))
    path.write_bytes(HEADER + row(0))
    with pytest.warns(UserWarning, match="the rows of epochs 0 "):
        wind_back(logger(path, keys=KEYS), taken)
    assert path.read_bytes() == HEADER + row(0)


def test_another_name_of_a_log_keeps_its_content(path: Path, tmp_path: Path) -> None:
    """A backup of hard links is not cut with the log."""
    path.write_bytes(HEADER)
    taken = outside_of(logger(path, keys=KEYS))
    path.write_bytes(HEADER + row(0))
    os.link(path, tmp_path / "backup.csv")
    wind_back(restored(path, 0, keys=KEYS), taken)
    assert (path.read_bytes(), (tmp_path / "backup.csv").read_bytes()) == (HEADER, HEADER + row(0))


@pytest.mark.parametrize("separator", [";", "\t", "§"])
def test_rows_are_known_by_the_separator(path: Path, separator: str) -> None:
    """A row of another separator is none of this logger's."""
    before, after = row(0, 1, 2, sep=separator), row(1, 1, 2, sep=separator) + row(2, 1, 2)
    assert wound_back(path, before, after, keys=KEYS, sep=separator) == before + row(2, 1, 2)


def test_columns_are_those_of_the_header(path: Path) -> None:
    """Where the state does not say which columns there are, the header in the file does."""
    assert wound_back(path, HEADER + row(0), row(1) + b"1,2\n") == HEADER + row(0) + b"1,2\n"


def test_without_any_header_a_row_has_two_columns(path: Path) -> None:
    """A number alone is a remark."""
    assert wound_back(path, b"x\n", b"1,2\n3\n2,5,6\n", append=True) == b"x\n3\n"


@pytest.mark.parametrize("before", [b"", REMARK], ids=["empty", "a remark"])
def test_header_after_the_save_goes_and_comes_again(path: Path, before: bytes) -> None:
    """A save before the first row: the header of the killed run goes, and that of the resumed one is due."""
    path.write_bytes(before)
    callback = restored(path, 0)
    taken = outside_of(callback)
    path.write_bytes(before + HEADER + row(0))
    wind_back(callback, taken)
    assert path.read_bytes() == before
    callback.append_header = False  # as Keras decides when the file is not empty
    pick_up(callback, taken)
    assert callback.append_header is True


@pytest.mark.parametrize("append", [False, True], ids=["new", "append"])
def test_no_file_at_the_save(path: Path, append: bool) -> None:
    """All rows of a file that was not there are the killed run's, unless the logger appends to files."""
    taken = outside_of(logger(path, keys=KEYS))
    assert taken["size"] is None
    wind_back(logger(path, append=append), taken)
    assert not path.exists()
    path.write_bytes(HEADER + row(0) + REMARK)
    if not append:
        wind_back(restored(path, 0), taken)
        assert path.read_bytes() == REMARK
        return
    with pytest.warns(
        UserWarning, match=r"log\.csv did not exist .* has 64 bytes now, and this logger appends .* left as it is"
    ):
        wind_back(logger(path, append=True), taken)
    assert path.read_bytes() == HEADER + row(0) + REMARK


# Any log: a prefix, and a tail of rows of this run and of another, remarks, and at most one torn line.

WIDTH = 3
VALUES = st.one_of(st.floats(), st.text(alphabet='NA1.,;" \n', max_size=5), st.just('"[1.0, 2.0]"'), st.integers())
ROWS = st.builds(lambda *values: lambda epoch: row(epoch, *values), VALUES, VALUES)
TEXT = st.text(alphabet="0123456789,;#. -éA\r", max_size=12).map(lambda text: text.encode() + b"\n")


def is_a_row(line: bytes) -> bool:
    fields = re.sub(rb"\r*\n$", b"", line).split(b",")
    return len(fields) == WIDTH and re.fullmatch(rb"-?[0-9]+", fields[0]) is not None


REMARKS = TEXT.filter(lambda line: not is_a_row(line)).map(lambda line: ("remark", line))
OTHER = ROWS.map(lambda line: ("other", line(0)))
LINES = st.lists(st.one_of(REMARKS, ROWS.map(lambda line: ("row", line)), OTHER), max_size=12)
PREFIX = st.binary(max_size=60)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=PREFIX, tail=LINES, torn=st.one_of(st.none(), ROWS))
def test_any_tail(path: Path, before: bytes, tail: list[tuple[str, Any]], torn: Any) -> None:
    """Prefix, remarks and rows of others are there byte for byte and in their order; the rest is gone."""
    epoch, after, kept = 5, b"", b""
    for kind, line in tail:
        after += line(epoch) if kind == "row" else line
        kept += line if kind != "row" else b""
        epoch += kind == "row"
    with warnings.catch_warnings():
        if any(kind == "other" for kind, _ in tail):
            warnings.simplefilter("ignore", UserWarning)
        after += b"" if torn is None else torn(epoch).split(b"\n")[0][:-1]
        assert wound_back(path, before, after, 5, keys=KEYS, append=True) == before + kept


# What can be wrong with the file.


def replaced(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size + row(5))


def is_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "shorter": (lambda path: path.write_bytes(HEADER), r"had 31 bytes when .* was written, and has 21"),
    "gone": (lambda path: path.unlink(), r"had 31 bytes when .* was written, and does not exist now"),
    "replaced": (replaced, "has other content in its first 31 bytes"),
    "a directory": (is_a_directory, "is not a regular file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_log_that_is_not_the_one_is_left_alone(path: Path, name: str) -> None:
    """The warning says what was expected and what was found, and the file is as it was."""
    path.write_bytes(HEADER + row(0))
    taken = outside_of(logger(path))
    change, message = WRONG[name]
    change(path)
    found = path.read_bytes() if path.is_file() else None
    with pytest.warns(UserWarning, match=rf"CSVLogger: .*log\.csv {message}.*be in it twice"):
        wind_back(logger(path), taken)
    assert (path.read_bytes() if path.is_file() else None) == found


def test_a_long_log_is_known_by_its_end(path: Path) -> None:
    """Whatever its length: a byte that changed shortly before the save's end is noticed."""
    before = HEADER + row(0) * 1000
    assert wound_back(path, before, row(1), keys=KEYS) == before
    taken = outside_of(logger(path))
    path.write_bytes(before[:-9] + b"7" + before[-8:] + row(1))
    with pytest.warns(UserWarning, match="has other content"):
        wind_back(logger(path, keys=KEYS), taken)


@pytest.mark.parametrize("remote", ["gs://bucket/log.csv", "/gcs/log.csv"])
def test_a_log_that_is_not_local(monkeypatch: pytest.MonkeyPatch, remote: str) -> None:
    """It is not even looked at, and the resume says so."""
    callback = logger(Path("x"))
    callback.filename = remote
    monkeypatch.setattr(os, "stat", None)
    taken = outside_of(callback)
    assert taken == {"size": None, "end": None, "header": True}
    with pytest.warns(UserWarning, match="is not a local file"):
        wind_back(callback, taken)


def test_remote_is_what_keras_takes_for_remote() -> None:
    """The same paths as in this Keras."""
    from keras.src.utils.file_utils import is_remote_path

    paths = ["log.csv", "/tmp/log.csv", "gs://x/y", "/gcs/x", "/gcsx", "a/gcs/x", "s3://b", "/hdfs", "C:\\x"]
    assert [is_remote(p) for p in paths] == [is_remote_path(p) for p in paths]


REFUSED = {"in place": ("truncate", row(1)), "anew": ("mkdir", row(1) + REMARK)}


@pytest.mark.parametrize("name", REFUSED)
def test_no_permission(path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A file that must not be written is as it was; the warning has the system's words."""

    def refuse(*args: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    function, after = REFUSED[name]
    monkeypatch.setattr(os, function, refuse)
    with pytest.warns(UserWarning, match=r"cannot be removed from it \(\[Errno 13\] Permission denied\)"):
        assert wound_back(path, HEADER, after, keys=KEYS) == HEADER + after


@pytest.mark.parametrize("function", ["write", "sync", "rename"])
def test_a_crash_leaves_the_old_log_or_the_new(path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    """Wherever the process dies while it makes the new file, all remarks are there, and once more will do."""

    class Died(BaseException):
        pass

    def die(*args: Any) -> None:
        raise Died

    after = row(1) + REMARK
    target = {"write": (os, "mkdir"), "sync": (disk, "sync_file"), "rename": (disk, "rename")}[function]
    with monkeypatch.context() as patched:
        patched.setattr(*target, die)
        with pytest.raises(Died):
            wound_back(path, HEADER, after, keys=KEYS)
    assert path.read_bytes() == HEADER + after
    assert wound_back(path, HEADER, after, keys=KEYS) == HEADER + REMARK
    assert os.listdir(path.parent) == ["log.csv"]


def test_permissions_and_links_stay(path: Path, tmp_path: Path) -> None:
    """A log that is made anew has the old one's permissions, and a link to it is still one."""
    path.write_bytes(HEADER)
    link = tmp_path / "link.csv"
    link.symlink_to(path)
    taken = outside_of(logger(link))
    path.write_bytes(HEADER + row(0) + REMARK)
    path.chmod(0o640)
    wind_back(restored(link, 0, keys=KEYS), taken)
    assert path.read_bytes() == HEADER + REMARK
    assert link.is_symlink() and stat.S_IMODE(path.stat().st_mode) == 0o640


def test_cut_in_place_keeps_the_file(path: Path) -> None:
    """Where only the end goes, it is the same file: whoever follows it goes on following it."""
    path.write_bytes(HEADER + row(0))
    before = path.stat().st_ino
    assert wound_back(path, HEADER, row(0), 0, keys=KEYS) == HEADER
    assert path.stat().st_ino == before
    cut(str(path), 5, anew=True)
    assert path.read_bytes() == HEADER[:5]
    assert path.stat().st_ino != before


@pytest.mark.parametrize("size", [-1, 1.5, "1", True])
def test_a_size_that_is_none(path: Path, size: Any) -> None:
    """A checkpoint that says nonsense changes no file."""
    path.write_bytes(HEADER)
    taken = {**outside_of(logger(path)), "size": size}
    with pytest.raises(ResumeError, match=r"CSVLogger: wind_back= .* expected a natural number"):
        wind_back(logger(path), taken)
    assert path.read_bytes() == HEADER


# Whole runs: killed after rows that no checkpoint knows, and resumed.


@pytest.fixture
def loggers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Any]]]:
    """Makes the callbacks of a run; in the end what a killed process leaves open is closed."""
    monkeypatch.chdir(tmp_path)
    made: list[Any] = []

    def make(append: bool) -> list[Any]:
        made.append(keras.callbacks.CSVLogger("log.csv", append=append))
        return [keras.callbacks.ReduceLROnPlateau("loss", patience=1), made[-1]]

    yield make
    for callback in made:
        callback.csv_file.close()


@pytest.mark.parametrize(
    ("append", "options", "saving"), [(False, {}, "batches"), (True, {"validation_freq": 2}, "epochs")]
)
def test_each_epoch_stands_once(loggers: Any, append: bool, options: dict[str, Any], saving: str) -> None:
    """Killed again and again after rows that no checkpoint knows, the first of them with the header: the log
    is that of the uninterrupted run."""
    log = Path("log.csv")
    before = b"" if saving == "batches" else b"epoch,something\r\n0,1\r\n"
    log.write_bytes(before)

    def make() -> list[Any]:
        return loggers(append)

    options = {**options, "epochs": 5}
    start(Path("whole"), make, **options)
    expected = log.read_bytes()
    log.write_bytes(before)
    options |= SAVING[saving]
    for kill in (5, 14) if saving == "batches" else (13, 14):
        assert start(Path("killed"), make, kill=kill, **options) is None
        assert re.search(rb"^%d,.*,.*\r$" % (kill // 4 - 1), log.read_bytes(), re.MULTILINE)
    assert start(Path("killed"), make, **options) is not None
    assert log.read_bytes() == expected
    assert expected.count(b"epoch,") == 1


def test_a_finished_run_started_again_leaves_its_log(loggers: Any) -> None:
    """Nothing is left to train: not a byte of the log changes, remarks and all."""
    log = Path("log.csv")
    for _ in range(2):
        start(Path("ckpt"), lambda: loggers(False), epochs=2)
        with log.open("ab") as file:
            file.write(REMARK + row(2))
        expected = log.read_bytes()
    start(Path("ckpt"), lambda: loggers(False), epochs=2)
    assert log.read_bytes() == expected


def test_one_header_where_a_finished_run_goes_on(tmp_path: Path) -> None:
    """With more epochs than it had, from the checkpoint that was marked when the log had been closed."""
    log = tmp_path / "log.csv"
    logs = []
    for name, all_epochs in (("whole", [3]), ("ended", [2, 3])):
        for epochs in all_epochs:
            start(
                tmp_path / name, lambda: [keras.callbacks.CSVLogger(str(log))], epochs=epochs, **SAVING["batches"]
            )
        logs.append(log.read_bytes())
        log.unlink()
    assert logs[0] == logs[1]
