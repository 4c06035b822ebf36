"""Pickles that exhaust memory or time, or that lie about their own form; few do anything but be there."""

from __future__ import annotations

import struct
from collections.abc import Callable

from .opcodes import MARK, TUPLE, call, data, name, text, whole


def _length(opcode: bytes, length: int, size: int) -> bytes:
    return whole(opcode + length.to_bytes(size, "little"))


#: Small files that make plain pickle ask for more memory than there is, or for hours.
BOMBS: dict[str, Callable[[], bytes]] = {
    "BINBYTES8-of-an-exabyte": lambda: _length(b"\x8e", 1 << 60, 8),
    "BINBYTES-of-4-GB": lambda: _length(b"B", (1 << 32) - 1, 4),
    "LONG4-of-2-GB": lambda: _length(b"\x8b", (1 << 31) - 1, 4),
    "BINSTRING-of-a-negative-size": lambda: _length(b"T", 1 << 31, 4),
    "FRAME-of-an-exabyte": lambda: _length(b"\x95", 1 << 60, 8),
    "memo-of-4-billion-places": lambda: whole(b"Nr" + struct.pack("<I", (1 << 32) - 1)),
    "billion-laughs-by-DUP": lambda: whole(b"]" + b"2\x86" * 200),
    "billion-laughs-by-memo": lambda: whole(
        b")" + b"".join(b"q" + bytes([i]) + MARK + (b"h" + bytes([i])) * 10 + TUPLE for i in range(200))
    ),
    "hash-of-a-tower-of-pairs": lambda: whole(
        b")" + b"".join(b"\x94h" + bytes([i]) + b"\x86" for i in range(60)) + b"\x85(" + b"]"[:0] + b"\x91"
    ),
    "repeated-by-a-call": lambda: whole(call(name("operator", "mul"), text("x"), b"\x8a\5" + b"\0\0\0\0\x20")),
    "endless-by-a-call": lambda: whole(call(name("builtins", "list"), call(name("itertools", "count")))),
    "decimal-number-of-a-million-digits": lambda: b"L" + b"9" * 1_000_000 + b"L\n.",
    "500-thousand-lists-in-each-other": lambda: whole(b"]" * 500_000 + b"a" * 499_999),
    "a-million-tuples-in-each-other": lambda: whole(b")" + b"\x85" * 1_000_000),
    "500-thousand-marks": lambda: whole(MARK * 500_000 + b"t" * 500_000),
    "a-million-empty-lists": lambda: whole(b"]" * 1_000_000),
    "100-thousand-frames": lambda: whole(b"](" + (b"\x95\1\0\0\0\0\0\0\0N") * 100_000 + b"ex"),
    "colliding-keys": lambda: whole(
        b"}("
        + b"".join(b"\x8a\x0a" + (i * ((1 << 61) - 1)).to_bytes(10, "little") + b"N" for i in range(70_000))
        + b"u"
    ),
}

#: Streams whose parts contradict each other, beside those of test_read.py.
MALFORMED: dict[str, Callable[[], bytes]] = {
    "two-ends": lambda: whole(b"N") + whole(b"N"),
    "pop-below-a-mark": lambda: whole(b"N(0"),
    "get-of-nothing": lambda: whole(b"h\7"),
    "list-in-itself": lambda: whole(b"]\x94h\0a"),
    "name-of-two-numbers": lambda: whole(b"K\1K\2\x93"),
    "name-with-a-zero-byte": lambda: whole(name("os\0", "system\0")),
    "name-with-a-newline": lambda: whole(name("os\nsystem", "x\n")),
    "next-buffer": lambda: whole(b"\x97", b"\x80\5"),
    "readonly-buffer": lambda: whole(b"\x97\x98", b"\x80\5"),
    "zip-archive": lambda: b"PK\3\4" + bytes(40) + data(b"x"),
    "gzip": lambda: b"\x1f\x8b\x08" + bytes(40),
    "python-2-string": lambda: whole(b"U\1x"),
    "bool-as-text": lambda: b"I01\n.",
}
