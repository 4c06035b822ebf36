"""Values that lie, as nodes in a file with a right seal: each would do harm if it were believed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .tables import Late, Raw, Ref, chain, tower

#: Two to the 61st less one: Python's hash of an int is the remainder.
PRIME = (1 << 61) - 1
LARGE = bytes(400_000)


def array(dtype: Any, shape: Any, data: Any = b"", order: Any = "C", writeable: Any = True) -> Raw:
    return Raw("array", Ref(dtype), Ref(shape), order, data, writeable)


def struct(*fields: Any, itemsize: Any = 8) -> Any:
    return Raw("tuple", ["struct", Ref(Raw("tuple", [Ref(Raw("tuple", [*f])) for f in fields])), itemsize])


def doubled(levels: int) -> Raw:
    """A dtype whose fields are twice the same dtype, and so on."""
    made: Any = "|V0"
    for _ in range(levels):
        inner = Ref(made) if isinstance(made, Raw) else made
        made = struct(("a", inner, 0), ("b", inner, 0), itemsize=0)
    return made


def state_of(name: str, **parts: Any) -> Raw:
    """A generator's state as this package stores it."""
    return Raw("tuple", ["dict", *(Ref(Raw("tuple", [key, Ref(part)])) for key, part in parts.items())])


def mt19937(pos: Any, key: Any = None, name: str = "MT19937") -> Raw:
    key = array("<u4", (624,), bytes(2496)) if key is None else key
    return state_of(name, bit_generator=name, state=state_of("", key=key, pos=pos))


def philox(**parts: Any) -> Raw:
    words = {"counter": array("<u8", (4,), bytes(32)), "key": array("<u8", (2,), bytes(16))}
    whole = {"state": state_of("", **words), "buffer": words["counter"], "has_uint32": 0, "uinteger": 0, **parts}
    return state_of("", bit_generator="Philox", **whole)


def thaws(levels: int) -> Raw:
    """A state of which each part is twice the same state, and so on."""
    made: Any = 0
    for _ in range(levels):
        made = state_of("", a=made, b=made)
    return made


def itself(kind: str, *more: Any) -> Raw:
    value = Late()
    return value(kind, *more, [Ref(value)])


def ring(kind: str, length: int, *more: Any) -> Raw:
    first = Late()
    made: Raw = first
    for i in range(length):
        made = Raw(kind, *more, [i, Ref(made)])
    return first(kind, *more, [0, Ref(made)])


NAMES = {
    "class-that-is-not-registered": "builtins.object",
    "class-of-the-system": "os.system",
    "class-without-name": "",
    "class-with-a-zero-byte": "os\0.system",
    "class-of-a-long-name": "a." * 100_000,
    "class-by-a-path": "../../os.system",
    "class-by-a-url": "http://x/y",
    "class-of-a-number": 7,
    "class-__main__": "__main__.C",
}

NODES: dict[str, Callable[[], Any]] = {
    **{f"object-of-a-{key}": lambda name=name: Raw("object", name, ["x", 1]) for key, name in NAMES.items()},
    **{f"record-of-a-{key}": lambda name=name: Raw("record", name, ["x", 1]) for key, name in NAMES.items()},
    **{
        f"node-of-kind-{kind}": lambda kind=kind: Raw(kind, "os", "system")
        for kind in ("code", "variable", "reference", "global", "__reduce__", "", "summary", "list\0")
    },
    "node-of-no-kind": lambda: Raw(),
    "node-of-a-number": lambda: Raw(7),
    "reference-below-zero": lambda: Raw("list", [(-1,)]),
    "reference-beyond-the-end": lambda: Raw("list", [(10**6,)]),
    "reference-of-many-digits": lambda: Raw("list", [(1 << 100_000,)]),
    "reference-that-is-true": lambda: Raw("list", [(True,)]),
    "reference-that-is-a-number": lambda: Raw("list", [(0.0,)]),
    "reference-of-two": lambda: Raw("list", [(0, 0)]),
    "reference-of-many-digits-twice": lambda: Raw("list", [(1 << 100_000, 0)]),
    "list-in-a-node": lambda: Raw("list", [[1]]),
    "dict-with-a-key-too-many": lambda: Raw("dict", ["a"]),
    "list-without-items": lambda: Raw("list"),
    "list-of-a-number": lambda: Raw("list", 7),
    "tuple-in-itself": lambda: itself("tuple"),
    "frozenset-in-itself": lambda: itself("frozenset"),
    "slice-in-itself": lambda: (value := Late())("slice", Ref(value), None, None),
    "dtype-in-itself": lambda: (value := Late())("dtype", Ref(value)),
    "tuple-of-a-thousand-levels": lambda: chain("tuple", 1000),
    "frozenset-of-a-thousand-levels": lambda: chain("frozenset", 1000),
    "key-that-cannot-be-one": lambda: Raw("dict", [Ref(Raw("list", [])), 1]),
    "set-of-lists": lambda: Raw("set", [Ref(Raw("list", []))]),
    "frozenset-of-dicts": lambda: Raw("frozenset", [Ref(Raw("dict", []))]),
    "key-that-doubles": lambda: Raw("dict", [Ref(tower("tuple", 90)), 1]),
    "member-that-doubles": lambda: Raw("set", [Ref(tower("tuple", 90))]),
    "frozenset-that-doubles": lambda: Raw("frozenset", [Ref(tower("tuple", 90))]),
    "key-that-doubles-in-an-OrderedDict": lambda: Raw("OrderedDict", [Ref(tower("tuple", 90)), 1]),
    "key-that-doubles-in-a-Counter": lambda: Raw("Counter", [Ref(tower("tuple", 90)), 1]),
    "long-number-as-key-of-many": lambda: Raw(
        "list",
        [Ref(Raw("dict", [Ref(number), 1])) for number in [Raw("int", LARGE + b"\1")] for _ in range(2_000)],
    ),
    "colliding-keys": lambda: Raw("dict", [x for i in range(5_000) for x in (i * PRIME, None)]),
    "colliding-members": lambda: Raw("set", [i * PRIME for i in range(5_000)]),
    "colliding-members-of-a-frozenset": lambda: Raw("frozenset", [i * PRIME for i in range(5_000)]),
    "colliding-keys-of-a-Counter": lambda: Raw("Counter", [x for i in range(5_000) for x in (i * PRIME, 1)]),
    "defaultdict-of-a-system-call": lambda: Raw("defaultdict", "system", []),
    "defaultdict-of-a-number": lambda: Raw("defaultdict", Ref(Raw("int", b"\1")), []),
    "defaultdicts-of-2-thousand-levels": lambda: chain("defaultdict", 2_000, None),
    "ring-of-2-thousand-defaultdicts": lambda: ring("defaultdict", 2_000, None),
    "deque-of-a-negative-length": lambda: Raw("deque", -1, []),
    "deque-of-a-length-in-words": lambda: Raw("deque", "long", []),
    "Random-of-too-few": lambda: Raw("Random", 3, Ref((1, 2)), None),
    "Random-of-version-9": lambda: Raw("Random", 9, Ref((0,) * 625), None),
    "Random-beyond-its-words": lambda: Raw("Random", 3, Ref((0,) * 624 + (99_999,)), None),
    "Random-of-a-generator": lambda: Raw("Random", 3, Ref((0,) * 625), "gauss"),
    "BitGenerator-of-the-system": lambda: Raw("BitGenerator", "os", Ref(()), None),
    "BitGenerator-that-seeds-the-global-one": lambda: Raw("BitGenerator", "seed", Ref(()), None),
    "BitGenerator-bit_generator": lambda: Raw("BitGenerator", "bit_generator", Ref(()), None),
    "BitGenerator-beyond-its-words": lambda: Raw("BitGenerator", "MT19937", Ref(mt19937(10**6)), None),
    "BitGenerator-below-its-words": lambda: Raw("BitGenerator", "MT19937", Ref(mt19937(-1)), None),
    "Philox-beyond-its-buffer": lambda: Raw("BitGenerator", "Philox", Ref(philox(buffer_pos=1 << 30)), None),
    "BitGenerator-of-another": lambda: Raw("BitGenerator", "PCG64", Ref(mt19937(1)), None),
    "BitGenerator-of-a-short-key": lambda: Raw("BitGenerator", "MT19937", Ref(mt19937(1, (1, 2))), None),
    "BitGenerator-that-doubles": lambda: Raw("BitGenerator", "MT19937", Ref(thaws(45)), None),
    "BitGenerator-of-a-dict": lambda: Raw("BitGenerator", "MT19937", Ref({"bit_generator": "MT19937"}), None),
    "BitGenerator-of-foreign-seeds": lambda: Raw("BitGenerator", "MT19937", Ref(mt19937(1)), "seed"),
    "RandomState-beyond-its-words": lambda: Raw("RandomState", Ref(mt19937(10**6))),
    "RandomState-of-the-system": lambda: Raw("RandomState", Ref(mt19937(1, name="os"))),
    "RandomState-that-doubles": lambda: Raw("RandomState", Ref(thaws(45))),
    "Generator-of-a-number": lambda: Raw("Generator", 7),
    "Generator-of-a-namespace": lambda: Raw("Generator", Ref(Raw("SimpleNamespace", ["capsule", 1]))),
    "SeedSequence-of-a-long-number": lambda: Raw("SeedSequence", Ref(Raw("int", b"\x7f" * 500_000)), Ref(()), 0),
    "SeedSequence-of-a-long-key": lambda: Raw(
        "SeedSequence", 1, Ref(Raw("tuple", [Ref(Raw("int", b"\x7f" * 500_000))])), 0
    ),
    "SeedSequence-of-a-text": lambda: Raw("SeedSequence", "x", Ref(()), 0),
    "SeedSequence-of-a-negative-count": lambda: Raw("SeedSequence", 1, Ref(()), -1),
    "SeedSequence-of-hexadecimals": lambda: Raw("SeedSequence", "0x" + "7" * 900_000, Ref(()), 0),
    "Fraction-of-long-numbers": lambda: Raw(
        "Fraction", Ref(Raw("int", b"\x55" * 499_999 + b"\1")), Ref(Raw("int", b"\x33" * 499_999 + b"\1"))
    ),
    "many-Fractions-of-two-long-numbers": lambda: Raw(
        "list",
        [
            Ref(Raw("Fraction", Ref(a), Ref(b)))
            for a in [Raw("int", b"\x55" * 2_000 + b"\1")]
            for b in [Raw("int", b"\x33" * 2_000 + b"\1")]
            for _ in range(2_000)
        ],
    ),
    "Fraction-by-zero": lambda: Raw("Fraction", 1, 0),
    "Fraction-of-texts": lambda: Raw("Fraction", "1", "2"),
    "Decimal-of-words": lambda: Raw("Decimal", "much"),
    "date-of-nonsense": lambda: Raw("date", "yesterday"),
    "date-of-a-number": lambda: Raw("date", 5),
    "datetime-of-a-seventh-fold": lambda: Raw("datetime", "2020-01-01", 7, None),
    "datetime-in-a-foreign-zone": lambda: Raw("datetime", "2020-01-01", 0, "Europe/Berlin"),
    "timedelta-of-ages": lambda: Raw("timedelta", Ref(Raw("int", b"\x7f" * 40)), 0, 0),
    "timezone-of-a-number": lambda: Raw("timezone", 7),
    "UUID-of-three-bytes": lambda: Raw("UUID", b"abc"),
    "Path-of-bytes": lambda: Raw("Path", b"/etc"),
    "range-without-step": lambda: Raw("range", 0, 1, 0),
    "slice-of-four": lambda: Raw("slice", 1, 2, 3, 4),
    "complex-of-words": lambda: Raw("complex", "1", "2"),
    "complex-of-one-part": lambda: Raw("complex", 1.0),
    "complex-of-three-parts": lambda: Raw("complex", 1.0, 2.0, 3.0),
    "int-of-an-int": lambda: Raw("int", 7),
    "bytearray-of-ten": lambda: Raw("bytearray", 10),
    "bytearray-of-an-exabyte": lambda: Raw("bytearray", 1 << 60),
    "bytearrays-that-share-their-bytes": lambda: Raw(
        "list", [Ref(Raw("bytearray", Ref(shared))) for shared in [Raw("bytes_", LARGE)] for _ in range(2_000)]
    ),
    "texts-that-share-their-letters": lambda: Raw(
        "list", [Ref(Raw("Decimal", Ref(shared))) for shared in [Raw("str_", "1" * 400_000)] for _ in range(2_000)]
    ),
}
