"""The format of a state file: a pickle of plain data, and a trailer that seals it.

    +---------------+----------+-----------+--------------------------------------------------------------------+
    | payload       | blocks   | signature | trailer, 124 bytes, little-endian                                  |
    | a pickle of   | 44 bytes | 0 or 32   | magic | format | flags | payload | SHA-256 | model   | model | own |
    | lists, tuples | for each | bytes     |       |        |       | length  | of both | SHA-256 | size  | SHA |
    | and scalars   |          |           | 8     | 2      | 2     | 8       | 32      | 32      | 8     | 32  |
    +---------------+----------+-----------+--------------------------------------------------------------------+

The pickle comes first, so plain ``pickle.load`` reads the file; this package never does that. The digests find
damage, and tell which model file and which arrays files belong to the state file. They are no signature. Flag 1
says that there is one, see :mod:`.trust`. Flag 2 says that there is a list of blocks, see :mod:`.blocks`.

To raise the format number, when the payload means something else or a field is not what it was:

1. Raise ``FORMAT``, and let :func:`unseal` return the old number for old files, which stay readable.
2. Leave the size of the trailer, its magic, the place of the number and the last digest as they are. So an older
   release can say "this has format 2" instead of "this is damaged".
3. Keep files of the old format in ``tests/golden``, with a test that reads them.
4. Say in the changelog which release is the first that reads the new format.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ..exceptions import CorruptCheckpointError, UnsupportedFormatError
from .blocks import Entry, pack, unpack
from .pickles import dump, parse, parse_first

FORMAT = 1
#: The flags: there is a signature, there is a list of blocks.
SIGNED, APART = 1, 2
# Bytes that a text mode, a 7-bit channel or an editor would change, as in the header of a PNG file.
MAGIC = b"\x89CBST\r\n\x1a"

_FIELDS = struct.Struct("<8sHHQ32s32sQ")
_DIGEST_SIZE = 32
TRAILER_SIZE = _FIELDS.size + _DIGEST_SIZE
_NO_TRAILER = "expected a trailer at the end, found none: the file is cut short, or is no state file"
_AGAIN = "use another checkpoint, or a copy of this file"


@dataclass(frozen=True)
class Sealed:
    """The content of a state file: data, and the SHA-256 (32 bytes) and size (bytes) of its model file.

    ``tree`` may be only the first node, or None. ``fields`` is the trailer without its own digest, and
    ``signature`` its signature, which is not checked here. ``blocks`` are the large arrays, which are in files of
    their own.
    """

    tree: object
    model_digest: bytes
    model_size: int
    fields: bytes = field(default=b"", compare=False, repr=False)
    signature: bytes | None = None
    blocks: tuple[Entry, ...] = ()


def seal(
    tree: object,
    model_digest: bytes,
    model_size: int,
    sign: Callable[[bytes], bytes] | None = None,
    blocks: tuple[Entry, ...] = (),
) -> bytes:
    """The bytes of a state file. The digest of the model file is its SHA-256, 32 bytes; the size is in bytes.

    ``sign`` makes the signature, 32 bytes, of the trailer's fields. ``blocks`` are the arrays that are not in the
    tree. Raises TypeError or ValueError if ``tree`` is not what :func:`.pickles.dump` takes, or the digest is not
    one.
    """
    if len(model_digest) != _DIGEST_SIZE:
        raise ValueError(f"model_digest: expected 32 bytes, found {len(model_digest)}")
    payload, listed = dump(tree), pack(blocks)
    flags = (0 if sign is None else SIGNED) | (APART if blocks else 0)
    fields = _FIELDS.pack(MAGIC, FORMAT, flags, len(payload), _sha256(payload, listed), model_digest, model_size)
    signature = b"" if sign is None else sign(fields)
    return b"".join((payload, listed, signature, fields, _sha256(fields)))


def unseal(data: bytes, where: str, *, views: bool = True) -> Sealed:
    """Check the bytes of a whole state file, and return their content. ``where`` is its path, for errors.

    Without ``views`` (see :func:`.pickles.parse`) the tree can be sealed again. Raises CorruptCheckpointError,
    which says what is wrong, or UnsupportedFormatError if the file is sound and of a newer format. Not guaranteed:
    who wrote the file. Whoever can write a file can seal it.
    """
    return _unseal(data, where, partial(parse, views=views))


def unseal_first(data: bytes, where: str) -> Sealed:
    """As :func:`unseal`, with all digests, but ``tree`` is only the first node of the table.

    Apart from the digest, the time does not grow with the file.
    """
    return _unseal(data, where, parse_first)


def check_end(end: bytes, size: int, where: str) -> None:
    """Raise CorruptCheckpointError if the last ``TRAILER_SIZE`` bytes of a file are no trailer of a state file of
    ``size`` bytes."""
    if not _is_trailer(end):
        raise CorruptCheckpointError(where, f"{_NO_TRAILER}; {_AGAIN}")
    _, number, flags, length, *_ = _FIELDS.unpack(end[: _FIELDS.size])
    expected = length + (_DIGEST_SIZE if flags & SIGNED else 0) + TRAILER_SIZE
    if number == FORMAT and size != expected and not (flags & APART and size > expected):
        raise CorruptCheckpointError(
            where, f"expected {expected} bytes, as the trailer says, found {size}; {_AGAIN}"
        )


def model_digest_in(trailer: bytes) -> bytes | None:
    """The SHA-256 of the model file, from a trailer of ``TRAILER_SIZE`` bytes; None if it is no trailer."""
    return _FIELDS.unpack(trailer[: _FIELDS.size])[5] if _is_trailer(trailer) else None


def model_size_in(trailer: bytes) -> int | None:
    """The size of the model file in bytes, from a trailer of ``TRAILER_SIZE`` bytes; None if it is no trailer."""
    return _FIELDS.unpack(trailer[: _FIELDS.size])[6] if _is_trailer(trailer) else None


def _unseal(data: bytes, where: str, read: Callable[[memoryview], object]) -> Sealed:
    view = memoryview(data)
    body, trailer = view[:-TRAILER_SIZE], view[-TRAILER_SIZE:]
    if not _is_trailer(trailer):
        raise CorruptCheckpointError(where, f"{_diagnose(data)}; {_AGAIN}")
    _, number, flags, length, digest, model_digest, model_size = _FIELDS.unpack(trailer[: _FIELDS.size])
    if number != FORMAT or flags & ~(SIGNED | APART):
        found = f"format {number}" if number != FORMAT else f"the flags {flags}"
        raise UnsupportedFormatError(
            where,
            f"the state file has {found}, this release reads format {FORMAT} with flags up to {SIGNED | APART}; "
            "install a newer callback_state",
        )
    signature = None
    if flags & SIGNED:
        body, signature = body[:-_DIGEST_SIZE], bytes(body[-_DIGEST_SIZE:])
    payload, listed = body[:length], body[length:]
    if len(payload) != length or bool(listed) != bool(flags & APART):
        found = f"expected {length} bytes before the trailer, found {len(body)}"
        raise CorruptCheckpointError(where, f"{found}; {_AGAIN}")
    if _sha256(body) != digest:
        raise CorruptCheckpointError(where, f"the data does not have the SHA-256 that the trailer gives; {_AGAIN}")
    try:
        tree, blocks = read(payload), unpack(listed)
    except ValueError as error:
        raise CorruptCheckpointError(
            where, f"the digests are right, but this package never wrote that ({error}); {_AGAIN}"
        ) from error
    return Sealed(tree, model_digest, model_size, bytes(trailer[: _FIELDS.size]), signature, blocks)


def _sha256(*parts: bytes | memoryview) -> bytes:
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part)
    return sha.digest()


def _is_trailer(part: bytes | memoryview) -> bool:
    return (
        len(part) == TRAILER_SIZE
        and part[: len(MAGIC)] == MAGIC
        and _sha256(part[: _FIELDS.size]) == part[_FIELDS.size :]
    )


def _diagnose(data: bytes) -> str:
    """Why there is no sound trailer at the end; only for the message."""
    if not data:
        return "the file is empty"
    if len(data) < TRAILER_SIZE:
        return f"{len(data)} bytes are too few for a state file: it is cut short, or something else"
    if data[-TRAILER_SIZE:].startswith(MAGIC):
        return "the trailer does not have its own SHA-256: it is damaged"
    start = data.rfind(MAGIC)
    if start >= 0 and _is_trailer(data[start : start + TRAILER_SIZE]):
        return f"{len(data) - start - TRAILER_SIZE} surplus bytes follow the trailer"
    return _NO_TRAILER
