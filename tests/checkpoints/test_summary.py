"""The summary at the beginning of a state file: read without the rest, and never believed against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from states import contents, flip, put, state_of, tree_of

from callback_state import CorruptCheckpointError
from callback_state._callbacks.taken import take, take_state
from callback_state._checkpoints.directory import Glance, glance
from callback_state._checkpoints.snapshot import Snapshot
from callback_state._checkpoints.summary import PLACEHOLDER, Summary
from callback_state._format.pickles import ReadError, dump, parse, parse_first
from callback_state._format.statefile import seal, unseal, unseal_first
from callback_state._store.pair import SUFFIX

NOW = Summary(17, 3, 2, True, "val_loss", 0.5, "{epoch}.keras", "5" * 32)


def test_a_summary_is_the_first_node_and_says_what_meta_says() -> None:
    """Field by field, and back."""
    meta = {"saved_at": 17, "epoch": 3, "batch": 2, "finished": True, "monitor": ("val_loss", 0.5)}
    tree = tree_of(**meta, template="{epoch}.keras", run_id="5" * 32)
    assert tree[0][0] == NOW.node()
    assert Summary.from_node(tree[0][0], "m") == NOW
    assert NOW.monitor == ("val_loss", 0.5)


@pytest.mark.parametrize(
    "node",
    [
        None,
        (),
        ("summary",),
        ["summary", *NOW.node()[1:]],
        ("dict", []),
        (*NOW.node(), 1),
        NOW.node()[:-1],
        ("summary", "17", *NOW.node()[2:]),
        ("summary", 17, None, *NOW.node()[3:]),
        (*NOW.node()[:-1], None),
        (*NOW.node()[:-3], "0.5", "m", NOW.run_id),
    ],
    ids=repr,
)
def test_another_node_is_no_summary(node: object) -> None:
    """Of another kind, length or type: then it is no state file of this package."""
    with pytest.raises(CorruptCheckpointError, match="does not begin with a summary"):
        Summary.from_node(node, "m")


@pytest.mark.parametrize("field", range(1, 9))
def test_a_summary_of_another_moment_is_refused(field: int) -> None:
    """Sealed as it should be, by somebody: the rest does not say the same."""
    tree = tree_of()
    node = list(tree[0][0])
    node[field] = {1: 5, 2: 5, 3: 5, 4: True, 5: "x", 6: 1.0, 7: "x", 8: "x"}[field]
    tree[0][0] = tuple(node)
    with pytest.raises(CorruptCheckpointError, match="its summary and the rest are of two moments"):
        Snapshot.read("m", unseal(seal(tree, bytes(32), 0), "m"))


def test_what_is_glanced_at_is_under_the_seal(tmp_path: Path) -> None:
    """Every bit of the file, also of what is not parsed."""
    path = put(tmp_path, "m.keras", 1)
    state = Path(f"{path}{SUFFIX}")
    data = state.read_bytes()
    for at in range(0, len(data), 7):
        state.write_bytes(bytes((*data[:at], data[at] ^ 16, *data[at + 1 :])))
        assert isinstance(glance([str(state)]), CorruptCheckpointError)
    flip(path)
    state.write_bytes(data)
    found = glance([str(state)])
    assert isinstance(found, Glance) and found.summary.saved_at == 1


def test_two_quiet_points_are_compared_without_it() -> None:
    """The moment is not state."""
    taken = take([], None, *contents())
    later = take([], None, *contents({"saved_at": 5, "epoch": 5}))
    assert taken.tree[0][0] != later.tree[0][0] and taken.state.table.nodes[0] == PLACEHOLDER
    assert taken.state == later.state == take_state([], None)


@pytest.mark.parametrize(
    ("tree", "first"),
    [
        ([[("a", 1, 2, 3), ("b",)], 5], ("a", 1, 2, 3)),
        ([[("a", ["x", (1,)], ("y",)), ("b",)], 5], ("a", ["x", (1,)], ("y",))),
        ([[["a"], ("b",)], 5], None),
        ([("a",), 5], None),
        (7, None),
        (([("a",), 1], 2), None),
        ([[], ("a",)], None),
    ],
    ids=repr,
)
def test_the_first_tuple_of_the_first_list(tree: object, first: object) -> None:
    """Of data that begin otherwise there is none."""
    assert parse_first(dump(tree)) == first
    assert parse(dump(tree)) == tree


def test_what_comes_after_the_first_is_not_looked_at() -> None:
    """What comes before is: only what this package writes."""
    data = dump([[("a", 1), *[("b", i) for i in range(1000)]], 5])
    half = len(data) // 2
    assert parse_first(data[:half] + b"c" * (len(data) - half)) == ("a", 1)
    for start in (b"", b"\x80\x05", data[:9], data[:14], b"\x80\x04cos\nsystem\n"):
        with pytest.raises(ReadError):
            parse_first(start)


def test_the_time_of_a_glance_does_not_grow_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in opcodes: a history of a thousand epochs costs only its digest."""
    from callback_state._format import pickles

    def opcodes(data: bytes) -> int:
        count = [0]
        true = pickles._Parser.next_opcode

        def counting(parser: Any) -> int:
            count[0] += 1
            return true(parser)

        with monkeypatch.context() as patch:
            patch.setattr(pickles._Parser, "next_opcode", counting)
            unseal_first(data, "m")
        return count[0]

    long = {"epochs": list(range(1000)), "series": {"loss": [i / 7 for i in range(1000)]}}
    assert opcodes(state_of(1)) == opcodes(state_of(1, history=long)) < 30
