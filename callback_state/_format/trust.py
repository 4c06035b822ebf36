"""How far a file is believed: keys that sign, and names that may be read from it.

A signature is an HMAC-SHA-256 (RFC 2104) over the fields of the trailer, which hold the SHA-256 of the
payload and of the model file, and over the name of the model file. So it covers every byte of both, and a
file that was put beside another model, or renamed to another epoch, is not rightly signed. Not covered:
that a newer checkpoint was taken away.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from ..exceptions import UntrustedError
from .statefile import Sealed

#: The environment variable that holds keys, separated by blanks.
VARIABLE = "CALLBACK_STATE_KEY"
#: Bytes; a shorter key can be guessed.
SHORTEST = 16


class Keys:
    """Secret keys: the first one signs, each of them is accepted. They are never shown, nor pickled."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._keys = tuple(keys)

    @classmethod
    def of(cls, key: Any) -> Keys | None:
        """The keys that the user gave, else those of the environment; None where there are none.

        A key is a text or bytes of at least 16 bytes; ``key`` may be a list of them. Raises ValueError if one is
        too short, TypeError if it is no key. Neither error shows it.
        """
        if isinstance(key, Keys):
            return key
        where = "key="
        if key is None:
            key, where = os.environ.get(VARIABLE, "").split(), VARIABLE
            if not key:
                return None
        given = [key] if isinstance(key, (str, bytes)) else list(key)
        if not given or not all(isinstance(one, (str, bytes)) for one in given):
            raise TypeError(f"{where}: expected a text, bytes, or a list of these")
        keys = [one.encode() if isinstance(one, str) else one for one in given]
        if min(map(len, keys)) < SHORTEST:
            raise ValueError(f"{where}: a key has less than {SHORTEST} bytes; take secrets.token_hex(32)")
        return cls(keys)

    def __repr__(self) -> str:
        return f"<{len(self._keys)} keys>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is never pickled")

    def signer(self, model: str) -> Callable[[bytes], bytes]:
        """What signs the fields of the state file of this model file; a link is followed."""
        name = os.path.basename(os.path.realpath(model))
        return lambda fields: _mac(self._keys[0], fields, name)

    def check(self, sealed: Sealed, model: str) -> None:
        """Raise UntrustedError if a state file is not signed with one of these keys, for this name.

        In constant time.
        """
        found = sealed.signature
        if found is None:
            raise UntrustedError(
                model,
                "expected a state file that is signed, found one without a signature: whoever can "
                "write here may have written it. Leave key= out to restore data without code from it",
            )
        name = os.path.basename(model)
        if not any(hmac.compare_digest(_mac(key, sealed.fields, name), found) for key in self._keys):
            raise UntrustedError(
                model,
                "its state file is signed with another key, or was renamed or changed since. Pass the "
                "key that it was written with (key= takes several), under the name it was written as",
            )


def _mac(key: bytes, fields: bytes, name: str) -> bytes:
    return hmac.new(key, fields + name.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()


def signer_of(keys: Keys | None, model: str) -> Callable[[bytes], bytes] | None:
    """What signs the state file of a model file; None without keys."""
    return None if keys is None else keys.signer(model)


@dataclass(frozen=True)
class Trust:
    """What may be read of a file beside plain data."""

    everything: bool = False  # code too; so it is for a rightly signed file
    names: frozenset[str] = frozenset()  # full names of functions and classes
    keys: Keys | None = None  # what the file has to be signed with; None for any

    @classmethod
    def of(cls, trusted: Any, key: Any) -> Trust:
        """From the arguments of :func:`restore_callbacks`. Raises TypeError or ValueError if they are none."""
        keys = Keys.of(key)
        if isinstance(trusted, bool):
            return cls(trusted or keys is not None, keys=keys)
        names = [trusted] if isinstance(trusted, str) else list(trusted)
        if not all(isinstance(name, str) and "." in name for name in names):
            raise TypeError("trusted=: expected True, False, or full names such as 'package.module.Class'")
        return cls(keys is not None, frozenset(names), keys)

    def check(self, name: str, where: str) -> None:
        """Raise UntrustedError for a full name that is not trusted, in the file ``where``."""
        if not self.everything and name not in self.names:
            raise UntrustedError(where, f"needs {name}, which is not among the trusted names")
