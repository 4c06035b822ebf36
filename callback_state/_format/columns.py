"""The numbers of a list, a deque or a dict as a *column*: a type, a count, and bytes instead of an item each.

    ("float", count, data)         of 8 bytes each, or of 4 where these give exactly the same numbers
    ("drift", count, steps)        floats of 4 bytes that change little: the ints that have their bits, as "steps"
    ("int", count, data)           of 1, 2, 4 or 8 bytes
    ("steps", count, first, data)  ints too: the first one, then a 0 and the differences
    ("bool", count, data)          of 1 byte
    ("<f4", count, data)           scalars of NumPy, by the name of their dtype
    ("long", count, sizes, data)   ints of any size: a column of their bytes' numbers, and the bytes
    ("text", count, sizes, data)   texts, as keys of a dict: a column of their lengths, and all of them in UTF-8
    ("mixed", count, data, columns)  a byte for each item says which column has it: those of one type each
    ("None", count)                only in a mixed one

A number comes back with its type and all its bits. Types count exactly: a subclass of int is not packed.
"""

from __future__ import annotations

import itertools
import marshal
import operator
import sys
from collections.abc import Collection
from typing import Any, TypeGuard

from .planes import MAX_SPLIT, join, split
from .table import Node, PlainError, is_packed, shown

#: With fewer items a column takes more room than the items.
LEAST = 16
Column = tuple[Any, ...]

_NONE = type(None)
_NAMES: dict[type, str] = {float: "float", int: "int", bool: "bool", _NONE: "None"}
_FLOATS, _INTS = {4: "<f4", 8: "<f8"}, {1: "<i1", 2: "<i2", 4: "<i4", 8: "<i8"}
#: The names of the dtypes whose scalars are numbers, and are written alike on each system.
_DTYPES = frozenset({"|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8"}).union(
    ("<f2", "<f4", "<f8", "<c8", "<c16")
)
#: A quarter of the way from a float to twice that float, in the ints that have their bits. If floats change less,
#: the differences of these ints take fewer bytes.
_DRIFT = 1 << 21
#: An int that is less than this, and more than its negative, is its own hash.
_OWN_HASH = 1 << 60
#: The ints that have 8 bytes are less than this, and not less than its negative.
_MOST = 1 << 63


def pack(values: Collection[Any], *, keys: bool = False) -> Column | None:
    """The column of these values; None if they are too few, or not all numbers. Some may be None.

    The keys of a dict may be texts, too.
    """
    if len(values) < LEAST:
        return None
    first = type(next(iter(values)))
    if _name(first, keys) is None:
        return None
    if first is int and keys and (column := _of_small_ints(values)) is not None:
        return column
    if operator.countOf(map(type, values), first) == len(values):
        return None if first is _NONE else _uniform(_name(first, keys), values, len(values))
    types = dict.fromkeys(map(type, values))
    names = {of: _name(of, keys) for of in types}
    if None in names.values() or not {*names.values()} - {"None", "text"}:
        return None
    which = {of: i for i, of in enumerate(types)}
    codes = bytes(map(which.__getitem__, map(type, values)))
    parts = [[value for value in values if type(value) is of] for of in types]
    columns = [_uniform(name, part, len(part)) for name, part in zip(names.values(), parts, strict=True)]
    return ("mixed", len(values), split(codes, 1), columns)


def unpack(column: object) -> list[Any]:
    """The values of a column. Raises PlainError, before memory is taken, unless :func:`pack` may have made it."""
    match column:
        case ("mixed", count, data, [*columns]) if _is_count(count):
            return _unmixed(count, data, columns)
    return _values(column)


def are_own_hashes(column: Column) -> bool:
    """Whether its values are ints each of which is its own hash, so that no two are alike."""
    if column[0] not in ("int", "steps"):
        return False
    array = _ints(column)
    return bool(array.min() > -_OWN_HASH and array.max() < _OWN_HASH)


def spread(node: Node) -> Node:
    """A node without columns: its values stand where references stand else. For those who only look at it."""
    if not is_packed(node):
        return node
    if node[0] in ("list", "deque"):
        return (*node[:-1], unpack(node[-1]))
    keys, values = entries(node[-1])
    return (*node[:-1], [item for pair in zip(keys, values, strict=True) for item in pair])


def entries(columns: Collection[object]) -> tuple[list[Any], list[Any]]:
    """The keys and the values of a dict in two columns. Raises PlainError."""
    if len(columns) != 2:
        raise PlainError("", f"{len(columns)} columns of a dict")
    keys, values = map(unpack, columns)
    if len(keys) != len(values):
        raise PlainError("", f"{len(keys)} keys with {len(values)} values")
    return keys, values


def count_of(node: Node) -> int:
    """How many items a node says that it has in columns; 0 if it has none."""
    match node[-1] if is_packed(node) else None:
        case (str(), int(count), *_) | ((str(), int(count), *_), _):
            return count
    return 0


def _name(of: type, keys: bool) -> str | None:
    """The name of a type in a column; None if it cannot stand in one."""
    if of in _NAMES or (of is str and keys):
        return _NAMES.get(of, "text")
    numpy = sys.modules.get("numpy")
    if numpy is None or not issubclass(of, numpy.generic):
        return None
    name: str = numpy.dtype(of).newbyteorder("<").str if issubclass(of, (numpy.number, numpy.bool_)) else ""
    return name if name in _DTYPES and numpy.dtype(name).type is of else None


def _uniform(name: str | None, values: Collection[Any], count: int) -> Column:
    import numpy

    match name:
        case "None":
            return (name, count)
        case "text":
            whole = "".join(values).encode("utf-8", "surrogatepass")
            return (name, count, _uniform("int", [*map(len, values)], count), whole)
        case "float":
            return _of_floats(numpy, _halved(numpy, numpy.fromiter(values, "<f8", count)))
        case "int":
            try:
                return _of_ints(numpy, numpy.fromiter(values, "<i8", count))
            except OverflowError:
                parts = [n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True) for n in values]
                return ("long", count, _uniform("int", [*map(len, parts)], count), b"".join(parts))
        case "bool":
            return (name, count, split(bytes(values), 1))
    return (name, count, _split(numpy.fromiter(values, name, count)))


def _halved(numpy: Any, array: Any) -> Any:
    """The floats in 4 bytes each, as those have that Keras computes, unless a bit would be lost."""
    with numpy.errstate(all="ignore"):
        small = array.astype("<f4")
        is_same = bool((small.astype("<f8").view("<u8") == array.view("<u8")).all())
    return small if is_same else array


def _of_floats(numpy: Any, array: Any) -> Column:
    if array.itemsize == 4 and LEAST <= len(array) <= MAX_SPLIT:
        bits = array.view("<i4").astype("<i8")
        if numpy.abs(numpy.diff(bits)).mean() < _DRIFT:
            return ("drift", len(array), _of_steps(numpy, bits))
    return ("float", len(array), _split(array))


def _of_steps(numpy: Any, array: Any) -> Column:
    steps = numpy.diff(array, prepend=array[:1])  # modulo 2**64, as is the sum that undoes it
    return ("steps", len(array), int(array[0]), _split(steps.astype(_INTS[_width(steps)])))


def _of_ints(numpy: Any, array: Any) -> Column:
    if len(array) > MAX_SPLIT:
        is_smaller = _width(numpy.diff(array)) < _width(array)
    else:  # in planes, a few large ones do no harm
        is_smaller = numpy.abs(numpy.diff(array), dtype="f8").sum() < numpy.abs(array, dtype="f8").sum()
    if is_smaller:
        return _of_steps(numpy, array)
    return ("int", len(array), _split(array.astype(_INTS[_width(array)])))


def _of_small_ints(keys: Collection[Any]) -> Column | None:
    """The column of keys that are ints of 32 bits; None if they are not. It takes half the time of the usual way.

    ``marshal`` writes exactly these as an ``i`` and four bytes, so one pass tells the types and has the bytes. It
    is no way for values, among which there may be large or deep ones; what can be hashed is not deep.
    """
    import numpy

    try:
        data = marshal.dumps([*keys], 2)
    except ValueError:  # something else is among them
        return None
    if len(data) != 5 * (1 + len(keys)):
        return None
    items = numpy.frombuffer(data, [("code", "|u1"), ("value", "<i4")], offset=5)
    return _of_ints(numpy, items["value"].astype("<i8")) if (items["code"] == ord("i")).all() else None


def _width(array: Any) -> int:
    bits = max(int(array.max()).bit_length(), (~int(array.min())).bit_length()) + 1
    return next(width for width in _INTS if bits <= 8 * width)


def _split(array: Any) -> bytes | list[bytes]:
    return split(array.tobytes(), array.itemsize)


def _unmixed(count: int, data: object, columns: list[object]) -> list[Any]:
    codes = bytes(join(data, count, (1,))[0])
    counts = [codes.count(code) for code in range(min(len(columns), 256))]
    if 0 in counts or sum(counts) != count or len(columns) != len(counts):
        raise PlainError("", f"{len(columns)} columns in a mixed one of {count} values")
    parts = [[None] * n if c == ("None", n) else _values(c) for c, n in zip(columns, counts, strict=True)]
    if [*map(len, parts)] != counts:
        raise PlainError("", "a mixed column of other lengths than its parts have")
    each = [*map(iter, parts)]
    return [next(each[code]) for code in codes]


def _values(column: object) -> list[Any]:
    """The values of a column of one type."""
    match column:
        case ("text" | "long" as name, count, ("int" | "steps", of, *_) as sizes, data) if count == of:
            return _cut(name, _ints(sizes).tolist(), data)
        case ("float", count, data) if _is_count(count):
            floats: list[Any] = _array(data, count, _FLOATS).astype("<f8").tolist()
            return floats
        case ("drift", count, ("steps", of, *_) as steps) if count == of:
            return _drifted(_ints(steps))
        case ("int" | "steps", *_):
            ints: list[Any] = _ints(column).tolist()
            return ints
        case ("bool", count, data) if _is_count(count):
            array = _array(data, count, {1: "|u1"})
            if array.max() > 1:
                raise PlainError("", "a truth value that is neither 0 nor 1")
            return [*map(bool, array.tolist())]
        case (str(name), count, data) if name in _DTYPES and _is_count(count):
            return [*_array(data, count, {int(name[2:]): name})]
    raise PlainError("", f"not a column: {shown(column)}")


def _is_count(count: object) -> TypeGuard[int]:
    return type(count) is int and count > 0


def _array(data: object, count: int, dtypes: dict[int, str]) -> Any:
    import numpy

    items, width = join(data, count, dtypes)
    return numpy.frombuffer(items, dtypes[width])


def _ints(column: object) -> Any:
    match column:
        case ("int", count, data) if _is_count(count):
            return _array(data, count, _INTS)
        case ("steps", count, first, data) if _is_count(count) and type(first) is int and -_MOST <= first < _MOST:
            array = _array(data, count, _INTS).cumsum(dtype="<i8")
            array += first
            return array
    raise PlainError("", f"not a column: {shown(column)}")


def _drifted(bits: Any) -> list[Any]:
    if bits.min() < -(1 << 31) or bits.max() >= 1 << 31:
        raise PlainError("", "bits of a float that are more than four bytes")
    floats: list[Any] = bits.astype("<i4").view("<f4").astype("<f8").tolist()
    return floats


def _cut(name: str, sizes: list[int], data: object) -> list[Any]:
    """The parts of a text or of bytes, which have these lengths."""
    if type(data) is not bytes and type(data) is not memoryview:
        raise PlainError("", f"expected bytes, found {type(data).__name__}")
    try:
        whole: Any = str(data, "utf-8", "surrogatepass") if name == "text" else data
    except UnicodeDecodeError as error:
        raise PlainError("", f"a text that is not UTF-8 ({error.reason})") from error
    if min(sizes) < 0 or sum(sizes) != len(whole):
        raise PlainError("", f"{len(whole)} characters or bytes are not {len(sizes)} parts of these lengths")
    ends = [*itertools.accumulate(sizes)]
    parts = (whole[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True))
    return [*parts] if name == "text" else [int.from_bytes(part, "little", signed=True) for part in parts]
