"""Plain data to bytes and back: a pickle that is written by ``pickle`` and never read by it.

:func:`dump` writes a pickle, so that anybody can look into a state file with ``pickle.load``. :func:`parse` reads
it with an interpreter for exactly the opcodes that :func:`dump` writes. They make None, bool, int, float, str,
bytes, list and tuple, and nothing else. There is no opcode for a global, a call, an attribute, a memo or a dict,
so a hostile file cannot run anything.
"""

from __future__ import annotations

import gc
import io
import pickle
import struct
from collections.abc import Callable
from typing import NoReturn

#: Levels of lists and tuples within each other.
MAX_DEPTH = 100
#: Bytes: larger ones are not copied where a caller asks for views.
LARGE = 1 << 20
#: Bytes of an int. No callback counts further.
MAX_INT = 1 << 16

PROTOCOL = b"\x80\x04"
STOP = ord(".")
_SCALARS = frozenset({type(None), bool, float, str, bytes})


class ReadError(ValueError):
    """The bytes are not what :func:`dump` writes; ``offset`` is the 0-based byte that shows it."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(offset, message)
        self.offset = offset
        self.message = message

    def __str__(self) -> str:
        return f"at byte {self.offset}: {self.message}"


def dump(tree: object) -> bytes:
    """A pickle (protocol 4, without memo) of a tree of lists, tuples and scalars.

    A list in two places is written twice. Equal trees have equal bytes only under the same release of Python.
    Raises TypeError for another type, also for a subclass such as ``numpy.float64`` or an enum. Raises ValueError
    for a tree deeper than ``MAX_DEPTH`` (a cycle is), and for an int of more than ``MAX_INT`` bytes.
    """
    _check(tree, "tree", 0)
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=4)
    pickler.fast = True
    pickler.dump(tree)
    return buffer.getvalue()


def _check(value: object, where: str, depth: int) -> None:
    if type(value) is list or type(value) is tuple:
        if depth == MAX_DEPTH:
            raise ValueError(f"{where}: nested deeper than {MAX_DEPTH} levels; store it flatter")
        for i, item in enumerate(value):
            if type(item) not in _SCALARS:
                _check(item, f"{where}[{i}]", depth + 1)
    elif type(value) is int:
        if value.bit_length() // 8 >= MAX_INT:
            raise ValueError(f"{where}: an int of more than {MAX_INT} bytes; store it as bytes")
    elif type(value) not in _SCALARS:
        raise TypeError(
            f"{where}: expected exactly None, bool, int, float, str, bytes, list or tuple, "
            f"found {type(value).__module__}.{type(value).__qualname__}; convert it first"
        )


def parse(data: bytes | memoryview, *, views: bool = False) -> object:
    """The tree that :func:`dump` wrote into ``data``. Raises ReadError for anything else, and nothing else.

    With ``views``, bytes of at least ``LARGE`` are memoryviews of ``data``, for callers that copy them anyway.
    Nothing that ``data`` names is imported, called or looked up. Each length is compared with what is left before
    it is used, so the memory needed is less than 100 times the length of ``data``. Not guaranteed: that
    :func:`dump` would write the same bytes again.
    """
    parser = _Parser(memoryview(data), views)
    collects = gc.isenabled()
    gc.disable()  # nothing here can be cyclic, and looking for cycles takes longer than all the rest
    try:
        return parser.run()
    except MemoryError:
        raise ReadError(parser.start, "the data does not fit into memory") from None
    finally:
        if collects:
            gc.enable()


def parse_first(data: bytes | memoryview, skip: int = 0) -> object:
    """Of a list of nodes within a list, the node after ``skip`` others; None if there is none.

    What follows it is not read. Raises ReadError as :func:`parse`.
    """
    return _Parser(memoryview(data)).run(only=2 + skip)


class _Parser:
    """The stack machine. A mark is a height of the stack, below which no opcode may reach."""

    __slots__ = ("data", "depths", "framed", "limit", "marks", "pos", "stack", "start", "views")

    def __init__(self, data: memoryview, views: bool = False) -> None:
        self.data, self.views = data, views
        self.start = self.pos = 0
        #: The end of the frame, or of the data between two frames. No opcode reads beyond it.
        self.limit = len(data)
        self.framed = False
        self.stack: list[object] = []
        #: How deep each value of the stack is.
        self.depths: list[int] = []
        self.marks: list[int] = []

    def run(self, only: int | None = None) -> object:
        """All of the data; or the tuple at that height of the stack in the list within the list."""
        if self.take(2) != PROTOCOL:
            self.fail(f"expected the header {PROTOCOL!r} of a pickle of protocol 4")
        while (opcode := self.next_opcode()) != STOP:
            if value := _VALUES.get(opcode):
                self.stack.append(value(self))
                self.depths.append(0)
            elif step := _STEPS.get(opcode):
                step(self)
            else:
                self.fail(f"opcode {opcode:#04x} is not one that this package writes")
            if only and self.marks == [1, 2] and len(self.stack) == only + 1 and type(self.stack[only]) is tuple:
                return self.stack[only]
        if self.pos != len(self.data):
            self.fail(f"{len(self.data) - self.pos} bytes follow the end")
        if len(self.stack) != 1 or self.marks:
            self.fail(f"expected one value at the end, found {len(self.stack)}")
        return None if only else self.stack[0]

    def next_opcode(self) -> int:
        if self.pos == self.limit:
            self.limit, self.framed = len(self.data), False
        self.start = self.pos
        if self.pos == self.limit:
            self.fail("expected 1 more bytes, found 0")
        self.pos += 1
        return self.data[self.start]

    def fail(self, message: str) -> NoReturn:
        raise ReadError(self.start, message)

    def take(self, length: int) -> memoryview:
        end = self.pos + length
        if end > self.limit:
            self.fail(f"expected {length} more bytes, found {self.limit - self.pos}")
        part = self.data[self.pos : end]
        self.pos = end
        return part

    def uint(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def push(self, value: object, depth: int) -> None:
        self.stack.append(value)
        self.depths.append(depth)

    def floor(self) -> int:
        return self.marks[-1] if self.marks else 0

    def mark(self) -> None:
        if len(self.marks) == MAX_DEPTH:
            self.fail(f"nested deeper than {MAX_DEPTH} levels")
        self.marks.append(len(self.stack))

    def pop_mark(self) -> int:
        if not self.marks:
            self.fail("the opcode needs a mark, there is none")
        return self.marks.pop()

    def pop(self, bottom: int) -> tuple[list[object], int]:
        """The values from height ``bottom`` up, and the depth of a container of them."""
        if bottom < self.floor():
            self.fail("the opcode needs more values than there are")
        items = self.stack[bottom:]
        depth = 1 + max(self.depths[bottom:], default=0)
        if depth > MAX_DEPTH:
            self.fail(f"nested deeper than {MAX_DEPTH} levels")
        del self.stack[bottom:], self.depths[bottom:]
        return items, depth

    def extend(self, bottom: int) -> None:
        """Move the values from height ``bottom`` up into the list below them."""
        items, depth = self.pop(bottom)
        target = self.stack[-1] if len(self.stack) > self.floor() else None
        if type(target) is not list:
            self.fail("the opcode needs a list, there is none")
        target.extend(items)
        self.depths[-1] = max(self.depths[-1], depth)

    def tuple_(self, bottom: int) -> None:
        items, depth = self.pop(bottom)
        self.push(tuple(items), depth)

    def long(self, width: int) -> int:
        length = self.uint(width)
        if length > MAX_INT:
            self.fail(f"an int of {length} bytes; at most {MAX_INT} are allowed")
        return int.from_bytes(self.take(length), "little", signed=True)

    def text(self, width: int) -> str:
        try:
            return str(self.take(self.uint(width)), "utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            self.fail(f"a text that is not UTF-8 ({error.reason})")

    def bytes_(self, width: int) -> bytes | memoryview:
        part = self.take(self.uint(width))
        return part if self.views and len(part) >= LARGE else bytes(part)

    def frame(self) -> None:
        if self.framed:
            self.fail("a frame inside a frame")
        length = self.uint(8)
        if not 0 < length <= len(self.data) - self.pos:
            self.fail(f"a frame of {length} bytes, {len(self.data) - self.pos} are left")
        self.limit, self.framed = self.pos + length, True


_VALUES: dict[int, Callable[[_Parser], object]] = {
    ord("N"): lambda p: None,
    0x88: lambda p: True,
    0x89: lambda p: False,
    ord("K"): lambda p: p.uint(1),
    ord("M"): lambda p: p.uint(2),
    ord("J"): lambda p: int.from_bytes(p.take(4), "little", signed=True),
    0x8A: lambda p: p.long(1),
    0x8B: lambda p: p.long(4),
    ord("G"): lambda p: struct.unpack(">d", p.take(8))[0],
    0x8C: lambda p: p.text(1),
    ord("X"): lambda p: p.text(4),
    0x8D: lambda p: p.text(8),
    ord("C"): lambda p: p.bytes_(1),
    ord("B"): lambda p: p.bytes_(4),
    0x8E: lambda p: p.bytes_(8),
}
_STEPS: dict[int, Callable[[_Parser], None]] = {
    0x95: lambda p: p.frame(),
    ord("]"): lambda p: p.push([], 1),
    ord(")"): lambda p: p.push((), 1),
    ord("("): lambda p: p.mark(),
    ord("a"): lambda p: p.extend(len(p.stack) - 1),
    ord("e"): lambda p: p.extend(p.pop_mark()),
    ord("t"): lambda p: p.tuple_(p.pop_mark()),
    0x85: lambda p: p.tuple_(len(p.stack) - 1),
    0x86: lambda p: p.tuple_(len(p.stack) - 2),
    0x87: lambda p: p.tuple_(len(p.stack) - 3),
}
