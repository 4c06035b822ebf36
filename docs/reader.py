"""Reads a state file without callback_state; written from docs/format.rst alone.

python reader.py 007.keras.callbacks.pkl
"""

import hashlib
import hmac
import io
import pprint
import struct
import sys


def unseal(data, model=None, key=None):
    """The payload of a state file, once its digests have been found right.

    Args:
        data: the bytes of the state file.
        model: the bytes of the model file, to see whether it is the right one.
        key: (secret, base name of the model file), to check the signature of a signed file.
    """
    fields, own = data[-124:-32], data[-32:]
    magic, number, flags, size, digest, model_digest, model_size = struct.unpack("<8sHHQ32s32sQ", fields)
    assert magic == b"\x89CBST\r\n\x1a" and hashlib.sha256(fields).digest() == own, "damaged, or no state file"
    assert number == 1 and flags in (0, 1), f"format {number}, flags {flags}: newer than this reader"
    payload, signature = data[:size], data[size:-124]
    assert len(signature) == (32 if flags else 0), "cut short, or lengthened"
    assert hashlib.sha256(payload).digest() == digest, "damaged"
    assert model is None or (hashlib.sha256(model).digest(), len(model)) == (model_digest, model_size)
    if key is not None:
        right = hmac.new(key[0], fields + key[1].encode(), hashlib.sha256).digest()
        assert hmac.compare_digest(right, signature), "not rightly signed"
    return payload


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
    values = [(values_of if isinstance(part, list) else value_of)(nodes, part, built) for part in parts]
    whole = {"tuple": tuple, "set": set, "frozenset": frozenset}.get(kind)
    built[i] = whole(values[0]) if whole else (kind, *values)
    return built[i]


def values_of(nodes, refs, built):
    return [value_of(nodes, ref, built) for ref in refs]


def read(data, model=None, key=None):
    """What a state file says: ``meta``, ``run``, ``state``, and the by-value section, which is not opened."""
    nodes, root, state, pickles = tree_of(unseal(data, model, key))
    built = {}
    return {**value_of(nodes, root, built), "state": value_of(nodes, state, built), "pickles": pickles}


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as state_file:
        pprint.pprint(read(state_file.read()))
