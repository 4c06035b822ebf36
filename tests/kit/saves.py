"""Saves of checkpoints without Keras: small models, states that hold a number, and a writer as a run has it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from callback_state._format import statefile
from callback_state._format.blocks import Blocks
from callback_state._store import arrays as _arrays
from callback_state._store import commit as _store
from callback_state._store import recover, staging
from callback_state._store.pair import MODEL_SUFFIXES, SUFFIX, Pair, open_pair

NAME = "m.keras"
STATE = NAME + SUFFIX
DEAD = 999_999_999  # no system gives a process this number

Content = dict[str, bytes]


#: The arrays files of a save: the bytes of each.
Arrays = tuple[bytes, ...]


def commit(
    path: Any, write_model: Callable[[str], Any], make_state: Callable[[bytes, int], bytes], arrays: Arrays = ()
) -> None:
    """Both steps of a save."""
    with _store.write(path, write_model, make_state, arrays=blocks_of(arrays).files()) as written:
        _store.commit(written)


def blocks_of(arrays: Arrays) -> Blocks:
    """One array for each arrays file, with these bytes."""
    blocks = Blocks()
    for i, data in enumerate(arrays):
        blocks.add(np.frombuffer(data, "u1"), "C", f"callback{i}")
    return blocks


def arrays_in(model: Any, arrays: Arrays) -> Content:
    """The arrays files of a model file by name."""
    name = os.path.basename(model)
    described = (file.described for file in blocks_of(arrays).files())
    return {_arrays.path_of(name, file): data for file, data in zip(described, arrays, strict=True)}


def model_of(number: int) -> bytes:
    return f"model {number} ".encode() * 3


def sealed(number: int, model: bytes | None = None, arrays: Arrays = ()) -> bytes:
    """The state file of save ``number``."""
    model = model_of(number) if model is None else model
    digest = hashlib.sha256(model).digest()
    return statefile.seal([number], digest, len(model), blocks=blocks_of(arrays).entries())


def save(path: Any, number: int, model: bytes | None = None, arrays: Arrays = ()) -> None:
    """Commit the checkpoint ``number``, with a model file of its own unless told otherwise."""
    data = model_of(number) if model is None else model
    entries = blocks_of(arrays).entries()
    commit(
        path,
        lambda p: write_model(p, data),
        lambda digest, size: statefile.seal([number], digest, size, blocks=entries),
        arrays,
    )


def write_model(path: str, data: bytes) -> None:
    """As Keras does it: past the seam, in two pieces, and not synced."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
            while piece:
                piece = piece[os.write(fd, piece) :]
    finally:
        os.close(fd)


def number_of(path: Any) -> int:
    """Which save a checkpoint is of; the state must be the one of the very bytes of the model."""
    return number_in(open_pair(path))


def number_in(pair: Pair) -> int:
    data = Path(pair.model_path).read_bytes()
    assert pair.sealed.model_digest == hashlib.sha256(data).digest()
    assert pair.sealed.model_size == len(data)
    (number,) = pair.sealed.tree
    assert isinstance(number, int)
    return number


def whole(directory: Path) -> dict[str, int]:
    """The checkpoints of a directory by name, each with its save; every model file must be part of one."""
    if not directory.is_dir():
        return {}
    models = sorted(directory / name for name in os.listdir(directory) if _is_model(name))
    return {model.name: number_in(open_pair(model)) for model in models}


def _is_model(name: str) -> bool:
    return name.endswith(MODEL_SUFFIXES) and not name.startswith(".")


def put(directory: Path, files: Content) -> None:
    for name, data in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)


def listing(directory: Path) -> Content:
    """All files of a directory and below."""
    found = (path for path in directory.rglob("*") if not path.is_dir())
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def staged_name(model: bytes, name: str = NAME) -> str:
    return f".{name}.state-{hashlib.sha256(model).hexdigest()[:32]}"


def stage(model: Path, *, pid: int = DEAD, host: str | None = None, age: float = 0.0) -> Path:
    """The staging directory of a killed writer, which nobody has touched for ``age`` seconds."""
    path = model.with_name(f".{model.name}.tmp-{host or staging._host()}-{pid}-0123abcd")
    path.mkdir(parents=True)
    (path / model.name).write_bytes(b"half a mod")
    for touched in (path / model.name, path):
        then = os.stat(touched).st_mtime - age
        os.utime(touched, (then, then))
    return path


def raises(number: int) -> Callable[..., Any]:
    """A stand-in for a system call that fails with this error number."""

    def call(*args: Any, **options: Any) -> None:
        raise OSError(number, os.strerror(number))

    return call


class Writer:
    """The saves of one process, as ``ModelCheckpointEnhanced`` does them.

    Args:
        directory: need not exist.
        template: the name of the model files, with ``{epoch}`` or without.
        keep: how many of the newest to keep; None for all.
        model: from the number of a save to the bytes of its model.
        arrays: from the number of a save to its arrays files.
    """

    def __init__(
        self,
        directory: Path,
        template: str,
        keep: int | None = None,
        model: Callable[[int], bytes] = model_of,
        arrays: Callable[[int], Arrays] = lambda number: (),
    ) -> None:
        self.directory, self.template, self.keep, self.model = directory, template, keep, model
        self.arrays = arrays
        self.started = False

    def path(self, number: int) -> Path:
        return self.directory / self.template.format(epoch=number)

    def save(self, number: int) -> None:
        """Recover the directory before the first save; delete what is too many."""
        if not self.started:
            recover.recover_all(self.directory)
        self.started = True
        save(self.path(number), number, self.model(number), self.arrays(number))
        for old in self.surplus(number):
            _store.delete(self.path(old))

    def surplus(self, number: int) -> list[int]:
        """All that is too much, not only by one: kills may have come before the last ones were deleted."""
        if self.keep is None or "{" not in self.template:
            return []
        models = {name.removesuffix(SUFFIX) for name in os.listdir(self.directory)}
        numbers = sorted(int(found) for name in models if (found := self.number_in_name(name)))
        return [n for n in numbers if n <= number - self.keep]

    def number_in_name(self, name: str) -> str:
        """The digits that stand for ``{epoch}``; empty if the name is not one of this writer's."""
        before, _, after = re.sub(r"\{.*\}", "{}", self.template).partition("{}")
        digits = name.removeprefix(before).removesuffix(after)
        return digits if digits.isdecimal() and name == before + digits + after else ""

    def expected(self, number: int) -> Content:
        """All that may be there after the save ``number``."""
        oldest = number if "{" not in self.template else max(1, number - (self.keep or number) + 1)
        models = {self.path(n).name: (n, self.model(n)) for n in range(oldest, number + 1)}
        states = {name + SUFFIX: sealed(n, data, self.arrays(n)) for name, (n, data) in models.items()}
        arrays = {k: v for name, (n, _) in models.items() for k, v in arrays_in(name, self.arrays(n)).items()}
        return {name: data for name, (_, data) in models.items()} | states | arrays

    def name_of(self, number: int) -> str:
        return self.path(number).name

    def newest(self) -> int:
        """The newest save that a reader finds, 0 for none."""
        return max((n for name, n in whole(self.directory).items() if self.owns(name)), default=0)

    def owns(self, name: str) -> bool:
        return name == self.template or self.number_in_name(name) != ""
