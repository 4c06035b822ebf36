"""The by-value section of a state file: the names that each entry needs, and reading it on trust.

The names are found in the opcodes of an entry, without running any. That serves to show them. Whether an entry may
be read is checked again while it is read, name by name, because no two readers of pickles agree on every stream.
"""

from __future__ import annotations

import functools
import io
import pickle
import pickletools
import pkgutil
import sys
from collections.abc import Callable
from typing import Any

from ..exceptions import CallbackStateError, CorruptCheckpointError, RestoreError, UntrustedError
from .trust import Trust

#: The persistent id ``(NAME, "keras.activations.relu")`` stands for what has this public name.
NAME = "name"


def names_in(data: bytes) -> tuple[str, ...]:
    """The full names that a pickle looks up, sorted; ``"?"`` for one that cannot be told."""
    found: set[str] = set()
    texts: list[str] = []
    memo: dict[int, str] = {}
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in ("GLOBAL", "INST"):
                found.add(str(argument).replace(" ", "."))
            elif opcode.name == "STACK_GLOBAL":
                found.add(".".join(texts[-2:]) if len(texts) > 1 else "?")
            elif opcode.name == "BINPERSID":
                found |= _of_persistent(texts)
            elif opcode.name.startswith("EXT"):
                found.add("?")
            elif opcode.name == "MEMOIZE" and texts:
                memo[len(memo)] = texts[-1]
            elif opcode.name in ("BINGET", "LONG_BINGET") and argument in memo:
                texts.append(memo[argument])
            if isinstance(argument, str) and "UNICODE" in opcode.name:
                texts.append(argument)
    except Exception:  # pickletools raises anything for bytes that are no pickle
        found.add("?")
    return tuple(sorted(found))


def _of_persistent(texts: list[str]) -> set[str]:
    """The name that a persistent id gives, from the last texts of a pickle; see :data:`NAME`."""
    if texts[-1:] == ["model"] or texts[-2:-1] in (["callback"], ["stateful"]):
        return set()
    return {texts[-1]} if texts[-2:-1] == [NAME] else {"?"}


class Opener:
    """Reads entries of one by-value section, for a caller who trusts them.

    ``where`` is the state file, for errors. ``python`` is the version of Python that wrote it; empty if not known.
    """

    def __init__(self, where: str, pickles: list[bytes], python: str, trust: Trust) -> None:
        self._where, self._pickles, self._python, self._trust = where, pickles, python, trust
        self._opened: dict[int, Any] = {}
        #: The names that an entry needs; many nodes may share one.
        self._names = functools.cache(lambda index: names_in(pickles[index]))

    def allows(self, index: int) -> bool:
        """Whether the caller trusts all names that an entry needs, as far as they can be told."""
        if type(index) is not int or not 0 <= index < len(self._pickles):
            raise CorruptCheckpointError(self._where, f"has no entry {index!r:.100} stored by value")
        # An entry that needs no name is not harmless: it can change the callbacks that it gets.
        needed = self._trust.everything or self._names(index)
        return needed is True or bool(needed and self._trust.names.issuperset(needed))

    def open(self, index: int, persistent: Callable[[Any], Any]) -> Any:
        """Run the code of entry ``index`` (0-based); ``persistent`` finds the model and the callbacks."""
        if index not in self._opened:
            self._opened[index] = self._load(index, persistent)
        return self._opened[index]

    def _load(self, index: int, persistent: Callable[[Any], Any]) -> Any:
        here = ".".join(map(str, sys.version_info[:2]))
        there = ".".join(self._python.split(".")[:2])
        if there and there != here and any(name.startswith("cloudpickle.") for name in self._names(index)):
            raise RestoreError(
                f"{self._where}: holds code by value, written by Python {there}, which Python {here} cannot run "
                f"(it may end the process). Restore with Python {there}, or with into=[...], where the code is "
                f"yours."
            )

        def of_persistent(pid: Any) -> Any:
            match pid:
                case ("name", str(name)):
                    self._trust.check(name, self._where)
                    return pkgutil.resolve_name(name)
            return persistent(pid)

        file = io.BytesIO(self._pickles[index])
        try:
            if self._trust.everything:
                return _Trusting(file, of_persistent).load()
            return _Named(file, of_persistent, self._where, self._trust).load()
        except CallbackStateError:
            raise
        except Exception as error:  # the code in the file may raise anything
            raise RestoreError(
                f"{self._where}: what was stored by value cannot be loaded here ({type(error).__name__}: "
                f"{error}). Make what it needs importable, or leave it out with exclude=."
            ) from error


class _Trusting(pickle.Unpickler):
    """Reads any pickle."""

    def __init__(self, file: io.BytesIO, persistent: Callable[[Any], Any]) -> None:
        super().__init__(file)
        self._persistent = persistent

    # A method: as an attribute of the object, Python 3.13 refuses it.
    def persistent_load(self, pid: Any) -> Any:
        return self._persistent(pid)


# The one that is written in Python: the one in C is known to run what its find_class has refused.
class _Named(pickle._Unpickler):
    """Reads a pickle that needs only trusted names."""

    def __init__(self, file: io.BytesIO, persistent: Callable[[Any], Any], where: str, trust: Trust) -> None:
        super().__init__(file)
        self._persistent, self._where, self._trust = persistent, where, trust

    def persistent_load(self, pid: Any) -> Any:
        return self._persistent(pid)

    def find_class(self, module: str, name: str) -> Any:
        if "." in name:
            raise UntrustedError(
                self._where, f"needs {module}.{name}, which is not the name of a module's own part"
            )
        self._trust.check(f"{module}.{name}", self._where)
        return super().find_class(module, name)

    def get_extension(self, code: int) -> Any:
        raise UntrustedError(self._where, f"needs the extension {code} of this process, which has no name")
