"""The bytes of numbers of one width, made smaller where that is cheap, and back.

Whole numbers hardly deflate, as their low bytes are noise. So they are split into *planes*: the first bytes of
all items, the second bytes, and so on. A plane of signs and exponents, or of numbers that hardly change, is
deflated; a plane of noise stays as it is.

A small file must not stand for more numbers than memory can hold. So each number takes a bit at least, in all its
planes together, and only ``MAX_SPLIT`` numbers can be in planes. A column that claims more is refused before
memory is taken for it.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection

from .table import PlainError

#: Longer columns are not split: to deflate them takes longer than to write a larger file.
MAX_SPLIT = 1 << 16
#: Fewer bytes are not split, as a plane has a few bytes of its own in the file.
_FEW = 256
#: The most numbers for which a byte may stand.
_RATIO = 8
_RAW = -15  # deflate without a header, and so without a checksum: the state file has its own


def split(items: bytes, width: int) -> bytes | list[bytes]:
    """The bytes of items of one width, or their planes where these take an eighth less."""
    if len(items) < _FEW or len(items) > MAX_SPLIT * width:
        return items
    planes = [_deflated(items[at::width]) for at in range(width)]
    if _RATIO * sum(map(len, planes)) < len(items) // width:  # too few for a reader; Huffman codes have a bit each
        planes[0] = _deflated(items[::width], zlib.Z_HUFFMAN_ONLY)
    return planes if 8 * sum(map(len, planes)) < 7 * len(items) else items


def join(data: object, count: int, widths: Collection[int]) -> tuple[bytes | bytearray | memoryview, int]:
    """The bytes of ``count`` items, and the width of one. Raises PlainError unless :func:`split` gives ``data``.

    ``widths`` are those that an item may have.
    """
    if type(data) is list:
        return _joined(data, count, widths), len(data)
    if type(data) is not bytes and type(data) is not memoryview:
        raise PlainError("", f"expected the bytes of {count} numbers, found {type(data).__name__}")
    width, rest = divmod(len(data), count)
    if rest or width not in widths:
        raise PlainError("", f"{len(data)} bytes are not {count} numbers")
    return data, width


def _joined(planes: list[bytes], count: int, widths: Collection[int]) -> bytearray:
    width = len(planes)
    if width not in widths or count > MAX_SPLIT or not all(type(plane) is bytes for plane in planes):
        raise PlainError("", f"{width} planes of {count} numbers")
    if count > _RATIO * sum(map(len, planes)):
        raise PlainError("", f"planes of too few bytes for {count} numbers")
    items = bytearray(count * width)
    for at, plane in enumerate(planes):
        items[at::width] = _inflated(plane, count)
    return items


def _deflated(plane: bytes, strategy: int = zlib.Z_RLE) -> bytes:
    deflate = zlib.compressobj(1, zlib.DEFLATED, _RAW, 9, strategy)
    small = deflate.compress(plane) + deflate.flush()
    return small if len(small) < len(plane) else plane


def _inflated(plane: bytes, count: int) -> bytes:
    if len(plane) == count:
        return plane
    inflate = zlib.decompressobj(_RAW)
    try:
        whole = inflate.decompress(plane, count + 1)
    except zlib.error as error:
        raise PlainError("", f"a plane that cannot be inflated ({error})") from error
    if len(whole) != count or not inflate.eof or inflate.unused_data:
        raise PlainError("", f"a plane that has not {count} bytes")
    return whole
