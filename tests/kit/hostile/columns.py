"""Columns of numbers that lie: about their counts, their widths, what a few deflated bytes stand for."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from .tables import Raw


def deflated(data: bytes, end: int = zlib.Z_FINISH) -> bytes:
    """As any writer may deflate, not only this package's."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(data) + deflate.flush(end)


HUGE = 1 << 60
SIZES = ("int", 3, b"\1\1\1")
#: 64 kB of zeros as a plane, in the fewest bytes that are allowed, and in fewer.
ZEROS, FULL = deflated(bytes(65_536)), 65_536
FLOATS = ("float", 20, bytes(160))


def listed(*column: Any) -> Raw:
    return Raw("list", column)


COLUMNS: dict[str, Callable[[], Any]] = {
    "column-of-a-count-too-many": lambda: listed("float", 21, bytes(160)),
    "column-of-a-count-too-few": lambda: listed("float", 19, bytes(160)),
    "column-of-an-exabyte": lambda: listed("float", HUGE, bytes(160)),
    "column-of-an-exabyte-in-planes": lambda: listed("float", HUGE, [b"\0"] * 4),
    "column-of-many-digits": lambda: listed("float", 1 << 100_000, bytes(160)),
    "column-of-a-negative-count": lambda: listed("int", -3, b"abc"),
    "column-of-nothing": lambda: listed("int", 0, b""),
    "column-of-a-count-that-is-true": lambda: listed("int", True, b"a"),
    "column-of-a-count-that-is-a-float": lambda: listed("int", 3.0, b"abc"),
    "column-of-a-count-in-words": lambda: listed("int", "3", b"abc"),
    "column-of-a-cut-number": lambda: listed("float", 20, bytes(159)),
    "column-of-another-width": lambda: listed("float", 20, bytes(40)),
    "column-of-ints-of-3-bytes": lambda: listed("int", 20, bytes(60)),
    "column-of-a-text": lambda: listed("int", 3, "abc"),
    "column-of-a-number": lambda: listed("int", 3, 7),
    "column-of-an-unknown-type": lambda: listed("object", 20, bytes(160)),
    "column-of-objects-of-NumPy": lambda: listed("|O8", 20, bytes(160)),
    "column-of-longdoubles": lambda: listed("<f16", 10, bytes(160)),
    "column-of-a-type-of-many-letters": lambda: listed("<f4" * 100_000, 20, bytes(160)),
    "column-without-a-type": lambda: listed(20, bytes(160)),
    "column-of-two-words": lambda: listed("float", "float"),
    "column-that-is-empty": lambda: Raw("list", ()),
    "column-of-a-reference": lambda: Raw("list", (0,)),
    "column-of-a-tuple": lambda: Raw("tuple", FLOATS),
    "column-of-a-set": lambda: Raw("set", FLOATS),
    "truth-value-2": lambda: listed("bool", 20, b"\2" * 20),
    "planes-too-few": lambda: listed("float", 20, [bytes(20)] * 3),
    "planes-too-many": lambda: listed("float", 20, [bytes(20)] * 100_000),
    "no-planes": lambda: listed("float", 20, []),
    "plane-that-is-cut": lambda: listed("int", 400, [deflated(b"ab" * 200)[:-3] + bytes(50)]),
    "plane-without-an-end": lambda: listed("int", 400, [deflated(bytes(range(200)) * 2, end=zlib.Z_SYNC_FLUSH)]),
    "plane-that-goes-on": lambda: listed("int", 400, [deflated(bytes(range(200)) * 2) + b"\0"]),
    "plane-of-more-than-it-says": lambda: listed("int", 300, [deflated(bytes(range(250)) * 2)]),
    "plane-of-less-than-it-says": lambda: listed("int", 500, [deflated(bytes(range(250)))]),
    "plane-of-noise": lambda: listed("int", 500, [b"\xff" * 400]),
    "plane-of-a-text": lambda: listed("int", 20, ["x" * 20]),
    "plane-of-a-list": lambda: listed("int", 20, [[1]]),
    "plane-that-is-a-bomb": lambda: listed("int", FULL, [ZEROS]),
    "plane-that-is-padded-to-hide-a-bomb": lambda: listed("int", FULL, [ZEROS.ljust(FULL // 8, b"\0")]),
    "planes-of-too-many": lambda: listed("int", FULL + 1, [bytes(FULL + 1)]),
    "steps-from-a-long-number": lambda: listed("steps", 20, 1 << 70, bytes(20)),
    "steps-from-a-text": lambda: listed("steps", 20, "0", bytes(20)),
    "steps-from-nowhere": lambda: listed("steps", 20, bytes(20)),
    "drift-beyond-four-bytes": lambda: listed("drift", 3, ("steps", 3, 1 << 31, bytes(3))),
    "drift-below-four-bytes": lambda: listed("drift", 3, ("steps", 3, -(1 << 31) - 1, bytes(3))),
    "drift-of-another-count": lambda: listed("drift", 4, ("steps", 3, 0, bytes(3))),
    "drift-of-ints": lambda: listed("drift", 3, ("int", 3, bytes(3))),
    "drift-of-bytes": lambda: listed("drift", 3, bytes(12)),
    "texts-that-are-longer-than-the-text": lambda: listed("text", 3, SIZES, b"ab"),
    "texts-that-are-shorter-than-the-text": lambda: listed("text", 3, SIZES, b"abcd"),
    "texts-of-negative-lengths": lambda: listed("text", 3, ("int", 3, b"\xff\2\2"), b"abc"),
    "texts-of-another-count": lambda: listed("text", 4, SIZES, b"abc"),
    "texts-of-no-UTF-8": lambda: listed("text", 3, SIZES, b"\xff\xff\xff"),
    "texts-of-a-text": lambda: listed("text", 3, SIZES, "abc"),
    "texts-of-floats": lambda: listed("text", 20, FLOATS, b""),
    "texts-of-long-lengths": lambda: listed("text", 3, ("int", 3, b"\xff" * 7 + b"\x7f" + bytes(16)), b"abc"),
    "long-numbers-of-a-list": lambda: listed("long", 3, SIZES, [b"abc"]),
    "long-numbers-in-long-numbers": lambda: listed("long", 3, ("long", 3, SIZES, b"\1\1\1"), b"abc"),
    "nothing-but-None": lambda: listed("None", HUGE),
    "mixed-of-an-exabyte-of-None": lambda: listed("mixed", HUGE, b"\0", [("None", HUGE)]),
    "mixed-of-other-counts": lambda: listed("mixed", 3, b"\0\0\0", [("None", 2)]),
    "mixed-of-a-column-too-few": lambda: listed("mixed", 3, b"\0\1\0", [("None", 2)]),
    "mixed-of-a-column-too-many": lambda: listed("mixed", 3, b"\0\0\0", [("None", 3), ("None", 0)]),
    "mixed-of-300-columns": lambda: listed("mixed", 3, b"\0\0\0", [("None", 3), *[("None", 0)] * 299]),
    "mixed-of-shorter-columns": lambda: listed("mixed", 3, b"\0\0\0", [("int", 2, b"ab")]),
    "mixed-of-longer-columns": lambda: listed("mixed", 3, b"\0\0\0", [("int", 4, b"abcd")]),
    "mixed-of-mixed": lambda: listed("mixed", 3, b"\0\0\0", [("mixed", 3, b"\0\0\0", [SIZES])]),
    "mixed-without-columns": lambda: listed("mixed", 3, b"\0\0\0", []),
    "mixed-of-a-number": lambda: listed("mixed", 3, b"\0\0\0", 7),
    "dict-of-one-column": lambda: Raw("dict", (SIZES,)),
    "dict-of-a-column": lambda: Raw("dict", SIZES),
    "dict-of-more-keys-than-values": lambda: Raw("dict", (("int", 4, b"abcd"), SIZES)),
    "dict-of-three-columns": lambda: Raw("dict", (SIZES, SIZES, SIZES)),
    "dict-of-alike-keys": lambda: Raw(
        "dict",
        (
            ("long", 4_000, ("int", 4_000, b"\x0a" * 4_000), b"".join(map(_alike, range(4_000)))),
            ("int", 4_000, bytes(4_000)),
        ),
    ),
    "deque-of-a-column-and-a-negative-length": lambda: Raw("deque", -1, SIZES),
    "defaultdict-of-columns-and-a-system-call": lambda: Raw("defaultdict", "system", (SIZES, SIZES)),
}


def _alike(i: int) -> bytes:
    """A number that has the hash of all others of this kind."""
    return (i * ((1 << 61) - 1)).to_bytes(10, "little")
