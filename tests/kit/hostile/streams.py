"""Pickles that do something as soon as they are loaded, one for each technique.

Each is a function from a path that does not exist yet to the bytes of a pickle which makes a file or directory
there, or changes :mod:`.victim`.
"""

from __future__ import annotations

import pickle
from typing import Any

from . import victim
from .calls import CALLS, Technique, V, code
from .opcodes import (
    BUILD,
    MARK,
    REDUCE,
    TUPLE,
    call,
    data,
    listed,
    mapping,
    name,
    new,
    new_ex,
    old_name,
    reduced,
    text,
    whole,
)

#: The same call, by other opcodes and other protocols.
OPCODES: dict[str, Technique] = {
    **{f"protocol-{n}": lambda p, n=n: reduced(exec, (code(p),), n) for n in range(6)},
    "GLOBAL": lambda p: whole(call(old_name("os", "mkdir"), text(p))),
    "GLOBAL-without-header": lambda p: f"cos\nmkdir\n(V{p}\ntR.".encode(),
    "GLOBAL-with-a-name-of-python-2": lambda p: f"ccommands\ngetoutput\n(Vtouch {p}\ntR.".encode(),
    "INST": lambda p: f"(V{p}\nios\nmkdir\n.".encode(),
    "OBJ": lambda p: whole(MARK + name("os", "mkdir") + text(p) + b"o"),
    "NEWOBJ": lambda p: whole(
        new(name("builtins", "tuple"), new(name("builtins", "map"), name("os", "mkdir"), listed(text(p))))
    ),
    "NEWOBJ_EX": lambda p: whole(
        new_ex(
            name("builtins", "frozenset"), new_ex(name("builtins", "map"), name("os", "mkdir"), listed(text(p)))
        )
    ),
    "BUILD-of-a-class-with-__setstate__": lambda p: whole(new(name(V, "Target")) + text(p) + BUILD),
    "BUILD-of-a-partial": lambda p: whole(
        call(
            call(name("functools", "partial"), name("builtins", "len"))
            + MARK
            + name("os", "mkdir")
            + MARK
            + text(p)
            + TUPLE
            + b"}"
            + b"N"
            + TUPLE
            + BUILD
        )
    ),
    "BUILD-of-__dict__": lambda p: whole(name(V, "bare") + mapping(text("flag"), text(p)) + BUILD),
    "BUILD-of-slots": lambda p: whole(name(V, "Bare") + b"N" + mapping(text("flag"), text(p)) + b"\x86" + BUILD),
    "SETITEM": lambda p: whole(name(V, "TABLE") + text("a") + text(p) + b"s"),
    "SETITEMS": lambda p: whole(name(V, "TABLE") + MARK + text("a") + text(p) + b"u"),
    "APPEND": lambda p: whole(name(V, "FLAGS") + text(p) + b"a"),
    "APPENDS": lambda p: whole(name(V, "FLAGS") + MARK + text(p) + b"e"),
    "APPENDS-to-an-object": lambda p: whole(new(name(V, "Grabs")) + MARK + text(p) + b"e"),
    "APPEND-to-an-object": lambda p: whole(new(name(V, "Grabs")) + text(p) + b"a"),
    "SETITEM-of-an-object": lambda p: whole(new(name(V, "Grabs")) + text("a") + text(p) + b"s"),
    "ADDITEMS": lambda p: whole(name(V, "WORDS") + MARK + text(p) + b"\x90"),
    "ADDITEMS-to-an-object": lambda p: whole(new(name(V, "Grabs")) + MARK + text(p) + b"\x90"),
    "PUT-and-GET": lambda p: f"cos\nmkdir\np7\n0(V{p}\ntp8\n0g7\ng8\nR.".encode(),
    "BINPUT-and-BINGET": lambda p: whole(
        name("os", "mkdir") + b"q\7" + b"0" + MARK + text(p) + TUPLE + b"q\1" + b"0" + b"h\7h\1" + REDUCE
    ),
    "LONG_BINPUT-and-LONG_BINGET": lambda p: whole(
        name("os", "mkdir") + b"r\7\0\0\0" + b"0" + b"j\7\0\0\0" + MARK + text(p) + TUPLE + REDUCE
    ),
    "MEMOIZE": lambda p: whole(name("os", "mkdir") + b"\x94" + b"0" + b"h\0" + MARK + text(p) + TUPLE + REDUCE),
    "name-from-the-memo": lambda p: whole(
        text("os")
        + b"\x94"
        + b"0"
        + text("mkdir")
        + b"\x94"
        + b"0"
        + b"h\0h\1\x93"
        + MARK
        + text(p)
        + TUPLE
        + REDUCE
    ),
    "DUP": lambda p: whole(MARK + text(p) + TUPLE + b"200" + call(name("os", "mkdir"), text(p)) + b"20"),
    "POP-hides-the-call": lambda p: whole(call(name("os", "mkdir"), text(p)) + b"0" + listed(b"K\1")),
    "POP_MARK-hides-the-call": lambda p: whole(MARK + call(name("os", "mkdir"), text(p)) + b"1" + listed(b"K\1")),
    "between-innocent-values": lambda p: whole(
        listed(text("meta"), b"K\1", call(name("os", "mkdir"), text(p)), text("run"))
    ),
    "EXT1": lambda p: whole(call(b"\x82\xf1", text(p))),
    "EXT2": lambda p: whole(call(b"\x83\xf2\xf2", text(p))),
    "EXT4": lambda p: whole(call(b"\x84\xf3\xf3\xf3\0", text(p))),
    "PERSID": lambda p: f"P{p}\n.".encode(),
    "BINPERSID": lambda p: whole(text(p) + b"Q"),
    "frames-of-every-size": lambda p: whole(
        b"\x95\1\0\0\0\0\0\0\0N"
        + b"0"
        + b"\x95"
        + len(call(name("os", "mkdir"), text(p))).to_bytes(8, "little")
        + call(name("os", "mkdir"), text(p))
    ),
    "protocol-5-bytearray": lambda p: whole(
        call(name("builtins", "exec"), b"\x96" + len(code(p)).to_bytes(8, "little") + code(p).encode()), b"\x80\5"
    ),
    "header-twice": lambda p: whole(b"\x80\4" + call(name("os", "mkdir"), text(p))),
    "header-of-protocol-2-with-new-opcodes": lambda p: whole(call(name("os", "mkdir"), text(p)), b"\x80\2"),
    "more-behind-the-end": lambda p: whole(call(name("os", "mkdir"), text(p))) + b"junk" * 50,
    "import-alone": lambda p: whole(name("hostile.sideeffect", "NAME")),
    "import-of-a-dotted-name": lambda p: whole(name("hostile.sideeffect", "NAME.__class__")),
    "callable-without-arguments": lambda p: whole(name(V, "fire") + b")" + REDUCE),
    "set-and-frozenset": lambda p: whole(b"(" + call(name(V, "fire")) + b"\x91"),
    "key-of-a-dict": lambda p: whole(mapping(call(name(V, "fire")), b"N")),
    "LIST-and-DICT": lambda p: whole(MARK + call(name(V, "fire")) + b"l" + b"0" + MARK + text("a") + b"Nd"),
    "text-opcodes": lambda p: f"c{V}\nfire\n(S{p!r}\ntR0(I1\nL2L\nF1.5\nl.".encode(),
}


class Numpy:
    """Arrays of objects, as NumPy pickles them; what lies in them is loaded with them."""

    @staticmethod
    def object_array(path: str) -> bytes:
        import numpy

        return pickle.dumps(numpy.array([_Fires(path)], dtype=object), protocol=4)

    @staticmethod
    def object_scalar(path: str) -> bytes:
        return whole(
            call(
                name("numpy._core.multiarray", "scalar"),
                call(name("numpy", "dtype"), text("O")),
                call(name("os", "mkdir"), text(path)),
            )
        )

    @staticmethod
    def reconstruct(path: str) -> bytes:
        """An array whose state is an object array that is made by a call."""
        array = call(name("numpy._core.multiarray", "_reconstruct"), name("numpy", "ndarray"), b")", data(b"b"))
        items = listed(call(name("os", "mkdir"), text(path)))
        dtype = call(name("numpy", "dtype"), text("O"))
        state = MARK + b"K\1" + MARK + b"K\1" + TUPLE + dtype + b"\x89" + items + TUPLE
        return whole(array + state + BUILD)


class _Fires:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return victim.fire, (self.path,)


NUMPY: dict[str, Technique] = {
    "numpy-object-array": Numpy.object_array,
    "numpy-object-scalar": Numpy.object_scalar,
    "numpy-reconstruct": Numpy.reconstruct,
}

TECHNIQUES: dict[str, Technique] = {
    **{key: lambda p, make=make: whole(make(p)) for key, make in CALLS.items()},
    **OPCODES,
    **NUMPY,
}
