"""The format of a state file: what is sealed comes back, and no damage goes unnoticed."""

from __future__ import annotations

import hashlib
import struct

import pytest

from callback_state._format import statefile
from callback_state._format.pickles import dump
from callback_state._format.statefile import FORMAT, TRAILER_SIZE, Sealed, seal, unseal
from callback_state.exceptions import CorruptCheckpointError, UnsupportedFormatError

MODEL = hashlib.sha256(b"a model").digest()
TREE = [1, 2.5, None, ("text \udc80", b"bytes", [True])]
DATA = seal(TREE, MODEL, 7)
WHERE = "run/007.keras.callbacks.pkl"


def trailer(payload: bytes, *, number: int = FORMAT, flags: int = 0, length: int | None = None) -> bytes:
    """A trailer as a writer of another format, or one with an error, would have sealed it."""
    fields = struct.pack(
        "<8sHHQ32s32sQ",
        b"\x89CBST\r\n\x1a",
        number,
        flags,
        len(payload) if length is None else length,
        hashlib.sha256(payload).digest(),
        MODEL,
        7,
    )
    return fields + hashlib.sha256(fields).digest()


def refused(data: bytes) -> str:
    """The words with which ``data`` is refused as corrupt."""
    with pytest.raises(CorruptCheckpointError) as caught:
        unseal(data, WHERE)
    assert caught.value.path == WHERE
    assert str(caught.value).startswith(f"{WHERE}: ")
    assert str(caught.value).endswith("; use another checkpoint, or a copy of this file")
    return caught.value.message


def test_what_is_sealed_comes_back() -> None:
    """A state file holds the tree, the digest and size of its model file, and its format number."""
    assert unseal(DATA, WHERE) == Sealed(TREE, MODEL, 7, 1)


def test_the_layout_is_the_documented_one() -> None:
    """The payload comes first, then a trailer of 124 bytes, its fields where the picture says."""
    payload = dump(TREE)
    assert payload + trailer(payload) == DATA
    assert TRAILER_SIZE == 124
    assert "trailer, 124 bytes" in str(statefile.__doc__)


def test_every_flipped_bit_and_every_truncation_is_found() -> None:
    """One bit of one byte, wherever it is in the file; a file cut short at whatever length."""
    for at in range(len(DATA)):
        refused(DATA[:at])
        for bit in range(8):
            refused(DATA[:at] + bytes([DATA[at] ^ 1 << bit]) + DATA[at + 1 :])


def test_every_missing_start_is_found() -> None:
    """A file that lost its first bytes, so that its trailer is whole."""
    for length in range(1, len(DATA) - TRAILER_SIZE + 1):
        expected = f"expected {len(dump(TREE))} bytes before the trailer, found"
        assert refused(DATA[length:]).startswith(expected)


OTHER = seal([], MODEL, 7)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(DATA[:50], "50 bytes are too few for a state file", id="tiny"),
        pytest.param(DATA[:-1], "found none: the file is cut short", id="cut"),
        pytest.param(dump(TREE) * 10, "or is no state file", id="bare-pickle"),
        pytest.param(bytes(1000), "or is no state file", id="zeros"),
        pytest.param(DATA + b"\n", "1 surplus bytes follow the trailer", id="newline"),
        pytest.param(DATA + bytes(500), "500 surplus bytes follow the trailer", id="padding"),
        pytest.param(DATA[:-1] + b"\0", "the trailer does not have its own SHA-256", id="trailer"),
        pytest.param(b"\0" + DATA[1:], "the data does not have the SHA-256", id="payload"),
        pytest.param(DATA + DATA, "bytes before the trailer, found", id="twice"),
        pytest.param(OTHER + DATA, "bytes before the trailer, found", id="two-files"),
        pytest.param(
            b"\0" * 40 + trailer(b"\0" * 40),
            "the digests are right, but this package never wrote that (at byte 0: expected",
            id="sealed-nonsense",
        ),
        pytest.param(
            (evil := b"\x80\x04cos\nsystem\n.") + trailer(evil),
            "never wrote that (at byte 2: opcode 0x63",
            id="sealed-global",
        ),
        pytest.param(
            dump(TREE) + trailer(dump(TREE), length=2**63),
            f"expected {2**63} bytes before the trailer, found {len(dump(TREE))}",
            id="huge-length",
        ),
    ],
)  # fmt: skip
def test_the_error_says_what_is_wrong(data: bytes, reason: str) -> None:
    """Empty, cut, continued, damaged, somebody else's: each has its own words."""
    assert reason in refused(data)


@pytest.mark.parametrize("number", [0, FORMAT + 1, FORMAT + 7, 2**16 - 1])
def test_a_newer_format_is_not_called_damaged(number: int) -> None:
    """Its trailer is sound, so the error names both numbers and what to install."""
    payload = b"whatever that release writes"
    with pytest.raises(UnsupportedFormatError) as caught:
        unseal(payload + trailer(payload, number=number), WHERE)
    assert caught.value.path == WHERE
    assert str(caught.value) == (
        f"{WHERE}: the state file has format {number}, this release reads format 1 with flags up to 3; "
        "install a newer callback_state"
    )


def test_a_flag_of_a_newer_release_is_not_called_damaged() -> None:
    """What it changes is not known, so nothing is read."""
    for flags in (4, 5, 2**15):
        with pytest.raises(UnsupportedFormatError, match=f"has the flags {flags}, this release reads format 1"):
            unseal(DATA[:-TRAILER_SIZE] + trailer(DATA[:-TRAILER_SIZE], flags=flags), WHERE)


def test_a_trailer_of_another_kind_of_file() -> None:
    """Right in all but its first bytes: somebody else's."""
    payload = dump(TREE)
    fields = b"\x89CBSU\r\n\x1a" + trailer(payload)[8:-32]
    assert "is no state file" in refused(payload + fields + hashlib.sha256(fields).digest())


def test_a_damaged_format_number_is_damage() -> None:
    """The digest of the trailer is judged before the number is believed."""
    at = len(DATA) - TRAILER_SIZE + 8
    damaged = DATA[:at] + b"\2" + DATA[at + 1 :]
    assert "does not have its own SHA-256" in refused(damaged)


def test_the_model_digest_must_be_one() -> None:
    """A digest of another length is an error of the caller, at once."""
    with pytest.raises(ValueError, match="expected 32 bytes, found 16"):
        seal(TREE, MODEL[:16], 7)
