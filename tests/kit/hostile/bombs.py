"""Pickles that exhaust memory or time, or that lie about their own form; few do anything but be there."""

from __future__ import annotations

import struct
from collections.abc import Callable

from .opcodes import MARK, PROTO, STOP, TUPLE, call, data, name, number, text, whole


def _length(opcode: bytes, length: int, size: int) -> bytes:
    return whole(opcode + length.to_bytes(size, "little"))


#: Small files that make plain pickle ask for more memory than there is, or for hours.
BOMBS: dict[str, Callable[[], bytes]] = {
    "BINBYTES8-of-an-exabyte": lambda: _length(b"\x8e", 1 << 60, 8),
    "BINUNICODE8-of-an-exabyte": lambda: _length(b"\x8d", 1 << 60, 8),
    "BYTEARRAY8-of-an-exabyte": lambda: _length(b"\x96", 1 << 60, 8),
    "BINBYTES-of-4-GB": lambda: _length(b"B", (1 << 32) - 1, 4),
    "BINUNICODE-of-4-GB": lambda: _length(b"X", (1 << 32) - 1, 4),
    "LONG4-of-2-GB": lambda: _length(b"\x8b", (1 << 31) - 1, 4),
    "LONG4-of-a-negative-size": lambda: _length(b"\x8b", 1 << 31, 4),
    "BINSTRING-of-a-negative-size": lambda: _length(b"T", 1 << 31, 4),
    "FRAME-of-an-exabyte": lambda: _length(b"\x95", 1 << 60, 8),
    "memo-of-4-billion-places": lambda: whole(b"Nr" + struct.pack("<I", (1 << 32) - 1)),
    "memo-place-of-many-digits": lambda: b"Np" + b"9" * 4000 + b"\n.",
    "billion-laughs-by-DUP": lambda: whole(b"]" + b"2\x86" * 200),
    "billion-laughs-by-memo": lambda: whole(
        b")" + b"".join(b"q" + bytes([i]) + MARK + (b"h" + bytes([i])) * 10 + TUPLE for i in range(200))
    ),
    "hash-of-a-tower-of-pairs": lambda: whole(
        b")" + b"".join(b"\x94h" + bytes([i]) + b"\x86" for i in range(60)) + b"\x85(" + b"]"[:0] + b"\x91"
    ),
    "repeated-by-a-call": lambda: whole(call(name("operator", "mul"), text("x"), b"\x8a\5" + b"\0\0\0\0\x20")),
    "power-by-a-call": lambda: whole(call(name("operator", "pow"), number(10**9), number(10**9))),
    "endless-by-a-call": lambda: whole(call(name("builtins", "list"), call(name("itertools", "count")))),
    "decimal-number-of-a-million-digits": lambda: b"L" + b"9" * 1_000_000 + b"L\n.",
    "500-thousand-lists-in-each-other": lambda: whole(b"]" * 500_000 + b"a" * 499_999),
    "a-million-tuples-in-each-other": lambda: whole(b")" + b"\x85" * 1_000_000),
    "500-thousand-marks": lambda: whole(MARK * 500_000 + b"t" * 500_000),
    "a-million-marks": lambda: whole(MARK * 1_000_000),
    "a-million-empty-lists": lambda: whole(b"]" * 1_000_000),
    "a-million-numbers-and-a-name": lambda: whole(b"](" + b"N" * 1_000_000 + b"e" + name("os", "system")),
    "300-thousand-long-ints": lambda: whole(b"](" + b"\x8a\1\1" * 300_000 + b"ex"),
    "100-thousand-frames": lambda: whole(b"](" + (b"\x95\1\0\0\0\0\0\0\0N") * 100_000 + b"ex"),
    "colliding-keys": lambda: whole(
        b"}("
        + b"".join(b"\x8a\x0a" + (i * ((1 << 61) - 1)).to_bytes(10, "little") + b"N" for i in range(70_000))
        + b"u"
    ),
}

#: Streams whose parts contradict each other.
MALFORMED: dict[str, Callable[[], bytes]] = {
    "empty-frame": lambda: whole(b"\x95" + bytes(8) + b"N"),
    "frame-that-ends-in-an-opcode": lambda: whole(b"\x95\2\0\0\0\0\0\0\0J\1\0\0\0"),
    "frame-that-ends-behind-the-end": lambda: whole(b"\x95\x63\0\0\0\0\0\0\0N"),
    "frame-within-a-frame": lambda: whole(b"\x95\x0a\0\0\0\0\0\0\0\x95\1\0\0\0\0\0\0\0N"),
    "frame-of-2**64-1": lambda: whole(b"\x95" + b"\xff" * 8 + b"N"),
    "nothing": lambda: whole(b""),
    "end-before-the-beginning": lambda: STOP,
    "no-end": lambda: PROTO + b"N",
    "two-ends": lambda: whole(b"N") + whole(b"N"),
    "two-values": lambda: whole(b"NN"),
    "protocol-255": lambda: whole(b"N", b"\x80\xff"),
    "protocol-0-header": lambda: whole(b"N", b"\x80\0"),
    "header-in-the-middle": lambda: whole(b"N" + PROTO),
    "pop-of-nothing": lambda: whole(b"0N"),
    "pop-below-a-mark": lambda: whole(b"N(0"),
    "mark-of-nobody": lambda: whole(b"t"),
    "append-to-a-tuple": lambda: whole(b")Na"),
    "append-below-a-mark": lambda: whole(b"](Na"),
    "get-of-nothing": lambda: whole(b"h\7"),
    "list-in-itself": lambda: whole(b"]\x94h\0a"),
    "text-that-is-not-utf-8": lambda: whole(b"\x8c\2\xff\xfe"),
    "name-of-two-numbers": lambda: whole(b"K\1K\2\x93"),
    "empty-names": lambda: whole(text("") + text("") + b"\x93"),
    "name-with-a-zero-byte": lambda: whole(name("os\0", "system\0")),
    "name-with-a-surrogate": lambda: whole(name("os\udc80", "system")),
    "name-in-other-letters": lambda: whole(name("\u043es", "system")),
    "name-with-a-newline": lambda: whole(name("os\nsystem", "x\n")),
    "name-with-dots-alone": lambda: whole(name("os", "...")),
    "name-of-locals": lambda: whole(name("os", "<locals>.f")),
    "extension-of-nobody": lambda: whole(b"\x82\7"),
    "next-buffer": lambda: whole(b"\x97", b"\x80\5"),
    "readonly-buffer": lambda: whole(b"\x97\x98", b"\x80\5"),
    "opcode-of-nobody": lambda: whole(b"\xff"),
    "zip-archive": lambda: b"PK\3\4" + bytes(40) + data(b"x"),
    "gzip": lambda: b"\x1f\x8b\x08" + bytes(40),
    "python-2-string": lambda: whole(b"U\1x"),
    "dict": lambda: whole(b"}"),
    "set": lambda: whole(b"\x8f"),
    "bool-as-text": lambda: b"I01\n.",
}
