"""Arrays that lie about what their bytes are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .tables import Raw, Ref
from .values import LARGE, array, doubled, struct

DTYPES: dict[str, Callable[[], Any]] = {
    **{
        f"dtype-{text}": lambda text=text: text
        for text in (
            "O",
            "|O8",
            "<f4,<f4",
            "(2,)f4",
            "T",
            "<U99999999999",
            "|S-1",
            "|V2147483647",
            "|V99999999999999999999",
            "<M8[x]",
            "",
            "os.system",
            "finfo",
            "<f3",
            "float\0",
            "<\u0666f4",
        )
    },
    "dtype-of-a-number": lambda: 7,
    "dtype-of-nothing": lambda: None,
    "dtype-with-objects-in-a-field": lambda: struct(("a", "|O", 0)),
    "dtype-with-a-field-beyond-its-end": lambda: struct(("a", "<f8", 1 << 20)),
    "dtype-with-a-field-beyond-every-end": lambda: struct(("a", "|V1073741824", (1 << 31) - 1), itemsize=16),
    "dtype-with-a-field-before-its-beginning": lambda: struct(("a", "<f8", -8)),
    "dtype-with-a-field-nowhere": lambda: struct(("a", "<f8", None)),
    "dtype-of-a-negative-size": lambda: struct(("a", "<f8", 0), itemsize=-8),
    "dtype-of-one-name-twice": lambda: struct(("a", "<f4", 0), ("a", "<f4", 4)),
    "dtype-of-a-name-that-is-none": lambda: struct((7, "<f4", 0)),
    "dtype-of-fields-of-two-parts": lambda: struct(("a", "<f4")),
    "dtype-that-doubles": lambda: doubled(30),
    "dtype-of-a-negative-shape": lambda: Raw("tuple", ["subarray", "<f4", Ref((-1,))]),
    "dtype-of-a-huge-shape": lambda: Raw("tuple", ["subarray", "<f4", Ref((1 << 40,))]),
    "dtype-of-a-shape-of-a-hundred": lambda: Raw("tuple", ["subarray", "<f4", Ref((1,) * 100)]),
    "dtype-of-objects-in-a-subarray": lambda: Raw("tuple", ["subarray", "|O", Ref((1,))]),
    "dtype-of-a-shape-that-is-none": lambda: Raw("tuple", ["subarray", "<f4", 7]),
}

ARRAYS: dict[str, Callable[[], Any]] = {
    **{
        key: lambda make=make: Raw("dtype", _ref(make()))
        for key, make in DTYPES.items()
        if key not in ("dtype-|V2147483647",)
    },
    **{
        f"array-of-{key}": lambda make=make: Raw("array", _ref(make()), Ref((1,)), "C", bytes(8), True)
        for key, make in DTYPES.items()
    },
    **{
        f"scalar-of-{key}": lambda make=make: Raw("scalar", _ref(make()), bytes(16))
        for key, make in DTYPES.items()
    },
    "array-of-a-huge-shape": lambda: array("<f8", (1 << 40,), bytes(8)),
    "array-of-a-huge-shape-and-nothing": lambda: array("<f8", (1 << 40,)),
    "array-of-a-huge-shape-with-a-zero": lambda: array("<f8", (0, 1 << 62, 1 << 62)),
    "array-of-a-negative-shape": lambda: array("<f8", (-1,), bytes(8)),
    "array-of-two-negative-shapes": lambda: array("<f8", (-1, -1), bytes(8)),
    "array-of-half-a-shape": lambda: array("<f8", (0.5,), bytes(4)),
    "array-of-a-shape-in-words": lambda: array("<f8", ("1",), bytes(8)),
    "array-of-a-shape-that-is-true": lambda: array("<f8", (True,), bytes(8)),
    "array-of-a-shape-that-is-no-number": lambda: array("<f8", (float("nan"),), bytes(8)),
    "array-of-an-endless-shape": lambda: array("<f8", (float("inf"), 0)),
    "array-of-a-list-as-shape": lambda: array("<f8", [1], bytes(8)),
    "array-of-a-hundred-dimensions": lambda: array("<f8", (1,) * 100, bytes(8)),
    "array-of-a-long-product": lambda: array("<f8", ((1 << 60) - 1,) * 60_000, bytes(8)),
    "array-of-endless-nothings": lambda: array("|V0", (1 << 50,)),
    "array-of-endless-empty-structs": lambda: array(Raw("tuple", ["struct", Ref(()), 0]), (1 << 50,)),
    "array-of-empty-texts": lambda: array("<U0", (1 << 50,)),
    "array-in-no-order": lambda: array("<f8", (1,), bytes(8), order="X"),
    "array-in-any-order": lambda: array("<f8", (1,), bytes(8), order="K"),
    "array-of-a-text": lambda: array("<f8", (1,), "\0" * 8),
    "array-whose-bytes-are-a-number": lambda: array("<f8", (1,), 8),
    "array-that-may-be-written-perhaps": lambda: array("<f8", (1,), bytes(8), writeable=2),
    "array-of-too-few-parts": lambda: Raw("array", "<f8", Ref((1,)), "C"),
    "scalar-of-two": lambda: Raw("scalar", "<f8", bytes(16)),
    "arrays-that-share-their-bytes": lambda: Raw(
        "list",
        [Ref(array("|b1", (len(LARGE),), Ref(shared))) for shared in [Raw("bytes_", LARGE)] for _ in range(2_000)],
    ),
    "arrays-that-share-a-dtype-of-many-fields": lambda: Raw(
        "list",
        [
            Ref(array(dtype, (0,)))
            for dtype in [struct(*((f"a{i}", "|V0", 0) for i in range(2_000)), itemsize=0)]
            for _ in range(2_000)
        ],
    ),
}


def _ref(made: Any) -> Any:
    return Ref(made) if isinstance(made, Raw) else made
