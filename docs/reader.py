"""Reads a state file, and the arrays files beside it, without callback_state; written from docs/format.rst alone.

python reader.py 007.keras.callbacks.pkl
"""

import hashlib
import hmac
import io
import itertools
import pathlib
import pprint
import struct
import sys
import zlib


def unseal(data, model=None, key=None):
    """The payload of a state file and its blocks (file, size, digest), once its digests have been found right.

    Args:
        data: the bytes of the state file.
        model: the bytes of the model file, to see whether it is the right one.
        key: (secret, base name of the model file), to check the signature of a signed file.
    """
    fields, own = data[-124:-32], data[-32:]
    magic, number, flags, size, digest, model_digest, model_size = struct.unpack("<8sHHQ32s32sQ", fields)
    assert magic == b"\x89CBST\r\n\x1a" and hashlib.sha256(fields).digest() == own, "damaged, or no state file"
    assert number == 1 and flags in (0, 1, 2, 3), f"format {number}, flags {flags}: newer than this reader"
    end = len(data) - 124 - (32 if flags & 1 else 0)
    payload, blocks, signature = data[:size], data[size:end], data[end:-124]
    assert end >= size and len(blocks) % 44 == 0 and bool(blocks) == bool(flags & 2), "cut short, or lengthened"
    assert hashlib.sha256(payload + blocks).digest() == digest, "damaged"
    assert model is None or (hashlib.sha256(model).digest(), len(model)) == (model_digest, model_size)
    if key is not None:
        right = hmac.new(key[0], fields + key[1].encode(), hashlib.sha256).digest()
        assert hmac.compare_digest(right, signature), "not rightly signed"
    return payload, [*struct.iter_unpack("<IQ32s", blocks)]


def arrays_of(blocks, read_file):
    """The bytes of each block. ``read_file(digits)`` reads the arrays file with these digits in its name."""
    found = []
    for number in sorted({file for file, _, _ in blocks}):
        digests = b"".join(digest for file, _, digest in blocks if file == number)
        data = io.BytesIO(read_file(hashlib.sha256(digests).hexdigest()))
        assert len(data.getbuffer()) == sum(size for file, size, _ in blocks if file == number), (
            "cut, or lengthened"
        )
        found.append(data)
    parts = [found[file].read(size) for file, size, _ in blocks]
    assert all(hashlib.sha256(part).digest() == digest for part, (_, _, digest) in zip(parts, blocks, strict=True))
    return parts


def tree_of(payload):
    """The lists, tuples and scalars that a payload builds."""
    file, stack, marks = io.BytesIO(payload), [], []

    def number(width, signed=False):
        return int.from_bytes(file.read(width), "little", signed=signed)

    def sized(width):
        size = number(width)
        assert size <= len(payload) - file.tell(), "a size beyond the end"
        return file.read(size)

    def integer(width):
        return int.from_bytes(sized(width), "little", signed=True)

    def text(width):
        return sized(width).decode("utf-8", "surrogatepass")

    def taken(start):
        items = stack[start:]
        del stack[start:]
        return items

    pushes = {
        0x4E: lambda: None,
        0x88: lambda: True,
        0x89: lambda: False,
        0x5D: list,
        0x29: tuple,
        0x4B: lambda: number(1),
        0x4D: lambda: number(2),
        0x4A: lambda: number(4, signed=True),
        0x8A: lambda: integer(1),
        0x8B: lambda: integer(4),
        0x47: lambda: struct.unpack(">d", file.read(8))[0],
        0x8C: lambda: text(1),
        0x58: lambda: text(4),
        0x8D: lambda: text(8),
        0x43: lambda: sized(1),
        0x42: lambda: sized(4),
        0x8E: lambda: sized(8),
        0x74: lambda: tuple(taken(marks.pop())),
        0x85: lambda: tuple(taken(-1)),
        0x86: lambda: tuple(taken(-2)),
        0x87: lambda: tuple(taken(-3)),
    }
    steps = {
        0x28: lambda: marks.append(len(stack)),
        0x95: lambda: file.read(8),
        0x61: lambda: stack[-2].append(stack.pop()),
        0x65: lambda: stack[marks[-1] - 1].extend(taken(marks.pop())),
    }
    assert file.read(2) == b"\x80\x04"
    while (code := number(1)) != 0x2E:
        stack.append(pushes[code]()) if code in pushes else steps[code]()
    assert file.tell() == len(payload) and len(stack) == 1 and not marks
    return stack[0]


#: How ``struct`` calls the numbers of each width.
CODES = {"i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "b1": "?"}
CODES |= {"f2": "e", "f4": "f", "f8": "d", "c8": "2f", "c16": "2d"}


def joined(count, data):
    """The bytes of a column's values, one value after the other."""
    if isinstance(data, bytes):
        return data
    whole = bytearray(count * len(data))
    assert count <= 65536 and count <= 8 * sum(map(len, data)), "planes that claim too much"
    for at, plane in enumerate(data):
        whole[at :: len(data)] = plane if len(plane) == count else zlib.decompressobj(-15).decompress(plane, count)
    return bytes(whole)


def column_of(column):
    """The values of a column; a scalar of NumPy is (dtype, value)."""
    word, count, data = column[0], column[1], column[-1]
    if word == "None":
        return [None] * count
    if word == "drift":
        return [struct.unpack("<f", struct.pack("<i", bits))[0] for bits in column_of(data)]
    if word == "mixed":
        parts = [iter(column_of(part)) for part in data]
        return [next(parts[code]) for code in joined(count, column[2])]
    if word in ("long", "text"):
        whole = data if word == "long" else data.decode("utf-8", "surrogatepass")
        sizes = column_of(column[2])
        parts = [whole[end - size : end] for size, end in zip(sizes, itertools.accumulate(sizes), strict=True)]
        return parts if word == "text" else [int.from_bytes(part, "little", signed=True) for part in parts]
    raw, of_numpy = joined(count, data), word[0] in "<|"
    letter = {"float": "f", "bool": "b"}.get(word, "i")
    code = CODES[word[1:] if of_numpy else f"{letter}{len(raw) // count}"]
    values = [value if len(value) > 1 else value[0] for value in struct.iter_unpack(f"<{code}", raw)]
    assert len(values) == count, "other bytes than the count says"
    if word == "steps":
        values = [(column[2] + n + 2**63) % 2**64 - 2**63 for n in itertools.accumulate(values)]
    return [(word, value) for value in values] if of_numpy else values


def value_of(nodes, ref, built):
    """The value of a reference: lists, dicts, sets and tuples are Python's, other kinds are (kind, parts ...)."""
    if not isinstance(ref, tuple):
        return ref
    (i,) = ref
    if i in built:
        return built[i]
    kind, *parts = nodes[i]
    if kind in ("list", "dict"):  # made before what is in them, which may hold them
        made = built[i] = [] if kind == "list" else {}
        items = values_of(nodes, parts[0], built)
        made.extend(items) if kind == "list" else made.update(zip(items[::2], items[1::2], strict=True))
        return made
    values = [(value_of if is_reference(part) else values_of)(nodes, part, built) for part in parts]
    whole = {"tuple": tuple, "set": set, "frozenset": frozenset}.get(kind)
    built[i] = whole(values[0]) if whole else (kind, *values)
    return built[i]


def is_reference(part):
    return not isinstance(part, list) and not (isinstance(part, tuple) and len(part) > 1)


def values_of(nodes, refs, built):
    """The values of a list of references, or of what has columns in its place."""
    if isinstance(refs, list):
        return [value_of(nodes, ref, built) for ref in refs]
    if isinstance(refs[0], str):
        return column_of(refs)
    return [item for pair in zip(*map(column_of, refs), strict=True) for item in pair]


def read(data, model=None, key=None, read_file=None):
    """What a state file says: ``meta``, ``run``, ``state``, and the by-value section, which is not opened.

    With other processes also their ``parts``, each read likewise.
    """
    payload, blocks = unseal(data, model, key)
    nodes, root, state, pickles, *more = tree_of(payload)
    parts, built = arrays_of(blocks, read_file), {}
    for i, node in enumerate(nodes):
        if node[0] == "array" and type(node[4]) is int:
            nodes[i] = (*node[:4], parts[node[4]], node[5])
    others = {"parts": [read(part) for part in more[0]]} if more else {}
    return {**value_of(nodes, root, built), "state": value_of(nodes, state, built), "pickles": pickles, **others}


if __name__ == "__main__":
    path = pathlib.Path(sys.argv[1])
    beside = path.name.removesuffix("pkl")
    pprint.pprint(
        read(path.read_bytes(), read_file=lambda digits: path.with_name(f"{beside}{digits}.arrays").read_bytes())
    )
