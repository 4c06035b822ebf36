"""Pickles written by hand: the opcodes that this package never writes."""

from __future__ import annotations

import pickle
import struct

PROTO = b"\x80\x04"
MARK, STOP, REDUCE, TUPLE, BUILD = b"(", b".", b"R", b"t", b"b"


def text(value: str) -> bytes:
    """A string, whatever its length."""
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def data(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def name(module: str, qualname: str) -> bytes:
    """STACK_GLOBAL; a dotted name is looked up attribute by attribute."""
    return text(module) + text(qualname) + b"\x93"


def old_name(module: str, qualname: str) -> bytes:
    """GLOBAL, of all protocols."""
    return f"c{module}\n{qualname}\n".encode()


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + MARK + b"".join(arguments) + TUPLE + REDUCE


def new(cls: bytes, *arguments: bytes) -> bytes:
    """NEWOBJ: ``cls.__new__`` alone."""
    return cls + MARK + b"".join(arguments) + TUPLE + b"\x81"


def new_ex(cls: bytes, *arguments: bytes) -> bytes:
    return cls + MARK + b"".join(arguments) + TUPLE + b"}" + b"\x92"


def listed(*items: bytes) -> bytes:
    return b"](" + b"".join(items) + b"e"


def mapping(*pairs: bytes) -> bytes:
    return b"}(" + b"".join(pairs) + b"u"


def whole(body: bytes, proto: bytes = PROTO) -> bytes:
    return proto + body + STOP


def reduced(function: object, arguments: tuple[object, ...], protocol: int) -> bytes:
    """As ``pickle`` itself writes an object that asks for a call."""

    class Asks:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return function, arguments

    return pickle.dumps(Asks(), protocol=protocol)
