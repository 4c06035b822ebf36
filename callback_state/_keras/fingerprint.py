"""A fingerprint of arrays: are these the values that were saved?

A SHA-256 over hundreds of megabytes takes longer than writing the file to a fast disk. It is not needed against
attacks, because the model *file* has its SHA-256. So large arrays are first folded, at the speed of memory, into
16,384 lanes of 32 bits. Each step of a lane is a bijection of the lane and of the word that it takes, so one
changed word always changes the result; other changes are not seen once in 2**32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

_LANES = 16384
#: The golden ratio's multiplier of Fibonacci hashing (Knuth, TAOCP 3, 6.4); odd, hence invertible.
_MULTIPLIER = 0x9E3779B1


def fingerprint(arrays: Iterable[Any]) -> str:
    """A hexadecimal fingerprint of arrays without objects: of order, shape, dtype and every bit of the values.

    Single integers count by their value: TensorFlow counts steps in 64 bits, JAX and torch in 32.
    """
    return joined(map(parts_of, arrays))


def joined(parts: Iterable[Iterable[Any]]) -> str:
    """The fingerprint of arrays of which there is only what :func:`parts_of` gives."""
    digest = hashlib.sha256()
    for part in chain.from_iterable(parts):
        digest.update(part)
    return digest.hexdigest()


def parts_of(array: Any) -> Iterator[Any]:
    """What of an array goes into the fingerprint: at most 128 kB, and some bytes for its shape and dtype."""
    import numpy

    if array.dtype.kind == "i" and array.ndim == 0:
        array = array.astype("<i8")
    yield f"{array.dtype.name}{array.shape}".encode()
    if array.size:
        data = numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8)
        whole = data.nbytes // (4 * _LANES) * (4 * _LANES)
        if whole:
            yield _fold(data[:whole].view("<u4").reshape(-1, _LANES))
        yield data[whole:].data


def _fold(rows: Any) -> Any:
    """Mix rows of lanes into one row."""
    import numpy

    lanes, shifted = numpy.zeros_like(rows[0]), numpy.empty_like(rows[0])
    for row in rows:
        numpy.add(lanes, row, out=lanes)
        numpy.multiply(lanes, numpy.uint32(_MULTIPLIER), out=lanes)
        # Without the shift the highest bits of two words could cancel: a product keeps them highest.
        numpy.right_shift(lanes, 15, out=shifted)
        numpy.bitwise_xor(lanes, shifted, out=lanes)
    return lanes
