"""What is fed to the readers: any bytes, as a pickle of plain data or as a table of nodes with a right seal."""

from __future__ import annotations

import contextlib
import random
import struct
from typing import Any

from hostile.files import sealed

from callback_state._format import pickles
from callback_state._format.decode import Decoder
from callback_state._format.pickles import ReadError, dump, parse
from callback_state._format.statefile import unseal
from callback_state._format.table import PlainError, Table
from callback_state.exceptions import CallbackStateError

#: Kinds that a hostile table may name, and scalars that it may hold.
KINDS = (
    "list",
    "dict",
    "set",
    "tuple",
    "frozenset",
    "deque",
    "OrderedDict",
    "Counter",
    "defaultdict",
    "object",
    "record",
    "SimpleNamespace",
    "int",
    "complex",
    "bytearray",
    "range",
    "slice",
    "date",
    "datetime",
    "time",
    "timedelta",
    "timezone",
    "Decimal",
    "Fraction",
    "UUID",
    "Path",
    "array",
    "scalar",
    "dtype",
    "str_",
    "bytes_",
    "SeedSequence",
    "Random",
    "Generator",
    "BitGenerator",
    "RandomState",
    "code",
    "x",
    "subarray",
    "struct",
)
SCALARS: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    624,
    1 << 31,
    1 << 64,
    0.0,
    float("nan"),
    1e300,
    "",
    "a",
    "C",
    "F",
    "list",
    "<f8",
    "|V0",
    "|O",
    "<U1",
    "MT19937",
    "PCG64",
    "dict",
    "struct",
    "subarray",
    b"",
    b"\0" * 8,
    b"x" * 16,
    "2020-01-01",
)
OPCODES = bytes((*pickles._VALUES, *pickles._STEPS))


def pickled(data: bytes) -> None:
    """The bytes as a whole pickle, as what follows its header, and sealed."""
    for stream in (data, b"\x80\x04" + data + b"."):
        try:
            tree = parse(stream)
        except ReadError:
            continue
        decoded(tree)
    for state in (sealed(data), data):
        with contextlib.suppress(CallbackStateError):
            unseal(state, "x")


def decoded(tree: Any) -> None:
    """A tree as a table of nodes."""
    with contextlib.suppress(PlainError, CallbackStateError):
        Decoder(Table.from_tree(tree)).value()


def table(data: bytes) -> None:
    """The bytes as choices: a table of nodes whose kinds exist, and whose parts are anything."""
    decoded(parse(dump(drawn(data))))


def drawn(data: bytes) -> list[Any]:
    choose = iter(data)
    nodes = []
    for _ in range(1 + next(choose, 0) % 8):
        kind = KINDS[next(choose, 0) % len(KINDS)]
        parts = [_part(choose) for _ in range(next(choose, 0) % 5)]
        nodes.append((kind, *parts))
    return [nodes, (0,)]


def _part(choose: Any) -> Any:
    which = next(choose, 0)
    if which < 90:
        return (which % 8,)
    if which < 150:
        return [_scalar_or_ref(choose) for _ in range(which % 7)]
    return SCALARS[which % len(SCALARS)]


def _scalar_or_ref(choose: Any) -> Any:
    which = next(choose, 0)
    return (which % 8,) if which < 128 else SCALARS[which % len(SCALARS)]


def noise(seed: int) -> bytes:
    """Bytes that are likely to be opcodes, with length fields that fit or not."""
    chance = random.Random(seed)
    makers = (
        *[lambda: bytes([chance.choice(OPCODES)])] * 7,
        *[lambda: chance.randbytes(chance.randrange(4))] * 2,
        lambda: struct.pack("<I", chance.randrange(1 << chance.randrange(1, 32))),
    )
    return b"".join(chance.choice(makers)() for _ in range(chance.randrange(60)))
