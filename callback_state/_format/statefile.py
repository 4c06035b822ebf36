"""The format of a state file: a pickle of plain data, and a trailer that seals it.

    +---------------------+-----------------------------------------------------------------+
    | payload             | trailer, 124 bytes, little-endian                               |
    | a pickle of lists,  | magic | format | payload | payload | model   | model | SHA-256  |
    | tuples and scalars  |       |        | length  | SHA-256 | SHA-256 | size  | of these |
    |                     | 8     | 4      | 8       | 32      | 32      | 8     | 32       |
    +---------------------+-----------------------------------------------------------------+

The pickle comes first, so plain ``pickle.load`` reads the file; this package never does. The
digests find damage and pair the file with its model file; they are no signature.

Format 2 is the same with a signature, 32 bytes between the two (see :mod:`._trust`). Files without one
keep format 1.

To raise the format number (what the payload means changed, or a field is no longer what it was):

1. Raise ``FORMAT`` and let :func:`unseal` return the old number for old files, which stay readable.
2. Leave the trailer's size, its magic, the place of the number and the last digest as they are:
   that is how an older release can say "this is format 2" instead of "this is damaged".
3. Keep a file of the old format in ``tests/golden`` with a test that reads it.
4. Say in the changelog from which release on files of the new format can be read.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ..exceptions import CorruptCheckpointError, UnsupportedFormatError
from .pickles import ReadError, dump, parse, parse_first

__all__ = ["FORMAT", "TRAILER_SIZE", "Sealed", "check_end", "model_digest_in", "seal", "unseal", "unseal_first"]

UNSIGNED, SIGNED = 1, 2
FORMAT = SIGNED
# Bytes that a text mode, a 7-bit channel or an editor would change, as in the header of a PNG file.
MAGIC = b"\x89CBST\r\n\x1a"

_FIELDS = struct.Struct("<8sIQ32s32sQ")
_DIGEST_SIZE = 32
TRAILER_SIZE = _FIELDS.size + _DIGEST_SIZE
_NO_TRAILER = "expected a trailer at the end, found none: the file is cut short, or is no state file"
_AGAIN = "use another checkpoint, or a copy of this file"


@dataclass(frozen=True)
class Sealed:
    """What a state file holds: data, the SHA-256 (32 bytes) and size (bytes) of its model file.

    ``tree`` is None or the first node only, if that was asked for. ``fields`` is the trailer without its
    own digest, and ``signature`` what signs it; whether rightly is not looked at here.
    """

    tree: object
    model_digest: bytes
    model_size: int
    format: int
    fields: bytes = field(default=b"", compare=False, repr=False)
    signature: bytes | None = None


def seal(
    tree: object, model_digest: bytes, model_size: int, sign: Callable[[bytes], bytes] | None = None
) -> bytes:
    """The bytes of a state file.

    Args:
        tree: lists, tuples and scalars, see :func:`callback_state._format.pickles.dump`.
        model_digest: SHA-256 of the model file, 32 bytes.
        model_size: size of the model file in bytes.
        sign: from the trailer's fields to their signature, 32 bytes; None for a file without one.

    Raises:
        TypeError, ValueError: ``tree`` cannot be stored, or the digest is not one.
    """
    if len(model_digest) != _DIGEST_SIZE:
        raise ValueError(f"model_digest: expected 32 bytes, found {len(model_digest)}")
    payload = dump(tree)
    fields = _FIELDS.pack(
        MAGIC, UNSIGNED if sign is None else SIGNED, len(payload), _sha256(payload), model_digest, model_size
    )
    signature = b"" if sign is None else sign(fields)
    return b"".join((payload, signature, fields, _sha256(fields)))


def unseal(data: bytes, where: str, *, views: bool = True) -> Sealed:
    """Judges the bytes of a state file and returns what they hold.

    Args:
        data: the whole file.
        where: its path, for errors.
        views: as for :func:`callback_state._format.pickles.parse`; without them the tree can be sealed again.

    Raises:
        CorruptCheckpointError: the file is not a state file or is damaged; the message says how.
        UnsupportedFormatError: the file is sound, but of a newer format.

    Not guaranteed: that the file is from who you think. Whoever can write it can seal it.
    """
    return _unseal(data, where, partial(parse, views=views))


def unseal_first(data: bytes, where: str) -> Sealed:
    """As :func:`unseal`, all digests included, with a ``tree`` that is only the first node of the table.

    The time it takes does not depend on how much else the file holds, but for its digest.
    """
    return _unseal(data, where, parse_first)


def check_end(end: bytes, where: str) -> None:
    """Raises CorruptCheckpointError if a file that ends with these ``TRAILER_SIZE`` bytes is no state file."""
    if not _is_trailer(end):
        raise CorruptCheckpointError(where, f"{_NO_TRAILER}; {_AGAIN}")


def model_digest_in(trailer: bytes) -> bytes | None:
    """The SHA-256 of the model file that the last ``TRAILER_SIZE`` bytes of a state file give; None if none."""
    return _FIELDS.unpack(trailer[: _FIELDS.size])[4] if _is_trailer(trailer) else None


def _unseal(data: bytes, where: str, read: Callable[[memoryview], object]) -> Sealed:
    view = memoryview(data)
    body, trailer = view[:-TRAILER_SIZE], view[-TRAILER_SIZE:]
    if not _is_trailer(trailer):
        raise CorruptCheckpointError(where, f"{_diagnose(data)}; {_AGAIN}")
    _, number, length, digest, model_digest, model_size = _FIELDS.unpack(trailer[: _FIELDS.size])
    if not 1 <= number <= FORMAT:
        raise UnsupportedFormatError(
            where,
            f"the state file has format {number}, this release reads formats up to {FORMAT}; "
            "install a newer callback_state",
        )
    signature = None
    if number == SIGNED:
        body, signature = body[:-_DIGEST_SIZE], bytes(body[-_DIGEST_SIZE:])
    _judge(body, length, digest, where)
    try:
        tree = read(body)
    except ReadError as error:
        raise CorruptCheckpointError(
            where, f"the digests are right, but this package never wrote that ({error}); {_AGAIN}"
        ) from error
    fields = bytes(trailer[: _FIELDS.size])
    return Sealed(tree, model_digest, model_size, number, fields, signature)


def _judge(body: memoryview, length: int, digest: bytes, where: str) -> None:
    if len(body) != length:
        raise CorruptCheckpointError(
            where, f"expected {length} bytes before the trailer, found {len(body)}; {_AGAIN}"
        )
    if _sha256(body) != digest:
        raise CorruptCheckpointError(where, f"the data does not have the SHA-256 that the trailer gives; {_AGAIN}")


def _sha256(data: bytes | memoryview) -> bytes:
    return hashlib.sha256(data).digest()


def _is_trailer(part: bytes | memoryview) -> bool:
    return (
        len(part) == TRAILER_SIZE
        and part[: len(MAGIC)] == MAGIC
        and _sha256(part[: _FIELDS.size]) == part[_FIELDS.size :]
    )


def _diagnose(data: bytes) -> str:
    """Why there is no good trailer at the end; only the words depend on it."""
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
