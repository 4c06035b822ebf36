"""What is fed to the readers: any bytes, as a pickle of plain data or as a table of nodes with a right seal."""

from __future__ import annotations

import contextlib
from typing import Any

from hostile.files import sealed

from callback_state._format import decode, kinds
from callback_state._format.decode import Decoder
from callback_state._format.pickles import ReadError, dump, parse
from callback_state._format.statefile import unseal
from callback_state._format.table import PlainError, Table
from callback_state.exceptions import CallbackStateError

#: Kinds that a hostile table may name, and scalars that it may hold.
KINDS = [*decode._SHELLS, *kinds._FROM_DATA, *kinds._WITH_LIVE, "tuple", "frozenset", "record", "code"]
TEXTS = ["", "a", "C", "list", "<f8", "|V0", "|O", "<U1", "MT19937", "dict", "struct", "subarray", "2020-01-01"]
NUMBERS = (0, 1, -1, 2, 624, 1 << 31, 1 << 64, 0.0, float("nan"), 1e300)
SCALARS: tuple[Any, ...] = (None, True, False, *NUMBERS, *TEXTS, b"", b"\0" * 8, b"x" * 16)


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
